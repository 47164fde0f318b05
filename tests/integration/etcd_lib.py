"""etcd's v3 API from Python without a client library: messages from proto/etcd, calls and streams on grpc's C core."""
import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

try:
    import grpc
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError:
    print("SKIP: python3-grpcio is not installed")
    sys.exit(77)
if not shutil.which("protoc"):
    print("SKIP: protoc is not installed")
    sys.exit(77)

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../proto/etcd")


def load_messages(directory):
    out = os.path.join(directory, "set")
    files = ["kv", "rpc", "lock", "election", "health"]
    subprocess.run(["protoc", "-I" + PROTO, "--descriptor_set_out=" + out] + [f + ".proto" for f in files], check=True)
    files = descriptor_pb2.FileDescriptorSet.FromString(open(out, "rb").read())
    pool = descriptor_pool.DescriptorPool()
    classes = {}
    for f in files.file:
        pool.Add(f)
    for f in files.file:
        for name in pool.FindFileByName(f.name).message_types_by_name:
            d = pool.FindMessageTypeByName(f.package + "." + name)
            get = getattr(message_factory, "GetMessageClass", None)
            classes[name] = get(d) if get else message_factory.MessageFactory(pool).GetPrototype(d)
    return classes


class Messages:
    pass


M = Messages()

METHODS = {
    "Range": ("/etcdserverpb.KV/Range", "RangeRequest", "RangeResponse"),
    "Put": ("/etcdserverpb.KV/Put", "PutRequest", "PutResponse"),
    "DeleteRange": ("/etcdserverpb.KV/DeleteRange", "DeleteRangeRequest", "DeleteRangeResponse"),
    "Txn": ("/etcdserverpb.KV/Txn", "TxnRequest", "TxnResponse"),
    "Compact": ("/etcdserverpb.KV/Compact", "CompactionRequest", "CompactionResponse"),
    "LeaseGrant": ("/etcdserverpb.Lease/LeaseGrant", "LeaseGrantRequest", "LeaseGrantResponse"),
    "LeaseRevoke": ("/etcdserverpb.Lease/LeaseRevoke", "LeaseRevokeRequest", "LeaseRevokeResponse"),
    "LeaseTimeToLive": ("/etcdserverpb.Lease/LeaseTimeToLive", "LeaseTimeToLiveRequest", "LeaseTimeToLiveResponse"),
    "LeaseLeases": ("/etcdserverpb.Lease/LeaseLeases", "LeaseLeasesRequest", "LeaseLeasesResponse"),
    "Lock": ("/v3lockpb.Lock/Lock", "LockRequest", "LockResponse"),
    "Unlock": ("/v3lockpb.Lock/Unlock", "UnlockRequest", "UnlockResponse"),
    "Campaign": ("/v3electionpb.Election/Campaign", "CampaignRequest", "CampaignResponse"),
    "Proclaim": ("/v3electionpb.Election/Proclaim", "ProclaimRequest", "ProclaimResponse"),
    "Leader": ("/v3electionpb.Election/Leader", "LeaderRequest", "LeaderResponse"),
    "Resign": ("/v3electionpb.Election/Resign", "ResignRequest", "ResignResponse"),
    "MemberList": ("/etcdserverpb.Cluster/MemberList", "MemberListRequest", "MemberListResponse"),
    "Status": ("/etcdserverpb.Maintenance/Status", "StatusRequest", "StatusResponse"),
    "Check": ("/grpc.health.v1.Health/Check", "HealthCheckRequest", "HealthCheckResponse"),
}


with tempfile.TemporaryDirectory(prefix="c8s-proto-") as _d:
    for _name, _class in load_messages(_d).items():
        setattr(M, _name, _class)


def wait_port(port):
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.02)


class Client:
    """Calls of one endpoint."""

    def __init__(self, port):
        self.port = port
        wait_port(port)  # grpc tries again only after a while
        self.calls = {}
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[
            ("grpc.max_receive_message_length", 256 << 20), ("grpc.max_send_message_length", 256 << 20),
            ("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 500)])

    def call(self, name, request, timeout=20, metadata=None):
        """(status name, message, response)"""
        path, _, response = METHODS[name]
        f = self.calls.get(name)
        if not f:
            f = self.calls[name] = self.channel.unary_unary(
                path, request_serializer=lambda m: m.SerializeToString(),
                response_deserializer=getattr(M, response).FromString)
        try:
            return "OK", "", f(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as e:
            return e.code().name, e.details(), None

    def start(self, name, request):
        """The same in a thread of its own; get() gives what call gives."""
        answer = queue.Queue()
        threading.Thread(target=lambda: answer.put(self.call(name, request, 60)), daemon=True).start()
        return answer

    def stream(self, path, request_class, response_class, metadata=None):
        return Stream(self, path, getattr(M, request_class), getattr(M, response_class), metadata)

    def watch(self, metadata=None):
        return self.stream("/etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse", metadata)

    def keep_alive(self, metadata=None):
        return self.stream("/etcdserverpb.Lease/LeaseKeepAlive", "LeaseKeepAliveRequest", "LeaseKeepAliveResponse", metadata)

    def post(self, path, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data=data, timeout=20) as r:
                return r.status, json.loads(r.read())
        except urllib.error.HTTPError as e:
            text = e.read()
            return e.code, json.loads(text) if text.startswith(b"{") else {}


class Stream:
    """A bidirectional stream: send(), and responses in `seen` as they come."""

    def __init__(self, client, path, request_class, response_class, metadata):
        self.request_class = request_class
        self.requests = queue.Queue()
        self.seen = []
        self.end = None
        self.changed = threading.Condition()
        f = client.channel.stream_stream(path, request_serializer=lambda m: m.SerializeToString(),
                                         response_deserializer=response_class.FromString)
        self.responses = f(iter(self.requests.get, None), metadata=metadata)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            for r in self.responses:
                with self.changed:
                    self.seen.append(r)
                    self.changed.notify_all()
            end = ("OK", "")
        except grpc.RpcError as e:
            end = (e.code().name, e.details())
        with self.changed:
            self.end = end
            self.changed.notify_all()

    def send(self, **fields):
        self.requests.put(self.request_class(**fields))

    def wait(self, condition, what, timeout=30):
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self.seen) or self.end, timeout):
                raise AssertionError(f"{what}: only {len(self.seen)} responses came")
        return self.seen

    def cancel(self):
        self.responses.cancel()
