#!/usr/bin/env python3
"""Who may ask, and what: credentials, impersonation, RBAC, the Node authorizer, reviews, certificates.

    apiserver_auth_test.py BINARY [NAME…]     run all tests, or those whose name contains NAME

kubectl's own commands are tried too when there is a kubectl ($KUBECTL or on the path).
"""
import base64
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import time

from apiserver_admission_test import check, created, csr, equal, namespace, ok, pod, refused
from apiserver_lib import Client, Server, openssl, run_tests
from apiserver_watch_test import Socket

RBAC = "/apis/rbac.authorization.k8s.io/v1"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


def until(what, test, seconds=60):
    deadline = time.monotonic() + seconds
    while not test():
        check(time.monotonic() < deadline, "never:", what)
        time.sleep(0.02)


def who(client, headers=None):
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    return client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body, headers=headers)


def role(c, name, rules, subjects, kind="ClusterRole", ns=None):
    """A role and a binding of the same name."""
    base = RBAC if ns is None else "%s/namespaces/%s" % (RBAC, ns)
    prefix = "cluster" if ns is None else ""
    made = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": rules}
    created(c.post("%s/%sroles" % (base, prefix), made))
    created(c.post("%s/%srolebindings" % (base, prefix), {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind + "Binding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}, "subjects": subjects}))


def user_subject(name):
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}


# ---- credentials ----

def test_bootstrap_tokens(c, server):
    def secret(name, **data):
        fields = dict({"token-id": name, "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}, **data)
        created(c.post("/api/v1/namespaces/kube-system/secrets", {
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": "bootstrap-token-" + name}, "stringData": fields}))

    secret("abcdef", **{"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token"})
    secret("sorted", **{"auth-extra-groups": "system:bootstrappers:b,system:bootstrappers:a,system:bootstrappers:b", "expiration": "2120-01-01T00:00:00+01:00"})
    secret("expire", expiration="2020-01-01T00:00:00Z")
    secret("nouses", **{"usage-bootstrap-authentication": "false"})
    secret("groups", **{"auth-extra-groups": "system:masters"})
    me = created(who(server.client(None, "abcdef.0123456789abcdef")))["status"]["userInfo"]
    equal(me["username"], "system:bootstrap:abcdef")
    equal(me["groups"], ["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"])
    me = created(who(server.client(None, "sorted.0123456789abcdef")))["status"]["userInfo"]
    equal(me["groups"], ["system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:b", "system:authenticated"])
    for bad in ("abcdef.0123456789abcdee", "expire.0123456789abcdef", "nouses.0123456789abcdef", "groups.0123456789abcdef",
                "absent.0123456789abcdef"):
        equal(who(server.client(None, bad)).code, 401, bad)
    ok(c.delete("/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef"))
    equal(who(server.client(None, "abcdef.0123456789abcdef")).code, 401)


def test_certificates(c, server):
    me = created(who(server.client("alice")))["status"]["userInfo"]
    with open(server.pki.path("alice.crt")) as f:
        der = ssl.PEM_cert_to_DER_cert(f.read())
    equal(me, {"username": "alice", "groups": ["dev", "system:authenticated"],
               "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=" + hashlib.sha256(der).hexdigest()]}})
    with open(server.pki.path("oids.cnf"), "w") as f:
        f.write("oid_section = oids\n[oids]\nuserUid = 1.3.6.1.4.1.57683.2\n[req]\ndistinguished_name = none\n[none]\n")
    os.environ["OPENSSL_CONF"] = server.pki.path("oids.cnf")
    try:
        server.pki.client("uid", "/userUid=u-7/CN=uid")
        server.pki.client("uids", "/userUid=u-7/userUid=u-8/CN=uids")
    finally:
        del os.environ["OPENSSL_CONF"]
    equal(created(who(server.client("uid")))["status"]["userInfo"]["uid"], "u-7")
    equal(who(server.client("uids")).code, 401, "whose uid it is cannot be said")


def test_service_account_tokens(c, server):
    path = namespace(c, "tokens")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    token = created(c.post(path + "/serviceaccounts/default/token", request))["status"]["token"]
    me = created(who(server.client(None, token)))["status"]["userInfo"]
    equal(me["username"], "system:serviceaccount:tokens:default")
    check("authentication.kubernetes.io/credential-id" in me["extra"], me)
    refused(c.post(path + "/serviceaccounts/default/token", dict(request, spec={"expirationSeconds": 599})), 422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: '
            "may not specify a duration less than 10 minutes")
    created(c.post(path + "/pods", pod("p", nodeName="n1")))
    created(c.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}))
    bound = dict(request, spec={"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}})
    token = created(c.post(path + "/serviceaccounts/default/token", bound))["status"]["token"]
    me = created(who(server.client(None, token)))["status"]["userInfo"]
    equal(me["extra"]["authentication.kubernetes.io/pod-name"], ["p"])
    equal(me["extra"]["authentication.kubernetes.io/node-name"], ["n1"])
    node = dict(request, spec={"boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": "n1"}})
    of_node = created(c.post(path + "/serviceaccounts/default/token", node))["status"]["token"]
    equal(who(server.client(None, of_node)).code, 201)
    ok(c.delete("/api/v1/nodes/n1"))
    equal(who(server.client(None, of_node)).code, 401, "the node is gone")
    equal(c.delete(path + "/pods/p?gracePeriodSeconds=0").code, 200)
    equal(who(server.client(None, token)).code, 401, "the pod is gone")


def test_tokens_among_subprotocols(_, server):
    """What a browser can do: it has no headers of its own, and a watch is a WebSocket."""
    nobody = server.client(None)
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

    def offered(token, *others, path="/api/v1/namespaces?watch=1&timeoutSeconds=1"):
        said = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(token).decode().rstrip("=")
        return Socket(nobody, path, ["Sec-WebSocket-Protocol: " + ", ".join([*others, said])]).head

    until("carol is known", lambda: " 403 " in offered(b"sekret", "x.y")[0])  # who she is, is known; that she may not, too
    equal(" 401 " in offered(b"wrong", "x.y")[0], True)
    equal(" 401 " in offered(b"sekret")[0], True, "one subprotocol must be left to answer with")
    equal(" 401 " in offered(b"sek\xffret", "x.y")[0], True)
    equal(" 401 " in Socket(nobody, path, ["Sec-WebSocket-Protocol: x.y, base64url.bearer.authorization.k8s.io.!"]).head[0], True)
    twice = ["Sec-WebSocket-Protocol: x.y, base64url.bearer.authorization.k8s.io.c2VrcmV0"] * 2
    equal(" 401 " in Socket(nobody, path, twice).head[0], True)
    role(server.client(), "carol-watches", [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["watch"]}], [user_subject("carol")])
    until("carol may watch", lambda: " 101 " in offered(b"sekret", "x.y")[0])
    equal([h for h in offered(b"sekret", "x.y") if h.lower().startswith("sec-websocket-protocol")], ["Sec-WebSocket-Protocol: x.y"])


def test_legacy_secret_tokens(c, server):
    path = namespace(c, "legacy")
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
              "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "default"}}}
    made = created(c.post(path + "/secrets", secret))
    token = base64.b64decode(made["data"]["token"]).decode()
    equal(base64.b64decode(made["data"]["namespace"]), b"legacy")
    check("kubernetes.io/service-account.uid" in made["metadata"]["annotations"], made)
    client = server.client(None, token)
    equal(created(who(client))["status"]["userInfo"]["username"], "system:serviceaccount:legacy:default")
    ok(c.delete(path + "/secrets/t"))
    equal(who(client).code, 401)


def test_openid_discovery(c, server):
    answer = ok(c.get("/.well-known/openid-configuration"))
    equal(answer["issuer"], "https://kubernetes.default.svc.cluster.local")
    check(answer["jwks_uri"].endswith("/openid/v1/jwks"), answer)
    keys = ok(c.get("/openid/v1/jwks"))["keys"]
    equal([(k["kty"], k["use"]) for k in keys], [("RSA", "sig")])
    equal(answer["id_token_signing_alg_values_supported"], ["RS256"], "of the keys that there are")
    for path, kind in (("/.well-known/openid-configuration", "application/json"), ("/openid/v1/jwks", "application/jwk-set+json")):
        a = c.get(path)
        equal((a.headers["content-type"], a.headers["cache-control"]), (kind, "public, max-age=3600"))
        equal(server.client(None).get(path).code, 403, "for service accounts, unless a role is given to others")
        equal(server.client("alice").get(path).code, 403)


def test_token_review(c, server):
    def review(token, **spec):
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": dict({"token": token}, **spec)}
        return created(c.post("/apis/authentication.k8s.io/v1/tokenreviews", body))["status"]

    equal(review("sekret")["user"]["username"], "carol")
    check(not review("wrong").get("authenticated"), "a wrong token")
    check(review("wrong")["error"], "says why")
    # Audiences: those of the token (a token that names none is for the API) that are asked for.
    api = "https://kubernetes.default.svc.cluster.local"
    path = namespace(c, "audiences") + "/serviceaccounts/default/token"
    ours = created(c.post(path, {"spec": {}}))["status"]["token"]
    theirs = created(c.post(path, {"spec": {"audiences": ["x", "y"]}}))["status"]["token"]
    for token, asked, matched in (
            (ours, [], [api]), (ours, ["x", api], [api]), (ours, ["x"], None), (theirs, ["z", "y", "x"], ["y", "x"]), (theirs, ["y"], ["y"]),
            (theirs, [], None), (theirs, [api], None), ("sekret", [], [api]), ("sekret", ["x", api], [api]), ("sekret", ["x"], None)):
        status = review(token, audiences=asked)
        equal((status.get("authenticated", False), status.get("audiences")), (matched is not None, matched), asked, status)
    equal(who(server.client(None, theirs)).code, 401, "not for the API")


def segment(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(server, head, claims, key="sa.key"):
    text = segment(json.dumps(head).encode()) + "." + segment(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", server.pki.path(key)], input=text.encode(), check=True,
                               capture_output=True).stdout
    return text + "." + segment(signature)


def test_every_claim_of_a_token_counts(c, server):
    """Tokens made here with the server's own key, each with one thing wrong."""
    path = namespace(c, "claims")
    token = created(c.post(path + "/serviceaccounts/default/token", {"spec": {}}))["status"]["token"]
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    equal(sorted(claims), ["aud", "exp", "iat", "iss", "jti", "kubernetes.io", "nbf", "sub"])
    equal((claims["exp"] - claims["iat"], claims["nbf"], claims["sub"]), (3600, claims["iat"], "system:serviceaccount:claims:default"))
    now, about = int(time.time()), claims["kubernetes.io"]

    def own(**changes):
        return {"kubernetes.io": dict(about, **changes)}

    good = {"nothing": {}, "one audience": {"aud": claims["aud"][0]}, "another audience too": {"aud": ["x"] + claims["aud"]},
            "it should be renewed": own(warnafter=now - 5)}
    bad = {"expired": {"exp": now - 1}, "no end": {"exp": None}, "not yet": {"nbf": now + 600}, "issuer": {"iss": "https://x"},
           "audience": {"aud": ["x"]}, "no audience": {"aud": None}, "no account": {"kubernetes.io": None},
           "another account": own(serviceaccount={"name": "default", "uid": "x"}), "no uid": own(serviceaccount={"name": "default"}),
           "another namespace": own(namespace="kube-system"), "a secret that is not there": own(secret={"name": "x", "uid": "x"}),
           "a pod that is not there": own(pod={"name": "x", "uid": "x"}), "a node that is not there": own(node={"name": "x", "uid": "x"})}
    for changes, code in ((good, 201), (bad, 401)):
        for what, change in changes.items():
            mixed = {k: v for k, v in dict(claims, **change).items() if v is not None}
            equal(who(server.client(None, signed(server, head, mixed))).code, code, what)
    for what, change in (("key id", {"kid": "other"}), ("none", {"alg": "none"}), ("HS256", {"alg": "HS256"}), ("ES256", {"alg": "ES256"})):
        equal(who(server.client(None, signed(server, dict(head, **change), claims))).code, 401, what)
    openssl("genrsa", "-out", server.pki.path("other.key"), "2048")
    equal(who(server.client(None, signed(server, head, claims, "other.key"))).code, 401, "another's signature")
    equal(who(server.client(None, token.rsplit(".", 1)[0] + ".")).code, 401, "no signature")


def test_what_a_token_may_be_bound_to(c, server):
    path = namespace(c, "bound")

    def ask(ref=None, account="default", meta=None, **spec):
        body = {"metadata": meta or {}, "spec": dict(spec, **({"boundObjectRef": dict(apiVersion="v1", **ref)} if ref else {}))}
        return c.post(path + "/serviceaccounts/%s/token" % account, body)

    created(c.post(path + "/secrets", {"metadata": {"name": "s"}}))
    created(c.post(path + "/serviceaccounts", {"metadata": {"name": "other"}}))
    created(c.post(path + "/pods", pod("p", serviceAccountName="other")))
    refused(ask({"kind": "Pod", "name": "none"}), 404, 'pods "none" not found')
    refused(ask({"kind": "ConfigMap", "name": "x"}), 400, "cannot bind token for serviceaccount to object of type ConfigMap")
    refused(ask({"kind": "Pod", "name": "p"}), 400,
            'cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.')
    equal(ask({"kind": "Secret", "name": "s", "uid": "x"}).code, 409, "not the object that was meant")
    refused(ask(account="none"), 404, 'serviceaccounts "none" not found')
    refused(ask(meta={"name": "other"}), 422, 'TokenRequest.authentication.k8s.io "default" is invalid: metadata.name: Invalid value: "other": '
            "must match the service account name if specified")
    refused(ask(expirationSeconds=2 ** 33), 422, 'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: '
            "8589934592: may not specify a duration larger than 2^32 seconds")
    token = created(ask({"kind": "Secret", "name": "s"}))["status"]["token"]
    equal(who(server.client(None, token)).code, 201)
    ok(c.delete(path + "/secrets/s"))
    created(c.post(path + "/secrets", {"metadata": {"name": "s"}}))
    equal(who(server.client(None, token)).code, 401, "another secret of that name")
    token = created(ask())["status"]["token"]
    ok(c.delete(path + "/serviceaccounts/default"))
    equal(who(server.client(None, token)).code, 401, "the account is gone")


# ---- impersonation ----

def test_impersonation(c, server):
    me = created(who(c, {"Impersonate-User": "bob", "Impersonate-Group": "dev", "Impersonate-Uid": "u7",
                         "Impersonate-Extra-scopes.example.com%2fa": "x"}))["status"]["userInfo"]
    equal(me, {"username": "bob", "uid": "u7", "groups": ["dev", "system:authenticated"], "extra": {"scopes.example.com/a": ["x"]}})
    me = created(who(c, {"Impersonate-User": "system:serviceaccount:default:x"}))["status"]["userInfo"]
    equal(me["groups"], ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
    me = created(who(c, {"Impersonate-User": "system:serviceaccount:default:x:y"}))["status"]["userInfo"]
    equal(me["groups"], ["system:authenticated"], "no service account's name")
    alice = server.client("alice")
    status = refused(who(alice, {"Impersonate-User": "bob"}), 403,
                     'users "bob" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope')
    equal(status["details"], {"name": "bob", "kind": "users"})
    role(c, "acts", [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["bob"]}],
         [user_subject("alice")])
    until("alice may act as bob", lambda: who(alice, {"Impersonate-User": "bob"}).code == 201)
    refused(who(alice, {"Impersonate-User": "bob", "Impersonate-Group": "system:masters"}), 403,
            'groups "system:masters" is forbidden: User "alice" cannot impersonate resource "groups" in API group "" '
            "at the cluster scope")
    refused(who(alice, {"Impersonate-User": "bob", "Impersonate-Uid": "1"}), 403,
            'uids.authentication.k8s.io "1" is forbidden: User "alice" cannot impersonate resource "uids" in API group '
            '"authentication.k8s.io" at the cluster scope')
    refused(who(alice, {"Impersonate-User": "bob", "Impersonate-Extra-Scopes": "x"}), 403,
            'userextras.authentication.k8s.io "x" is forbidden: User "alice" cannot impersonate resource "userextras/scopes" in API group '
            '"authentication.k8s.io" at the cluster scope')
    refused(who(alice, {"Impersonate-User": "system:serviceaccount:default:x"}), 403, 'serviceaccounts "x" is forbidden: '
            'User "alice" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"')
    role(c, "acts-more", [{"apiGroups": ["authentication.k8s.io"], "resources": ["userextras/scopes", "uids"], "verbs": ["impersonate"], "resourceNames": ["x"]},
                          {"apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"], "resourceNames": ["dev"]}], [user_subject("alice")])
    says = {"Impersonate-User": "bob", "Impersonate-Group": "dev", "Impersonate-Uid": "x", "Impersonate-Extra-Scopes": "x"}
    until("alice may say more of bob", lambda: who(alice, says).code == 201)
    equal(who(alice, dict(says, **{"Impersonate-Extra-Scopes": "y"})).code, 403)
    equal(who(alice, dict(says, **{"Impersonate-Extra-Others": "x"})).code, 403)
    for nobody in ({"Impersonate-User": "bob", "Impersonate-Group": "system:unauthenticated"}, {"Impersonate-User": "system:anonymous"}):
        equal(who(c, nobody).code, 403, "only who is authenticated may ask who he is", nobody)
    refused(who(alice, {"Impersonate-Group": "dev", "Impersonate-Uid": "7", "Impersonate-Extra-Scopes": "x"}), 400,
            "requested [{Group  dev    } {UserExtra  x  authentication.k8s.io/v1  scopes} {UID  7  authentication.k8s.io/v1  }] "
            "without impersonating a user")


# ---- front proxies ----

def test_front_proxy(c, server):
    says = {"X-Remote-User": "kim", "X-Remote-Uid": "u9", "X-Remote-Group": "dev", "X-Remote-Extra-Scopes%2fA": "x"}
    front = server.client("front")
    me = created(who(front, says))["status"]["userInfo"]
    equal(me, {"username": "kim", "uid": "u9", "groups": ["dev", "system:authenticated"], "extra": {"scopes/a": ["x"]}})
    equal(who(front).code, 401, "its certificate alone names nobody")
    equal(who(server.client("impostor"), says).code, 401, "a name that is not allowed")
    for client, name in ((c, "admin"), (server.client("alice"), "alice")):
        equal(created(who(client, says))["status"]["userInfo"]["username"], name, "headers of others count for nothing")
    equal(who(server.client(None), says).code, 403, "anonymous may not ask")
    data = ok(c.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"))["data"]
    with open(server.pki.path("front-ca.crt")) as f:
        equal(data.pop("requestheader-client-ca-file"), f.read())
    data.pop("client-ca-file")
    equal(data, {"requestheader-allowed-names": '["front-proxy"]', "requestheader-username-headers": '["X-Remote-User"]',
                 "requestheader-uid-headers": '["X-Remote-Uid"]', "requestheader-group-headers": '["X-Remote-Group"]',
                 "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]'})


RUN_OUT = """-----BEGIN CERTIFICATE-----
MIIBAjCBqgIBATAKBggqhkjOPQQDAjAOMQwwCgYDVQQDDANvbGQwHhcNMDAwMTAx
MDAwMDAwWhcNMDEwMTAxMDAwMDAwWjAOMQwwCgYDVQQDDANvbGQwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAARuCvNjSr7r9f49pWbd4K+817vg1SpE7yhPMUAZlsbe
Kr+WQct19wRUCGETl4adiUUwb972cISmm/h8vSjqAgxQMAoGCCqGSM49BAMCA0cA
MEQCIDN3kgsmhUfVokNLNROZ8y9NyfHcUMG1kr0xHtM1QELjAiB+R0ySf/B4hOJZ
223/uyFaue5Ic5xFg+gkkYXrkuk4lw==
-----END CERTIFICATE-----
"""


def test_front_proxy_of_others(c, server):
    """What members with other flags wrote stays; what has run out, or cannot be read, goes."""
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    before = ok(c.get(path))["data"]
    server.pki.ca("theirs")
    with open(server.pki.path("theirs.crt")) as f:
        theirs = f.read()
    ok(c.patch(path, {"data": {"client-ca-file": theirs + RUN_OUT, "requestheader-client-ca-file": "-----BEGIN CERTIFICATE-----\n"
                               "AAAA\n-----END CERTIFICATE-----\n", "requestheader-allowed-names": '["other"]',
                               "requestheader-group-headers": "no list", "mine": "x"}}, kind="merge-patch"))
    want = dict(before, **{"client-ca-file": theirs + before["client-ca-file"],
                           "requestheader-allowed-names": '["other","front-proxy"]'})
    until("both members' are there", lambda: ok(c.get(path))["data"] == want)
    ok(c.delete(path))
    until("its own are there again", lambda: c.get(path).code == 200 and c.get(path).json["data"] == before)


# ---- RBAC ----

def test_who_may_update_may_not_create(c, server):
    path = "/api/v1/namespaces/default/endpoints"
    alice = server.client("alice")

    def endpoints(name, address):
        return {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name}, "subsets": [{"addresses": [{"ip": address}]}]}
    created(c.post(path, endpoints("there", "10.1.1.1")))
    role(c, "updates", [{"apiGroups": [""], "resources": ["endpoints"], "verbs": ["update"]}], [user_subject("alice")], "Role", "default")
    until("alice may update", lambda: alice.put(path + "/there", endpoints("there", "10.1.1.2")).code == 200)
    refused(alice.put(path + "/new", endpoints("new", "10.1.1.1")), 403, 'endpoints "new" is forbidden: User "alice" cannot create '
            'resource "endpoints" in API group "" in the namespace "default"')
    equal(c.get(path + "/new").code, 404)
    created(c.put(path + "/new", endpoints("new", "10.1.1.1")))


def test_nobody_grants_what_they_do_not_have(c, server):
    alice = server.client("alice")
    role(c, "manages-roles", [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles", "clusterrolebindings"],
                               "verbs": ["create", "update"]}], [user_subject("alice")])
    body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reads"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}

    def refusal():
        answer = alice.post(RBAC + "/clusterroles", body)
        return answer.code == 403 and "is attempting to grant RBAC permissions not currently held:\n" in answer.json["message"]

    until("alice creates roles, but not this one", refusal)
    many = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "many"}, "rules": [
        {"apiGroups": ["", "apps"], "resources": ["pods/log", "secrets"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["watch", "get"]},
        {"apiGroups": ["*"], "resources": ["*"], "resourceNames": ["a", "b"], "verbs": ["*"]},
        {"nonResourceURLs": ["/metrics", "/version"], "verbs": ["get", "post"]}]}
    equal(alice.post(RBAC + "/clusterroles", many).json["message"], """clusterroles.rbac.authorization.k8s.io "many" is forbidden: \
user "alice" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["pods/log"], Verbs:["get" "list"]}
{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list" "watch"]}
{APIGroups:["*"], Resources:["*"], ResourceNames:["a"], Verbs:["*"]}
{APIGroups:["*"], Resources:["*"], ResourceNames:["b"], Verbs:["*"]}
{APIGroups:["apps"], Resources:["pods/log"], Verbs:["get" "list"]}
{APIGroups:["apps"], Resources:["secrets"], Verbs:["get" "list"]}
{NonResourceURLs:["/metrics"], Verbs:["get"]}
{NonResourceURLs:["/metrics"], Verbs:["post"]}
{NonResourceURLs:["/version"], Verbs:["post"]}""")
    gathers = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "gathers"}, "rules": [],
               "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}}
    refused(alice.post(RBAC + "/clusterroles", gathers), 403, 'clusterroles.rbac.authorization.k8s.io "gathers" is forbidden: '
            "must have cluster-admin privileges to use the aggregationRule")
    # What only a garbage collector changes is no grant; a label is, of a role with more than one's own.
    created(c.post(RBAC + "/clusterroles", dict(many, metadata={"name": "kept", "finalizers": ["example.com/x"]})))
    kept = ok(c.get(RBAC + "/clusterroles/kept"))
    kept["metadata"]["labels"] = {"a": "b"}
    equal(alice.put(RBAC + "/clusterroles/kept", kept).code, 403)
    del kept["metadata"]["labels"], kept["metadata"]["finalizers"]
    ok(alice.put(RBAC + "/clusterroles/kept", kept))
    role(c, "reads-secrets", [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}], [user_subject("alice")])
    until("alice may grant what she has", lambda: alice.post(RBAC + "/clusterroles", body).code in (201, 409))


# What the published roles of v1.35 grant, where that has changed over the versions.
SERVICE_ACCOUNT = "system:serviceaccount:kube-system:"
DEFAULT_RIGHTS = [
    (False, "editor", "update", "endpoints", ""), (True, "editor", "get", "endpoints", ""), (True, "editor", "create", "events", ""),
    (True, "editor", "create", "pods/eviction", ""), (True, "editor", "create", "serviceaccounts/token", ""),
    (True, "editor", "delete", "leases", "coordination.k8s.io"), (True, "editor", "create", "resourceclaims", "resource.k8s.io"),
    (False, "editor", "create", "roles", "rbac.authorization.k8s.io"), (True, "adminor", "create", "roles", "rbac.authorization.k8s.io"),
    (True, "viewor", "list", "endpointslices", "discovery.k8s.io"), (True, "viewor", "get", "resourceclaims/status", "resource.k8s.io"),
    (False, "viewor", "get", "secrets", ""), (False, "viewor", "list", "leases", "coordination.k8s.io"),
    (True, "system:kube-proxy", "watch", "servicecidrs", "networking.k8s.io"), (False, "system:kube-proxy", "get", "pods", ""),
    (True, "system:kube-scheduler", "watch", "resourceslices", "resource.k8s.io"), (True, "system:kube-scheduler", "list", "volumeattachments", "storage.k8s.io"),
    (True, "system:kube-scheduler", "update", "resourceclaims/status", "resource.k8s.io"), (False, "system:kube-scheduler", "get", "endpoints", ""),
    (True, SERVICE_ACCOUNT + "resource-claim-controller", "create", "resourceclaims", "resource.k8s.io"),
    (True, SERVICE_ACCOUNT + "selinux-warning-controller", "list", "csidrivers", "storage.k8s.io"),
    (True, SERVICE_ACCOUNT + "volumeattributesclass-protection-controller", "update", "volumeattributesclasses", "storage.k8s.io"),
    (False, SERVICE_ACCOUNT + "ttl-controller", "delete", "nodes", ""),
    (True, SERVICE_ACCOUNT + "cronjob-controller", "watch", "pods", ""), (True, SERVICE_ACCOUNT + "endpointslice-controller", "watch", "endpointslices", "discovery.k8s.io"),
    (True, SERVICE_ACCOUNT + "disruption-controller", "patch", "pods/status", ""), (True, SERVICE_ACCOUNT + "statefulset-controller", "update", "pods/finalizers", ""),
    (True, SERVICE_ACCOUNT + "job-controller", "patch", "jobs", "batch"), (True, SERVICE_ACCOUNT + "pod-garbage-collector", "patch", "pods/status", ""),
    (True, SERVICE_ACCOUNT + "horizontal-pod-autoscaler", "list", "anything", "external.metrics.k8s.io"),
    (True, SERVICE_ACCOUNT + "node-controller", "get", "pods", ""), (True, SERVICE_ACCOUNT + "pvc-protection-controller", "update", "persistentvolumeclaims/status", ""),
    (False, SERVICE_ACCOUNT + "expand-controller", "get", "secrets", ""), (False, SERVICE_ACCOUNT + "persistent-volume-binder", "create", "services", ""),
]


def test_default_roles(c, server):
    edit = ok(c.get(RBAC + "/clusterroles/edit"))
    equal(edit["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"], {"rbac.authorization.k8s.io/aggregate-to-edit": "true"})
    binding = ok(c.get(RBAC + "/clusterrolebindings/system:node"))
    check("subjects" not in binding or binding["subjects"] is None, "the Node authorizer speaks for nodes", binding)
    equal([s["name"] for s in ok(c.get(RBAC + "/clusterrolebindings/system:node-proxier"))["subjects"]], ["system:kube-proxy"])
    prefix = "system:controller:"
    roles = {r["metadata"]["name"]: r for r in ok(c.get(RBAC + "/clusterroles"))["items"]}
    bound = {b["roleRef"]["name"]: b["subjects"] for b in ok(c.get(RBAC + "/clusterrolebindings"))["items"] if b["metadata"]["name"].startswith(prefix)}
    equal(bound, {name: [{"kind": "ServiceAccount", "name": name[len(prefix):], "namespace": "kube-system"}] for name in roles if name.startswith(prefix)})
    equal(len(bound), 37)
    for name, r in roles.items():
        check(all(r["rules"].count(rule) == 1 for rule in r["rules"] or []), "a rule twice in", name)
    created(c.post("/api/v1/namespaces", {"metadata": {"name": "editors"}}))
    for name in ("edit", "view", "admin"):
        created(c.post(RBAC + "/namespaces/editors/rolebindings", {"metadata": {"name": name}, "subjects": [user_subject(name + "or")],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}}))
    until("the bindings count", lambda: all(access(c, n + "or", "list", "pods", namespace="editors")["allowed"] for n in ("edit", "view", "admin")))
    for may, user, verb, resource, group in DEFAULT_RIGHTS:
        resource, _, sub = resource.partition("/")
        where = {} if user.startswith("system:") else {"namespace": "editors"}
        equal(access(c, user, verb, resource, group=group, subresource=sub, **where)["allowed"], may, user, verb, resource, group)


