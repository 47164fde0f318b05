#!/usr/bin/python3
"""A rolling upgrade under load: members of an older program (C8S_TEST_LEVEL: its feature level, kvstore/members/level.h) are
replaced one by one; what they do not understand is refused until all do, and older programs are refused after that.
Then etcd's downgrade calls, and the versions that clients are told.

Usage: upgrade_test.py BIN_DIR [--long] [SCENARIO]
"""
import functools
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from membership_lib import Cluster, check, run, wait_for  # noqa: E402

LONG = "--long" in sys.argv
OLD = {"C8S_TEST_LEVEL": "1"}
RISES = "feature level rises. from=1 to=2"


def rolling(bin_dir):
    c = Cluster(bin_dir)
    m = [c.member(i) for i in (1, 2, 3)]
    for x in m:
        x.env = OLD
    c.found()
    load = c.load(threads=4 if LONG else 2)
    load.wait_more()
    for round_, x in enumerate(m):
        c.check_error(f"{round_} of 3 new: what the old ones do not know is refused", "etcdserver: not capable", "member", "add", "x",
                      "--peer-urls=http://127.0.0.1:1")
        check("  ends well", x.stop() == 0)
        load.wait_more(500 if LONG else 20)
        x.env = {}
        x.restart()
        c.wait_serving(x)
        load.wait_more(500 if LONG else 20)
        check("  the level stays while an old one is there", round_ == 2 or not any(y.said(RISES) for y in m))
    for x in m:
        wait_for(f"{x.name} to know the new level", lambda: x.said(RISES))
    new = c.member(4)
    c.check_ok("all new: members are added", "member", "add", "m4", f"--peer-urls={new.peer_url}")
    new.env = OLD
    new.start(m + [new], "existing")
    check("an older program does not join", new.exit_code() == 1)
    check("  and says why", new.said("the cluster is at feature level 2, this program knows 1: it is too old"))
    new.env = {}
    new.restart()
    c.wait_serving(new)
    m[2].kill()
    m[2].env = OLD
    m[2].restart()
    check("an older program does not take over a newer one's directory", m[2].exit_code() == 1)
    check("  and says why", m[2].said("the cluster is at feature level 2, this program knows 1: it is too old"))
    m[2].env = {}
    m[2].restart()
    c.wait_serving(m[2])
    load.wait_more()
    load.verify(m + [new])
    load.tell()


def versions(bin_dir):
    """etcd's downgrade calls, and the version in /version, Status and the table."""
    c = Cluster(bin_dir)
    m = c.found()
    path = "/v3/maintenance/downgrade"

    def refused(name, body, wanted, member=m[0]):
        code, answer = member.post(path, body)
        check(name, code != 200 and answer.get("message") == wanted, answer)

    refused("not a version", {"action": "VALIDATE", "version": "three"}, "etcdserver: wrong downgrade target version format")
    refused("too far down", {"action": "VALIDATE", "version": "3.4"}, "etcdserver: invalid downgrade target version")
    refused("up", {"action": "ENABLE", "version": "3.7.0"}, "etcdserver: invalid downgrade target version")
    code, answer = m[1].post(path, {"action": "VALIDATE", "version": "3.5.0"})
    check("validate", code == 200 and answer["version"] == "3.6", answer)
    check("  announces nothing", not m[0].status()["downgradeInfo"].get("enabled"), m[0].status())
    code, answer = m[1].post(path, {"action": "ENABLE", "version": "3.5"})
    check("enable", code == 200, answer)
    for x in m:
        info = wait_for(f"{x.name} to show it", lambda: x.status()["downgradeInfo"].get("enabled") and x.status()["downgradeInfo"])
        check(f"  {x.name} shows it", info == {"enabled": True, "targetVersion": "3.5.0"}, info)
    refused("  once", {"action": "ENABLE", "version": "3.5.0"}, "etcdserver: cluster has a downgrade job in progress", m[2])
    x = m[0]
    x.stop()
    x.restart()
    c.wait_serving(x)
    check("  kept over a restart", x.status()["downgradeInfo"].get("enabled") is True)
    code, answer = m[2].post(path, {"action": "CANCEL"})
    check("cancel", code == 200, answer)
    for x in m:
        wait_for(f"{x.name} to forget it", lambda: not x.status()["downgradeInfo"].get("enabled"))
    code, answer = m[2].post(path, {"action": "CANCEL"})
    check("  twice is no failure", code == 200, answer)
    version = json.loads(m[0].get("/version"))
    check("/version", version == {"etcdserver": "3.6.0", "etcdcluster": "3.6.0", "storage": "3.6.0"}, version)
    check("endpoint status", m[0].etcdctl("endpoint", "status")[1].split(", ")[2] == "3.6.0")
    status = m[0].status()
    check("Status", status["version"] == "3.6.0" and status["storageVersion"] == "3.6.0", status)


SCENARIOS = {f.__name__: f for f in (rolling, versions)}

if __name__ == "__main__":
    if not shutil.which("etcdctl"):
        print("SKIP: etcdctl is not installed")
        sys.exit(77)
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    run({name: functools.partial(f, arguments[0]) for name, f in SCENARIOS.items()}, arguments[1:],
        [__file__, arguments[0]] + [a for a in sys.argv[1:] if a.startswith("--")])
