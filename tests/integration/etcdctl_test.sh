#!/bin/bash
# The store's etcd v3 API, driven by Debian's etcdctl, and some of `c8s kv`. Usage: etcdctl_test.sh BIN_DIR [MEMBERS]
#
# Starts MEMBERS (default 1) store-only members. With several, every verb is tried through each of them.
set -u
bin=${1:?directory of the executables}
members=${2:-1}
. "$(dirname "$0")/../lib.sh"
command -v etcdctl >/dev/null || { echo "SKIP: etcdctl is not installed"; exit 77; }
dir=$(mktemp -d)
fails=0
servers=()
export ETCDCTL_API=3
unset ETCDCTL_ENDPOINTS

finish() {
    local i rc
    for i in "${!servers[@]}"; do
        kill "${servers[i]}" 2>/dev/null
        wait "${servers[i]}"
        rc=$?
        [ "$rc" == 0 ] || { echo "FAIL member $((i + 1)) ended with $rc"; tail -40 "$dir/log$((i + 1))"; fails=1; }
    done
    rm -rf "$dir"
    [ "$fails" == 0 ] && echo "etcdctl_test: all passed"
    exit $((fails > 0))
}
check() { # name expected actual
    if [ "$2" == "$3" ]; then echo "ok   $1"; else printf 'FAIL %s\n  wanted: %q\n  got:    %q\n' "$1" "$2" "$3"; fails=$((fails + 1)); fi
}
until_ok() { # up to a minute
    eventually 60 "$@" >/dev/null 2>&1 && return 0
    echo "FAIL never succeeded: $*"; fails=1; return 1
}

reserve_ports
cluster=
endpoints=
for i in $(seq "$members"); do
    cluster+=${cluster:+,}s$i=http://127.0.0.1:$((port + 100 + i))
    endpoints+=${endpoints:+,}127.0.0.1:$((port + i))
done
for i in $(seq "$members"); do
    peer=http://127.0.0.1:$((port + 100 + i)) client=http://127.0.0.1:$((port + i))
    "$bin/c8s-apiserver" --store-only --name "s$i" --data-dir "$dir/data$i" --listen-client-urls "$client" \
        --advertise-client-urls "$client" --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "$cluster" >"$dir/log$i" 2>&1 &
    servers+=($!)
done
until_ok etcdctl --endpoints "$endpoints" --command-timeout=5s get x || finish

