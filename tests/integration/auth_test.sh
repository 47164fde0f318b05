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

reserve_ports
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
        eventually 60 curl -sf -o /dev/null "http://127.0.0.1:$((port + i))/health" || { echo "FAIL a member does not start"; tail -20 "$dir/log$i"; exit 1; }
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
        case "$args" in *passwd*) printf 'newpw\n' | etcdctl --command-timeout=60s --endpoints "$ep" "$@" ;; *) etcdctl --command-timeout=60s --endpoints "$ep" "$@" </dev/null ;; esac 2>&1 |
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
    eventually 60 etcdctl --endpoints "$reference" endpoint status >/dev/null 2>&1
    eps=("127.0.0.1:$((port + 50))")
    run_commands >"$dir/theirs"
    kill $etcd
    wait $etcd
    check "the same answers, errors and exit codes as etcd's" diff "$dir/theirs" "$dir/ours"
fi

# --- a token made by one member is good on all of them at once; users over HTTP and JSON ---

for args in "user add root:rootpw" "role add root" "user grant-role root root" "auth enable"; do
    # shellcheck disable=SC2086
    check "$args" etcdctl --command-timeout=60s --endpoints "$endpoints" $args
done
root() { etcdctl --command-timeout=60s --endpoints "$endpoints" --user root:rootpw "$@" 2>&1; }
post() { curl -s --max-time 10 "http://${all[$1]}/v3/$2" -d "$3" "${@:4}"; }
token() { post "$1" auth/authenticate '{"name":"root","password":"rootpw"}' | sed -n 's/.*"token":"\([^"]*\)".*/\1/p'; }
key_a=$(printf a | base64)
check_output "nobody is refused over HTTP" 'user name is empty' post 0 kv/range "{\"key\":\"$key_a\"}"
for i in $(seq 0 $((members - 1))); do
    for k in $(seq 0 $((members - 1))); do
        check_output "a token of member $i on member $k" "\"key\":\"$key_a\"" \
            post "$k" kv/range "{\"key\":\"$key_a\"}" -H "Authorization: $(token "$i")"
    done
done
check_output "a made-up token" 'invalid auth token' post 0 kv/range "{\"key\":\"$key_a\"}" -H "Authorization: abc.7"
old=$(token 0)
check "another password" sh -c "printf 'newpw\\n' | etcdctl --endpoints $endpoints --user root:rootpw user passwd --interactive=false alice"
check_fails "the new one is good" 'permission denied' etcdctl --endpoints "$endpoints" --user alice:newpw put secret x
check_fails "the old one is not" 'authentication failed' etcdctl --endpoints "$endpoints" --user alice:alicepw get a
check_output "and others keep their tokens" "\"key\"" post 0 kv/range "{\"key\":\"$key_a\"}" -H "Authorization: $old"
check_output "status" '"enabled":true' post 0 auth/status '{}' -H "Authorization: $old"

# --- what an ordinary user may do with leases, and what only root may ---

check "role for the leases" root role add leases
root role grant-permission leases readwrite lk/ --prefix >/dev/null
root user grant-role alice leases >/dev/null
alice() { etcdctl --command-timeout=60s --endpoints "$endpoints" --user alice:newpw "$@" 2>&1; }
lease=$(alice lease grant 600 | awk '{ print $2 }')
check "put with a lease" alice put --lease="$lease" lk/1 x
check_output "its keys" 'lk/1' alice lease timetolive "$lease" --keys
root put --lease="$lease" other y >/dev/null
check_fails "a key of another's: no more keys of the lease" 'permission denied' alice lease timetolive "$lease" --keys
check_fails "nor its end" 'permission denied' alice lease revoke "$lease"
check_fails "nor more of it" 'permission denied' alice put --lease="$lease" lk/2 x
check "root may" root lease revoke "$lease"
check_fails "compaction" 'permission denied' alice compaction 2
check_fails "move-leader" 'permission denied|not leader' alice move-leader 1234
check "members are shown" alice member list
check_fails "but not to nobody" 'user name is empty' etcdctl --endpoints "$endpoints" member list
# A lock is a key below its name.
check_fails "a lock elsewhere" 'permission denied' alice lock elsewhere true

# A watch is asked for its permission when it begins, as etcd's: one that runs goes on when that is revoked.
watched() { grep -qx "$1" "$dir/watched"; }
etcdctl --endpoints "$endpoints" --user alice:newpw watch lk/ --prefix >"$dir/watched" 2>&1 &
watcher=$!
touch_key() { root put lk/w "$1" >/dev/null && watched "$1"; }
check "a watch with permission" eventually 60 touch_key before
root role revoke-permission leases lk/ --prefix >/dev/null
check "goes on when that is revoked" eventually 60 touch_key after
kill $watcher
wait $watcher 2>/dev/null
check_fails "a new one is refused" 'permission denied' timeout 60 etcdctl --endpoints "$endpoints" --user alice:newpw watch lk/ --prefix
root role grant-permission leases readwrite lk/ --prefix >/dev/null

# --- tokens end ---

stop_all
start --auth-token-ttl 1
mine() { post 0 kv/range "{\"key\":\"$key_a\"}" -H "Authorization: $1"; }
ended() { mine "$1" | grep -q 'invalid auth token'; }
old=$(token 0)
check_output "a token of a second" '"key"' mine "$old"
ended_unused() { sleep 1.5; ended "$1"; } # each use makes it good for longer
check "ends when nobody uses it" eventually 60 ended_unused "$old"
check_output "the next one is good" '"key"' mine "$(token 0)"

# --- JSON web tokens, in every kind of signature ---

