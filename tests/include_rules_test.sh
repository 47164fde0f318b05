#!/usr/bin/env bash
# include_rules.py finds seeded violations, and nothing else.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seed() { # PATH LINE…: a source with these lines
    mkdir -p "$work/$(dirname "$1")"
    printf '%s\n' "${@:2}" >"$work/$1"
}
seed base/a.h '#include <stdio.h>'
seed api/good.c '#include "base/a.h"' '#include "api/x.h"' '#include <yyjson.h>'
seed raft/raft.c '#include "base/str.h"' '#include "raft/raft.h"'
seed raft/transport.c '#include "net/loop.h"' '#include <uv.h>'
check "a tree that keeps the rules" "$here/include_rules.py" "$work"

refuse() { # NAME PATTERN PATH LINE
    seed "$3" "$4"
    check_fails "$1" "$2" "$here/include_rules.py" "$work"
    rm "$work/$3"
}
refuse "base knows nobody" 'base/bad.c:1: base/ must not include "net/loop.h"' base/bad.c '#include "net/loop.h"'
refuse "raft knows no store" 'raft/ must not include' raft/bad.c '#  include "kvstore/kv.h"'
refuse "api knows no HTTP" 'api/ must not include' api/bad.h '#include "net/http.h"'
refuse "client knows no server" 'client/ must not include' client/bad.c '#include "apiserver/server.h"'
refuse "the server knows no scheduler" 'apiserver/ must not include' apiserver/bad.c '#include "client/client.h"'
refuse "node knows no store" 'node/ must not include' node/bad.c '#include <kvstore/kv.h>'
refuse "no way around by .." 'by ../' node/proxy/bad.c '#include "../../kvstore/kv.h"'
refuse "the pure core knows no loop" 'pure core must not include' raft/raft_vote.c '#include "net/loop.h"'
refuse "the pure core knows no clock" 'pure core must not include "time.h"' raft/raft.h '#include <time.h>'
finish
