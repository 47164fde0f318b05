#!/usr/bin/python3
"""Members added, promoted, updated, removed and replaced by Debian's etcdctl, under a write load whose acknowledged
writes are all checked at the end; members are real processes, with peer certificates of their own.

Usage: membership_test.py BIN_DIR [--long] [SCENARIO…]

The short form runs every scenario once; --long runs the load longer around each step and repeats the replacements.
"""
import functools
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from membership_lib import Cluster, Dead, check, run, wait_for  # noqa: E402

LONG = "--long" in sys.argv


def add(c, member, *flags, members=None):
    return c.ok("member", "add", member.name, f"--peer-urls={member.peer_url}", *flags, members=members)


def join(c, member, others):
    """Start a member that was added, and wait until it serves."""
    member.start(others + [member], "existing")
    wait_for(f"{member.name} to be listed as started", lambda: member.name in c.list())
    return member


def promote(c, member):
    """As an operator does: again while it is not in sync."""
    def try_it():
        code, out, error = c.etcdctl("member", "promote", c.id_of(member))
        if code and "in sync with leader" not in error and "unhealthy" not in error:
            raise Dead(f"promote {member.name}: {error}")
        return code == 0
    wait_for(f"{member.name} to be promoted", try_it)


def wait_gone(name, member):
    """A member that was removed while it ran stops by itself, as etcd: exit code 0, and says why."""
    code = member.exit_code()
    check(f"{name}: stops by itself", code == 0, f"exit {code}")
    check(f"{name}: says so", member.said("has been removed from the cluster"))


# ---- scenarios ----

def founding(bin_dir):
    """Three empty members started with `new`, in any order, the last long after a quorum works."""
    c = Cluster(bin_dir)
    m = [c.member(i) for i in (1, 2, 3)]
    m[1].start(m, "new")
    wait_for("m2 to look for the others", lambda: m[1].said("cannot connect to peer"))
    m[2].start(m, "new")
    c.wait_serving(m[2])
    c.ok("put", "founded", "early", members=[m[1]])
    m[0].start(m, "new")
    c.wait_serving(m[0])
    check("a founder that comes late joins in", c.ok("get", "founded", "--print-value-only", members=[m[0]]) == "early")
    # As with etcd, what the flags say about the founding does not matter once there is a directory.
    for state in ("existing", "new"):
        m[0].stop()
        m[0].start([m[0]] if state == "existing" else m, state)
        c.wait_serving(m[0])
    check("restarted with any --initial-cluster-state", len(c.list(m[0])) == 3)


def wiped(bin_dir):
    """A lost directory: whatever the flags say, the member must not come back under its old id."""
    c = Cluster(bin_dir)
    m = c.found()
    load = c.load(members=[m[0], m[1]])
    load.wait_more()
    for state in ("new", "existing"):
        m[2].kill()
        m[2].wipe() if state == "new" else None
        m[2].start(m, state)
        code = m[2].exit_code()
        check(f"a wiped member is refused (state {state})", code == 1, f"exit {code}")
    check("  it says what to do", m[2].said("member remove .*member add m3 --learner --peer-urls="))
    check("  and makes no directory", not os.path.exists(m[2].dir) or not os.listdir(m[2].dir))
    # Another cluster's member does not found one beside it.
    stranger = c.member(4).start([m[0], m[1], c.member(4)], "new")
    check("a stranger with `new` is refused", stranger.exit_code() == 1)
    check("  it says why", stranger.said("another cluster .* already: to join it, add this member first"))
    stranger.start([m[0], m[1], stranger], "existing")
    check("a stranger with `existing` is refused", stranger.exit_code() == 1)
    check("  it says why", stranger.said("no member of the cluster has the peer URL .*: add it first"))
    # Replaced as the message says.
    c.ok("member", "remove", c.id_of(m[2]))
    add(c, m[2], "--learner")
    join(c, m[2], m[:2])
    promote(c, m[2])
    load.wait_more()
    c.wait_serving(m[2])
    load.verify(m)