def access(c, user, verb, resource, groups=(), **attributes):
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": user, "groups": list(groups), "resourceAttributes": dict({"verb": verb, "resource": resource}, **attributes)}}
    return created(c.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", body))["status"]


def test_access_reviews(c, server):
    equal(access(c, "nobody", "get", "pods"), {"allowed": False})
    status = access(c, "x", "create", "selfsubjectaccessreviews", groups=["system:authenticated"], group="authorization.k8s.io")
    equal(status["allowed"], True)
    check("ClusterRoleBinding \"system:basic-user\"" in status["reason"], status)
    local = {"apiVersion": "authorization.k8s.io/v1", "kind": "LocalSubjectAccessReview", "metadata": {"namespace": "default"},
             "spec": {"user": "x", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "other"}}}
    answer = c.post("/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews", local)
    equal(answer.code, 422, answer)
    check("must match metadata.namespace" in answer.json["message"], answer)
    # Selectors: checked, and seen by the node authorizer, whom they narrow; RBAC has no use for them.
    def ask(user="system:node:n7", groups=("system:nodes",), **attributes):
        return c.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {
            "spec": {"user": user, "groups": list(groups), "resourceAttributes": dict({"verb": "list", "resource": "pods"}, **attributes)}})
    own = {"key": "spec.nodeName", "operator": "In", "values": ["n7"]}
    for selector, allowed, ignored in (
            ({"rawSelector": "spec.nodeName=n7"}, True, ""), ({"rawSelector": "spec.nodeName=n8"}, False, ""),
            ({"requirements": [own]}, True, ""), ({"requirements": [dict(own, operator="NotIn")]}, False, ""),
            ({"requirements": [own, {"key": "x", "operator": "Later"}]}, True, "fieldSelector partially ignored due to parse error"),
            ({"requirements": [dict(own, values=["n7", "n8"])]}, False, "fieldSelector ignored due to parse error"),
            ({"rawSelector": "nothing"}, False, "fieldSelector ignored due to parse error")):
        status = created(ask(fieldSelector=selector))["status"]
        equal((status["allowed"], status.get("evaluationError", "")), (allowed, ignored and "spec.resourceAttributes." + ignored), selector)
    status = created(ask(labelSelector={"requirements": [{"key": "a", "operator": "Later"}]}, fieldSelector={"rawSelector": "x"}))["status"]
    equal(status["evaluationError"], "spec.resourceAttributes.fieldSelector ignored due to parse error; "
          "spec.resourceAttributes.labelSelector ignored due to parse error")
    equal(created(ask("root", ["system:masters"], labelSelector={"rawSelector": "a in (b)"}))["status"].get("evaluationError"), None)
    for selectors, why in (
            ({"fieldSelector": {"rawSelector": "foo", "requirements": [own]}},
             'fieldSelector.rawSelector: Invalid value: "foo": may not specified at the same time as requirements'),
            ({"labelSelector": {}}, "labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, "
             "requirements or rawSelector is required"),
            ({"fieldSelector": {"requirements": [{"operator": "In"}]}}, "fieldSelector.requirements[0].key: Required value: must be specified"),
            ({"fieldSelector": {"requirements": [{"key": "k", "operator": "In"}]}},
             "fieldSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"),
            ({"fieldSelector": {"requirements": [dict(own, operator="Exists")]}},
             "fieldSelector.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
            ({"labelSelector": {"requirements": [{"key": "?", "operator": "Exists"}]}}, 'labelSelector.requirements[0].key: Invalid value: "?": ')):
        answer = ask(**selectors)
        equal(answer.code, 422, answer)
        check("spec.resourceAttributes." + why in answer.json["message"], answer)
    rules = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}}
    status = created(server.client("alice").post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", rules))["status"]
    check(any(r["nonResourceURLs"] == ["/healthz", "/livez", "/readyz", "/version", "/version/"] for r in status["nonResourceRules"]),
          status)
    equal(status["incomplete"], False)
    status = created(c.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", rules))["status"]
    check({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in status["resourceRules"], status)
    check({"verbs": ["*"], "nonResourceURLs": ["*"]} in status["nonResourceRules"], status)
    refused(c.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {}}), 400, "no namespace on request")
    status = created(server.client("node-n7").post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", rules))["status"]
    equal((status["incomplete"], status["evaluationError"]), (True, "node authorizer does not support user rule resolution"))


# ---- nodes ----

def test_node_authorizer(c, server):
    path = namespace(c, "graph")
    n = server.client("node-n7")
    for name in ("mine", "other"):
        created(c.post(path + "/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}))
        created(c.post(path + "/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}))
    message = ('secrets "mine" is forbidden: User "system:node:n7" cannot get resource "secrets" in API group "" in the namespace '
               "\"graph\": no relationship found between node 'n7' and this object")
    refused(n.get(path + "/secrets/mine"), 403, message)
    created(c.post(path + "/pods", pod("a", nodeName="n7", volumes=[
        {"name": "s", "secret": {"secretName": "mine"}}, {"name": "c", "configMap": {"name": "mine"}}])))
    until("the pod's secret", lambda: n.get(path + "/secrets/mine").code == 200)
    equal(n.get(path + "/configmaps/mine").code, 200)
    for forbidden in ("/secrets/other", "/configmaps/other", "/secrets", "/pods"):
        equal(n.get(path + forbidden).code, 403, forbidden)
    equal(n.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn7").code, 200)
    equal(n.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn8").code, 403)
    equal(n.get(path + "/pods?fieldSelector=metadata.name%3Da").code, 200, "its own pod by name")
    equal(n.get(path + "/pods?fieldSelector=metadata.name%3Db").code, 403)
    for forbidden in (path + "/pods/a/log", path + "/pods/a/status", "/api/v1/nodes/n7/proxy/", "/api/v1/nodes/n7/status"):
        equal(n.get(forbidden).code, 403, forbidden)
    equal(n.delete(path + "/secrets/mine").code, 403)
    uid = ok(c.get(path + "/pods/a"))["metadata"]["uid"]
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
             "spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": uid}}}
    created(n.post(path + "/serviceaccounts/default/token", token))
    unbound = dict(token, spec={"audiences": ["x"]})
    refused(n.post(path + "/serviceaccounts/default/token", unbound), 403,
            'serviceaccounts "default" is forbidden: node requested token not bound to a pod')
    for audiences, why in ((["x"], 'audience "x" not found in pod spec volume, system:node:n7 is not authorized to request tokens for this audience'),
                           (["x", "y"], "node may only request 0 or 1 audiences")):
        refused(n.post(path + "/serviceaccounts/default/token", dict(token, spec=dict(token["spec"], audiences=audiences))), 403,
                'serviceaccounts "default" is forbidden: ' + why)
    role(c, "asks-for-x", [{"apiGroups": [""], "resources": ["x"], "verbs": ["request-serviceaccounts-token-audience"]}],
         [user_subject("system:node:n7")])
    for_x = dict(token, spec=dict(token["spec"], audiences=["x"]))
    until("n7 may ask for x", lambda: n.post(path + "/serviceaccounts/default/token", for_x).code == 201)
    ok(c.delete(path + "/pods/a?gracePeriodSeconds=0"))
    until("the pod is gone", lambda: n.get(path + "/secrets/mine").code == 403)


def test_nodes_and_devices(c, server):
    path, n = namespace(c, "devices"), server.client("node-n7")
    dra = "/apis/resource.k8s.io/v1"
    claims = dra + "/namespaces/devices/resourceclaims"
    request = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}
    for name in ("used", "other"):
        created(c.post(claims, {"metadata": {"name": name}, "spec": request}))
    # Administrators' access is for namespaces that say so; what is no longer allocated has no status.
    admin = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "adminAccess": True}}]}}
    for kind, body in (("ResourceClaim", admin), ("ResourceClaimTemplate", {"spec": admin})):
        refused(c.post(dra + "/namespaces/devices/" + kind.lower() + "s", {"metadata": {"name": "admin"}, "spec": body}), 422,
                kind + '.resource.k8s.io "admin" is invalid: '
                "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the "
                "`resource.kubernetes.io/admin-access: true` label on the containing namespace")
    ok(c.patch(path, {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}))
    until("the namespace is for administrators",
          lambda: c.post(claims, {"metadata": {"name": "admin"}, "spec": admin}).code == 201)
    device = {"driver": "x.io", "pool": "p", "device": "d"}
    status = {"status": {"allocation": {"devices": {"results": [dict(device, request="r")]}}, "devices": [device]}}
    equal(len(ok(c.patch(claims + "/admin/status", status))["status"]["devices"]), 1)
    equal("devices" in ok(c.patch(claims + "/admin/status", {"status": {"allocation": None}})).get("status", {}), False)
    created(c.post(path + "/pods", pod("d", nodeName="n7", resourceClaims=[{"name": "gpu", "resourceClaimName": "used"}])))
    until("the pod's claim", lambda: n.get(claims + "/used").code == 200)
    refused(n.get(claims + "/other"), 403, 'resourceclaims.resource.k8s.io "other" is forbidden: User "system:node:n7" cannot get resource '
            '"resourceclaims" in API group "resource.k8s.io" in the namespace "devices": no relationship found between node \'n7\' and this object')
    equal(n.get(claims).code, 403)

    def piece(name, node):
        return {"metadata": {"name": name}, "spec": {"driver": "gpu.example.com", "nodeName": node, "pool": {
            "name": node, "generation": 1, "resourceSliceCount": 1}, "devices": [{"name": "d0"}]}}

    slices = dra + "/resourceslices"
    created(n.post(slices, piece("mine", "n7")))
    refused(n.post(slices, piece("wrong", "n8")), 403, 'resourceslices.resource.k8s.io "wrong" is forbidden: '
            "can only create ResourceSlice with the same NodeName as the requesting node")
    created(c.post(slices, piece("theirs", "n8")))
    equal([n.get(slices + "/mine").code, n.get(slices + "/theirs").code], [200, 403])
    equal([n.get(slices).code, n.get(slices + "?fieldSelector=spec.nodeName%3Dn7").code], [403, 200])
    equal([n.delete(slices + "/theirs").code, n.delete(slices + "?fieldSelector=spec.nodeName%3Dn7").code], [403, 200])
    equal(c.get(slices + "/mine").code, 404)
    kubelet = "kubernetes.io/kube-apiserver-client-kubelet"
    wrong = csr(server.pki, "as-n8", "/O=system:nodes/CN=system:node:n8")
    wrong["spec"]["signerName"] = kubelet
    refused(n.post(CSRS, wrong), 403, 'certificatesigningrequests.certificates.k8s.io "as-n8" is forbidden: '
            "can only create a node CSR with CN=system:node:n7")
    right = csr(server.pki, "as-n7", "/O=system:nodes/CN=system:node:n7")
    right["spec"]["signerName"] = kubelet
    created(n.post(CSRS, right))


