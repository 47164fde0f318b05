"""Two API servers side by side for api_diff_test.py: the same request to both, answers made comparable, differences told.

What two servers cannot have in common is given names: a uid is called after the object that had it first, the versions of an object
by the order in which they were seen. So a write that should have changed nothing, or another object's uid, is a difference.
"""
import concurrent.futures
import http.client
import json
import re
import ssl
import time

import yaml

import apiserver_lib
import validation_diff

UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ADDRESS = re.compile(r"\b10\.0\.\d+\.\d+\b")
VERSION = re.compile(r'("resourceVersion":")\d+')  # of an object that a message shows
SERVER = re.compile(r"\b127\.0\.0\.1:\d+")
RECORDED = re.compile(r"(?<=ResourceVersion in record \()\d+|(?<=ResourceVersion in object meta: )\d+|(?<=, current: )\d+")
NODE_PORT = re.compile(r"(?<=:)3\d{4}(?=/(TCP|UDP|SCTP)\b)")
GENERATED = re.compile(r"(?<=gen-)[a-z0-9]{5}\b|(?<=kube-api-access-)[a-z0-9]{5}\b|(?<=Bad[ _])[a-z0-9]{5}\b|(?<=\bg{58})[a-z0-9]{5}\b")
AGE = re.compile(r"^(\d+[dhms]){1,2}$")
HEADERS = ("content-type", "warning", "location", "retry-after", "allow", "www-authenticate")
VERSIONED = ("resourceVersion", "currentResourceVersion")


# The older server's versions of what is v1 in the newer one.
OLDER = re.compile(r"\b(policy|batch|discovery\.k8s\.io|flowcontrol\.apiserver\.k8s\.io)/v1beta1\b")


class Side:
    """One of the two servers, and the names its accidental values have."""

    def __init__(self, name, port, context, headers):
        self.name, self.port, self.context, self.headers = name, port, context, headers
        self.connection = None
        self.uids = {}  # the name of each, and how many each name had
        self.incarnations = {}
        self.versions = {}  # of an object (by its uid): in order of appearance

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, headers, bytes), once more on a new connection when an idle one was closed."""
        send = {"User-Agent": "differ/1.0 (test)", **self.headers, **(headers or {})}
        for again in (True, False):
            fresh = self.connection is None
            if fresh:
                self.connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=timeout)
            try:
                self.connection.request(method, path, body, send)
                r = self.connection.getresponse()
                answer = r.status, r.headers, r.read()
                if r.will_close:
                    self.drop()
                return answer
            except (http.client.HTTPException, OSError):
                self.drop()
                if fresh or not again:
                    raise
        raise AssertionError

    def drop(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def json(self, method, path, body=None, headers=None):
        return json.loads(self.request(method, path, body, headers)[2])

    def at_once(self, requests):
        """The answers to several requests, each on a connection of its own."""
        def one(r):
            other = Side(self.name, self.port, self.context, self.headers)
            try:
                return other.request(*r)
            finally:
                other.drop()
        with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(one, requests))

    # -------------------------------------------------------------------------------- normal forms

    def events(self, raw):
        """What a watch said until its time was over, but for bookmarks, which come by the clock."""
        code, _, body = raw
        said = [self.normal(json.loads(line)) for line in body.splitlines() if line.strip()]
        return {"status": code, "events": heard([e for e in said if e.get("type") != "BOOKMARK"])}

    def uid(self, m):
        return self.uids.get(m.group(0), "<uid>")

    def meet(self, v):
        """Metadata: the object's uid gets a name when it is seen for the first time."""
        uid = v["uid"]
        if uid in self.uids or not UID.fullmatch(uid):
            return
        what = "%s/%s" % (v.get("namespace", ""), GENERATED.sub("#####", v["name"]))
        n = self.incarnations[what] = self.incarnations.get(what, 0) + 1
        self.uids[uid] = "uid of %s, number %d" % (what, n)

    def text(self, s):
        s = OLDER.sub(r"\1/v1", UID.sub(self.uid, s))
        s = VERSION.sub(r"\1version", TIME.sub("<time>", s))
        s = ADDRESS.sub("<address>", s)
        s = RECORDED.sub("<version>", SERVER.sub("<server>", s))
        return GENERATED.sub("#####", s)

    def version(self, owner, v):
        """The how-manieth version of this object it is that we see."""
        seen = self.versions.setdefault(owner, [])
        if v not in seen:
            seen.append(v)
        return "version-%d" % seen.index(v)

    def normal(self, v, owner=None):
        if isinstance(v, dict):
            own = owner
            if isinstance(v.get("uid"), str) and isinstance(v.get("name"), str):
                self.meet(v)
                own = v["uid"]
            return {self.text(k): self.named(k, e, own) for k, e in v.items()}
        if isinstance(v, list):
            return [self.normal(e, owner) for e in v]
        return self.text(v) if isinstance(v, str) else v

    def named(self, key, v, owner):
        if key == "resourceVersion" and isinstance(v, str) and v.isdigit():
            return self.version(owner, v) if owner else "version"
        if key == "continue" and isinstance(v, str) and v:
            return "continue"
        if key == "nodePort" and isinstance(v, int) and v >= 30000:
            return "node port"
        if key == "cells":
            return ["<age>" if isinstance(c, str) and AGE.match(c) else NODE_PORT.sub("<port>", self.text(c)) if isinstance(c, str)
                    else self.normal(c, owner) for c in v]
        if key == "managedFields" and isinstance(v, list):
            return [self.normal(e, owner) for e in whole_entries(v)]
        return self.normal(v, owner)

    def answer(self, raw):
        status, headers, body = raw
        kept = {h: self.text("; ".join(headers.get_all(h))) for h in HEADERS if headers.get_all(h)}
        try:
            kind = headers.get("Content-Type", "")
            if is_watch(kind, body):
                return {"headers": kept, **self.events(raw)}
            value = self.normal(yaml.load(body, yaml.BaseLoader) if kind.startswith("application/yaml") else json.loads(body))
            if isinstance(value, dict) and value.get("kind", "").endswith("List") and isinstance(value.get("items"), list):
                value["items"].sort(key=lambda o: (o.get("metadata") or {}).get("name", ""))  # 1.20's cache keeps no order
            if isinstance(value, dict) and value.get("kind") == "Status":
                tell_once(value)
        except (ValueError, yaml.YAMLError):
            value = self.text(body.decode("utf-8", "replace"))
        return {"status": status, "headers": kept, "body": value}


