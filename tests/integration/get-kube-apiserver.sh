#!/usr/bin/env bash
# Build an unmodified kube-apiserver (Kubernetes 1.20) from Debian 12's source package.
#
#   tests/integration/get-kube-apiserver.sh DIR     leaves DIR/kube-apiserver and prints its path
#
# Takes Debian's Go compiler, about 4 GB of disk and 10 to 20 minutes; does nothing when it is there already.
# Newer releases are in no distribution that apt reaches here. Of its libraries one is Debian 12's instead of the one of
# 2018 that comes with it, which reads no map of a Go as new as Debian 12's and crashes on every object with data in JSON.
set -euo pipefail
dir=$(mkdir -p "${1:?directory}" && cd "$1" && pwd)
[ ! -x "$dir/kube-apiserver" ] || { echo "$dir/kube-apiserver"; exit; }
exec 3>&1 >&2

reflect2=/usr/share/gocode/src/github.com/modern-go/reflect2
command -v go >/dev/null && command -v rsync >/dev/null && command -v dpkg-source >/dev/null && [ -d $reflect2 ] ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q golang-go golang-github-modern-go-reflect2-dev dpkg-dev rsync
uri=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "bookworm" && !uri { uri = $2 } END { print uri }')
[ -n "$uri" ] || { echo "get-kube-apiserver: apt has no source for Debian 12"; exit 1; }

mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/gopath/src/k8s.io" "$dir/home"
printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s bookworm main\n' "$uri" >"$dir/apt/sources.list"
apt=(-q -o APT::Sandbox::User=root -o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$dir/apt/lists" -o "Dir::Cache=$dir/apt/cache")
cd "$dir"
apt-get "${apt[@]}" update
apt-get "${apt[@]}" source --download-only kubernetes
rm -rf "$dir/gopath/src/k8s.io/kubernetes"
dpkg-source -x kubernetes_*.dsc "$dir/gopath/src/k8s.io/kubernetes"
cd "$dir/gopath/src/k8s.io/kubernetes"
rm vendor/github.com/modern-go/reflect2/*.go vendor/github.com/modern-go/reflect2/*.s
cp $reflect2/*.go $reflect2/*.s vendor/github.com/modern-go/reflect2/
env HOME="$dir/home" GOPATH="$dir/gopath" GOCACHE="$dir/gocache" CGO_ENABLED=0 KUBE_GIT_VERSION=v1.20.2 \
    make WHAT=cmd/kube-apiserver
install "$(find _output -type f -name kube-apiserver | head -1)" "$dir/kube-apiserver"
echo "$dir/kube-apiserver" >&3
