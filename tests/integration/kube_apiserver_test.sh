#!/usr/bin/env bash
# An unmodified kube-apiserver with a c8s store of three members in etcd's place.
#
#   tests/integration/kube_apiserver_test.sh KUBE_APISERVER KUBECTL
#
# get-kube-apiserver.sh builds the first (no distribution ships it; that is why CI does not run this),
# tests/e2e/get-kubectl.sh 22 fetches the second. C8S_BIN names our binaries (default: build/release/bin).
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
server=${1:?kube-apiserver} kubectl=${2:?kubectl}
bin=${C8S_BIN:-$here/../../build/release/bin}
work=$(mktemp -d)
pids=()
cleanup() {
    for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
    for p in "${pids[@]}"; do wait "$p" 2>/dev/null; done
    rm -rf "$work"
}
trap cleanup EXIT
reserve_ports
base=$port
members=3
cluster=
urls=

# ---- certificates: one CA for everything
pki() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$work/ca.key" -out "$work/ca.crt" -subj /CN=ca
    for name in store api client; do
        openssl req -newkey rsa:2048 -nodes -keyout "$work/$name.key" -out "$work/$name.csr" -subj "/O=system:masters/CN=$name"
        printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >"$work/ext"
        openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
            -extfile "$work/ext" -out "$work/$name.crt"
    done
}
pki 2>"$work/pki.log" || { cat "$work/pki.log"; exit 1; }

# ---- the store
for i in $(seq $members); do
    cluster+=${cluster:+,}m$i=https://127.0.0.1:$((base + 10 + i))
    urls+=${urls:+,}https://127.0.0.1:$((base + i))
done
member() { # NUMBER: start it; its pid in store[NUMBER]
    "$bin/c8s-apiserver" --store-only --name "m$1" --data-dir "$work/m$1" --initial-cluster "$cluster" \
        --listen-client-urls "https://127.0.0.1:$((base + $1))" --advertise-client-urls "https://127.0.0.1:$((base + $1))" \
        --listen-peer-urls "https://127.0.0.1:$((base + 10 + $1))" \
        --initial-advertise-peer-urls "https://127.0.0.1:$((base + 10 + $1))" \
        --cert-file "$work/store.crt" --key-file "$work/store.key" --trusted-ca-file "$work/ca.crt" --client-cert-auth \
        --peer-cert-file "$work/store.crt" --peer-key-file "$work/store.key" --peer-trusted-ca-file "$work/ca.crt" \
        --peer-client-cert-auth >>"$work/m$1.log" 2>&1 &
    store[$1]=$!
    pids+=($!)
}
store=()
for i in $(seq $members); do member "$i"; done
e() { ETCDCTL_API=3 etcdctl --endpoints "$urls" --cacert "$work/ca.crt" --cert "$work/client.crt" --key "$work/client.key" "$@"; }
check "the store is healthy" eventually 60 e endpoint health

# ---- kube-apiserver
api() {
    "$server" --etcd-servers "$urls" --etcd-cafile "$work/ca.crt" --etcd-certfile "$work/client.crt" \
        --etcd-keyfile "$work/client.key" --etcd-compaction-interval=20s --secure-port $((base + 20)) \
        --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --cert-dir "$work" --tls-cert-file "$work/api.crt" \
        --tls-private-key-file "$work/api.key" --client-ca-file "$work/ca.crt" --service-cluster-ip-range 10.0.0.0/16 \
        --service-account-issuer https://x --service-account-key-file "$work/api.key" \
        --service-account-signing-key-file "$work/api.key" --authorization-mode RBAC --event-ttl 30s \
        --disable-admission-plugins ServiceAccount >>"$work/api.log" 2>&1 &
    api=$!
    pids+=($!)
}
api
k() {
    timeout 60 "$kubectl" --server "https://127.0.0.1:$((base + 20))" --certificate-authority "$work/ca.crt" \
        --client-certificate "$work/client.crt" --client-key "$work/client.key" --cache-dir "$work/cache" "$@"
}
check "kube-apiserver becomes ready" eventually 60 k get --raw /readyz
check_output "it finds its store healthy" 'etcd ok' k get --raw '/readyz?verbose'
check "its bootstrap objects are there" eventually 60 output_matches cluster-admin k get clusterroles
check "namespaces too" eventually 60 output_matches kube-system k get namespaces

