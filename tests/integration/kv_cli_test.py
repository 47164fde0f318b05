#!/usr/bin/env python3
"""`c8s kv` held against etcdctl, byte for byte.

    kv_cli_test.py BIN_DIR [--etcdctl PROGRAM] [--server c8s|etcd]

Two stores that begin alike are driven by the same script, one by etcdctl and one by `c8s kv`: after each
step standard output, the error and the exit code must be equal, revisions included. Only what cannot be
equal is made so: ids (by what they are in each store), addresses, and times.

etcdctl is Debian's. Where it is 3.4, what 3.5 added is left out (and said so); --etcdctl names another, and
`deploy/install-deps.sh --unpack-later etcd-client DIR` fetches one. --server etcd: both stores are etcd's.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from ports import free_ports

LIMIT_S = 60  # for anything; a slow machine needs some of it


def until(what, condition):
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"never came: {what}")


class Store:
    """One member, and the client that drives it."""

    def __init__(self, name, client, program, server, directory):
        self.name, self.client, self.directory = name, client, directory
        client_port, peer_port = free_ports(2)
        self.ep = f"127.0.0.1:{client_port}"
        self.names = {}  # what differs by store → a name for it
        self.log = open(f"{directory}/{name}.log", "wb")
        url, peer = f"http://{self.ep}", f"http://127.0.0.1:{peer_port}"
        command = [program] + (["--store-only"] if server == "c8s" else []) + [
            "--name", "m", "--data-dir", f"{directory}/{name}", "--listen-client-urls", url,
            "--advertise-client-urls", url, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", f"m={peer}"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.names[self.ep], self.names[f"127.0.0.1:{peer_port}"] = "EP", "PEER"
        until(f"{name} serves", lambda: self.run(["get", "x"])[2] == 0)
        header = json.loads(self.run(["get", "x", "-w", "json"])[0])["header"]
        for key, word in (("cluster_id", "CLUSTER"), ("member_id", "MEMBER")):
            self.names[str(header[key])] = word
            self.names[f"{header[key]:x}"] = word

    def command(self, args):
        args = [a.format(**self.values()) if "{" in a and '"' not in a else a for a in args]
        there = any(a.startswith("--endpoints") for a in args)
        return self.client + ([] if there else ["--endpoints", self.ep]) + args

    def values(self):
        return dict(self.captured, ep=self.ep)

    captured = {}

    def run(self, args, stdin="", env=None):
        p = subprocess.run(self.command(args), input=stdin.encode(), capture_output=True,
                           timeout=LIMIT_S, env=dict(os.environ, **env) if env else None)
        return p.stdout, p.stderr, p.returncode

    def start(self, args, **more):
        return subprocess.Popen(self.command(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def neutral(self, out, more=(), protobuf=False):
        """The output without what must differ."""
        if protobuf and out[:1] == b"\n" and len(out) > 2:  # the header, with its ids of any length
            out = b"HEADER" + out[2 + out[1]:]
        elif protobuf and out[:1] == b"\x08":  # nothing but a header
            out = b"HEADER"
        text = out.decode("latin1")
        for value, word in sorted(self.names.items(), key=lambda kv: -len(kv[0])):
            text = text.replace(value, word)
        for pattern, word in more:
            text = re.sub(pattern, word, text)
        return text

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(LIMIT_S)
        self.log.close()
        return code


TOOK = [(r"took = \S+", "took"), (r'"(t|T)ook" ?: ?"?[0-9.]+[mµÂs]+"?', "took"),
        (r" *[0-9.]+(ms|µs|Âµs|s) \|", " T |"), (r"-+", "-"), (r" +", " ")]
# `+x` in 3.5's table of states: sizes and indexes are the stores' own.
STATE = [(r"\d+(\.\d+)? [kMG]?B", "SIZE"), (r'"(dbSize\w*|DBSize\w*|dbSizeQuota)"\s*:\s*\d+,?', ""),
         (r'"(raftIndex|raftAppliedIndex|RaftIndex|RaftAppliedIndex)"\s*:\s*\d+,?', ""),
         (r'"(storageVersion|downgradeInfo)":("[^"]*"|\{[^}]*\}),?', ""), (r",}", "}"),
         (r"(, |\| )\d+(?=(, | \|))", r"\1N"), (r"-+", "-"), (r" +", " ")]
TTL = [(r"remaining\(\d+s\)", "remaining"), (r'"(ttl|TTL)"( ?): ?\d+', r"\1")]
HASH = [(r"\d{6,}", "HASH"), (r'"hash":\d+', "HASH"), (r"-+", "-"), (r" +", " "),
        (r',"hash_revision":\d+', "")]


class Test:
    def __init__(self, theirs, ours, version):
        self.theirs, self.ours, self.version = theirs, ours, version
        self.passed = self.failed = 0

    def equal(self, name, a, b):
        if a == b:
            self.passed += 1
            return
        self.failed += 1
        print(f"FAIL {name}")
        for side, value in (("etcdctl", a), ("c8s kv", b)):
            print("\n".join(f"  {side}: {line}" for line in str(value).splitlines()[:30]))

    def neutral34(self, text):
        """3.4 calls the answers in a transaction otherwise."""
        if self.version < (3, 5):
            for name in ("Range", "Put", "DeleteRange"):
                text = text.replace(f'"Response{name}":', f'"response_{re.sub("(?<=.)R", "_r", name).lower()}":')
        return text

    def step(self, args, stdin="", more=(), env=None, error=True, code=True, output=True):
        """The same words for both. error: the line that begins with Error is compared, too."""
        a, b = (s.run(args, stdin, env) for s in (self.theirs, self.ours))
        name = " ".join(args) + (f" <<< {stdin!r}" if stdin else "")
        protobuf = "protobuf" in args
        if output:
            self.equal(name, self.neutral34(self.theirs.neutral(a[0], more, protobuf)),
                       self.ours.neutral(b[0], more, protobuf))
        if code:
            self.equal(f"{name}: exit code", a[2], b[2])
        if error:
            lines = [[line for line in s.neutral(x[1], more).splitlines()
                      if not line.startswith("{") and re.match("Error|Failed|.*unhealthy|Invalid|watch was|command", line)]
                     for s, x in ((self.theirs, a), (self.ours, b))]
            # cobra repeats its own errors
            lines = [list(dict.fromkeys(x)) for x in lines]
            self.equal(f"{name}: error", "\n".join(lines[0]), "\n".join(lines[1]))
        return a, b

    def formats(self, args, stdin="", formats=("simple", "json", "fields", "table", "protobuf"), **more):
        for w in formats:
            self.step(args + ["-w", w], stdin, **more)

    def capture(self, name, args, pattern):
        """Ids of each store's own, called {name} in later steps and shown as the same word."""
        for s in (self.theirs, self.ours):
            value = re.search(pattern, s.run(args)[0].decode()).group(1)
            s.captured = dict(s.captured, **{name: value})
            s.names[value] = name.upper()
            s.names[str(int(value, 16))] = name.upper()


