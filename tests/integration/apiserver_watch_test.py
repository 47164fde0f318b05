#!/usr/bin/env python3
"""Lists and watches of a real server: versions, chunks, forms, media types, and the old watch paths.

    apiserver_watch_test.py BINARY [NAME…]     run all tests, or those whose name contains NAME

`c8s` is taken from beside BINARY (it compacts the store).
"""
import base64
import gzip
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import time

from apiserver_lib import Server, run_tests

NS = "/api/v1/namespaces/default"
CM = NS + "/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
META = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METAS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def equal(got, want, *what):
    check(got == want, *what, "got", repr(got)[:3000], "want", repr(want)[:3000])


def config_map(name, labels=None, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels or {}}, "data": data}


def made(answer):
    equal(answer.code, 201, answer)
    return answer.json


def failed(answer, code, reason, *words):
    equal(answer.code, code, answer)
    status = answer.json
    equal((status["kind"], status.get("reason"), status["code"]), ("Status", reason, code), answer)
    for w in words:
        check(w in status["message"], "message lacks", repr(w), status["message"])
    return status


def names(answer):
    equal(answer.code, 200, answer)
    return [o["metadata"]["name"] for o in answer.json["items"]]


def version(c):
    return c.get(CM + "?limit=1").json["metadata"]["resourceVersion"]


def compact(server, revision):
    tool = os.path.join(os.path.dirname(server.binary), "c8s")
    subprocess.run([tool, "kv", "--endpoints", "127.0.0.1:%d" % server.client_port, "compact", str(revision)], check=True,
                   stdout=subprocess.DEVNULL, timeout=60)


def events(watch, n):
    return [watch.next() for _ in range(n)]


