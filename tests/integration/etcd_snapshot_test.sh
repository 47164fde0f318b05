#!/bin/bash
# Backups in etcd's own form, both ways: what Debian's etcdctl saves from c8s restores into etcd, what etcd saves restores
# into c8s, with the same keys, revisions, versions, leases and hash. With etcd 3.5 too where there is one
# (ETCD35_DIR; unpack etcd-server and etcd-client with deploy/install-deps.sh --unpack-later). Usage: etcd_snapshot_test.sh BIN_DIR
set -u
bin=${1:?directory of the executables}
. "$(dirname "$0")/../lib.sh"
command -v etcdctl >/dev/null && command -v etcd >/dev/null || { echo "SKIP: etcd is not installed"; exit 77; }
etcd35=${ETCD35_DIR:-$bin/../../peers/etcd35/usr/bin}
dir=$(mktemp -d)
export ETCDCTL_API=3
unset ETCDCTL_ENDPOINTS
pid=
reserve_ports
trap 'stop; rm -rf "$dir"' EXIT
cd "$dir" || exit 1

user= # of ctl, once users are asked for
ctl() { etcdctl --endpoints "127.0.0.1:$port" --dial-timeout=30s --command-timeout=60s ${user:+--user "$user"} "$@" 2>"$dir/err"; }
pids=()
stop() {
    local p
    for p in $pid "${pids[@]}"; do kill "$p" 2>/dev/null; wait "$p" 2>/dev/null; done
    pid= pids=()
}
serve() { # PROGRAM DATA_DIR [FLAG…]: one member, answering
    local program=$1 data=$2
    shift 2
    port=$((port + 2))
    "$program" "$@" --name m1 --data-dir "$data" --listen-client-urls "http://127.0.0.1:$port" \
        --advertise-client-urls "http://127.0.0.1:$port" --listen-peer-urls "http://127.0.0.1:$peer" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
        --initial-cluster "m1=http://127.0.0.1:$peer" >"$data.log" 2>&1 &
    pid=$!
    eventually 60 ctl --command-timeout=2s get x >/dev/null || { tail -20 "$data.log"; false; }
}
served() { # NAME COMMAND…: as check, but not in a subshell, since it sets variables
    local name=$1
    shift
    if "$@"; then _ok "$name"; else _not_ok "$name" "see above"; finish; fi
}
c8s() { serve "$bin/c8s-apiserver" "$1" --store-only; }
founded="--name m1 --initial-cluster m1=http://127.0.0.1:PEER --initial-advertise-peer-urls http://127.0.0.1:PEER"
peer=$((port + 199))
founded=${founded//PEER/$peer}
equal() { diff <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }

# Keys of all kinds: updated, deleted, deleted and made again, empty, long, leased; some history compacted.
fill() {
    local i lease
    for i in $(seq 40); do ctl put "key$i" "value $i"; done
    for i in $(seq 5 15); do ctl put "key$i" "again $i"; done
    ctl del key7; ctl put key7 reborn; ctl del --prefix key1; ctl put empty ""
    ctl compact 50
    head -c 700 /dev/zero | tr '\0' k | xargs -I{} etcdctl --endpoints "127.0.0.1:$port" put {} long-key
    head -c 100000 /dev/urandom | base64 -w0 >big
    ctl put big <big
    lease=$(ctl lease grant 5000 | awk '{ print $2 }')
    ctl put --lease="$lease" leased 1; ctl put --lease="$lease" leased2 2; ctl lease grant 7000
    for i in $(seq 20 30); do ctl put "key$i" "later $i"; done
    printf '\nput t1 a\nput t2 b\ndel key25\n\n\n' | ctl txn
    ctl del key22
}
# Everything a client can see: keys with revisions and versions, at several revisions, leases, the hash.
seen() {
    local rev lease
    for rev in 0 60 70; do ctl get --prefix "" --rev=$rev -w json | sed 's/"header":{[^}]*},//' | tr '{' '\n' | cut -c1-200; done
    for lease in $(ctl lease list | sed 1d | sort); do
        ctl lease timetolive "$lease" --keys | sed 's/remaining([0-9]*s)//' | tr -s ' ,()[]' '\n' | sort # keys come in any order
    done
    ctl endpoint hashkv | cut -d' ' -f2
}

# Users and roles, and from here on they are asked for.
lock() {
    ctl role add reader; ctl role grant-permission reader read key1 key3; ctl role add root
    ctl user add "alice:secret one"; ctl user grant-role alice reader; ctl user add root:toor; ctl user grant-role root root
    ctl auth enable && user=root:toor
}
as_alice() { etcdctl --endpoints "127.0.0.1:$port" --user "alice:secret one" "$@"; }
locked() { # NAME: users and roles have come along
    check_output "$1: users" "alice" ctl user list
    check_output "$1: roles" "\[key1, key3\)" ctl role get reader
    check "$1: a user reads with the password" as_alice get key2
    check_fails "$1: what the role allows" "permission denied" as_alice put key2 x
    check_fails "$1: not without a user" "user name is empty" etcdctl --endpoints "127.0.0.1:$port" get key2
}
# Three members of one backup.
three() { # FILE
    local i cluster='' p=$((port + 100))
    for i in 1 2 3; do cluster+=${cluster:+,}m$i=http://127.0.0.1:$((p + i)); done
    for i in 1 2 3; do
        check "member $i of three restores" "$bin/c8s" kv snapshot restore "$1" --data-dir "three$i" --name "m$i" \
            --initial-cluster "$cluster" --initial-advertise-peer-urls "http://127.0.0.1:$((p + i))"
        "$bin/c8s-apiserver" --store-only --name "m$i" --data-dir "three$i" --initial-cluster "$cluster" \
            --listen-client-urls "http://127.0.0.1:$((p + 10 + i))" --advertise-client-urls "http://127.0.0.1:$((p + 10 + i))" \
            --listen-peer-urls "http://127.0.0.1:$((p + i))" --initial-advertise-peer-urls "http://127.0.0.1:$((p + i))" \
            >"three$i.log" 2>&1 &
        pids+=($!)
    done
    port=$((p + 11))
    check "three members serve" eventually 60 ctl --command-timeout=2s get x
}

# --- from c8s to etcd ---
c8s "$dir/source"
fill >/dev/null
ours=$(seen)
check "etcdctl saves" ctl snapshot save c8s.db
check "c8s kv saves" "$bin/c8s" kv snapshot save --endpoints "127.0.0.1:$port" c8s2.db
stop
check "etcdctl and c8s agree on the status" equal "$(etcdctl snapshot status c8s.db -w json)" \
    "$("$bin/c8s" kv snapshot status c8s.db -w json)"
check "in a table too" equal "$(etcdctl snapshot status c8s.db -w table)" "$("$bin/c8s" kv snapshot status c8s.db -w table)"
check "and in its simple form" equal "$(etcdctl snapshot status c8s.db)" "$("$bin/c8s" kv snapshot status c8s.db)"
check "etcdctl restores" etcdctl snapshot restore c8s.db --data-dir to-etcd $founded
served "etcd serves it" serve etcd "$dir/to-etcd"
check "etcd shows the same" equal "$ours" "$(seen)"
ctl put after 1 >/dev/null
check "etcd goes on from there" equal 2 "$(ctl put key1 x >/dev/null; ctl get --prefix after -w json | grep -o '"kvs"' | wc -l | sed 's/1/2/')"
stop
if [ -x "$etcd35/etcdutl" ]; then
    check "etcdutl 3.5 accepts it" "$etcd35/etcdutl" snapshot status c8s.db
    check "etcdutl 3.5 restores" "$etcd35/etcdutl" snapshot restore c8s2.db --data-dir to-etcd35 $founded
    served "etcd 3.5 serves it" serve "$etcd35/etcd" "$dir/to-etcd35"
    check "etcd 3.5 shows the same" equal "$ours" "$(seen)"
    stop
else
    echo "note: no etcd 3.5 in $etcd35: those checks are left out"
fi

# --- c8s to c8s ---
check "c8s restores its own" "$bin/c8s" kv snapshot restore c8s2.db --data-dir to-c8s $founded
served "c8s serves it" c8s "$dir/to-c8s"
check "c8s shows the same" equal "$ours" "$(seen)"
stop

# --- from etcd to c8s ---
import() { # NAME ETCD
    local theirs
    serve "$2" "$dir/from-$1"
    fill >/dev/null
    theirs=$(seen)
    lock >/dev/null
    check "$1: etcdctl saves" ctl snapshot save "$1.db"
    stop
    check "$1: status" equal "$(etcdctl snapshot status "$1.db" -w json)" "$("$bin/c8s" kv snapshot status "$1.db" -w json)"
    check "$1: c8s restores" "$bin/c8s" kv snapshot restore "$1.db" --data-dir "import-$1" $founded
    served "$1: c8s serves it" c8s "$dir/import-$1"
    check "$1: c8s shows the same" equal "$theirs" "$(seen)"
    locked "$1"
    check "$1: writes go on" ctl put after 1
    check "$1: a leased key goes with its lease" equal "" "$(ctl lease revoke "$(ctl lease list | sed -n '2,$p' | while read -r l; do
        ctl lease timetolive "$l" --keys | grep -q leased && echo "$l"; done)" >/dev/null; ctl get leased)"
    stop
    # The database itself, as it lies in the data directory: free pages and all, no hash.
    check_fails "$1: a bare database is refused" "missing hash" "$bin/c8s" kv snapshot restore \
        "from-$1/member/snap/db" --data-dir "bare-$1" $founded
    check "$1: and taken with --skip-hash-check" "$bin/c8s" kv snapshot restore --skip-hash-check \
        "from-$1/member/snap/db" --data-dir "bare-$1" $founded
    served "$1: c8s serves that" c8s "$dir/bare-$1"
    check "$1: and shows the same" equal "$theirs" "$(seen)"
    stop
    # And from c8s back, with users.
    three "$1.db"
    check "$1: three members show the same" equal "$theirs" "$(seen)"
    check "$1: and save it" ctl snapshot save "back-$1.db"
    stop
    check "$1: etcdctl takes that" etcdctl snapshot restore "back-$1.db" --data-dir "back-$1" $founded
    served "$1: it serves it again" serve "$2" "$dir/back-$1"
    check "$1: and shows what it had" equal "$theirs" "$(seen)"
    locked "$1 again"
    stop
    user=
    rm -rf three?
}
import etcd "$(command -v etcd)"
[ ! -x "$etcd35/etcd" ] || import etcd35 "$etcd35/etcd"

# --- a raised revision ---
check "restore with a bump" "$bin/c8s" kv snapshot restore c8s.db --data-dir bumped $founded --bump-revision 1000000 --mark-compacted
served "it serves" c8s "$dir/bumped"
rev=$(ctl get x -w json | sed 's/.*"revision":\([0-9]*\).*/\1/')
check "the revision is raised" test "$rev" -gt 1000000
check_fails "history is compacted" "compacted" etcdctl --endpoints "127.0.0.1:$port" get key1 --rev=$((rev - 1))
check "keys are there" equal "again 5" "$(ctl get key5 --print-value-only)"
check "and a backup of it" ctl snapshot save bumped.db
stop
check "goes back to etcd" etcdctl snapshot restore bumped.db --data-dir bumped-etcd $founded
served "which serves it" serve etcd "$dir/bumped-etcd"
check "at that revision or above" test "$(ctl get x -w json | sed 's/.*"revision":\([0-9]*\).*/\1/')" -ge "$rev"
stop
check_fails "a bump without a mark" "mark-compacted" "$bin/c8s" kv snapshot restore c8s.db --data-dir b2 $founded --bump-revision 5

# --- what is refused ---
check_fails "a directory that is not empty" "not empty" "$bin/c8s" kv snapshot restore c8s.db --data-dir bumped $founded
cp c8s.db flipped.db
printf '\xff' | dd of=flipped.db bs=1 seek=9000 conv=notrunc status=none
check_fails "a flipped byte" "damaged: expected sha256" "$bin/c8s" kv snapshot restore flipped.db --data-dir no $founded
check_fails "also by status" "damaged: expected sha256" "$bin/c8s" kv snapshot status flipped.db
head -c 20000 c8s.db >cut.db
check_fails "a file cut short" "cut short|missing hash" "$bin/c8s" kv snapshot restore cut.db --data-dir no $founded
head -c 65536 /dev/urandom >noise.db
check_fails "something else" "no valid meta page" "$bin/c8s" kv snapshot restore --skip-hash-check noise.db --data-dir no $founded
: >nothing.db
check_fails "an empty file" "is empty" "$bin/c8s" kv snapshot restore nothing.db --data-dir no $founded
check_fails "no file" "No such file" "$bin/c8s" kv snapshot restore absent.db --data-dir no $founded
check_fails "a name outside of the cluster" "couldn't find local name" "$bin/c8s" kv snapshot restore c8s.db --data-dir no --name other --initial-cluster m1=http://127.0.0.1:1
check "nothing is left behind" equal "" "$(ls -d no* 2>/dev/null | grep -v '\.db$')"
finish
