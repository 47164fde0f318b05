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
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from membership_lib import Cluster, Dead, b64, check, run, wait_for  # noqa: E402

LONG = "--long" in sys.argv


def add(c, member, *flags, members=None):
    member.learner = "--learner" in flags
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
    member.learner = False


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


def lagging(bin_dir):
    """A learner that never ran is replaced by another one under its address, while m3 is away. Then m3 alone is asked
    who that is: it names the one that was removed, and must not be believed."""
    c = Cluster(bin_dir, args=["--strict-reconfig-check=false", "--max-learners", "2"])
    m = c.found()
    m4 = c.member(4)
    add(c, m4, "--learner")
    old = c.id_of(m4)
    wait_for("m3 to list it", lambda: m4.peer_url in c.list(m[2]))
    m[2].kill()
    c.ok("member", "remove", old)
    add(c, m4, "--learner")
    new = c.id_of(m4)
    m[0].kill()
    m[1].kill()
    m[2].restart()
    m4.start([m[2], m4], "existing")
    wait_for("m4 to wait for a majority", lambda: m4.said("only 1 of the 3 other voters answer.*waiting for m[12] .*, m[12] "))
    check("a member that lags is not believed alone", not m4.said("joining cluster=") and not os.path.exists(m4.dir))
    m[0].restart()  # nobody has named it to m4 but m3

    def joined():
        if not m4.running():  # it waits for 10 s only
            m4.restart()
        return m4.name in c.list(m[0])
    wait_for("m4 to join", joined)
    check("a majority knows who it is", m4.said(f"joining cluster=[0-9a-f]+ member={new} ") and not m4.said(f"member={old} "))


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
    check("  started again, it goes again", follower.exit_code() == 0)
    check("  and says what to do", follower.said("its data directory is of no use any more: remove it, add the member anew"))
    load.wait_more()
    leader = c.leader()
    c.ok("member", "remove", c.id_of(leader))
    wait_gone("a removed leader", leader)
    load.wait_more()
    check("three are left", len(c.list()) == 3, c.list())
    check("a leader among them", c.leader() is not leader)
    load.verify(c.running())
    load.tell()


def learner(c, load, voters):
    m5 = c.member(5)
    add(c, m5, "--learner")
    c.check_error("one learner at a time", "etcdserver: too many learner members in cluster", "member", "add", "x", "--learner",
                  "--peer-urls=https://127.0.0.1:1")
    c.check_error("an unstarted learner is not promoted", "etcdserver: can only promote a learner member which is in sync with leader",
                  "member", "promote", c.id_of(m5))
    join(c, m5, voters)
    check("listed as a learner", c.list()["m5"].get("isLearner") is True, c.list())
    table = c.ok("member", "list", "-w", "table", members=voters)
    check("member list -w table", any(row.split("|")[2:4] == [" started ", "   m5 "] and row.endswith(" true |")
                                      for row in table.splitlines()), table)
    wait_for("the learner to read", lambda: m5.etcdctl("get", "load0/counter0", "--consistency=s", "--print-value-only")[1])
    c.check_error("a learner takes no writes", "etcdserver: rpc not supported for learner", "put", "x", "y", members=[m5])
    c.check_error("  and no linearizable reads", "etcdserver: rpc not supported for learner", "get", "x", members=[m5])
    c.check_error("  and no leases", "failed to grant lease (etcdserver: rpc not supported for learner)", "lease", "grant", "10",
                  members=[m5])
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


def guard(bin_dir):
    """The quorum guard: etcd's refusals of changes that would stop the cluster, or need members that never ran."""
    c = Cluster(bin_dir)
    m = c.found()
    load = c.load()
    not_enough = "etcdserver: re-configuration failed due to not enough started members"
    add(c, c.member(4))
    c.check_error("no second member while one has not come", "etcdserver: unhealthy cluster", "member", "add", "x",
                  "--peer-urls=http://127.0.0.1:1")
    unstarted = c.id_of(c.member(4))
    c.check_ok("an unstarted member is removed", "member", "remove", unstarted)
    c.check_error("  which is gone then", "etcdserver: member not found", "member", "remove", unstarted)
    away = next(x for x in m if x is not c.leader())
    other = next(x for x in m if x is not c.leader() and x is not away)
    away.kill()
    wait_for("the leader to notice", lambda: c.leader().said("lost connection to peer"))
    c.check_error("no addition while one is away", "etcdserver: unhealthy cluster", "member", "add", "x",
                  "--peer-urls=http://127.0.0.1:1")
    c.check_error("no working member removed while one is away", "etcdserver: unhealthy cluster", "member", "remove", c.id_of(other))
    c.check_ok("the one that is away is removed", "member", "remove", c.id_of(away))
    away.restart()
    wait_gone("removed while it was down", away)
    load.wait_more()
    c.check_ok("down to one", "member", "remove", c.id_of(other))
    wait_gone("the second one", other)
    c.check_error("the last one stays", not_enough, "member", "remove", c.id_of(c.leader()))
    last = c.leader()
    load.wait_more()
    load.verify([last])
    c.member(5).start([last, c.member(5)], "existing")
    c.check_ok("a second one for a lone member", "member", "add", "m5", f"--peer-urls={c.member(5).peer_url}", members=[last])
    c.wait_serving(c.member(5))
    other = next(x for x in c.running() if x is not c.leader())
    # The guard off on the leader: the addition that was refused is taken.
    other.stop()
    wait_for("the leader to stand down", lambda: last.status().get("leader") is None)
    last.stop()
    for x in (last, other):
        x.restart() if x is other else x.start(args=["--strict-reconfig-check=false"])
    c.wait_serving(last)
    if c.leader() is not last:
        c.check_ok("(lead again)", "move-leader", c.id_of(last))
    c.check_ok("without the guard: a third one", "member", "add", "x", "--peer-urls=http://127.0.0.1:1")
    c.check_ok("  and a fourth", "member", "add", "y", "--peer-urls=http://127.0.0.1:2", members=[last])


