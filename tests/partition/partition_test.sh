#!/bin/bash
# Three members, each in a network namespace, while clients put, get and compare-and-swap: the leader
# is cut off, then a follower, then the halves change every second. What the clients saw must be linearizable
# (so every acknowledged write is there at the end), and the store must go on between the cuts.
# With C8S_PARTITION_STALE_READS=1 the clients ask for serializable reads, and the test must fail.
# The cuts drop traffic between members only: clients keep talking to the member that is cut off.
. tests/lib.sh
[ "$(id -u)" = 0 ] || { echo "skipped: needs root for network namespaces"; exit 77; }
for tool in ip nft; do
    command -v $tool > /dev/null || { echo "skipped: needs $tool"; exit 77; }
done
BIN=${C8S_BIN:-build/release/bin}
LOAD=$BIN/../tests/partition_load
SECONDS_OF_LOAD=${C8S_PARTITION_SECONDS:-60}
id=$$
bridge=c8spb$((id % 10000))
net=10.$((id % 200 + 20)).77
dir=$(mktemp -d /tmp/c8s-partition.XXXXXX)
pids=()
load=

member_ns() { echo "c8spt-$id-$1"; }

cleanup() {
    [ -n "$load" ] && kill "$load" 2> /dev/null
    for p in "${pids[@]}"; do kill -9 "$p" 2> /dev/null; done
    wait 2> /dev/null
    for i in 1 2 3; do ip netns del "$(member_ns $i)" 2> /dev/null; done
    ip link del "$bridge" 2> /dev/null
    [ "$failed" -gt 0 ] && tail -n 15 "$dir"/*.log
    rm -rf "$dir"
}
trap cleanup EXIT

cluster=m1=http://$net.1:2380,m2=http://$net.2:2380,m3=http://$net.3:2380
urls="http://$net.1:2379 http://$net.2:2379 http://$net.3:2379"

network_up() {
    ip link add "$bridge" type bridge && ip addr add "$net.254/24" dev "$bridge" &&
        ip link set "$bridge" up || return 1
    for i in 1 2 3; do
        local ns
        ns=$(member_ns $i)
        ip netns add "$ns" && ip link add "c8sv$i-$((id % 10000))" type veth peer name eth0 netns "$ns" &&
            ip link set "c8sv$i-$((id % 10000))" master "$bridge" up &&
            ip -n "$ns" addr add "$net.$i/24" dev eth0 && ip -n "$ns" link set eth0 up &&
            ip -n "$ns" link set lo up || return 1
    done
}

start_member() {
    local i=$1
    ip netns exec "$(member_ns "$i")" "$BIN/c8s-apiserver" --store-only --name "m$i" \
        --data-dir "$dir/m$i" --listen-client-urls "http://$net.$i:2379" \
        --advertise-client-urls "http://$net.$i:2379" --listen-peer-urls "http://$net.$i:2380" \
        --initial-advertise-peer-urls "http://$net.$i:2380" --initial-cluster "$cluster" \
        --initial-cluster-token "partition-$id" >> "$dir/m$i.log" 2>&1 &
    pids+=($!)
}

# leader: 1, 2 or 3
leader() {
    local n
    n=$("$LOAD" leader $urls) && echo $((n + 1))
}

# The same, once there is one: after a stall of the machine they may be about to elect.
await_leader() {
    local l n
    for ((n = 0; n < 600; n++)); do
        l=$(leader 2> /dev/null) && { echo "$l"; return; }
        sleep 0.1
    done
    return 1
}

# cut A B: nothing passes between members A and B, in either direction
cut() {
    ip netns exec "$(member_ns "$1")" nft add rule inet cut in ip saddr "$net.$2" drop
    ip netns exec "$(member_ns "$1")" nft add rule inet cut out ip daddr "$net.$2" drop
}

heal() {
    local i
    for i in 1 2 3; do
        ip netns exec "$(member_ns $i)" nft -f - << RULES
table inet cut
delete table inet cut
table inet cut {
    chain in { type filter hook input priority 0; }
    chain out { type filter hook output priority 0; }
}
RULES
    done
}

isolate() {
    local other
    for other in 1 2 3; do [ "$other" = "$1" ] || cut "$1" "$other"; done
}

# A leader other than $1.
other_leader() {
    local l
    l=$(leader) && [ "$l" != "$1" ]
}

# Writes succeed on the member given.
writes() {
    timeout 3 env ETCDCTL_API=3 etcdctl --endpoints "http://$net.$1:2379" put probe "$RANDOM" > /dev/null 2>&1
}

# How many connections to peers member $1 has closed because they were silent.
given_up_by() {
    grep -c 'reason="peer is silent"' "$dir/m$1.log"
}

gave_up_more_than() {
    [ "$(given_up_by "$1")" -gt "$2" ]
}

check "namespaces and links" network_up
check "no cuts yet" heal
for i in 1 2 3; do start_member $i; done
check "a leader is elected" eventually 60 leader

"$LOAD" run "$SECONDS_OF_LOAD" $urls > "$dir/load.txt" 2>&1 &
load=$!
started=$SECONDS

first=$(await_leader)
isolate "$first"
check "leader $first cut off: another one leads" eventually 60 other_leader "$first"
check "the majority takes writes" eventually 60 writes $((first % 3 + 1))
sleep 4
heal
check "healed: the old leader takes writes" eventually 60 writes "$first"

now=$(await_leader)
minority=$((now % 3 + 1))
isolate "$minority"
sleep 4
check "follower $minority cut off: writes go on" eventually 60 writes "$now"
heal
check "healed: the follower takes writes" eventually 60 writes "$minority"

# gone without a word, with whatever was unflushed: the others' connections to it are half open, and it must remember
# what it has promised
now=$(await_leader)
other=$((now % 3 + 1))
given_up=$(given_up_by "$other")
isolate "$now"
kill -9 "${pids[$((now - 1))]}"
check "leader $now gone without a word: another one leads" eventually 60 other_leader "$now"
check "the others take writes" eventually 60 writes "$other"
check "a connection that is half open is given up" eventually 60 gave_up_more_than "$other" "$given_up"
heal
start_member "$now"
pids[now - 1]=${pids[3]}
unset "pids[3]"
check "started again: it takes writes" eventually 60 writes "$now"

# halves that flap: one member after the other alone, each change without a pause of peace
turn=0
while [ $((SECONDS - started)) -lt $((SECONDS_OF_LOAD - 8)) ]; do
    turn=$((turn + 1))
    heal
    isolate $((turn % 3 + 1))
    sleep 1.3
done
heal
check "flapped $turn times, healed: a leader is elected" eventually 60 leader
for i in 1 2 3; do check "healed: member $i takes writes" eventually 60 writes $i; done
wait "$load"
verdict=$?
load=
cat "$dir/load.txt"
check "what the clients saw is linearizable, and final reads agree" [ $verdict = 0 ]
check "enough was acknowledged to mean anything" grep -qE '^[0-9]{4,} operations acknowledged' "$dir/load.txt"
for i in 1 2 3; do check "member $i lived through it" kill -0 "${pids[$((i - 1))]}"; done
finish
