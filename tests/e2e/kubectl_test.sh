#!/usr/bin/env bash
# The real kubectl against a whole cluster: 3 members, 2 nodes, real containers.
#
#   tests/e2e/kubectl_test.sh KUBECTL…     each KUBECTL is a kubectl binary; the suite runs with each
#
# Needs KUBECONFIG and the example image in the nodes (c8s up has done both). Leaves nothing behind in
# the cluster.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
IMAGE=${C8S_TEST_IMAGE:-c8s.io/web:1}

deployment() { # NAME REPLICAS MESSAGE
    cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata:
  name: $1
  labels: {app: $1}
spec:
  replicas: $2
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: $IMAGE
        env: [{name: MESSAGE, value: "$3"}]
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        resources: {requests: {cpu: 10m, memory: 16Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: $1}
spec:
  selector: {app: $1}
  ports: [{port: 80, targetPort: http}]
YAML
}

suite() {
    local kubectl=$1 version ns
    k() { timeout 60 "$kubectl" -n "$ns" "$@"; }
    version=$("$kubectl" version --client -o json | jq -r .clientVersion.gitVersion)
    ns=e2e-$(echo "$version" | tr -dc 'a-z0-9')
    echo "== kubectl $version"

    check_output "version" 'v1\.35\.0\+c8s' timeout 60 "$kubectl" version
    check "create namespace" k create namespace "$ns"
    check_output "api-resources" 'deployments +deploy +apps/v1 +true +Deployment' k api-resources
    check_output "api-versions" '^apps/v1$' k api-versions
    check_output "explain" 'replicas' k explain deployment.spec
    check_output "explain a field" '(KIND|FIELD): +' k explain pod.spec.containers.image

    deployment web 2 one >"$work/web.yaml"
    check_output "apply creates" 'deployment.apps/web created' k apply -f "$work/web.yaml"
    check_output "apply again changes nothing" 'deployment.apps/web unchanged' k apply -f "$work/web.yaml"
    check_output "rollout status" 'successfully rolled out' k rollout status deployment/web --timeout=55s
    check_output "get -o name" '^deployment.apps/web$' k get deployment -o name
    check_output "get table" 'web +2/2 +2 +2 ' k get deployment web
    check_output "get -o wide" "web +2/2 .* web +$IMAGE +app=web" k get deployment web -o wide
    check_output "get pods -o wide names nodes" 'web-[a-z0-9]+-[a-z0-9]+ +1/1 +Running .* 10\.24[0-9]\.' k get pods -o wide
    check_output "get -o yaml" '^  replicas: 2$' k get deployment web -o yaml
    check_output "get -o json" '"readyReplicas": 2' k get deployment web -o json
    check_output "get -o jsonpath" '^2$' k get deployment web -o 'jsonpath={.status.readyReplicas}'
    check_output "get by label" 'web-' k get pods -l app=web
    check_output "get by field selector" 'web-' k get pods --field-selector status.phase=Running
    check_output "get all" 'replicaset.apps/web-' k get all

    local pod
    pod=$(k get pods -l app=web -o 'jsonpath={.items[0].metadata.name}')
    check "describe pod" eventually 60 output_matches "Started container web|Container image|Started" k describe pod "$pod"
    check "describe deployment" eventually 60 output_matches 'ScalingReplicaSet' k describe deployment web
    check_output "describe node" 'Allocated resources' timeout 60 "$kubectl" describe nodes
    check_output "logs" 'listening' k logs "$pod"
    "$kubectl" -n "$ns" logs -f "$pod" >"$work/follow" 2>&1 &
    local follower=$!
    check "logs -f follows" eventually 60 grep -q listening "$work/follow"
    check "until it is stopped" kill $follower
    wait $follower 2>/dev/null
    check_output "logs --tail" '.' k logs --tail=1 "$pod"

    k get pods -w -o name >"$work/watch" 2>&1 &
    local watcher=$!
    check_output "scale" 'scaled' k scale deployment/web --replicas=3
    check "scaled pods are ready" eventually 60 outputs 3 k get deployment web -o 'jsonpath={.status.readyReplicas}'
    check "get -w saw the new pod" eventually 60 sh -c "[ \$(sort -u '$work/watch' | wc -l) -ge 3 ]"
    kill $watcher 2>/dev/null
    wait $watcher 2>/dev/null

    deployment web 3 two >"$work/web.yaml"
    check_output "apply changes" 'deployment.apps/web configured' k apply -f "$work/web.yaml"
    check "diff sees nothing new" outputs '' k diff -f "$work/web.yaml"
    check_output "diff shows a change" '^\+ +replicas: 5' sh -c \
        "sed 's/replicas: 3/replicas: 5/' '$work/web.yaml' | '$kubectl' -n $ns diff -f -; [ \$? -eq 1 ]"
    check_output "rollout after change" 'successfully rolled out' k rollout status deployment/web --timeout=55s
    check_output "rollout history" '2 ' k rollout history deployment/web
    check_output "the new template runs" 'two' k get pods -l app=web -o 'jsonpath={.items[*].spec.containers[0].env[0].value}'
    check_output "rollout undo" 'rolled back' k rollout undo deployment/web
    check_output "rollout after undo" 'successfully rolled out' k rollout status deployment/web --timeout=55s
    check "undo runs the old template" eventually 60 outputs "one one one" \
        k get pods -l app=web --field-selector status.phase=Running -o 'jsonpath={.items[*].spec.containers[0].env[0].value}'

    check_output "label" 'labeled' k label deployment web tier=front
    check_output "label is there" 'web' k get deployment -l tier=front
    check_output "annotate" 'annotated' k annotate deployment web note=hello
    check_output "patch" 'patched' k patch deployment web -p '{"spec":{"minReadySeconds":1}}'
    check_output "create configmap" 'created' k create configmap cm --from-literal=a=b
    check_output "configmap value" '^b$' k get configmap cm -o 'jsonpath={.data.a}'
    check_output "server-side dry run" 'created \(server dry run\)' k create configmap dry --from-literal=a=b --dry-run=server
    check_fails "a dry run leaves nothing" 'NotFound' k get configmap dry
    check_output "replace" 'replaced' sh -c "'$kubectl' -n $ns get cm cm -o json | jq '.data.a = \"c\"' | '$kubectl' -n $ns replace -f -"
    check_fails "a stale resourceVersion conflicts" 'Conflict|has been modified' sh -c \
        "'$kubectl' -n $ns get cm cm -o json | jq '.metadata.resourceVersion = \"1\"' | '$kubectl' -n $ns replace -f -"
    check_output "json patch" 'patched' k patch cm cm --type=json -p '[{"op":"add","path":"/data/x","value":"y"}]'
    check_output "merge patch" 'patched' k patch cm cm --type=merge -p '{"data":{"x":null}}'
    check "the patches took effect" outputs '{"a":"c"}' k get cm cm -o 'jsonpath={.data}'
    check_output "create secret" 'created' k create secret generic s --from-literal=password=hunter2
    check_output "create job-like pod" 'created' k run once --image="$IMAGE" --restart=Never --command -- sh -c \
        'echo "namespace $(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace)"; cat /etc/hostname; exit 3'
    check "it fails with its exit code" eventually 60 outputs 3 k get pod once -o 'jsonpath={.status.containerStatuses[0].state.terminated.exitCode}'
    check_output "its log" "namespace $ns" k logs once
    check "its phase" outputs Failed k get pod once -o 'jsonpath={.status.phase}'
    check_output "crash loop: previous log and back-off" 'created' k run crash --image="$IMAGE" --command -- sh -c 'echo started; exit 1'
    check "it was restarted" eventually 60 output_matches '^[1-9]' k get pod crash -o 'jsonpath={.status.containerStatuses[0].restartCount}'
    check_output "logs --previous" 'started' k logs --previous crash
    check "CrashLoopBackOff" eventually 60 output_matches 'CrashLoopBackOff' k get pod crash
    check_output "an image that is nowhere" 'created' k run noimage --image=c8s.io/nowhere:1 --image-pull-policy=Never
    check "ErrImageNeverPull" eventually 60 output_matches 'ErrImageNeverPull' k get pod noimage
    check_output "a pod that fits nowhere" 'created' k run big --image="$IMAGE" --overrides '{"spec":{"containers":[{"name":"big","image":"x","resources":{"requests":{"cpu":"1000"}}}]}}'
    check "its event says why" eventually 60 output_matches '0/2 nodes are available: 2 Insufficient cpu' k describe pod big
    check_output "delete pods" 'deleted' k delete pod once crash noimage big --grace-period=1
    check_fails "create twice" 'AlreadyExists|already exists' k create configmap cm --from-literal=a=b
    check_fails "get nothing" 'NotFound' k get pod none
    check_fails "unknown field, strict" 'unknown field "spec.replica"' \
        sh -c "sed 's/replicas:/replica:/' '$work/web.yaml' | '$kubectl' -n $ns apply -f -"
    check_output "unknown field, warn" 'unknown field "spec.replica"' \
        sh -c "sed 's/replicas:/replica:/' '$work/web.yaml' | '$kubectl' -n $ns apply --validate=warn -f -"
    check_fails "bad name" 'Invalid value|RFC 1123' k create configmap Bad_Name
    check "events" eventually 60 output_matches 'Scheduled' k get events
    check_output "auth can-i" '^yes$' k auth can-i create pods
    check_output "wait" 'condition met' k wait --for=condition=Available deployment/web --timeout=50s
    check_output "delete deployment" 'deleted' k delete deployment web
    check "pods are gone" eventually 60 outputs '' k get pods -l app=web -o name
    check_output "delete namespace" 'deleted' timeout 60 "$kubectl" delete namespace "$ns" --timeout=50s
}

for kubectl in "$@"; do
    suite "$kubectl"
done
finish