def keys(t):
    for i, value in enumerate(["1", "two words", 'say "x"\\', "tab\tnewline\n", "ünï – 中 \u00a0\u200b", ""]):
        t.step(["put", f"k{i}", "--", value])
    t.formats(["put", "k0", "again"])
    t.formats(["put", "k0", "third", "--prev-kv"])
    t.formats(["put", "k1", "--prev-kv", "--ignore-value"])
    t.step(["put", "from-stdin"], stdin="a value\nof two lines\n")
    t.step(["put", "nothing"], stdin="")
    t.step(["put", "bytes"], stdin="\x01\x7f<&>\u2028")
    t.step(["put", "k1", "v", "--ignore-value"])
    t.step(["put"])
    t.step(["put", "", "x"])
    t.step(["put", "x", "y", "--lease=zz"])
    t.step(["put", "x", "y", "--lease=123"])
    t.step(["put", "x", "--ignore-value"])
    t.step(["put", "x", "y", "--ignore-lease"])
    t.step(["put", "prefix/1", "a"])
    t.step(["put", "prefix/2", "b"])
    for args in ([], ["k0"], ["none"], ["k", "l"], ["--prefix", "k"], ["--prefix", ""], ["--from-key", "k3"],
                 ["--from-key", ""], ["--prefix", "k", "--limit", "2"], ["--prefix", "k", "--keys-only"],
                 ["--prefix", "k", "--order", "DESCEND"], ["--prefix", "k", "--order=ascend", "--sort-by=value"],
                 ["--prefix", "k", "--sort-by=MODIFY", "--order=DESCEND"], ["--prefix", "k", "--sort-by=CREATE"],
                 ["--prefix", "k", "--sort-by=VERSION"], ["--prefix", "k", "--sort-by=KEY"],
                 ["k0", "--rev=2"], ["k0", "--consistency=s"], ["--prefix", "--from-key", "k"],
                 ["--prefix", "k", "l"], ["--from-key", "k", "l"], ["k0", "--consistency=x"],
                 ["k0", "--order=up"], ["k0", "--sort-by=x"], ["k0", "--rev=99999"]):
        t.formats(["get"] + args)
    t.step(["get", "--prefix", "k", "--hex"])
    t.step(["get", "--prefix", "k", "--hex", "-w", "json"])
    t.step(["get", "--prefix", "k", "--hex", "-w", "fields"])
    t.step(["get", "--prefix", "k", "--print-value-only"])
    t.step(["get", "--prefix", "k", "--print-value-only", "-w", "json"])
    t.step(["get", "k0", "-w", "xml"])
    if t.version >= (3, 5):
        t.step(["get", "--prefix", "k", "--count-only", "-w", "fields"])
        t.step(["get", "--prefix", "k", "--count-only"])
        t.step(["get", "--prefix", "k", "--count-only", "--keys-only"])
    t.formats(["del", "k4"])
    t.formats(["del", "none"])
    for w in ("simple", "json", "fields"):
        t.step(["put", "d1", "x"]), t.step(["put", "d2", "y"])
        t.step(["del", "--prefix", "d", "--prev-kv", "-w", w])
    t.step(["put", "d1", "x"]), t.step(["put", "d2", "y"])
    t.step(["del", "d1", "d2"])
    t.step(["del", "--from-key", "zz"])
    t.step(["del"]), t.step(["del", "a", "b", "c"]), t.step(["del", "--prefix", "a", "b"])
    t.step(["del", "--prefix", "--from-key", "a"])


