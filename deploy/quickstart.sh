#!/usr/bin/env bash
# From a fresh machine to a running c8s cluster, and a short tour of it. Run as root.
#
#   sudo deploy/quickstart.sh
#
# Installs what is missing, builds, starts a cluster on this machine (3 control-plane members and 2
# nodes, each a host in a network namespace of its own), runs an example application in real
# containers, kills the leader and goes on. The cluster is left running; `sudo c8s down` removes it.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "quickstart: run as root: sudo deploy/quickstart.sh" >&2; exit 1; }

bin=$PWD/build/release/bin
begin=$SECONDS
title() { printf '\n\033[1m== %s\033[0m  (%d s)\n' "$*" $((SECONDS - begin)); }
run() { # show a command, then run it
    printf '\033[36m$ %s\033[0m\n' "$*"
    "$@"
}
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }
# Until COMMAND succeeds, at most SECONDS.
await() { # SECONDS WHAT COMMAND…
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "waited too long for: $what"
        sleep 0.2
    done
}
# A value out of the JSON on standard input: field 'items[0].x' expressions as Python.
field() { python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }
# status exits with 1 while a process is dead, which is what the tour wants to see.
status_field() { { c8s status -o json || true; } | field "$1"; }
ready_replicas() { [ "$(c8s get deployment web -o json | field 'd["status"].get("readyReplicas", 0)')" = "$1" ]; }

title "Packages"
deploy/install-deps.sh --run

title "Build"
launcher=()
! command -v ccache >/dev/null || launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
log=$(mktemp)
programs=(c8s c8s-apiserver c8s-scheduler c8s-controllers c8s-node c8s-pause)
if ! cmake --preset release "${launcher[@]}" >"$log" 2>&1 ||
    ! cmake --build --preset release --target "${programs[@]}" >>"$log" 2>&1; then
    tail -30 "$log" >&2
    fail "the build failed (all of its output: $log)"
fi
rm -f "$log"
if [ ! -e /usr/local/bin/c8s ] || [ -L /usr/local/bin/c8s ]; then
    ln -sfn "$bin/c8s" /usr/local/bin/c8s
fi
export PATH=$bin:$PATH
(cd "$bin" && wc -c "${programs[@]}" | awk '$2 != "total" { printf "  %-16s %6.1f MB\n", $2, $1 / 1e6 }')

title "Cluster: 3 control-plane members, 2 nodes"
run c8s up
KUBECONFIG=$(c8s kubeconfig --path)
export KUBECONFIG
run c8s get nodes -o wide

title "An application: 4 replicas behind a Service"
run c8s apply -f deploy/examples/web.yaml
await 60 "4 ready replicas" ready_replicas 4
run c8s get pods -o wide
nodes=$(c8s get pods -l app=web -o json | field 'len({p["spec"]["nodeName"] for p in d["items"]})')
echo "  on $nodes nodes"

title "A request to a pod, to the Service, and to the node port of both hosts"
pod_ip=$(c8s get pods -l app=web -o json | field 'd["items"][0]["status"]["podIP"]')
cluster_ip=$(c8s get service web -o json | field 'd["spec"]["clusterIP"]')
mapfile -t node_ips < <(c8s get nodes -o json |
    field '"\n".join(a["address"] for n in d["items"] for a in n["status"]["addresses"] if a["type"] == "InternalIP")')
answers() { curl -fsS -m 3 "$1"; }
for url in "http://$pod_ip:8080/" "http://$cluster_ip/" "${node_ips[@]/#/http://}"; do
    case $url in http://10.88.*) url=$url:30080/ ;; esac
    await 15 "an answer at $url" answers "$url"
    run curl -fsS -m 3 "$url"
done

title "Kill the leader"
run c8s status
leader='next(p for p in d["processes"] if p.get("leader"))'
leader_host=$(status_field "$leader"'["host"]')
leader_pid=$(status_field "$leader"'["pid"]')
echo "  $leader_host leads the store; its API server is process $leader_pid"
run kill -9 "$leader_pid"
killed=$SECONDS
sed 's/replicas: 4/replicas: 6/' deploy/examples/web.yaml | run c8s apply -f -
await 30 "6 ready replicas without $leader_host" ready_replicas 6
echo "  6 replicas are ready $((SECONDS - killed)) s after the kill, without $leader_host"
run curl -fsS -m 3 "http://$cluster_ip/"
has_leader() { status_field "$leader"; }
await 15 "a new leader" has_leader
new_leader=$(status_field "$leader"'["host"]')
echo "  $new_leader leads now"

title "Bring the killed member back; it catches up"
run c8s up
etcd=$(dirname "$KUBECONFIG")/cp1/pki/etcd
endpoints=$(status_field '",".join("https://" + p["addresses"][1] for p in d["processes"] if p["role"] == "apiserver")')
run c8s kv --endpoints="$endpoints" --cacert="$etcd/ca.crt" --cert="$etcd/healthcheck-client.crt" \
    --key="$etcd/healthcheck-client.key" endpoint status -w table

title "Done"
cat <<END
The cluster is running. Try next:

  export KUBECONFIG=$KUBECONFIG
  c8s get pods -o wide            (or kubectl: the kubeconfig is an ordinary one)
  curl http://$cluster_ip/
  c8s logs deployment/web
  c8s status

  sudo c8s down                   removes every trace of it
END
