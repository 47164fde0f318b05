#!/usr/bin/python3
"""Three members, seen by etcd v3 clients: what clients that want a leader are told when there is none, and what becomes of
leases when leaders stop, die and come back.

Usage: etcd_cluster_test.py BIN_DIR [PART…]
"""
import base64
import os
import signal
import subprocess
import sys
import tempfile
import time

import grpc

from etcd_lib import METHODS, Client, M
from ports import free_ports

HASLEADER = (("hasleader", "true"),)
NO_LEADER = ("UNAVAILABLE", "etcdserver: no leader")
WAIT = 60


def eventually(condition, what, timeout=WAIT):
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)


class Member:
    def __init__(self, cluster, i):
        self.cluster, self.i, self.name = cluster, i, f"m{i}"
        self.port, self.peer = cluster.ports[i], f"http://127.0.0.1:{cluster.ports[3 + i]}"
        self.process = None

    def start(self):
        c, url = self.cluster, f"http://127.0.0.1:{self.port}"
        log = open(os.path.join(c.dir, self.name + ".log"), "ab")
        self.process = subprocess.Popen(
            [os.path.join(c.bin, "c8s-apiserver"), "--store-only", "--name", self.name, "--data-dir", os.path.join(c.dir, self.name),
             "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", self.peer,
             "--initial-advertise-peer-urls", self.peer, "--initial-cluster", c.initial], stdout=log, stderr=log)
        self.connected = None

    @property
    def client(self):
        self.connected = self.connected or Client(self.port)
        return self.connected

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.client.channel.close()
        self.connected = None

    def signal(self, which):
        self.process.send_signal(which)

    def stopped(self):
        """After SIGSTOP: threads go on for a moment."""
        tasks = f"/proc/{self.process.pid}/task"
        eventually(lambda: all(open(f"{tasks}/{t}/stat").read().rpartition(")")[2].split()[0] == "T" for t in os.listdir(tasks)),
                   f"{self.name} stops")

    def status(self, timeout=2):
        status, _, r = self.client.call("Status", M.StatusRequest(), timeout)
        return r if status == "OK" else None


class Cluster:
    def __init__(self, bin_dir, directory):
        self.bin, self.dir = bin_dir, directory
        self.ports = free_ports(6)
        self.members = [Member(self, i) for i in range(3)]
        self.initial = ",".join(f"{m.name}={m.peer}" for m in self.members)
        for m in self.members:
            m.start()
        for m in self.members:
            eventually(lambda m=m: m.client.call("Range", M.RangeRequest(key=b"x"), 2)[0] == "OK", f"{m.name} serves")

    def leader(self, among=None):
        def find():
            for m in among or self.members:
                s = m.status()
                if s and s.leader == s.header.member_id:
                    return m
            return None
        return eventually(find, "a leader")

    def others(self, *which):
        return [m for m in self.members if m not in which]

    def stop(self):
        for m in self.members:
            if m.process.poll() is None:
                m.signal(signal.SIGCONT)
                m.process.terminate()
        for m in self.members:
            code = m.process.wait(60)
            assert code in (0, -signal.SIGKILL), f"{m.name} ended with {code}"


def ok(answer):
    assert answer[0] == "OK", answer[:2]
    return answer[2]