def transactions(t):
    for stdin in ('ver("k0") > "0"\n\nput k0 "in txn"\nget k0\n\nget k1\n\n',
                  'value("k0") = "nope"\n\nput k0 x\n\nget --prefix k --limit=2\ndel k5 --prev-kv\n\n',
                  'mod("k0") != "0"\ncreate("k0") < "100000"\n\nget k0 --keys-only\n\n\n',
                  '\n\n\n', '\nput "a key" "tab\\tquote\\" \\x41 \\u00fc"\nget "a key"\n\n\n',
                  "\nput quoted 'single quotes'\n\n\n", 'val("a key") = `raw`\n\n\nget "a key"\n\n',
                  '   ver("k0") > "0"   \n \nget k0\n \n\n',
                  '\nput k0 1\nput k0 2\n\n\n', 'nonsense\n\n\n\n', 'ver("k0") > 0\n\n\n\n', 'ver(k0) = "1"\n\n\n\n',
                  'ver("k0")="1"\n\n\n\n', 'x("k0") = "1"\n\n\n\n', 'ver("k0") = "one"\n\n\n\n', 'ver("k0" = "1"\n\n\n\n',
                  '\nfetch k0\n\n\n', '\nput k0\n\n\n', '\nget\n\n\n', '\nget a --wrong\n\n\n', '\nput a b --lease=q\n\n\n',
                  'ver("k0") > "0"\n', '\nput k0 unfinished\n\n', ''):
        if "single" in stdin and t.version < (3, 6):
            continue  # etcdctl before 3.6 cuts such words by the number of words
        if stdin == "\nput k0\n\n\n":
            continue  # reads the value from what is left of standard input
        t.step(["txn"], stdin=stdin)
    for w in ("json", "fields", "table", "protobuf"):
        t.step(["txn", "-w", w], stdin='ver("k0") > "0"\n\nput k0 y --prev-kv\nget k0\ndel k9\n\n\n')
    t.step(["txn", "-i"], stdin='\nget k0\n\n\n')
    t.step(["txn", "argument"], stdin="\n\n\n")


