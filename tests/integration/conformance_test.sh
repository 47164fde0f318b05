#!/usr/bin/env bash
# Kubernetes' own end-to-end suite (1.20) against a cluster of c8s: the specs of the API server and of what is built on it.
#
#   tests/integration/conformance_test.sh DIR KUBECTL [FOCUS]     e.g. … /tmp/e2e /usr/bin/kubectl '\[sig-cli\]'
#
# By hand: get-e2e-test.sh DIR builds the suite (no distribution ships it, and it takes half an hour). KUBECTL should be an old
# one (1.22): specs compare its words. Needs root. C8S_BIN names our binaries (default: build/release/bin). Fails when a
# spec fails that is not left out below.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
dir=$(cd "${1:?directory of get-e2e-test.sh}" && pwd) kubectl=${2:?kubectl}
focus=${3:-'\[sig-(api-machinery|auth|cli|instrumentation)\]|\[sig-apps\] (Deployment|ReplicaSet)|\[sig-node\] (ConfigMap|Secrets|Lease|PodTemplates)|\[sig-network\] (Services|Ingress API|IngressClass)|LimitRange|\[k8s.io\] (Pods|Lease|PodTemplates|Events)'}
bin=${C8S_BIN:-$here/../../build/release/bin}
export PATH=$bin:$PATH
name=conformance$$
work=$(mktemp -d)
cleanup() {
    c8s down --name "$name" >/dev/null 2>&1
    rm -rf "$work"
}
trap cleanup EXIT

# ---- what is left out, and why
left_out=()
leave_out() { # WHY PATTERN…
    shift
    left_out+=("$@")
}
leave_out "not part of c8s yet: webhooks, aggregation to other servers" \
    'ebhook' Aggregator
leave_out "controllers that c8s does not have yet: replication controllers, jobs, mirrored endpoints, signing of certificates" \
    'created by rc' 'the rc around' "owner that's waiting" 'dependency circle' 'pods in rc' 'services for rc' 'for rc and pods' \
    'up and down services' 'unready pods' service-proxy-name kubernetes.io/headless 'ClusterIP to ExternalName' 'ExternalName to ClusterIP' 'Update Demo' '[Jj]ob' EndpointSliceMirroring \
    'building a client with a CSR'
leave_out "versions of the API that 1.35 does not serve" PodSecurityPolicy DisruptionController 'EndpointSlice ' 'priority and fairness'
leave_out "Secrets with tokens of accounts, which servers since 1.24 do not make by themselves" 'single API token' 'mount an API token' \
    'opting out' NodeAuthorizer NodeAuthenticator
leave_out "words of the other server: its descriptions, its checks of health by its insides' names, its commit" 'works for CRD with validation schema' 'health handlers' 'check is all data'
leave_out "a DNS, pods of the control plane, a cloud, other images" 'OIDC discovery' MetricsGrabber 'Etcd failure' cloud-provider \
    Guestbook guestbook 'in-cluster config' InClusterConfig 'no endpoints exist' hairpin 'metadata.concealment' LoadBalancer 'session affinity' NodePort DNS
leave_out "the node agent's: modes of tokens for users that are not root" 'RunAsUser or FsGroup'
leave_out "what disturbs others that run at the same time, or takes very long" Disruptive Flaky 'Serial\]' Slow Feature:GPU 'of 100 namespaces'
skip=$(IFS='|' && echo "${left_out[*]}")

# ---- the cluster
python3 "$here/conformance_images.py" "$dir/agnhost" "$bin/c8s-pause" "$work/images.tar" || exit 1
check "c8s up" c8s up --name "$name" --members 1 --nodes 1 --image "$work/images.tar"
KUBECONFIG=$(c8s kubeconfig --name "$name" --path)
export KUBECONFIG HOME="$work"
[ -s "$KUBECONFIG" ] || finish

# ---- the suite
"$dir/ginkgo" -nodes="${NODES:-4}" -noColor -focus="$focus" -skip="$skip" "$dir/e2e.test" -- --provider=skeleton \
    --kubeconfig="$KUBECONFIG" --kubectl-path="$kubectl" --repo-root="$dir/gopath/src/k8s.io/kubernetes" --report-dir="$work" \
    --minStartupPods=0 --allowed-not-ready-nodes=10 --system-pods-startup-timeout=10s --disable-log-dump \
    --dump-logs-on-failure=false --num-nodes=1 >"$work/log" 2>&1
grep -ao '{"msg":"[A-Z]* [^"]*' "$work/log" | sed 's/{"msg":"//' | sort -u >"$work/results"
while read -r result spec; do
    case $result in
    PASSED) _ok "$spec" ;;
    FAILED) _not_ok "$spec" "$(grep -a -F -A12 "$spec [It]" "$work/log" | tail -n 10)" ;;
    esac
done <"$work/results"
check "specs were run" grep -q PASSED "$work/results"
[ "$failed" = 0 ] || { cp "$work/log" "$dir/last.log" && echo "the whole log: $dir/last.log"; }
finish
