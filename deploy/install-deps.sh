#!/usr/bin/env bash
# Install what c8s needs on Debian 12 or 13 or Ubuntu 24.04. Run as root; running it again does nothing.
#
#   deploy/install-deps.sh [--build-only | --run | --all]
#   deploy/install-deps.sh --unpack-later PACKAGE DIRECTORY
#
#   --build-only   compiler and libraries
#   --run          and what a cluster on this machine runs: containerd, runc, CNI plugins, nftables
#   --all          and what the tests use: real clients, etcd, clang's fuzzer (the default)
#   --unpack-later unpack a package of the next release into a directory, installing nothing: a newer etcd
#                  to compare with
#
# Everything comes from the distribution's packages. Debian 12 and Ubuntu 24.04 lack yyjson and llhttp:
# these two come from the next (long-term) release, on the mirror that apt is configured with; they need
# nothing but libc ≥ 2.14.
set -euo pipefail

build=(build-essential cmake ninja-build ccache pkg-config python3
    libuv1-dev libprotobuf-c-dev libprotobuf-dev protobuf-compiler
    protobuf-c-compiler python3-protobuf liblmdb-dev
    libssl-dev libyaml-dev libnghttp2-dev libwslay-dev zlib1g-dev libnftables-dev libcrypt-dev
    libpcre2-dev libcmocka-dev libyyjson-dev libllhttp-dev)
run=(containerd runc containernetworking-plugins nftables iproute2 umoci busybox-static
    ca-certificates curl procps util-linux openssl xz-utils)
tests=(etcd-server etcd-client skopeo jq wrk nghttp2-client lmdb-utils faketime libfuse3-dev fuse3
    iptables conntrack socat clang lld zstd unzip psmisc man-db git prometheus)
# Used by a test where the distribution has them; that test says so where it does not.
tests_optional=(python3-kubernetes python3-etcd3)
# Of those above, what Debian 12 and Ubuntu 24.04 lack and a later release has.
from_later_release=" libyyjson-dev libllhttp-dev "
# Debian starts these on installation; c8s runs its own, so they stay off.
services=(containerd etcd prometheus prometheus-node-exporter)

say() { printf '%s\n' "install-deps: $*"; }
die() { say "$*" >&2; exit 1; }

level=--all
case "${1:-}" in
'') ;;
--build-only | --run | --all) level=$1 ;;
--unpack-later)
    level=$1
    [ $# = 3 ] || die "--unpack-later needs a package and a directory"
    ;;
-h | --help) sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 0 ;;
*) die "unknown option: $1 (--build-only, --run, --all or --unpack-later)" ;;
esac
wanted=("${build[@]}")
[ "$level" = --build-only ] || wanted+=("${run[@]}")
if [ "$level" = --all ]; then
    wanted+=("${tests[@]}")
    command -v npm >/dev/null || wanted+=(npm)
fi

