#!/usr/bin/python3
"""etcd's robustness track record, replayed against c8s: each bug that etcd lists (its tests/robustness/README.md) as a test.

    issue    what went wrong in etcd                                         test
    13766    inconsistent revision after a crash under high load             issue_13766_crash_under_load
    14370    a single member lost an acknowledged write in a crash           issue_14370_single_member_crash
    14571    enabling auth made members differ                               issue_14571_auth_enabled_while_a_member_is_away
    14685    inconsistent revision after a crash during defragmentation      issue_14685_crash_during_defrag
    15220    progress notification not in step with the stream's events      issue_15220_progress_in_step_with_events
    15271    watch went back in time after a partition (snapshot received)   issue_15271_watch_over_a_snapshot
    17247    a transaction's event came twice                                issue_17247_events_of_transactions_once
    17529    events lost while a stream was starved                          issue_17529_slow_stream_gets_everything
    17780    revision decreased by a crash during compaction                 issue_17780_crash_during_compaction
    18055    a member ended when two snapshots came one upon the other       issue_18055_snapshots_one_upon_the_other
    18089    compaction at a delete dropped its event                        issue_18089_compaction_at_a_delete
    18667    transaction reading a compacted revision made members differ    issue_18667_compacted_range_in_transaction
    19179    delete event missing for a watch opened at the compacted rev.   issue_19179_watch_opened_while_compacting
    20221    watch of a future revision got old events or progress           issue_20221_watch_of_a_future_revision
    20271    the file of the state had a page that was not what it said      issue_20271_crash_while_the_file_grows
    20418    a linearizable read of the past where processes were stopped    issue_20418_reads_while_members_are_stopped

    Jepsen's analysis of etcd 3.4.3, where it translates:
    locks    a holder whose lease is over still believes in its lock        jepsen_lock_needs_its_token
    watch 0  a watch from revision 0 means "from now", not "everything"     jepsen_watch_from_revision_zero

Usage: etcd_issues_test.py [--jobs N] [TEST…]     executables from C8S_BIN; needs root (network namespaces)
"""
import argparse
import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cluster as clusters  # noqa: E402

try:
    import grpc
    from etcd3 import etcdrpc as rpc
except ImportError:
    print("skipped: python3-etcd3 is not installed")
    sys.exit(77)

BIN = os.path.abspath(os.environ.get("C8S_BIN", "build/release/bin"))
WAIT_S = 60  # limit on what must happen some time


# ---- a client ----

class Client:
    """The services of one member, without a library's own retries and caches."""

    def __init__(self, member, token=None):
        self.channel = grpc.insecure_channel(member.client_url.split("//")[1])
        self.kv = rpc.KVStub(self.channel)
        self.lease = rpc.LeaseStub(self.channel)
        self.maintenance = rpc.MaintenanceStub(self.channel)
        self.auth = rpc.AuthStub(self.channel)
        self.metadata = [("token", token)] if token else None

    def put(self, key, value, timeout=10, lease=0):
        return self.kv.Put(rpc.PutRequest(key=key.encode(), value=value.encode(), lease=lease), timeout=timeout,
                           metadata=self.metadata).header.revision

    def delete(self, key):
        return self.kv.DeleteRange(rpc.DeleteRangeRequest(key=key.encode()), timeout=10,
                                   metadata=self.metadata).header.revision

    def get(self, key, **more):
        return self.kv.Range(rpc.RangeRequest(key=key.encode(), **more), timeout=10, metadata=self.metadata)

    def everything(self, **more):
        return self.get("\0", range_end=b"\0", **more)

    def compact(self, revision, physical=False):
        self.kv.Compact(rpc.CompactionRequest(revision=revision, physical=physical), timeout=20)

    def txn(self, compare, success, failure=()):
        return self.kv.Txn(rpc.TxnRequest(compare=compare, success=success, failure=failure), timeout=10,
                           metadata=self.metadata)

    def watch(self, **more):
        return Watch(self.channel, **more)

    def close(self):
        self.channel.close()


def op_put(key, value):
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key.encode(), value=value.encode()))


def op_get(key, **more):
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key.encode(), **more))


def op_delete(key):
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key.encode()))


