#!/usr/bin/env python3
"""Do c8s and a real kube-apiserver find the same faults in the same objects?

    validation_diff.py C8S_APISERVER KUBE_APISERVER ETCD [KIND…] [--updates] [--verbose]

By hand. Posts every good object of validation_objects.yaml to both (dry run), then every mutation of it:
each field emptied, made negative, huge, too long, badly named, doubled or removed. Prints where the causes
of the answers differ. With --updates, the good object is created and the mutations are put.

The oracle is older (get-kube-apiserver.sh builds 1.20) than what c8s follows (1.35): wordings that changed
are made equal by WORDS; what is printed is to be judged by a person.
"""
import base64
import copy
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import apiserver_lib  # noqa: E402

# API versions of the oracle and of c8s, where they differ.
VERSIONS = {
    "policy/v1beta1": "policy/v1",
    "discovery.k8s.io/v1beta1": "discovery.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1": "flowcontrol.apiserver.k8s.io/v1",
}
PLURALS = {"Endpoints": "endpoints", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses",
           "StorageClass": "storageclasses", "IngressClass": "ingressclasses", "PriorityClass": "priorityclasses",
           "RuntimeClass": "runtimeclasses"}
LONG = "x" * 300


class Oracle:
    """kube-apiserver with an etcd of its own; `flags` instead of those that leave plugins out."""

    def __init__(self, kube_apiserver, etcd, flags=None):
        self.dir = tempfile.mkdtemp(prefix="validation-diff-")
        self.processes = []
        try:
            self.start(kube_apiserver, etcd, flags)
        except BaseException:
            self.stop()  # its directory stays, with the log
            raise

    def start(self, kube_apiserver, etcd, flags):
        self.port = apiserver_lib.free_port()
        e, peer = apiserver_lib.free_port(), apiserver_lib.free_port()
        key = os.path.join(self.dir, "sa.key")
        apiserver_lib.openssl("genrsa", "-out", key, "2048")
        with open(os.path.join(self.dir, "tokens"), "w") as f:
            f.write('sekret,admin,1,"system:masters"\n')
        url = "http://127.0.0.1:%d" % e
        log = open(os.path.join(self.dir, "log"), "w")
        peer_url = "http://127.0.0.1:%d" % peer
        self.processes.append(subprocess.Popen(
            [etcd, "--data-dir", os.path.join(self.dir, "etcd"), "--listen-client-urls", url, "--advertise-client-urls", url,
             "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
             "--initial-cluster", "default=" + peer_url], stdout=log, stderr=log))
        self.processes.append(subprocess.Popen(
            [kube_apiserver, "--etcd-servers", url, "--secure-port", str(self.port), "--bind-address", "127.0.0.1",
             "--advertise-address", "127.0.0.1", "--cert-dir", self.dir, "--token-auth-file", os.path.join(self.dir, "tokens"),
             "--service-cluster-ip-range", "10.0.0.0/16", "--service-account-issuer", "https://x",
             "--service-account-key-file", key, "--service-account-signing-key-file", key, "--authorization-mode", "RBAC",
             "--allow-privileged=true", *(flags or ["--disable-admission-plugins=ServiceAccount,Priority,LimitRanger,ResourceQuota,"
                                            "DefaultTolerationSeconds,CertificateApproval"])],
            stdout=log, stderr=log))
        self.context = ssl._create_unverified_context()
        self.connection = None
        deadline = time.time() + 90
        while time.time() < deadline:
            try:
                if self.request("GET", "/api/v1/namespaces/default")[0] == 200:
                    return
            except OSError:
                self.connection = None
            time.sleep(0.3)
        raise SystemExit("kube-apiserver is not ready: see " + self.dir)

    def request(self, method, path, body=None):
        return keep_alive(self, method, path, body, {"Authorization": "Bearer sekret"})

    def stop(self):
        for p in reversed(self.processes):
            p.terminate()
            p.wait()

    def close(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Ours:
    def __init__(self, binary):
        self.server = apiserver_lib.Server(binary)
        self.server.start()
        client = self.server.client()
        self.port, self.context, self.connection = client.port, client.context, None
        self.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})

    def request(self, method, path, body=None):
        return keep_alive(self, method, path, body, {})

    def close(self):
        self.server.remove()


