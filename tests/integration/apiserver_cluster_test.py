#!/usr/bin/env python3
"""Three API servers over one replicated store: every member serves everything, and one may die.

    apiserver_cluster_test.py BINARY
"""
import sys
import threading
import time
import traceback

from apiserver_lib import Cluster
from apiserver_test import CM, NS, check, config_map, created, equal, wait_for


def test_reads_after_writes_on_other_members(cluster):
    clients = [m.client() for m in cluster.members]
    for i in range(30):
        created(clients[i % 3].post(CM, config_map("rw%d" % i)))
        equal(clients[(i + 1) % 3].get(CM + "/rw%d" % i).code, 200, "linearizable")
    rv = clients[0].get(CM).json["metadata"]["resourceVersion"]
    with clients[2].watch(CM + "?watch=1&resourceVersion=" + rv) as w:
        made = created(clients[1].post(CM, config_map("seen")))
        equal(w.next()["object"]["metadata"]["uid"], made["metadata"]["uid"])
    stale = clients[0].get(CM + "/seen").json
    equal(clients[1].patch(CM + "/seen", {"data": {"a": "b"}}, "merge-patch").code, 200)
    equal(clients[2].put(CM + "/seen", stale).code, 409)


def test_addresses_are_unique_over_members(cluster):
    ips, lock = [], threading.Lock()

    def work(i):
        c = cluster.members[i % 3].client()
        for k in range(8):
            s = created(c.post(NS + "/services", {"metadata": {"name": "u%d-%d" % (i, k)},
                                                  "spec": {"type": "NodePort", "ports": [{"port": 80}]}}))
            with lock:
                ips.append((s["spec"]["clusterIP"], s["spec"]["ports"][0]["nodePort"]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal((len(ips), len({a for a, _ in ips}), len({b for _, b in ips})), (48, 48, 48))


def addresses(client):
    a = client.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    return {e["addresses"][0] for e in a.json["endpoints"]} if a.code == 200 else set()


def test_zz_a_member_dies_and_comes_back(cluster):
    everyone = {m.address for m in cluster.members}
    wait_for(lambda: addresses(cluster.members[0].client()) == everyone, "all members among the endpoints", 60)
    for victim in cluster.members[:]:
        rest = [m for m in cluster.members if m is not victim]
        victim.kill()
        died = time.monotonic()
        wait_for(lambda: rest[0].client().post(CM, config_map("during-" + victim.name)).code in (201, 409), "a write", 60)
        print("     writes go on %.2f s after %s died" % (time.monotonic() - died, victim.name))
        for m in rest:
            equal(m.client().get(CM + "/during-" + victim.name).code, 200)
        wait_for(lambda: addresses(rest[1].client()) == everyone - {victim.address}, "the dead member's endpoint to go", 60)
        victim.start()
        wait_for(lambda: victim.client().get(CM + "/during-" + victim.name).code == 200, "the member to catch up", 60)
        wait_for(lambda: addresses(victim.client()) == everyone, "its endpoint to come back", 60)


def main():
    cluster = Cluster(sys.argv[1], 3)
    bad = 0
    tests = sorted((n, f) for n, f in globals().items() if n.startswith("test_"))
    try:
        cluster.start()
        for name, run in tests:
            started = time.monotonic()
            try:
                run(cluster)
                print("ok   %-45s %.2f s" % (name, time.monotonic() - started), flush=True)
            except Exception:
                bad += 1
                print("FAIL %s" % name, flush=True)
                traceback.print_exc(limit=4)
        for m in cluster.members:
            code = m.stop()
            if code != 0:
                bad += 1
                print("FAIL exit code of %s: %d\n%s" % (m.name, code, m.log_tail()))
    finally:
        cluster.remove()
    print("%d passed, %d failed" % (len(tests) - min(bad, len(tests)), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