def is_watch(kind, body):
    """Events, one a line (a watch that hears none is an empty body of the same type)."""
    return kind.startswith("application/json") and (not body.strip() or body.startswith(b'{"type":'))


def heard(events):
    """In comparable form. What there is already comes in any order from 1.20's cache; and a pod whose grace period is none ends there in
    two steps, of which watches hear both: an update that says so, and its end. c8s does both at once."""
    if all(e["type"] == "ADDED" for e in events):
        return sorted(events, key=lambda e: metadata_of(e).get("name", ""))

    def first_step(e, after):
        of = metadata_of(e)
        return (e["type"] == "MODIFIED" and after["type"] == "DELETED" and of.get("deletionGracePeriodSeconds") == 0
                and not of.get("finalizers") and of.get("uid") == metadata_of(after).get("uid"))
    return [e for e, after in zip(events, events[1:] + [{"type": ""}]) if not first_step(e, after)]


def metadata_of(event):
    """The metadata of the object, or of the one row of a table."""
    o = event["object"]
    if o.get("kind") == "Table":
        o = o["rows"][0].get("object") or {}
    return o.get("metadata") or {}


def whole_entries(entries):
    """Managed fields with one entry for each manager, operation and version, as before 1.22, which has one for each subresource."""
    whole = {}
    for e in entries:
        key = e.get("manager", ""), e.get("operation", ""), e.get("apiVersion", "")
        of = whole.setdefault(key, {**{k: v for k, v in e.items() if k != "subresource"}, "fieldsV1": {}})
        unite(of["fieldsV1"], e.get("fieldsV1") or {})
    return [whole[key] for key in sorted(whole)]


def unite(a, b):
    for k, v in b.items():
        unite(a.setdefault(k, {}), v)


def tell_once(status):
    """Causes: 1.20 checks metadata twice and tells what it found twice; conflicts come in any order."""
    details = status.get("details") or {}
    causes = details.get("causes")
    if causes:
        details["causes"] = [c for i, c in enumerate(causes) if c not in causes[:i]]
        if causes[0].get("reason") == "FieldManagerConflict":
            details["causes"].sort(key=lambda c: (c["message"], c["field"]))


def oracle(kube_apiserver, etcd, flags):
    peer = validation_diff.Oracle(kube_apiserver, etcd, flags)
    return Side("kube", peer.port, ssl._create_unverified_context(), {"Authorization": "Bearer sekret"}), peer.close


