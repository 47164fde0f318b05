"""What travels otherwise than as a JSON document, for api_diff_test.py: protobuf, and the versions and bookmarks of watches."""
import json
import re
import struct

from api_diff_cases import Of, defined, label, namespace
from api_diff_objects import GADGET, GADGETS, KINDS, kind

PROTOBUF = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
VARINT, BYTES = 0, 2

# Fields of ObjectMeta that a new object may have: name, generateName, namespace, labels, annotations, finalizers.
NEW = (1, 2, 3, 11, 12, 14)


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def as_varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def members(data):
    """(number, wire type, value) of each field of a message."""
    at, out = 0, []
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = varint(data, at)
        else:
            size, at = (8, at) if wire == 1 else (4, at) if wire == 5 else varint(data, at)
            value, at = data[at:at + size], at + size
        out.append((number, wire, value))
    assert at == len(data), "a field ends with its message"
    return out


def message(fields):
    out = b""
    for number, wire, value in fields:
        out += as_varint(number << 3 | wire)
        out += as_varint(value) if wire == VARINT else as_varint(len(value)) + value if wire == BYTES else value
    return out


def first(fields, number, otherwise=b""):
    return next((v for n, _, v in fields if n == number), otherwise)


def opened(data):
    """(apiVersion, kind, message) of an envelope."""
    assert data[:4] == MAGIC, data[:80]
    envelope = members(data[4:])
    about = members(first(envelope, 1))
    return first(about, 1).decode(), first(about, 2).decode(), first(envelope, 2)


def closed(api_version, kind_name, raw):
    about = message([(1, BYTES, api_version.encode()), (2, BYTES, kind_name.encode())])
    return MAGIC + message([(1, BYTES, about), (2, BYTES, raw)])


def renewed(data, name):
    """An object as its creator would send it, by another name."""
    api_version, kind_name, raw = opened(data)
    out = []
    for number, wire, value in members(raw):
        if number == 1:
            meta = [(1, BYTES, name.encode())] + [f for f in members(value) if f[0] in NEW and f[0] != 1]
            value = message(meta)
        out.append((number, wire, value))
    return closed(api_version, kind_name, message(out))


def shape(s, raw):
    """What can be said of an answer in protobuf without its schema: its kind, and how many fields of each number a list or Status has."""
    status, headers, body = raw
    said = {"status": status, "type": headers.get("Content-Type")}
    if not body.startswith(MAGIC):
        return {**said, "text": s.text(body.decode("utf-8", "replace"))}
    api_version, kind_name, message_ = opened(body)
    said.update(apiVersion=s.text(api_version), kind=kind_name)
    fields = members(message_)
    if kind_name.endswith("List"):
        said["items"] = sum(n == 2 for n, _, _ in fields)
    if kind_name == "Status":
        said.update(outcome=first(fields, 2).decode(), message=s.text(first(fields, 3).decode()), reason=first(fields, 4).decode(), code=first(fields, 6, 0))
    return said


def wired(p, request, method, path, body=None, **headers):
    raw = [s.request(method, path(s), body, {"Accept": PROTOBUF, **headers}) for s in p.sides]
    p.compare("%s %s (%s)" % (method, path(p.sides[0]), request), *[shape(s, r) for s, r in zip(p.sides, raw)])
    return [r[2] for r in raw]