stop_all
openssl genrsa -out "$dir/rsa.key" 2048 2>/dev/null
openssl rsa -in "$dir/rsa.key" -pubout -out "$dir/rsa.pub" 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out "$dir/ec.key"
openssl ec -in "$dir/ec.key" -pubout -out "$dir/ec.pub" 2>/dev/null
openssl genpkey -algorithm ed25519 -out "$dir/ed.key"
openssl pkey -in "$dir/ed.key" -pubout -out "$dir/ed.pub"
printf 'a secret of some length' >"$dir/hmac.key"
base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
hex() { od -An -v -tx1 "$1" 2>/dev/null | tr -d ' \n'; }
for spec in RS256:rsa PS512:rsa ES256:ec EdDSA:ed HS256:hmac; do
    [ "$members" = 1 ] || [ $spec = RS256:rsa ] || continue # one kind is enough there
    method=${spec%:*} name=${spec#*:}
    pub=,pub-key=$dir/$name.pub
    [ -e "$dir/$name.pub" ] || pub=
    start --auth-token "jwt$pub,priv-key=$dir/$name.key,sign-method=$method,ttl=10m"
    check "$method: authenticated" root get a
    check_fails "$method: a wrong password" 'authentication failed' etcdctl --endpoints "$endpoints" --user root:x get a
    jwt=$(token 0)
    check "$method: a token of three parts" test "$(tr -cd . <<<"$jwt")" = ..
    check_output "$method: shown to the last member" "\"key\"" \
        post $((members - 1)) kv/range "{\"key\":\"$key_a\"}" -H "Authorization: $jwt"
    check_output "$method: changed by one letter" 'invalid auth token' \
        post 0 kv/range "{\"key\":\"$key_a\"}" -H "Authorization: ${jwt%?????}AAAAA"
    # Whoever knows the public key must not make a token by taking it for a shared secret; nor without a signature.
    claims=$(cut -d. -f2 <<<"$jwt")
    secret=$dir/$name.pub
    [ -e "$secret" ] || secret=$dir/$name.key
    head=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url)
    made=$head.$claims.$(printf %s "$head.$claims" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(hex "$secret")" -binary | base64url)
    if [ "$method" = HS256 ]; then
        check_output "$method: made with the secret" '"key"' mine "$made"
    else
        check_output "$method: forged as HS256" 'invalid auth token' mine "$made"
    fi
    check_output "$method: forged as none" 'invalid auth token' mine "$(printf '{"alg":"none"}' | base64url).$claims."
    root role add "made-under-$method" >/dev/null
    check_output "$method: of before a change of the roles" 'revision of auth store is old' \
        post 0 kv/range "{\"key\":\"$key_a\"}" -H "Authorization: $jwt"
    stop_all
done
for wrong in "jwt,sign-method=RS256" "jwt,sign-method=none,priv-key=$dir/rsa.key" "jwt,sign-method=ES256,priv-key=$dir/rsa.key" \
    "jwt,sign-method=ES256,priv-key=$dir/ec.key,pub-key=$dir/rsa.pub" "other"; do
    check_fails "refused: --auth-token ${wrong//"$dir"\//}" 'auth-token' "$bin/c8s-apiserver" --store-only \
        --data-dir "$dir/none" --listen-client-urls http://127.0.0.1:0 --auth-token "$wrong"
done

# --- a certificate's common name is a user ---

if [ "$members" = 1 ]; then
    c() { # NAME: a certificate
        openssl req -newkey rsa:2048 -nodes -keyout "$dir/$1.key" -out "$dir/$1.csr" -subj "/CN=$1" 2>/dev/null
        openssl x509 -req -in "$dir/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 1 \
            -extfile <(echo "subjectAltName=IP:127.0.0.1") -out "$dir/$1.crt" 2>/dev/null
    }
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/ca.key" -out "$dir/ca.crt" -days 1 -subj /CN=ca 2>/dev/null
    c server && c root && c zoe && c stranger
    url=https://127.0.0.1:$((port + 1))
    "$bin/c8s-apiserver" --store-only --data-dir "$dir/tls" --listen-client-urls "$url" --advertise-client-urls "$url" \
        --cert-file "$dir/server.crt" --key-file "$dir/server.key" --trusted-ca-file "$dir/ca.crt" --client-cert-auth \
        --bcrypt-cost 4 >>"$dir/log1" 2>&1 &
    servers+=($!)
    as() { etcdctl --command-timeout=60s --endpoints "$url" --cacert "$dir/ca.crt" --cert "$dir/$1.crt" --key "$dir/$1.key" "${@:2}" 2>&1; }
    eventually 60 as root endpoint status >/dev/null
    { as root user add root --no-password; as root role add root; as root user grant-role root root
      as root user add zoe --no-password; as root role add z; as root role grant-permission z readwrite z --prefix
      as root user grant-role zoe z; } >/dev/null
    check "on, by certificate" as root auth enable
    check "root's certificate" as root put anything x
    check "zoe's, on what is hers" as zoe put z1 x
    check_fails "and on what is not" 'permission denied' as zoe get anything
    check_fails "of nobody known" 'permission denied' as stranger get z1
    as root user add pat:patpw >/dev/null
    check_fails "a token goes before a certificate" 'permission denied' as root --user pat:patpw get anything
    check_output "over HTTP a certificate is nobody" 'user name is empty' curl -s --cacert "$dir/ca.crt" \
        --cert "$dir/root.crt" --key "$dir/root.key" "$url/v3/kv/range" -d "{\"key\":\"$key_a\"}"
fi
finish
