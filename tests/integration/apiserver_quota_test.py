#!/usr/bin/env python3
"""ResourceQuota is exact: 50 clients create pods at two members of a cluster at once, some delete theirs.

    apiserver_quota_test.py BINARY
"""
import sys
import threading
import time

from apiserver_admission_test import check, created, equal, namespace, ok, pod, quota
from apiserver_lib import Client, Cluster

CREATORS, HARD = 50, 30


def wait_for_quota(members, path):
    """Every worker of every member knows the quota once a dry run is refused there many times in a row."""
    deadline = time.monotonic() + 60
    for m in members:
        row = 0
        while row < 16:
            answer = m.client().post(path + "/pods?dryRun=All", pod("probe"))
            row = row + 1 if answer.code == 403 else 0
            check(time.monotonic() < deadline, "the quota never took effect", answer)


def main():
    cluster = Cluster(sys.argv[1], 3)
    try:
        cluster.start()
        first = cluster.members[0].client()
        path = namespace(first, "exact")
        created(first.post(path + "/resourcequotas", quota("q", pods="0")))
        wait_for_quota(cluster.members[:2], path)
        ok(first.patch(path + "/resourcequotas/q", {"spec": {"hard": {"pods": str(HARD)}}}))
        answers, lock = {}, threading.Lock()

        def create(i):
            member = cluster.members[i % 2]
            name = "p%d" % i
            code = Client(member.port, member.pki).post(path + "/pods", pod(name)).code
            with lock:
                answers[name] = code

        threads = [threading.Thread(target=create, args=(i,)) for i in range(CREATORS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        codes = sorted(answers.values())
        equal(codes, [201] * HARD + [403] * (CREATORS - HARD), "exactly as many as fit")
        equal(len(ok(first.get(path + "/pods"))["items"]), HARD)
        equal(ok(first.get(path + "/resourcequotas/q"))["status"]["used"]["pods"], str(HARD))
        made = [n for n, code in answers.items() if code == 201]

        def remove(i, name):
            member = cluster.members[i % 2]
            equal(Client(member.port, member.pki).delete(path + "/pods/%s?gracePeriodSeconds=0" % name).code, 200)

        threads = [threading.Thread(target=remove, args=(i, n)) for i, n in enumerate(made[:20])]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        equal(ok(first.get(path + "/resourcequotas/q"))["status"]["used"]["pods"], str(HARD - 20), "released")
        for m in cluster.members:
            equal(m.stop(), 0, "exit code")
        print("1 passed, 0 failed")
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
