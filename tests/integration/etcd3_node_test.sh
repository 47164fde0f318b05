#!/usr/bin/env bash
# The Node client `etcd3` (npm; grpc-js, which shares nothing with the others) against the store.
#
# Usage: etcd3_node_test.sh BIN_DIR [CACHE_DIR]     exit code 77: skipped, and it says why
set -euo pipefail
bin=$(realpath "${1:?directory of the executables}")
cache=${2:-${TMPDIR:-/tmp}/c8s-npm-etcd3}
here=$(realpath "$(dirname "$0")")
. "$here/../lib.sh"
command -v npm >/dev/null && command -v node >/dev/null || { echo "SKIP: node and npm are not installed"; exit 77; }
mkdir -p "$cache"
if [ ! -d "$cache/node_modules/etcd3" ]; then
    (cd "$cache" && timeout 120 npm install --silent --no-audit --no-fund --ignore-scripts etcd3@1 >npm.log 2>&1) || {
        echo "SKIP: npm cannot fetch etcd3: $(tail -1 "$cache/npm.log")"
        exit 77
    }
fi
dir=$(mktemp -d)
reserve_ports
url=http://127.0.0.1:$port
"$bin/c8s-apiserver" --store-only --data-dir "$dir/data" --listen-client-urls "$url" --advertise-client-urls "$url" 2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server || { echo "the server ended with $?"; tail -20 "$dir/log"; }; rm -rf "$dir"' EXIT
eventually 60 curl -sf -o /dev/null "$url/health"
cp "$here/etcd3_node_test.js" "$cache/test.js"
timeout 100 node "$cache/test.js" "127.0.0.1:$port"