# ---- certificates ----

def approval(made, kind="Approved"):
    made = json.loads(json.dumps(made))
    made.setdefault("status", {})["conditions"] = [{"type": kind, "status": "True", "reason": "Test", "message": "x"}]
    return made


def test_certificate_requests(c, server):
    made = created(c.post(CSRS, csr(server.pki, "wanted", "/O=dev/CN=dora")))
    equal(made["spec"]["username"], "admin")
    check("system:masters" in made["spec"]["groups"], made)
    alice = server.client("alice")
    role(c, "approves", [{"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"],
                          "verbs": ["update"]}], [user_subject("alice")])
    until("alice reaches the approval", lambda: alice.put(CSRS + "/wanted/approval", approval(made)).json.get("message", "").endswith(
        'user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"'))
    role(c, "approves-all", [{"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"],
                              "resourceNames": ["kubernetes.io/*"]}], [user_subject("alice")])
    until("alice may approve", lambda: alice.put(CSRS + "/wanted/approval", approval(made)).code == 200)
    condition = ok(c.get(CSRS + "/wanted"))["status"]["conditions"][0]
    check(condition["lastUpdateTime"] and condition["lastTransitionTime"], condition)
    role(c, "signs", [{"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/status"],
                       "verbs": ["update", "patch"]}], [user_subject("alice")])
    signed = ok(c.get(CSRS + "/wanted"))
    with open(server.pki.path("alice.crt"), "rb") as f:
        signed["status"]["certificate"] = base64.b64encode(f.read()).decode()
    until("alice reaches the status", lambda: alice.put(CSRS + "/wanted/status", signed).json.get("message", "").endswith(
        'user not permitted to sign requests with signerName "kubernetes.io/kube-apiserver-client"'))
    signed["metadata"]["labels"] = {"signed": "yes"}
    signed["status"]["conditions"][0]["reason"] = "Signer"
    done = ok(c.put(CSRS + "/wanted/status", signed))
    check(done["status"]["certificate"], "signed")
    equal((done["metadata"]["labels"], done["status"]["conditions"]), ({"signed": "yes"}, [condition]), "who signs does not approve")
    del signed["status"]["conditions"]
    equal(c.put(CSRS + "/wanted/status", dict(signed, metadata=done["metadata"])).code, 422, "nor take the approval back")


