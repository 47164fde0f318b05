#!/usr/bin/env bash
# c8s up, status, pause, down: a local cluster starts, heals, grows, and leaves no trace.
#
# Uses a cluster of its own name; others on the machine are not touched.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
PATH=${C8S_BIN:?directory of the executables}:$PATH
cluster=e2e-up
work=$(mktemp -d)
cleanup() {
    c8s down --name $cluster >/dev/null 2>&1
    rm -rf "$work"
}
trap cleanup EXIT

# Everything on the machine that a cluster could leave behind.
trace() {
    ip netns list | sort
    ip -o link show | sed -E 's/^[0-9]+: //; s/ mtu .*//' | sort
    ip route show | sort
    nft list tables | sort
    cut -d' ' -f5 /proc/self/mountinfo | sort
    cat /etc/hosts /proc/sys/net/ipv4/ip_forward
    find /var/lib/c8s /run/c8s /sys/fs/cgroup -name "*$cluster*" 2>/dev/null | sort
    for exe in /proc/[0-9]*/exe; do
        case $(readlink "$exe" 2>/dev/null) in
        "$C8S_BIN"/* | */containerd | */containerd-shim*) tr '\0' ' ' <"${exe%exe}cmdline" && echo ;;
        esac
    done | sort
}
status() { c8s status --name $cluster "$@"; }
of() { status -o json | jq -r --arg role "$1" --arg host "$cluster-$2" '.processes[] | select(.role == $role and .host == $host) | '"$3"; }
state_is() { [ "$(of "$1" "$2" "$3")" = "$4" ]; }

trace >"$work/before"
check_fails "a bad name is refused" 'cluster name "A": must be' c8s up --name A
check_fails "no members is refused" '--members: must be 1 to' c8s up --name $cluster --members 0
check_fails "an unknown flag is named" 'unknown flag: --worker' c8s up --worker 3
check_fails "no such cluster" "no cluster named $cluster" c8s status --name $cluster
check_output "down of nothing succeeds" "no cluster named $cluster" c8s down --name $cluster

begin=$(date +%s%N)
check "up" c8s up --name $cluster --members 3 --nodes 2
ms=$((($(date +%s%N) - begin) / 1000000))
echo "     up took $ms ms"
check "everything is ready" status
check_output "status lists every process" '^13$' sh -c "c8s status --name $cluster -o json | jq '.processes | length'"
check_output "exactly one member leads" '^1$' sh -c "c8s status --name $cluster -o json | jq '[.processes[] | select(.leader)] | length'"
export KUBECONFIG=/var/lib/c8s/clusters/$cluster/admin.conf
check_output "kubeconfig names its file" "^$KUBECONFIG\$" c8s kubeconfig --name $cluster --path
check_output "the kubeconfig works" "$cluster-node2" c8s get nodes
check_output "up again changes nothing" "is up after" c8s up --name $cluster
check_fails "the members of a cluster are not changed by up" 'has 3' c8s up --name $cluster --members 5

for host in cp1 cp2 cp3; do state_is apiserver $host .leader true && leader=$host; done
kill -9 "$(of apiserver "$leader" .pid)"
check "a killed member shows as dead" eventually 60 state_is apiserver "$leader" .running false
check_fails "and status says so by its exit code" dead status
check "the cluster answers without it" eventually 60 c8s get nodes
check "up brings it back" c8s up --name $cluster -q
check "ready again" status

agent=$(of node node1 .pid)
kill -9 "$agent" "$(of containerd node1 .pid)"
check "a killed node agent and containerd come back" c8s up --name $cluster -q
check "ready again" status

check "pause" c8s pause --name $cluster cp2
check "paused" state_is apiserver cp2 .paused true
check "unpause" c8s unpause --name $cluster cp2
check "ready after the pause" eventually 60 status
check "a node is added" c8s up --name $cluster --nodes 3 -q
check_output "and joins" "$cluster-node3" c8s get nodes

check "down" c8s down --name $cluster
trace >"$work/after"
check "no trace is left" diff "$work/before" "$work/after"
finish
