#!/usr/bin/env python3
"""Real members on bad disks: full ones, ones that fail, ones that flip bits; seen through etcdctl.

    disk_test.py BIN_DIR [--only full,faults,flips] [--short] [--rounds N]      (as root: it mounts)

Each round is: one member's disk is full, then all are; writes and flushes fail on one member in every way that
slow_fs knows; bits are flipped in the pages and the journal of a running and of a stopped member, and of one
that is alone. Always: nothing acknowledged is lost, and in the end all members have the same hash.
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from ports import free_ports

DISK_MB = 192
PATIENCE_S = 90
NOSPACE = "etcdserver: mvcc: database space exceeded"


def sh(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def eventually(what, condition, seconds=PATIENCE_S):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        got = condition()
        if got:
            return got
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for: {what}")


class Member:
    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.name = f"m{number}"
        self.disk = os.path.join(cluster.dir, f"disk{number}")
        self.dir = os.path.join(self.disk, "data")
        self.log = os.path.join(cluster.dir, f"{self.name}.log")
        self.client, self.peer = free_ports(2)
        self.process = self.fs = None
        self.fault = os.path.join(cluster.dir, f"fault{number}")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.client}"

    def start(self, *more):
        peer = f"http://127.0.0.1:{self.peer}"
        with open(self.log, "a") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen(
                [os.path.join(self.cluster.bin, "c8s-apiserver"), "--store-only", "--name", self.name, "--data-dir",
                 self.dir, "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster",
                 self.cluster.initial, *self.cluster.flags, *more], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def end(self, number=signal.SIGKILL):
        if self.running():
            self.process.send_signal(number)
            self.process.wait(60)

    def ended(self):
        """The member has ended by itself: how."""
        eventually(f"the end of {self.name}", lambda: not self.running())
        return self.process.returncode

    def said(self, words):
        with open(self.log, errors="replace") as f:
            f.seek(self.log_from)
            return words in f.read()

    def files(self, folder, ending):
        found = []
        for top, _, names in os.walk(self.dir):
            found += [os.path.join(top, n) for n in names if n.endswith(ending) and folder in top]
        return sorted(found)


class Cluster:
    def __init__(self, bin_dir, members, disk="plain", flags=()):
        self.bin, self.flags = bin_dir, flags
        self.dir = tempfile.mkdtemp(prefix="c8s-disk.")
        self.members = [Member(self, i) for i in range(members)]
        self.initial = ",".join(f"{m.name}=http://127.0.0.1:{m.peer}" for m in self.members)
        self.mounts = []
        self.acked = {}
        self.writer = None
        for m in self.members:
            os.mkdir(m.disk)
            if disk == "tmpfs":
                sh("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "c8s-disk", m.disk)
                self.mounts.append(m.disk)
            elif disk == "fuse":
                os.mkdir(m.disk + ".below")
                open(m.fault, "w").close()
                m.fs = subprocess.Popen([os.path.join(bin_dir, "..", "bench", "slow_fs"), m.disk + ".below", m.disk,
                                         "0", m.fault])
                self.mounts.append(m.disk)
                eventually("the file system", lambda d=m.disk: os.path.ismount(d))
            m.start()
        self.put("first", "1")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.write_end()
        if kind:
            for m in self.members:
                print(f"--- {m.name}", flush=True)
                subprocess.run(["tail", "-n", "12", m.log], check=False)
        for m in self.members:
            m.end()
        for mount in self.mounts:
            subprocess.run(["umount", "-l", mount], check=False)
        for m in self.members:
            if m.fs:
                m.fs.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- clients ----

    def ctl(self, *args, member=None, stdin=None, timeout=5):
        urls = member.url if member else ",".join(m.url for m in self.members if m.running())
        done = subprocess.run(["etcdctl", "--endpoints", urls, "--dial-timeout=2s", f"--command-timeout={timeout}s",
                               *args], env=dict(os.environ, ETCDCTL_API="3"), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, input=stdin, check=False)
        return done.returncode, done.stdout, done.stderr

    def put(self, key, value, member=None):
        eventually(f"a put of {key}", lambda: self.ctl("put", key, member=member, stdin=value)[0] == 0)
        self.acked[key] = value

    def get(self, key, member=None):
        code, out, err = self.ctl("get", key, "--print-value-only", member=member)
        return out.rstrip("\n") if code == 0 else None

    def leader(self):
        """Who leads, in which term."""
        def ask():
            for m in filter(Member.running, self.members):
                code, out, _ = self.ctl("endpoint", "status", "-w", "json", member=m)
                status = json.loads(out)[0]["Status"] if code == 0 else {}
                if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                    return m, status["raftTerm"]
            return None

        return eventually("a leader", ask)

    def alarms(self):
        return self.ctl("alarm", "list")[1]

    def write_start(self):
        """Writes all the time, each value about 40 kB; what was acknowledged is remembered."""
        self.writing = True

        def run():
            n = 0
            while self.writing:
                n += 1
                key, value = f"w{n % 50}", f"{n}." + "v" * 40000
                code, _, _ = self.ctl("put", key, stdin=value, timeout=2)
                if code == 0:
                    self.acked[key] = value

        self.writer = threading.Thread(target=run)
        self.writer.start()

    def write_end(self):
        if self.writer:
            self.writing = False
            self.writer.join()
            self.writer = None

    def agree(self):
        """All run, have the same hash, and what was acknowledged."""
        self.write_end()
        for m in self.members:
            self.put("agree-" + m.name, str(time.time()), member=m)

        def equal():
            hashes = set()
            for m in self.members:
                code, out, _ = self.ctl("endpoint", "hashkv", "-w", "json", member=m)
                if code:
                    return False
                h = json.loads(out)[0]["HashKV"]
                hashes.add((h.get("hash", 0), h.get("compact_revision", 0), h["header"]["revision"]))
            return len(hashes) == 1

        eventually("equal hashes", equal)
        for key, value in self.acked.items():
            got = self.get(key)
            number, stored = value.split(".")[0], (got or "").split(".")[0]
            # a write whose answer was lost may have happened after the last acknowledged one
            if key.startswith("w") and stored.isdigit() and int(stored) >= int(number):
                continue
            assert got == value, f"{key}: acknowledged {value[:20]}, found {str(got)[:20]}"


# ---- full disks ----

def fill_disk(m, leave_bytes):
    """A file of somebody else's takes all but so much."""
    st = os.statvfs(m.disk)
    n = st.f_bavail * st.f_frsize - leave_bytes
    with open(os.path.join(m.disk, "ballast"), "ab") as f:
        while n >= 4096:
            try:
                os.posix_fallocate(f.fileno(), os.fstat(f.fileno()).st_size, n)
                return
            except OSError:  # the member has been quicker
                n //= 2


