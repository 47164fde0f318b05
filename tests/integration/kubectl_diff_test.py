#!/usr/bin/env python3
"""Can kubectl and Helm tell c8s from a real kube-apiserver? The same command lines against both, what they say compared.

    kubectl_diff_test.py C8S_APISERVER KUBE_APISERVER ETCD CLIENT… [--only CASE…] [--verbose] [--unused] [--covered FILE]

By hand, since no distribution ships the server: get-kube-apiserver.sh beside it builds 1.20. Each CLIENT is a kubectl or a helm, and gets
two new servers. Cases are the functions case_… of kubectl_diff_{cases,more,ways}.py (helm_… for Helm); --only takes those whose
name has one of the words. Where 1.35, which c8s follows, leads to another output than 1.20, kubectl_diff_known.py says so and why; all
else that differs is printed and makes the test fail. --unused names entries of that list that covered nothing, --covered writes what each
covered to a file, one JSON object a line: for whoever wants to know whether an entry is as narrow as it could be.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback

import api_diff_lib
import kubectl_diff_cases
import kubectl_diff_more
import kubectl_diff_ways
from api_diff_known import KNOWN as KNOWN_OF_OBJECTS
from kubectl_diff_known import KNOWN
from kubectl_diff_lib import Client

# Of groups that c8s has v1 of, the older versions are not wanted: clients of that time prefer them, and show them otherwise.
GONE = ("admissionregistration.k8s.io/v1beta1 apiextensions.k8s.io/v1beta1 apiregistration.k8s.io/v1beta1 authentication.k8s.io/v1beta1 "
        "authorization.k8s.io/v1beta1 certificates.k8s.io/v1beta1 coordination.k8s.io/v1beta1 events.k8s.io/v1beta1 "
        "extensions/v1beta1 networking.k8s.io/v1beta1 node.k8s.io/v1beta1 rbac.authorization.k8s.io/v1beta1 "
        "scheduling.k8s.io/v1beta1 storage.k8s.io/v1beta1 autoscaling/v2beta1").split()
KUBE_FLAGS = ["--feature-gates=BoundServiceAccountTokenVolume=true,IPv6DualStack=true",
              "--runtime-config=" + ",".join("%s=false" % g for g in GONE)]


def version(program):
    helm = os.path.basename(program) == "helm"
    out = subprocess.run([program, "version", *(["--short"] if helm else ["--client", "-o", "json"])], check=True, capture_output=True,
                         text=True).stdout
    return "helm " + out.strip() if helm else "kubectl " + json.loads(out)["clientVersion"]["gitVersion"]


def cases(client, only):
    start = "helm_" if client.label == "helm" else "case_"
    for module in (kubectl_diff_cases, kubectl_diff_more, kubectl_diff_ways):
        for name, run in vars(module).items():
            if name.startswith(start) and (not only or any(w in name for w in only)):
                yield name, run


def tried(program, minor, args, only, known, verbose):
    """(compared, different) of all cases of one program."""
    kube, close = api_diff_lib.oracle(args[1], args[2], KUBE_FLAGS)
    try:
        c8s, remove = api_diff_lib.ours(args[0], ["--service-cluster-ip-range=10.0.0.0/16"])
        try:
            pair = api_diff_lib.Pair(kube, c8s, known, verbose)
            with tempfile.TemporaryDirectory(prefix="kubectl-diff-") as work:
                client = Client(pair, program, minor, work)
                for name, run in cases(client, only):
                    started, asked, failed = time.monotonic(), pair.asked, sum(pair.failed.values())
                    try:
                        run(client)
                    except Exception:
                        pair.failed["broken " + name] = 1
                        traceback.print_exc(limit=5)
                    print("done %-24s %5d commands, %4d differ, %6.1f s" % (
                        name, pair.asked - asked, sum(pair.failed.values()) - failed, time.monotonic() - started), flush=True)
            return pair.asked, sum(pair.failed.values())
        finally:
            remove()
    finally:
        close()


def noting(path):
    """What every entry covers is written down."""
    covers, out = api_diff_lib.Known.covers, open(path, "a", buffering=1)

    def noted(self, request, at, a, b):
        if not covers(self, request, at, a, b):
            return False
        out.write(json.dumps({"why": self.why, "request": request, "at": at, "kube": str(a), "c8s": str(b)}) + "\n")
        return True
    api_diff_lib.Known.covers = noted


def main():
    words = sys.argv[1:]
    if "--covered" in words:
        at = words.index("--covered")
        noting(words[at + 1])
        del words[at:at + 2]
    only = words[words.index("--only") + 1:] if "--only" in words else []
    args = [a for a in (words[:words.index("--only")] if only else words) if not a.startswith("--")]
    if len(args) < 4:
        raise SystemExit(__doc__)
    only = [w for w in only if not w.startswith("--")]
    known = KNOWN + KNOWN_OF_OBJECTS
    bad = 0
    for program in args[3:]:
        name = version(program)
        print("== " + name, flush=True)
        asked, different = tried(program, int(re.search(r"v\d+\.(\d+)", name).group(1)), args, only, known, "--verbose" in words)
        print("%s: %d commands compared, %d differ" % (name, asked, different), flush=True)
        bad += different or not asked
    if "--unused" in words:
        for k in KNOWN:
            if not k.used:
                print("unused: %s (%s)" % (k.at.pattern, k.why))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
