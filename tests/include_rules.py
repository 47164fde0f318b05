#!/usr/bin/env python3
"""Fails when a folder includes what the architecture does not let it know.

    tests/include_rules.py [ROOT]

Prints each violation as file:line: folder/ must not include "…". Generated code is not looked at.
"""
import os
import re
import sys

# What each folder may include besides itself, from the table in ARCHITECTURE.md. What is not listed
# is refused: nobody includes a folder that stands after it.
ALLOWED = {
    "base": [],
    "bolt": ["base"],
    "proto": ["base"],
    "net": ["base", "proto"],
    "raft": ["base", "proto", "net"],
    "kvstore": ["base", "bolt", "proto", "net", "raft"],
    "api": ["base", "proto"],
    "apiserver": ["base", "proto", "net", "raft", "kvstore", "api"],
    "client": ["base", "proto", "net", "api"],
    "scheduler": ["base", "proto", "net", "api", "client"],
    "controllers": ["base", "proto", "net", "api", "client"],
    "node": ["base", "proto", "net", "api", "client"],
    # The CLI is the top floor, but talks to servers over their wire contracts like anybody else.
    # From node/ it takes what starts a local cluster's nodes.
    "cli": ["base", "bolt", "proto", "net", "api", "client", "node"],
}
# The pure consensus core (raft.c, raft_*.c and the headers beside them) does no I/O.
PURE = re.compile(r"raft/(raft(_\w+)?|entry|message|config|progress)\.[ch]")
PURE_REFUSED = ("net/", "proto/", "raft/host.", "raft/journal", "raft/log.", "raft/node", "raft/transport",
                "uv.h", "lmdb.h", "pthread.h", "unistd.h", "sys/socket.h", "time.h", "openssl/")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def sources(root, folder):
    for directory, _, files in os.walk(os.path.join(root, folder)):
        for name in sorted(files):
            if name.endswith((".c", ".h")) and not name.endswith((".pb-c.c", ".pb-c.h")):
                yield os.path.join(directory, name)


def violations(root):
    for folder, allowed in ALLOWED.items():
        for path in sources(root, folder):
            relative = os.path.relpath(path, root)
            pure = PURE.fullmatch(relative)
            with open(path, encoding="utf-8") as text:
                for number, line in enumerate(text, 1):
                    match = INCLUDE.match(line)
                    if not match:
                        continue
                    quote, target = match.groups()
                    place = f"{relative}:{number}"
                    top = target.split("/")[0]
                    if top in ALLOWED and "/" in target and top != folder and top not in allowed:
                        yield f'{place}: {folder}/ must not include "{target}"'
                    elif quote == '"' and "../" in target:
                        yield f'{place}: include from the root, not by ../: "{target}"'
                    elif pure and target.startswith(PURE_REFUSED):
                        yield f'{place}: the pure core must not include "{target}"'


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    if not os.path.isdir(os.path.join(root, "base")):
        sys.exit(f"{root}: no base/ here, so nothing would be checked")
    found = list(violations(root))
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


main()
