#!/usr/bin/python3
"""Into a running container by the official Python client (python3-kubernetes), which speaks WebSocket: exec with input, exit codes and
much output, port-forward, the log as it comes.

    exec_client_test.py        needs KUBECONFIG and the example image in the nodes (c8s up has done both); leaves nothing behind

Debian's interpreter, since the client is Debian's package; exit code 77 where it is not installed.
"""
import os
import socket
import sys
import threading
import time
import traceback

try:
    from kubernetes import client, config, stream, watch
except ImportError:
    print("SKIP: python3-kubernetes is not installed")
    sys.exit(77)

IMAGE = os.environ.get("C8S_TEST_IMAGE", "c8s.io/web:1")
NS, POD = "default", "python-box"
BYTES = 3000000


def core():
    """An API of its own: the stream functions change the one they are given."""
    return client.CoreV1Api(client.ApiClient())


def pod():
    probe = client.V1Probe(http_get=client.V1HTTPGetAction(path="/", port=8080), period_seconds=1)
    box = client.V1Container(name="web", image=IMAGE, ports=[client.V1ContainerPort(container_port=8080)], readiness_probe=probe)
    return client.V1Pod(metadata=client.V1ObjectMeta(name=POD),
                        spec=client.V1PodSpec(termination_grace_period_seconds=0, containers=[box]))


def execute(*command, **flags):
    flags = {"stderr": True, "stdin": False, "stdout": True, "tty": False, **flags}
    return stream.stream(core().connect_get_namespaced_pod_exec, POD, NS, command=list(command), **flags)


def test_exec():
    assert execute("echo", "hello") == "hello\n"
    out = execute("sh", "-c", "echo out; echo err >&2", _preload_content=False)
    out.run_forever(timeout=60)
    assert (out.read_stdout(), out.read_stderr(), out.returncode) == ("out\n", "err\n", 0)
    out = execute("sh", "-c", "exit 7", _preload_content=False)
    out.run_forever(timeout=60)
    assert out.returncode == 7, out.returncode
    assert len(execute("head", "-c", str(BYTES), "/dev/zero")) == BYTES


def test_exec_with_input():
    shell = execute("sh", stdin=True, _preload_content=False)
    for i in range(20):
        shell.write_stdin("echo line %d\n" % i)
        assert shell.readline_stdout(timeout=60) == "line %d" % i
    shell.write_stdin("exit 3\n")
    shell.run_forever(timeout=60)
    assert shell.returncode == 3, shell.returncode


def test_exec_in_a_container_that_is_not_there():
    try:
        execute("true", container="nope")
    except client.ApiException as e:
        assert e.status in (0, 400), e  # 0: of a refused upgrade the client keeps the text only
        assert "400" in str(e), e
        return
    raise AssertionError("was not refused")


def ask(sock):
    sock.settimeout(60)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := sock.recv(65536):
        answer += piece
    assert b"200 OK" in answer and b"hello from" in answer, answer[:300]


def test_port_forward():
    forwarded = stream.portforward(core().connect_get_namespaced_pod_portforward, POD, NS, ports="8080")
    ask(forwarded.socket(8080))
    assert forwarded.error(8080) is None, forwarded.error(8080)
    several = [stream.portforward(core().connect_get_namespaced_pod_portforward, POD, NS, ports="8080") for _ in range(8)]
    threads = [threading.Thread(target=ask, args=(f.socket(8080),)) for f in several]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not any(f.error(8080) for f in several)


def test_port_forward_where_nobody_listens():
    forwarded = stream.portforward(core().connect_get_namespaced_pod_portforward, POD, NS, ports="9")
    sock = forwarded.socket(9)
    sock.settimeout(60)
    try:
        sock.sendall(b"x")
        while sock.recv(100):
            pass
    except OSError:
        pass
    until = time.monotonic() + 60
    while not forwarded.error(9):
        assert time.monotonic() < until, "no error came"
        time.sleep(0.1)
    assert "9" in forwarded.error(9), forwarded.error(9)


def test_log_as_it_comes():
    w = watch.Watch()
    lines = []
    for line in w.stream(core().read_namespaced_pod_log, POD, NS, _request_timeout=60):
        lines.append(line)
        w.stop()
    assert "listening" in lines[0], lines


def main():
    config.load_kube_config(os.environ["KUBECONFIG"])
    failed = 0
    core().create_namespaced_pod(NS, pod())
    try:
        until = time.monotonic() + 90
        while not any(c.type == "Ready" and c.status == "True" for c in core().read_namespaced_pod(POD, NS).status.conditions or []):
            assert time.monotonic() < until, "the pod is not ready"
            time.sleep(0.2)
        for name, test in [(n, t) for n, t in globals().items() if n.startswith("test_")]:
            try:
                test()
                print("ok   python client: " + name, flush=True)
            except Exception:  # pylint: disable=broad-except
                failed += 1
                print("FAIL python client: " + name, flush=True)
                traceback.print_exc(file=sys.stdout)
    finally:
        core().delete_namespaced_pod(POD, NS)
    return 1 if failed else 0


if __name__ == "__main__":
    socket.setdefaulttimeout(60)
    sys.exit(main())
