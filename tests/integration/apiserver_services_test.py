#!/usr/bin/env python3
"""Services' side of the API: cluster IPs, node ports, dual stack, ServiceCIDRs, what the server keeps; over two
members, and over a crash.

    apiserver_services_test.py BINARY
"""
import subprocess
import sys
import threading
import time
import traceback

from apiserver_lib import Cluster, Server
from apiserver_test import NS, check, created, equal, failed, wait_for

SVC = NS + "/services"
NET = "/apis/networking.k8s.io/v1"
CIDRS, IPS = NET + "/servicecidrs", NET + "/ipaddresses"
FLAGS = ["--service-cluster-ip-range=10.90.0.0/24,fd00:90::/112", "--service-node-port-range=31000-31199"]
PORT = {"name": "a", "port": 80}


def service(name, **spec):
    return {"metadata": {"name": name}, "spec": dict({"ports": [dict(PORT)], "selector": {"a": "b"}}, **spec)}


def ip_objects(c):
    return {o["metadata"]["name"]: o for o in c.get(IPS).json["items"]}


def test_ip_addresses_name_their_service(c, _):
    s = created(c.post(SVC, service("named")))["spec"]
    equal((s["ipFamilies"], s["ipFamilyPolicy"], s["clusterIPs"]), (["IPv4"], "SingleStack", [s["clusterIP"]]))
    o = c.get(IPS + "/" + s["clusterIP"]).json
    equal(o["spec"]["parentRef"], {"resource": "services", "namespace": "default", "name": "named"})
    equal(o["metadata"]["labels"], {"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"})
    check(int(s["clusterIP"].split(".")[3]) >= 16, "the static band is left alone", s["clusterIP"])
    low = created(c.post(SVC, service("low", clusterIP="10.90.0.7")))
    equal(low["spec"]["clusterIPs"], ["10.90.0.7"])
    for name in ("named", "low"):
        c.delete(SVC + "/" + name)
    check(not {s["clusterIP"], "10.90.0.7"} & set(ip_objects(c)))


def test_refusals_say_why(c, _):
    created(c.post(SVC, service("has", type="NodePort", clusterIP="10.90.0.8", ports=[dict(PORT, nodePort=31001)])))
    failed(c.post(SVC, service("x", clusterIP="10.90.0.8")), 422, "Invalid",
           'spec.clusterIPs: Invalid value: ["10.90.0.8"]: failed to allocate IP 10.90.0.8: provided IP is already allocated')
    failed(c.post(SVC, service("x", clusterIP="192.168.0.1")), 422, "Invalid", "the provided network does not match the current range")
    failed(c.post(SVC, service("x", clusterIP="10.90.0.255")), 422, "Invalid",
           "the provided IP (10.90.0.255) is not in the valid range. The range of valid IPs is 10.90.0.0/24")
    failed(c.post(SVC, service("x", type="NodePort", ports=[dict(PORT, nodePort=31001)])), 422, "Invalid",
           "spec.ports[0].nodePort: Invalid value: 31001: provided port is already allocated")
    failed(c.post(SVC, service("x", type="NodePort", ports=[PORT, {"name": "b", "port": 81, "nodePort": 4}])), 422, "Invalid",
           "spec.ports[1].nodePort: Invalid value: 4: provided port is not in the valid range. The range of valid ports is 31000-31199")
    c.delete(SVC + "/has")


