#!/usr/bin/env bash
# API server: create, get and list over TLS, one member, everything on this machine: with wrk over HTTP/1.1 (a request
# at a time on each connection) and with h2load over HTTP/2 (64 at a time on each of 16 connections).
#
#   bench/api.sh [BINARY] [SECONDS]     default: build/release/bin/c8s-apiserver, 5 s a load
#
# For each load: requests a second, server CPU per request, latency; at the end the member's memory.
# The last line is the figure: creates/s, gets/s, lists of 500/s, and over HTTP/2 creates/s, gets/s.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=${1:-$root/build/release/bin/c8s-apiserver}
seconds=${2:-5}
dir=$(mktemp -d)
. "$root/tests/lib.sh"
reserve_ports
export TOKEN=bench-token BENCH_PATH=/
cleanup() {
    if [ -n "${pid:-}" ]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap cleanup EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/key" -out "$dir/crt" -days 2 \
    -subj /CN=bench -addext subjectAltName=IP:127.0.0.1 2>/dev/null
echo "$TOKEN,bench,1,system:masters" >"$dir/tokens"
# So many requests in flight that the load measures the server, not its refusals.
"$bin" --name=m1 --max-requests-inflight=2000 --max-mutating-requests-inflight=2000 --data-dir="$dir/store" --bind-address=127.0.0.1 --secure-port=$port --tls-cert-file="$dir/crt" \
    --tls-private-key-file="$dir/key" --token-auth-file="$dir/tokens" --listen-client-urls=http://127.0.0.1:$((port + 1)) \
    --advertise-client-urls=http://127.0.0.1:$((port + 1)) >"$dir/log" 2>&1 &
pid=$!
url=https://127.0.0.1:$port
api() { curl -sk -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' "$@"; }
started=$(date +%s%N)
for _ in $(seq 500); do
    [ "$(api $url/readyz 2>/dev/null)" = ok ] && break
    sleep 0.01
done
echo "ready after $((($(date +%s%N) - started) / 1000000)) ms, memory $(awk '/RssAnon/{print $2}' /proc/$pid/status) kB anonymous"
api $url/api/v1/namespaces -d '{"metadata":{"name":"bench"}}' >/dev/null
api $url/api/v1/namespaces -d '{"metadata":{"name":"list"}}' >/dev/null
python3 - "$url" "$TOKEN" <<'PY'
import http.client, json, ssl, sys
url, token = sys.argv[1:]
c = http.client.HTTPSConnection(url[8:], context=ssl._create_unverified_context())
for i in range(500):
    c.request("POST", "/api/v1/namespaces/list/configmaps",
              json.dumps({"metadata": {"name": "l%d" % i}, "data": {"x": "y" * 900}}),
              {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    r = c.getresponse(); r.read()
    assert r.status == 201, r.status
PY

cpu_us() { awk '{print ($14 + $15) * 10000}' /proc/$pid/stat; }
load() { # NAME SCRIPT CONNECTIONS
    local before after out requests
    before=$(cpu_us)
    out=$(wrk -t2 -c"$3" -d"${seconds}s" -s "$2" $url 2>&1)
    after=$(cpu_us)
    requests=$(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' <<<"$out")
    rate=$(sed -n 's/^Requests\/sec: *\([0-9]*\).*/\1/p' <<<"$out")
    echo "$1: $rate/s, $(((after - before) / (requests + 1))) us server CPU each, $(grep '^errors' <<<"$out")"
}
load2() { # NAME PATH [BODY_FILE]
    local before after out requests
    before=$(cpu_us)
    out=$(h2load -t1 -c16 -m64 -D"$seconds" ${3:+-d "$3"} -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' "$url$2")
    after=$(cpu_us)
    requests=$(sed -n 's/^status codes: \([0-9]*\) 2xx.*/\1/p' <<<"$out")
    rate=$((requests / seconds))
    echo "$1, HTTP/2: $rate/s, $(((after - before) / (requests + 1))) us server CPU each, $(grep '^status codes' <<<"$out")"
}
cd "$root/bench"
load "create 1 KB, 64 connections" api_create.lua 64
creates=$rate
BENCH_PATH=/api/v1/namespaces/list/configmaps/l7 load "get, 64 connections" api_read.lua 64
gets=$rate
BENCH_PATH=/api/v1/namespaces/list/configmaps load "list of 500, JSON" api_read.lua 16
lists=$rate
BENCH_ACCEPT=application/vnd.kubernetes.protobuf BENCH_PATH=/api/v1/namespaces/list/configmaps load "list of 500, protobuf" api_read.lua 16
printf '{"metadata":{"generateName":"h"},"data":{"x":"%0900d"}}' 0 >"$dir/body"
load2 "create 1 KB, 16 x 64 streams" /api/v1/namespaces/bench/configmaps "$dir/body"
creates2=$rate
load2 "get, 16 x 64 streams" /api/v1/namespaces/list/configmaps/l7
gets2=$rate
echo "memory after load: $(awk '/RssAnon|VmRSS/{printf "%s %s kB  ", $1, $2}' /proc/$pid/status)"
echo "api: creates/s $creates gets/s $gets lists/s $lists; HTTP/2: creates/s $creates2 gets/s $gets2"
