#!/usr/bin/env bash
# Real applications on a whole cluster, end to end: made by `c8s up`, driven by the real kubectl (v1.35 and
# v1.29), its leader killed, and taken down without a trace.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
BIN=${C8S_BIN:-$here/../../build/release/bin}
[ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 77; }
command -v containerd >/dev/null || { echo "skipped: containerd is not installed"; exit 77; }
NAME=e2e$$
clients=${C8S_KUBECTL_DIR:-/var/cache/c8s-test-clients}
export PATH=$BIN:$PATH
down() { c8s down --name "$NAME" >/dev/null 2>&1; }
trap down EXIT
traces() { # what a cluster of that name leaves on the machine
    ip netns list | grep -F "c8s-$NAME-"
    ls -d "/var/lib/c8s/clusters/$NAME" "/run/c8s/$NAME" 2>/dev/null
    grep -F "c8s-$NAME" /etc/hosts
    grep -F "/$NAME/" /proc/mounts
    pgrep -af "/var/lib/c8s/clusters/$NAME/"
    true
}

v35=$("$here/get-kubectl.sh" 35 "$clients") && v29=$("$here/get-kubectl.sh" 29 "$clients") || exit 1
kubectl=$v35/kubectl/kubectl

begin=$(date +%s%N)
check "c8s up" c8s up --name "$NAME"
echo "     cluster up in $((($(date +%s%N) - begin) / 1000000)) ms"
KUBECONFIG=$(c8s kubeconfig --name "$NAME" --path)
export KUBECONFIG
[ -s "$KUBECONFIG" ] || finish
if ! "$kubectl" get nodes -o wide; then
    c8s status --name "$NAME"
    tail -n 20 "/var/lib/c8s/clusters/$NAME"/*/log/*
    failed=$((failed + 1))
    finish
fi

status() { c8s status --name "$NAME" -o json; }
leader() { status | jq -r 'first(.processes[] | select(.role == "apiserver" and .leader)) | "\(.host) \(.pid)"'; }
ready() { [ "$("$kubectl" get deployment web -o 'jsonpath={.status.readyReplicas}')" = "$1" ]; }
answers() { curl -fsS -m 10 "$1" | grep -q hello; }

check "both nodes are Ready" outputs "True True" "$kubectl" get nodes \
    -o 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'
check "all processes are ready" sh -c "c8s status --name $NAME -o json | jq -e 'all(.processes[]; .ready)'"

# ---- an application, reachable in every way ----
check "apply the example" "$kubectl" apply -f "$here/../../deploy/examples/web.yaml"
check "four replicas are ready" eventually 60 ready 4
check "they run on both nodes" outputs 2 sh -c \
    "'$kubectl' get pods -l app=web -o 'jsonpath={.items[*].spec.nodeName}' | tr ' ' '\n' | sort -u | wc -l"
for ip in $("$kubectl" get pods -l app=web -o 'jsonpath={.items[*].status.podIP}'); do
    check "pod $ip answers" eventually 60 answers "http://$ip:8080/"
done
cluster_ip=$("$kubectl" get service web -o 'jsonpath={.spec.clusterIP}')
check "the cluster IP answers" eventually 60 answers "http://$cluster_ip/"
node_ips=$("$kubectl" get nodes -o 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}')
for ip in $node_ips; do
    check "node port on $ip answers" eventually 60 answers "http://$ip:30080/"
done
pod=$("$kubectl" get pods -l app=web -o 'jsonpath={.items[0].metadata.name}')
check "pods have the API's CA, a token and their namespace" sh -c \
    "'$kubectl' get pod $pod -o json | jq -e '.spec.volumes[] | select(.projected) | .projected.sources | length == 3'"

# ---- from inside a pod's network: other hosts' pods, services, the API with the pod's own credentials ----
node1=/var/lib/c8s/clusters/$NAME/node1
netns=$(find "$node1" -path '*/netns/cni-*' | head -1)
token=$(find "$node1" -path '*kube-api-access*' -name token | head -1)
credentials=$(dirname "$token")
in_pod() { nsenter --net="$netns" "$@"; }
in_cluster() { # PATH: as a client library in the pod would ask
    in_pod curl -sS -m 30 --cacert "$credentials/ca.crt" -H "Authorization: Bearer $(cat "$token")" \
        "https://$("$kubectl" get svc kubernetes -o 'jsonpath={.spec.clusterIP}')$1"
}
for ip in $("$kubectl" get pods -l app=web -o 'jsonpath={.items[*].status.podIP}'); do
    check_output "pod to pod $ip" hello in_pod curl -sS -m 30 "http://$ip:8080/"
done
check_output "pod to cluster IP" hello in_pod curl -sS -m 30 "http://$cluster_ip/"
for ip in $node_ips; do
    check_output "pod to node port on $ip" hello in_pod curl -sS -m 30 "http://$ip:30080/"
    check_output "host to cluster IP" hello nsenter --net="/run/netns/c8s-$NAME-node2" curl -sS -m 30 "http://$cluster_ip/"
done
check_output "an in-cluster client verifies the server and is known" \
    'system:serviceaccount:default:default' in_cluster /api/v1/namespaces/kube-system/secrets