DUAL = [  # name, spec, families, policy, families of the addresses
    ("d1", {"ipFamilyPolicy": "PreferDualStack"}, ["IPv4", "IPv6"], "PreferDualStack"),
    ("d2", {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"], "RequireDualStack"),
    ("d3", {"ipFamilies": ["IPv6"]}, ["IPv6"], "SingleStack"),
    ("d4", {"clusterIP": "fd00:90::9"}, ["IPv6"], "SingleStack"),
    ("d5", {"ipFamilyPolicy": "PreferDualStack", "clusterIP": "10.90.0.9", "clusterIPs": ["10.90.0.9", "fd00:90::a"]}, ["IPv4", "IPv6"], "PreferDualStack"),
]


def test_dual_stack(c, _):
    for name, spec, families, policy in DUAL:
        s = created(c.post(SVC, service(name, **spec)))["spec"]
        equal((s["ipFamilies"], s["ipFamilyPolicy"]), (families, policy), name)
        equal([("IPv6" if ":" in ip else "IPv4") for ip in s["clusterIPs"]], families, name)
        equal(s["clusterIP"], s["clusterIPs"][0])
        check(set(s["clusterIPs"]) <= set(ip_objects(c)), name)
        if "clusterIPs" in spec:
            equal(s["clusterIPs"], spec["clusterIPs"])
    # An address stays as it was written, so that who writes it again changes nothing.
    s = created(c.post(SVC, service("d7", clusterIP="FD00:90::A7", ipFamilies=["IPv6"])))
    equal((s["spec"]["clusterIP"], "fd00:90::a7" in ip_objects(c)), ("FD00:90::A7", True))
    s["metadata"]["labels"] = {"a": "b"}
    equal(c.put(SVC + "/d7", s).code, 200)
    c.delete(SVC + "/d7")
    check("fd00:90::a7" not in ip_objects(c))
    # Down to one family: the second address goes. And up again.
    s = c.get(SVC + "/d1").json
    second = s["spec"]["clusterIPs"][1]
    r = c.patch(SVC + "/d1", {"spec": {"ipFamilyPolicy": "SingleStack"}}, "merge-patch")
    equal((r.code, r.json["spec"]["clusterIPs"], r.json["spec"]["ipFamilies"]), (200, s["spec"]["clusterIPs"][:1], ["IPv4"]), r)
    check(second not in ip_objects(c))
    r = c.patch(SVC + "/d1", {"spec": {"ipFamilyPolicy": "RequireDualStack"}}, "merge-patch")
    equal((r.code, r.json["spec"]["ipFamilies"], len(r.json["spec"]["clusterIPs"])), (200, ["IPv4", "IPv6"], 2), r)
    check(r.json["spec"]["clusterIPs"][1] in ip_objects(c))
    failed(c.patch(SVC + "/d1", {"spec": {"clusterIPs": r.json["spec"]["clusterIPs"][:1]}}, "merge-patch"), 422, "Invalid",
           "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary cluster IP")
    for spec, words in (
            ({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]}, "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"),
            ({"ipFamilies": ["IPv4"], "clusterIP": "fd00:90::44"}, "expected an IPv4 value as indicated by `ipFamilies[0]`"),
            ({"ipFamilyPolicy": "RequireDualStack", "clusterIP": "10.90.0.20", "clusterIPs": ["10.90.0.20", "10.90.0.21"]}, "may specify no more than one IP for each IP family"),
            ({"clusterIP": "None", "clusterIPs": ["None", "10.90.0.21"]}, "'None' must be the first and only value"),
            ({"clusterIP": "10.90.0.20", "clusterIPs": ["10.90.0.21"]}, "first value must match `clusterIP`")):
        failed(c.post(SVC, service("bad", **spec)), 422, "Invalid", words)
    free = created(c.post(SVC, {"metadata": {"name": "d6"}, "spec": {"clusterIP": "None", "ports": [PORT]}}))["spec"]
    equal((free["ipFamilies"], free["ipFamilyPolicy"], free["clusterIPs"]), (["IPv4", "IPv6"], "RequireDualStack", ["None"]))
    for name in ["d6"] + [d[0] for d in DUAL]:
        c.delete(SVC + "/" + name)
    equal(set(ip_objects(c)), {"10.90.0.1"})


def test_what_a_type_does_not_use_is_released(c, _):
    s = created(c.post(SVC, service("t", type="LoadBalancer", externalTrafficPolicy="Local")))["spec"]
    health, node, ip = s["healthCheckNodePort"], s["ports"][0]["nodePort"], s["clusterIP"]
    check(31000 <= health <= 31199 and health != node)
    s = c.patch(SVC + "/t", {"spec": {"externalTrafficPolicy": "Cluster"}}, "merge-patch").json["spec"]
    check("healthCheckNodePort" not in s, s)
    s = c.patch(SVC + "/t", {"spec": {"type": "ClusterIP"}}, "merge-patch").json["spec"]
    check("nodePort" not in s["ports"][0] and "externalTrafficPolicy" not in s, s)
    created(c.post(SVC, service("u", type="NodePort", ports=[dict(PORT, nodePort=node), {"name": "b", "port": 81, "nodePort": health}])))
    s = c.patch(SVC + "/t", {"spec": {"type": "ExternalName", "externalName": "example.com"}}, "merge-patch").json["spec"]
    check("clusterIP" not in s and "ipFamilies" not in s, s)
    check(ip not in ip_objects(c))
    s = c.patch(SVC + "/t", {"spec": {"type": "ClusterIP", "externalName": None}}, "merge-patch").json["spec"]
    check(s["clusterIP"] in ip_objects(c), s)
    # Ports keep their node ports by name, and a changed number frees the old one.
    s = c.get(SVC + "/u").json
    for p in s["spec"]["ports"]:
        p["port"] += 1000
        del p["nodePort"]
    s = c.put(SVC + "/u", s).json
    equal([p["nodePort"] for p in s["spec"]["ports"]], [node, health])
    s["spec"]["ports"][0]["nodePort"] = 31005
    equal(c.put(SVC + "/u", s).code, 200)
    created(c.post(SVC, service("v", type="NodePort", ports=[dict(PORT, nodePort=node)])))
    both = created(c.post(SVC, service("w", type="NodePort", ports=[{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}])))
    equal(len({p["nodePort"] for p in both["spec"]["ports"]}), 1, "TCP and UDP share")
    many = [{"name": "p%d" % i, "port": 100 + i} for i in range(40)]
    lots = created(c.post(SVC, service("lots", type="NodePort", ports=many)))
    equal(len({p["nodePort"] for p in lots["spec"]["ports"]}), 40)
    for name in "tuvw":
        c.delete(SVC + "/" + name)
    c.delete(SVC + "/lots")
    used = created(c.post(SVC, service("all", type="NodePort", ports=[dict(PORT, nodePort=lots["spec"]["ports"][39]["nodePort"])])))
    c.delete(SVC + "/" + used["metadata"]["name"])


def ready(c, name):
    r = c.get(CIDRS + "/" + name)
    return [(x["status"], x["reason"]) for x in r.json.get("status", {}).get("conditions", []) if x["type"] == "Ready"] if r.code == 200 else None


def test_service_cidrs(c, _):
    k = c.get(CIDRS + "/kubernetes").json
    equal(k["spec"]["cidrs"], ["10.90.0.0/24", "fd00:90::/112"])
    wait_for(lambda: ready(c, "kubernetes") == [("True", "")], "kubernetes to be ready", 60)
    made = created(c.post(CIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.91.0.0/28"]}}))
    check("networking.k8s.io/service-cidr-finalizer" in made["metadata"]["finalizers"])
    wait_for(lambda: ready(c, "more") == [("True", "")], "the new range to be ready", 60)
    created(c.post(SVC, service("there", clusterIP="10.91.0.5")))
    c.delete(CIDRS + "/more")
    wait_for(lambda: ready(c, "more") == [("False", "Terminating")], "the range to say that it is held", 60)
    failed(c.post(SVC, service("late", clusterIP="10.91.0.6")), 422, "Invalid", "does not match the current range")
    c.delete(SVC + "/there")
    wait_for(lambda: ready(c, "more") is None, "the range to go", 60)
    # One that another range holds goes at once, whatever is in it.
    created(c.post(CIDRS, {"metadata": {"name": "inner"}, "spec": {"cidrs": ["10.90.0.0/26"]}}))
    c.delete(CIDRS + "/inner")
    wait_for(lambda: ready(c, "inner") is None, "the inner range to go", 60)


CIDR_REFUSALS = [
    ([], "spec.cidrs: Required value: at least one CIDR required"),
    (["10.1.0.0/16", "fd00::/112", "10.2.0.0/16"], "may only hold up to 2 values"),
    (["10.1.0.0/16", "10.2.0.0/16"], "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"),
    (["x"], 'spec.cidrs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'),
    (["10.1.0.7/16"], 'spec.cidrs[0]: Invalid value: "10.1.0.7/16": must not have bits set beyond the prefix length'),
]


def test_rules_of_cidrs_and_addresses(c, _):
    for cidrs, words in CIDR_REFUSALS:
        failed(c.post(CIDRS, {"metadata": {"name": "bad"}, "spec": {"cidrs": cidrs}}), 422, "Invalid", words)
    created(c.post(CIDRS, {"metadata": {"name": "grows"}, "spec": {"cidrs": ["10.93.0.0/24"]}}))
    failed(c.patch(CIDRS + "/grows", {"spec": {"cidrs": ["10.94.0.0/24"]}}, "merge-patch"), 422, "Invalid",
           'spec.cidrs[0]: Invalid value: "10.94.0.0/24": field is immutable')
    equal(c.patch(CIDRS + "/grows", {"spec": {"cidrs": ["10.93.0.0/24", "fd00:93::/112"]}}, "merge-patch").code, 200)
    c.delete(CIDRS + "/grows")
    parent = {"resource": "widgets", "group": "example.com", "name": "w"}
    created(c.post(IPS, {"metadata": {"name": "10.90.0.99"}, "spec": {"parentRef": parent}}))
    failed(c.post(SVC, service("x", clusterIP="10.90.0.99")), 422, "Invalid", "provided IP is already allocated")
    failed(c.patch(IPS + "/10.90.0.99", {"spec": {"parentRef": {"name": "v"}}}, "merge-patch"), 422, "Invalid", "spec.parentRef", "field is immutable")
    failed(c.post(IPS, {"metadata": {"name": "fd00:0::1"}, "spec": {"parentRef": parent}}), 422, "Invalid", 'must be in canonical form ("fd00::1")')
    failed(c.post(IPS, {"metadata": {"name": "10.90.0.98"}, "spec": {}}), 422, "Invalid", "spec.parentRef: Required value")
    equal(c.delete(IPS + "/10.90.0.99").code, 200)


def many_ports(n, protocol="TCP"):
    return [{"name": "p%d" % i, "port": 1000 + i, "protocol": protocol} for i in range(n)]


def test_many_node_ports(c, _):
    """All claimed in the service's own transaction, and all let go in one."""
    for _ in range(2):
        s = created(c.post(SVC, service("many", type="NodePort", ports=many_ports(150))))
        given = {p["nodePort"] for p in s["spec"]["ports"]}
        equal(len(given), 150)
        check(given <= set(range(31000, 31200)))
        again = c.put(SVC + "/many", {**s, "spec": {**s["spec"], "ports": [{k: v for k, v in p.items() if k != "nodePort"} for p in s["spec"]["ports"]]}})
        equal((again.code, again.json["spec"]["ports"]), (200, s["spec"]["ports"]), again)
        r = c.patch(SVC + "/many", {"spec": {"type": "ClusterIP"}}, "merge-patch")
        equal((r.code, any("nodePort" in p for p in r.json["spec"]["ports"])), (200, False), r)
        equal(c.delete(SVC + "/many").code, 200)
    started = time.monotonic()
    failed(c.post(SVC, service("many", type="NodePort", ports=many_ports(1201))), 422, "Invalid", "must have at most 400 node ports")
    check(time.monotonic() - started < 10)


def test_claims_are_mended(c, server):
    port = 31149  # not one of the server's choosing: that could be the leaked one
    ip = created(c.post(SVC, service("mend", type="NodePort", ports=[dict(PORT, nodePort=port)])))["spec"]["clusterIP"]
    etcdctl = ["etcdctl", "--endpoints=http://127.0.0.1:%d" % server.client_port]
    equal(c.delete(IPS + "/" + ip).code, 200)
    subprocess.run(etcdctl + ["del", "/registry/c8s/nodeports/%d" % port], check=True, capture_output=True, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
    subprocess.run(etcdctl + ["put", "/registry/c8s/nodeports/31150", "default/nobody"], check=True, capture_output=True, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
    server.kill()
    server.start()
    c = server.client()
    wait_for(lambda: ip in ip_objects(c), "the address to be claimed again", 60)
    equal(ip_objects(c)[ip]["spec"]["parentRef"]["name"], "mend")
    wait_for(lambda: c.post(SVC, service("free", type="NodePort", ports=[dict(PORT, nodePort=31150)])).code == 201, "the leaked port to be free", 60)
    failed(c.post(SVC, service("x", type="NodePort", ports=[dict(PORT, nodePort=port)])), 422, "Invalid", "provided port is already allocated")
    for name in ("mend", "free"):
        c.delete(SVC + "/" + name)


def test_claims_of_what_cannot_be_read_stay(c, server):
    """A Service whose stored form is damaged keeps its address and port until it is gone."""
    s = created(c.post(SVC, service("opaque", type="NodePort")))["spec"]
    ip, port = s["clusterIP"], s["ports"][0]["nodePort"]

    def etcdctl(*args):
        subprocess.run(["etcdctl", "--endpoints=http://127.0.0.1:%d" % server.client_port, *args], check=True, capture_output=True,
                       env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})

    def restart():
        """With a port of nobody's, the last to be looked at: once it is free, all have been."""
        etcdctl("put", "/registry/c8s/nodeports/31199", "default/nobody")
        server.kill()
        server.start()
        last = service("last", type="NodePort", ports=[dict(PORT, nodePort=31199)])
        wait_for(lambda: server.client().post(SVC, last).code == 201, "the leaked port to be free", 60)
        server.client().delete(SVC + "/last")
        return server.client()

    etcdctl("put", "/registry/services/specs/default/opaque", "this is no Service")
    c = restart()
    equal(ip_objects(c)[ip]["spec"]["parentRef"]["name"], "opaque")
    failed(c.post(SVC, service("x", clusterIP=ip)), 422, "Invalid", "provided IP is already allocated")
    failed(c.post(SVC, service("x", type="NodePort", ports=[dict(PORT, nodePort=port)])), 422, "Invalid", "provided port is already allocated")
    etcdctl("del", "/registry/services/specs/default/opaque")
    c = restart()
    check(ip not in ip_objects(c), "a service that is gone has none")
    created(c.post(SVC, service("heir", type="NodePort", clusterIP=ip, ports=[dict(PORT, nodePort=port)])))
    c.delete(SVC + "/heir")


KEPT = [
    "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical", "/apis/scheduling.k8s.io/v1/priorityclasses/system-cluster-critical",
    "/apis/apiregistration.k8s.io/v1/apiservices/v1.", "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps",
    "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/catch-all", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/probes",
    "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/workload-low",
    "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", NS + "/services/kubernetes",
]


# Defaults that somebody made his own, and how he said so (the last one did by changing it: the annotation then tells).
OWN = [("service-accounts", "false"), ("kube-scheduler", "0"), ("system-nodes", None)]


def test_kept_objects_come_back(c, server):
    first = {}
    for path in KEPT:
        first[path] = c.get(path)
        equal(first[path].code, 200, path)
    equal(len(c.get("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas").json["items"]), 11)
    equal(len(c.get("/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations").json["items"]), 8)
    condition = first[KEPT[3]].json["status"]["conditions"][0]
    equal((condition["type"], condition["status"], condition["reason"]), ("Available", "True", "Local"))
    with open(server.pki.path("ca.crt")) as f:
        equal(first[KEPT[7]].json["data"]["client-ca-file"], f.read())
    for path in KEPT:
        equal(c.delete(path).code, 200, path)
    schema = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/"
    equal(c.patch(schema + "global-default", {"spec": {"matchingPrecedence": 7}}, "merge-patch").code, 200)
    for name, said in OWN:
        own = {"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": said}}, "spec": {"matchingPrecedence": 77}}
        equal(c.patch(schema + name, own, "merge-patch").code, 200)
    for name, said in (("old-default", "true"), ("dangling", None)):
        created(c.post(schema[:-1], {"metadata": {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": said} if said else {}}, "spec": {
            "priorityLevelConfiguration": {"name": "nowhere"}, "matchingPrecedence": 5000, "rules": []}}))
    for path in KEPT:
        wait_for(lambda: c.get(path).code == 200, path + " to come back", 60)
    equal(c.get(NS + "/services/kubernetes").json["spec"]["clusterIP"], "10.90.0.1")
    wait_for(lambda: c.get(schema + "global-default").json["spec"]["matchingPrecedence"] == 9900, "the spec to be restored", 60)
    wait_for(lambda: c.get(schema + "old-default").code == 404, "what is no default any more to go", 60)
    wait_for(lambda: "status" in c.get(schema + "dangling").json and c.get(schema + "dangling").json["status"].get("conditions"), "its status", 60)
    condition = c.get(schema + "dangling").json["status"]["conditions"][0]
    equal((condition["type"], condition["status"], condition["reason"], condition["message"]), ("Dangling", "True", "NotFound",
          'This FlowSchema references the PriorityLevelConfiguration object named "nowhere" but there is no such object'))
    for name, said in OWN:
        wait_for(lambda: c.get(schema + name).json["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] in ("false", "0"), name, 60)
        equal(c.get(schema + name).json["spec"]["matchingPrecedence"], 77, name)


def test_mandatory_flow_control_is_fixed(c, server):
    """What the server keeps is what validation wants: it may be labelled, and no more."""
    base = "/apis/flowcontrol.apiserver.k8s.io/v1/"
    fixed = [base + kind + "/" + name for kind in ("flowschemas", "prioritylevelconfigurations") for name in ("exempt", "catch-all")]
    for path in fixed:
        wait_for(lambda: c.get(path).code == 200, path, 60)
        equal(c.patch(path, {"metadata": {"labels": {"a": "b"}}}, "merge-patch").code, 200, path)
    refused = [c.patch(path, {"spec": spec}, "merge-patch") for path, spec in zip(
        fixed, ({"matchingPrecedence": 3}, {"rules": []}, {"type": "Limited"}, {"limited": {"nominalConcurrencyShares": 9}}))]
    for r, end in zip(refused, ("spec of 'exempt' must equal the fixed value", "spec of 'catch-all' must equal the fixed value",
                                "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value]",
                                "spec of 'catch-all' must equal the fixed value")):
        equal((r.code, r.json["message"].endswith(end)), (422, True), r.json)
    equal(c.patch(fixed[2], {"spec": {"exempt": {"nominalConcurrencyShares": 3}}}, "merge-patch").json["spec"]["exempt"],
          {"nominalConcurrencyShares": 3, "lendablePercent": 0})


def concurrent(cluster):
    """Both members hand out the last addresses and ports of a small range: each exactly once, also when one dies."""
    out, lock = [], threading.Lock()

    def work(i):
        for k in range(25):
            name = "c%d-%d" % (i, k)
            try:
                r = cluster.members[i % 2].client().post(SVC, service(name, type="NodePort"))
            except OSError:
                continue  # its member was killed: whether it was written is seen in the list
            with lock:
                out.append(r.code)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    wait_for(lambda: len(out) > 30, "some services", 60)
    cluster.members[1].kill()
    [t.join() for t in threads]
    cluster.members[1].start()
    c = cluster.members[0].client()
    items = [s["spec"] for s in c.get(SVC).json["items"]]
    ips = [s["clusterIP"] for s in items]
    ports = [p["nodePort"] for s in items for p in s["ports"] if "nodePort" in p]
    equal((len(set(ips)), len(set(ports))), (len(ips), len(ips) - 1))
    equal(set(ip_objects(c)), set(ips))
    check(len(ips) > 30)
    # All are let go, and all can be had again.
    for s in c.get(SVC).json["items"]:
        if s["metadata"]["name"] != "kubernetes":
            equal(cluster.members[0].client().delete(SVC + "/" + s["metadata"]["name"]).code, 200)
    equal(set(ip_objects(cluster.members[1].client())), {"10.90.0.1"})


def run(name, fn, *args):
    started = time.monotonic()
    try:
        fn(*args)
        print("ok   %-45s %.2f s" % (name, time.monotonic() - started), flush=True)
        return 0
    except Exception:
        print("FAIL %s" % name, flush=True)
        traceback.print_exc(limit=4)
        return 1


def main():
    bad = 0
    server = Server(sys.argv[1], FLAGS)
    try:
        server.start()
        for name, fn in sorted((n, f) for n, f in globals().items() if n.startswith("test_")):
            if not sys.argv[2:] or any(w in name for w in sys.argv[2:]):
                bad += run(name, fn, server.client(), server)
        if server.stop() != 0:
            bad += 1
            print("FAIL exit code\n" + server.log_tail())
    finally:
        server.remove()
    if not sys.argv[2:] or "concurrent" in sys.argv[2:]:
        cluster = Cluster(sys.argv[1], 3)
        for m in cluster.members:
            m.flags += FLAGS
        try:
            cluster.start()
            bad += run("concurrent_allocation", concurrent, cluster)
        finally:
            cluster.remove()
    print("%d failed" % bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
