#!/usr/bin/env python3
"""Priority and Fairness: where requests are counted, who waits for whom, and that nobody keeps others out.

    apiserver_flow_test.py BINARY [NAME…]
"""
import os
import socket
import ssl
import sys
import threading
import time

from apiserver_lib import Member, Server, run_tests
from apiserver_test import equal, wait_for

CM = "/api/v1/namespaces/default/configmaps"
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
SEATS = 8
FLOWS = None


def metric(c, name, **labels):
    total = 0
    for line in c.get("/metrics").body.decode().splitlines():
        if line.startswith(name + "{") and all('%s="%s"' % (k, v) in line for k, v in labels.items()):
            total += float(line.split()[-1])
    return total


def level(name, shares, **limited):
    limited.setdefault("limitResponse", {"type": "Reject"})
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": dict(limited, nominalConcurrencyShares=shares)}}


def schema(name, level_name, users, precedence=50):
    return {"metadata": {"name": name}, "spec": {
        "priorityLevelConfiguration": {"name": level_name}, "matchingPrecedence": precedence, "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [{"kind": "User", "user": {"name": u}} for u in users],
                   "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}],
                   "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}}


class Flows:
    def __init__(self, server):
        self.server, self.c = server, server.client()
        self.alice, self.carol = server.client("alice"), server.client(user=None, token="sekret")
        answer = self.c.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
            "metadata": {"name": "dev"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "dev"}]})
        assert answer.code == 201, answer
        for i in range(30):
            assert self.c.post(CM, {"metadata": {"name": "fat%d" % i}, "data": {"x": "y" * 900000}}).code == 201
        wait_for(lambda: self.alice.get(CM + "/none").code == 404 and self.carol.get(CM + "/none").code == 404, "rights")

    def make(self, path, body):
        answer = self.c.post(FLOW + path, body)
        assert answer.code == 201, answer
        return answer.json["metadata"]["uid"]

    def where(self, client, path=CM + "/none"):
        h = client.get(path).headers
        return h.get("x-kubernetes-pf-flowschema-uid"), h.get("x-kubernetes-pf-prioritylevel-uid")

    def remove(self, path):
        assert self.c.delete(FLOW + path).code == 200

    def reader(self, path=CM, receive=4096):
        """Asks for more than ten megabytes as alice and reads nothing."""
        context = ssl.create_default_context(cafile=self.server.pki.path("ca.crt"))
        context.check_hostname = False
        context.load_cert_chain(self.server.pki.path("alice.crt"), self.server.pki.path("alice.key"))
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        s.connect(("127.0.0.1", self.server.port))
        s = context.wrap_socket(s)
        s.sendall(b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode())
        return s


def test_where_requests_are_counted(_, server):
    f = FLOWS
    defaults = {o["metadata"]["name"]: o["metadata"]["uid"] for kind in ("/flowschemas", "/prioritylevelconfigurations")
                for o in f.c.get(FLOW + kind).json["items"] if kind == "/flowschemas" or o["metadata"]["name"] not in ("exempt", "catch-all", "global-default")}
    levels = {o["metadata"]["name"]: o["metadata"]["uid"] for o in f.c.get(FLOW + "/prioritylevelconfigurations").json["items"]}
    equal(f.where(f.c), (defaults["exempt"], levels["exempt"]), "an administrator")
    equal(f.where(f.alice), (defaults["global-default"], levels["global-default"]), "anybody")
    equal(f.where(f.alice, "/version"), (defaults["global-default"], levels["global-default"]), "a path")
    equal(f.where(f.alice, "/api/v1/nodes/none"), (defaults["global-default"], levels["global-default"]), "what is refused")
    own = f.make("/prioritylevelconfigurations", level("own", 1)), f.make("/flowschemas", schema("own", "own", ["alice"]))
    wait_for(lambda: f.where(f.alice) == own[::-1], "the new schema")
    equal(f.where(f.carol), (defaults["global-default"], levels["global-default"]), "others")
    f.make("/flowschemas", schema("nowhere", "absent", ["carol"]))
    equal(f.where(f.carol), (defaults["global-default"], levels["global-default"]), "a schema whose level is absent")
    for path in ("/flowschemas/own", "/flowschemas/nowhere", "/prioritylevelconfigurations/own"):
        f.remove(path)
    wait_for(lambda: f.where(f.alice)[0] == defaults["global-default"], "the schema to be gone")


def test_a_full_level_refuses(_, server):
    """One seat and no queue: the second request is refused at once, other levels are served."""
    f = FLOWS
    f.make("/prioritylevelconfigurations", level("one", 1, borrowingLimitPercent=0))
    f.make("/flowschemas", schema("one", "one", ["alice"]))
    wait_for(lambda: metric(f.c, "apiserver_flowcontrol_nominal_limit_seats", priority_level="one") == 1, "the level")
    reader = f.reader()
    wait_for(lambda: metric(f.c, "apiserver_flowcontrol_current_executing_seats", priority_level="one") == 1, "the reader")
    answer = f.alice.get(CM + "/none")
    equal((answer.code, answer.json["reason"], answer.headers.get("retry-after")), (429, "TooManyRequests", "1"))
    assert answer.headers.get("x-kubernetes-pf-flowschema-uid"), answer.headers
    equal(metric(f.c, "apiserver_flowcontrol_rejected_requests_total", flow_schema="one", reason="concurrency-limit"), 1)
    equal((f.c.get(CM + "/none").code, f.carol.get(CM + "/none").code), (404, 404), "others")
    reader.close()
    wait_for(lambda: f.alice.get(CM + "/none").code == 404, "the seat")
    f.remove("/flowschemas/one")
    f.remove("/prioritylevelconfigurations/one")


