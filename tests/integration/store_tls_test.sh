#!/bin/bash
# TLS of store clients and members: which certificates are refused, what the log says of it, versions, ciphers,
# revocation, and certificates renewed under a running cluster. Usage: store_tls_test.sh BIN_DIR
set -u
bin=${1:?directory of the executables}
cd "$(dirname "$0")/../.." || exit 1
. tests/lib.sh
command -v etcdctl >/dev/null || { echo "SKIP: etcdctl is not installed"; exit 77; }
dir=$(mktemp -d)
servers=()
export ETCDCTL_API=3
stop_all() {
    local pid
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${servers[@]}"; do wait "$pid" || { echo "FAIL a server ended with $?"; failed=$((failed + 1)); }; done
    servers=()
}
trap 'stop_all; rm -rf "$dir"' EXIT

ca() { # NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$dir/$1.key" -out "$dir/$1.crt" \
        -days 2 -subj "/CN=$1" 2>/dev/null
    mkdir -p "$dir/$1.db/new" && : >"$dir/$1.db/index" && echo 1000 >"$dir/$1.db/serial" && echo 01 >"$dir/$1.db/crlnumber"
    cat >"$dir/$1.conf" <<END
[ca]
default_ca = me
[me]
database = $dir/$1.db/index
serial = $dir/$1.db/serial
crlnumber = $dir/$1.db/crlnumber
new_certs_dir = $dir/$1.db/new
certificate = $dir/$1.crt
private_key = $dir/$1.key
default_md = sha256
default_days = 1
default_crl_days = 1
policy = any
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
END
}
cert() { # CA NAME USAGE [START END]: usage serverAuth, clientAuth or both
    local usage=$3
    [ "$usage" = both ] && usage=serverAuth,clientAuth
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$dir/$2.key.new" -out "$dir/$2.csr" \
        -subj "/CN=$2" 2>/dev/null
    openssl ca -batch -config "$dir/$1.conf" -in "$dir/$2.csr" -out "$dir/$2.crt.new" -notext ${4:+-startdate "$4" -enddate "$5"} \
        -extfile <(printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=%s\n' "$usage") 2>"$dir/openssl" ||
        { cat "$dir/openssl"; exit 1; }
    mv "$dir/$2.key.new" "$dir/$2.key"
    mv "$dir/$2.crt.new" "$dir/$2.crt"
}
crl() { openssl ca -config "$dir/$1.conf" -gencrl -out "$dir/$1.crl.new" 2>/dev/null && mv "$dir/$1.crl.new" "$dir/$1.crl"; }
ca good
ca other
cert good server both
cert good client clientAuth
cert good revoked clientAuth
cert good serveronly serverAuth
cert good expired clientAuth 20200101000000Z 20210101000000Z
cert good future clientAuth 20400101000000Z 20410101000000Z
cert other foreign clientAuth
crl good

reserve_ports
cluster='' endpoints=''
for i in 1 2 3; do
    cluster+=${cluster:+,}m$i=https://127.0.0.1:$((port + 10 + i))
    endpoints+=${endpoints:+,}https://127.0.0.1:$((port + i))
    cp "$dir/server.crt" "$dir/peer$i.crt"
    cp "$dir/server.key" "$dir/peer$i.key"
done
start() { # MEMBER FLAGS…
    local i=$1
    "$bin/c8s-apiserver" --store-only --name "m$i" --data-dir "$dir/data$i" --initial-cluster "$cluster" \
        --listen-client-urls "https://127.0.0.1:$((port + i))" --advertise-client-urls "https://127.0.0.1:$((port + i))" \
        --listen-peer-urls "https://127.0.0.1:$((port + 10 + i))" --initial-advertise-peer-urls "https://127.0.0.1:$((port + 10 + i))" \
        --cert-file "$dir/server.crt" --key-file "$dir/server.key" --trusted-ca-file "$dir/good.crt" --client-cert-auth \
        --client-crl-file "$dir/good.crl" --peer-cert-file "$dir/peer$i.crt" --peer-key-file "$dir/peer$i.key" \
        --peer-trusted-ca-file "$dir/good.crt" --peer-client-cert-auth --peer-crl-file "$dir/good.crl" "${@:2}" >>"$dir/log$i" 2>&1 &
    servers+=($!)
}
for i in 1 2 3; do start $i; done
as() { # CERTIFICATE ENDPOINT ARGS…
    etcdctl --endpoints "$2" --cacert "$dir/good.crt" --cert "$dir/$1.crt" --key "$dir/$1.key" --command-timeout=30s \
        --dial-timeout=10s "${@:3}" 2>&1
}
first=https://127.0.0.1:$((port + 1))
last=https://127.0.0.1:$((port + 3))
check "three members over TLS" eventually 60 as client "$endpoints" put a 1
logged() { grep -qE "$2" "$dir/log$1"; }
# CERTIFICATE is refused, and the log says WHY; again, when the client gave up before it was heard.
refused_why() { ! as "$1" "$first" --dial-timeout=500ms --command-timeout=500ms get a >/dev/null && logged 1 "refused.*($2)"; }

# --- certificates that are refused, each for its own reason in the log ---
check "a good one before it is revoked" as revoked "$first" get a
for bad in "expired:certificate has expired" "future:certificate is not yet valid" "foreign:unable to get local issuer|self-signed|unknown ca" "serveronly:unsuitable certificate purpose|unsupported"; do
    name=${bad%%:*}
    check "refused, and why, in the log: $name" eventually 60 refused_why "$name" "${bad#*:}"
done
check_fails "refused: none" '.' etcdctl --endpoints "$first" --cacert "$dir/good.crt" --dial-timeout=500ms --command-timeout=500ms get a
check "and why, in the log: none" eventually 60 logged 1 'refused.*(did not return|certificate required|no certificate)'
# The same on the members' port, where the answer to a handshake of TLS 1.3 comes after it.
peer_hello() { (sleep 0.3) | openssl s_client -connect "127.0.0.1:$((port + 11))" -CAfile "$dir/good.crt" -cert "$dir/$1.crt" -key "$dir/$1.key" 2>&1; }
peer_refused_why() { peer_hello "$1" >/dev/null; logged 1 "module=raft.*refused.*($2)"; }
for bad in "expired:certificate has expired" "serveronly:unsuitable certificate purpose|unsupported"; do
    name=${bad%%:*}
    check "members refuse, and say why: $name" eventually 60 peer_refused_why "$name" "${bad#*:}"
done
openssl ca -config "$dir/good.conf" -revoke "$dir/revoked.crt" 2>/dev/null
crl good
check "revoked while the server runs" eventually 60 refused_why revoked 'certificate revoked'
check "others are not" as client "$first" get a

# --- versions and ciphers ---
handshake() { openssl s_client -connect "127.0.0.1:$((port + 1))" -CAfile "$dir/good.crt" -cert "$dir/client.crt" -key "$dir/client.key" "$@" </dev/null 2>&1; }
check_output "TLS 1.3" 'TLSv1.3' handshake -tls1_3
check_output "TLS 1.2" 'TLSv1.2' handshake -tls1_2
check_fails "not 1.1" '.' handshake -tls1_1 -cipher ALL@SECLEVEL=0
kill "${servers[0]}"; wait "${servers[0]}"
servers=("${servers[@]:1}")
start 1 --tls-min-version TLS1.2 --tls-max-version TLS1.2 --cipher-suites TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
check "with one cipher suite" eventually 60 as client "$first" put a 2
check_fails "TLS 1.3 is off" '.' handshake -tls1_3
check_output "the suite is used" 'ECDHE-ECDSA-AES256-GCM-SHA384' handshake -tls1_2
check_fails "and no other" '.' handshake -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256
for wrong in "--cipher-suites TLS_RSA_WITH_RC4_128_SHA" "--tls-min-version TLS1.4" "--tls-min-version TLS1.3 --tls-max-version TLS1.2" "--client-crl-file /nonexistent"; do
    # shellcheck disable=SC2086
    check_fails "refused: $wrong" '.' timeout 60 "$bin/c8s-apiserver" --store-only --data-dir "$dir/none" --listen-client-urls \
        https://127.0.0.1:0 --cert-file "$dir/server.crt" --key-file "$dir/server.key" --trusted-ca-file "$dir/good.crt" $wrong
done

# --- renewed without a restart: both listeners, and the members' own connections ---
serial() { openssl s_client -connect "$1" -CAfile "$dir/good.crt" -cert "$dir/client.crt" -key "$dir/client.key" </dev/null 2>/dev/null |
    openssl x509 -noout -serial; }
cp "$dir/server.crt" "$dir/old.crt"
cert good server both
new=$(openssl x509 -noout -serial -in "$dir/server.crt")
check "clients see the new certificate" eventually 60 outputs "$new" serial "127.0.0.1:$((port + 3))"
check "and are served" as client "$last" put a 3
for i in 1 2 3; do cp "$dir/server.key" "$dir/peer$i.key" && cp "$dir/server.crt" "$dir/peer$i.crt"; done
check "members show theirs" eventually 60 outputs "$new" serial "127.0.0.1:$((port + 13))"
# A broken file leaves the old certificate in use.
echo rubbish >"$dir/peer3.crt"
sleep 1.2 # so long a look at the files is good for
check "a broken file changes nothing" eventually 60 outputs "$new" serial "127.0.0.1:$((port + 13))"
check "and is complained about" eventually 60 logged 3 'cannot read the new certificates'
cp "$dir/server.crt" "$dir/peer3.crt"
# The old ones are revoked: members connect anew with the new ones only.
kill "${servers[1]}"; wait "${servers[1]}"
servers=("${servers[0]}" "${servers[2]}")
openssl ca -config "$dir/good.conf" -revoke "$dir/old.crt" 2>/dev/null
crl good
start 3
check "a member comes back with its new certificate" eventually 60 as client "$last" put a 4
check "and has what the others have" outputs "$(printf 'a\n4')" as client "$last" get a
finish
