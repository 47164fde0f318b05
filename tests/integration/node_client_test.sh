#!/usr/bin/env bash
# The official JavaScript client (npm: @kubernetes/client-node) against the API server.
#
# Usage: node_client_test.sh BINARY [CACHE_DIR]     exit code 77: skipped, and it says why
set -euo pipefail
here=$(realpath "$(dirname "$0")")
cache=${2:-${TMPDIR:-/tmp}/c8s-npm-client-node}
command -v npm >/dev/null && command -v node >/dev/null || { echo "SKIP: node and npm are not installed"; exit 77; }
mkdir -p "$cache"
if [ ! -d "$cache/node_modules/@kubernetes/client-node" ]; then
    (cd "$cache" && timeout 120 npm install --silent --no-audit --no-fund --ignore-scripts @kubernetes/client-node@1 >npm.log 2>&1) || {
        echo "SKIP: npm cannot fetch @kubernetes/client-node: $(tail -1 "$cache/npm.log")"
        exit 77
    }
fi
cp "$here/node_client_test.mjs" "$cache/test.mjs"
exec python3 - "$1" "$here" "$cache" <<'PY'
import os, subprocess, sys, tempfile
binary, here, cache = sys.argv[1:]
sys.path[:0] = [here, os.path.join(here, "../e2e")]
from apiserver_lib import Server
from apiserver_streams_test import with_agent
from tour_test import kubeconfig
server = Server(os.path.abspath(binary))
with tempfile.TemporaryDirectory(prefix="c8s-node-") as work:
    try:
        server.start()
        with_agent(server)
        done = subprocess.run(["node", os.path.join(cache, "test.mjs")], timeout=120,
                              env=dict(os.environ, KUBECONFIG=kubeconfig(server, os.path.join(work, "config"))))
        ended = server.stop()
        if ended:
            print("the server ended with %d:\n%s" % (ended, server.log_tail()))
        sys.exit(done.returncode or ended)
    finally:
        server.remove()
PY