config_maps() { # FROM TO
    for i in $(seq "$1" "$2"); do
        printf -- '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm-%04d}\ndata: {n: "%d"}\n' "$i" "$i"
    done
}
config_maps 1 600 >"$work/cms.yaml"
check "600 objects" k create -f "$work/cms.yaml"
check_output "listed in pages" '^600$' bash -c "$(declare -f k); work=$work base=$base kubectl=$kubectl; k get cm --chunk-size=50 -o name | grep -c cm-"
k get cm -w --output-watch-events -o 'jsonpath={.type} {.object.metadata.name} {.object.data.n}{"\n"}' >"$work/watched" 2>"$work/watch.log" &
watcher=$!
pids+=($watcher)
check "a watch begins with what there is" eventually 60 grep -q ADDED "$work/watched"
check "an update" k patch cm cm-0001 -p '{"data":{"n":"changed"}}'
check "a delete" k delete cm cm-0002
check "the watch sees the update" eventually 60 grep -q 'MODIFIED cm-0001 changed' "$work/watched"
check "and the delete" eventually 60 grep -q 'DELETED cm-0002' "$work/watched"
check_fails "a conflict is a conflict" 'object has been modified|Conflict' k replace -f - <<YAML
{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm-0001", "namespace": "default", "resourceVersion": "1"}}
YAML
check "a deployment" k create deployment web --image=web:1 --replicas=2
check "server-side apply" k apply --server-side -f - <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: applied}
data: {n: "1"}
YAML
check "and again, by another manager who takes it over" k apply --server-side --field-manager=other --force-conflicts -f - <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: applied}
data: {n: "2"}
YAML
check_fails "it is the other one's now" 'conflict with "other"' k apply --server-side -f - <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: applied}
data: {n: "1"}
YAML
check "a custom resource" k apply -f - <<'YAML'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {plural: widgets, kind: Widget}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
YAML
check "is served" eventually 60 k get widgets
check "an object of it" k create -f - <<'YAML'
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: 3}
YAML
check "events with a lease" k create -f - <<'YAML'
apiVersion: v1
kind: Event
metadata: {name: short, namespace: default}
involvedObject: {kind: ConfigMap, name: cm-0001, namespace: default}
reason: Test
message: gone in 30 s
type: Normal
YAML
check_output "the lease is in the store" '[0-9a-f]{8,}' e lease list

# ---- faults
leader() { # number of the leading member
    e endpoint status -w json | jq -r '.[] | select(.Status.leader == .Status.header.member_id) | .Endpoint' | sed 's/.*://' |
        awk -v base="$base" '{ print $1 - base }' | head -1
}
old=$(leader)
check "a leader is known" test "$old" -ge 1
kill -9 "${store[$old]}"
wait "${store[$old]}" 2>/dev/null
check "writes go on without the leader" eventually 60 k create configmap after-kill --from-literal=a=b
check_output "reads too" 'after-kill' k get cm after-kill
member "$old"
check "the member comes back" eventually 60 e endpoint health
k delete cm -l nothing=here >/dev/null 2>&1
kill "$api"
wait "$api" 2>/dev/null
api
check "kube-apiserver starts again on what is stored" eventually 60 k get --raw /readyz
check_output "all objects are there" '^600$' bash -c "$(declare -f k); work=$work base=$base kubectl=$kubectl; k get cm -o name | grep -cE 'cm-|after-kill'"
check_output "the custom one too" '^3$' eventually 60 k get widget w -o 'jsonpath={.spec.size}'
check "the event is gone with its lease" eventually 90 outputs "" k get events --field-selector involvedObject.name=cm-0001 -o name
check_output "kube-apiserver compacted the store" '"version":[2-9]|"version":[1-9][0-9]' eventually 60 e get compact_rev_key -w json
check_output "all members hold the same" '^1$' bash -c "$(declare -f e); work=$work urls=$urls; e endpoint hashkv -w json | jq -r '.[].HashKV.hash' | sort -u | wc -l"
if grep -E '^panic|SIGSEGV|etcdserver: .*(corrupt|mismatch)' "$work/api.log" >"$work/bad"; then _not_ok "kube-apiserver had nothing to complain of" "$(cat "$work/bad")"; else _ok "kube-apiserver had nothing to complain of"; fi
[ "$failed" = 0 ] || { head -n 3 "$work/watched" "$work/watch.log"; tail -n 5 "$work/watched" "$work/api.log" "$work"/m*.log; }
finish
