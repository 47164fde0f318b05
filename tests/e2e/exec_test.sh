#!/usr/bin/env bash
# Into containers and out of them, by the real kubectl: exec, attach, cp, port-forward, logs, and requests through the
# API server's proxies. kubectl up to v1.29 speaks SPDY, from v1.31 on WebSocket.
#
#   tests/e2e/exec_test.sh [--through NAME=HTTPS_URL] KUBECTL…
#
# Each KUBECTL is a kubectl binary; the suite runs with each, through whichever member the KUBECONFIG leads to or through
# that of the given name and address (one that follows). Needs KUBECONFIG and the example image in the nodes (c8s up has done
# both). Leaves nothing behind.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
work=$(mktemp -d)
background=
cleanup() {
    [ -z "$background" ] || kill "$background" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
IMAGE=${C8S_TEST_IMAGE:-c8s.io/web:1}
BYTES=20000000
through=
if [ "${1:-}" = --through ]; then
    through=${2%%=*}
    sed "s|^\( *server:\).*|\1 ${2#*=}|" "$KUBECONFIG" >"$work/kubeconfig"
    export KUBECONFIG=$work/kubeconfig
    shift 2
fi

pods() {
    cat <<YAML
apiVersion: v1
kind: Pod
metadata: {name: box, labels: {app: box}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: $IMAGE
    ports: [{containerPort: 8080, name: http}]
    readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: box}
spec: {selector: {app: box}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ear}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: ear
    image: $IMAGE
    stdin: true
    command: [sh, -c, 'echo ready; while read line; do echo "heard \$line"; done']
---
apiVersion: v1
kind: Pod
metadata: {name: twice}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: twice
    image: $IMAGE
    command: [sh, -c, 'if test -f /data/once; then echo second life; sleep 1000; fi; touch /data/once; echo first life; exit 1']
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
YAML
}

# A claim: COMMAND, in the background, says on which port it listens: $port.
listens() { # NAME COMMAND…
    local name=$1
    shift
    : >"$work/listens" # before it is looked at: the redirection below happens when the new process comes to run
    "$@" >"$work/listens" 2>&1 &
    background=$!
    # said on 127.0.0.1, in a whole line; or ended: who has ended stays a zombie until he is waited for
    listening() { grep -qE '127\.0\.0\.1:[0-9]+.*$' "$work/listens" || ! grep -qs '^State:[^Z]*$' "/proc/$background/status"; }
    eventually 120 listening
    port=$(grep -oE '127\.0\.0\.1:[0-9]+' "$work/listens" | head -1 | cut -d: -f2)
    if [ -n "$port" ]; then _ok "$name"; else _not_ok "$name" "$(cat "$work/listens"; ps -o stat,etime,args -p "$background")"; fi
}
stop() {
    kill "$background" 2>/dev/null
    wait "$background" 2>/dev/null
    background=
}

suite() {
    local kubectl=$1 version ns node
    version=$("$kubectl" version --client -o json | jq -r .clientVersion.gitVersion)
    ns=exec-$(echo "$version${through:+-$through}" | tr -dc 'a-z0-9-')
    k() { timeout 60 "$kubectl" -n "$ns" "$@"; }
    exits() { # CODE COMMAND…
        local want=$1
        shift
        "$@" >/dev/null 2>"$work/stderr"
        [ $? = "$want" ]
    }
    piped() { # bytes of zeroes through COMMAND's input
        head -c "$BYTES" /dev/zero | k "$@"
    }
    echo "== kubectl $version${through:+ through $through}: exec, attach, cp, port-forward, proxy"
    k create namespace "$ns" >/dev/null
    pods | k apply -f - >/dev/null
    check "pods run" k wait --for=condition=Ready pod/box pod/ear --timeout=50s

    # ---- exec ----
    check "exec" outputs hello k exec box -- echo hello
    check "exec keeps stdout and stderr apart" sh -c \
        "'$kubectl' -n $ns exec box -- sh -c 'echo out; echo err >&2' 2>'$work/err' | grep -qx out && grep -qx err '$work/err'"
    check "exec passes the exit code on" exits 7 k exec box -- sh -c 'exit 7'
    check "exec with input" outputs 'HELLO' sh -c "echo hello | timeout 60 '$kubectl' -n $ns exec -i box -- sh -c 'read x; test \$x = hello && echo HELLO'"
    check "the end of the input arrives" outputs "$BYTES" piped exec -i box -- wc -c
    check "large output" outputs "$BYTES" sh -c "timeout 60 '$kubectl' -n $ns exec box -- head -c $BYTES /dev/zero | wc -c"
    check_output "a terminal" 'a terminal of 33 100' timeout 60 script -qec \
        "stty rows 33 cols 100; '$kubectl' -n $ns exec -it box -- sh -c 'until stty size | grep -q ^33; do sleep 1; done; test -t 0 && echo a terminal of \$(stty size)'" /dev/null
    check_fails "a container that is not there" 'container nope is not valid for pod box|container not found' k exec box -c nope -- true
    check_fails "a program that is not there" 'no such file|not found' k exec box -- /no/such/program

    # ---- attach ----
    heard() { # WORD: it is said to `ear`, which repeats it
        : >"$work/attached"
        (echo "$1"; eventually 60 grep -q "heard $1" "$work/attached") | timeout 80 "$kubectl" -n "$ns" attach -i ear >"$work/attached" 2>&1
        grep "heard $1" "$work/attached"
    }
    check "attach with input" heard something
    check "what was said is in the log" eventually 60 output_matches 'heard something' k logs ear

    # ---- a command in a pod of its own; kubectl 1.22 up to 1.22.2 waits in vain with its headers (kubectl issue 1098) ----
    alone() {
        local out code
        out=$(KUBECTL_COMMAND_HEADERS=false k run once --rm -i --image="$IMAGE" --restart=Never --command -- "$@" 2>&1)
        code=$?
        echo "$out"
        echo "exit code $code"
        [ $code = 3 ] && grep -qx said <<<"$out"
    }
    twice() { "$@" || "$@"; } # a machine that stands still may let it be said before kubectl listens, as anywhere
    check "run a brief command, and see what it says and how it ends" twice alone sh -c 'echo said; exit 3'

    # ---- cp ----
    head -c 3000000 /dev/urandom >"$work/file"
    check "cp into a container" k cp "$work/file" box:/tmp/file
    check "cp out of it" k cp box:/tmp/file "$work/back"
    check "nothing was lost" cmp "$work/file" "$work/back"

    # ---- logs ----
    check_output "logs" 'listening on port 8080' k logs box
    check_output "logs with timestamps" '^20[0-9-]+T[0-9:.]+Z ready' k logs ear --timestamps
    check "logs --tail" outputs 'heard something' k logs ear --tail=1
    check "logs --limit-bytes" outputs 'rea' k logs ear --limit-bytes=3
    check_output "logs --since" 'ready' k logs ear --since=1h
    check "logs --previous" eventually 60 outputs 'first life' k logs twice --previous
    check "logs of the second life" eventually 60 outputs 'second life' k logs twice
    timeout 200 "$kubectl" -n "$ns" logs -f ear >"$work/follow" &
    background=$!
    check "logs -f shows what there is" eventually 60 grep -q 'heard something' "$work/follow"
    heard later >/dev/null
    check "and what comes" eventually 60 grep -q 'heard later' "$work/follow"
    stop

    # ---- debug ----
    local web debugger
    web=$(k exec box -- cat /proc/1/comm)
    check "debug a pod" k debug box --image="$IMAGE" --container=looker --target=web -- sh -c 'echo looked; sleep 1000'
    check "the ephemeral container runs" eventually 60 outputs 'looked' k logs box -c looker
    check "exec into it; it sees the processes of its target" outputs "$web" k exec box -c looker -- cat /proc/1/comm
    node=$(k get pod box -o 'jsonpath={.spec.nodeName}')
    check_output "debug a node" 'node-debugger-' k debug "node/$node" --image="$IMAGE" -- ls /host/etc/hostname
    debugger=$(k get pods -o name | grep node-debugger)
    check "its pod runs" eventually 60 outputs Succeeded k get "$debugger" -o 'jsonpath={.status.phase}'
    check_output "and sees the host's files" '/host/etc/hostname' k logs "$debugger"

    # ---- port-forward ----
    local port=
    listens "port-forward listens" "$kubectl" -n "$ns" port-forward pod/box :8080
    check_output "a request through it" 'hello from box' curl -fsS -m 60 "http://127.0.0.1:$port/"
    check_output "many at once" '^20$' sh -c \
        "for i in \$(seq 20); do curl -fsS -m 60 http://127.0.0.1:$port/ & done | grep -c 'hello from box'"
    stop
    listens "port-forward to a service" "$kubectl" -n "$ns" port-forward service/box :80
    check_output "a request through that" 'hello from box' curl -fsS -m 60 "http://127.0.0.1:$port/"
    stop

    # ---- the API server's proxies ----
    local api=/api/v1/namespaces/$ns
    check_output "pods/proxy" 'hello from box' k get --raw "$api/pods/box:8080/proxy/"
    check_output "services/proxy" 'hello from box' eventually 60 k get --raw "$api/services/box:http/proxy/"
    check_output "nodes/proxy" '^ok' k get --raw "/api/v1/nodes/$(k get pod box -o 'jsonpath={.spec.nodeName}')/proxy/healthz"
    listens "kubectl proxy" "$kubectl" proxy --port=0
    check_output "a list through it" '"kind": ?"PodList"' curl -fsS -m 60 "http://127.0.0.1:$port$api/pods"
    check_output "a service through it" 'hello from box' curl -fsS -m 60 "http://127.0.0.1:$port$api/services/http:box:80/proxy/index.html"
    stop
    check_output "cluster-info names the control plane" 'is running at' k cluster-info
    k delete namespace "$ns" --wait=false >/dev/null
}

for kubectl in "$@"; do
    suite "$kubectl"
done
finish
