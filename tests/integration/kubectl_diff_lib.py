"""Two API servers, one command line: kubectl and Helm run against both for kubectl_diff_test.py, and what they say is compared.

Output that is JSON or YAML is compared as api_diff_lib.py compares answers, value by value; any other line by line, after what is random
(uids, times, ages, addresses, ports, versions) has been given a name. The file system each of the two sees is its own folder, `DIR` in
what is compared; what stands there as YAML has the older server's versions for it.
"""
import concurrent.futures
import difflib
import json
import os
import re
import shlex
import subprocess
import time

import yaml

AGE = re.compile(r"(^|(?<=  )|(?<=\bover )|(?<=[(]))(<invalid>|<unknown>|(\d+[ydhms]){1,2})(?=[ )]|$) *", re.M)
MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4}( [A-Z]+)?")
AGO = re.compile(r"[(](\d+[ydhms]){1,2} ago[)]")
HEAD = re.compile(r"^.*\b(AGE|LAST SEEN|CLUSTER-IP|FIRST SEEN|CREATED AT)\b.*$", re.M)  # columns as wide as what is random
COLUMN = re.compile(r"\b(AGE|LAST SEEN|CLUSTER-IP|FIRST SEEN|CREATED AT) *")
STACK = re.compile(r"^goroutine .*", re.M | re.S)  # of a kubectl that gave up
# Columns of tables that 1.20 has not; STATUS of jobs stands before COMPLETIONS. The client lays tables out, so that spaces say nothing.
YOUNG = ("VOLUMEATTRIBUTESCLASS TIMEZONE PREEMPTIONPOLICY REQUESTEDDURATION STORAGECAPACITY TOKENREQUESTS REQUIRESREPUBLISH").split()
RESTARTED = re.compile(r"(\d+) [(](\d+[ydhms]){1,2} ago[)]")  # 1.22: when a container was restarted last stands beside how often
KINDS_OF_RELEASE = re.compile(r"(^==> .*\n(.+\n)*\n)+", re.M)  # which Helm 4 tells in the order of Go's maps
CAUSES = re.compile(r"(^[*] .*\n){2,}", re.M)  # the schemas of custom objects are walked in the order of Go's maps
OWNERS = re.compile(r"^  Managed Fields:\n(    .*\n)*", re.M)  # before 1.27 described with all else: compared where there are no descriptions
NAMED = [(re.compile(p, re.M), to) for p, to in [
    (r"^[EWIF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ (\w+\.go):\d+", r"<log> \1"),
    (r"([rR]esource ?[vV]ersion: *\"?|\"resourceVersion\": ?\")\d+", r"\1<version>"),
    (r"(Resource Version: +)\d+", r"\1<version>"),
    (r"\b3[0-2]\d{3}\b", "<node port>"),
    (r"\b[A-Z][a-z][a-z] [A-Z][a-z][a-z] +\d+ \d\d:\d\d:\d\d \d{4}\b", "<time>"),
    (r"\b[A-Z][a-z][a-z], \d\d [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
    (MOMENT.pattern, "<time>"),
    (r"^@@ -[\d,]+ \+[\d,]+ @@", "@@ @@"),  # a line of metadata more or less is in front
    (r"\beyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
    (r"\b0xc?[0-9a-f]+\??", "<pointer>"),  # kubectl's own stack traces
    (r"\b(was|metadata.resourceVersion:) \d+$", r"\1 <version>"),
    (r"/tmp/[A-Za-z-]+[0-9]{6,}", "<temporary>"),
    (r"/tmp/(LIVE|MERGED)-\d+", r"<temporary>/\1"),
    (r"^\t\t(map\[|{\").*$", "<the object>"),  # what a template was given, told when it fails
    (r"<address> *", "<address> "),
    (r"<time> *", "<time> "),
]]
# What the older server has under another version, in files and in what is printed.
OLDER = [("policy/v1", "policy/v1beta1", "PodDisruptionBudget"), ("batch/v1", "batch/v1beta1", "CronJob"),
         ("discovery.k8s.io/v1", "discovery.k8s.io/v1beta1", "EndpointSlice"), ("autoscaling/v2", "autoscaling/v2beta2", None),
         ("storage.k8s.io/v1", "storage.k8s.io/v1alpha1", "CSIStorageCapacity")]


def older(text):
    """YAML documents for the older server."""
    documents = re.split(r"^---\n", text, flags=re.M)
    for ours, theirs, kind in OLDER:
        documents = [re.sub(r"^( *)apiVersion: %s$" % re.escape(ours), r"\1apiVersion: " + theirs, d, flags=re.M)
                     if not kind or re.search(r"^ *kind: %s$" % kind, d, re.M) else d for d in documents]
    return "---\n".join(documents)


def without_young(text):
    """Text without the columns of tables that are younger than the older server."""
    lines, cuts = [], []
    for line in text.split("\n"):
        if re.match(r"(EVENT +)?(NAME|NAMESPACE) {2,}[A-Z]", line):
            heads = list(re.finditer(r"\S+(?: \S+)* *", line))
            names = [h.group().strip() for h in heads] + [""]
            cuts = [(h.start(), h.end() if after else None) for h, name, after in zip(heads, names, names[1:]) if name in YOUNG or (name, after) == ("STATUS", "COMPLETIONS")]
        elif not line:
            cuts = []
        for start, end in reversed(cuts):
            line = line[:start] + (line[end:] if end else "")
        lines.append(line)
    return "\n".join(lines)


def hunks(a, b):
    """Where two texts differ, as two values of which `differences` finds these and no more."""
    one, two = a.splitlines(), b.splitlines()
    left, right = {}, {}
    if a != b and one == two:
        return {"end": a[-1:]}, {"end": b[-1:]}
    for op, i, j, k, m in difflib.SequenceMatcher(None, one, two, False).get_opcodes():
        if op != "equal":
            left["line %d" % i], right["line %d" % i] = "\n".join(one[i:j]), "\n".join(two[k:m])
    return left, right


class Client:
    """One program (kubectl or Helm) against both servers."""

    def __init__(self, pair, program, minor, work):
        self.pair, self.program = pair, program
        self.label = os.path.basename(program)
        self.minor = minor
        self.dirs = {}
        for side in pair.sides:
            d = self.dirs[side.name] = os.path.join(work, side.name)
            os.makedirs(d, exist_ok=True)
            with open(os.path.join(d, "config"), "w") as f:
                json.dump(config(side.port), f)

    def write(self, name, text):
        """A file for both; the older server's with its versions."""
        for side, d in self.dirs.items():
            with open(os.path.join(d, name), "w") as f:
                f.write(older(text) if side == "kube" else text)

    def environment(self, side, more=None):
        home = os.path.join(self.dirs[side.name], self.label)
        os.makedirs(home, exist_ok=True)
        return dict(os.environ, HOME=home, KUBECONFIG=os.path.join(self.dirs[side.name], "config"), HELM_CACHE_HOME=home + "/c",
                    HELM_CONFIG_HOME=home + "/f", HELM_DATA_HOME=home + "/d", **(more or {}))

    def one(self, side, args, stdin, env, seconds):
        d, env = self.dirs[side.name], self.environment(side, env)
        if stdin is not None and side.name == "kube":
            stdin = older(stdin)
        try:
            p = subprocess.run([self.program, *args], input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, text=True, cwd=d,
                               env=env, timeout=seconds, stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="replace")
        except subprocess.TimeoutExpired as e:
            return -1, str(e.stdout), "not within %d s" % seconds
        return p.returncode, p.stdout, p.stderr

    def raw(self, line, stdin=None, env=None, seconds=60):
        """(exit code, stdout, stderr) of both, as they came."""
        args = line if isinstance(line, list) else shlex.split(line)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda s: self.one(s, args, stdin, env, seconds), self.pair.sides))

    def beside(self, line, happen, over=None, seconds=60):
        """A command that waits for what happens: `happen` is called once it watches, and it is left when both ended, or have said what the
        regular expression `over` finds. (exit code unless it was left, what was printed, errors) of both, as they came."""
        runs = []
        for side in self.pair.sides:
            d = self.dirs[side.name]
            out, err = (open(os.path.join(d, "beside." + end), "w+", errors="replace") for end in ("out", "err"))
            runs.append((subprocess.Popen([self.program, *shlex.split(line), "-v=6"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=d,
                                          env=self.environment(side)), out, err))

        def said(f):
            f.seek(0)
            return f.read()

        def until(what, ready):
            deadline = time.monotonic() + seconds
            while not all(p.poll() is not None or ready(out, err) for p, out, err in runs):
                if time.monotonic() > deadline:
                    raise AssertionError("%s: never %s" % (line, what))
                time.sleep(0.02)
        try:
            until("watched", lambda out, err: re.search(r"watch=true.*200 OK", said(err)))
            happen()
            until("over", lambda out, err: over and re.search(over, said(out), re.S))
            codes = [p.poll() for p, _, _ in runs]
        finally:
            for p, _, _ in runs:
                p.kill()
                p.wait()
        answers = [(code, said(out), "".join(x for x in said(err).splitlines(True) if not re.match(r"[IWEF]\d{4} ", x)))
                   for code, (_, out, err) in zip(codes, runs)]
        for _, out, err in runs:
            out.close()
            err.close()
        return answers

    def meanwhile(self, line, happen):
        """A command that ends when something has happened, compared."""
        self.compare(line, self.beside(line, happen), note="meanwhile")

    def watch(self, line, happen, over=r"\bover\b"):
        """What a watch prints until it says `over`: values of those of JSON and YAML, lines of the rest."""
        answers = self.beside(line, happen, over)
        a, b = ({"exit": code, "stderr": self.text(s, err), **self.stream(s, re.split(over, out)[0] if code is None else out)}
                for s, (code, out, err) in zip(self.pair.sides, answers))
        self.pair.compare("%s %s" % (self.label, line), a, b)

    def stream(self, side, out):
        """Whole documents of what a watch has printed, or its lines."""
        if out.startswith("{"):
            found, at, read = [], 0, json.JSONDecoder()
            while at < len(out):
                try:
                    document, at = read.raw_decode(out, at)
                except ValueError:
                    break
                found.append(side.normal(document))
                at += len(out[at:]) - len(out[at:].lstrip())
            return {"documents": found}
        if re.match(r"apiVersion: ", out):
            return {"documents": [side.normal(yaml.load(d, yaml.BaseLoader)) for d in re.split(r"^---\n", out, flags=re.M)[:-1]]}
        lines = self.text(side, out).splitlines()
        # A grace period that ends at once is a change of its own in 1.20, which shows the same line again.
        lines = [x for x, before in zip(lines, [""] + lines) if x != before or "Terminating" not in x]
        return {"line %d" % n: x for n, x in enumerate(lines)}

    def run(self, line, stdin=None, env=None, seconds=60, note=""):
        """The same command to both, compared; returns what both said as it came."""
        said = self.raw(line, stdin, env, seconds)
        self.compare(line, said, stdin, note)
        return said

    def compare(self, line, said, stdin=None, note=""):
        (a, b) = [{"exit": code, "stdout": self.value(s, out), "stderr": self.text(s, err)}
                  for s, (code, out, err) in zip(self.pair.sides, said)]
        for stream in ("stdout", "stderr"):
            if isinstance(a[stream], str) and isinstance(b[stream], str):
                a[stream], b[stream] = hunks(a[stream], b[stream])
            elif isinstance(a[stream], str) or isinstance(b[stream], str):
                a[stream], b[stream] = str(a[stream]), str(b[stream])
        self.pair.compare("%s %s%s" % (self.label, line if isinstance(line, str) else shlex.join(line), note and " (%s)" % note), a, b, stdin)

    def value(self, side, out):
        """What was printed: JSON and YAML as values, else text."""
        out = MOMENT.sub("<time>", out.replace(self.dirs[side.name], "DIR").replace("127.0.0.1:%d" % side.port, "SERVER"))
        try:
            if out.startswith(("{", "[")):
                return side.normal(json.loads(out))
            if re.match(r"(---\n)?\w+:( |\n)", out) and re.search(r"^(apiVersion|kind): ", out, re.M):
                return [side.normal(d) for d in yaml.load_all(out, yaml.BaseLoader)]
        except (ValueError, yaml.YAMLError):
            pass
        return self.text(side, out)

    def text(self, side, s):
        s = side.text((without_young(s) if side.name == "c8s" else s).replace(self.dirs[side.name], "DIR").replace("127.0.0.1:%d" % side.port, "SERVER"))
        for pattern, to in NAMED:
            s = pattern.sub(to, s)
        if self.label == "helm":  # a group that goes while it is looked up is complained of by the clock
            s = KINDS_OF_RELEASE.sub(lambda m: "".join(sorted(re.findall(r"^==> .*\n(?:.+\n)*\n", m.group(), re.M))), s)
            s = re.sub(r"^<log> memcache\.go\].*\n?", "", s, flags=re.M)
        s = RESTARTED.sub(r"\1", s) if side.name == "c8s" else s
        s = AGO.sub("(<age> ago)", s)
        s = AGE.sub("<age> ", s)
        s = s.replace("autoscaling/v2beta2", "autoscaling/v2") if side.name == "kube" else s
        s = STACK.sub("<stack>", OWNERS.sub("", s))
        s = CAUSES.sub(lambda m: "".join(sorted(m.group().splitlines(True))), s)
        s = HEAD.sub(lambda m: COLUMN.sub(r"\1 ", m.group()), s)
        s = re.sub(r"^ {8,}", " " * 8, re.sub(r" +$", "", s, flags=re.M), flags=re.M)
        return re.sub(r"(?<=\S) {2,}", "  ", s)


def config(port):
    server = {"server": "https://127.0.0.1:%d" % port, "insecure-skip-tls-verify": True}
    return {"apiVersion": "v1", "kind": "Config", "current-context": "here", "clusters": [{"name": "here", "cluster": server}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
            "users": [{"name": "admin", "user": {"token": "sekret"}}]}