run_all() { # endpoint
    local ep=$1 base
    e() { etcdctl --endpoints "$ep" --dial-timeout=30s --command-timeout=60s "$@" 2>"$dir/err"; }
    error() { grep -v '^{' "$dir/err" | head -1; }
    e del --prefix "" >/dev/null
    check "put" OK "$(e put a 1)"
    check "an endpoint with its scheme" "a 1" "$(etcdctl --endpoints "http://$ep" get a 2>&1 | xargs)"
    check "get" "a 1" "$(e get a | xargs)"
    base=$(e get a -w json | sed 's/.*"revision":\([0-9]*\).*/\1/')
    e put a 2 >/dev/null; e put b 3 >/dev/null; e put c 0 >/dev/null
    check "put --prev-kv" "OK a 2" "$(e put --prev-kv a 22 | xargs)"
    check "get prefix" "a 22 b 3 c 0" "$(e get --prefix "" | xargs)"
    check "get range" "a 22 b 3" "$(e get a c | xargs)"
    check "get from-key" "b 3 c 0" "$(e get --from-key b | xargs)"
    check "get limit" "a 22" "$(e get --prefix "" --limit=1 | xargs)"
    check "get sort by value" "c 0 a 22 b 3" "$(e get --prefix "" --sort-by=VALUE | xargs)"
    check "get sort descending" "c 0 b 3 a 22" "$(e get --prefix "" --order=DESCEND --sort-by=KEY | xargs)"
    check "get sort by revision" "b 3 c 0 a 22" "$(e get --prefix "" --sort-by=MODIFY | xargs)"
    check "get keys-only" "a b c" "$(e get --prefix "" --keys-only | xargs)"
    check "get old revision" "a 1" "$(e get a --rev="$base" | xargs)"
    check "get serializable" "a 22" "$(e get a --consistency=s | xargs)"
    e get a --rev=$((base + 1000)); check "get future revision" "Error: etcdserver: mvcc: required revision is a future revision" "$(error)"
    e put "" x; check "put empty key" "Error: etcdserver: key is not provided" "$(error)"
    check "del" 1 "$(e del c)"
    check "del nothing" 0 "$(e del c)"
    check "del --prev-kv" "1 b 3" "$(e del --prev-kv b | xargs)"

    check "txn success" "SUCCESS OK a yes" "$(printf 'value("a") = "22"\n\nput a yes\nget a\n\nput a no\n\n' | e txn | xargs)"
    check "txn failure" "FAILURE 1" "$(printf 'mod("a") = "1"\n\nput a x\n\ndel a\n\n' | e txn | xargs)"
    printf '\nput d 1\nput d 2\n\n\n' | e txn; check "txn duplicate" "Error: etcdserver: duplicate key given in txn request" "$(error)"

    local wrev watched
    wrev=$(($(e put w/1 a -w json | sed 's/.*"revision":\([0-9]*\).*/\1/')))
    e put w/1 b >/dev/null; e del w/1 >/dev/null
    : >"$dir/watch" # now, and not when the next process has begun: what an earlier watch wrote would be waited for
    etcdctl --endpoints "$ep" watch --prefix w/ --rev="$wrev" >"$dir/watch" & watched=$!
    until_ok grep -q DELETE "$dir/watch"
    e put w/2 live >/dev/null
    until_ok grep -q live "$dir/watch"
    kill $watched; wait $watched 2>/dev/null
    check "watch: history, then live" "PUT w/1 a PUT w/1 b DELETE w/1 PUT w/2 live" "$(xargs <"$dir/watch")"
    : >"$dir/watch-prev"
    etcdctl --endpoints "$ep" watch --prefix w/ --prev-kv --rev=$((wrev + 1)) >"$dir/watch-prev" & watched=$!
    until_ok grep -q live "$dir/watch-prev"
    kill $watched; wait $watched 2>/dev/null
    check "watch --prev-kv" "PUT w/1 a w/1 b DELETE w/1 b w/1 PUT w/2 live" "$(xargs <"$dir/watch-prev")"

    local lease
    lease=$(e lease grant 100 | awk '{print $2}')
    check "put with a lease" OK "$(e put --lease="$lease" leased v)"
    check "lease timetolive" "attached keys([leased])" "$(e lease timetolive --keys "$lease" | grep -o 'attached.*')"
    check "lease keep-alive" "keepalived with TTL(100)" "$(e lease keep-alive --once "$lease" | cut -d' ' -f3-)"
    check "lease list" "$lease" "$(e lease list | grep "$lease")"
    check "lease revoke" "lease $lease revoked" "$(e lease revoke "$lease")"
    check "its key is gone" "" "$(e get leased)"
    e lease revoke "$lease"; check "revoke again" "Error: failed to revoke lease (etcdserver: requested lease not found)" "$(error)"
    check "timetolive of none" "lease $lease already expired" "$(e lease timetolive "$lease")"
    lease=$(e lease grant 1 | awk '{print $2}')
    e put --lease="$lease" short v >/dev/null
    until_ok bash -c "[ -z \"\$(etcdctl --endpoints $ep get short)\" ]" && check "a lease expires" 0 0

    check "compaction" "compacted revision $((wrev + 1))" "$(e compaction $((wrev + 1)))"
    e get a --rev="$wrev"; check "get compacted" "Error: etcdserver: mvcc: required revision has been compacted" "$(error)"
    e compaction "$wrev"; check "compact again" "Error: etcdserver: mvcc: required revision has been compacted" "$(error)"
    timeout 60 etcdctl --endpoints "$ep" watch w/1 --rev="$wrev" 2>"$dir/err" >/dev/null
    check "watch compacted" "watch was canceled (etcdserver: mvcc: required revision has been compacted)" "$(error)"
    check "endpoint status" "3.6.0" "$(e endpoint status | cut -d, -f3 | xargs)"
    check "endpoint health" 0 "$(e endpoint health; echo $?)"
    check "member list" started "$(e member list | head -1 | cut -d, -f2 | xargs)"
    head -c 1700000 /dev/zero | tr '\0' x | e put big; check "too large" "Error: etcdserver: request is too large" "$(error)"
    head -c 1000000 /dev/zero | tr '\0' x | e put big >/dev/null
    check "a large value" 1000001 "$(e get big --print-value-only | wc -c)"
    for i in $(seq 200); do echo "put many/$i $(printf 'v%.0s' $(seq 2000))"; done | split -l 100 - "$dir/puts"
    for f in "$dir"/puts*; do (echo; cat "$f"; echo; echo) | e txn >/dev/null; done
    check "a large range" 200 "$(e get --prefix many/ --keys-only | grep -c many)"
    check "its count" '"Count" : 200' "$(e get --prefix many/ -w fields | grep Count)"
    check "its count under a limit" '"More" : true"Count" : 200' "$(e get --prefix many/ --limit=2 -w fields | grep -E 'More|Count' | tr -d '\n')"
}

