#!/usr/bin/env bash
# Build Kubernetes' own end-to-end suite (1.20) from Debian 12's source package, and what its pods run.
#
#   tests/integration/get-e2e-test.sh DIR     leaves DIR/e2e.test, DIR/ginkgo and DIR/agnhost, and prints DIR
#
# Needs what get-kube-apiserver.sh needs, which unpacks the source and generates its code, and a few minutes more. One
# line of the suite is changed: before each spec it waits for the namespace's account to have a token's Secret, which no
# server since 1.24 makes; today's suite waits for the account.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mkdir -p "${1:?directory}" && cd "$1" && pwd)
exec 3>&1 >&2
source=$dir/gopath/src/k8s.io/kubernetes
[ -d "$source/_output" ] || { rm -f "$dir/kube-apiserver" && "$here/get-kube-apiserver.sh" "$dir"; }
cd "$source"
sed -i '/^func serviceAccountHasSecrets/,/^}/s/return len(t.Secrets) > 0, nil/return t != nil, nil/' test/e2e/framework/util.go
export HOME="$dir/home" GOPATH="$dir/gopath" GOCACHE="$dir/gocache" CGO_ENABLED=0 GO111MODULE=off
version=k8s.io/component-base/version
[ -x "$dir/e2e.test" ] || go test -c -vet=off -o "$dir/e2e.test" \
    -ldflags "-s -w -X $version.gitVersion=v1.20.2 -X $version.gitMajor=1 -X $version.gitMinor=20" ./test/e2e
[ -x "$dir/ginkgo" ] || go build -o "$dir/ginkgo" ./vendor/github.com/onsi/ginkgo/ginkgo
[ -x "$dir/agnhost" ] || go build -ldflags '-s -w' -o "$dir/agnhost" ./test/images/agnhost
echo "$dir" >&3