def queue_of_one_seat(f):
    f.make("/prioritylevelconfigurations", level("line", 1, borrowingLimitPercent=0, limitResponse={
        "type": "Queue", "queuing": {"queues": 8, "handSize": 2, "queueLengthLimit": 2}}))
    f.make("/flowschemas", schema("line", "line", ["alice", "carol"]))
    wait_for(lambda: metric(f.c, "apiserver_flowcontrol_nominal_limit_seats", priority_level="line") == 1, "the level")


def end_of_queue(f):
    f.remove("/flowschemas/line")
    f.remove("/prioritylevelconfigurations/line")


def test_who_reads_nothing_goes(_, server):
    """Five who read nothing, one seat: each is sent away after a while, and carol is not behind all of them."""
    f = FLOWS
    queue_of_one_seat(f)
    readers = [f.reader() for _ in range(5)]
    wait_for(lambda: metric(f.c, "apiserver_flowcontrol_current_inqueue_requests", priority_level="line") == 4, "the queue")
    answers = []
    more = threading.Thread(target=lambda: answers.append(f.alice.get(CM + "/none").code))
    more.start()
    more.join()
    equal(answers, [429], "the flow's queue is full")
    equal(metric(f.c, "apiserver_flowcontrol_rejected_requests_total", flow_schema="line", reason="queue-full"), 1)
    began = time.monotonic()
    equal(f.carol.get(CM + "/none").code, 404, "another flow")
    assert time.monotonic() - began < 14, "carol waited for %.1f s" % (time.monotonic() - began)
    for s in readers:
        s.close()
    wait_for(lambda: metric(f.c, "apiserver_flowcontrol_current_inqueue_requests", priority_level="line") == 0, "nobody to wait")
    equal(f.alice.get(CM + "/none").code, 404, "the seat is free")
    end_of_queue(f)


def test_waiting_has_its_end(_, server):
    """Somebody reads so slowly, and steadily, that who waits is told to come again."""
    f = FLOWS
    queue_of_one_seat(f)
    reader, done = f.reader(receive=1 << 17), threading.Event()

    def read():
        """A megabyte a second."""
        began, n = time.monotonic(), 0
        while not done.wait(max(0, n / 1e6 - (time.monotonic() - began))):
            piece = reader.recv(65536)
            n += len(piece)
            if not piece:
                break
    thread = threading.Thread(target=read)
    thread.start()
    wait_for(lambda: metric(f.c, "apiserver_flowcontrol_current_executing_seats", priority_level="line") == 1, "the reader")
    began = time.monotonic()
    answer = f.carol.get(CM + "/none")
    took = time.monotonic() - began
    done.set()
    thread.join()
    reader.close()
    equal(answer.code, 429)
    assert 14 < took < 25, took
    equal(metric(f.c, "apiserver_flowcontrol_rejected_requests_total", flow_schema="line", reason="time-out"), 1)
    end_of_queue(f)


DUMP = "/debug/api_priority_and_fairness/dump_"


def dump(c, name):
    """The rows of a table, each a dictionary by column."""
    answer = c.get(DUMP + name)
    equal((answer.code, answer.headers.get("content-type")), (200, "text/plain; charset=utf-8"), name)
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.body.decode().splitlines()]
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def of_wide(c, name, **where):
    return [r for r in dump(c, name) if r["PriorityLevelName"] == "wide" and all(r[k] == v for k, v in where.items())]


def wide_level(f):
    """Seven seats that nothing is borrowed for; a request holds two of them at most."""
    f.make("/prioritylevelconfigurations", level("wide", 1000, borrowingLimitPercent=0, limitResponse={
        "type": "Queue", "queuing": {"queues": 8, "handSize": 1, "queueLengthLimit": 9}}))
    f.make("/flowschemas", schema("wide", "wide", ["alice", "carol"]))
    wait_for(lambda: metric(f.c, "apiserver_flowcontrol_nominal_limit_seats", priority_level="wide") == 7, "the level")
    wait_for(lambda: f.alice.get(CM + "/none").code == 404 and of_wide(f.c, "priority_levels", IsIdle="true"), "the schema")


def end_of_wide_level(f):
    f.remove("/flowschemas/wide")
    f.remove("/prioritylevelconfigurations/wide")


def seats_of_wide(f):
    return metric(f.c, "apiserver_flowcontrol_current_executing_seats", priority_level="wide")


