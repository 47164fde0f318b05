#!/usr/bin/python3
"""The official Python client (python3-kubernetes) against the API server: objects, watches, reviews, leader
election, and an operator that reconciles a custom resource of its own.

    python_client_test.py BINARY

Debian's interpreter, since the client is Debian's package; exit code 77 where it is not installed.
"""
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
import traceback

try:
    from kubernetes import client, config, dynamic, utils, watch
    from kubernetes.leaderelection import electionconfig, leaderelection
    from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
except ImportError:
    print("SKIP: python3-kubernetes is not installed")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
import yaml  # noqa: E402  (the client brings it)
from apiserver_lib import Server  # noqa: E402
from tour_test import kubeconfig  # noqa: E402

NS = "default"


def eventually(what, probe, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = probe()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("not within %d s: %s" % (seconds, what))


def refused(status, call, *args, **kw):
    try:
        call(*args, **kw)
    except client.ApiException as e:
        assert e.status == status, e
        return e
    raise AssertionError("was not refused with %d" % status)


def deployment(name, replicas=0):
    labels = {"app": name}
    pod = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels),
                                   spec=client.V1PodSpec(containers=[client.V1Container(name="web", image="c8s.io/web:1")]))
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name, labels=labels), spec=client.V1DeploymentSpec(
        replicas=replicas, selector=client.V1LabelSelector(match_labels=labels), template=pod))


def test_objects():
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    made = core.create_namespaced_config_map(NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py"), data={"a": "b"}))
    assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo, made.metadata
    assert core.read_namespaced_config_map("py", NS).data == {"a": "b"}
    made.data["a"] = "c"
    replaced = core.replace_namespaced_config_map("py", NS, made)
    assert replaced.data == {"a": "c"} and replaced.metadata.resource_version != made.metadata.resource_version
    refused(409, core.replace_namespaced_config_map, "py", NS, made)
    refused(409, core.create_namespaced_config_map, NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py")))
    assert core.patch_namespaced_config_map("py", NS, {"data": {"x": "y"}}).data == {"a": "c", "x": "y"}
    refused(404, core.read_namespaced_config_map, "none", NS)
    apps.create_namespaced_deployment(NS, deployment("py", 2))
    scale = apps.read_namespaced_deployment_scale("py", NS)
    assert scale.spec.replicas == 2 and scale.status.selector == "app=py", scale
    scale.spec.replicas = 0
    assert not apps.replace_namespaced_deployment_scale("py", NS, scale).spec.replicas  # a zero is left out
    invalid = refused(422, apps.create_namespaced_deployment, NS, deployment("Py"))
    assert "RFC 1123" in invalid.body, invalid.body
    listed = core.list_config_map_for_all_namespaces(field_selector="metadata.name=py")
    assert [i.metadata.name for i in listed.items] == ["py"], listed
    for i in range(25):
        core.create_namespaced_secret(NS, client.V1Secret(metadata=client.V1ObjectMeta(name="s%02d" % i, labels={"many": "yes"}),
                                                          string_data={"n": str(i)}))
    names, token = [], None
    while True:
        page = core.list_namespaced_secret(NS, label_selector="many in (yes)", limit=10, _continue=token)
        names += [s.metadata.name for s in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == ["s%02d" % i for i in range(25)], names
    assert core.delete_collection_namespaced_secret(NS, label_selector="many=yes").status in (None, "Success")
    eventually("the secrets are gone", lambda: not core.list_namespaced_secret(NS, label_selector="many=yes").items)
    assert core.delete_namespaced_config_map("py", NS).status == "Success"


def test_watch():
    core, seen = client.CoreV1Api(), []
    version = core.list_namespaced_config_map(NS).metadata.resource_version

    def follow():
        for e in watch.Watch().stream(core.list_namespaced_config_map, NS, resource_version=version, timeout_seconds=20):
            seen.append((e["type"], e["object"].metadata.name, (e["object"].data or {}).get("n")))
            if e["type"] == "DELETED":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    core.create_namespaced_config_map(NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="w"), data={"n": "1"}))
    core.patch_namespaced_config_map("w", NS, {"data": {"n": "2"}})
    core.delete_namespaced_config_map("w", NS)
    thread.join(30)
    assert seen == [("ADDED", "w", "1"), ("MODIFIED", "w", "2"), ("DELETED", "w", "2")], seen


def test_reviews():
    auth = client.AuthorizationV1Api()
    ask = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(verb="create", resource="pods", namespace=NS)))
    assert auth.create_self_subject_access_review(ask).status.allowed
    ask = client.V1SubjectAccessReview(spec=client.V1SubjectAccessReviewSpec(user="nobody", resource_attributes=ask.spec.resource_attributes))
    assert not auth.create_subject_access_review(ask).status.allowed
    version = client.VersionApi().get_code()
    assert (version.major, version.minor) == ("1", "35"), version
    groups = {g.name for g in client.ApisApi().get_api_versions().groups}
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= groups, groups