def empty_disk(m):
    os.unlink(os.path.join(m.disk, "ballast"))


def full(bin_dir, count, which):
    """The disks of the first `which` of `count` members fill up."""
    with Cluster(bin_dir, count, disk="tmpfs") as c:
        victims = c.members[:which]
        for m in victims:
            eventually("the reserve", lambda m=m: os.path.exists(os.path.join(m.dir, "reserve")))
        c.put("kept", "x")
        for m in victims:
            fill_disk(m, 5 << 20)
        eventually("NOSPACE", lambda: c.alarms().count("NOSPACE") >= which)
        for m in c.members:
            code, _, err = c.ctl("put", "more", "x", member=m)
            assert code != 0 and NOSPACE in err, f"a put with a full disk: {code} {err}"
            assert c.get("kept", member=m) == "x"
        code, out, err = c.ctl("del", "first")
        assert code == 0 and out.startswith("1"), f"a delete with a full disk: {err}"
        del c.acked["first"]
        for m in victims:
            assert m.said("the disk is full"), "the log says what to do"
            eventually("the reserve given back", lambda m=m: not os.path.exists(os.path.join(m.dir, "reserve")))
        code, _, err = c.ctl("alarm", "disarm")
        assert code == 0, err
        eventually("NOSPACE again, the disk is still full",
                   lambda: c.ctl("put", "early", "x")[0] != 0 and "NOSPACE" in c.alarms())
        # a restart on the full disk works, too
        victims[0].end()
        victims[0].start()
        eventually("an answer", lambda: c.get("kept", member=victims[0]) == "x")
        for m in victims:
            empty_disk(m)
        eventually("the reserve again",
                   lambda: all(os.path.exists(os.path.join(m.dir, "reserve")) for m in victims))
        eventually("a put after disarm",
                   lambda: c.ctl("alarm", "disarm")[0] == 0 and c.ctl("put", "after", "x")[0] == 0)
        c.agree()
    print(f"ok   {which} of {count} members with a full disk", flush=True)


