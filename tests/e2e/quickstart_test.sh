#!/usr/bin/env bash
# The README's first command, from packages to the tour's end. Skipped when a cluster named c8s is in use.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
c8s=$here/../../build/release/bin/c8s
[ ! -e /var/lib/c8s/clusters/c8s ] || { echo "skipped: a cluster named c8s is running on this machine"; exit 77; }
out=$(mktemp)
trap '"$c8s" down >/dev/null 2>&1; rm -f "$out"' EXIT

check "quickstart" sh -c "'$here/../../deploy/quickstart.sh' >'$out' 2>&1 || { cat '$out'; false; }"
check_output "the cluster came up" 'Cluster c8s is up after' cat "$out"
check_output "the application runs on both nodes" 'on 2 nodes' cat "$out"
check_output "the pod, the service and both node ports answered" '^[5-9]$' grep -c '^hello from web-' "$out"
check_output "it went on without the leader" '6 replicas are ready [0-9]+ s after the kill' cat "$out"
check "within 10 seconds" sh -c "[ \$(sed -n 's/.*replicas are ready \([0-9]*\) s after.*/\1/p' '$out') -le 10 ]"
# Leases are renewed while the three are asked one after the other: a few entries are no lag.
check "the killed member has caught up" awk -F'|' '
    /^[|] https:/ { n++; if (n == 1 || $10 > most) most = $10; if (n == 1 || $10 < least) least = $10 }
    END { exit !(n == 3 && most - least <= 20) }' "$out"
check "the cluster is left up and ready" "$c8s" status
check "down" "$c8s" down
check_fails "nothing is left" 'no cluster' "$c8s" status
finish