# A server that hangs up once and then says nothing: the last try has only its deadline to tell of.
says_why_it_was_late() {
    local server
    python3 - >"$dir/silent" <<'PY' &
import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
s.accept()[0].close()
held = [s.accept() for _ in range(9)]
PY
    server=$!
    until_ok grep -q . "$dir/silent"
    "$bin/c8s" kv get --endpoints "127.0.0.1:$(cat "$dir/silent")" --command-timeout 3s k 2>"$dir/err"
    check "late after a lost connection" 1 $?
    check "  says why" 2 "$(grep -cE '^(c8s kv: .*(closed|reset|Broken pipe)|Error: context deadline exceeded)' "$dir/err")"
    kill $server; wait $server 2>/dev/null
}

normalize() { sed -E 's/"(revision|raft_term)":[0-9]+/"\1":N/g'; }
# Some of `c8s kv` through this cluster; kv_cli_test.py holds all of it against etcdctl.
try_kv() {
    local ep=$1
    etcdctl --endpoints "$ep" del --prefix "" >/dev/null
    "$bin/c8s" kv put --endpoints "$ep" k v >/dev/null
    check "put with c8s" "OK" "$("$bin/c8s" kv put --endpoints "$ep" key value)"
    check "put from standard input" "line" "$(printf line | "$bin/c8s" kv put --endpoints "$ep" key >/dev/null; etcdctl --endpoints "$ep" get key --print-value-only)"
    check "put -w json" "$(etcdctl --endpoints "$ep" put z 1 -w json | normalize)" "$("$bin/c8s" kv put --endpoints "$ep" z 1 -w json | normalize)"
    check "del --prev-kv" "1 key line" "$("$bin/c8s" kv del --endpoints "$ep" key --prev-kv | xargs)"
    check "get --count-only -w fields" '"Count" : 2' "$("$bin/c8s" kv get --endpoints "$ep" --prefix "" --count-only -w fields | grep Count)"
    check "no argument" 128 "$("$bin/c8s" kv get --endpoints "$ep" 2>/dev/null; echo $?)"
    check "nobody listens" 1 "$("$bin/c8s" kv get --endpoints 127.0.0.1:1 --command-timeout 300ms k 2>/dev/null; echo $?)"
    says_why_it_was_late
    local watched
    : >"$dir/watch"
    "$bin/c8s" kv watch --endpoints "$ep" --prefix seen/ >"$dir/watch" & watched=$!
    until_ok bash -c "etcdctl --endpoints $ep put seen/1 x; grep -q seen/1 $dir/watch"
    kill $watched; wait $watched 2>/dev/null
    check "c8s kv watch" "PUT seen/1 x" "$(head -3 "$dir/watch" | xargs)"
    check "bench put" 0 "$("$bin/c8s" kv bench put --endpoints "$ep" --connections 4 --clients 40 --total 500 >/dev/null; echo $?)"
    check "bench range" 0 "$("$bin/c8s" kv bench range --endpoints "$ep" --connections 4 --clients 40 --total 500 >/dev/null; echo $?)"
}