def test_from_yaml():
    docs = yaml.safe_load_all("""
apiVersion: v1
kind: Service
metadata: {name: from-yaml}
spec: {selector: {app: x}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: from-yaml}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
""")
    for doc in docs:
        utils.create_from_dict(client.ApiClient(), doc, namespace=NS)
    service = client.CoreV1Api().read_namespaced_service("from-yaml", NS)
    assert service.spec.cluster_ip and service.spec.ports[0].target_port == "http", service.spec


def candidate(name, config_file):
    """A process of its own: says so when it leads, and goes on until killed."""
    config.load_kube_config(config_file)

    def lead():
        print(name, "leads", flush=True)
        time.sleep(60)

    leaderelection.LeaderElection(electionconfig.Config(
        ConfigMapLock("py-lock", NS, name), lease_duration=3, renew_deadline=2, retry_period=1, onstarted_leading=lead,
        onstopped_leading=lambda: None)).run()


def test_leader_election():
    """Two candidates: one leads, and when it is killed the other does."""
    processes = {}
    try:
        for name in ("one", "two"):
            processes[name] = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--candidate", name, config_file],
                                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        first = who_leads(processes)
        record = client.CoreV1Api().read_namespaced_config_map("py-lock", NS).metadata.annotations
        assert '"holderIdentity": "%s"' % first in str(record), record
        processes[first].kill()
        processes.pop(first).wait()
        assert who_leads(processes) != first
    finally:
        for p in processes.values():
            p.kill()
            p.wait()


def who_leads(processes, seconds=60):
    """Who says first that it leads."""
    ready, _, _ = select.select([p.stdout for p in processes.values()], [], [], seconds)
    assert ready, "nobody leads"
    line = ready[0].readline().split()
    assert line[1:] == ["leads"], line
    return line[0]


