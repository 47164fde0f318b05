#!/usr/bin/env bash
# API server: create, get and list over TLS, one member, everything on this machine: with wrk over HTTP/1.1 (a request
# at a time on each connection) and with h2load over HTTP/2 (many at a time on each of 16 connections).
#
#   bench/api.sh [BINARY [SECONDS [KUBE_APISERVER]]]     default: build/release/bin/c8s-apiserver, 5 s a load
#
# With a kube-apiserver (the third argument, or KUBE_APISERVER in the environment; tests/integration/get-kube-apiserver.sh
# builds one) the same loads then run against it with Debian's etcd: its CPU and memory are of both processes.
#
# For each load: requests a second, server CPU per request, latency or what was answered; memory before and after. With
# two servers a table of ratios follows. The last line is the figure: creates/s, gets/s, lists of 500/s, and over HTTP/2
# creates/s, gets/s, lists/s.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$(realpath "${1:-$root/build/release/bin/c8s-apiserver}")
seconds=${2:-5}
peer=${3:-${KUBE_APISERVER:-}}
[ -z "$peer" ] || peer=$(realpath "$peer")
dir=$(mktemp -d)
. "$root/tests/lib.sh"
reserve_ports
export TOKEN=bench-token BENCH_PATH=/ BENCH_ACCEPT=application/json
pids=()
stop() {
    for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
    for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
    pids=()
}
cleanup() {
    stop
    rm -rf "$dir"
}
trap cleanup EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/key" -out "$dir/crt" -days 2 \
    -subj /CN=bench -addext subjectAltName=IP:127.0.0.1 2>/dev/null
openssl genpkey -algorithm RSA -out "$dir/accounts" 2>/dev/null
echo "$TOKEN,bench,1,system:masters" >"$dir/tokens"
printf '{"metadata":{"generateName":"h"},"data":{"x":"%0900d"}}' 0 >"$dir/body"
# So many requests in flight that the load measures the server, not its refusals.
common=(--max-requests-inflight=2000 --max-mutating-requests-inflight=2000 --bind-address=127.0.0.1
    --tls-cert-file="$dir/crt" --tls-private-key-file="$dir/key" --token-auth-file="$dir/tokens")

start_c8s() {
    "$bin" "${common[@]}" --secure-port=$port --name=m1 --data-dir="$dir/store" \
        --listen-client-urls=http://127.0.0.1:$((port + 1)) --advertise-client-urls=http://127.0.0.1:$((port + 1)) >"$dir/log" 2>&1 &
    pids+=($!)
}
start_kube() {
    local client=http://127.0.0.1:$((port + 11)) peers=http://127.0.0.1:$((port + 12))
    etcd --name e1 --data-dir "$dir/etcd" --listen-client-urls $client --advertise-client-urls $client \
        --listen-peer-urls $peers --initial-advertise-peer-urls $peers --initial-cluster "e1=$peers" >"$dir/etcd.log" 2>&1 &
    pids+=($!)
    "$peer" "${common[@]}" --secure-port=$((port + 10)) --etcd-servers $client --authorization-mode=RBAC \
        --advertise-address=127.0.0.1 --cert-dir="$dir" --service-cluster-ip-range=10.0.0.0/16 --service-account-issuer=https://x \
        --service-account-key-file="$dir/accounts" --service-account-signing-key-file="$dir/accounts" \
        --disable-admission-plugins=ServiceAccount >"$dir/kube.log" 2>&1 &
    pids+=($!)
}