def test_large_lists_are_wide(_, server):
    """27 MB are worth two seats: three readers hold six of seven. A fourth waits, and whoever comes after it, though one is free."""
    f = FLOWS
    wide_level(f)
    readers = [f.reader() for _ in range(3)]
    wait_for(lambda: seats_of_wide(f) == 6, "three readers")
    equal(metric(f.c, "apiserver_flowcontrol_current_executing_requests", flow_schema="wide"), 3)
    equal([(r["QueueIndex"], r["RequestIndexInQueue"], r["FlowDistingsher"], r["InitialSeats"], r["UserName"], r["Verb"], r["Resource"])
           for r in of_wide(f.c, "requests?includeRequestDetails=1")], [("0", "-1", "alice", "2", "alice", "list", "configmaps")] * 3)
    readers.append(f.reader())
    wait_for(lambda: of_wide(f.c, "queues", PendingRequests="1", ExecutingRequests="3", SeatsInUse="6", InitialSeatsSum="2"), "the fourth")
    answers = []
    others = [threading.Thread(target=lambda p=p: answers.append(f.carol.get(p).code)) for p in (
        CM + "/none", "/api/v1/namespaces/kube-public/configmaps", CM + "?fieldSelector=metadata.name%3Dfat1&limit=1")]
    for t in others:
        t.start()
    wait_for(lambda: [r["InitialSeats"] for r in of_wide(f.c, "requests", FlowDistingsher="carol", StartTime="0001-01-01T00:00:00Z")] ==
             ["1"] * 3, "a get, a list of nothing and one of one object")
    equal(seats_of_wide(f), 6, "seats, of which one is free")
    for r in readers[:2]:
        r.close()
    for t in others:
        t.join()
    equal(sorted(answers), [200, 200, 404], "the others")
    for r in readers:
        r.close()
    wait_for(lambda: of_wide(f.c, "priority_levels", IsIdle="true", WaitingRequests="0"), "nobody")
    assert metric(f.c, "apiserver_flowcontrol_request_wait_duration_seconds_count", flow_schema="wide", execute="true") >= 7
    end_of_wide_level(f)


def test_watches_hold_seats_while_they_list(_, server):
    f = FLOWS
    wide_level(f)
    listing = "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=60"
    reader = f.reader(CM + listing)
    wait_for(lambda: seats_of_wide(f) == 2, "the list")
    reader.close()
    wait_for(lambda: seats_of_wide(f) == 0, "its end")
    with f.alice.watch(CM + listing) as w:
        event = w.next()
        while event["type"] != "BOOKMARK":
            event = w.next()
        wait_for(lambda: seats_of_wide(f) == 0, "a watch that has begun")
        equal(f.c.post(CM, {"metadata": {"name": "seen"}}).code, 201)
        equal(w.next()["object"]["metadata"]["name"], "seen")
    equal(f.c.delete(CM + "/seen").code, 200)
    with f.alice.watch(CM + "?watch=1&timeoutSeconds=60"):
        wait_for(lambda: seats_of_wide(f) == 0, "a watch of what changes")
    end_of_wide_level(f)


def test_who_may_see_the_tables(_, server):
    f = FLOWS
    rbac = "/apis/rbac.authorization.k8s.io/v1/clusterrole"
    own = [r for r in dump(f.c, "requests?includeRequestDetails=1") if r["UserName"] == "admin" and r["Verb"] == "get"]
    equal([(r["PriorityLevelName"], r["FlowSchemaName"], r["QueueIndex"], r["APIPath"], r["APIVersion"]) for r in own],
          [("exempt", "exempt", "-1", DUMP + "requests", "")])
    names = [r["PriorityLevelName"] for r in dump(f.c, "priority_levels")]
    assert names == sorted(names) and {"catch-all", "exempt", "system", "workload-low"} <= set(names), names
    assert "UserName" not in f.c.get(DUMP + "requests?includeRequestDetails=").body.decode()
    equal(f.c.get(DUMP + "all").code, 404, "another table")
    equal(f.alice.get(DUMP + "queues").code, 403, "not for everybody")
    equal(f.c.post(rbac + "s", {"metadata": {"name": "tables"}, "rules": [
        {"verbs": ["get"], "nonResourceURLs": ["/debug/api_priority_and_fairness/*"]}]}).code, 201)
    equal(f.c.post(rbac + "bindings", {"metadata": {"name": "tables"}, "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tables"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]}).code, 201)
    wait_for(lambda: f.alice.get(DUMP + "queues").code == 200, "alice's right")
    equal(f.carol.get(DUMP + "queues").code, 403, "still not for everybody")


def test_without_flow_control_there_are_no_tables(_, server):
    plain = Member(os.path.abspath(sys.argv[1]), ["--enable-priority-and-fairness=false"])
    try:
        plain.start()
        equal(plain.client().get(DUMP + "queues").code, 404)
        equal(plain.client().get(CM).code, 200)
    finally:
        plain.remove()


def main():
    server = Server(os.path.abspath(sys.argv[1]), ["--max-requests-inflight=%d" % SEATS, "--max-mutating-requests-inflight=0"])

    def before():
        global FLOWS
        FLOWS = Flows(server)
    return run_tests(server, globals(), sys.argv[2:], before)


if __name__ == "__main__":
    sys.exit(main())
