#!/usr/bin/python3
"""A store in etcd's place is started with etcd's command lines and asked for etcd's pages: those of kubeadm's manifests, of
ETCD_* variables and configuration files, what must be refused by name, and what is served where. Pages are those of etcd 3.5
and 3.6; with ETCD35 naming an etcd of 3.5.11 or later they are compared with its own.

Usage: etcd_command_line_test.py BIN_DIR [PART…]
"""
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time

from ports import free_ports

LIMIT_S = 60


class Server:
    """One member. `flags`: formats of {client}, {http} and {metrics}, ports of its own."""

    def __init__(self, program, *flags, env=None, store_only=True, config=None):
        self.dir = tempfile.TemporaryDirectory(prefix="c8s-command-line-")
        self.client, self.peer, self.http, self.metrics = free_ports(4)
        url, peer = f"http://127.0.0.1:{self.client}", f"http://127.0.0.1:{self.peer}"
        self.log = os.path.join(self.dir.name, "log")
        words = {"client": self.client, "http": self.http, "metrics": self.metrics}
        given = ["--name", "m", "--data-dir", self.dir.name + "/data", "--listen-client-urls", url, "--advertise-client-urls", url,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "m=" + peer]
        if config is not None:  # etcd takes nothing else then
            pairs = [f"{given[i][2:]}: {given[i + 1]}" for i in range(0, len(given), 2)]
            path = os.path.join(self.dir.name, "etcd.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(pairs + [config.format(**words)]) + "\n")
            given = ["--config-file", path]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([program] + (["--store-only"] if store_only else []) + given + [f.format(**words) for f in flags],
                                            stdout=log, stderr=log, env=dict(os.environ, **{k: v.format(**words) for k, v in (env or {}).items()}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(LIMIT_S)
        self.dir.cleanup()

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def get(self, path, port=None, method="GET", body=None):
        """(status, body); (None, "") when it is not answered in HTTP/1.1."""
        c = http.client.HTTPConnection("127.0.0.1", port or self.client, timeout=20)
        try:
            c.request(method, path, body)
            r = c.getresponse()
            return r.status, r.read().decode()
        except (OSError, http.client.HTTPException):
            return None, ""
        finally:
            c.close()

    def ready(self, port=None, path="/health"):
        deadline = time.monotonic() + LIMIT_S
        while self.get(path, port)[0] != 200:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, "not ready: " + self.said()
            time.sleep(0.05)
        return self

    def ended(self):
        """Exit code and what it said."""
        return self.process.wait(LIMIT_S), self.said()


def equal(got, want, what):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


OK = "ok\n"
READY = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\nok\n"
PAGES = [
    ("/livez", 200, OK), ("/livez?verbose", 200, "[+]serializable_read ok\nok\n"),
    ("/livez?verbose&exclude=serializable_read", 200, OK),
    ("/livez/serializable_read", 200, OK), ("/livez/linearizable_read", 404, None),
    ("/readyz", 200, OK), ("/readyz?verbose", 200, READY), ("/readyz?verbose&exclude=nothing", 200, READY),
    ("/readyz?verbose&exclude=linearizable_read", 200, "[+]data_corruption ok\n[+]serializable_read ok\nok\n"),
    ("/readyz?verbose&exclude=linearizable_read&exclude=data_corruption", 200, "[+]serializable_read ok\nok\n"),
    ("/readyz/linearizable_read", 200, OK), ("/readyz/linearizable_read?verbose", 200, "[+]linearizable_read ok\nok\n"),
    ("/readyz/data_corruption", 200, OK), ("/readyz/serializable_read", 200, OK), ("/readyz/nothing", 404, None),
    ("/readyzz", 404, None), ("/livez/", 404, None), ("/nothing", 404, None), ("/", 404, None),
    ("/health", 200, '{"health":"true","reason":""}'), ("/health?serializable=true", 200, '{"health":"true","reason":""}'),
    ("/health?exclude=NOSPACE", 200, '{"health":"true","reason":""}'),
]


def lines(body):
    return sorted(body.splitlines())  # etcd's checks come in any order


def pages(program):
    with Server(program, "--listen-metrics-urls", "http://127.0.0.1:{metrics}") as c8s:
        c8s.ready()
        for path, status, body in PAGES:
            for port in (c8s.client, c8s.metrics):
                got = c8s.get(path, port)
                equal(got[0], status, path)
                equal(body is None or got[1] == body, True, (path, got))
        equal(json.loads(c8s.get("/version")[1]), {"etcdserver": "3.6.0", "etcdcluster": "3.6.0", "storage": "3.6.0"}, "/version")
        for path in ("/health", "/livez", "/readyz", "/version"):
            equal(c8s.get(path, method="POST", body="")[0], 405, "POST " + path)
        equal(c8s.get("/v3/kv/range", c8s.metrics, "POST", "{}")[0], 405, "the gateway at the metrics' address")
        if "ETCD35" in os.environ:
            with Server(os.environ["ETCD35"], store_only=False) as etcd:
                etcd.ready()
                for path, _, _ in PAGES:
                    a, b = etcd.get(path), c8s.get(path)
                    equal((b[0], lines(b[1])), (a[0], lines(a[1])), path + ", as etcd has it")


def unwell(program):
    """With an alarm: /health says so, /readyz only of CORRUPT, /livez of none."""
    with Server(program) as s:
        s.ready()
        member = json.loads(s.get("/v3/maintenance/status", None, "POST", "{}")[1])["header"]["member_id"]
        for alarm, readyz in (("NOSPACE", 200), ("CORRUPT", 503)):
            body = {"action": "ACTIVATE", "memberID": member, "alarm": alarm}
            equal(s.get("/v3/maintenance/alarm", None, "POST", json.dumps(body))[0], 200, "raise " + alarm)
            equal(s.get("/health"), (503, '{"health":"false","reason":"ALARM %s"}' % alarm), "/health with " + alarm)
            equal(s.get("/health?exclude=" + alarm)[0], 200, "/health without " + alarm)
            equal(s.get("/readyz")[0], readyz, "/readyz with " + alarm)
            equal(s.get("/readyz?exclude=data_corruption")[0], 200, "/readyz without data_corruption")
            equal(s.get("/livez")[0], 200, "/livez with " + alarm)
            body["action"] = "DEACTIVATE"
            equal(s.get("/v3/maintenance/alarm", None, "POST", json.dumps(body))[0], 200, "clear " + alarm)
        equal(s.get("/health")[0], 200, "/health")


KUBEADM = {
    "1.33": ["--experimental-initial-corrupt-check=true", "--experimental-watch-progress-notify-interval=5s",
             "--listen-metrics-urls=http://127.0.0.1:{metrics}", "--snapshot-count=10000"],
    "1.34": ["--feature-gates=InitialCorruptCheck=true", "--watch-progress-notify-interval=5s",
             "--listen-metrics-urls=http://127.0.0.1:{metrics}", "--snapshot-count=10000"],
    "etcd 3.4, with all that says nothing": [
        "--logger=zap", "--log-outputs=stderr", "--enable-v2=false", "--proxy=off", "--max-snapshots=5", "--max-wals", "5",
        "--enable-pprof=false", "--auto-tls=false", "--initial-election-tick-advance", "--log-level=panic",
        "--experimental-enable-lease-checkpoint", "--experimental-compaction-batch-limit=1000", "--log-format=console"],
}


def accepted(program):
    for name, flags in KUBEADM.items():
        with Server(program, *flags) as s:
            s.ready()
            if "{metrics}" in "".join(flags):
                equal(s.get("/metrics", s.metrics)[0], 200, name)
    with Server(program, env={"ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL": "5s", "ETCD_LOGGER": "zap", "ETCD_ENABLE_V2": "false",
                              "ETCD_LISTEN_METRICS_URLS": "http://127.0.0.1:{metrics}"}) as s:
        equal(s.ready().get("/metrics", s.metrics)[0], 200, "ETCD_LISTEN_METRICS_URLS")
    with Server(program, config="logger: zap\nlog-outputs: [stderr]\nfeature-gates: InitialCorruptCheck=true\n"
                                "max-wals: 5\nlisten-metrics-urls: http://127.0.0.1:{metrics}\nproxy: 'off'") as s:
        equal(s.ready().get("/metrics", s.metrics)[0], 200, "listen-metrics-urls of a file")
    with Server(program, "--quota-backend-bytes=-1") as s:  # none
        s.ready()
        equal(s.get("/v3/kv/put", None, "POST", '{"key":"YQ==","value":"MQ=="}')[0], 200, "a put without quota")
        equal(json.loads(s.get("/v3/maintenance/status", None, "POST", "{}")[1]).get("dbSizeQuota"), "-1", "no quota in the status")
        assert "etcd_server_quota_backend_bytes -1" in s.get("/metrics")[1], "no quota in the metrics"


def refused(program):
    for flag, why in (("--wal-dir=/x", "--wal-dir is not supported"), ("--enable-v2", "--enable-v2"), ("--auto-tls", "--auto-tls"),
                      ("--proxy=on", "--proxy"), ("--unsafe-no-fsync", "--unsafe-no-fsync"), ("--logger=capnslog", "--logger"),
                      ("--log-outputs=/var/log/x", "--log-outputs"), ("--cors=x", "--cors is not supported"),
                      ("--feature-gates=Fancy=true", "unrecognized feature gate: Fancy"),
                      ("--feature-gates=SetMemberLocalAddr=true", "SetMemberLocalAddr=true is not supported"),
                      ("--feature-gates=InitialCorruptCheck", "want NAME=true"), ("--nonsense", "unknown flag: --nonsense")):
        with Server(program, flag) as s:
            code, said = s.ended()
            equal((code, why in said), (2, True), (flag, said))
    with Server(program, env={"ETCD_WAL_DIR": "/x"}) as s:
        code, said = s.ended()
        equal((code, "ETCD_WAL_DIR is not supported" in said), (2, True), said)
    with Server(program, config="wal-dir: /x") as s:
        equal(s.ended()[0], 2, "wal-dir in a file")
    with Server(program, env={"ETCD_NONSENSE": "1"}) as s:  # as etcd, which cannot know whose variable that is
        assert "ETCD_NONSENSE" in s.ready().said(), "of an unknown variable it is told"


def places(program):
    """HTTP at addresses of its own, and the gateway nowhere."""
    key = '{"key":"YQ==","value":"MQ=="}'
    with Server(program, "--listen-client-http-urls", "http://127.0.0.1:{http}") as s:
        s.ready(s.http)
        equal(s.get("/v3/kv/put", s.http, "POST", key)[0], 200, "the gateway at --listen-client-http-urls")
        equal(s.get("/metrics", s.http)[0], 200, "metrics there")
        for path in ("/health", "/metrics", "/version", "/v3/kv/put"):
            assert s.get(path, s.client, "POST" if "v3" in path else "GET", key)[0] != 200, f"{path} at the client URL"
        run = lambda port: subprocess.run([os.path.join(os.path.dirname(program), "c8s"), "kv", "--endpoints", f"127.0.0.1:{port}", "--command-timeout", "2s", "get", "a",
                                           "--print-value-only"], capture_output=True, check=False)
        equal(run(s.client).stdout, b"1\n", "gRPC at the client URL")
        assert run(s.http).returncode != 0, "no gRPC at the HTTP URL"
    with Server(program, "--enable-grpc-gateway=false") as s:
        s.ready()
        assert s.get("/v3/kv/put", None, "POST", key)[0] in (404, 405), "no gateway"


def main():
    program = os.path.abspath(os.path.join(sys.argv[1], "c8s-apiserver"))
    for name in [n for n in os.environ if n.startswith("ETCD_")]:
        del os.environ[name]
    for part in (pages, unwell, accepted, refused, places):
        if not sys.argv[2:] or part.__name__ in sys.argv[2:]:
            began = time.monotonic()
            part(program)
            print(f"ok   {part.__name__} ({time.monotonic() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