# ---- the leader dies ----
read -r old_host old_pid <<<"$(leader)"
check "a leader is known" test -n "$old_pid"
kill -9 "$old_pid"
killed=$(date +%s%N)
check "scale without the leader" eventually 60 timeout 20 "$kubectl" scale deployment web --replicas=6
check "six replicas" eventually 60 ready 6
echo "     six ready $((($(date +%s%N) - killed) / 1000000)) ms after the kill"
check "the service still answers" answers "http://$cluster_ip/"
check "another member leads" sh -c "c8s status --name $NAME -o json | jq -e 'any(.processes[]; .role == \"apiserver\" and .leader and .host != \"$old_host\")'"
check "c8s up starts the killed member" c8s up --name "$NAME"
caught_up() {
    local revisions
    revisions=$(for ip in 11 12 13; do
        "$kubectl" get --raw /version --server "https://$(status | jq -r "first(.processes[] | select(.role == \"apiserver\")).addresses[0]" | sed -E "s/[0-9]+:/$ip:/")" >/dev/null || echo dead
    done)
    [ -z "$revisions" ] && status | jq -e 'all(.processes[]; .ready)' >/dev/null
}
check "it answers again and everything is ready" eventually 60 caught_up

# ---- the node agent restarts; containers do not ----
started() { "$kubectl" get pods -l app=web --sort-by=.metadata.name \
    -o 'jsonpath={.items[*].status.containerStatuses[*].state.running.startedAt}{.items[*].status.containerStatuses[*].restartCount}'; }
before=$(started)
agent=$(status | jq -r 'first(.processes[] | select(.role == "node")) | .pid')
kill -9 "$agent"
check "c8s up restarts the agent" c8s up --name "$NAME"
check "no container was restarted" eventually 60 outputs "$before" started

# ---- kubectl, both versions ----
for k in "$v35" "$v29"; do
    out=$(bash "$here/kubectl_test.sh" "$k/kubectl/kubectl")
    printf '%s\n' "$out" | sed '$d'
    read -r p f <<<"$(printf '%s\n' "$out" | sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p')"
    passed=$((passed + ${p:-0}))
    failed=$((failed + ${f:-1}))
done

# ---- into containers and out of them: SPDY (v22, v29) and WebSocket (v35) ----
v22=$("$here/get-kubectl.sh" 22 "$clients") || exit 1
executes() { # ARGUMENTS of exec_test.sh; what it counted is added
    local out p f
    out=$(bash "$here/exec_test.sh" "$@")
    printf '%s\n' "$out" | sed '$d'
    read -r p f <<<"$(printf '%s\n' "$out" | sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p')"
    passed=$((passed + ${p:-0}))
    failed=$((failed + ${f:-1}))
}
executes "$v35/kubectl/kubectl" "$v29/kubectl/kubectl" "$v22/kubectl/kubectl"

# ---- the same through a member that follows, by name ----
read -r follower address <<<"$(status | jq -r 'first(.processes[] | select(.role == "apiserver" and (.leader | not))) | "\(.host) \(.addresses[0])"')"
follows() { status | jq -e --arg host "$follower" 'any(.processes[]; .host == $host and .role == "apiserver" and (.leader | not))' >/dev/null; }
executes --through "$follower=https://$address" "$v35/kubectl/kubectl" "$v22/kubectl/kubectl"
check "$follower still follows" follows

# ---- the same by the official Python client ----
out=$("$here/exec_client_test.py")
code=$?
printf '%s\n' "$out"
passed=$((passed + $(grep -c '^ok' <<<"$out")))
[ $code = 0 ] || [ $code = 77 ] || failed=$((failed + 1))

# ---- Helm 4 and Helm 3 install, upgrade, roll back and remove their default chart ----
chart=$(mktemp -d)/chart
"$v35/helm/helm" create "$chart" >/dev/null 2>&1
sed -i 's#repository: nginx#repository: c8s.io/web#; s#tag: ""#tag: "1"#; s#port: 80#port: 8080#' "$chart/values.yaml"
for h in "$v35/helm/helm" "$v29/helm/helm"; do
    version=$("$h" version --template '{{.Version}}')
    check_output "helm $version install" 'STATUS: deployed' timeout 100 "$h" install demo "$chart" --wait --timeout 90s
    check_output "helm $version upgrade" 'has been upgraded' timeout 100 "$h" upgrade demo "$chart" --set replicaCount=2 --wait --timeout 90s
    check_output "helm $version rollback" 'Rollback was a success' timeout 100 "$h" rollback demo 1 --wait --timeout 90s
    check_output "helm $version uninstall" 'uninstalled' timeout 100 "$h" uninstall demo
done
rm -rf "$(dirname "$chart")"

# ---- memory, as it is now ----
status | jq -r '.processes[] | "\(.role) \(.host) \(.pid)"' | while read -r role host pid; do
    [ -r "/proc/$pid/status" ] && awk -v what="$role $host" '/^RssAnon/ {a = $2} /^VmRSS/ {r = $2}
        END {printf "     memory %-24s RssAnon %6.1f MB  VmRSS %6.1f MB\n", what, a / 1024, r / 1024}' "/proc/$pid/status"
done

check "delete the example" "$kubectl" delete -f "$here/../../deploy/examples/web.yaml" --timeout=90s
check "c8s down" c8s down --name "$NAME"
check "no trace is left" outputs '' traces
trap - EXIT
finish