def at_once(bin_dir):
    """Several changes at once, through every member: each is made, one after the other."""
    c = Cluster(bin_dir, args=["--max-learners", "3"])
    m = c.found()
    load = c.load()
    results = {}

    def one(i):
        results[i] = c.etcdctl("member", "add", f"x{i}", "--learner", f"--peer-urls=http://127.0.0.1:{i + 1}",
                               members=[m[i % 3]])
    threads = [threading.Thread(target=one, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("three additions at once", all(r[0] == 0 for r in results.values()), results)
    entries = c.list()
    check("  all three are there", len(entries) == 6, entries)
    wait_for("all members to know", lambda: all(set(c.list(x)) == set(entries) for x in m))
    ids = [f"{int(e['ID']):x}" for name, e in entries.items() if name not in ("m1", "m2", "m3")]
    threads = [threading.Thread(target=lambda i, id_: results.update({i: c.etcdctl("member", "remove", id_, members=[m[i % 3]])}),
                                args=(i, id_)) for i, id_ in enumerate(ids + ids[:1])]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    won = [r for i, r in results.items() if r[0] == 0]
    check("three removals at once, one of them twice", len(won) == 3 and len(results) == 4, results)
    check("  whoever came second is told", [r[2] for r in results.values() if r[0]] == ["Error: etcdserver: member not found"], results)
    check("  none is left", sorted(c.list()) == ["m1", "m2", "m3"], c.list())
    load.wait_more()
    load.verify(m)


def replace_all(bin_dir):
    """All three members replaced one after the other, under load; then a learner that needs a snapshot."""
    c = Cluster(bin_dir, tls=True, args=["--snapshot-catchup-entries", "200"])
    m = c.found()
    fill(c, m[0], 20 if LONG else 4)
    load = c.load(threads=4 if LONG else 3)
    load.wait_more()
    current, number = list(m), 3
    for _ in range(3 if LONG else 1):
        for old in list(current):
            number += 1
            new = c.member(number)
            add(c, new, "--learner")
            join(c, new, current)
            promote(c, new)
            c.ok("member", "remove", c.id_of(old))
            wait_gone(f"{old.name} replaced by {new.name}", old)
            current = [x for x in current if x is not old] + [new]
            load.wait_more(200 if LONG else 20)
    check("they came by snapshot", all(x.said("snapshot installed") for x in current))
    for x in current:
        c.wait_serving(x)
    check("three are left", sorted(c.list()) == sorted(x.name for x in current), c.list())
    load.verify(current)
    compare(c, current)
    load.tell()


def fill(c, member, megabytes):
    """Make the store larger than what a snapshot holds in its first bytes."""
    value = "x" * 100000
    for i in range(megabytes * 10):
        code, answer = member.post("/v3/kv/put", {"key": b64(f"fill/{i:04d}"), "value": b64(value)})
        if code != 200:
            raise RuntimeError(f"fill: {answer}")


def compare(c, members):
    """The same keys, by the store's own hash at one revision."""
    def hashes():
        rev = min(int(x.status()["header"]["revision"]) for x in members)
        return {x.post("/v3/maintenance/hashkv", {"revision": rev})[1].get("hash") for x in members}
    check("the members' stores are the same", wait_for("equal hashes", lambda: (lambda h: h if len(h) == 1 else None)(hashes())))


def forced(bin_dir):
    """Two of three lost for good: the survivor is made a cluster of its own, and grows back."""
    c = Cluster(bin_dir)
    m = c.found()
    load = c.load()
    load.wait_more(100)
    load.stop()
    survivor = m[2]
    for x in m[:2]:
        x.kill()
    m[1].wipe()
    code, out, error = survivor.etcdctl("put", "x", "y", timeout=2)
    check("without a quorum nothing is written", code != 0, out)
    survivor.stop()
    survivor.start(args=["--force-new-cluster"])
    c.wait_serving(survivor)
    check("alone", sorted(c.list()) == ["m3"], c.list())
    load.verify([survivor])
    again = c.load(threads=1)
    again.wait_more()
    survivor.stop()
    survivor.start()  # an ordinary start, as it should be next
    c.wait_serving(survivor)
    for number in (4, 5):
        new = c.member(number)
        add(c, new)
        join(c, new, c.running())
        c.wait_serving(new)
    check("three again", sorted(c.list()) == ["m3", "m4", "m5"], c.list())
    survivor.kill()
    again.members = [c.member(4), c.member(5)]
    again.wait_more()
    load.verify(again.members)
    again.verify(again.members)
    # Those that were forgotten, back with their old flags: not let in, with a directory or without.
    survivor.restart()
    c.wait_serving(survivor)
    m[0].restart()
    wait_gone("a forgotten member", m[0])
    m[1].restart()
    check("a forgotten member without its directory is refused", m[1].exit_code() == 1)
    empty = c.member(6)
    empty.start(args=["--force-new-cluster"])
    check("nothing to force in an empty directory", empty.exit_code() == 1 and empty.said("holds no member"))


def move_leader(bin_dir):
    """etcdctl move-leader with etcd's errors, and the leader that hands over when it ends."""
    c = Cluster(bin_dir)
    m = c.found()
    load = c.load()
    load.wait_more()
    leader = c.leader()
    other = next(x for x in m if x is not leader)
    learner_ = c.member(4)
    add(c, learner_, "--learner")
    join(c, learner_, m)
    c.check_error("move-leader to nobody", "etcdserver: bad leader transferee", "move-leader", "123", members=m)
    c.check_error("  to a learner", "etcdserver: bad leader transferee", "move-leader", c.id_of(learner_), members=m)
    code, answer = other.post("/v3/maintenance/transfer-leadership", {"targetID": str(int(c.id_of(other), 16))})
    check("  asked of a follower", answer.get("message") == "etcdserver: not leader", answer)
    out = c.check_ok("move-leader", "move-leader", c.id_of(other), members=m)
    check("  says so", out.startswith("Leadership transferred from "), out)
    check("  and it is so", c.leader() is other)
    out = c.check_ok("to itself", "move-leader", c.id_of(other), members=m)
    load.wait_more()
    for _ in range(6 if LONG else 2):
        leader = c.leader()
        term = int(leader.status()["raftTerm"])
        check("a leader told to end ends well", leader.stop() == 0)
        new = c.leader()
        now = int(new.status()["raftTerm"])
        check("  and has handed over", now == term + 1 and not any(
            x.said(f"now pre-candidate. term={term} ") for x in m), f"term {term} → {now}")
        leader.restart()
        c.wait_serving(leader)
    load.wait_more()
    load.verify(m)
    load.tell()


def identity(bin_dir):
    """Who has a certificate of the peers' CA is no member for that: it must be for servers and clients, and of the
    member's own address."""
    c = Cluster(bin_dir, tls=True)
    m = c.found()
    load = c.load(members=m[:2])
    load.wait_more()
    m4 = c.member(4)
    add(c, m4)
    c.certificate(m4.name, m4.ip, "clientAuth")
    m4.start(m + [m4], "existing")
    check("a client's certificate does not join", m4.exit_code() == 1)
    check("  the members say why", wait_for("the reason", lambda: any(
        x.said("certificate \\(m4\\) is not a member's") for x in m)))
    c.certificate(m4.name, m[0].ip, "serverAuth,clientAuth")  # of another member's address
    m4.start(m + [m4], "existing")
    check("somebody else's certificate is refused", wait_for("the reason", lambda: any(
        x.said("certificate \\(m4\\) is not of that member's address") for x in m)))
    check("  and brings nothing", m4.etcdctl("get", "x", timeout=1)[0] != 0)
    m4.kill()
    c.certificate(m4.name, m4.ip, "serverAuth,clientAuth")
    if os.path.exists(m4.dir):  # it asked for its id and got that far: the directory is its own
        m4.restart()
    else:
        m4.start(m + [m4], "existing")
    c.wait_serving(m4)
    check("its own certificate is taken", c.list()["m4"].get("name") == "m4")
    load.wait_more()
    load.verify(m + [m4])


SCENARIOS = {f.__name__: f for f in (founding, wiped, lagging, changes, guard, at_once, replace_all, forced, move_leader, identity)}


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    if not shutil.which("etcdctl"):
        print("SKIP: etcdctl is not installed")
        sys.exit(77)
    run({name: functools.partial(f, args[0]) for name, f in SCENARIOS.items()}, args[1:],
        [__file__, args[0]] + [a for a in sys.argv[1:] if a.startswith("--")])


if __name__ == "__main__":
    main()