def without_a_leader(c):
    """The majority dies under the streams of the survivor."""
    survivor = c.others(c.leader())[0]
    s = survivor.client
    ok(s.call("Put", M.PutRequest(key=b"h", value=b"1"), metadata=HASLEADER))
    ok(s.call("LeaseGrant", M.LeaseGrantRequest(ID=7, TTL=600)))
    wants, does_not = s.watch(HASLEADER), s.watch()
    alive, alive_without = s.keep_alive(HASLEADER), s.keep_alive()
    observe = s.channel.unary_stream("/v3electionpb.Election/Observe", request_serializer=lambda m: m.SerializeToString(),
                                     response_deserializer=M.LeaderResponse.FromString)(M.LeaderRequest(name=b"nobody"), metadata=HASLEADER)
    for w in (wants, does_not):
        w.send(create_request=dict(key=b"h"))
        w.wait(lambda x: len(x) == 1, "created")
    for k in (alive, alive_without):
        k.send(ID=7)
        assert k.wait(lambda x: len(x) == 1, "renewed")[0].TTL == 600
    dead = c.others(survivor)
    for m in dead:
        m.kill()
    for stream, name in ((wants, "watch"), (alive, "keep-alive")):
        stream.wait(lambda x: False, f"the {name} that wants a leader ends", WAIT)
        assert stream.end == NO_LEADER, (name, stream.end)
    try:
        next(observe)
        raise AssertionError("somebody was elected")
    except Exception as e:
        assert (e.code().name, e.details()) == NO_LEADER, e
    for name, q in (("Range", M.RangeRequest(key=b"h", serializable=True)), ("Put", M.PutRequest(key=b"h")),
                    ("LeaseLeases", M.LeaseLeasesRequest()), ("MemberList", M.MemberListRequest())):
        assert s.call(name, q, metadata=HASLEADER)[:2] == NO_LEADER, name
    assert ok(s.call("Range", M.RangeRequest(key=b"h", serializable=True))).kvs[0].value == b"1"
    assert ok(s.call("Range", M.RangeRequest(key=b"h", serializable=True), metadata=(("hasleader", "false"),))).count == 1
    late = s.watch(HASLEADER)
    late.wait(lambda x: False, "a new watch is refused")
    assert late.end == NO_LEADER and not late.seen
    assert s.call("Put", M.PutRequest(key=b"h", value=b"lost"), 15)[:2] in (
        ("UNAVAILABLE", "etcdserver: no leader"), ("UNAVAILABLE", "etcdserver: request timed out"))
    assert does_not.end is None and alive_without.end is None
    for m in dead:
        m.start()
    eventually(lambda: s.call("Put", M.PutRequest(key=b"h", value=b"2"), 5, HASLEADER)[0] == "OK", "a leader again")
    does_not.wait(lambda x: any(e.kv.value == b"2" for r in x for e in r.events), "the watch without that wish goes on")
    for w in (does_not, alive_without):
        w.cancel()


def leases_outlive_leaders(c):
    """Leaders die; leases that are renewed stay, the others get their full time again and then expire."""
    for ttl, i in ((5, 21), (5, 22), (1000, 23)):
        ok(c.members[0].client.call("LeaseGrant", M.LeaseGrantRequest(ID=i, TTL=ttl)))
        for k in (b"a", b"b"):
            ok(c.members[1].client.call("Put", M.PutRequest(key=b"l%d/" % i + k, lease=i)))
    leader = c.leader()
    a, b = c.others(leader)
    leader.kill()
    died = time.monotonic()
    c.leader((a, b))

    def renew():
        stream = a.client.keep_alive()
        stream.send(ID=21)
        try:
            return stream.wait(lambda x: len(x) == 1, "renewed", 10)[0].TTL
        except (AssertionError, IndexError):
            return None
        finally:
            stream.cancel()
    assert eventually(renew, "renewed by the new leader") == 5
    r = ok(b.client.call("LeaseTimeToLive", M.LeaseTimeToLiveRequest(ID=23, keys=True)))
    assert 900 < r.TTL <= 1000 and r.grantedTTL == 1000 and sorted(r.keys) == [b"l23/a", b"l23/b"], r
    while ok(b.client.call("LeaseTimeToLive", M.LeaseTimeToLiveRequest(ID=22))).TTL != -1:
        assert renew() == 5, "a renewed lease is gone"
        assert time.monotonic() - died < WAIT, "the lease nobody renews does not expire"
    assert time.monotonic() - died > 4, "the new leader gave no time"
    for m in (a, b):
        assert sorted(l.ID for l in ok(m.client.call("LeaseLeases", M.LeaseLeasesRequest())).leases) == [7, 21, 23]
        left = [kv.key for kv in ok(m.client.call("Range", M.RangeRequest(key=b"l2", range_end=b"l3"))).kvs]
        assert left == [b"l21/a", b"l21/b", b"l23/a", b"l23/b"], left
    leader.start()
    eventually(lambda: leader.client.call("Range", M.RangeRequest(key=b"x"), 2)[0] == "OK", "it serves again")
    ok(leader.client.call("LeaseRevoke", M.LeaseRevokeRequest(ID=23)))


