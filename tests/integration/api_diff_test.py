#!/usr/bin/env python3
"""Do c8s and a real kube-apiserver behave alike? The same requests to both, answers compared field by field.

    api_diff_test.py C8S_APISERVER KUBE_APISERVER ETCD [CASE…] [--seeds FROM TO] [--verbose] [--unused]

By hand, since no distribution ships the server: get-kube-apiserver.sh beside it builds 1.20. Cases are the functions case_… of
api_diff_cases.py, api_diff_more.py, api_diff_patches.py and api_diff_wire.py; a word takes those whose name has it. With --seeds, random sequences of writes instead.
Where 1.35, which c8s follows, answers otherwise than 1.20, api_diff_known.py says so and why; everything else that differs is
printed and makes the test fail. --unused names entries of that list that covered nothing.
"""
import sys
import time
import traceback

import api_diff_cases
import api_diff_lib
import api_diff_more
import api_diff_patches
import api_diff_wire
from api_diff_known import KNOWN

KUBE_FLAGS = ["--feature-gates=BoundServiceAccountTokenVolume=true,IPv6DualStack=true"]


def cases(wanted):
    if "--seeds" in sys.argv:
        at = sys.argv.index("--seeds")
        for seed in range(int(sys.argv[at + 1]), int(sys.argv[at + 2]) + 1):
            yield "random writes, seed %d" % seed, lambda p, seed=seed: api_diff_patches.random_writes(p, seed)
        return
    for module in (api_diff_cases, api_diff_more, api_diff_patches, api_diff_wire):
        for name, run in vars(module).items():
            if name.startswith("case_") and (not wanted or any(w in name for w in wanted)):
                yield name, run


def main():
    options = sys.argv.index("--seeds") if "--seeds" in sys.argv else len(sys.argv)
    args = [a for a in sys.argv[1:options] if not a.startswith("--")]
    if len(args) < 3:
        raise SystemExit(__doc__)
    kube, close = api_diff_lib.oracle(args[1], args[2], KUBE_FLAGS)
    broken = []
    try:
        c8s, remove = api_diff_lib.ours(args[0], ["--service-cluster-ip-range=10.0.0.0/16", "--service-account-issuer=https://x"])
        try:
            pair = api_diff_lib.Pair(kube, c8s, KNOWN, "--verbose" in sys.argv)
            for name, run in cases(args[3:]):
                started, asked = time.monotonic(), pair.asked
                try:
                    run(pair)
                    print("done %-40s %5d answers %6.1f s" % (name, pair.asked - asked, time.monotonic() - started), flush=True)
                except Exception:
                    broken.append(name)
                    traceback.print_exc(limit=5)
        finally:
            remove()
    finally:
        close()
    if "--unused" in sys.argv:
        for k in KNOWN:
            if not k.used:
                print("unused: %s (%s)" % (k.at.pattern, k.why))
    different = sum(pair.failed.values())
    print("%d answers compared, %d differ%s" % (pair.asked, different, ", broken: " + " ".join(broken) if broken else ""))
    return 1 if different or broken else 0


if __name__ == "__main__":
    sys.exit(main())