# ---- kubectl ----

def test_kubectl(c, server):
    kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if not kubectl:
        print("     no kubectl: left out")
        return
    p = server.pki.path

    def run(user, *args):
        command = [kubectl, "--kubeconfig=/dev/null", "--server=https://127.0.0.1:%d" % server.port, "--certificate-authority=" + p("ca.crt"),
                   "--client-certificate=" + p(user + ".crt"), "--client-key=" + p(user + ".key"), "--cache-dir=" + p("cache"), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    namespace(c, "kubectl")
    code, out = run("admin", "auth", "can-i", "--list")
    equal(code, 0, out)
    check("*.*" in out, out)
    equal(run("alice", "auth", "can-i", "get", "pods")[1].strip(), "no")
    equal(run("admin", "auth", "can-i", "get", "pods", "--as=bob")[1].strip(), "no")
    code, out = run("admin", "create", "token", "default", "-n", "kubectl")
    equal(code, 0, out)
    equal(who(server.client(None, out.strip())).code, 201)
    created(c.post(CSRS, csr(server.pki, "by-kubectl", "/O=dev/CN=kim")))
    code, out = run("admin", "certificate", "approve", "by-kubectl")
    equal((code, out.strip()), (0, "certificatesigningrequest.certificates.k8s.io/by-kubectl approved"))
    code, out = run("admin", "create", "quota", "q", "--hard=pods=2", "-n", "kubectl")
    equal(code, 0, out)
    code, out = run("admin", "auth", "whoami")
    if "unknown command" not in out:
        check("admin" in out and "system:masters" in out, out)


def main():
    server = Server(sys.argv[1], ["--authorization-mode=Node,RBAC", "--enable-bootstrap-token-auth"])
    server.pki.client("node-n7", "/O=system:nodes/CN=system:node:n7")
    server.pki.ca("front-ca")
    server.pki.client("front", "/CN=front-proxy", ca="front-ca")
    server.pki.client("impostor", "/CN=other-proxy", ca="front-ca")
    server.flags += ["--requestheader-client-ca-file=" + server.pki.path("front-ca.crt"), "--requestheader-allowed-names=front-proxy",
                     "--requestheader-username-headers=X-Remote-User", "--requestheader-uid-headers=X-Remote-Uid",
                     "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-"]
    return run_tests(server, globals(), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