def leases(t):
    t.capture("lease", ["lease", "grant", "1000"], r"lease (\w+)")
    t.step(["put", "leased", "x", "--lease={lease}"])
    t.step(["put", "leased", "y", "--ignore-lease"])
    t.formats(["get", "leased"], formats=("simple", "json", "fields"))
    t.formats(["lease", "timetolive", "{lease}"], more=TTL, formats=("simple", "json", "fields", "table"))
    t.formats(["lease", "timetolive", "{lease}", "--keys"], more=TTL)
    t.formats(["lease", "list"])
    t.formats(["lease", "keep-alive", "--once", "{lease}"])
    random_id = [(r"lease [0-9a-f]{16}", "lease ID"), (r'"ID"( :|:) ?\d+', "ID")]
    t.formats(["lease", "grant", "500"], more=random_id)
    for args in (["grant"], ["grant", "x"], ["grant", "0"], ["grant", "--", "-1"], ["grant", "99999999999"],
                 ["grant", "99999999999999999999"], ["revoke"], ["revoke", "xyz"], ["revoke", "1234"],
                 ["timetolive"], ["timetolive", "xyz"], ["timetolive", "1234"], ["keep-alive"],
                 ["keep-alive", "xyz"], ["keep-alive", "--once", "1234"], ["keep-alive", "1234"]):
        t.step(["lease"] + args, more=random_id)
    for w in ("json", "fields", "simple"):
        t.capture("gone", ["lease", "grant", "700"], r"lease (\w+)")
        t.step(["lease", "revoke", "{gone}", "-w", w])
    t.step(["lease", "revoke", "{lease}"])
    t.step(["get", "leased"])


def members(t):
    t.formats(["member", "list"], formats=("simple", "json", "fields"))
    t.step(["member", "list", "-w", "table"], more=[(r"-+", "-"), (r" +", " ")])
    t.step(["member", "list", "--hex"])
    for s in (t.theirs, t.ours):
        s.names["clientURLS"] = "clientURLs"  # 3.5's slip of the pen
    if t.version >= (3, 5):
        t.step(["member", "list", "--hex", "-w", "json"])
    for args in (["add"], ["add", "x"], ["add", "x", "http://1.2.3.4"], ["remove"], ["remove", "xyz"],
                 ["remove", "1234"], ["update"], ["update", "1234"], ["update", "xyz"],
                 ["update", "1234", "--peer-urls=http://127.0.0.1:1"], ["promote"], ["promote", "xyz"],
                 ["promote", "1234"]):
        t.step(["member"] + args)


def endpoints(t):
    if t.version >= (3, 5):
        t.formats(["endpoint", "health"], more=TOOK)
        t.formats(["endpoint", "health", "--cluster"], more=TOOK)
    t.formats(["endpoint", "status"], more=STATE)
    t.formats(["endpoint", "status", "--cluster"], more=STATE, formats=("simple", "json"))
    t.formats(["endpoint", "hashkv"], more=HASH)
    t.step(["endpoint", "hashkv", "--rev=999999"])
    t.step(["move-leader"]), t.step(["move-leader", "xyz"])
    t.step(["alarm", "list"]), t.step(["alarm", "list", "x"]), t.step(["alarm", "disarm"])
    t.formats(["alarm", "list"], formats=("json", "fields", "table", "protobuf"))
    t.step(["defrag"])
    t.step(["defrag", "--cluster"], more=[(r"http://EP", "EP")])


def nobody(t):
    dead = ["--endpoints=127.0.0.1:1", "--command-timeout=300ms"]
    for args in (["get", "x"], ["put", "x", "y"], ["lease", "grant", "5"], ["member", "list"],
                 ["endpoint", "status"], ["defrag"], ["user", "list"] if t.version > (9,) else ["get", "y"]):
        t.step(args + dead)
    if t.version >= (3, 5):
        t.step(["endpoint", "health"] + dead)


