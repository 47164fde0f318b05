#!/usr/bin/env python3
"""The alerts of etcd's mixin against c8s: every expression loads, is evaluated, finds the metrics that it names;
and each fires when the fault is there that it is about.

    tests/integration/alerts_test.py BIN_DIR [SLOW_FS]

Needs Debian's prometheus (the server and promtool). The rules are loaded twice: with the published windows and
delays, and with seconds in place of minutes, so that they can fire within a test. SLOW_FS is bench/slow_fs; without
it (or without FUSE) the alerts of slow disks are only evaluated.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from ports import free_port, free_ports

BIN = sys.argv[1] if len(sys.argv) > 1 else sys.exit(__doc__)
SLOW_FS = sys.argv[2] if len(sys.argv) > 2 else ""
QUOTA = 24 << 20
BAD = "Unknown|FailedPrecondition|ResourceExhausted|Internal|Unavailable|DataLoss|DeadlineExceeded"
J = 'job=~".*etcd.*"'

# name, expression, delay. W5, W15, W4h are windows: see `windows`.
ALERTS = [
    ("etcdMembersDown",
     "max without (endpoint) (sum without (instance) (up{J} == bool 0) or count without (To) (sum without (instance)"
     " (rate(etcd_network_peer_sent_failures_total{J}[W2])) > 0.01)) > 0", "10m"),
    ("etcdInsufficientMembers",
     "sum(up{J} == bool 1) without (instance) < ((count(up{J}) without (instance) + 1) / 2)", "3m"),
    ("etcdNoLeader", "etcd_server_has_leader{J} == 0", "1m"),
    ("etcdHighNumberOfLeaderChanges",
     "increase((max without (instance) (etcd_server_leader_changes_seen_total{J}) or"
     " 0*absent(etcd_server_leader_changes_seen_total{J}))[W15:W1]) >= 4", "5m"),
    ("etcdHighNumberOfFailedGRPCRequests",
     '100 * sum(rate(grpc_server_handled_total{J, grpc_code=~"BAD"}[W5])) without (grpc_type, grpc_code)'
     " / sum(rate(grpc_server_handled_total{J}[W5])) without (grpc_type, grpc_code) > 1", "10m"),
    ("etcdHighNumberOfFailedGRPCRequestsCritical",
     '100 * sum(rate(grpc_server_handled_total{J, grpc_code=~"BAD"}[W5])) without (grpc_type, grpc_code)'
     " / sum(rate(grpc_server_handled_total{J}[W5])) without (grpc_type, grpc_code) > 5", "5m"),
    ("etcdGRPCRequestsSlow",
     'histogram_quantile(0.99, sum(rate(grpc_server_handling_seconds_bucket{J, grpc_method!="Defragment",'
     ' grpc_type="unary"}[W5])) without(grpc_type)) > 0.15', "10m"),
    ("etcdMemberCommunicationSlow",
     "histogram_quantile(0.99, rate(etcd_network_peer_round_trip_time_seconds_bucket{J}[W5])) > 0.15", "10m"),
    ("etcdHighNumberOfFailedProposals", "rate(etcd_server_proposals_failed_total{J}[W15]) > 5", "15m"),
    ("etcdHighFsyncDurations",
     "histogram_quantile(0.99, rate(etcd_disk_wal_fsync_duration_seconds_bucket{J}[W5])) > 0.5", "10m"),
    ("etcdHighFsyncDurationsCritical",
     "histogram_quantile(0.99, rate(etcd_disk_wal_fsync_duration_seconds_bucket{J}[W5])) > 1", "10m"),
    ("etcdHighCommitDurations",
     "histogram_quantile(0.99, rate(etcd_disk_backend_commit_duration_seconds_bucket{J}[W5])) > 0.25", "10m"),
    ("etcdDatabaseQuotaLowSpace",
     "(last_over_time(etcd_mvcc_db_total_size_in_bytes{J}[W5])"
     " / last_over_time(etcd_server_quota_backend_bytes{J}[W5]))*100 > 95", "10m"),
    ("etcdExcessiveDatabaseGrowth",
     "predict_linear(etcd_mvcc_db_total_size_in_bytes{J}[W4h], 4*60*60) > etcd_server_quota_backend_bytes{J}", "10m"),
    ("etcdDatabaseHighFragmentationRatio",
     "(last_over_time(etcd_mvcc_db_total_size_in_use_in_bytes{J}[W5])"
     " / last_over_time(etcd_mvcc_db_total_size_in_bytes{J}[W5])) < 0.5"
     " and etcd_mvcc_db_total_size_in_use_in_bytes{J} > 104857600", "10m"),
]
PUBLISHED = {"W1": "1m", "W2": "120s", "W5": "5m", "W15": "15m", "W4h": "4h"}
SHORT = {"W1": "1s", "W2": "8s", "W5": "15s", "W15": "40s", "W4h": "60s"}

directory = tempfile.mkdtemp(prefix="c8s-alerts.")
processes = {}
failures = []


def check(name, ok, more=""):
    print(("ok   " if ok else "FAIL ") + name + (f": {more}" if more and not ok else ""), flush=True)
    if not ok:
        failures.append(name)


def start(name, argv):
    log = open(f"{directory}/{name}.log", "ab")
    processes[name] = subprocess.Popen(argv, stdout=log, stderr=log)


def stop(name, sig=signal.SIGKILL):
    p = processes.pop(name, None)
    if p:
        p.send_signal(sig)
        p.wait(30)


def wait_for(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except OSError:
            pass
        time.sleep(0.3)
    check(what, False, f"not within {seconds} s")
    return False


def rules(file, windows, fast):
    """A rules file; JSON is YAML."""
    out = []
    for name, expr, delay in ALERTS:
        expr = expr.replace("BAD", BAD).replace("{J", "{" + J)
        expr = re.sub(r"\bW\w+\b", lambda m: windows[m.group()], expr)
        out.append({"alert": name, "expr": expr, "for": "1s" if fast else delay})
    with open(file, "w", encoding="utf-8") as f:
        json.dump({"groups": [{"name": "short" if fast else "published", "rules": out}]}, f, indent=1)


# ---- members ----

client, peer = free_ports(5), free_ports(5)
SLOW = 3  # a cluster of its own, on a slow disk
LARGE = 4  # and one with room for what fragments


def member(i):
    names = [i] if i in (SLOW, LARGE) else [0, 1, 2]
    cluster = ",".join(f"m{k}=http://127.0.0.1:{peer[k]}" for k in names)
    data = f"{directory}/slow" if i == SLOW else f"{directory}/data{i}"
    start(f"m{i}", [f"{BIN}/c8s-apiserver", "--store-only", "--name", f"m{i}", "--data-dir", f"{data}/store",
                    "--listen-client-urls", f"http://127.0.0.1:{client[i]}",
                    "--advertise-client-urls", f"http://127.0.0.1:{client[i]}",
                    "--listen-peer-urls", f"http://127.0.0.1:{peer[i]}",
                    "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer[i]}",
                    "--initial-cluster", cluster, "--metrics", "extensive",
                    "--quota-backend-bytes", str(8 << 30 if i == LARGE else QUOTA), "--warning-apply-duration", "50ms"])


def kv(*argv, at=0, timeout=20):
    return subprocess.run([f"{BIN}/c8s", "kv", *argv, "--endpoints", f"127.0.0.1:{client[at]}"],
                          capture_output=True, text=True, timeout=timeout, check=False)


def serves(i):
    return kv("put", "up", "1", at=i).returncode == 0


def text_metrics(i):
    with urllib.request.urlopen(f"http://127.0.0.1:{client[i]}/metrics", timeout=5) as r:
        return r.read().decode()


# ---- prometheus ----

prometheus_port = free_port()


def api(path, **query):
    url = f"http://127.0.0.1:{prometheus_port}/api/v1/{path}?" + urllib.parse.urlencode(query)
    with urllib.request.urlopen(url, timeout=10) as r:
        return json.load(r)["data"]


def groups():
    return {g["name"]: g["rules"] for g in api("rules")["groups"]}


def start_prometheus():
    rules(f"{directory}/published.json", PUBLISHED, False)
    rules(f"{directory}/short.json", SHORT, True)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"},
        "rule_files": [f"{directory}/published.json", f"{directory}/short.json"],
        "scrape_configs": [
            {"job_name": "etcd", "static_configs": [{"targets": [f"127.0.0.1:{p}" for p in client[:3]]}]},
            {"job_name": "etcd-large", "static_configs": [{"targets": [f"127.0.0.1:{client[LARGE]}"]}]},
            {"job_name": "etcd-slow", "static_configs": [{"targets": [f"127.0.0.1:{client[SLOW]}"]}]}],
    }
    if SLOW not in running:
        config["scrape_configs"].pop()
    with open(f"{directory}/prometheus.yml", "w", encoding="utf-8") as f:
        json.dump(config, f)
    for name in ("published", "short"):
        r = subprocess.run(["promtool", "check", "rules", f"{directory}/{name}.json"], capture_output=True, text=True,
                           check=False)
        check(f"promtool takes the {name} rules", r.returncode == 0 and f"{len(ALERTS)} rules found" in r.stdout,
              r.stdout + r.stderr)
    start("prometheus", ["prometheus", f"--config.file={directory}/prometheus.yml",
                         f"--storage.tsdb.path={directory}/tsdb", f"--web.listen-address=127.0.0.1:{prometheus_port}"])


def fired(name):
    return any(r["name"] == name and r["state"] == "firing" for r in groups().get("short", []))


def fires(name, provoke=None, seconds=60):
    """Call `provoke` until the alert fires."""
    def tried():
        if provoke:
            provoke()
        return fired(name)
    provoked.add(name)
    if wait_for(f"{name} fires", tried, seconds):
        check(f"{name} fires", True)


def leader():
    for i in range(3):
        if re.search(r"^etcd_server_is_leader 1$", text_metrics(i), re.M):
            return i
    return None


# ---- the faults ----

def post(i, path, **body):
    request = urllib.request.Request(f"http://127.0.0.1:{client[i]}/v3/{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as r:
        return json.load(r)


def many_leaders():
    at = leader()
    if at is None:
        return
    other = post((at + 1) % 3, "maintenance/status")["header"]["member_id"]
    post(at, "maintenance/transfer-leadership", targetID=other)


def slow_peer():
    follower = (leader() + 1) % 3
    p = processes[f"m{follower}"]
    p.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    p.send_signal(signal.SIGCONT)


def bench(*argv, at=0):
    return kv("bench", "put", *argv, at=at, timeout=60)


def fill():
    bench("--clients", "20", "--total", "1500", "--val-size", "8000", "--key-space-size", "1500")


def fragment():
    """A large store of which more than half is deleted and compacted away, while nobody defragments."""
    bench("--clients", "8", "--total", "5000", "--val-size", "65536", "--key-space-size", "5000", at=LARGE)
    keys = json.loads(kv("get", "", "--prefix", "--keys-only", "-w", "json", at=LARGE).stdout)["kvs"]
    gone = post(LARGE, "kv/deleterange", key=keys[0]["key"], range_end=keys[len(keys) * 3 // 5]["key"])
    post(LARGE, "kv/compaction", revision=gone["header"]["revision"], physical=True)


def deletions():
    """Many at a time, none of which can be decided. (Puts are refused before they are proposed: NOSPACE.)"""
    def one():
        try:
            post(0, "kv/deleterange", key="dXA=")
        except OSError:
            pass
    threads = [threading.Thread(target=one) for _ in range(200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def disk():
    """A member whose flushes take 1.2 s."""
    if not SLOW_FS or not os.path.exists(SLOW_FS) or not os.path.exists("/dev/fuse"):
        return False
    os.makedirs(f"{directory}/below")
    os.makedirs(f"{directory}/slow")
    start("slow_fs", [SLOW_FS, f"{directory}/below", f"{directory}/slow", "1200000"])
    for _ in range(50):
        if os.path.ismount(f"{directory}/slow"):
            return True
        time.sleep(0.1)
    return False


def run():
    wait_for("three members serve", lambda: all(serves(i) for i in range(3)))
    if SLOW in running:
        wait_for("the one on the slow disk serves", lambda: serves(SLOW), 90)
    start_prometheus()
    wait_for("prometheus evaluates", lambda: all(
        r["health"] != "unknown" for g in groups().values() for r in g) and len(groups()) == 2)
    for group in ("published", "short"):
        bad = [(r["name"], r.get("lastError")) for r in groups()[group] if r["health"] != "ok"]
        check(f"the {group} rules are evaluated without error", not bad, str(bad))
    names = sorted({n for _, e, _ in ALERTS for n in re.findall(r"\b((?:etcd|grpc)_\w+)\{", e)})
    wait_for("every metric that a rule names is there",
             lambda: all(api("query", query=f'{{__name__="{n}"}}')["result"] for n in names))
    missing = [n for n in names if not api("query", query=f'{{__name__="{n}"}}')["result"]]
    check(f"all {len(names)} metrics that the rules name are scraped", not missing, str(missing))
    time.sleep(3)
    quiet = [r["name"] for r in groups()["short"] if r["state"] == "firing"
             and all(a["labels"].get("job") == "etcd" for a in r["alerts"])]
    check("nothing fires without a fault", not [n for n in quiet if n not in GROWTH], str(quiet))

    if SLOW in running:
        slow = lambda: bench("--clients", "4", "--total", "8", at=SLOW)
        fires("etcdHighFsyncDurations", slow)
        fires("etcdHighFsyncDurationsCritical", slow)
        fires("etcdHighCommitDurations", slow)
        fires("etcdGRPCRequestsSlow", slow)
        log = open(f"{directory}/m{SLOW}.log", encoding="utf-8", errors="replace").read()
        check("slow flushes are warned of", "slow flush of the journal" in log)
        check("slow calls are warned of", "a call took too long" in log)
    else:
        print("note: no slow file system here: the alerts of slow disks are only evaluated")
    fragment()
    fires("etcdDatabaseHighFragmentationRatio")
    fires("etcdMemberCommunicationSlow", slow_peer)
    fires("etcdHighNumberOfLeaderChanges", many_leaders)
    fires("etcdExcessiveDatabaseGrowth", fill)
    fires("etcdDatabaseQuotaLowSpace", fill)
    fires("etcdHighNumberOfFailedGRPCRequests", fill)
    fires("etcdHighNumberOfFailedGRPCRequestsCritical", fill)
    stop("m2")
    fires("etcdMembersDown")
    stop("m1")
    fires("etcdInsufficientMembers")
    fires("etcdNoLeader")
    fires("etcdHighNumberOfFailedProposals", deletions)
    if SLOW in running:
        check("no alert is left out", provoked == {name for name, _, _ in ALERTS}, str(provoked))


GROWTH = ("etcdExcessiveDatabaseGrowth",)  # a store of a few seconds does grow fast
running = set()
provoked = set()
try:
    if not shutil.which("prometheus") or not shutil.which("promtool"):
        print("SKIP: prometheus is not installed")
        sys.exit(77)
    for m in (0, 1, 2, LARGE):
        os.makedirs(f"{directory}/data{m}")
        member(m)
        running.add(m)
    if disk():
        member(SLOW)
        running.add(SLOW)
    run()
finally:
    for process in [p for p in processes if p != "slow_fs"]:
        stop(process)
    if "slow_fs" in processes:
        subprocess.run(["umount", f"{directory}/slow"], check=False)
        stop("slow_fs", signal.SIGTERM)
    shutil.rmtree(directory, ignore_errors=True)
print(f"{len(failures)} failed")
sys.exit(1 if failures else 0)