installed() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]; }
candidate() { [[ "$(LC_ALL=C apt-cache policy "$1" 2>/dev/null)" =~ Candidate:\ [^\(] ]]; }
missing() { # PACKAGE…: those not installed
    local p
    for p in "$@"; do [ -z "$p" ] || installed "$p" || printf '%s\n' "$p"; done
}
# clang's fuzzer and sanitizers are a package named after the version that `clang` stands for.
clang_runtime() {
    local version
    version=$(LC_ALL=C apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
    [ -z "$version" ] || printf 'libclang-rt-%s-dev\n' "${version%%$'\n'*}"
}

mapfile -t need < <(missing "${wanted[@]}")
if [ "$level" = --all ] && installed clang; then
    mapfile -t -O "${#need[@]}" need < <(missing "$(clang_runtime)")
fi
if [ "$level" != --unpack-later ]; then
    [ "${#need[@]}" -gt 0 ] || { say "everything is installed already"; exit 0; }
    [ "$(id -u)" = 0 ] || die "run as root, to install: ${need[*]}"
fi
command -v apt-get >/dev/null || die "needs apt (Debian or Ubuntu)"

export DEBIAN_FRONTEND=noninteractive
work=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
made_policy=
cleanup() {
    [ -z "$made_policy" ] || rm -f "$policy"
    rm -rf "$work"
}
trap cleanup EXIT

quietly() { # run a command; its output only when it fails
    "$@" >"$work/log" 2>&1 || { tail -40 "$work/log" >&2; die "failed: $*"; }
}
if [ "$level" != --unpack-later ]; then
    say "update the package lists"
    quietly apt-get -q -o Acquire::Retries=3 update
fi

# --- what this release lacks, from a later one ---

later_release() { # PACKAGE…: "suite components keyring"
    . /etc/os-release
    case "${ID:-}-${VERSION_CODENAME:-}" in
    debian-bookworm) echo "trixie main debian-archive-keyring" ;;
    ubuntu-noble) echo "resolute universe ubuntu-archive-keyring" ;;
    *) die "${PRETTY_NAME:-this system} has no package for: $*; known are Debian 12 and 13 and Ubuntu 24.04" ;;
    esac
}
# The mirror of this release's archive, as apt itself names it.
mirror() {
    . /etc/os-release
    apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suite="$VERSION_CODENAME" '$1 == suite && !uri { uri = $2 } END { print uri }'
}
# The packages of the next release into $work/later/debs, the present directory afterwards.
fetch_from_later_release() { # PACKAGE…
    local release suite component keyring uri signed='' p libraries=()
    release=$(later_release "$@") || exit 1
    read -r suite component keyring <<<"$release"
    uri=$(mirror)
    [ -n "$uri" ] || die "apt has no source for this release's archive"
    keyring=/usr/share/keyrings/$keyring.gpg
    [ ! -e "$keyring" ] || signed="[signed-by=$keyring] "
    say "take from $suite: $*"
    mkdir -p "$work/later/lists/partial" "$work/later/cache/archives/partial" "$work/later/debs"
    printf 'deb %s%s %s %s\n' "$signed" "$uri" "$suite" "$component" >"$work/later/sources.list"
    local apt=(-o Acquire::Retries=3 -o APT::Sandbox::User=root
        -o "Dir::Etc::sourcelist=$work/later/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$work/later/lists" -o "Dir::Cache=$work/later/cache")
    quietly apt-get "${apt[@]}" update
    for p in "$@"; do # each -dev package depends on just the library of the same version
        [[ $p != *-dev ]] ||
            libraries+=("$(apt-cache "${apt[@]}" show "$p" | awk '/^Depends: / && !done { print $2; done = 1 }')")
    done
    cd "$work/later/debs"
    quietly apt-get "${apt[@]}" download "$@" "${libraries[@]}"
}
install_from_later_release() { # PACKAGE…
    fetch_from_later_release "$@"
    quietly dpkg -i ./*.deb
    cd /
}
if [ "$level" = --unpack-later ]; then
    mkdir -p "$3"
    to=$(realpath "$3")
    fetch_from_later_release "$2"
    for deb in ./*.deb; do quietly dpkg -x "$deb" "$to"; done
    cd /
    exit 0
fi

here=() later=()
for p in "${need[@]}"; do
    if candidate "$p"; then
        here+=("$p")
    elif [[ $from_later_release == *" $p "* ]]; then
        later+=("$p")
    else
        die "no package named $p in this system's sources"
    fi
done
if [ "$level" = --all ]; then
    mapfile -t -O "${#here[@]}" here < <(missing "$(clang_runtime)")
    for p in $(missing "${tests_optional[@]}"); do
        if candidate "$p"; then here+=("$p"); else say "no package $p here: tests that use it are skipped"; fi
    done
fi

if [ "${#here[@]}" -gt 0 ]; then
    if [ ! -e "$policy" ]; then # no service is started by its installation
        made_policy=1
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    say "install: ${here[*]}"
    quietly apt-get -q -o Acquire::Retries=3 install -y --no-install-recommends "${here[@]}"
    if [ -d /run/systemd/system ]; then # nor at the next boot
        for s in "${services[@]}"; do
            case " ${here[*]} " in
            *" $s "* | *" $s-server "*) systemctl disable --now "$s" >/dev/null 2>&1 || say "could not disable service $s" ;;
            esac
        done
    fi
fi
[ "${#later[@]}" -eq 0 ] || install_from_later_release "${later[@]}"

mapfile -t need < <(missing "${wanted[@]}")
[ "${#need[@]}" -eq 0 ] || die "still missing: ${need[*]}"
say "done"