def users(t):
    t.formats(["user", "list"], formats=("simple", "json", "fields", "table"))
    t.step(["user", "add", "root:rootpw"])
    t.step(["user", "add", "alice", "--interactive=false"], stdin="alicepw\n")
    t.step(["user", "add", "bob", "--new-user-password=bobpw"])
    t.step(["user", "add", "carol", "--no-password"])
    t.step(["user", "add", "dora:x", "-w", "json"])
    t.step(["user", "add", "emil:x", "-w", "fields"])
    t.step(["user", "add", "root:again"]), t.step(["user", "add", ":pw"]), t.step(["user", "add"])
    t.step(["user", "passwd", "bob", "--interactive=false"], stdin="newpw\n")
    t.step(["user", "passwd", "nobody", "--interactive=false"], stdin="newpw\n")
    t.step(["user", "passwd"])
    t.step(["user", "delete", "emil"]), t.step(["user", "delete", "emil"]), t.step(["user", "delete"])
    t.step(["role", "add", "root"]), t.step(["role", "add", "r1"]), t.step(["role", "add", "r2", "-w", "json"])
    t.step(["role", "add", "r1"]), t.step(["role", "add"])
    for args in (["r1", "read", "key"], ["r1", "write", "a", "c"], ["r1", "readwrite", "pre/", "--prefix"],
                 ["r1", "READ", "from", "--from-key"], ["r1", "sing", "key"], ["r1", "read"], ["none", "read", "k"],
                 ["r2", "readwrite", "", "--prefix"], ["r1", "read", "a", "b", "--prefix"],
                 ["r1", "read", "a", "--prefix", "--from-key"]):
        t.step(["role", "grant-permission"] + args)
    t.formats(["role", "get", "r1"]), t.step(["role", "get", "r2"]), t.step(["role", "get", "none"])
    t.formats(["role", "list"])
    t.step(["user", "grant-role", "root", "root"]), t.step(["user", "grant-role", "alice", "r1"])
    t.step(["user", "grant-role", "alice", "r2", "-w", "fields"]), t.step(["user", "grant-role", "alice", "none"])
    t.step(["user", "grant-role", "alice"])
    t.formats(["user", "get", "alice"]), t.step(["user", "get", "alice", "--detail"])
    t.step(["user", "get", "none"]), t.step(["user", "get"])
    t.step(["user", "revoke-role", "alice", "r2"]), t.step(["user", "revoke-role", "alice", "r2"])
    for args in (["r1", "key"], ["r1", "a", "c"], ["r1", "from", "--from-key"], ["r1", "none"], ["r1"]):
        t.step(["role", "revoke-permission"] + args)
    t.step(["role", "get", "r1"])
    if t.version >= (3, 5):
        t.formats(["auth", "status"], formats=("simple", "json", "table"))
    t.step(["auth", "enable"])
    t.step(["get", "k0"])
    t.step(["get", "k0", "--user", "root:wrong"])
    t.step(["get", "k0", "--user", "nobody:x"])
    t.step(["put", "k0", "by root", "--user", "root:rootpw"])
    t.step(["get", "k0", "--user", "root", "--password", "rootpw"])
    t.step(["get", "k0"], env={"ETCDCTL_USER": "root:rootpw"})
    t.step(["get", "k0", "--user", "root"], stdin="rootpw\n")
    t.step(["get", "k0", "--user", "alice:alicepw"]), t.step(["put", "pre/1", "x", "--user", "alice:alicepw"])
    if t.version >= (3, 5):
        t.step(["endpoint", "health", "--user", "alice:alicepw"], more=TOOK)
        t.step(["auth", "status", "--user", "root:rootpw"])
    t.step(["member", "list", "--user", "root:rootpw"])
    t.step(["endpoint", "status", "--user", "root:rootpw"], more=STATE)
    t.step(["role", "delete", "r1", "--user", "root:rootpw"])
    t.step(["auth", "disable"]), t.step(["auth", "disable", "--user", "root:rootpw"])
    t.step(["role", "delete", "r1"]), t.step(["role", "delete"])