def case_protobuf(p):
    """Each kind: what the servers say in protobuf is what they say in JSON, and either understands both."""
    ns = namespace(p)
    for k in KINDS:
        if k.plural == "apiservices":
            continue
        one, name = Of(p, k, ns), label(k)
        one.create(name, labels={"a": "b"}, annotations={"c": "d"})
        told = wired(p, "protobuf", "GET", one.at(name))
        for s, data in zip(p.sides, told):  # put back as it came, it is the same object
            path = k.path(s, ns, name)
            want = s.json("GET", path)
            got = json.loads(s.request("PUT", path, data, {"Content-Type": PROTOBUF})[2])
            p.compare("PUT %s (its own protobuf, %s)" % (path, s.name), s.normal(unowned(want)), s.normal(unowned(got)))
        for s, data in zip(p.sides, told):
            new = "%s-of-%s" % (name, s.name)
            p.same("POST", one.at(), lambda to, s=s, data=data, new=new: spoken(k, to, s, renewed(data, new)), note="protobuf of " + s.name, Content_Type=PROTOBUF)
            one.get(new)
        wired(p, "protobuf", "GET", one.at())
        wired(p, "partial", "GET", one.at(name), Accept=PROTOBUF + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        wired(p, "partial", "GET", one.at(), Accept=PROTOBUF + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
        wired(p, "not there", "GET", one.at("none"))
        wired(p, "deleted", "DELETE", one.at(name))


def unowned(o):
    """Without who owns it: 1.20 makes a put status its sender's."""
    for key in ("managedFields", "resourceVersion"):
        o.get("metadata", {}).pop(key, None)
    return o


def spoken(k, to, by, data):
    """Of the two versions that a kind may have here, the one that the server knows."""
    api_version, kind_name, raw = opened(data)
    return closed(k.api_version(to) if api_version == k.api_version(by) else api_version, kind_name, raw)


def case_protobuf_refusals(p):
    ns = namespace(p)
    one = Of(p, kind("configmaps"), ns)
    one.create("m")
    good = closed("v1", "ConfigMap", message([(1, BYTES, message([(1, BYTES, b"x")])), (2, BYTES, message([(1, BYTES, b"k"), (2, BYTES, b"v")]))]))
    for what, body in (("empty", b""), ("no magic", good[4:]), ("cut", good[:-3]), ("JSON", b"{}"), ("magic alone", MAGIC), ("another kind", closed("v1", "Pod", b"")),
                       ("no kind", closed("", "", opened(good)[2])), ("garbage", MAGIC + b"\xff" * 20), ("unknown field", good[:-2] + b"\xfa\x01\x01x"),
                       ("good", good)):
        p.same("POST", one.at(query="?dryRun=All"), body, note="protobuf: " + what, Content_Type=PROTOBUF)
    of_gadgets = Of(p, defined(p, GADGETS, GADGET), ns)
    of_gadgets.create("g")
    of_gadgets.get("g", Accept=PROTOBUF)
    of_gadgets.get("g", Accept=PROTOBUF + ",application/json")
    p.same("POST", of_gadgets.at(), good, Content_Type=PROTOBUF)
    wired(p, "partial", "GET", of_gadgets.at("g"), Accept=PROTOBUF + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1")


def case_protobuf_watches(p):
    ns = namespace(p)
    one = Of(p, kind("configmaps"), ns)
    start = p.both(lambda s: s.json("GET", one.k.path(s, ns))["metadata"]["resourceVersion"])
    one.create("a")
    one.patch("a", {"data": {"x": "y"}})
    one.delete("a")
    said = []
    for s, v in zip(p.sides, start):
        code, headers, body = s.request("GET", "%s?watch=1&timeoutSeconds=1&resourceVersion=%s" % (one.k.path(s, ns), v), None, {"Accept": PROTOBUF + ";stream=watch"})
        frames, at = [], 0
        while at < len(body):
            size, = struct.unpack(">I", body[at:at + 4])
            event = members(body[at + 4:at + 4 + size])
            frames.append((first(event, 1).decode(), opened(first(members(first(event, 2)), 1))[:2]))
            at += 4 + size
        said.append({"status": code, "type": headers.get("Content-Type"), "events": frames})
    p.compare("WATCH configmaps (protobuf)", *said)


# ---------------------------------------------------------------------------------------- watches


def bookmarks(s, raw):
    """The shapes of those that came; how many there are goes by the clock."""
    status, headers, body = raw
    told = [json.loads(line) for line in body.splitlines() if line.strip()]
    shapes = {json.dumps(s.normal({**e, "object": {**e["object"], "metadata": sorted(e["object"]["metadata"].keys() - {"creationTimestamp"})}}), sort_keys=True)
              for e in told if e.get("type") == "BOOKMARK"}
    rest = [s.normal(e) for e in told if e.get("type") != "BOOKMARK"]
    return {"status": status, "type": headers.get("Content-Type"), "events": rest, "bookmarks": [json.loads(b) for b in sorted(shapes)]}


def numbers(v):
    """Versions in what is said about versions."""
    if isinstance(v, dict):
        return {k: numbers(e) for k, e in v.items()}
    if isinstance(v, list):
        return [numbers(e) for e in v]
    return re.sub(r"\b\d+\b", "#", v) if isinstance(v, str) and "resource version" in v else v


def case_watch_versions(p):
    """From which version, for how long, with bookmarks or without."""
    for k in (kind("configmaps"), kind("deployments"), defined(p, GADGETS, GADGET)):
        ns = namespace(p)
        one = Of(p, k, ns)
        one.create("a")
        versions = [p.both(lambda s: s.json("GET", k.path(s, ns))["metadata"]["resourceVersion"])]
        one.patch("a", {"metadata": {"labels": {"b": "c"}}})
        one.create("b")
        versions.append(p.both(lambda s: s.json("GET", k.path(s, ns))["metadata"]["resourceVersion"]))
        one.delete("b")
        queries = ["", "&resourceVersion=", "&resourceVersion=0", "&resourceVersion=@0", "&resourceVersion=@1", "&resourceVersion=99999999", "&resourceVersion=x",
                   "&resourceVersion=-1", "&resourceVersion=1", "&resourceVersion=@0&fieldSelector=metadata.name=b", "&resourceVersion=@0&limit=1",
                   "&resourceVersion=@1&resourceVersionMatch=Exact", "&resourceVersionMatch=NotOlderThan", "&resourceVersion=0&allowWatchBookmarks=true",
                   "&resourceVersion=@0&allowWatchBookmarks=true", "&allowWatchBookmarks=true", "&allowWatchBookmarks=x&resourceVersion=@1",
                   "&resourceVersion=@0&allowWatchBookmarks=true&labelSelector=b=c"]
        heard = []
        for i, s in enumerate(p.sides):
            at = k.path(s, ns) + "?watch=true&timeoutSeconds=3"
            heard.append(s.at_once([("GET", at + q.replace("@0", versions[0][i]).replace("@1", versions[1][i])) for q in queries]))
        for q, theirs, ours in zip(queries, *heard):
            p.compare("WATCH %s%s" % (k.path(p.sides[0], ns), q), *[numbers(bookmarks(s, r)) for s, r in zip(p.sides, (theirs, ours))])
        for q in ("watch=x&timeoutSeconds=1", "watch=1&timeoutSeconds=x", "watch=1&timeoutSeconds=-1&resourceVersion=x", "watch=0", "watch=false&timeoutSeconds=0"):
            p.same("GET", one.at(query="?" + q))