class Watch:
    """A watch stream: requests are sent with create() and progress(); `responses` grows on a thread of its own."""

    def __init__(self, channel, **create):
        self.requests = []
        self.more = threading.Condition()
        self.responses = []
        self.ended = None
        self.reading = threading.Event()
        self.reading.set()
        if create:
            self.create(**create)
        self.call = rpc.WatchStub(channel).Watch(self.send())
        threading.Thread(target=self.read, daemon=True).start()

    def send(self):
        while True:
            with self.more:
                self.more.wait_for(lambda: self.requests)
                request = self.requests.pop(0)
            if request is None:
                return
            yield request

    def read(self):
        try:
            for r in self.call:
                self.reading.wait()
                with self.more:
                    self.responses.append(r)
                    self.more.notify_all()
        except grpc.RpcError as e:
            self.ended = e
            with self.more:
                self.more.notify_all()

    def ask(self, request):
        with self.more:
            self.requests.append(request)
            self.more.notify_all()

    def create(self, key="", prefix=False, start=0, **more):
        end = b"\0" if prefix and not key else key.encode()[:-1] + bytes([key.encode()[-1] + 1]) if prefix else b""
        self.ask(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(
            key=key.encode() or b"\0", range_end=end, start_revision=start, **more)))

    def progress(self):
        # this protocol's file is older than the request: field 3 of WatchRequest, an empty message
        request = rpc.WatchRequest()
        request.ParseFromString(b"\x1a\x00")
        self.ask(request)

    def wait(self, condition, what):
        """Until condition(responses) is true; then the responses so far."""
        with self.more:
            if not self.more.wait_for(lambda: condition(self.responses) or self.ended, WAIT_S):
                raise AssertionError(f"{what}: nothing within {WAIT_S} s; got {self.responses[-3:]}")
            assert condition(self.responses), f"{what}: the stream ended: {self.ended}"
            return list(self.responses)

    def revisions(self, watch_id=None):
        with self.more:
            return [e.kv.mod_revision for r in self.responses if watch_id in (None, r.watch_id) for e in r.events]

    def close(self):
        self.ask(None)
        self.call.cancel()


def is_progress(r):
    return not r.events and not r.created and not r.canceled


def fails_with(code, text, call):
    try:
        call()
    except grpc.RpcError as e:
        assert e.code() == code and text in e.details(), (e.code(), e.details())
        return
    raise AssertionError(f"succeeded; wanted {code} {text}")


# ---- whole clusters ----

def cluster(members=3, **more):
    c = clusters.Cluster(BIN, members, **more)
    OPEN.append(c)
    c.up()
    c.wait_healthy(WAIT_S)
    return c


OPEN = []


def restart(c, member):
    member.start()
    c.wait_healthy(WAIT_S)


def assert_all_the_same(c, token=None):
    """Every member has the same pairs with the same revisions, and the same HashKV at one revision."""
    found, hashes = {}, {}
    revision = 0
    for m in c.members:
        client = Client(m, token)
        r = client.everything(revision=revision)
        revision = revision or r.header.revision
        found[m.name] = [(k.key, k.value, k.create_revision, k.mod_revision, k.version, k.lease) for k in r.kvs]
        if token is None:
            hashes[m.name] = c.etcdctl("endpoint", "hashkv", "--rev", str(revision), member=m).split(",")[1].strip()
        client.close()
    first = found[c.members[0].name]
    for name, pairs in found.items():
        assert pairs == first, f"{name} differs at revision {revision}: {sorted(set(pairs) ^ set(first))[:4]}"
    assert len(set(hashes.values())) <= 1, hashes
    revisions = {m.name: Client(m, token).get("x").header.revision for m in c.members}
    assert len(set(revisions.values())) == 1, revisions


class Writers:
    """Threads that put as fast as they are answered, until stopped; `acknowledged` is key -> (value, revision)."""

    def __init__(self, c, members, threads=8):
        self.stop = threading.Event()
        self.acknowledged = {}
        self.threads = [threading.Thread(target=self.run, args=(members[i % len(members)], i)) for i in range(threads)]
        for t in self.threads:
            t.start()

    def run(self, member, number):
        client = Client(member)
        n = 0
        while not self.stop.is_set():
            key, value = f"w/{number}/{n % 20}", str(n)
            n += 1
            try:
                self.acknowledged[key] = (value, client.put(key, value, timeout=2))
            except grpc.RpcError:
                self.acknowledged.pop(key, None)  # unknown
                time.sleep(0.02)
        client.close()

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()
        return self.acknowledged

    def enough(self, count):
        deadline = time.monotonic() + WAIT_S
        while len(self.acknowledged) < count and time.monotonic() < deadline:
            time.sleep(0.02)


