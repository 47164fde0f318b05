#!/bin/bash
# Users, roles and permissions, driven by Debian's etcdctl. Usage: auth_test.sh BIN_DIR [MEMBERS]
#
# A list of commands is run against MEMBERS (default 1) members of c8s, going round them, and against
# Debian's etcd: the same answers, errors and exit codes are wanted. Then what etcd 3.4 does not have.
set -u
bin=${1:?directory of the executables}
members=${2:-1}
cd "$(dirname "$0")/../.." || exit 1
. tests/lib.sh
command -v etcdctl >/dev/null || { echo "SKIP: etcdctl is not installed"; exit 77; }
dir=$(mktemp -d)
servers=()
export ETCDCTL_API=3
unset ETCDCTL_ENDPOINTS ETCDCTL_USER

stop_all() {
    local pid
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${servers[@]}"; do wait "$pid" || { echo "FAIL a server ended with $?"; failed=$((failed + 1)); }; done
    servers=()
}
trap 'stop_all; [ -n "${KEEP:-}" ] && cp -r "$dir" "$KEEP"; rm -rf "$dir"' EXIT

port=$((20000 + RANDOM % 10000))
cluster='' all=()
for i in $(seq "$members"); do
    cluster+=${cluster:+,}s$i=http://127.0.0.1:$((port + 100 + i))
    all+=("127.0.0.1:$((port + i))")
done
endpoints=$(IFS=,; echo "${all[*]}")
start() { # EXTRA_FLAGS…: the members
    local i peer client
    for i in $(seq "$members"); do
        peer=http://127.0.0.1:$((port + 100 + i)) client=http://127.0.0.1:$((port + i))
        "$bin/c8s-apiserver" --store-only --name "s$i" --data-dir "$dir/data$i" --listen-client-urls "$client" \
            --advertise-client-urls "$client" --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
            --initial-cluster "$cluster" --bcrypt-cost 4 "$@" >>"$dir/log$i" 2>&1 &
        servers+=($!)
    done
    for i in $(seq "$members"); do
        eventually 30 etcdctl --endpoints "127.0.0.1:$((port + i))" --command-timeout=1s endpoint status \
            >/dev/null 2>&1 || { echo "FAIL a member does not start"; tail -20 "$dir/log$i"; exit 1; }
    done
}
start

# One line a command: "USER:PASSWORD ARGS…" or "- ARGS…".
commands() {
    cat <<'END'
- auth enable
- user add root:rootpw
- user list
- role list
- user grant-role root root
- role add root
- user grant-role root root
- user grant-role root root
- user add alice:alicepw
- user add alice:again
- user add bob:bobpw
- user add carol --no-password
- user get alice
- user get nobody
- user grant-role alice readers
- role add readers
- role add readers
- role add writers
- role add
- role get readers
- role get none
- role grant-permission readers read /pub/ --prefix
- role grant-permission readers readwrite /one
- role grant-permission readers read a c
- role grant-permission readers read c e
- role grant-permission readers read x --from-key
- role grant-permission none read k
- role get readers
- role grant-permission writers write /pub/ --prefix
- role get writers
- user grant-role alice readers
- user grant-role nobody readers
- user grant-role bob writers
- user get alice
- user get alice --detail
- role list
- user list
- put /pub/1 p1
- put /one o1
- put a va
- put b vb
- put d vd
- put z vz
- put secret s
- auth enable
- auth enable
- get a
- put a x
- del a
- user list
alice:wrong get a
nobody:x get a
carol:x get a
alice:alicepw get a
alice:alicepw get secret
alice:alicepw get a e
alice:alicepw get a f
alice:alicepw get --prefix /pub/
alice:alicepw get --prefix /pu
alice:alicepw get --from-key x
alice:alicepw get --from-key w
alice:alicepw put a x
alice:alicepw put /one o2
alice:alicepw put /one o3 --prev-kv
alice:alicepw put /pub/1 x
bob:bobpw put /pub/1 p2
bob:bobpw put /pub/1 p3 --prev-kv
bob:bobpw get /pub/1
bob:bobpw del /pub/1
bob:bobpw put /pub/1 p4
bob:bobpw del --prefix /pub
bob:bobpw del --prefix /pub/ --prev-kv
bob:bobpw user list
bob:bobpw user get bob
bob:bobpw user get alice
bob:bobpw role get writers
bob:bobpw role get readers
bob:bobpw role list
bob:bobpw user add eve:x
bob:bobpw auth disable
bob:bobpw user passwd --interactive=false bob
root:rootpw get --prefix /pub/
root:rootpw get secret
root:rootpw user list
root:rootpw user delete root
root:rootpw role delete root
root:rootpw user revoke-role root root
root:rootpw role revoke-permission readers /nothing
root:rootpw role revoke-permission readers c e
root:rootpw role get readers
alice:alicepw get a e
alice:alicepw get a c
root:rootpw role revoke-permission readers /pub/ --prefix
alice:alicepw get --prefix /pub/
root:rootpw user revoke-role alice writers
root:rootpw user revoke-role alice readers
root:rootpw user revoke-role nobody readers
alice:alicepw get a
root:rootpw user grant-role alice readers
alice:alicepw get a
root:rootpw role delete readers
root:rootpw role delete readers
root:rootpw user get alice
alice:alicepw get a
root:rootpw user delete bob
bob:bobpw get /pub/1
root:rootpw role grant-permission writers readwrite k
root:rootpw role grant-permission writers read k
root:rootpw role get writers
root:rootpw auth disable
- auth disable
- get a
- user delete root
- role delete root
- auth enable
END
}
run_commands() { # PREFIX ENDPOINT…
    local n=0 user args ep
    shift
    while read -r user args; do
        ep=${eps[n++ % ${#eps[@]}]}
        # shellcheck disable=SC2086
        if [ "$user" = - ]; then set -- $args; else set -- --user "$user" $args; fi
        echo "\$ $*"
        # etcdctl asks for the new password on a terminal only without --interactive=false
        case "$args" in *passwd*) printf 'newpw\n' | etcdctl --endpoints "$ep" "$@" ;; *) etcdctl --endpoints "$ep" "$@" </dev/null ;; esac 2>&1 |
            grep -v '^{"level"' | sed -E 's/^Error: rpc error: code = [A-Za-z]+ desc = /Error: /'
        echo "exit ${PIPESTATUS[0]}"
    done < <(commands)
}
eps=("${all[@]}")
run_commands >"$dir/ours"
check "commands were understood" test "$(grep -c '^exit 0' "$dir/ours")" -gt 50

if command -v etcd >/dev/null; then
    reference=http://127.0.0.1:$((port + 50))
    etcd --data-dir "$dir/etcd" --listen-client-urls "$reference" --advertise-client-urls "$reference" \
        --listen-peer-urls "http://127.0.0.1:$((port + 51))" --bcrypt-cost 4 >"$dir/etcd.log" 2>&1 &
    etcd=$!
    eventually 30 etcdctl --endpoints "$reference" endpoint status >/dev/null 2>&1
    eps=("127.0.0.1:$((port + 50))")
    run_commands >"$dir/theirs"
    kill $etcd
    wait $etcd
    check "the same answers, errors and exit codes as etcd's" diff "$dir/theirs" "$dir/ours"
fi
finish
