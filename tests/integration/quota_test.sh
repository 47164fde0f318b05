#!/bin/bash
# The space quota with Debian's etcdctl, as its manual describes the way back: the alarm NOSPACE is raised, puts are
# refused on every member, then compact, defrag, disarm, and puts are taken again. And compaction by itself, by its
# flags. Usage: quota_test.sh BIN_DIR MEMBERS
set -u
bin=${1:?directory of the executables}
members=${2:-1}
. "$(dirname "$0")/../lib.sh"
command -v etcdctl >/dev/null || { echo "SKIP: etcdctl is not installed"; exit 77; }
dir=$(mktemp -d)
export ETCDCTL_API=3
unset ETCDCTL_ENDPOINTS
pids=()
trap 'for p in "${pids[@]}"; do kill "$p" 2>/dev/null; wait "$p" 2>/dev/null; done; rm -rf "$dir"' EXIT
reserve_ports
cluster= endpoints=
for i in $(seq "$members"); do
    cluster+=${cluster:+,}s$i=http://127.0.0.1:$((port + 100 + i))
    endpoints+=${endpoints:+,}127.0.0.1:$((port + i))
done
for i in $(seq "$members"); do
    peer=http://127.0.0.1:$((port + 100 + i)) client=http://127.0.0.1:$((port + i))
    "$bin/c8s-apiserver" --store-only --name "s$i" --data-dir "$dir/data$i" --listen-client-urls "$client" \
        --advertise-client-urls "$client" --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "$cluster" --quota-backend-bytes $((12 << 20)) --auto-compaction-mode periodic \
        --auto-compaction-retention "${RETENTION:-1h}" >"$dir/log$i" 2>&1 &
    pids+=($!)
done
ctl() { etcdctl --endpoints "$endpoints" --command-timeout=60s "$@" 2>"$dir/err"; }
field() { ctl endpoint status -w json | tr ',{' '\n\n' | sed -n "s/\"$1\"://p" | tr -d '}]'; }
revision() { ctl get nothing -w json | sed 's/.*"revision":\([0-9]*\).*/\1/'; }
check "it serves" eventually 60 ctl put first 1

head -c 200000 /dev/urandom | base64 -w0 >"$dir/big"
for i in $(seq 200); do
    ctl put big <"$dir/big" >/dev/null || break
done
check "puts are refused" grep -q "etcdserver: mvcc: database space exceeded" "$dir/err"
check_output "the alarm is raised" "alarm:NOSPACE" eventually 60 ctl alarm list
check "status says so" eventually 60 output_matches "NOSPACE" ctl endpoint status
for i in $(seq "$members"); do
    check_fails "member $i refuses" "database space exceeded" etcdctl --endpoints "127.0.0.1:$((port + i))" put x 1
    check_output "member $i is unhealthy" "ALARM|NOSPACE|false" curl -s "http://127.0.0.1:$((port + i))/health"
    check_output "but not without the alarm" '"health":"true"' \
        curl -s "http://127.0.0.1:$((port + i))/health?exclude=NOSPACE"
done
check "reads go on" ctl get first
check "deletes go on" ctl del first
before=$(field dbSize | sort -n | tail -1)
check "compact" ctl compact "$(revision)" --physical
check "defrag" ctl defrag
after=$(field dbSize | sort -n | tail -1)
check "the file has shrunk on every member: $before to $after" test "$after" -lt $((before * 2 / 3))
check_fails "the alarm stays until it is disarmed" "database space exceeded" etcdctl --endpoints "${endpoints%%,*}" put x 1
check_output "disarm" "NOSPACE" ctl alarm disarm
check "no alarm is left" eventually 60 outputs "" ctl alarm list
check "puts are taken" eventually 60 ctl put x 1
check_output "healthy again" '"health":"true"' curl -s "http://127.0.0.1:$((port + 1))/health"

# Compaction by itself is a flag.
check_fails "a retention that is none" "auto-compaction-retention" timeout 60 "$bin/c8s-apiserver" --store-only \
    --data-dir "$dir/none" --auto-compaction-retention soon
check_fails "a mode that there is not" "auto-compaction-mode" timeout 60 "$bin/c8s-apiserver" --store-only \
    --data-dir "$dir/none" --auto-compaction-mode sometimes
for p in "${pids[@]}"; do kill "$p"; wait "$p" 2>/dev/null; done
pids=()
client=http://127.0.0.1:$((port + 50))
"$bin/c8s-apiserver" --store-only --data-dir "$dir/auto" --listen-client-urls "$client" --advertise-client-urls "$client" \
    --auto-compaction-retention 2s >"$dir/log-auto" 2>&1 &
pids+=($!)
endpoints=127.0.0.1:$((port + 50))
check "a store that compacts every two seconds" eventually 60 ctl put a 1
for i in 1 2 3 4 5; do ctl put a $i >/dev/null; done
rev=$(revision)
compacted() { ! ctl get a --rev=$((rev - 1)) && grep -q compacted "$dir/err"; }
check "history is compacted" eventually 60 compacted
check "and says so" grep -q "history compacted by itself" "$dir/log-auto"
finish
