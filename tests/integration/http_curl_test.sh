#!/bin/bash
# Drive the HTTP server with curl, h2load and raw bytes: versions, TLS, client certificates, bodies,
# limits, pipelining, malformed requests. Usage: http_curl_test.sh BUILD_DIR
set -u
build=${1:?build directory}
dir=$(mktemp -d)
fails=0
coproc SERVER { exec "$build/tests/http_server_main" "$dir"; }
server_pid=$SERVER_PID
read -r -u "${SERVER[0]}" ports || { echo "server did not start"; exit 1; }
eval "$ports"
# shellcheck disable=SC2154
h1=http://127.0.0.1:$plain https=https://127.0.0.1:$tls mtls_url=https://127.0.0.1:$mtls
ca=(--cacert "$dir/ca.crt")

check() { # name expected actual
    if [ "$2" == "$3" ]; then echo "ok   $1"; else echo "FAIL $1: wanted [$2] got [$3]"; fails=$((fails + 1)); fi
}
raw() { # bytes as printf format; prints the status line(s)
    exec 9<>"/dev/tcp/127.0.0.1/$plain" && printf "$1" >&9 && timeout 10 cat <&9 | tr -d '\r' | grep -a '^HTTP/1.1 '
    exec 9>&-
}

check "plain h1" hello "$(curl -s "$h1/hello")"
check "plain h2 prior knowledge" "hello 2" "$(curl -s --http2-prior-knowledge -w '%{http_version}' "$h1/hello" | tr '\n' ' ')"
check "h2c upgrade is ignored" "hello 1.1" "$(curl -s --http2 -w '%{http_version}' "$h1/hello" | tr '\n' ' ')"
check "tls h2 by alpn" "hello 2" "$(curl -s "${ca[@]}" -w '%{http_version}' "$https/hello" | tr '\n' ' ')"
check "tls h1.1" "hello 1.1" "$(curl -s --http1.1 "${ca[@]}" -w '%{http_version}' "$https/hello" | tr '\n' ' ')"
check "tls 1.2" hello "$(curl -s --tls-max 1.2 "${ca[@]}" "$https/hello")"
check "tls 1.1 refused" 35 "$(curl -s --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 "${ca[@]}" "$https/hello"; echo $?)"
check "404" 404 "$(curl -s -o /dev/null -w '%{http_code}' "$h1/nothing")"
check "HEAD has a length and no body" "6" "$(curl -sI "$h1/hello" | tr -d '\r' | awk -F': ' '$1=="content-length"{print $2}')"
check "mtls without certificate" 56 "$(curl -s "${ca[@]}" "$mtls_url/who"; echo $? | sed s/55/56/)"
check "mtls who h2" alice "$(curl -s "${ca[@]}" --cert "$dir/alice.crt" --key "$dir/alice.key" "$mtls_url/who")"
check "mtls who h1" alice "$(curl -s --http1.1 "${ca[@]}" --cert "$dir/alice.crt" --key "$dir/alice.key" "$mtls_url/who")"
check "two requests on one connection" "1 0 " "$(curl -s -o /dev/null -o /dev/null -w '%{num_connects} ' "$h1/hello" "$h1/hello")"