def brim_full(bin_dir, count, which):
    """Not a byte is left, under load: the members stop or refuse, and lose nothing."""
    with Cluster(bin_dir, count, disk="tmpfs") as c:
        victims = c.members[:which]
        c.write_start()
        eventually("writes", lambda: len(c.acked) > 10)
        for _ in range(20):
            for m in victims:
                fill_disk(m, 0)
            time.sleep(0.1)
        if which < count / 2:
            assert c.get("first", member=c.members[-1]) == "1"
        c.write_end()
        stopped = 0
        for m in victims:
            stopped += not m.running()
            empty_disk(m)
            if not m.running():
                assert m.process.returncode > 0, f"{m.name} ended with {m.process.returncode}"
                m.start()
        eventually("a put after disarm",
                   lambda: c.ctl("alarm", "disarm")[0] == 0 and c.ctl("put", "after", "x")[0] == 0)
        c.agree()
    print(f"ok   {which} of {count} members without a byte left ({stopped} stopped)", flush=True)


# ---- failing disks ----

FAULTS = ("write-torn", "sync-eio", "write-enospc", "write-eio", "write-short", "sync-enospc")


def faults(bin_dir, kinds):
    with Cluster(bin_dir, 3, disk="fuse") as c:
        for n, fault in enumerate(kinds):
            m = c.members[n % 3]
            c.write_start()
            with open(m.fault, "w") as f:  # in place: the file system knows it by its name
                f.write(fault)
            code = m.ended()
            assert code > 0, f"{fault}: ended with {code}"
            assert m.said("stopping after a failure"), fault
            c.put(f"without-{fault}", "x")
            open(m.fault, "w").close()
            m.start()
            c.agree()
            print(f"ok   {fault}: the member stopped, came back and lost nothing", flush=True)


# ---- flipped bits ----

def flip_in_file(path, needle, bit=3):
    """Flip one bit in each place that holds the needle; how many."""
    with open(path, "r+b") as f:
        data = f.read()
        at, n = data.find(needle), 0
        while at >= 0:
            f.seek(at + len(needle) - 1)
            f.write(bytes([data[at + len(needle) - 1] ^ 1 << bit]))
            at, n = data.find(needle, at + 1), n + 1
    return n


def flip_value(m, value):
    return sum(flip_in_file(p, value.encode()) for p in m.files("db-", "data.mdb"))


def is_rebuilt(c, m, other):
    """It marks its directory, tells the others, begins anew by itself, and is rebuilt."""
    eventually(f"{m.name} rebuilt", lambda: m.said("msg=rebuilt"))
    assert other.said("type=CORRUPT"), "the others were told"
    eventually(f"an answer of {m.name}", lambda: c.get("first", member=m) == "1")
    eventually("CORRUPT cleared", lambda: "CORRUPT" not in c.alarms())
    c.agree()


def flips_in_pages(bin_dir):
    with Cluster(bin_dir, 3, flags=("--corrupt-check-time", "2s")) as c:
        for n in range(40):
            c.put(f"k{n}", f"value-{n}-" + "p" * 100)
        for how in ("read", "walk", "stopped"):
            c.put(how, f"needle-{how}-" + "q" * 50)
        c.agree()
        m = c.members[0]
        assert flip_value(m, c.acked["read"]) > 0
        code, out, err = c.ctl("get", "read", member=m)
        assert out == "" or c.acked["read"] in out, f"a damaged value was served: {out}"
        is_rebuilt(c, m, c.members[1])
        print(f"ok   a flipped bit was found by a read ({err.splitlines()[-1:]}) and the member rebuilt", flush=True)
        m = c.members[1]
        assert flip_value(m, c.acked["walk"]) > 0
        is_rebuilt(c, m, c.members[2])
        print("ok   a flipped bit was found by the walk and the member rebuilt", flush=True)
        m = c.members[2]
        m.end()
        assert flip_value(m, c.acked["stopped"]) > 0
        m.start("--experimental-initial-corrupt-check")
        eventually(f"{m.name} rebuilt", lambda: m.said("msg=rebuilt"))
        c.agree()
        print("ok   a bit flipped while the member was stopped was found at its start", flush=True)