def words(t):
    t.step(["-w", "json", "get", "k0"])
    t.step(["get", "k0"], env={"ETCDCTL_WRITE_OUT": "json"})
    t.step(["get", "k0"], env={"ETCDCTL_HEX": "true"})
    t.step(["get", "k0"], env={"ETCDCTL_PREFIX": "true"})
    t.step(["member", "-w=fields", "list"])
    t.step(["get", "k0", "--wrong"], output=False)  # etcdctl goes on with its help
    t.step(["compaction"]), t.step(["compaction", "x"]), t.step(["compaction", "999999"])
    t.step(["compaction", "4"]), t.step(["compaction", "3"]), t.step(["compaction", "5", "--physical"])
    t.step(["get", "k0", "--rev=2"])
    t.step(["watch"]), t.step(["watch", "x", "--"]), t.step(["watch", "x"], env={"ETCDCTL_WATCH_KEY": "y"})
    t.step(["watch", "--prefix", "a", "b"]), t.step(["watch"], env={"ETCDCTL_WATCH_RANGE_END": "y"})
    t.step(["lock"]), t.step(["elect"]), t.step(["elect", "x"]), t.step(["elect", "x", "y", "-l"])
    t.step(["make-mirror"]), t.step(["check", "perf", "--load=x"])
    t.step(["snapshot", "save"]), t.step(["lease", "keep-alive", "a", "b"])
    t.step(["user", "list", "x"]), t.step(["role", "list", "x"]), t.step(["auth", "enable", "x"])


def watching(t):
    """Both see the same history and the same live events."""
    rev = json.loads(t.theirs.run(["put", "w/0", "start", "-w", "json"])[0])["header"]["revision"]
    t.ours.run(["put", "w/0", "start"])
    for s in (t.theirs, t.ours):
        s.run(["compaction", "3"])  # where that has not been done yet
        s.run(["put", "w/1", "a"]), s.run(["put", "w/1", "b \"q\""]), s.run(["del", "w/1"])
        s.run(["txn"], stdin="\nput w/2 x\nput w/3 y\n\n\n")
    cases = [(["watch", "--prefix", "w/", f"--rev={rev}", "-w", w] + more, end)
             for w, end in (("simple", b"w/end"), ("fields", b"w/end"), ("json", b"dy9lbmQ="), ("protobuf", b"w/end"))
             for more in ([], ["--prev-kv"])]
    cases += [(["watch", "w/1", f"--rev={rev}", "--", "sh", "-c",
                "echo $ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"], b"DELETE"),
              (["watch", "w/0", "w/9", f"--rev={rev}"], b"w/3"), (["watch", "w/0", f"--rev={rev}"], b"w/0")]
    for s in (t.theirs, t.ours):
        s.run(["put", "w/end", "x"])
    for args, end in cases:
        out = [watch_until(s, args, end) for s in (t.theirs, t.ours)]
        if "protobuf" in args:
            out = [x[x.index(b"w/0"):] for x in out]
        t.equal(" ".join(args), t.theirs.neutral(out[0]), t.ours.neutral(out[1]))
    t.step(["watch", "w/1", f"--rev={rev}", "--", "sh", "-c", "exit 3"])
    t.step(["watch", "w/1", "--rev=1"])  # compacted
    t.step(["watch", "w/1", "--rev=1", "-w", "json"])
    out = [watch_until(s, ["watch", "-i"], (b"live", b"ran"),
                       f'watch w/1 --rev={rev}\nnonsense\nwatch --prefix i/\nwatch "i/1" -- echo ran\n',
                       lambda s=s: s.run(["put", "i/1", "live"])) for s in (t.theirs, t.ours)]
    t.equal("watch -i", sorted(out[0].split()), sorted(out[1].split()))
    out = [watch_until(s, ["watch"], b"k0", "", lambda s=s: s.run(["put", "k0", "seen"]),
                       {"ETCDCTL_WATCH_KEY": "k0"}) for s in (t.theirs, t.ours)]
    t.equal("watch of ETCDCTL_WATCH_KEY", out[0], out[1])