head -c 2000000 /dev/urandom > "$dir/body"
sum=$(md5sum < "$dir/body")
for args in "--http1.1 $h1" "--http2-prior-knowledge $h1" "--http1.1 $https" "--http2 $https"; do
    # shellcheck disable=SC2086
    check "echo 2 MB $args" "$sum" "$(curl -s "${ca[@]}" --data-binary "@$dir/body" ${args% *} "${args##* }/echo" | md5sum)"
    # shellcheck disable=SC2086
    check "echo 2 MB chunked $args" "$sum" "$(curl -s "${ca[@]}" -H 'Transfer-Encoding: chunked' --data-binary "@$dir/body" ${args% *} "${args##* }/echo" | md5sum)"
    # shellcheck disable=SC2086
    check "50 MB answer $args" 50000000 "$(curl -s "${ca[@]}" ${args% *} "${args##* }/big?n=50000000" | wc -c)"
    # shellcheck disable=SC2086
    check "streamed answer $args" 3 "$(curl -s "${ca[@]}" ${args% *} "${args##* }/slow" | wc -l)"
done
head -c 4000000 /dev/zero > "$dir/big"
check "413 h1" 413 "$(curl -s -o /dev/null -w '%{http_code}' --data-binary "@$dir/big" "$h1/echo")"
check "413 h1 chunked" 413 "$(curl -s -o /dev/null -w '%{http_code}' -H 'Transfer-Encoding: chunked' -H 'Expect:' --data-binary "@$dir/big" "$h1/echo")"
# (not curl: before 8.0 it drops an answer that is followed by RST_STREAM(NO_ERROR))
check "413 h2" 413 "$(nghttp -v -d "$dir/big" "$https/echo" 2>/dev/null | awk '/:status/{print $NF; exit}')"
long=$(head -c 70000 /dev/zero | tr '\0' a)
check "431 h1" 431 "$(curl -s -o /dev/null -w '%{http_code}' -H "x: $long" "$h1/hello")"
many=(); for i in $(seq 1 120); do many+=(-H "x$i: ${long:0:510}"); done
check "431 h2" 431 "$(curl -s -o /dev/null -w '%{http_code}' "${ca[@]}" "${many[@]}" "$https/hello")"
check "414 h1" 414 "$(curl -s -o /dev/null -w '%{http_code}' "$h1/$long")"

ok="HTTP/1.1 200 OK"
check "pipelining" "$ok $ok $ok" "$(raw 'GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' | xargs)"
check "HTTP/1.0 closes" "$ok" "$(raw 'GET /hello HTTP/1.0\r\n\r\n')"
bad="HTTP/1.1 400 Bad Request"
check "no Host" "$bad" "$(raw 'GET / HTTP/1.1\r\n\r\n')"
check "two Hosts" "$bad" "$(raw 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')"
check "garbage" "$bad" "$(raw '\x16\x03\x01\x02\x00\x01\x00')"
check "length and chunked" "$bad" "$(raw 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')"
check "two lengths" "$bad" "$(raw 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello')"
check "space before colon" "$bad" "$(raw 'GET / HTTP/1.1\r\nHost : a\r\n\r\n')"
check "bare LF in header" "$bad" "$(raw 'GET / HTTP/1.1\nHost: a\n\n')"
check "coding unknown" "HTTP/1.1 501 Not Implemented" "$(raw 'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n')"
check "chunked in 1.0" "$bad" "$(raw 'POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')"
check "bad chunk size" "$bad" "$(raw 'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n')"
check "unknown expectation" "HTTP/1.1 417 Expectation Failed" "$(raw 'POST /echo HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\nx')"
check "100-continue" "HTTP/1.1 100 Continue $ok" "$(raw 'POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx' | xargs)"
check "HTTP/3.0 in the request line" "$bad" "$(raw 'GET / HTTP/3.0\r\nHost: a\r\n\r\n')"

check "h2load 2000 requests" 2000 "$(h2load -n 2000 -c 10 -m 20 "$h1/hello" 2>/dev/null | awk '/^requests:/{print $8}')"
check "h2load over TLS" 2000 "$(h2load -n 2000 -c 10 -m 20 "$https/hello" 2>/dev/null | awk '/^requests:/{print $8}')"
check "h2load h1" 2000 "$(h2load --h1 -n 2000 -c 10 "$h1/hello" 2>/dev/null | awk '/^requests:/{print $8}')"

eval "exec ${SERVER[1]}>&-"
wait "$server_pid"
check "server ends cleanly" 0 $?
rm -rf "$dir"
[ "$fails" == 0 ] && echo "http_curl_test: all passed"
exit $((fails > 0))
