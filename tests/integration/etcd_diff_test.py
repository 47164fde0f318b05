#!/usr/bin/python3
"""The store beside Debian's etcd-server: the same requests to both, scripted and random, over gRPC and over the JSON
gateway; the answers must be equal field by field, errors by status and message.

Both begin empty, so revisions are equal too. Not compared: cluster and member ids, terms, and what time changes.
Where etcd 3.4 itself differs from the later versions that we follow, the case says so (`differs`).

The peer is the etcd of the path: with PATH=DIR/usr/bin:$PATH another one than Debian's (3.5, from `deploy/install-deps.sh
--unpack-later etcd-server DIR`).

Usage: etcd_diff_test.py BIN_DIR [SEED [REQUESTS]]     the scripted requests, then random ones
       etcd_diff_test.py BIN_DIR --seeds FROM TO [REQUESTS]     random ones only, with each seed
"""
import base64
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from etcd_lib import METHODS, Client, M, grpc
from ports import free_ports

if not shutil.which("etcd"):
    print("SKIP: etcd-server is not installed")
    sys.exit(77)

failures = []


class Server(Client):
    def __init__(self, name, command, port, directory):
        self.name = name
        self.log = open(os.path.join(directory, name + ".log"), "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        super().__init__(port)

    def wait_ready(self):
        deadline = time.monotonic() + 60
        while self.call("Range", M.RangeRequest(key=b"ready"), 1)[0] != "OK":
            assert self.process.poll() is None, f"{self.name} has ended"
            assert time.monotonic() < deadline, f"{self.name} does not answer"
            time.sleep(0.1)

    def stop(self):
        self.channel.close()
        self.process.terminate()
        return self.process.wait(20)


# ------------------------------------------------------------------------------------------ comparing


def clear_header(m):
    if m is not None and m.DESCRIPTOR.fields_by_name.get("header") and m.HasField("header"):
        m.header.cluster_id = m.header.member_id = m.header.raft_term = 0
    return m


def normal(name, answer, ties=0):
    status, message, response = answer
    clear_header(response)
    if ties and response is not None:  # keys of one revision: Go sorts more than a dozen of them in any order
        kvs = sorted(response.kvs, key=lambda kv: (ties * kv.mod_revision, kv.key))
        if [kv.mod_revision for kv in kvs] == [kv.mod_revision for kv in response.kvs]:
            del response.kvs[:]
            response.kvs.extend(kvs)
    if name == "LeaseTimeToLive" and response is not None and response.TTL > 0:
        response.TTL = 1
    if name == "LeaseTimeToLive" and response is not None:
        response.keys.sort()  # of a map in etcd
    if name == "LeaseLeases" and response is not None:  # etcd: in no order that is promised
        ids = sorted(l.ID for l in response.leases)
        del response.leases[:]
        response.leases.extend(M.LeaseStatus(ID=i) for i in ids)
    return status, message, str(response)


def fail(what, theirs, ours):
    failures.append(what)
    print(f"FAIL {what}\n  etcd: {str(theirs)[:3000]}\n  c8s:  {str(ours)[:3000]}")


both = []  # etcd, c8s
peer_version = (0, 0)  # of the etcd that is found
count = 0


def request_of(name, fields):
    return getattr(M, METHODS[name][1])(**fields)


def same(method, note="", differs=None, kills=False, **fields):
    """One request to both. `differs`: what later versions of etcd answer: (status, message); `kills`: etcd 3.4
    panics, so it does not get it."""
    global count
    count += 1
    request = request_of(method, fields)
    ties = {"ASCEND": 1, "DESCEND": -1, "NONE": 1}[fields["sort_order"]] if fields.get("sort_target") == "MOD" and "limit" not in fields else 0
    answers = [normal(method, s.call(method, request), ties) for s in (both[1:] * 2 if kills else both)]
    if differs:
        if answers[1][:2] != differs:
            fail(f"{method} {fields} {note}", differs, answers[1])
    elif answers[0] != answers[1]:
        fail(f"{method} {fields} {note}", answers[0], answers[1])
    return answers[0]


def revision():
    """Of both, which are equal as long as nothing failed."""
    revs = [s.call("Range", M.RangeRequest(key=b"\0"))[2].header.revision for s in both]
    if revs[0] != revs[1]:
        fail("revisions", *revs)
    return revs[0]


def clean():
    same("DeleteRange", key=b"\0", range_end=b"\0")


# ------------------------------------------------------------------------------------------- scripted


def put(key, value=b"", **more):
    return dict(request_put=dict(key=key, value=value, **more))


def get(key, end=b"", **more):
    return dict(request_range=dict(key=key, range_end=end, **more))


def delete(key, end=b"", **more):
    return dict(request_delete_range=dict(key=key, range_end=end, **more))


def txn(compare=(), success=(), failure=()):
    return dict(request_txn=dict(compare=list(compare), success=list(success), failure=list(failure)))


def kv_ranges():
    clean()
    base = revision()
    for i, key in enumerate([b"a", b"a\0", b"a/1", b"a/2", b"b", b"\xff", b"\xff\xff", b"k" * 600]):
        same("Put", key=key, value=b"%d" % (i * 7 % 5))
    same("Put", key=b"a", value=b"second")
    same("Put", key=b"b", value=b"")
    same("DeleteRange", key=b"a/2")
    for key, end in [(b"a", b""), (b"a", b"\0"), (b"a", b"b"), (b"b", b"a"), (b"a", b"a"), (b"\0", b"\0"), (b"a/", b"a0"),
                     (b"\xff", b"\0"), (b"none", b""), (b"", b""), (b"", b"b"), (b"k" * 600, b""), (b"k" * 599, b"l")]:
        same("Range", key=key, range_end=end)
        same("Range", key=key, range_end=end, serializable=True)
        same("Range", key=key, range_end=end, keys_only=True)
        same("Range", key=key, range_end=end, count_only=True)
        same("Range", key=key, range_end=end, count_only=True, limit=1)
        for limit in (1, 2, 3, 100, -1):
            same("Range", key=key, range_end=end, limit=limit)
        for target in range(5):
            for order in range(3):
                same("Range", key=key, range_end=end, sort_target=target, sort_order=order)
                same("Range", key=key, range_end=end, sort_target=target, sort_order=order, limit=2, keys_only=True)
        for rev in range(base - 1, base + 12):
            same("Range", key=key, range_end=end, revision=rev)
            same("Range", key=key, range_end=end, revision=rev, limit=1, keys_only=True)
    everything = dict(key=b"\0", range_end=b"\0")
    for bound in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
        for value in (base, base + 3, base + 100, 1, -3):
            same("Range", **everything, **{bound: value})
            same("Range", **everything, **{bound: value}, limit=1)
            same("Range", **everything, **{bound: value}, count_only=True)
            same("Range", **everything, **{bound: value}, sort_target="CREATE", sort_order="DESCEND", limit=2)
    bad_sort = ("INVALID_ARGUMENT", "etcdserver: invalid sort option")
    same("Range", **everything, sort_order=7, differs=bad_sort)
    same("Range", **everything, sort_target=9, differs=bad_sort, kills=True)
    same("Range", **everything, revision=-1)
    same("Range", **everything, revision=1 << 60)


def kv_writes():
    clean()
    same("Put", key=b"", value=b"x")
    same("DeleteRange", key=b"")
    same("DeleteRange", key=b"", range_end=b"\0")
    same("Put", key=b"w", value=b"1", prev_kv=True)
    same("Put", key=b"w", value=b"2", prev_kv=True)
    same("Put", key=b"w", ignore_value=True, prev_kv=True)
    same("Put", key=b"w", value=b"3", ignore_value=True)
    same("Put", key=b"w", lease=5, ignore_lease=True)
    same("Put", key=b"w", value=b"4", ignore_lease=True)
    same("Put", key=b"absent", ignore_value=True)
    same("Put", key=b"absent", value=b"x", ignore_lease=True)
    same("Put", key=b"w", value=b"5", lease=404)
    same("LeaseGrant", ID=71, TTL=1000)
    same("Put", key=b"w", value=b"6", lease=71, prev_kv=True)
    same("Put", key=b"w", value=b"7", ignore_lease=True, prev_kv=True)
    same("Range", key=b"w")
    same("Put", key=b"w", ignore_value=True, prev_kv=True)
    same("Range", key=b"w")
    same("DeleteRange", key=b"w", prev_kv=True)
    same("DeleteRange", key=b"w", prev_kv=True)
    for k in (b"d1", b"d2", b"d3"):
        same("Put", key=k, value=k)
    same("DeleteRange", key=b"d2", range_end=b"d1")
    same("DeleteRange", key=b"d1", range_end=b"d3", prev_kv=True)
    same("DeleteRange", key=b"d", range_end=b"\0")
    same("LeaseRevoke", ID=71)
    same("Put", key=b"large", value=b"x" * 1572000)
    same("Put", key=b"large", value=b"x" * 1573000)
    same("Put", key=b"large", value=b"x" * (2 << 20))
    same("DeleteRange", key=b"large")


def nested(depth):
    def branch():
        ops = [lambda: put(random.choice(KEYS), b"%d" % random.randrange(9)), lambda: get(random.choice(KEYS)),
               lambda: delete(random.choice(KEYS), prev_kv=random.random() < 0.5),
               lambda: delete(*sorted(random.sample(KEYS, 2)))] + [lambda: nested(depth - 1)] * (4 if depth else 0)
        return [random.choice(ops)() for _ in range(random.randrange(4))]
    return txn([dict(target="VERSION", key=random.choice(KEYS), version=0)] * random.randrange(2), branch(), branch())


KEYS = [b"%02d" % i for i in range(16)]


def nested_txns():
    """Which keys a transaction may write twice in transactions within it, and what comes of it, events included."""
    random.seed(1)
    clean()
    watches = [s.watch() for s in both]
    rev = revision()
    for w in watches:
        w.send(create_request=dict(key=b"\0", range_end=b"\0", start_revision=rev + 1, prev_kv=True))
    accepted = sum(same("Txn", success=[nested(2), nested(2)])[0] == "OK" for _ in range(200))
    assert 30 < accepted < 170, accepted
    same("Range", key=b"\0", range_end=b"\0")
    same("Put", key=b"end")
    late = [s.watch() for s in both]
    for w in late:
        w.send(create_request=dict(key=b"\0", range_end=b"\0", start_revision=rev + 1, prev_kv=True))
    seen = []
    for w in watches + late:
        w.wait(lambda x: any(e.kv.key == b"end" for r in x for e in r.events), "the last event")
        seen.append([str(e) for r in w.seen for e in r.events])
        w.cancel()
    for k, what in ((1, "as they came"), (3, "from history")):
        if seen[k] != seen[0]:
            at = next(i for i in range(len(seen[0]) + 1) if seen[0][i:i + 1] != seen[k][i:i + 1])
            fail(f"events of nested transactions {what}, number {at}", seen[0][at:at + 1], seen[k][at:at + 1])


def kv_txns():
    clean()
    for k in (b"a", b"b", b"c"):
        same("Put", key=k, value=b"v" + k)
    rev = revision()
    for target, field, values in (("VERSION", "version", (0, 1, 2, -1)), ("CREATE", "create_revision", (0, rev, rev - 2)),
                                  ("MOD", "mod_revision", (0, rev, rev - 2)), ("VALUE", "value", (b"", b"va", b"vb")),
                                  ("LEASE", "lease", (0, 1))):
        for value in values:
            for result in ("EQUAL", "GREATER", "LESS", "NOT_EQUAL"):
                for key, end in ((b"a", b""), (b"none", b""), (b"a", b"c"), (b"x", b"y"), (b"a", b"\0")):
                    same("Txn", compare=[{"target": target, "result": result, "key": key, "range_end": end, field: value}],
                         success=[get(b"a")])
    same("Txn", compare=[dict(target="VERSION", key=b"a", mod_revision=1)], success=[get(b"a")])
    same("Txn", compare=[dict(target="VALUE", key=b"a", version=1)], success=[get(b"a")])
    same("Txn", compare=[dict(target="VERSION", key=b"a")], success=[get(b"a")])
    same("Txn", compare=[dict(target="VERSION", key=b"")])
    same("Txn")
    same("Txn", success=[get(b"a"), put(b"t", b"1", prev_kv=True), get(b"t"), delete(b"a", prev_kv=True), get(b"a"), get(b"\0", b"\0")])
    same("Txn", success=[get(b"\0", b"\0", sort_target="VALUE", sort_order="DESCEND", limit=2), get(b"none"), delete(b"none")])
    same("Txn", success=[delete(b"b"), delete(b"b"), put(b"z", b"1"), delete(b"c"), get(b"b", revision=rev)])
    same("Txn", success=[put(b"p", b"1"), put(b"p", b"2")])
    same("Txn", success=[put(b"p", b"1"), delete(b"p")])
    same("Txn", success=[delete(b"o", b"q"), put(b"p", b"1")])
    same("Txn", success=[put(b"p", b"1")], failure=[put(b"p", b"2"), delete(b"p", b"q")])
    same("Txn", success=[put(b"p", b"1"), txn(success=[put(b"p", b"2")])])
    same("Txn", success=[put(b"p", b"1"), txn(failure=[put(b"p", b"2")])])
    same("Txn", success=[txn(success=[put(b"p", b"2")], failure=[put(b"p", b"3")]), get(b"p")])
    same("Txn", success=[txn(success=[put(b"p", b"2")]), txn(success=[put(b"p", b"3")])])
    same("Txn", success=[delete(b"p"), txn(failure=[put(b"p", b"2")])])
    same("Txn", success=[txn(success=[put(b"p", b"4")]), txn(success=[delete(b"p")])])
    same("Txn", success=[txn(success=[delete(b"p")]), txn(success=[put(b"p", b"5")])])
    same("Txn", success=[txn(success=[put(b"p", b"4")]), txn(success=[txn(success=[delete(b"o", b"q", prev_kv=True)])]), get(b"p")])
    same("Txn", success=[put(b"p", b"4"), txn(success=[delete(b"p")])])
    same("Txn", success=[txn(success=[put(b"p", b"4")]), delete(b"p")])
    same("Txn", success=[txn(success=[put(b"p", b"4")], failure=[delete(b"p")])])
    same("Txn", success=[put(b"p"), put(b"p"), put(b"")])
    same("Txn", success=[put(b"n", b"1"), txn([dict(target="VERSION", key=b"n", version=0)], [get(b"n"), put(b"m", b"in")], [get(b"m")]),
                         txn(success=[txn(success=[get(b"n", b"o"), delete(b"z")])]), get(b"m")])
    same("Txn", success=[txn(success=[get(b"n")])])
    same("Txn", success=[{}])
    same("Txn", success=[put(b"", b"")])
    same("Txn", success=[get(b"")])
    same("Txn", success=[delete(b"")])
    same("Txn", success=[put(b"q", b"x", lease=404)])
    same("Txn", success=[put(b"q", b"x"), put(b"absent", ignore_value=True)])
    same("Txn", success=[put(b"q", b"x", ignore_value=True)])
    same("Txn", success=[put(b"q", b"x", lease=1, ignore_lease=True)])
    same("Txn", failure=[put(b"absent", ignore_value=True)])
    same("Txn", success=[put(b"q", b"x"), get(b"q", revision=1 << 50)])
    same("Txn", success=[get(b"q", sort_order=5)], differs=("INVALID_ARGUMENT", "etcdserver: invalid sort option"))
    same("Txn", success=[get(b"q", revision=rev), get(b"c", revision=rev)])
    same("Txn", success=[put(b"%d" % i, b"x") for i in range(128)])
    same("Txn", success=[put(b"%d" % i, b"x") for i in range(129)])
    same("Txn", failure=[put(b"%d" % i, b"x") for i in range(129)])
    same("Txn", compare=[dict(target="VERSION", key=b"%d" % i, version=1) for i in range(129)])
    same("Txn", success=[put(b"%d" % i, b"y") for i in range(100)] + [txn(success=[put(b"n%d" % i, b"y") for i in range(27)])])
    same("Txn", success=[put(b"%d" % i, b"y") for i in range(100)] + [txn(success=[put(b"n%d" % i, b"y") for i in range(28)])])
    same("Txn", success=[txn(success=[put(b"n%d" % i, b"z") for i in range(127)]), txn(success=[get(b"n%d" % i) for i in range(127)])])
    nested = put(b"deep", b"1")
    for _ in range(12):
        nested = txn(success=[nested, get(b"deep")])
    same("Txn", success=[nested])


def compactions():
    clean()
    same("Put", key=b"c", value=b"1")
    first = revision()
    for i in range(6):
        same("Put", key=b"c", value=b"%d" % i)
    same("DeleteRange", key=b"c")
    same("Put", key=b"c", value=b"again")
    last = revision()
    same("Compact", revision=last + 1)
    same("Compact", revision=first + 2, physical=True)
    same("Compact", revision=first + 2)
    same("Compact", revision=first + 1, physical=True)
    same("Compact", revision=-1)
    for rev in range(first - 1, last + 2):
        same("Range", key=b"c", revision=rev)
        same("Range", key=b"c", revision=rev, serializable=True, count_only=True)
        same("Txn", success=[get(b"c", revision=rev)])
        same("Txn", success=[put(b"c2", b"x"), get(b"c", revision=rev)])
    same("Txn", success=[get(b"c", revision=-5)])
    last = revision()
    same("Compact", revision=last, physical=True)
    same("Range", key=b"c", revision=last)
    same("Range", key=b"c", revision=last - 1)


def leases():
    clean()
    same("LeaseGrant", ID=1, TTL=1000)
    same("LeaseGrant", ID=1, TTL=1000)
    same("LeaseGrant", ID=2, TTL=0)
    same("LeaseGrant", ID=3, TTL=-5)
    same("LeaseGrant", ID=-4, TTL=1000)
    same("LeaseGrant", ID=5, TTL=9000000000)
    same("LeaseGrant", ID=6, TTL=9000000001)
    for s in both:
        status, _, r = s.call("LeaseGrant", M.LeaseGrantRequest(TTL=60))
        if status != "OK" or r.ID <= 0 or r.TTL != 60 or s.call("LeaseRevoke", M.LeaseRevokeRequest(ID=r.ID))[0] != "OK":
            fail("LeaseGrant without an id", "an id > 0", (s.name, status, r))
    for k in (b"l2", b"l1", b"l3"):
        same("Put", key=k, value=b"x", lease=1)
    same("Put", key=b"l3", value=b"x", lease=-4)
    for i in (1, -4, 5, 404, 0):
        same("LeaseTimeToLive", ID=i)
        same("LeaseTimeToLive", ID=i, keys=True)
    same("Range", key=b"l", range_end=b"m")
    deadline = time.monotonic() + 60
    while any(s.call("LeaseTimeToLive", M.LeaseTimeToLiveRequest(ID=i))[2].TTL != -1 for s in both for i in (2, 3)):
        assert time.monotonic() < deadline, "the short leases do not expire"
        time.sleep(0.1)
    same("LeaseLeases")
    same("LeaseRevoke", ID=404)
    same("LeaseRevoke", ID=0)
    same("LeaseRevoke", ID=1)
    same("LeaseRevoke", ID=1)
    same("Range", key=b"l", range_end=b"m")
    answers = []
    for s in both:
        stream = s.keep_alive()
        for i in (-4, 404, 5, 1):
            stream.send(ID=i)
        seen = stream.wait(lambda x: len(x) == 4, "keep-alives")
        answers.append([str(clear_header(r)) for r in seen])
        stream.requests.put(None)
        stream.wait(lambda x: False, "the end of the stream")
        answers[-1].append(stream.end)
    if answers[0] != answers[1]:
        fail("LeaseKeepAlive", *answers)
    for i in (-4, 5):
        same("LeaseRevoke", ID=i)


def locks():
    clean()
    for i in (11, 12, 13):
        same("LeaseGrant", ID=i, TTL=1000)
    same("Lock", name=b"lock", lease=11)
    same("Lock", name=b"lock", lease=11)
    same("Lock", name=b"lock", lease=404)
    same("Range", key=b"lock", range_end=b"locl")
    waiting = [[s.start("Lock", M.LockRequest(name=b"lock", lease=i)) for s in both] for i in (12, 13)]
    for s in both:  # both queue up, in this order or the other
        deadline = time.monotonic() + 60
        while s.call("Range", M.RangeRequest(key=b"lock", range_end=b"locl", count_only=True))[2].count != 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    same("Unlock", key=b"lock/b")
    for s in (0, 1):
        holder = both[s].call("Range", M.RangeRequest(key=b"lock", range_end=b"locl", sort_target="CREATE"))[2].kvs[0]
        first = int(holder.key[5:], 16)
        status, message, r = waiting[first - 12][s].get(timeout=60)
        if status != "OK" or r.key != holder.key or not waiting[1 - (first - 12)][s].empty():
            fail("Lock after Unlock", "the next in the queue", (both[s].name, first, status, message, r))
        both[s].call("LeaseRevoke", M.LeaseRevokeRequest(ID=first))
        if waiting[1 - (first - 12)][s].get(timeout=60)[0] != "OK":
            fail("Lock after the holder's lease is gone", "OK", both[s].name)
    same("Unlock", key=b"")
    same("Unlock", key=b"nothing")
    same("DeleteRange", key=b"lock", range_end=b"locl")
    for s in both:
        for i in (11, 12, 13):
            s.call("LeaseRevoke", M.LeaseRevokeRequest(ID=i))
    revision()


def elections():
    clean()
    for i in (21, 22):
        same("LeaseGrant", ID=i, TTL=1000)
    same("Leader", name=b"e")
    same("Campaign", name=b"e", lease=21, value=b"one")
    same("Campaign", name=b"e", lease=21, value=b"one")
    same("Campaign", name=b"e", lease=21, value=b"two")
    same("Leader", name=b"e")
    rev = both[0].call("Leader", M.LeaderRequest(name=b"e"))[2].kv.create_revision
    leader = dict(name=b"e", key=b"e/15", rev=rev, lease=21)
    same("Proclaim", leader=leader, value=b"three")
    same("Proclaim", leader=dict(leader, rev=rev + 1), value=b"no")
    same("Proclaim", value=b"no")
    same("Resign")
    same("Campaign", name=b"e", lease=404, value=b"x")
    observers = [s.channel.unary_stream("/v3electionpb.Election/Observe", request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=M.LeaderResponse.FromString)(M.LeaderRequest(name=b"e"), timeout=60)
                 for s in both]
    seen = [[next(o).kv] for o in observers]
    waiting = [s.start("Campaign", M.CampaignRequest(name=b"e", lease=22, value=b"successor")) for s in both]
    for s in both:
        deadline = time.monotonic() + 60
        while s.call("Range", M.RangeRequest(key=b"e/", range_end=b"e0", count_only=True))[2].count != 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    same("Proclaim", leader=leader, value=b"four")
    for i, o in enumerate(observers):
        seen[i].append(next(o).kv)
    same("Resign", leader=dict(leader, rev=rev + 1))
    same("Resign", leader=leader)
    same("Resign", leader=leader)
    answers = [normal("Campaign", w.get(timeout=60)) for w in waiting]
    if answers[0] != answers[1]:
        fail("Campaign of the successor", *answers)
    for i, o in enumerate(observers):
        seen[i].append(next(o).kv)
        o.cancel()
    if str(seen[0]) != str(seen[1]):
        fail("Observe", *seen)
    same("Leader", name=b"e")
    for i in (21, 22):
        same("LeaseRevoke", ID=i)


# --------------------------------------------------------------------------------------------- watches


def flat(responses):
    """What must be equal: events by watch, in order, and what else was said of each watch."""
    events, control = {}, {}
    for r in responses:
        if r.created or r.canceled:
            control.setdefault(r.watch_id, []).append((r.created, r.canceled, r.compact_revision, r.cancel_reason))
        for e in r.events:
            events.setdefault(r.watch_id, []).append(str(e))
    return events, control


def check_revisions(name, responses, fragments):
    """No response but a fragment ends within a revision; revisions rise; headers are not behind the events."""
    last = {}
    for r in responses:
        for e in r.events:
            if e.kv.mod_revision < last.get(r.watch_id, (0, False))[0]:
                fail(f"{name}: revisions fall", "", r)
            if r.header.revision < e.kv.mod_revision:
                fail(f"{name}: header behind the event", "", r)
        if r.events:
            before = last.get(r.watch_id, (0, False))
            if r.events[0].kv.mod_revision == before[0] and not before[1]:
                fail(f"{name}: a revision is split", "", r)
            if r.fragment and not fragments:
                fail(f"{name}: a fragment nobody asked for", "", r)
            last[r.watch_id] = (r.events[-1].kv.mod_revision, r.fragment)


def open_watches():
    return [s.watch() for s in both]


def watches():
    clean()
    same("Put", key=b"w/0", value=b"before")
    start = revision()
    streams = open_watches()
    requests = [dict(key=b"w/", range_end=b"w0"), dict(key=b"w/1", prev_kv=True), dict(key=b"w/", range_end=b"w0", start_revision=start),
                dict(key=b"", range_end=b"\0", prev_kv=True, start_revision=start), dict(key=b"w/", range_end=b"w0", filters=["NOPUT"]),
                dict(key=b"w/", range_end=b"w0", filters=["NODELETE"]), dict(key=b"w/", range_end=b"w0", filters=["NOPUT", "NODELETE"]),
                dict(key=b"w/2", watch_id=77), dict(key=b"w/2", watch_id=77), dict(key=b"b", range_end=b"a"),
                dict(key=b"w/", range_end=b"\0", start_revision=start + 5), dict(key=b"w/", range_end=b"w0", fragment=True),
                dict(key=b"w/3", watch_id=12), dict(key=b"w/3"), dict(key=b"w/3")]
    for s in streams:
        for q in requests:
            s.send(create_request=q)
        s.wait(lambda x: sum(r.created for r in x) == len(requests), "watches created")
    for i in range(5):
        same("Put", key=b"w/%d" % i, value=b"%d" % i)
        same("Put", key=b"w/1", value=b"again %d" % i)
    same("DeleteRange", key=b"w/2")
    same("Txn", success=[put(b"w/2", b"t"), put(b"w/3", b"t"), delete(b"w/0"), put(b"other", b"t")])
    same("DeleteRange", key=b"w/", range_end=b"w0")
    for s in streams:
        s.send(cancel_request=dict(watch_id=77))
        s.send(cancel_request=dict(watch_id=999))
        s.wait(lambda x: any(r.canceled and r.watch_id == 77 for r in x), "cancelled")
    same("Put", key=b"w/2", value=b"last")
    last = revision()
    for s in streams:
        s.wait(lambda x: all(any(e.kv.mod_revision == last for r in x if r.watch_id == i for e in r.events) for i in (0, 3)), "events")
    # An end that can be waited for: the watch that is created last has seen everything before it.
    for s in streams:
        s.send(create_request=dict(key=b"\0", range_end=b"\0", start_revision=last, watch_id=500))
        s.wait(lambda x: any(r.watch_id == 500 and r.events for r in x), "the last watch")
        check_revisions("watches", s.seen, True)
    theirs, ours = (flat(s.seen) for s in streams)
    if theirs != ours:
        fail("watches", theirs, ours)
    for s in streams:
        s.cancel()


def watch_compacted():
    clean()
    for i in range(4):
        same("Put", key=b"x", value=b"%d" % i)
    same("Put", key=b"y", value=b"stays")
    same("Put", key=b"x", value=b"at")
    at = revision()
    same("Put", key=b"x", value=b"after")
    same("Compact", revision=at, physical=True)
    streams = open_watches()
    for s in streams:
        s.send(create_request=dict(key=b"x", start_revision=at - 1))
        s.send(create_request=dict(key=b"x", start_revision=1))
        s.wait(lambda x: sum(r.canceled for r in x) == 2, "compacted")
        s.send(create_request=dict(key=b"x", start_revision=at))
        s.send(create_request=dict(key=b"\0", range_end=b"\0", start_revision=at, prev_kv=True))
        s.send(create_request=dict(key=b"x", start_revision=at + 1, prev_kv=True))
        s.wait(lambda x: all(any(e.kv.value == b"after" for r in x if r.watch_id == i for e in r.events) for i in (2, 3, 4)), "events")
    theirs, ours = (flat(s.seen) for s in streams)
    if theirs != ours:
        fail("watches at the compacted revision", theirs, ours)
    for s in streams:
        s.cancel()


def watch_bulk():
    """Revisions with many events: one response each, or fragments."""
    clean()
    for i in range(20):
        same("Txn", success=[put(b"bulk/%02d%03d" % (i, k), b"v" * 1000) for k in range(128)])
    streams = open_watches()
    for s in streams:
        s.send(create_request=dict(key=b"bulk/", range_end=b"bulk0", prev_kv=True))
        s.send(create_request=dict(key=b"bulk/", range_end=b"bulk0", prev_kv=True, fragment=True))
        s.wait(lambda x: sum(r.created for r in x) == 2, "created")
    same("DeleteRange", key=b"bulk/", range_end=b"bulk0")
    for i, s in enumerate(streams):
        s.wait(lambda x: all(sum(len(r.events) for r in x if r.watch_id == w) == 2560 for w in (0, 1)), "events", 60)
        check_revisions(both[i].name, [r for r in s.seen if r.watch_id == 0], False)
        check_revisions(both[i].name, [r for r in s.seen if r.watch_id == 1], True)
        whole = [r for r in s.seen if r.watch_id == 0 and r.events]
        parts = [r for r in s.seen if r.watch_id == 1 and r.events]
        if len(whole) != 1 or len(parts) < 2 or [r.fragment for r in parts] != [True] * (len(parts) - 1) + [False]:
            fail("watch_bulk", "one response, and fragments", (both[i].name, len(whole), [r.fragment for r in parts]))
    theirs, ours = (flat(s.seen) for s in streams)
    if theirs != ours:
        fail("watch_bulk", "...", "other events")
    # from history as well
    last = revision()
    for i, s in enumerate(streams):
        s.send(create_request=dict(key=b"bulk/", range_end=b"bulk0", start_revision=last))
        s.wait(lambda x: sum(len(r.events) for r in x if r.watch_id == 2) == 2560, "events from history", 60)
        whole = [r for r in s.seen if r.watch_id == 2 and r.events]
        if len(whole) != 1:
            fail("watch_bulk from history", "one response", (both[i].name, len(whole)))
        s.cancel()


# ---------------------------------------------------------------------------------------------- random


def random_requests(seed, n):
    clean()
    rng = random.Random(seed)
    keys = [b"r/%c%d" % (97 + i % 3, i // 3) for i in range(12)] + [b"r/" + b"z" * 520]
    # Nested transactions delete only these, and put none of them: etcd overlooks it when one of them deletes what one
    # before it puts; c8s refuses that as any other key written twice.
    nested_keys = [b"r/n%d" % i for i in range(4)]
    lease_ids = [101, 102]
    for i in lease_ids:
        same("LeaseGrant", ID=i, TTL=100000)
    now = first = revision()

    def key(depth=9):
        return rng.choice(keys + nested_keys if depth == 0 else keys)

    def span():
        return rng.choice([(key(), b""), (key(), key()), (b"r/", b"r0"), (key(), b"\0"), (b"r/a", b"r/b")])

    def a_get():
        k, e = span()
        q = dict(key=k, range_end=e)
        if rng.random() < 0.3:
            q["limit"] = rng.randrange(1, 6)
        if rng.random() < 0.3:
            q["revision"] = rng.randrange(first, now + 2)
        if rng.random() < 0.2:
            q["sort_target"] = rng.choice(["KEY", "MOD"])  # the others have ties, which Go sorts in any order
            q["sort_order"] = rng.choice(["NONE", "ASCEND", "DESCEND"])
            if q["sort_target"] == "MOD":
                q.pop("limit", None)
        if rng.random() < 0.2:
            q[rng.choice(["keys_only", "count_only", "serializable"])] = True
        if rng.random() < 0.2:
            q[rng.choice(["min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"])] = rng.randrange(
                first, now + 3)
        return q

    def a_put(depth=0):
        q = dict(key=key(depth), value=b"%d" % rng.randrange(50), prev_kv=rng.random() < 0.3)
        kind = rng.random()
        if kind < 0.2:
            q["lease"] = rng.choice(lease_ids + [999])
        elif kind < 0.25:
            q["ignore_lease"] = True
        elif kind < 0.3:
            q.update(ignore_value=True, value=b"")
        return q

    def a_delete(depth=-1):
        k, e = span()
        if depth > 0:
            k, e = rng.choice([(rng.choice(nested_keys), b""), (b"r/n", b"r/o"), (b"r/n1", b"r/n3")])
        elif e == b"\0" and depth == 0:
            e = b""  # in a transaction: etcd overlooks puts in this range, too
        return dict(key=k, range_end=e if rng.random() < 0.4 else b"", prev_kv=rng.random() < 0.4)

    def a_compare():
        target, field = rng.choice([("VERSION", "version"), ("CREATE", "create_revision"), ("MOD", "mod_revision"), ("VALUE", "value"), ("LEASE", "lease")])
        value = b"%d" % rng.randrange(50) if field == "value" else rng.choice([0, 1, 2, 101, rng.randrange(first, now + 1)])
        k, e = span()
        return {"target": target, "result": rng.randrange(4), "key": k, "range_end": e if rng.random() < 0.3 else b"", field: value}

    def sortless(q):
        q.pop("sort_target", None)
        q.pop("sort_order", None)
        return q

    def ops(depth):
        out = []
        for _ in range(rng.randrange(0, 4)):
            kind = rng.random()
            if kind < 0.35:
                out.append(dict(request_range=sortless(a_get())))
            elif kind < 0.65:
                out.append(dict(request_put=a_put(depth)))
            elif kind < 0.85 or depth == 3:
                out.append(dict(request_delete_range=a_delete(depth)))
            else:
                out.append(txn([a_compare() for _ in range(rng.randrange(0, 2))], ops(depth + 1), ops(depth + 1)))
        return out

    streams = open_watches()
    for s in streams:
        s.send(create_request=dict(key=b"r/", range_end=b"r0", prev_kv=True, start_revision=first))
        s.send(create_request=dict(key=b"r/a", range_end=b"r/b"))
    for _ in range(n):
        now = revision()
        kind = rng.random()
        if kind < 0.3:
            same("Range", **a_get())
        elif kind < 0.55:
            same("Put", **a_put())
        elif kind < 0.65:
            same("DeleteRange", **a_delete())
        elif kind < 0.97:
            same("Txn", compare=[a_compare() for _ in range(rng.randrange(0, 3))], success=ops(0), failure=ops(0))
        elif kind < 0.98:
            same("Compact", revision=max(1, now - rng.randrange(0, 30)), physical=rng.random() < 0.5)
        elif kind < 0.99:
            i = rng.choice(lease_ids)
            same("LeaseRevoke", ID=i)
            same("LeaseGrant", ID=i, TTL=100000)
        else:
            same("LeaseTimeToLive", ID=rng.choice(lease_ids), keys=True)
    same("Put", key=b"r/end", value=b"")
    last = revision()
    for s in streams:
        s.wait(lambda x: any(e.kv.mod_revision == last for r in x for e in r.events), "the last event")
        check_revisions("random", s.seen, False)
        s.cancel()
    theirs, ours = (flat(s.seen)[0].get(0) for s in streams)
    if theirs != ours:
        fail("events of the random requests", len(theirs), len(ours))
    for i in lease_ids:
        same("LeaseRevoke", ID=i)


# --------------------------------------------------------------------------------------------- gateway


def b64(b):
    return base64.b64encode(b).decode()


def without_ids(x):
    if isinstance(x, dict):
        return {k: without_ids(v) for k, v in x.items() if k not in ("cluster_id", "member_id", "raft_term")}
    return [without_ids(v) for v in x] if isinstance(x, list) else x


def same_json(path, body, status_only=False):
    global count
    count += 1
    theirs, ours = [(status, without_ids(answer)) for status, answer in (s.post(path, body) for s in both)]
    if theirs[0] == 412:  # FailedPrecondition: 400 in the later versions of the gateway
        theirs = (400, theirs[1])
    if isinstance(ours[1], dict) and "error" not in theirs[1]:  # the same text again, for readers of before etcd 3.5
        ours = (ours[0], {k: v for k, v in ours[1].items() if k != "error"})
    if status_only:
        theirs, ours = theirs[0], ours[0]
    if theirs != ours:
        fail(f"POST {path} {body}", theirs, ours)


def gateway():
    clean()
    same_json("/v3/kv/put", {"key": b64(b"g1"), "value": b64(b"v\xff\x00")})
    same_json("/v3/kv/put", {"key": b64(b"g1"), "value": b64(b"2"), "prev_kv": True})
    same_json("/v3/kv/put", {"key": b64(b"g2"), "value": b64(b"2"), "prevKv": True})
    same_json("/v3/kv/put", {"key": ""})
    same_json("/v3/kv/put", {"key": b64(b"g1"), "lease": "404"})
    same_json("/v3/kv/put", {"key": b64(b"g1"), "lease": 404})
    for q in ({"key": b64(b"g1")}, {"key": b64(b"g"), "range_end": b64(b"h")}, {"key": b64(b"g"), "rangeEnd": b64(b"h"), "limit": 1},
              {"key": b64(b"g"), "range_end": b64(b"h"), "limit": "1", "sort_order": "DESCEND", "sortTarget": "VALUE"},
              {"key": b64(b"g"), "range_end": b64(b"h"), "sort_order": 2}, {"key": b64(b"none")}, {"key": b64(b"g1"), "revision": "99999"},
              {"key": b64(b"g1"), "count_only": True, "unknown": {"a": [1]}}, {"key": b64(b"g1"), "limit": None}, {}):
        same_json("/v3/kv/range", q)
    same_json("/v3/kv/txn", {"compare": [{"target": "VALUE", "key": b64(b"g1"), "value": b64(b"2")}],
                             "success": [{"request_put": {"key": b64(b"g3"), "value": b64(b"x")}}, {"requestRange": {"key": b64(b"g3")}},
                                         {"request_txn": {"success": [{"requestDeleteRange": {"key": b64(b"g2"), "prev_kv": True}}]}}],
                             "failure": [{"request_range": {"key": b64(b"g1")}}]})
    same_json("/v3/kv/deleterange", {"key": b64(b"g"), "range_end": b64(b"h"), "prev_kv": True})
    same_json("/v3/kv/compaction", {"revision": "1"})
    same_json("/v3/kv/compaction", {"revision": 1})
    for body in (b"", b"{", b"[]", b'{"key": 5}', b'{"key": "*"}', b'{"key": "Zw==", "limit": "x"}'):
        same_json("/v3/kv/range", body, status_only=True)
    if peer_version < (3, 5):  # from then on a name that is none is passed over
        same_json("/v3/kv/range", b'{"key": "Zw==", "sort_order": "SIDEWAYS"}', status_only=True)
    same_json("/v3/lease/grant", {"ID": "31", "TTL": 500})
    same_json("/v3/lease/grant", {"ID": 31, "TTL": "500"})
    same_json("/v3/lease/keepalive", {"ID": "31"})
    same_json("/v3/lease/keepalive", {"ID": "404"})
    same_json("/v3/lease/timetolive", {"ID": "404"})
    same_json("/v3/lease/leases", {})
    same_json("/v3/lock/lock", {"name": b64(b"gl"), "lease": "31"})
    same_json("/v3/lock/unlock", {"key": b64(b"gl/1f")})
    same_json("/v3/election/campaign", {"name": b64(b"ge"), "lease": "31", "value": b64(b"me")})
    same_json("/v3/election/leader", {"name": b64(b"ge")})
    same_json("/v3/kv/lease/revoke", {"ID": "31"})
    same_json("/v3/lease/revoke", {"ID": "31"})
    same_json("/v3/nothing", {}, status_only=True)
    watched = []
    for s in both:
        body = json.dumps({"create_request": {"key": b64(b"g"), "range_end": b64(b"h"), "start_revision": str(revision() + 1)}}).encode()
        watched.append(urllib.request.urlopen(f"http://127.0.0.1:{s.port}/v3/watch", data=body, timeout=20))
    lines = [[without_ids(json.loads(w.readline()))] for w in watched]
    same_json("/v3/kv/put", {"key": b64(b"g9"), "value": b64(b"seen")})
    same_json("/v3/kv/deleterange", {"key": b64(b"g9")})
    for i, w in enumerate(watched):
        lines[i] += [without_ids(json.loads(w.readline())) for _ in range(2)]
        w.close()
    if lines[0] != lines[1]:
        fail("POST /v3/watch", *lines)


def streamed(c8s, **fields):
    """What RangeStream says: (status, message, parts)."""
    call = c8s.channel.unary_stream("/etcdserverpb.KV/RangeStream", request_serializer=lambda m: m.SerializeToString(),
                                    response_deserializer=M.RangeStreamResponse.FromString)
    parts = []
    try:
        for part in call(M.RangeRequest(**fields), timeout=60):
            parts.append(part.range_response)
        return "OK", "", parts
    except grpc.RpcError as e:
        return e.code().name, e.details(), parts


def range_streams():
    """Of etcd 3.7, so not of the peer here: the parts of a stream, merged, are what Range of the same server says."""
    global count
    clean()
    c8s = both[1]
    for i in range(300):  # 1.2 MB: several parts
        same("Put", key=b"s/%03d" % i, value=bytes([65 + i % 26]) * 4000)
    middle = revision()
    same("DeleteRange", key=b"s/100", range_end=b"s/110")
    for fields in ({}, {"limit": 1}, {"limit": 120}, {"limit": 1000}, {"keys_only": True}, {"count_only": True}, {"revision": middle},
                   {"serializable": True}, {"sort_order": 1}, {"range_end": b""}, {"key": b"none", "range_end": b""},
                   {"key": b"", "range_end": b""}, {"revision": middle + 1000}, {"limit": -1}):
        count += 1
        q = {"key": b"s/", "range_end": b"s0", **fields}
        want = c8s.call("Range", M.RangeRequest(**q))
        status, message, parts = streamed(c8s, **q)
        if (status, message) != want[:2]:
            fail(f"RangeStream {fields}", want[:2], (status, message))
        if status != "OK":
            continue
        got = M.RangeResponse()
        for part in parts:
            got.MergeFrom(part)
        if got != want[2] or any(p.HasField("header") for p in parts[:-1]):
            fail(f"RangeStream {fields}", want[2], got)
        if not fields and len(parts) < 3:
            fail("RangeStream of 1.2 MB", "several parts", f"{len(parts)} part(s)")
    for fields, why in (({"sort_order": 2}, "custom sort orders"), ({"sort_order": 1, "sort_target": 1}, "custom sort orders"),
                        ({"min_mod_revision": 1}, "revision filters"), ({"max_create_revision": 9}, "revision filters")):
        count += 1
        status, message, parts = streamed(c8s, key=b"s/", range_end=b"s0", **fields)
        if (status, message, parts) != ("UNIMPLEMENTED", "RangeStream does not support " + why, []):
            fail(f"RangeStream {fields}", why, (status, message))
    same("Compact", revision=middle)
    count += 1
    status, message, _ = streamed(c8s, key=b"s/", range_end=b"s0", revision=middle - 1)
    if (status, message) != ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted"):
        fail("RangeStream of a compacted revision", "OUT_OF_RANGE", (status, message))


def health():
    same("Check", service="")
    same("Check", service="etcdserverpb.KV", note="(etcd 3.4 names no other service)")


def main():
    bin_dir, rest = sys.argv[1], sys.argv[2:]
    scripted = not rest or rest[0] != "--seeds"
    first = int(rest[0 if scripted else 1]) if rest else 1
    last = first if scripted else int(rest[2])
    rest = rest[1 if scripted else 3:]
    requests = int(rest[0]) if rest else 400
    ports = free_ports(3)
    code = 1
    with tempfile.TemporaryDirectory(prefix="c8s-diff-") as d:
        url, peer, url2 = (f"http://127.0.0.1:{p}" for p in ports)
        both.append(Server("etcd", ["etcd", "--name", "e", "--data-dir", d + "/etcd", "--listen-client-urls", url, "--advertise-client-urls", url,
                                    "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "e=" + peer,
                                    "--unsafe-no-fsync"], ports[0], d))
        both.append(Server("c8s", [os.path.join(bin_dir, "c8s-apiserver"), "--store-only", "--name", "c", "--data-dir", d + "/c8s",
                                   "--listen-client-urls", url2, "--advertise-client-urls", url2], ports[2], d))
        try:
            for s in both:
                s.wait_ready()
            global peer_version
            peer_version = tuple(int(x) for x in both[0].call("Status", M.StatusRequest())[2].version.split(".")[:2])
            parts = (kv_ranges, kv_writes, kv_txns, nested_txns, compactions, leases, locks, elections, watches, watch_compacted, watch_bulk, range_streams, gateway, health)
            for part in parts if scripted else ():
                began = time.monotonic()
                before = len(failures)
                part()
                print(f"{'ok  ' if len(failures) == before else 'FAIL'} {part.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
            for seed in range(first, last + 1):
                began, before = time.monotonic(), len(failures)
                random_requests(seed, requests)
                print(f"{'ok  ' if len(failures) == before else 'FAIL'} seed {seed}, {requests} random requests ({time.monotonic() - began:.1f} s)",
                      flush=True)
        finally:
            codes = [s.stop() for s in both]
            if failures or codes[1] != 0:
                print(open(d + "/c8s.log").read()[-3000:])
        code = codes[1]
    assert code == 0, f"c8s ended with {code}"
    print(f"etcd_diff_test: {count} requests to both, {len(failures)} differences")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