def flip_at(path, at, bit=2):
    with open(path, "r+b") as f:
        f.seek(at)
        b = f.read(1)
        f.seek(at)
        f.write(bytes([b[0] ^ 1 << bit]))


def journal_end(path):
    """Where the last record of a segment ends, about: behind it are only zeros, or an earlier life's bytes."""
    with open(path, "rb") as f:
        return len(f.read().rstrip(b"\0"))


def flips_in_journal(bin_dir, rng):
    """Header, records and tail of the newest segment: the member comes back equal or refuses, and says what to do."""
    outcomes = []
    for region in ("header", "record", "tail", "lost"):
        with Cluster(bin_dir, 3) as c:
            for n in range(10):
                c.put(f"k{n}", f"value-{n}")
            c.agree()
            leader, term = c.leader()
            m = c.members[1] if c.members[1] is not leader else c.members[2]
            m.end()
            segment = [s for s in m.files("journal", ".seg") if journal_end(s) > 64][-1]
            end = journal_end(segment)
            at = {"header": 8, "record": rng.randrange(64, max(65, end // 2)), "tail": end - 1, "lost": end - 1}[region]
            if region == "lost":  # power has failed, too: only the journal knew the end, and only the leader can tell
                with open(os.path.join(m.dir, "boot"), "w") as f:
                    f.write("00000000-0000-0000-0000-000000000000 before the power failed\n")
            flip_at(segment, at)
            for n in range(10, 20):
                c.put(f"k{n}", f"value-{n}")
            m.start()
            eventually("an answer or a refusal", lambda: not m.running() or c.get("k19", member=m) == "value-19")
            if m.running():
                assert region != "lost" or c.leader() != (leader, term), "the leader knows what the member has lost"
                c.agree()
                outcomes.append(f"{region}: came back")
            else:
                assert m.process.returncode > 0
                assert m.said("member remove"), "a refusal says what to do"
                # The leader tells of the entries, unless a checkpoint in between had the end of the journal on record.
                told = m.said("has acknowledged log entries") or m.said("promises may be lost")
                assert region != "lost" or told, "it says what was lost"
                m.end()
                outcomes.append(f"{region}: refused")
    print("ok   flipped bits in the journal: " + ", ".join(outcomes), flush=True)


def flips_alone(bin_dir):
    with Cluster(bin_dir, 1) as c:
        c.put("k", "needle-alone-" + "z" * 40)
        m = c.members[0]
        eventually("the value in the file", lambda: flip_value(m, c.acked["k"]) > 0)
        code, out, _ = c.ctl("get", "k", member=m)
        assert code != 0 and not out, f"a damaged value was served: {out}"
        assert m.ended() > 0
        assert m.said("restore this member from a backup"), "it says what to do"
    print("ok   a member that is alone refuses and says what to do", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("--only", default="full,faults,flips")
    parser.add_argument("--short", action="store_true", help="what CI has time for")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    bin_dir = os.path.abspath(o.bin)
    if os.geteuid() != 0 or not shutil.which("etcdctl"):
        print("SKIP: needs root and etcdctl")
        return 77
    only = o.only.split(",")
    for n in range(o.rounds):
        rng = random.Random(o.seed + n)
        if "full" in only:
            full(bin_dir, 3, 1)
            if not o.short:
                full(bin_dir, 1, 1)
                full(bin_dir, 3, 3)
                brim_full(bin_dir, 3, 1)
            brim_full(bin_dir, 3, 3)
        if "faults" in only:
            if os.path.exists("/dev/fuse") and os.path.exists(os.path.join(bin_dir, "..", "bench", "slow_fs")):
                faults(bin_dir, FAULTS[:3] if o.short else FAULTS)
            else:
                print("SKIP: no fuse", flush=True)
        if "flips" in only:
            flips_in_pages(bin_dir)
            flips_in_journal(bin_dir, rng)
            flips_alone(bin_dir)
    print("PASS")
    return 0


if __name__ == "__main__":
    sys.exit(main())