def changes(bin_dir):
    """Add, add as learner, promote, update, remove a follower, remove the leader; etcd's errors on the way."""
    c = Cluster(bin_dir, tls=True)
    m = c.found()
    load = c.load()
    load.wait_more()
    c.check_error("remove nobody", "etcdserver: member not found", "member", "remove", "123")
    c.check_error("promote nobody", "etcdserver: member not found", "member", "promote", "123")
    c.check_error("update nobody", "etcdserver: member not found", "member", "update", "123", "--peer-urls=https://127.0.0.1:1")
    c.check_error("promote a voter", "etcdserver: can only promote a learner member", "member", "promote", c.id_of(m[1]))
    c.check_error("add the same URL", "etcdserver: Peer URLs already exists", "member", "add", "x",
                  f"--peer-urls={m[0].peer_url}")
    m4 = c.member(4)
    add(c, m4)
    check("unstarted until it starts", c.list()[m4.peer_url].get("name") is None)
    join(c, m4, m)
    c.wait_serving(m4)
    load.wait_more()
    learner(c, load, m + [m4])
    update(c, load, m)
    follower = next(x for x in m if x is not c.leader())
    c.ok("member", "remove", c.id_of(follower))
    wait_gone("a removed follower", follower)
    follower.restart()
    check("  started again, it refuses", follower.exit_code() == 1)
    check("  and says what to do", follower.said("was removed from the cluster: its data directory .* is of no use"))
    load.wait_more()
    leader = c.leader()
    c.ok("member", "remove", c.id_of(leader))
    wait_gone("a removed leader", leader)
    load.wait_more()
    check("three are left", len(c.list()) == 3, c.list())
    check("a leader among them", c.leader() is not leader)
    down_while_removed(c, load)
    load.verify(c.running())
    print(f"     longest time without an acknowledged write: {load.gap_s:.2f} s, errors {load.errors}")


def learner(c, load, voters):
    m5 = c.member(5)
    add(c, m5, "--learner")
    c.check_error("one learner at a time", "etcdserver: too many learner members in cluster", "member", "add", "x", "--learner",
                  "--peer-urls=https://127.0.0.1:1")
    c.check_error("an unstarted learner is not promoted", "etcdserver: can only promote a learner member which is in sync with leader",
                  "member", "promote", c.id_of(m5))
    join(c, m5, voters)
    check("listed as a learner", c.list()["m5"].get("isLearner") is True, c.list())
    table = c.ok("member", "list", "-w", "table")
    check("member list -w table", [row for row in table.splitlines() if "| m5 " in row and "| true |" in row.replace("  ", " ")],
          table)
    wait_for("the learner to read", lambda: m5.etcdctl("get", "counter/0", "--consistency=s", "--print-value-only")[1])
    c.check_error("a learner takes no writes", "etcdserver: rpc not supported for learner", "put", "x", "y", members=[m5])
    c.check_error("  and no linearizable reads", "etcdserver: rpc not supported for learner", "get", "x", members=[m5])
    c.check_error("  and no leases", "etcdserver: rpc not supported for learner", "lease", "grant", "10", members=[m5])
    status = c.ok("endpoint", "status", "-w", "json", members=[m5])
    check("  it says that it is one", json.loads(status)[0]["Status"].get("isLearner") is True, status)
    promote(c, m5)
    check("promoted", not c.list()["m5"].get("isLearner"))
    c.wait_serving(m5)
    load.wait_more()


def update(c, load, m):
    """A member moves to another port: told first, then restarted."""
    m5 = c.member(5)
    m5.peer_port = 2390
    c.check_ok("member update", "member", "update", c.id_of(m5), f"--peer-urls={m5.peer_url}")
    m5.stop()
    m5.start(m + [m5], "existing")
    c.wait_serving(m5)
    check("  listed", c.list()["m5"]["peerURLs"] == [m5.peer_url], c.list())
    load.wait_more()


def down_while_removed(c, load):
    """A member that was away when it was removed is told when it comes back."""
    member = next(x for x in c.running() if x is not c.leader())
    id_ = c.id_of(member)
    member.kill()
    load.wait_more()
    c.check_error("quorum guard: a working member is needed", "etcdserver: unhealthy cluster", "member", "remove",
                  c.id_of(next(x for x in c.running() if x is not c.leader())))
    c.ok("member", "remove", id_)
    member.restart()
    wait_gone("removed while it was down", member)
    load.wait_more()


SCENARIOS = {f.__name__: f for f in (founding, wiped, changes)}


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    if not shutil.which("etcdctl"):
        print("SKIP: etcdctl is not installed")
        sys.exit(77)
    run({name: functools.partial(f, args[0]) for name, f in SCENARIOS.items()}, args[1:])


if __name__ == "__main__":
    main()