api() { curl -sk -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' "$@"; }
ready() { [ "$(api $url/readyz 2>/dev/null)" = ok ]; }
cpu_us() { for p in "${pids[@]}"; do cat /proc/"$p"/stat; done | awk '{s += ($14 + $15) * 10000} END {print s}'; }
memory() { for p in "${pids[@]}"; do cat /proc/"$p"/status; done | awk -v k="$1:" '$1 == k {s += $2} END {printf "%.1f", s / 1024}'; }
fill() { # the 500 objects that are listed
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
}

# What was measured: rate[SERVER LOAD] a second, cost[SERVER LOAD] in µs of server CPU.
declare -A rate cost
loads=()
note() { # LOAD REQUESTS BEFORE REMARK: REQUESTS were answered since the server had used BEFORE µs
    local key="$who $1"
    rate[$key]=${rate[$key]:-$(($2 / seconds))}
    cost[$key]=$(awk -v used=$(($(cpu_us) - $3)) -v n="$2" 'BEGIN {printf "%.1f", n ? used / n : 0}')
    [[ " ${loads[*]} " == *" $1 "* ]] || loads+=("$1")
    echo "$who, $1: ${rate[$key]}/s, ${cost[$key]} us server CPU each, $4"
}
wrk_load() { # LOAD SCRIPT CONNECTIONS
    local before out
    before=$(cpu_us)
    out=$(wrk -t2 -c"$3" -d"${seconds}s" -s "$2" $url 2>&1)
    rate["$who $1"]=$(sed -n 's/^Requests\/sec: *\([0-9]*\).*/\1/p' <<<"$out")
    note "$1" "$(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' <<<"$out")" "$before" "$(grep '^errors' <<<"$out")"
}
h2_load() { # LOAD STREAMS PATH [BODY_FILE]
    local before out
    before=$(cpu_us)
    out=$(h2load -t1 -c16 -m"$2" -D"$seconds" ${4:+-d "$4"} -H "authorization: Bearer $TOKEN" -H "accept: $BENCH_ACCEPT" \
        -H 'content-type: application/json' "$url$3")
    note "$1" "$(sed -n 's/^status codes: \([0-9]*\) 2xx.*/\1/p' <<<"$out")" "$before" "$(grep '^status codes' <<<"$out")"
}

# What was started at STARTED (ns) becomes ready, is loaded and stopped.
run() { # SERVER PORT LOG STARTED
    who=$1
    local items=/api/v1/namespaces/list/configmaps started=$4
    url=https://127.0.0.1:$2
    until ready; do
        sleep 0.01
        kill -0 "${pids[@]}" 2>/dev/null && [ $(($(date +%s) - started / 1000000000)) -lt 120 ] && continue
        tail -n 5 "$3"
        echo "FAIL $who does not become ready"
        exit 1
    done
    ready_ms[$who]=$((($(date +%s%N) - started) / 1000000))
    idle_mb[$who]=$(memory RssAnon)
    echo "$who: ready after ${ready_ms[$who]} ms, memory ${idle_mb[$who]} MB anonymous"
    api $url/api/v1/namespaces -d '{"metadata":{"name":"bench"}}' >/dev/null
    api $url/api/v1/namespaces -d '{"metadata":{"name":"list"}}' >/dev/null
    fill
    wrk_load create-1KB-wrk api_create.lua 64
    BENCH_PATH=$items/l7 wrk_load get-wrk api_read.lua 64
    BENCH_PATH=$items wrk_load list-500-JSON-wrk api_read.lua 16
    BENCH_ACCEPT=application/vnd.kubernetes.protobuf BENCH_PATH=$items wrk_load list-500-protobuf-wrk api_read.lua 16
    h2_load create-1KB-h2load 64 /api/v1/namespaces/bench/configmaps "$dir/body"
    h2_load get-h2load 64 $items/l7
    h2_load list-500-JSON-h2load 2 $items
    BENCH_ACCEPT=application/vnd.kubernetes.protobuf h2_load list-500-protobuf-h2load 2 $items
    echo "$who: memory after load: RssAnon $(memory RssAnon) MB, VmRSS $(memory VmRSS) MB"
    stop
}
declare -A ready_ms idle_mb
cd "$root/bench"
began=$(date +%s%N)
start_c8s
run c8s $port "$dir/log" "$began"
if [ -z "$peer" ]; then
    echo "no peer measured: name a kube-apiserver as third argument or in KUBE_APISERVER"
else
    began=$(date +%s%N)
    start_kube
    run kube $((port + 10)) "$dir/kube.log" "$began"
    ratio() { awk -v a="$1" -v b="$2" 'BEGIN {if (b > 0) printf "x%.3g", a / b; else printf "unknown (the peer answered nothing)"}'; }
    echo "c8s to kube-apiserver $("$peer" --version | sed 's/.* v//') with etcd:"
    echo "  ready after $(ratio ${ready_ms[c8s]} ${ready_ms[kube]}) the time, memory $(ratio ${idle_mb[c8s]} ${idle_mb[kube]})"
    for l in "${loads[@]}"; do
        echo "  $l: rate $(ratio ${rate[c8s $l]} ${rate[kube $l]}), CPU $(ratio ${cost[c8s $l]} ${cost[kube $l]})"
    done
fi
of() { echo "${rate[c8s $1]}"; }
echo "api: creates/s $(of create-1KB-wrk) gets/s $(of get-wrk) lists/s $(of list-500-JSON-wrk);" \
    "HTTP/2: creates/s $(of create-1KB-h2load) gets/s $(of get-h2load) lists/s $(of list-500-JSON-h2load)"
