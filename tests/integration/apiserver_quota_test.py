#!/usr/bin/env python3
"""ResourceQuota is exact: clients create pods at two members of a cluster at once, some delete theirs; with one quota, with
hundreds that all count one write, and with more than one write can change.

    apiserver_quota_test.py BINARY
"""
import json
import sys
import threading
import time

from apiserver_admission_test import check, created, equal, namespace, ok, pod, quota, refused
from apiserver_lib import Client, Cluster

CREATORS, HARD = 50, 30
MANY, TOO_MANY, FEW = 300, 1010, 4


def wait_for_quota(members, path):
    """Every worker of every member knows the quota once a dry run is refused there many times in a row."""
    deadline = time.monotonic() + 60
    for m in members:
        row = 0
        while row < 16:
            answer = m.client().post(path + "/pods?dryRun=All", pod("probe"))
            row = row + 1 if answer.code == 403 else 0
            check(time.monotonic() < deadline, "the quota never took effect", answer)


def at_once(calls):
    threads = [threading.Thread(target=call, args=args) for call, *args in calls]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def create_pods(members, path, n):
    """Name → code."""
    answers, lock = {}, threading.Lock()

    def create(i):
        member = members[i % 2]
        name = "p%d" % i
        code = Client(member.port, member.pki).post(path + "/pods", pod(name)).code
        with lock:
            answers[name] = code

    at_once([(create, i) for i in range(n)])
    return answers


def remove_pods(members, path, names):
    def remove(i, name):
        member = members[i % 2]
        equal(Client(member.port, member.pki).delete(path + "/pods/%s?gracePeriodSeconds=0" % name).code, 200)

    at_once([(remove, i, n) for i, n in enumerate(names)])


def one_quota(members):
    first = members[0].client()
    path = namespace(first, "exact")
    created(first.post(path + "/resourcequotas", quota("q", pods="0")))
    wait_for_quota(members, path)
    ok(first.patch(path + "/resourcequotas/q", {"spec": {"hard": {"pods": str(HARD)}}}))
    answers = create_pods(members, path, CREATORS)
    equal(sorted(answers.values()), [201] * HARD + [403] * (CREATORS - HARD), "exactly as many as fit")
    equal(len(ok(first.get(path + "/pods"))["items"]), HARD)
    equal(ok(first.get(path + "/resourcequotas/q"))["status"]["used"]["pods"], str(HARD))
    made = [n for n, code in answers.items() if code == 201]
    remove_pods(members, path, made[:20])
    equal(ok(first.get(path + "/resourcequotas/q"))["status"]["used"]["pods"], str(HARD - 20), "released")


def on_one_connection(client, method, path, bodies):
    c = client.connect()
    try:
        for name, body in bodies:
            c.request(method, path + name, body=body and json.dumps(body), headers={"Content-Type": "application/json"})
            r = c.getresponse()
            answer = r.read()
            check(r.status in (200, 201), r.status, answer[:300])
    finally:
        c.close()


def make_quotas(members, path, begin, end):
    """And one more, the last, which allows nothing, so that one sees when all are known."""
    def make(k):
        bodies = [("", quota("q%04d" % i, pods=str(FEW))) for i in range(begin + k, end, 4)]
        on_one_connection(members[k % 2].client(), "POST", path + "/resourcequotas", bodies)

    at_once([(make, k) for k in range(4)])
    created(members[0].client().post(path + "/resourcequotas", quota("z", pods="0")))
    wait_for_quota(members, path)
    ok(members[0].client().delete(path + "/resourcequotas/z"))


def all_say(client, path, n, pods):
    used = [q["status"]["used"]["pods"] for q in ok(client.get(path + "/resourcequotas"))["items"]]
    equal((len(used), set(used)), (n, {str(pods)}))


def many_quotas(members):
    first = members[0].client()
    path = namespace(first, "many")
    make_quotas(members, path, 0, MANY)
    answers = create_pods(members, path, 2 * FEW)
    equal(sorted(answers.values()), [201] * FEW + [403] * FEW, "exactly as many as fit")
    all_say(first, path, MANY, FEW)
    made = [n for n, code in answers.items() if code == 201]
    remove_pods(members, path, made[1:])
    all_say(first, path, MANY, 1)
    # More than one transaction holds: nothing is made that some do not count, but what is there can go.
    make_quotas(members, path, MANY, TOO_MANY)
    words = 'pods "late" is forbidden: namespace many has too many resource quotas for one write'
    refused(first.post(path + "/pods", pod("late")), 403, words)
    refused(first.post(path + "/pods?dryRun=All", pod("late")), 403, words)
    equal(first.delete(path + "/pods/%s?gracePeriodSeconds=0" % made[0]).code, 200)
    gone = [("/q%04d" % i, None) for i in range(TOO_MANY - 20, TOO_MANY)]
    on_one_connection(first, "DELETE", path + "/resourcequotas", gone)
    began = time.monotonic()
    created(first.post(path + "/pods", pod("late")))
    print("     a pod that %d quotas count: %.0f ms" % (TOO_MANY - len(gone), 1000 * (time.monotonic() - began)))
    used = {q["status"]["used"]["pods"] for q in ok(first.get(path + "/resourcequotas"))["items"]}
    check(used <= {"1", "2"}, "those that did not count the release do so later", used)


def main():
    cluster = Cluster(sys.argv[1], 3)
    try:
        cluster.start()
        one_quota(cluster.members[:2])
        many_quotas(cluster.members[:2])
        for m in cluster.members:
            equal(m.stop(), 0, "exit code")
        print("2 passed, 0 failed")
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