def pour(member, total, size):
    """Writes as quickly as they go, over 200 keys; the process that does it."""
    return subprocess.Popen([os.path.join(BIN, "c8s"), "kv", "bench", "put", "--clients", "50", "--connections", "5", "--key-space-size", "200",
                             "--val-size", str(size), "--total", str(total), "--endpoints", member.client_url],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def assert_kept(client, acknowledged):
    for key, (value, revision) in acknowledged.items():
        r = client.get(key)
        assert r.kvs and r.kvs[0].mod_revision >= revision, f"{key} of revision {revision} is lost: {r.kvs}"
        if r.kvs[0].mod_revision == revision:
            assert r.kvs[0].value.decode() == value, (key, value, r.kvs[0])


# ---- the tests ----

def issue_13766_crash_under_load():
    c = cluster()
    for victim in c.members[:2]:
        load = Writers(c, [m for m in c.members if m is not victim])
        load.enough(60)
        victim.kill()
        time.sleep(0.3)
        restart(c, victim)
        acknowledged = load.end()
        assert len(acknowledged) > 20
        assert_kept(Client(victim), acknowledged)
        assert_all_the_same(c)
    load = Writers(c, c.members)
    load.enough(60)
    for m in c.members:
        m.kill()
    for m in c.members:
        m.start()
    c.wait_healthy(WAIT_S)
    assert_kept(Client(c.members[0]), load.end())
    assert_all_the_same(c)


def issue_14370_single_member_crash():
    power = os.path.join(BIN, "..", "tests", "libpower_loss.so")
    c = cluster(1, power_lib=power)
    m = c.members[0]
    for round_ in range(6):
        load = Writers(c, [m], threads=4)
        load.enough(30)
        last = Client(m).put("last", str(round_))
        if round_ % 2:
            m.kill()
        else:
            m.power_off()
        acknowledged = load.end()
        restart(c, m)
        client = Client(m)
        r = client.get("last")
        assert r.kvs[0].value.decode() == str(round_) and r.kvs[0].mod_revision == last, r
        assert_kept(client, acknowledged)


def issue_14571_auth_enabled_while_a_member_is_away():
    c = cluster()
    away, here = c.members[2], c.members[0]
    client = Client(here)
    away.kill()
    client.auth.UserAdd(rpc.AuthUserAddRequest(name="root", password="secret"), timeout=20)
    client.auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"), timeout=20)
    client.auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"), timeout=20)
    client.auth.AuthEnable(rpc.AuthEnableRequest(), timeout=20)

    def log_in(member):
        return Client(member).auth.Authenticate(rpc.AuthenticateRequest(name="root", password="secret"),
                                                timeout=20).token

    token = log_in(here)
    root = Client(here, token)
    for i in range(200):
        root.put(f"a/{i % 10}", str(i))
    fails_with(grpc.StatusCode.INVALID_ARGUMENT, "user name is empty", lambda: client.put("a/x", "1"))
    here.kill()  # one that knows of auth must know of it after a restart, too
    away.start()
    here.start()
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            for m in c.members:
                root = Client(m, log_in(m))
                for i in range(20):
                    root.put(f"b/{m.name}/{i}", str(i))
            break
        except grpc.RpcError:
            assert time.monotonic() < deadline, "members do not serve with auth after a restart"
            time.sleep(0.3)
    for m in c.members:
        fails_with(grpc.StatusCode.INVALID_ARGUMENT, "user name is empty", lambda: Client(m).put("a/x", "1"))
        assert_all_the_same(c, log_in(m))


def issue_14685_crash_during_defrag():
    c = cluster()
    client = Client(c.members[0])
    for i in range(300):
        client.put(f"big/{i}", "x" * 20000)
    for i in range(0, 300, 2):
        client.delete(f"big/{i}")
    victim = c.members[1]
    c.etcdctl("defrag", member=victim)  # it works when nobody disturbs it
    for delay in (0.0, 0.01, 0.03, 0.08):
        load = Writers(c, [c.members[0], c.members[2]], threads=4)
        load.enough(10)
        defrag = threading.Thread(target=lambda: c.etcdctl("defrag", member=victim, timeout=1, check=False))
        defrag.start()
        time.sleep(delay)
        victim.kill()
        defrag.join()
        restart(c, victim)
        assert_kept(Client(victim), load.end())
        assert_all_the_same(c)


def issue_15220_progress_in_step_with_events():
    c = cluster(1)
    client = Client(c.members[0])
    base = client.put("p/0", "0")
    w = client.watch(key="p/", prefix=True, start=base + 1)
    # a second watch on the stream that is not where the first is: of a revision still to come
    w.create(key="q/", prefix=True, start=base + 40)
    w.wait(lambda rs: sum(r.created for r in rs) == 2, "two watches")
    load = Writers(c, c.members, threads=2)
    for i in range(120):
        client.put(f"p/{i % 7}", str(i))
        w.progress()
    load.end()
    last = client.put("p/end", "1")
    w.progress()
    got = w.wait(lambda rs: any(is_progress(r) and r.header.revision >= last for r in rs), "progress")
    delivered = seen = 0
    for r in got:
        if r.events:
            assert r.events[0].kv.mod_revision > seen, "an event behind a progress notification that covered it"
            delivered = max(delivered, r.events[-1].kv.mod_revision)
        elif is_progress(r):
            assert r.header.revision >= delivered, f"progress {r.header.revision} behind event {delivered}"
            seen = max(seen, r.header.revision)
    assert seen >= last


def issue_15271_watch_over_a_snapshot():
    c = cluster(3, log_kept=100)
    follower = next(m for m in c.members if m is not c.leader())
    others = [m for m in c.members if m is not follower]
    client = Client(others[0])
    first = client.put("s/0", "before")
    w = Client(follower).watch(key="s/", prefix=True, start=first)
    w.wait(lambda rs: any(r.events for r in rs), "the first event")
    cut = {(follower, o) for o in others} | {(o, follower) for o in others}
    import faults
    faults.set_cuts(c, cut)
    for i in range(3000):
        last = client.kv.Put(rpc.PutRequest(key=f"s/{i % 9}".encode(), value=(str(i) * 300).encode()),
                             timeout=10).header.revision
    faults.set_cuts(c, set())
    c.wait_healthy(WAIT_S)
    w.wait(lambda rs: any(e.kv.mod_revision == last for r in rs for e in r.events) or any(r.canceled for r in rs),
           "the events of the partition")
    got = w.revisions()
    assert got == sorted(set(got)), "events came twice or out of order"
    assert got[0] == first
    if not any(r.canceled for r in w.responses):
        assert got == list(range(first, last + 1)), "events are missing"


def issue_17247_events_of_transactions_once():
    c = cluster(3)
    client = Client(c.members[0])
    start = client.put("t/x", "0")
    watches = [Client(m).watch(key="t/", prefix=True, start=start + 1, prev_kv=True) for m in c.members]
    expected = []
    for i in range(60):
        ops = [op_put(f"t/{i % 5}", str(i)), op_get("t/0"), op_put(f"t/{i % 5 + 5}", str(i)), op_delete(f"t/{i % 3 + 10}"),
               rpc.RequestOp(request_txn=rpc.TxnRequest(success=[op_put(f"t/{i % 3 + 10}", str(i))]))] \
            if i % 2 else [op_put("t/x", str(i))]
        try:
            r = client.txn([], ops)
        except grpc.RpcError as e:  # a key twice in a transaction: refused, so no event at all
            assert e.code() == grpc.StatusCode.INVALID_ARGUMENT and "duplicate key" in e.details(), e
            ops = ops[:3]
            r = client.txn([], ops)
        expected += [(r.header.revision, o.request_put.key) for o in ops if o.HasField("request_put")]
    last = expected[-1][0]
    for w in watches:
        w.wait(lambda rs: any(e.kv.mod_revision == last for r in rs for e in r.events), "the last event")
        got = [(e.kv.mod_revision, e.kv.key) for r in w.responses for e in r.events]
        assert sorted(got) == sorted(expected), set(got) ^ set(expected)
        for r in w.responses:
            revisions = {e.kv.mod_revision for e in r.events}
            assert all(sum(1 for e in expected if e[0] == v) == sum(1 for e in r.events if e.kv.mod_revision == v)
                       for v in revisions), "a transaction's events in two responses"


def issue_17529_slow_stream_gets_everything():
    c = cluster(1)
    client = Client(c.members[0])
    base = client.put("slow/0", "0")
    w = Watch(Client(c.members[0]).channel)
    w.reading.clear()  # takes nothing from the stream after the first response
    for _ in range(20):
        w.create(key="slow/", prefix=True, start=base + 1)
    count = 400
    for i in range(count):
        last = client.put(f"slow/{i % 3}", "v" * 20000)
    w.reading.set()
    w.wait(lambda rs: len([r for r in rs if r.events and r.events[-1].kv.mod_revision == last]) == 20,
           "the last event on all 20 watches")
    for watch_id in {r.watch_id for r in w.responses if r.created}:
        assert w.revisions(watch_id) == list(range(base + 1, last + 1)), f"watch {watch_id} lost events"


def issue_17780_crash_during_compaction():
    c = cluster(1)
    m = c.members[0]
    for i in range(5):
        client = Client(m)
        for k in range(150):
            client.put(f"d/{k}", "x")
        for k in range(150):
            last = client.delete(f"d/{k}")  # the newest revision is a tombstone, which compaction may remove
        compaction = threading.Thread(target=lambda: quiet(lambda: client.compact(last, physical=i % 2 == 0)))
        compaction.start()
        if i % 2 == 0:
            compaction.join()
        m.kill()
        compaction.join()
        restart(c, m)
        client = Client(m)
        now = client.get("d/0").header.revision
        assert now >= last, f"revision {now} after a restart, was {last}"
        assert client.put("d/next", "1") > last


def quiet(call):
    try:
        call()
    except grpc.RpcError:
        pass


def issue_18055_snapshots_one_upon_the_other():
    import faults
    c = cluster(3, log_kept=100)
    follower = next(m for m in c.members if m is not c.leader())
    others = [m for m in c.members if m is not follower]
    process = follower.process

    def log_of(member):
        with open(member.log, errors="replace") as log:
            return log.read()

    def until(condition, what):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"waited for: {what}"
            time.sleep(0.002)

    def given_up(member):  # its connection: else what it has sent may wait in a socket, and still arrive
        log = log_of(member)
        return log.rfind(f'"lost connection to peer" peer={number}') >= log.rfind(f'"connected to peer" peer={number}')

    def snapshots():
        return log_of(follower).count("installing snapshot")

    def leads(member):
        leader, status = c.leader(), c.status()[c.members.index(member)]
        if leader not in (None, member) and status:
            c.etcdctl("move-leader", status[0], member=leader, timeout=5, check=False)
        return leader is member

    number = c.status()[c.members.index(follower)][0]
    assert all(f"peer={number}" in log_of(o) for o in others)
    for n in range(2):
        faults.set_cuts(c, {(follower, o) for o in others} | {(o, follower) for o in others})
        until(lambda: all(given_up(o) for o in others), "connections given up")
        if n == 1:  # who sent the first keeps the log behind it; the other one does not, and has to send another
            successor = next(o for o in others if "sending a snapshot" not in log_of(o))
            until(lambda: leads(successor), "the other one leads")
        assert pour(others[0], 2000, 900).wait(WAIT_S) == 0
        before = snapshots()
        faults.set_cuts(c, set())
        until(lambda: snapshots() > before, "a snapshot")  # and away again at once, for the next one
    c.wait_healthy(WAIT_S)
    assert follower.process is process and process.poll() is None, "the member has ended"
    assert_all_the_same(c)


def issue_18089_compaction_at_a_delete():
    c = cluster(1)
    client = Client(c.members[0])
    client.put("k", "2")
    client.put("k", "3")
    client.put("k", "4")
    deleted = client.delete("k")
    again = client.put("k", "6")
    client.compact(deleted, physical=True)
    for _ in range(2):
        w = Client(c.members[0]).watch(key="k", start=deleted)
        w.wait(lambda rs: any(e.kv.mod_revision == again for r in rs for e in r.events), "the events")
        events = [(e.type, e.kv.mod_revision) for r in w.responses for e in r.events]
        assert events == [(1, deleted), (0, again)], events
        c.members[0].kill()  # and after a restart
        restart(c, c.members[0])
        client = Client(c.members[0])


def issue_18667_compacted_range_in_transaction():
    c = cluster()
    clients = [Client(m) for m in c.members]
    for i in range(20):
        clients[0].put(f"k{i}", str(i))
    revision = clients[0].put("k", "x")
    clients[0].compact(revision - 2)
    for client in clients:
        for bad, code, text in ((5, grpc.StatusCode.OUT_OF_RANGE, "required revision has been compacted"),
                                (revision + 1000, grpc.StatusCode.OUT_OF_RANGE, "required revision is a future revision")):
            fails_with(code, text, lambda: client.txn([], [op_get("k1", revision=bad), op_put("k2", "changed")]))
            fails_with(code, text, lambda: client.txn([], [op_put("k2", "changed"), op_get("k1", revision=bad)]))
        r = client.txn([], [op_get("k1", revision=revision - 1)])
        assert r.responses[0].response_range.kvs[0].value == b"1"
    assert clients[0].get("k2").kvs[0].value == b"2"
    assert clients[0].get("k2").header.revision == revision
    assert_all_the_same(c)


def issue_19179_watch_opened_while_compacting():
    c = cluster(1)
    client = Client(c.members[0])
    for i in range(40):
        for k in range(5):
            client.put(f"o/{i}/{k}", "x")
        deleted = client.delete(f"o/{i}/0")
        compaction = threading.Thread(target=lambda: client.compact(deleted, physical=i % 2 == 0))
        compaction.start()
        w = Client(c.members[0]).watch(key=f"o/{i}/", prefix=True, start=deleted)
        compaction.join()
        after = client.put(f"o/{i}/9", "x")
        w.wait(lambda rs: any(e.kv.mod_revision == after for r in rs for e in r.events), "the events")
        events = [(e.type, e.kv.mod_revision) for r in w.responses for e in r.events]
        assert events == [(1, deleted), (0, after)], events
        w.close()


def issue_20221_watch_of_a_future_revision():
    c = cluster(3)
    lagging = next(m for m in c.members if m is not c.leader())
    others = [m for m in c.members if m is not lagging]
    client = Client(others[0])
    client.put("f/0", "0")
    import faults
    faults.set_cuts(c, {(lagging, o) for o in others} | {(o, lagging) for o in others})
    for i in range(50):
        last = client.put(f"f/{i % 5}", str(i))
    # the client had everything up to `last` from another member; this one has not seen any of it
    w = Client(lagging).watch(key="f/", prefix=True, start=last + 1, progress_notify=True)
    w.wait(lambda rs: any(r.created for r in rs), "the watch")
    for _ in range(5):
        w.progress()
        time.sleep(0.1)
    assert not any(is_progress(r) for r in w.responses), "progress from before the watch's start"
    faults.set_cuts(c, set())
    after = client.put("f/after", "1")
    w.progress()
    got = w.wait(lambda rs: any(is_progress(r) and r.header.revision >= after for r in rs), "progress")
    assert w.revisions() == [after], w.revisions()
    assert all(r.header.revision >= last for r in got if is_progress(r)), [r.header.revision for r in got]


def issue_20271_crash_while_the_file_grows():
    c = cluster(3, power_lib=os.path.join(BIN, "..", "tests", "libpower_loss.so"))
    for n, victim in enumerate([c.members[0], c.members[1], c.leader(), c.members[2]]):
        load = Writers(c, [m for m in c.members if m is not victim], threads=4)
        flood = pour(victim, 20000, 20000)
        load.enough(30)
        victim.power_off() if n % 2 else victim.kill()
        flood.terminate()
        flood.wait()
        restart(c, victim)
        assert_kept(Client(victim), load.end())
        assert_all_the_same(c)


class Racers:
    """One writer of a key, through all members in turn, and readers at each: what a linearizable read gives is never of an earlier revision
    than what was acknowledged when it began. (Not the value: a write given up may still come after the next one.)"""

    def __init__(self, c):
        self.stop = threading.Event()
        self.acknowledged = 0
        self.reads = {m.name: 0 for m in c.members}
        self.stale = []
        self.threads = [threading.Thread(target=self.write, args=(c.members,))]
        self.threads += [threading.Thread(target=self.read, args=(m,)) for m in c.members for _ in range(3)]
        for t in self.threads:
            t.start()

    def write(self, members):
        turn = itertools.cycle([Client(m) for m in members])
        client = next(turn)
        for n in itertools.count(1):
            if self.stop.is_set():
                return
            try:
                self.acknowledged = client.put("race", str(n), timeout=1)
            except grpc.RpcError:
                client = next(turn)

    def read(self, member):
        client = Client(member)
        while not self.stop.is_set():
            least = self.acknowledged
            try:
                r = client.kv.Range(rpc.RangeRequest(key=b"race"), timeout=20)
            except grpc.RpcError:
                time.sleep(0.05)
                continue
            got = r.kvs[0].mod_revision if r.kvs else 0
            self.reads[member.name] += 1
            if got < least:
                self.stale.append((member.name, got, least))

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()


def issue_20418_reads_while_members_are_stopped():
    c = cluster(3)
    racers = Racers(c)
    try:
        for n in range(3):
            victim = c.leader() if n % 2 == 0 else next(m for m in c.members if m is not c.leader())
            victim.pause()
            time.sleep(2 if n % 2 == 0 else 0.7)  # longer than an election takes; long enough that others ask again
            victim.resume()
            c.wait_healthy(WAIT_S)
    finally:
        racers.end()
    assert not racers.stale, f"reads of the past: {racers.stale[:5]}"
    assert racers.acknowledged > 0 and all(racers.reads.values()), (racers.acknowledged, racers.reads)


def jepsen_lock_needs_its_token():
    c = cluster(3)
    a, b = Client(c.members[0]), Client(c.members[1])

    def take(client, name):
        lease = client.lease.LeaseGrant(rpc.LeaseGrantRequest(TTL=2), timeout=10).ID
        deadline = time.monotonic() + WAIT_S
        free = rpc.Compare(key=b"lock", target=rpc.Compare.CREATE, result=rpc.Compare.EQUAL, create_revision=0)
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=b"lock", value=name.encode(), lease=lease))
        while time.monotonic() < deadline:
            client.lease.LeaseKeepAlive(iter([rpc.LeaseKeepAliveRequest(ID=lease)])).next()
            r = client.txn([free], [put])
            if r.succeeded:
                return r.header.revision
            time.sleep(0.1)
        raise AssertionError(f"{name} never got the lock")

    def write(client, token, value):
        mine = rpc.Compare(key=b"lock", target=rpc.Compare.CREATE, result=rpc.Compare.EQUAL, create_revision=token)
        return client.txn([mine], [op_put("data", value)]).succeeded

    first = take(a, "a")
    assert write(a, first, "a")
    second = take(b, "b")  # a stopped keeping its lease alive, as a process stopped by its machine would
    assert second > first
    assert not write(a, first, "late a"), "a write with the token of a lost lock"
    assert write(b, second, "b")
    assert b.get("data").kvs[0].value == b"b"