def keep_alive(server, method, path, body, headers):
    if not server.connection:
        server.connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=server.context, timeout=30)
    headers = dict(headers, **{"Content-Type": "application/json"})
    server.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    r = server.connection.getresponse()
    return r.status, json.loads(r.read())


# ---- mutations

def mutations(value, path=()):
    """(path, what, new value) for every field below; DELETE is None."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield path + (k,), "gone", None
            if path or k not in ("metadata", "spec"):
                for m in leaf(v):
                    yield path + (k,), *m
            yield from mutations(v, path + (k,))
        if path and path[-1] in ("labels", "matchLabels", "annotations", "selector", "nodeSelector", "data", "parameters",
                                 "requests", "limits", "hard", "capacity", "max", "podFixed"):
            for name, key in (("badkey", "Bad Key!"), ("longkey", LONG)):
                yield path, name, {**value, key: next(iter(value.values()), "x")}
    elif isinstance(value, list):
        if value:
            yield path, "doubled", value + [value[0]]
            yield path, "empty", []
        for i, v in enumerate(value):
            for m in leaf(v):
                yield path + (i,), *m
            yield from mutations(v, path + (i,))


def leaf(v):
    if isinstance(v, bool):
        yield "not", not v
    elif isinstance(v, int):
        for n in (-1, 0, 70000, 2147483647):
            if n != v:
                yield str(n), n
    elif isinstance(v, str):
        yield "''", ""
        yield "bad", "Bad Value!"
        yield "long", LONG
        yield "slash", "/a/../b"
        yield "dash", "-a.b-"
        if re.fullmatch(r"[0-9.]+(m|Ki|Mi|Gi)?", v):
            yield "neg", "-1"
            yield "zero", "0"
            yield "odd", "1500m"


def mutated(obj, path, new):
    out = copy.deepcopy(obj)
    at = out
    for step in path[:-1]:
        if isinstance(at, dict) and step not in at:
            return out  # the server keeps it elsewhere (stringData)
        at = at[step]
    if new is None:
        at.pop(path[-1], None) if isinstance(at, dict) else at.pop(path[-1])
    else:
        at[path[-1]] = copy.deepcopy(new)
    return out


# ---- answers

WORDS = [
    (r"must be no more than (\d+) characters", r"must be no more than \1 bytes"),
    (r"a DNS-1123 (label|subdomain)", r"a lowercase RFC 1123 \1"),
    (r"must have at most (\d+) (characters|bytes)", r"may not be more than \1 bytes"),
    (r"must be( a)? valid IP address(, \(e.g. .*\))?", "must be an IP address"),
    (r"must be( a)? valid CIDR( value)?(, \(e.g. .*\))?", "must be a CIDR"),
    (r"a qualified name must", "a valid label key must"),
    (r"may not be longer than (\d+)", r"may not be more than \1 bytes"),
    (r"(?s)pod updates may not change fields other than .*", "pod updates may not change that"),
    (r"updates to statefulset spec for fields other than .* are forbidden", "statefulset updates may not change that"),
    (r"(?s)(spec.persistentvolumesource is immutable after creation)\n.*", r"\1"),
    (r"(?s)(spec is immutable after creation except resources.requests)( and volumeAttributesClassName)?( for bound claims).*", r"\1\3"),
    (r"field is immutable, except for updating from beta label to GA", "field is immutable"),
    (r"(must be (?:less than or )?equal to \S+(?: to \S+)? limit) of \S+", r"\1"),
]


def causes(answer):
    code, body = answer
    details = (body.get("details") or {}).get("causes")
    if code < 400:
        return {"ok"}
    if not details:
        return {"%d %s" % (code, body.get("reason"))}
    out = set()
    for c in details:
        text = c.get("message", "")
        for pattern, by in WORDS:
            text = re.sub(pattern, by, text)
        # the value: strings and numbers stay, structs are shown otherwise
        text = re.sub(r"^(Invalid value|Duplicate value|Unsupported value): (?:[a-z0-9]+\.|map\[|\[\]|\{|\[|&|\(|0x|null)[^\0]*?: (?=[a-z`\"'A-Z])",
                      r"\1: …: ", text)
        text = re.sub(r": supported values: (.*)$",
                      lambda m: ": one of " + ", ".join(sorted(m.group(1).split(", "))), text)
        out.add("%s: %s" % (c.get("field"), text))
    return out


def path_of(obj, name=None):
    group = obj["apiVersion"]
    plural = PLURALS.get(obj["kind"], obj["kind"].lower() + "s")
    base = "/api/v1" if group == "v1" else "/apis/" + group
    ns = obj["metadata"].get("namespace")
    path = base + ("/namespaces/default" if ns is not None or obj["kind"] in NAMESPACED else "") + "/" + plural
    return path + ("/" + name if name else "")


NAMESPACED = set()


def as_ours(obj):
    out = copy.deepcopy(obj)
    out["apiVersion"] = VERSIONS.get(obj["apiVersion"], obj["apiVersion"])
    return out


def ask(server, method, path, obj):
    """A dry run. Controllers write statuses meanwhile: what is put is put on the newest version."""
    while True:
        answer = server.request(method, path + "?dryRun=All", obj)
        if method != "PUT" or answer[0] != 409:
            return answer
        version = server.request("GET", path)[1]["metadata"]["resourceVersion"]
        if version == obj.get("metadata", {}).get("resourceVersion"):
            return answer
        obj = dict(obj, metadata=dict(obj.get("metadata") or {}, resourceVersion=version))


def compare(oracle, ours, obj, mine, what, verbose, method="POST", name=None):
    a = causes(ask(oracle, method, path_of(obj, name), obj))
    b = causes(ask(ours, method, path_of(mine, name), mine))
    if a == b:
        return True
    field = what.split(" ")[0]
    SEEN[obj["kind"], field] = SEEN.get((obj["kind"], field), 0) + 1
    if SEEN[obj["kind"], field] <= 2 or verbose:
        print("%s %s\n   only kube: %s\n   only c8s:  %s" % (obj["kind"], what, short(a - b), short(b - a)))
    return False


SEEN = {}  # differences of a field so far


def short(texts):
    return [t.replace(LONG, "<long>")[:260] for t in sorted(texts)]


def stored(server, obj):
    """The object as the server keeps it, or None."""
    code, body = server.request("POST", path_of(obj), obj)
    if code not in (201, 409):
        print("%s %s cannot be created: %s" % (obj["kind"], obj["metadata"]["name"], body.get("message")))
        return None
    code, body = server.request("GET", path_of(obj, obj["metadata"]["name"]))
    body["metadata"].pop("managedFields", None)
    return body


def run(oracle, ours, objects, updates, verbose):
    total = bad = 0
    for good in objects:
        kind, name = good["kind"], good["metadata"]["name"]
        if good["metadata"].get("namespace"):
            NAMESPACED.add(kind)
        mine = as_ours(good)
        if updates:  # what each server made of it is what is changed
            theirs, mine = stored(oracle, good), stored(ours, mine)
            if not theirs or not mine:
                continue
        else:
            theirs = good
            total += 1
            bad += not compare(oracle, ours, good, mine, "as it is", verbose)
        for path, how, new in mutations({k: v for k, v in good.items() if k not in ("apiVersion", "kind")}):
            if updates and path[:2] == ("metadata", "name"):
                continue
            if how == "gone" and path in (("metadata",), ("metadata", "namespace")):
                continue
            total += 1
            what = "%s %s%s" % (".".join(map(str, path)), how, " (update)" if updates else "")
            bad += not compare(oracle, ours, mutated(theirs, path, new), mutated(mine, path, new), what, verbose,
                               "PUT" if updates else "POST", name if updates else None)
    print("%d of %d answers differ" % (bad, total))


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    if len(args) < 3:
        raise SystemExit(__doc__)
    with open(os.path.join(HERE, "validation_objects.yaml")) as f:
        text = f.read()
    with tempfile.TemporaryDirectory() as d:
        apiserver_lib.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", d + "/k", "-out", d + "/csr",
                              "-subj", "/CN=x")
        with open(d + "/csr", "rb") as f:
            text = text.replace("@CSR@", base64.b64encode(f.read()).decode())
    objects = [o for o in yaml.safe_load_all(text) if len(args) == 3 or o["kind"] in args[3:]]
    oracle = Oracle(args[1], args[2])
    try:
        ours = Ours(args[0])
        try:
            run(oracle, ours, objects, "--updates" in sys.argv, "--verbose" in sys.argv)
        finally:
            ours.close()
    finally:
        oracle.close()


if __name__ == "__main__":
    main()