def watch_until(store, args, end, stdin=None, act=None, env=None):
    """Standard output of a watch until it holds `end`, or all of them."""
    ends = end if isinstance(end, tuple) else (end,)
    path = f"{store.directory}/{store.name}.watch"
    with open(path, "wb") as out:
        p = subprocess.Popen(store.command(args), stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL,
                             env=dict(os.environ, **env) if env else None)
    if stdin:
        p.stdin.write(stdin.encode())
        p.stdin.flush()

    def read():
        with open(path, "rb") as f:
            return f.read()

    def has_all():
        out = read()
        return all(e in out for e in ends)

    def there():
        if act and not has_all():
            act() if not read() or stdin is not None else None
            time.sleep(0.5)
        return has_all() and p.poll() is None or p.poll() is not None
    until(f"{end} in {args}", there)
    last = -1  # what belongs to the same answer is written with it
    while last != len(read()):
        last = len(read())
        time.sleep(0.1)
    out = read()
    p.terminate()
    p.wait(LIMIT_S)
    p.stdin.close()
    if act:  # it may have been done more than once
        out = b"\n".join(sorted(set(out.split(b"\n"))))
    return out


def holding(t):
    """Locks and elections."""
    lease = [(r"/[0-9a-f]{10,}", "/LEASE")]
    t.step(["lock", "l1", "sh", "--", "-c", "echo held; exit 7"], more=lease, code=t.version >= (3, 5))
    t.step(["lock", "l1", "--ttl=5", "sh", "--", "-c", 'echo "$ETCD_LOCK_KEY"'], more=lease)
    t.step(["lock", "l1", "/does/not/exist"], error=False)
    for verb, args in (("lock", ["lock", "l2"]), ("elect", ["elect", "e1", "proposal"]), ("elect -l", ["elect", "-l", "e2"])):
        results = []
        for s in (t.theirs, t.ours):
            other = None
            if verb == "elect -l":
                other = s.start(["elect", "e2", "someone"])
                other.stdout.readline()
            p = s.start(args)
            first = p.stdout.readline() + p.stdout.readline()
            if verb == "lock":
                blocked = s.start(args)
                p.send_signal(signal.SIGINT)
                p.wait(LIMIT_S)
                second = blocked.stdout.readline()
                blocked.send_signal(signal.SIGTERM)
                assert blocked.wait(LIMIT_S) == 0, "the second holder"
                first += re.sub(rb".*\n", b"second\n", second)
            p.send_signal(signal.SIGTERM)
            code = p.wait(LIMIT_S)
            if other:
                other.send_signal(signal.SIGTERM)
                other.communicate(timeout=LIMIT_S)
            p.communicate()
            left = s.run(["get", "--prefix", "l2/"])[0] + s.run(["get", "--prefix", "e1/"])[0]
            results.append((s.neutral(first, lease), code, left))
        t.equal(verb, results[0], results[1])


def mirrors(t):
    """Each store's base and changes come to the other client's store under another prefix."""
    for source, target in ((t.theirs, t.ours), (t.ours, t.theirs)):
        source.run(["put", "m/0", "base"])
        p = source.start(["make-mirror", "--prefix=m/", f"--dest-prefix=copy-{source.name}/", target.ep])
        until("the base", lambda: target.run(["get", f"copy-{source.name}/0"])[0].endswith(b"base\n"))
        source.run(["txn"], stdin="\nput m/1 live\ndel m/0\n\n\n")
        until("a change", lambda: target.run(["get", f"copy-{source.name}/1"])[0].endswith(b"live\n"))
        t.equal("what was deleted", target.run(["get", f"copy-{source.name}/0"])[0], b"")
        p.terminate()
        p.communicate()