certificate() { # ca name usage: name.crt and name.key by the CA
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/$2.key" -subj "/CN=$2" -out "$dir/$2.csr" 2>/dev/null
    openssl x509 -req -in "$dir/$2.csr" -CA "$dir/$1.crt" -CAkey "$dir/$1.key" -CAcreateserial -days 2 -out "$dir/$2.crt" \
        -extfile <(printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=%s' "$3") 2>/dev/null
}
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/$1.key" -out "$dir/$1.crt" -subj "/CN=$1" -days 2 2>/dev/null
}
over_tls() {
    local ep=127.0.0.1:$((port + 50)) good
    authority ca; authority otherca
    certificate ca srv serverAuth; certificate ca alice clientAuth; certificate otherca mallory clientAuth
    "$bin/c8s-apiserver" --store-only --name t --data-dir "$dir/datat" --listen-client-urls "https://$ep" \
        --advertise-client-urls "https://$ep" --cert-file "$dir/srv.crt" --key-file "$dir/srv.key" \
        --trusted-ca-file "$dir/ca.crt" --client-cert-auth >"$dir/log$((${#servers[@]} + 1))" 2>&1 &
    servers+=($!)
    good=(--endpoints "https://$ep" --cacert "$dir/ca.crt" --cert "$dir/alice.crt" --key "$dir/alice.key")
    until_ok etcdctl "${good[@]}" --command-timeout=5s get x || return
    check "tls: put" OK "$(etcdctl "${good[@]}" put a 1)"
    check "tls: c8s kv get" "a 1" "$("$bin/c8s" kv get "${good[@]}" a | xargs)"
    check "tls: no certificate" 1 "$("$bin/c8s" kv get --endpoints "https://$ep" --cacert "$dir/ca.crt" --command-timeout 1s a 2>/dev/null; echo $?)"
    check "tls: certificate of another CA" 1 "$("$bin/c8s" kv get --endpoints "https://$ep" --cacert "$dir/ca.crt" --cert "$dir/mallory.crt" --key "$dir/mallory.key" --command-timeout 1s a 2>/dev/null; echo $?)"
    check "tls: server of another CA" 1 "$("$bin/c8s" kv get "${good[@]}" --cacert "$dir/otherca.crt" --command-timeout 5s a 2>"$dir/err"; echo $?)"
    check "tls:   says so" 1 "$(grep -c certificate "$dir/err")"
    check "tls: /health" true "$(curl -s --cacert "$dir/ca.crt" --cert "$dir/alice.crt" --key "$dir/alice.key" "https://$ep/health" | grep -o true)"
}

# A watch must not hold a member up that is told to end.
stops_with_a_watch_open() {
    local ep=127.0.0.1:$((port + 51)) watched pid start
    "$bin/c8s-apiserver" --store-only --name w --data-dir "$dir/dataw" --listen-client-urls "http://$ep" \
        --advertise-client-urls "http://$ep" >"$dir/logw" 2>&1 &
    pid=$!
    until_ok etcdctl --endpoints "$ep" --command-timeout=5s get x || return
    : >"$dir/watch"
    "$bin/c8s" kv watch --endpoints "$ep" x >"$dir/watch" & watched=$!
    until_ok bash -c "etcdctl --endpoints $ep put x seen; grep -q seen $dir/watch"
    start=$(date +%s%N)
    kill "$pid"
    wait "$pid"
    check "SIGTERM with a watch open" 0 $?
    check "  within 10 s" 1 $((($(date +%s%N) - start) / 1000000 < 10000))
    kill "$watched"; wait "$watched" 2>/dev/null
}

for endpoint in ${endpoints//,/ }; do
    echo "--- etcdctl against $endpoint"
    run_all "$endpoint"
done
echo "--- c8s kv"
try_kv "${endpoints%%,*}"
echo "--- over TLS, with client certificates"
over_tls
stops_with_a_watch_open
finish