def jepsen_watch_from_revision_zero():
    c = cluster(1)
    client = Client(c.members[0])
    before = [client.put("z", str(i)) for i in range(5)]
    zero, one = client.watch(key="z"), client.watch(key="z", start=1)
    created = zero.wait(lambda rs: rs, "the watch")[0]
    assert created.created and created.header.revision == before[-1]
    after = client.put("z", "after")
    for w in (zero, one):
        w.wait(lambda rs: any(e.kv.mod_revision == after for r in rs for e in r.events), "the event")
    assert zero.revisions() == [after], zero.revisions()
    assert one.revisions() == before + [after], one.revisions()


TESTS = [v for k, v in list(globals().items()) if k.startswith(("issue_", "jepsen_"))]


def run_one(test):
    began = time.monotonic()
    try:
        test()
        print(f"ok   {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        return 0
    except (AssertionError, RuntimeError, grpc.RpcError, subprocess.SubprocessError):
        print(f"FAIL {test.__name__}")
        traceback.print_exc(limit=-4, file=sys.stdout)
        for c in OPEN:
            c.tails()
        return 1
    finally:
        while OPEN:
            OPEN.pop().close()


def run_apart(tests, jobs):
    """Each in a process, some at a time: they mostly wait. Returns how many failed."""
    todo, running, failed = list(tests), [], 0
    while todo or running:
        while todo and len(running) < jobs:
            running.append(subprocess.Popen([sys.executable, os.path.abspath(__file__), "--only", todo.pop(0).__name__]))
        failed += running.pop(0).wait() != 0
    return failed


def main():
    if os.geteuid() != 0 or not all(shutil.which(t) for t in ("ip", "nft", "etcdctl")):
        print("skipped: needs root, ip, nft and etcdctl")
        return 77
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--only", help=argparse.SUPPRESS)  # one, in this process
    p.add_argument("tests", nargs="*")
    a = p.parse_args()
    if a.only:
        return run_one(globals()[a.only])
    wanted = [t for t in TESTS if not a.tests or any(x in t.__name__ for x in a.tests)]
    if not wanted:
        p.error("no such test")
    failed = run_apart(wanted, a.jobs)
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