def a_stopped_leader_renews_nothing(c):
    """
    A leader is stopped (SIGSTOP) with keep-alives in its socket and others anywhere on their way through it, and goes on when
    their leases have expired elsewhere: whatever it says then, it says no longer that they live.
    """
    leader = c.leader()
    a = c.others(leader)[0]
    leases = range(31, 51)
    streams = []
    for i in leases:
        ok(a.client.call("LeaseGrant", M.LeaseGrantRequest(ID=i, TTL=3)))
        ok(a.client.call("Put", M.PutRequest(key=b"stopped/%d" % i, lease=i)))
        streams.append(leader.client.keep_alive())
        streams[-1].send(ID=i)
        assert streams[-1].wait(lambda x: len(x) == 1, "renewed")[0].TTL == 3
    for round in range(20):
        for s, i in zip(streams, leases):
            s.send(ID=i)
    leader.signal(signal.SIGSTOP)
    try:
        leader.stopped()
        for s, i in zip(streams, leases):
            s.send(ID=i)
        c.leader(c.others(leader))
        eventually(lambda: ok(a.client.call("Range", M.RangeRequest(key=b"stopped/", range_end=b"stopped0"))).count == 0,
                   "the leases expire without it")
        before = [len(s.seen) for s in streams]
    finally:
        leader.signal(signal.SIGCONT)
    for s, seen in zip(streams, before):
        s.wait(lambda x: len(x) == 22, "answers")
        assert s.end or len(s.seen) == 22
        assert all(r.TTL <= 0 for r in s.seen[seen:]), f"a lease that is gone was renewed: {[r.TTL for r in s.seen[seen:]]}"
    answer = eventually(lambda: leader.client.call("LeaseTimeToLive", M.LeaseTimeToLiveRequest(ID=31), 5)[2], "the time to live")
    assert answer.TTL == -1, answer
    for s in streams:
        s.cancel()


def large_answers_as_json(c):
    """An answer too large for structs, which the gateway's call does not outlive."""
    for i in range(0, 2000, 100):
        ok(c.members[0].client.call("Txn", M.TxnRequest(success=[
            M.RequestOp(request_put=M.PutRequest(key=b"json/%04d" % k, value=b"v" * 60)) for k in range(i, i + 100)])))
    body = {"key": base64.b64encode(b"json/").decode(), "range_end": base64.b64encode(b"json0").decode()}
    for m in c.members:
        for _ in range(5):
            status, answer = m.client.post("/v3/kv/range", body)
            assert status == 200 and len(answer["kvs"]) == 2000, (status, len(answer.get("kvs", [])))


