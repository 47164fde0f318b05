"""Ports for the servers of a test, which no other test gets while this one runs.

Tests run beside each other, those of both builds too. A port that the system gives (bind to 0, close, use later) may in the
meantime be somebody's client's, and a random number may be another test's. So each process reserves blocks of 200 ports below
those that the system gives to clients: it holds a lock on the block's file as long as it lives. tests/lib.sh (`reserve_ports`)
and tests/test_port.h keep to the same rules.
"""
import fcntl
import os
import random
import socket
import threading

FIRST, BLOCK, BLOCKS = 12000, 200, 90  # up to the node ports
_lock = threading.Lock()
_held = {"pid": None, "file": None, "left": []}


def _reserve():
    """A block that nobody has, for this process: a forked one gets its own."""
    directory = f"/tmp/c8s-test-ports-{os.getuid()}"
    os.makedirs(directory, exist_ok=True)
    for block in random.SystemRandom().sample(range(BLOCKS), BLOCKS):
        file = open(os.path.join(directory, str(block)), "w")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        first = FIRST + block * BLOCK
        files = _held["file"] or [] if _held["pid"] == os.getpid() else []
        _held.update(pid=os.getpid(), file=[*files, file], left=list(range(first, first + BLOCK)))
        return
    raise AssertionError("all blocks of ports are reserved: see " + directory)


def _unused(port):
    """Something that is no test may listen there."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("", port))
            return True
        except OSError:
            return False


def free_ports(n):
    """n ports in a row; no port is given twice."""
    with _lock:
        while True:
            if _held["pid"] != os.getpid() or len(_held["left"]) < n:
                _reserve()
            ports, _held["left"] = _held["left"][:n], _held["left"][n:]
            if all(_unused(p) for p in ports):
                return ports


def free_port():
    return free_ports(1)[0]