class Operator(threading.Thread):
    """Each Stop gets a ConfigMap of its town, owned by it, and its status says so."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stops, self.core, self.failure = client.CustomObjectsApi(), client.CoreV1Api(), None

    def reconcile(self, stop):
        meta = stop["metadata"]
        owner = client.V1OwnerReference(api_version=stop["apiVersion"], kind="Stop", name=meta["name"], uid=meta["uid"], controller=True)
        wanted = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="stop-" + meta["name"], owner_references=[owner]),
                                    data={"town": stop["spec"]["town"], "minutes": str(stop["spec"]["minutes"])})
        try:
            self.core.create_namespaced_config_map(NS, wanted)
        except client.ApiException as e:
            if e.status != 409:
                raise
            self.core.replace_namespaced_config_map(wanted.metadata.name, NS, wanted)
        if not stop.get("status", {}).get("visited"):
            self.stops.patch_namespaced_custom_object_status("tour.example.com", "v1", NS, "stops", meta["name"],
                                                             {"status": {"visited": True}})

    def run(self):
        try:
            listed = self.stops.list_namespaced_custom_object("tour.example.com", "v1", NS, "stops")
            for stop in listed["items"]:
                self.reconcile(stop)
            for e in watch.Watch().stream(self.stops.list_namespaced_custom_object, "tour.example.com", "v1", NS, "stops",
                                          resource_version=listed["metadata"]["resourceVersion"], timeout_seconds=40):
                if e["type"] in ("ADDED", "MODIFIED"):
                    self.reconcile(e["object"])
        except Exception as e:  # told by the test
            self.failure = e


def test_operator():
    with open(os.path.join(HERE, "../e2e/tour/crd.yaml")) as f:
        crd = yaml.safe_load(f)
    extensions, stops, core = client.ApiextensionsV1Api(), client.CustomObjectsApi(), client.CoreV1Api()
    extensions.create_custom_resource_definition(crd)
    eventually("the type is established", lambda: any(
        c.type == "Established" and c.status == "True"
        for c in extensions.read_custom_resource_definition("stops.tour.example.com").status.conditions or []), 5)
    operator = Operator()

    def listable():
        try:
            return stops.list_namespaced_custom_object("tour.example.com", "v1", NS, "stops")["kind"] == "StopList"
        except client.ApiException:
            return False

    eventually("the type is served", listable, 60)
    operator.start()
    made = stops.create_namespaced_custom_object("tour.example.com", "v1", NS, "stops", {
        "apiVersion": "tour.example.com/v1", "kind": "Stop", "metadata": {"name": "bern"}, "spec": {"town": "Bern"}})
    assert made["spec"]["minutes"] == 30, made
    refused(422, stops.create_namespaced_custom_object, "tour.example.com", "v1", NS, "stops", {
        "apiVersion": "tour.example.com/v1", "kind": "Stop", "metadata": {"name": "thun"}, "spec": {"town": "thun"}})

    def config_map():
        assert not operator.failure, operator.failure
        try:
            return core.read_namespaced_config_map("stop-bern", NS).data
        except client.ApiException:
            return None

    eventually("the operator made its config map", lambda: config_map() == {"town": "Bern", "minutes": "30"})
    eventually("and wrote the status", lambda: stops.get_namespaced_custom_object(
        "tour.example.com", "v1", NS, "stops", "bern").get("status") == {"visited": True})
    stops.patch_namespaced_custom_object("tour.example.com", "v1", NS, "stops", "bern", {"spec": {"minutes": 5}})
    eventually("it follows a change", lambda: (config_map() or {}).get("minutes") == "5")
    resource = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="tour.example.com/v1", kind="Stop")
    assert resource.get(name="bern", namespace=NS).spec.town == "Bern"
    resource.delete(name="bern", namespace=NS)
    extensions.delete_custom_resource_definition("stops.tour.example.com")
    eventually("the type is gone", lambda: not listable(), 60)


config_file = None


def main():
    global config_file
    if sys.argv[1] == "--candidate":
        candidate(*sys.argv[2:])
        return
    server = Server(os.path.abspath(sys.argv[1]))
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="c8s-python-") as work:
        try:
            server.start()
            config_file = kubeconfig(server, os.path.join(work, "config"))
            config.load_kube_config(config_file)
            for name, test in list(globals().items()):
                if not name.startswith("test_") or not callable(test):
                    continue
                try:
                    test()
                    passed += 1
                    print("ok   " + name, flush=True)
                except (AssertionError, client.ApiException, OSError, KeyError, ValueError) as e:
                    failed += 1
                    print("FAIL %s: %s: %s\n%s" % (name, type(e).__name__, e, traceback.format_exc().strip()[-800:]), flush=True)
            code = server.stop()
            if code:
                failed += 1
                print("FAIL the server ended with %d:\n%s" % (code, server.log_tail()))
        finally:
            server.remove()
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