class Socket:
    """A WebSocket (RFC 6455), as little of it as a test needs."""

    def __init__(self, client, path, headers=()):
        key = base64.b64encode(os.urandom(16)).decode()
        raw = socket.create_connection(("127.0.0.1", client.port), timeout=60)
        self.s = client.context.wrap_socket(raw, server_hostname="127.0.0.1")
        lines = ["GET %s HTTP/1.1" % path, "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key, *headers]
        self.s.sendall("".join(line + "\r\n" for line in lines + [""]).encode())
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        self.head = head.decode().split("\r\n")
        want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        if " 101 " in self.head[0]:
            check(any(h.lower() == "sec-websocket-accept: " + want.lower() for h in self.head), self.head)

    def more(self):
        piece = self.s.recv(65536)
        check(piece, "the connection ended")
        self.data += piece

    def take(self, n):
        while len(self.data) < n:
            self.more()
        out, self.data = self.data[:n], self.data[n:]
        return out

    def next(self):
        """(opcode, payload) of the next frame."""
        first, n = self.take(2)
        if n == 126:
            n = struct.unpack(">H", self.take(2))[0]
        elif n == 127:
            n = struct.unpack(">Q", self.take(8))[0]
        return first & 15, self.take(n)

    def send(self, opcode, payload):
        mask = os.urandom(4)
        self.s.sendall(bytes([128 | opcode, 128 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))


# ---- lists ----

def test_versions_of_lists(c, server):
    made(c.post(CM, config_map("v-1", {"t": "v"})))
    first = version(c)
    made(c.post(CM, config_map("v-2", {"t": "v"})))
    q = CM + "?labelSelector=t%3Dv"
    equal(names(c.get(q)), ["v-1", "v-2"])
    equal(names(c.get(q + "&resourceVersion=0")), ["v-1", "v-2"])
    equal(names(c.get(q + "&resourceVersion=%s" % first)), ["v-1", "v-2"])
    equal(names(c.get(q + "&resourceVersionMatch=NotOlderThan&resourceVersion=%s" % first)), ["v-1", "v-2"])
    old = c.get(q + "&resourceVersionMatch=Exact&resourceVersion=%s" % first)
    equal((names(old), old.json["metadata"]["resourceVersion"]), (["v-1"], first))
    equal(names(c.get(q + "&limit=10&resourceVersion=%s" % first)), ["v-1"], "a chunked list at a version is exact")
    s = failed(c.get(q + "&resourceVersion=999999999"), 504, "Timeout", "Timeout: Too large resource version: 999999999, current: ")
    equal(s["details"]["causes"], [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}])
    failed(c.get(q + "&resourceVersionMatch=Exact"), 422, "Invalid", "ListOptions.meta.k8s.io")
    failed(c.get(q + "&limit=abc"), 400, "BadRequest", 'strconv.ParseInt: parsing "abc": invalid syntax')
    equal(names(c.get(q + "&limit=-1")), ["v-1", "v-2"])
    made(c.post(CM, config_map("v-3")))
    compact(server, int(version(c)))
    s = failed(c.get(q + "&resourceVersionMatch=Exact&resourceVersion=%s" % first), 410, "Expired",
               "The resourceVersion for the provided list is too old.")
    c.delete(CM + "?labelSelector=t%3Dv")
    equal(names(c.get(q)), [])


def test_chunks_hang_together(c, server):
    all_names = ["chunk-%02d" % i for i in range(10)]
    made(c.post("/api/v1/namespaces", {"metadata": {"name": "chunks"}}))
    path = "/api/v1/namespaces/chunks/secrets"
    for n in all_names:
        made(c.post(path, {"metadata": {"name": n}, "type": "Opaque"}))
    page = c.get(path + "?limit=4")
    meta = page.json["metadata"]
    equal((names(page), meta["remainingItemCount"]), (all_names[:4], 6))
    c.delete(path + "/chunk-05")
    made(c.post(path, {"metadata": {"name": "chunk-044"}, "type": "Opaque"}))
    page = c.get(path + "?limit=4&continue=" + meta["continue"])
    equal(names(page), all_names[4:8], "at the first page's version")
    equal((page.json["metadata"]["resourceVersion"], page.json["metadata"]["remainingItemCount"]), (meta["resourceVersion"], 2))
    last = c.get(path + "?limit=4&continue=" + page.json["metadata"]["continue"])
    equal(names(last), all_names[8:])
    check("continue" not in last.json["metadata"] and "remainingItemCount" not in last.json["metadata"], last)
    selected = c.get(path + "?limit=2&fieldSelector=type%3DOpaque").json["metadata"]
    check("remainingItemCount" not in selected and selected["continue"], "not counted where a selector picks")
    table = c.get(path + "?limit=4", accept=TABLE).json
    equal((len(table["rows"]), table["metadata"]["remainingItemCount"]), (4, 6))
    token = meta["continue"]
    failed(c.get(path + "?resourceVersion=5&continue=" + token), 400, "BadRequest",
           "specifying resource version is not allowed when using continue")
    failed(c.get("/api/v1/namespaces/default/secrets?continue=" + token), 400, "BadRequest", "continue key is not valid")
    failed(c.get(path + "?continue=xx"), 400, "BadRequest", "invalid continue token: continue key is not valid")
    compact(server, int(version(c)))
    s = failed(c.get(path + "?limit=4&continue=" + token), 410, "Expired", "The provided continue parameter is too old",
               "inconsistent list")
    rest = c.get(path + "?limit=3&continue=" + s["metadata"]["continue"])
    equal(names(rest), ["chunk-04", "chunk-044", "chunk-06"], "as it is now")
    more = rest.json["metadata"]
    check(int(more["resourceVersion"]) > int(meta["resourceVersion"]))
    equal(names(c.get(path + "?continue=" + more["continue"])), all_names[7:])
    wire = c.get(path + "?limit=4&continue=" + token, accept=PROTOBUF)
    equal(wire.code, 410)
    check(s["metadata"]["continue"].encode() in wire.body, "the token as protobuf too")
    c.delete("/api/v1/namespaces/chunks")


def test_selectors(c, _):
    for name, labels in (("s-1", {"app": "a", "tier": "front"}), ("s-2", {"app": "b"}), ("s-3", {"app": "c", "n": "5"})):
        made(c.post(CM, config_map(name, dict(labels, s="y"))))
    for selector, want in (("s=y", ["s-1", "s-2", "s-3"]), ("s,app in (a,b)", ["s-1", "s-2"]), ("s,app notin (a)", ["s-2", "s-3"]),
                           ("s,!tier", ["s-2", "s-3"]), ("s,n>4", ["s-3"]), ("s,n>5", []), ("s,app!=a,app!=b", ["s-3"]),
                           ("s,app==a", ["s-1"])):
        q = selector.replace(" ", "%20").replace("=", "%3D").replace("!", "%21").replace(">", "%3E").replace(",", "%2C")
        equal(names(c.get(CM + "?labelSelector=" + q)), want, selector)
    failed(c.get(CM + "?labelSelector=a%20in%20b"), 400, "BadRequest", "unable to parse requirement: found 'b' expected: '('")
    failed(c.get(CM + "?fieldSelector=data.x%3Db"), 400, "BadRequest", '"data.x" is not a known field selector: only')
    equal(names(c.get(CM + "?fieldSelector=metadata.name%3Ds-2")), ["s-2"])
    equal(c.delete(CM + "?labelSelector=s%3Dy%2Capp%3Da").code, 200)
    equal(names(c.get(CM + "?labelSelector=s%3Dy")), ["s-2", "s-3"])
    equal(c.delete(CM + "?labelSelector=s%3Dy&dryRun=All").code, 200)
    equal(names(c.get(CM + "?labelSelector=s%3Dy")), ["s-2", "s-3"], "dry run")
    c.delete(CM + "?labelSelector=s%3Dy")


# ---- forms and media types ----

def test_forms(c, _):
    made(c.post(CM, config_map("form", {"f": "y"}, x="1")))
    q = CM + "?labelSelector=f%3Dy"
    for include, check_object in (("", lambda o: o["kind"] == "PartialObjectMetadata"), ("None", lambda o: o is None),
                                  ("Object", lambda o: o["data"] == {"x": "1"}), ("Metadata", lambda o: "data" not in o)):
        t = c.get(q + "&includeObject=" + include, accept=TABLE).json
        equal((t["kind"], t["apiVersion"], t["rows"][0]["cells"][0]), ("Table", "meta.k8s.io/v1", "form"))
        check(check_object(t["rows"][0]["object"]), include, t)
    failed(c.get(q + "&includeObject=Foo", accept=TABLE), 400, "BadRequest", "includeObject", "must be 'Metadata', 'Object', 'None', or empty")
    partial = c.get(q, accept=METAS).json
    equal((partial["kind"], partial["apiVersion"]), ("PartialObjectMetadataList", "meta.k8s.io/v1"))
    check("data" not in partial["items"][0])
    failed(c.get(q, accept=META), 406, "NotAcceptable", "you requested PartialObjectMetadata, but the requested object is a list")
    failed(c.get(CM + "/form", accept=METAS), 406, "NotAcceptable", "but the requested object is not a list")
    equal(c.get(CM + "/form", accept=META).json["kind"], "PartialObjectMetadata")
    refused = c.get(q, accept=PROTOBUF + ";as=Table;v=v1;g=meta.k8s.io")
    failed(refused, 406, "NotAcceptable", "only the following media types are accepted: application/json, application/yaml, ")
    failed(c.get(q, accept="text/html"), 406, "NotAcceptable", "406: Not Acceptable")
    yaml = c.get(q, accept="text/html;q=0.9, application/yaml;q=0.5")
    equal(yaml.headers["content-type"], "application/yaml")
    check(b"kind: ConfigMapList" in yaml.body, yaml)
    check(b"kind: Table" in c.get(q, accept="application/yaml;as=Table;v=v1;g=meta.k8s.io").body)
    check(b"reason: NotFound" in c.get(CM + "/none", accept="application/yaml").body, "errors as YAML")
    equal(c.get(q, accept="application/json;q=0.1," + PROTOBUF).body[:4], b"k8s\0")
    equal(c.post(CM, "x", content_type="text/plain").code, 415)
    for method, path in (("HEAD", CM), ("HEAD", CM + "/form"), ("PUT", CM), ("POST", "/api/v1/configmaps"),
                         ("PATCH", CM), ("POST", CM + "/form"), ("OPTIONS", CM)):
        a = c.request(method, path, body={} if method in ("PUT", "POST", "PATCH") else None)
        equal(a.code, 405, method, path)
        if method != "HEAD":
            failed(a, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    check(c.get(CM + "/form?pretty=true").body.count(b"\n") > 5)
    c.delete(CM + "/form")


def test_gzip(c, _):
    made(c.post("/api/v1/namespaces", {"metadata": {"name": "zip"}}))
    path = "/api/v1/namespaces/zip/configmaps"
    small = c.get(path, headers={"Accept-Encoding": "gzip"})
    equal(small.headers["content-encoding"], None, "small answers are not worth it")
    for i in range(8):
        made(c.post(path, config_map("z-%d" % i, x="y" * 300000)))
    for query in ("?limit=2", ""): # in one piece, and streamed
        for accept in ("application/json", PROTOBUF):
            deadline = time.monotonic() + 60
            while True:  # until nobody writes meanwhile: lists tell the store's revision
                plain = c.get(path + query, accept=accept)
                zipped = c.get(path + query, accept=accept, headers={"Accept-Encoding": "gzip, deflate"})
                if c.get(path + query, accept=accept).body == plain.body:
                    break
                check(time.monotonic() < deadline, "the store's revision stands still for three lists")
            equal((zipped.code, zipped.headers["content-encoding"]), (200, "gzip"), query, accept)
            check(gzip.decompress(zipped.body) == plain.body, "other bytes than without gzip", query, accept)
            check(len(zipped.body) < len(plain.body) // 50)
    one = c.get(path + "/z-0", headers={"Accept-Encoding": "gzip"})
    equal(json.loads(gzip.decompress(one.body))["metadata"]["name"], "z-0")
    c.delete("/api/v1/namespaces/zip")


def test_repeated_lists_show_every_write(c, _):
    """Answers are kept while nothing changes: nobody may see that."""
    made(c.post("/api/v1/namespaces", {"metadata": {"name": "again"}}))
    path = "/api/v1/namespaces/again/secrets"
    for i in range(3):
        made(c.post(path, {"metadata": {"name": "nth-%d" % i}, "type": "Opaque", "data": {"x": "eXl5" * (40000 if i == 1 else 1)}}))
        forms = {}
        for turn in range(4):
            for accept in ("application/json", PROTOBUF, METAS):
                for encoding in (None, "gzip"):
                    a = c.get(path, accept=accept, headers={"Accept-Encoding": encoding} if encoding else {})
                    equal(a.code, 200)
                    body = gzip.decompress(a.body) if a.headers["content-encoding"] == "gzip" else a.body
                    found = [n for n in range(3) if b"nth-%d" % n in body]  # no UID has these letters
                    equal(found, list(range(i + 1)), turn, accept, encoding)
                    if accept != PROTOBUF:
                        doc = json.loads(body)
                        equal("data" in doc["items"][0], accept == "application/json")
                        forms.setdefault(accept, doc["items"])
                        equal(doc["items"], forms[accept])
            equal(len(c.get("/api/v1/namespaces/default/secrets").json["items"]), 0, "another namespace is another list")
    equal(names(c.get(path + "?labelSelector=x")), [])
    check(b"  " in c.get(path + "?pretty=true").body)
    c.delete(path + "/nth-1")
    equal(names(c.get(path)), ["nth-0", "nth-2"])
    c.delete("/api/v1/namespaces/again")


# ---- watches ----

def test_watch_follows_a_selector(c, _):
    rv = version(c)
    with c.watch(CM + "?watch=1&labelSelector=w%3Dy&resourceVersion=" + rv) as w:
        made(c.post(CM, config_map("w-1", {"w": "y"})))
        made(c.post(CM, config_map("w-2", {"w": "n"})))
        c.patch(CM + "/w-2", {"metadata": {"labels": {"w": "y"}}}, kind="merge-patch")
        gone = c.patch(CM + "/w-1", {"metadata": {"labels": {"w": None}}}, kind="merge-patch").json
        c.delete(CM + "/w-2")
        got = events(w, 4)
        equal([(e["type"], e["object"]["metadata"]["name"]) for e in got],
              [("ADDED", "w-1"), ("ADDED", "w-2"), ("DELETED", "w-1"), ("DELETED", "w-2")])
        equal(got[2]["object"]["metadata"]["labels"], {"w": "y"}, "as it was when it matched")
        equal(got[2]["object"]["metadata"]["resourceVersion"], gone["metadata"]["resourceVersion"])
    c.delete(CM + "/w-1")


def test_events_of_one_write(c, _):
    """Two quotas are charged by one write: their events have one version, and a watch that broke off between them goes on there."""
    made(c.post("/api/v1/namespaces", {"metadata": {"name": "charged"}}))
    path = "/api/v1/namespaces/charged/"
    for name in ("a", "b"):
        made(c.post(path + "resourcequotas", {"metadata": {"name": name}, "spec": {"hard": {"count/configmaps": "1000"}}}))
    watch = path + "resourcequotas?watch=1&timeoutSeconds=120&resourceVersion="
    deadline = time.monotonic() + 60
    while True:  # quotas reach the caches by watches
        made(c.post(path + "configmaps", {"metadata": {"generateName": "c"}}))
        got = [q["metadata"]["resourceVersion"] for q in c.get(path + "resourcequotas").json["items"]]
        if got[0] == got[1]:
            break
        check(time.monotonic() < deadline, "both quotas are charged at once", got)
    with c.watch(watch + str(int(got[0]) - 1)) as w:
        equal([e["object"]["metadata"]["name"] for e in events(w, 2)], ["a", "b"])
    with c.watch(watch + got[0]) as w:
        event = w.next()
        equal((event["type"], event["object"]["metadata"]["name"], event["object"]["metadata"]["resourceVersion"]), ("MODIFIED", "b", got[0]))
        made(c.post(path + "configmaps", {"metadata": {"generateName": "c"}}))
        equal([e["object"]["metadata"]["name"] for e in events(w, 2)], ["a", "b"])
    with c.watch(watch + got[0] + "&fieldSelector=metadata.name%3Db") as w:
        check(int(w.next()["object"]["metadata"]["resourceVersion"]) > int(got[0]), "it was the first of its selection")


def test_streaming_list(c, _):
    for i in range(3):
        made(c.post(CM, config_map("l-%d" % i, {"l": "y"})))
    q = CM + "?watch=1&labelSelector=l%3Dy&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    with c.watch(q + "&allowWatchBookmarks=true") as w:
        got = events(w, 4)
        equal([e["type"] for e in got], ["ADDED"] * 3 + ["BOOKMARK"])
        mark = got[3]["object"]
        equal((mark["kind"], mark["metadata"]["annotations"]), ("ConfigMap", {"k8s.io/initial-events-end": "true"}))
        check(int(mark["metadata"]["resourceVersion"]) >= int(got[2]["object"]["metadata"]["resourceVersion"]))
        c.delete(CM + "/l-0")
        equal(w.next()["type"], "DELETED")
    with c.watch(q) as w:
        equal([e["type"] for e in events(w, 2)], ["ADDED", "ADDED"], "without bookmarks nothing marks the end")
    with c.watch(CM + "?watch=1&labelSelector=l%3Dy&sendInitialEvents=false&resourceVersionMatch=NotOlderThan") as w:
        c.delete(CM + "/l-1")
        e = w.next()
        equal((e["type"], e["object"]["metadata"]["name"]), ("DELETED", "l-1"))
    failed(c.get(CM + "?watch=1&sendInitialEvents=true"), 422, "Invalid", "sendInitialEvents requires setting resourceVersionMatch")
    failed(c.get(CM + "?sendInitialEvents=true"), 422, "Invalid", "sendInitialEvents is forbidden for list")
    c.delete(CM + "/l-2")


def test_watch_ends(c, server):
    started = time.monotonic()
    with c.watch(CM + "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=" + version(c)) as w:
        last = None
        while True:
            e = w.next()
            if e is None:
                break
            last = e
        equal(last["type"], "BOOKMARK", "the last word says how far it came")
        check(int(last["object"]["metadata"]["resourceVersion"]) > 0)
    check(time.monotonic() - started >= 0.9)
    made(c.post(CM, config_map("e-1")))
    first = version(c)
    c.delete(CM + "/e-1")
    compact(server, int(version(c)))
    with c.watch(CM + "?watch=1&resourceVersion=" + str(int(first) - 1)) as w:
        equal(w.code, 200)
        e = w.next()
        equal((e["type"], e["object"]["code"], e["object"]["reason"]), ("ERROR", 410, "Expired"))
        check(e["object"]["message"].startswith("too old resource version: %d (" % (int(first) - 1)), e)
        equal(w.next(), None)
    # Nobody was told a version that the cluster has not reached, unless its store was restored from a backup since.
    ahead = int(version(c)) + 1000000
    with c.watch(CM + "?watch=1&resourceVersion=" + str(ahead)) as w:
        equal(w.code, 200)
        e = w.next()
        equal((e["type"], e["object"]["code"], e["object"]["reason"]), ("ERROR", 410, "Expired"))
        check(e["object"]["message"].startswith("too large resource version: %d, current: " % ahead), e)
        equal(w.next(), None)
    near = int(version(c)) + 2
    with c.watch(CM + "?watch=1&labelSelector=f%3Dy&resourceVersion=" + str(near)) as w:
        for name in ("f-1", "f-2", "f-3"):
            made(c.post(CM, config_map(name, {"f": "y"})))
        equal(w.next()["object"]["metadata"]["name"], "f-3", "the first after the version asked for")
        for name in ("f-1", "f-2", "f-3"):
            c.delete(CM + "/" + name)
    failed(c.get(CM + "?watch=1&timeoutSeconds=x"), 400, "BadRequest", "strconv.ParseInt")
    failed(c.get(CM + "?watch=1&resourceVersion=x"), 400, "BadRequest", 'resourceVersion: Invalid value: "x"')


def test_watch_forms(c, _):
    q = CM + "?watch=1&labelSelector=t%3Dy&resourceVersion=" + version(c)
    with c.watch(q, accept=TABLE) as t, c.watch(q + "&includeObject=Object", accept=TABLE) as whole, \
            c.watch(q, accept=META) as meta, c.watch(q, accept=PROTOBUF) as wire, \
            c.watch(q, accept="application/json;stream=watch") as plain:
        made(c.post(CM, config_map("t-1", {"t": "y"}, x="1")))
        made(c.post(CM, config_map("t-2", {"t": "y"}, x="2")))
        first, second = events(t, 2)
        equal([d["name"] for d in first["object"]["columnDefinitions"]], ["Name", "Data", "Age"])
        equal(second["object"]["columnDefinitions"], None, "columns come once")
        equal([e["object"]["rows"][0]["cells"][0] for e in (first, second)], ["t-1", "t-2"])
        equal(second["object"]["rows"][0]["object"]["kind"], "PartialObjectMetadata")
        first, second = events(whole, 2)
        check(first["object"]["columnDefinitions"] and not second["object"]["columnDefinitions"])
        equal(second["object"]["rows"][0]["object"]["data"], {"x": "2"})
        e = meta.next()
        equal((e["object"]["kind"], e["object"]["apiVersion"]), ("PartialObjectMetadata", "meta.k8s.io/v1"))
        equal(wire.response.headers["content-type"], PROTOBUF + ";stream=watch")
        frame = wire.next_frame()
        check(b"ADDED" in frame and b"t-1" in frame and b"k8s\0" in frame, frame)
        equal(plain.response.headers["content-type"], "application/json")
        equal(plain.next()["object"]["metadata"]["name"], "t-1")
    yaml = c.get(q, accept="application/yaml")
    equal((yaml.code, yaml.headers["content-type"]), (406, "application/yaml"))
    check(b"application/json;stream=watch" in yaml.body, yaml)
    c.delete(CM + "?labelSelector=t%3Dy")


def test_old_watch_paths(c, _):
    made(c.post(CM, config_map("o-1", {"o": "y"})))
    made(c.post(CM, config_map("o-2", {"o": "y"})))
    for path in ("/api/v1/watch/configmaps", "/api/v1/watch/namespaces/default/configmaps"):
        with c.watch(path + "?labelSelector=o%3Dy") as w:
            equal([e["object"]["metadata"]["name"] for e in events(w, 2)], ["o-1", "o-2"])
    with c.watch("/api/v1/watch/namespaces/default/configmaps/o-2") as w:
        equal(w.next()["object"]["metadata"]["name"], "o-2")
        c.delete(CM + "/o-1")
        c.delete(CM + "/o-2")
        e = w.next()
        equal((e["type"], e["object"]["metadata"]["name"]), ("DELETED", "o-2"))
    with c.watch("/api/v1/watch/namespaces/default") as w:
        e = w.next()
        equal((e["object"]["kind"], e["object"]["metadata"]["name"]), ("Namespace", "default"))


def test_watch_over_websocket(c, _):
    made(c.post(CM, config_map("ws-1", {"ws": "y"})))
    path = CM + "?watch=1&labelSelector=ws%3Dy"
    w = Socket(c, path + "&timeoutSeconds=120")
    check(" 101 " in w.head[0], w.head)
    opcode, payload = w.next()
    equal((opcode, json.loads(payload)["object"]["metadata"]["name"]), (1, "ws-1"))
    w.send(9, b"hello")
    equal(w.next(), (10, b"hello"), "a ping is answered")
    c.patch(CM + "/ws-1", {"data": {"a": "b" * 70000}}, kind="merge-patch")
    opcode, payload = w.next()
    equal((opcode, json.loads(payload)["type"]), (1, "MODIFIED"))
    w.send(8, struct.pack(">H", 1000))
    equal(w.next()[0], 8)
    wire = Socket(c, path, ["Accept: " + PROTOBUF, "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.eA, x.y"])
    check(any(h.lower() == "sec-websocket-protocol: x.y" for h in wire.head), wire.head)
    opcode, payload = wire.next()
    equal((opcode, payload[:7]), (2, b"\n\x05ADDED"), "an event without a length in front")
    short = Socket(c, path + "&timeoutSeconds=1&resourceVersion=" + version(c))
    equal(short.next()[0], 8, "the end is said")
    equal(" 400 " in Socket(c, path + "&resourceVersion=x").head[0], True)
    c.delete(CM + "/ws-1")


def main():
    server = Server(sys.argv[1])
    return run_tests(server, globals(), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