def own_words(t, binary):
    """What only `c8s kv` says: help, completion, the name etcdctl."""
    run = lambda *args: subprocess.run([binary, "kv", *args], capture_output=True, timeout=LIMIT_S)
    seen = []

    def walk(path):
        for line in run("__complete", *path, "").stdout.decode().splitlines():
            verb = line.split("\t")[0]
            if verb in ("help", "bash", "zsh", "fish"):
                continue
            below = run("__complete", *path, verb, "").stdout.decode().splitlines()
            help_run = run(*path, verb, "--help")
            t.equal(f"help of {path + [verb]}", (help_run.returncode, b"Usage: c8s kv" in help_run.stdout), (0, True))
            seen.append(" ".join(path + [verb]))
            if below and verb != "completion":
                walk(path + [verb])
    walk([])
    for verb in ("put", "lease grant", "member promote", "endpoint hashkv", "auth status", "user passwd",
                 "role revoke-permission", "snapshot save", "check perf", "downgrade validate", "make-mirror"):
        t.equal(f"{verb} is offered", verb in seen, True)
    flags = run("__complete", "get", "--pre").stdout.decode()
    t.equal("flags are offered", "--prefix\t" in flags and "--endpoints\t" in flags, True)
    t.equal("values are offered", run("__complete", "get", "--sort-by", "").stdout.split(),
            b"CREATE KEY MODIFY VALUE VERSION".split())
    t.equal("man page", b".TH" in run("get", "--man").stdout, True)
    for shell in ("bash", "zsh", "fish"):
        t.equal(f"completion {shell}", run("completion", shell).returncode, 0)
    script = run("completion", "bash").stdout.decode() + (
        '\nCOMP_WORDS=(c8s kv mem); COMP_CWORD=2; _c8s_kv; echo "${COMPREPLY[@]}"'
        '\nCOMP_WORDS=(c8s kv get --sort-by = M); COMP_CWORD=5; _c8s_kv; echo "${COMPREPLY[@]}"')
    out = subprocess.run(["bash", "-c", script], capture_output=True, timeout=LIMIT_S,
                         env=dict(os.environ, PATH=os.path.dirname(binary) + ":" + os.environ["PATH"]))
    t.equal("bash completes", out.stdout.decode().split(), ["member", "MODIFY"])
    link = f"{t.ours.directory}/etcdctl"
    os.symlink(binary, link)
    out = subprocess.run([link, "--endpoints", t.ours.ep, "get", "k0", "--print-value-only"], capture_output=True)
    t.equal("called etcdctl", out.returncode, 0)
    out = run("get", "x", "--discovery-srv=example.org")
    t.equal("--discovery-srv", (out.returncode, b"not supported" in out.stderr), (1, True))
    out = run("--endpoints", t.ours.ep, "check", "perf", "--duration=2s")
    t.equal("check perf runs", b"Throughput" in out.stdout, True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("--etcdctl", default="etcdctl")
    parser.add_argument("--server", default="c8s")
    parser.add_argument("--only", help="parts, by the names of their functions")
    o = parser.parse_args()
    binary = os.path.abspath(f"{o.bin}/c8s")
    for name in [n for n in os.environ if n.startswith("ETCDCTL_")]:
        del os.environ[name]
    os.environ["ETCDCTL_API"] = "3"
    try:
        text = subprocess.run([o.etcdctl, "version"], capture_output=True).stdout.decode()
    except FileNotFoundError:
        print("SKIP: etcdctl is not installed")
        return 77
    version = tuple(int(x) for x in re.search(r"version: (\d+)\.(\d+)", text).groups())
    del os.environ["ETCDCTL_API"]
    program = os.path.abspath(f"{o.bin}/c8s-apiserver") if o.server == "c8s" else o.server
    etcdctl = ["env", "ETCDCTL_API=3", o.etcdctl]
    with tempfile.TemporaryDirectory() as directory:
        theirs = Store("theirs", etcdctl, program, o.server, directory)
        ours = Store("ours", [binary, "kv"], program, o.server, directory)
        t = Test(theirs, ours, version)
        parts = [keys, transactions, leases, members, endpoints, nobody, words, users, watching, holding, mirrors]
        try:
            for part in parts:
                if not o.only or part.__name__ in o.only.split(","):
                    print(f"--- {part.__name__}", flush=True)
                    part(t)
            if not o.only or "own_words" in o.only:
                own_words(t, binary)
        finally:
            codes = theirs.stop(), ours.stop()
        t.equal("the stores end well", codes if o.server == "c8s" else 0, (0, 0) if o.server == "c8s" else 0)
    print(f"etcdctl {'.'.join(map(str, version))}, {o.server}: {t.passed} passed, {t.failed} failed")
    return t.failed > 0


sys.exit(main())