TOO_MANY = (grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests")
APPLY_GAP = 5000  # committed and not applied, as in etcd
SLOW_KEYS, SLOW_S = 50000, 3


def put_slow_keys(c):
    for i in range(0, SLOW_KEYS, 128):
        ok(c.members[0].client.call("Txn", M.TxnRequest(success=[
            M.RequestOp(request_put=M.PutRequest(key=b"slow/%06d" % k)) for k in range(i, min(i + 128, SLOW_KEYS))])))


def slow_request(ranges):
    """A transaction that reads all slow/ keys `ranges` times while it is applied, at the member asked and nowhere else."""
    one = M.RequestOp(request_range=M.RangeRequest(key=b"slow/", range_end=b"slow0", min_mod_revision=1 << 60))
    hundreds = [M.RequestOp(request_txn=M.TxnRequest(success=[one] * min(100, ranges - i))) for i in range(0, ranges, 100)]
    return M.TxnRequest(success=[M.RequestOp(request_put=M.PutRequest(key=b"slow"))] + hundreds)


def applying(m):
    s = m.status()
    return s and s.raftIndex > s.raftAppliedIndex


def flood(m, tag, n, meanwhile):
    """Of n puts, asked for at once: which were answered, which refused, and what the others were told. meanwhile(): once some
    are refused or all are answered."""
    with grpc.insecure_channel(f"127.0.0.1:{m.port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        put = channel.unary_unary(METHODS["Put"][0])
        calls = [put.future(M.PutRequest(key=b"%s/%05d" % (tag, i)).SerializeToString(), timeout=WAIT) for i in range(n)]
        eventually(lambda: calls[-1].done(), "the last one is answered")  # whoever is refused need not wait
        meanwhile()
        ends = [f.exception(WAIT) for f in calls]
    refused = {i for i, e in enumerate(ends) if e and (e.code(), e.details()) == TOO_MANY}
    answered = {i for i, e in enumerate(ends) if not e}
    return answered, refused, {i: e.details() for i, e in enumerate(ends) if e and i not in refused}


def falls_behind(c, m, tag, ranges):
    """A member that does not keep up with applying says so to whoever wants to write there; elsewhere writing goes on."""
    ok(m.client.call("Put", M.PutRequest(key=b"before")))
    slow = m.client.start("Txn", slow_request(ranges))
    eventually(lambda: applying(m), f"{m.name} tells of what it has not applied, before it has")
    r = ok(m.client.call("Range", M.RangeRequest(key=b"before", serializable=True)))
    assert r.count == 1, "what was answered is read meanwhile"
    answered, refused, others = flood(m, tag, APPLY_GAP + 1500, lambda: ok(c.others(m)[0].client.call("Put", M.PutRequest(key=b"elsewhere"))))
    assert slow.get()[0] in ("OK", "UNAVAILABLE")
    ok(m.client.call("Put", M.PutRequest(key=b"recovered")))
    for each in c.members:  # linearizable: all that was answered is applied there
        r = ok(each.client.call("Range", M.RangeRequest(key=tag + b"/", range_end=tag + b"0", keys_only=True)))
        found = {int(kv.key[-5:]) for kv in r.kvs}
        assert answered <= found <= answered | set(others), (each.name, len(answered - found), len(found - answered - set(others)))
    assert set(others.values()) <= {"etcdserver: request timed out"}, set(others.values())
    return len(answered), len(refused), len(others)


def too_many_requests(c):
    put_slow_keys(c)
    leader = c.leader()
    for m in (leader, c.others(leader)[0]):
        began = time.monotonic()
        ok(m.client.call("Txn", slow_request(20)))
        ranges = int(20 * SLOW_S / (time.monotonic() - began))
        for attempt in range(5):  # the measure may have been a slow moment's
            answered, refused, others = falls_behind(c, m, b"%s-%d" % (m.name.encode(), attempt), min(ranges << attempt, 2500))
            if refused:
                break
        assert refused, f"{m.name} refuses nothing"
        print(f"     {m.name} {answered} answered, {refused} refused, {others} timed out")


def long_reads(c):
    """Transactions that only read, and for seconds, keep nobody else of the member waiting."""
    put_slow_keys(c)
    m = c.leader()
    slow = slow_request(2000)
    del slow.success[0]  # the put
    waiting = [m.client.start("Txn", slow) for _ in range(10)]
    others, longest = 0, 0
    while any(w.empty() for w in waiting):
        began = time.monotonic()
        assert ok(m.client.call("Range", M.RangeRequest(key=b"slow/000000"), WAIT)).count == 1
        longest = max(longest, time.monotonic() - began)
        others += 1
    ends = [w.get()[:2] for w in waiting]
    assert set(ends) <= {("OK", ""), ("UNAVAILABLE", "etcdserver: request timed out"),
                         ("RESOURCE_EXHAUSTED", "etcdserver: too many requests")}, ends
    print(f"     {others} reads meanwhile, the longest {longest:.2f} s; {len([e for e in ends if e[0] == 'OK'])} of 10 ended in time")
    assert others > 20, "who reads one key waits for who reads all"
    few = slow_request(100)
    del few.success[0]
    r = ok(m.client.call("Txn", few))
    assert [len(x.response_txn.responses) for x in r.responses] == [100] and r.responses[0].response_txn.responses[99].response_range.count == SLOW_KEYS


def main():
    with tempfile.TemporaryDirectory(prefix="c8s-etcd-cluster-") as d:
        c = Cluster(sys.argv[1], d)
        try:
            for part in (large_answers_as_json, without_a_leader, leases_outlive_leaders, a_stopped_leader_renews_nothing,
                         too_many_requests, long_reads):
                if sys.argv[2:] and part.__name__ not in sys.argv[2:]:
                    continue
                began = time.monotonic()
                part(c)
                print(f"ok   {part.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
            c.stop()
        except BaseException:
            for m in c.members:
                if m.process.poll() is None:
                    m.signal(signal.SIGCONT)
                    m.process.kill()
                print(open(os.path.join(d, m.name + ".log")).read()[-2000:])
            raise


if __name__ == "__main__":
    main()