def ours(binary, flags):
    server = apiserver_lib.Member(binary, flags)
    with open(server.pki.path("tokens.csv"), "w") as f:
        f.write('sekret,admin,1,"system:masters"\n')
    server.start()
    return Side("c8s", server.port, server.client(user=None).context, {"Authorization": "Bearer sekret"}), server.remove


# ---------------------------------------------------------------------------------------- differing


def differences(a, b, path=""):
    """(path, kube's, c8s's) of every value that is not the same; MISSING where one has none."""
    if isinstance(a, dict) and isinstance(b, dict):
        for k in sorted(a.keys() | b.keys()):
            yield from differences(a.get(k, MISSING), b.get(k, MISSING), "%s.%s" % (path, k) if path else k)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from differences(x, y, "%s[%d]" % (path, i))
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield path, a, b


class Missing:
    def __repr__(self):
        return "(none)"


MISSING = Missing()


class Known:
    """A difference that is no fault: both what is asked and where it shows must match; with `theirs` and `ours`, what the two say, too."""

    def __init__(self, why, at, request="", theirs="", ours=""):
        self.why = why
        self.at, self.request, self.theirs, self.ours = (re.compile(p, re.S) for p in (at, request, theirs, ours))
        self.used = 0

    def covers(self, request, path, a, b):
        if not (self.at.search(path) and self.request.search(request) and self.theirs.search(str(a)) and self.ours.search(str(b))):
            return False
        self.used += 1
        return True


class Pair:
    """Both servers and the tally."""

    def __init__(self, kube, c8s, known, verbose=False):
        self.sides = [kube, c8s]
        self.known, self.verbose = known, verbose
        self.asked = self.excused = 0
        self.found = []
        self.failed = {}  # shape of a difference: how often
        self.shown = 0
        self.judge = None  # a function of both answers and of what says whether a difference is known: are all of theirs foretold?
        self.judged = 0

    def both(self, ask):
        return [ask(s) for s in self.sides]

    def same(self, method, path, body=None, note="", **headers):
        """One request to both, compared; returns both answers in normal form. `path` and `body` may be functions of a Side."""
        answers, text = [], ""
        for s in self.sides:
            p = path(s) if callable(path) else path
            data, h = encoded(body(s) if callable(body) else body, headers)
            text = text or "%s %s" % (method, p)
            answers.append(s.answer(s.request(method, p, data, h)))
        self.compare("%s%s" % (text, " (%s)" % note if note else ""), *answers, body=body)
        return answers

    def recount(self):
        """One has made a version that the other has not: what follows is not to differ for that alone."""
        for s in self.sides:
            s.versions.clear()

    def compare(self, request, a, b, body=None):
        self.asked += 1
        all_found = list(differences(a, b))
        found = [d for d in all_found if not any(k.covers(request, *d) for k in self.known)]
        if any(path.endswith("resourceVersion") for path, _, _ in all_found):
            self.recount()
        if found and self.judge and self.judge(a, b, lambda *d: any(k.covers(request, *d) for k in self.known)):
            self.judged += 1
            found = []
        if not found:
            return True
        self.found += [(request, body if not callable(body) else None, *d) for d in found]
        shape = (re.sub(r"[-\w]+$", "", request.split("?")[0]), re.sub(r"\[\d+\]", "[]", found[0][0]))
        self.failed[shape] = self.failed.get(shape, 0) + 1
        if self.failed[shape] <= 3 or self.verbose:
            print("DIFFERS %s" % request)
            if body is not None and not callable(body):
                print("    sent %s" % short(body))
            for path, x, y in found[:12]:
                print("    %s\n        kube: %s\n        c8s:  %s" % (path, short(x), short(y)), flush=True)
        return False


def short(v):
    text = v if isinstance(v, str) else repr(v) if isinstance(v, Missing) else json.dumps(v, default=str)
    return text if len(text) < 900 else text[:900] + "…"


def encoded(body, headers):
    """Bytes and headers of a body: what has no type is JSON."""
    h = {k.replace("_", "-"): v for k, v in headers.items()}
    if body is None:
        return None, h
    h.setdefault("Content-Type", "application/json")
    return (body if isinstance(body, (bytes, str)) else json.dumps(body)), h


def until(what, ready, seconds=30):
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError("never: " + what)
        time.sleep(0.05)
