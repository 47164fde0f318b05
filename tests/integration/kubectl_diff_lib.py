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

import yaml

AGE = re.compile(r"(^|(?<=  )|(?<=\bover )|(?<=[(]))(<invalid>|<unknown>|(\d+[ydhms]){1,2})(?=[ )]|$) *", re.M)
MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4}( [A-Z]+)?")
AGO = re.compile(r"[(](\d+[ydhms]){1,2} ago[)]")
HEAD = re.compile(r"^.*\b(AGE|LAST SEEN|CLUSTER-IP|FIRST SEEN|CREATED AT)\b.*$", re.M)  # columns as wide as what is random
COLUMN = re.compile(r"\b(AGE|LAST SEEN|CLUSTER-IP|FIRST SEEN|CREATED AT) *")
NAMED = [(re.compile(p, re.M), to) for p, to in [
    (r"^[EWI]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ (\w+\.go):\d+", r"<log> \1"),
    (r"(resource ?version: *\"?|\"resourceVersion\": ?\")\d+", r"\1<version>"),
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

    def one(self, side, args, stdin, env, seconds):
        d = self.dirs[side.name]
        home = os.path.join(d, self.label)
        os.makedirs(home, exist_ok=True)
        env = dict(os.environ, HOME=home, KUBECONFIG=os.path.join(d, "config"), HELM_CACHE_HOME=home + "/c", HELM_CONFIG_HOME=home + "/f",
                   HELM_DATA_HOME=home + "/d", **(env or {}))
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

    def run(self, line, stdin=None, env=None, seconds=60, note=""):
        """The same command to both, compared; returns what both said as it came."""
        said = self.raw(line, stdin, env, seconds)
        (a, b) = [{"exit": code, "stdout": self.value(s, out), "stderr": self.text(s, err)}
                  for s, (code, out, err) in zip(self.pair.sides, said)]
        for stream in ("stdout", "stderr"):
            if isinstance(a[stream], str) and isinstance(b[stream], str):
                a[stream], b[stream] = hunks(a[stream], b[stream])
            elif isinstance(a[stream], str) or isinstance(b[stream], str):
                a[stream], b[stream] = str(a[stream]), str(b[stream])
        self.pair.compare("%s %s%s" % (self.label, line if isinstance(line, str) else shlex.join(line), note and " (%s)" % note), a, b, stdin)
        return said

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
        s = side.text(s.replace(self.dirs[side.name], "DIR").replace("127.0.0.1:%d" % side.port, "SERVER"))
        for pattern, to in NAMED:
            s = pattern.sub(to, s)
        s = AGO.sub("(<age> ago)", s)
        s = AGE.sub("<age> ", s)
        s = s.replace("autoscaling/v2beta2", "autoscaling/v2") if side.name == "kube" else s
        return HEAD.sub(lambda m: COLUMN.sub(r"\1 ", m.group()), s)


def config(port):
    server = {"server": "https://127.0.0.1:%d" % port, "insecure-skip-tls-verify": True}
    return {"apiVersion": "v1", "kind": "Config", "current-context": "here", "clusters": [{"name": "here", "cluster": server}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
            "users": [{"name": "admin", "user": {"token": "sekret"}}]}
