"""What kubectl is asked to do by kubectl_diff_test.py, one function per area; each gets a Client (kubectl_diff_lib.py) of two new servers.

No controllers run, so that nothing changes but by these commands.
"""
import base64
import json
import os
import re

import apiserver_lib

HERE = os.path.dirname(os.path.abspath(__file__))
# Kinds of the tour's objects that the older server has not.
YOUNG = ("ServiceCIDR IPAddress VolumeAttributesClass ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding FlowSchema "
         "PriorityLevelConfiguration DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice CSIStorageCapacity").split()
WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: example.com/web:1
        ports: [{containerPort: 80, name: http}]
        env: [{name: A, value: "1"}]
"""
SETTINGS = """apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}, annotations: {note: one}}
data: {a: "1", b: "2"}
"""
POD = """apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: web, name: %s}}
spec: {containers: [{name: c, image: example.com/app}, {name: side, image: example.com/side}]}
"""


def all_of(k, text, **kw):
    """Each line a command."""
    for line in text.strip().splitlines():
        if line.strip() and not line.startswith("#"):
            k.run(line.strip(), **kw)


def space(k, name):
    """A namespace with what a controller would have put there."""
    k.run("create namespace " + name)
    k.run("create serviceaccount default -n " + name)
    k.run("config set-context --current --namespace " + name)


def tour():
    """The tour's objects (tests/e2e/tour), those that both servers have, as {kind: document}."""
    key, request = "/tmp/kubectl-diff-key-%d" % os.getpid(), "/tmp/kubectl-diff-request-%d" % os.getpid()
    try:
        apiserver_lib.openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        apiserver_lib.openssl("req", "-new", "-key", key, "-subj", "/CN=tourist", "-out", request)
        with open(request, "rb") as f:
            encoded = base64.b64encode(f.read()).decode()
    finally:
        for path in (key, request):
            if os.path.exists(path):
                os.unlink(path)
    with open(os.path.join(HERE, "../e2e/tour/objects.yaml")) as f:
        text = f.read().replace("CSR_REQUEST", encoded)
    documents = {}
    for d in re.split(r"^---\n", text, flags=re.M):
        kind = re.search(r"^kind: (\w+)$", d, re.M).group(1)
        if kind not in YOUNG:  # jobs of 1.20 cannot be suspended
            documents[kind] = re.sub(r"^  suspend: true\n", "", d, flags=re.M) if kind == "Job" else d
    return documents


def touring(k):
    space(k, "tour")
    documents = tour()
    documents.pop("Namespace")
    documents.pop("ResourceQuota")
    text = "---\n".join(documents.values())
    k.write("objects.yaml", text)
    for kind, d in documents.items():
        k.write(kind + ".yaml", d)
    return documents


def case_objects(k):
    """One object of every kind: created, shown in every way, changed, deleted."""
    documents = touring(k)
    all_of(k, r"""
        create -f objects.yaml --dry-run=server
        create -f objects.yaml
        create -f objects.yaml
        get -f objects.yaml -o name
        get -f objects.yaml --show-labels
        get -f objects.yaml --no-headers
        get -f objects.yaml -o json --show-managed-fields
        get -f objects.yaml -o 'jsonpath={range .items[*]}{.metadata.name}:{.kind}:{.apiVersion}{"\n"}{end}'
        get -f objects.yaml --sort-by=.metadata.name -o custom-columns=N:.metadata.name,K:.kind,NS:.metadata.namespace
    """)
    for kind in documents:
        for command in ("get -f", "get -o wide -f", "get -o yaml -f", "describe -f"):
            k.run("%s %s.yaml" % (command, kind))
    for kind in documents:
        for command in ("label where=here", "patch --type json -p '[{\"op\":\"remove\",\"path\":\"/metadata/labels/where\"}]'", "replace", "apply",
                        "diff", "apply --server-side --force-conflicts", "get -o yaml --show-managed-fields",
                        "delete --wait=false --dry-run=server"):
            k.run("%s -f %s.yaml" % (command, kind))
    all_of(k, """
        delete -f objects.yaml --wait=false
        delete -f objects.yaml --wait=false
        delete -f objects.yaml --wait=false --ignore-not-found
    """)


def case_quotas(k):
    """Quotas in a namespace of their own: without its controller the original refuses what it has not counted yet."""
    space(k, "quotas")
    k.write("quota.yaml", tour()["ResourceQuota"].replace("tour", "quotas"))
    all_of(k, """
        create quota q --hard=services=2,cpu=1
        create quota scoped --hard=pods=2 --scopes=BestEffort
        create quota wrong --hard=pods=-2
        create quota scopes --hard=pods=2 --scopes=Nonsense
        create -f quota.yaml
        get quota scoped -o yaml
        patch quota q -p '{"spec":{"hard":{"services":"x"}}}'
        patch quota q -p '{"spec":{"hard":{"services":"1.5"}}}'
        delete quota --all
    """)


def case_lists(k):
    space(k, "lists")
    for name, labels in (("a", "app=web,tier=front"), ("b", "app=web"), ("c", "app=db")):
        k.run("create configmap %s --from-literal=k=%s" % (name, name))
        k.run("label cm %s %s" % (name, labels.replace(",", " ")))
        k.run(["run", "pod-" + name, "--image=example.com/app:" + name, "--labels=" + labels, "--port=80"])
    all_of(k, r"""
        get cm
        get configmaps -o wide
        get cm a b
        get cm a b missing
        get cm/a pod/pod-a
        get cm,pods
        get cm,pods -o name
        get cm -l app=web
        get cm -l app=web,tier=front --show-labels
        get cm -l 'app in (web, db)' -o name
        get cm -l 'app notin (web)' -o name
        get cm -l '!tier' -o name
        get cm -l app!=web -o name
        get cm -l 'app=='
        get cm -l 'app=web=x'
        get cm -l 'app in ()'
        get cm -l 'a b'
        get cm -l '-x=y'
        get pods --field-selector metadata.name=pod-a
        get pods --field-selector status.phase=Pending -o name
        get pods --field-selector spec.nodeName=
        get pods --field-selector status.phase!=Pending
        get pods --field-selector nonsense=x
        get pods --field-selector metadata.name
        get cm --field-selector data=x
        get cm --sort-by=.metadata.name
        get cm --sort-by=.data.k -o custom-columns=N:.metadata.name,K:.data.k
        get cm --sort-by=.nonsense
        get cm -A --field-selector metadata.namespace=lists
        get pods -A
        get pods -A -o wide
        get pods -o wide
        get pods --show-kind
        get pods -L app,tier
        get pods --no-headers
        get pods --chunk-size=1
        get pods --chunk-size=2 -o name
        get pods -o json
        get pods -o yaml
        get pods -o yaml --show-managed-fields
        get pods -o jsonpath={.items[*].metadata.name}
        get pods -o 'jsonpath={range .items[*]}{.metadata.name}={.status.phase}{"\n"}{end}'
        get pods -o jsonpath={.nonsense}
        get pods -o jsonpath={.items[*
        get pods -o 'go-template={{range .items}}{{.metadata.name}},{{.status.qosClass}} {{end}}'
        get pods -o custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image,NODE:.spec.nodeName
        get pods -o nonsense
        get --raw /api/v1/namespaces/lists/configmaps/a
        get --raw /api/v1/namespaces/lists/configmaps/missing
        get --raw /nonsense
        get --raw /healthz
        get --raw /livez/ping
        get --raw /readyz/ping
        get --raw /api
        get all
        get all -o name
        get all -A -o name
        get nothing
        get nothing a
        get nothing.example.com
        get deployments.apps
        get deployments.v1.apps
        get deployments.v9.apps
        get po pod-a po/pod-b
        get po pod-a -l app=web
        get pods missing
        get pods missing --ignore-not-found
        get pods missing -o json
        get pods ''
        get pods pod-a pod-a
        get pods Pod_A
        get ns lists
        get ns nowhere
        get pods -n nowhere
        get cs
        get svc -n default
        get svc -n default kubernetes -o yaml
        get svc -n default kubernetes -o wide
        get sc
        get pv,pvc
        get nodes
        get crd
        get csr
        get events
        get events -o wide
        get priorityclasses
        get priorityclasses -o yaml
        describe priorityclass system-node-critical
        describe ns default
        describe ns lists
        describe pods
        describe pods pod-a
        describe pods pod-
        describe pods -l app=web
        describe pods missing
        describe cm -l app=db
        describe cm a
        describe svc -n default kubernetes
        describe nothing
        describe nodes
        describe clusterrole cluster-admin
        describe clusterrolebinding cluster-admin
        describe clusterrole system:discovery
        describe role -n kube-system extension-apiserver-authentication-reader
        get clusterrole cluster-admin -o yaml
        get clusterrolebinding cluster-admin -o yaml
        get clusterrolebinding cluster-admin -o wide
        get clusterrolebinding cluster-admin
        get clusterrole cluster-admin
        get rolebinding -n kube-system system::leader-locking-kube-scheduler -o wide
        logs pod-a
        logs pod-a -c nothing
        logs missing
        logs pod-a --previous
        exec pod-a -- ls
        exec missing -- ls
        attach pod-a
        port-forward pod-a 1:80
        port-forward missing 1:80
        cp pod-a:/x x
        top pods
        top nodes
        delete pod pod-a --wait=false
        delete pod pod-a --wait=false
        delete pod,cm -l app=web --wait=false
        delete cm --all --wait=false
        delete pods --all --wait=false --now
        delete pods
        delete nothing x
        delete ns nowhere
        delete pod/x cm/y
    """)


def case_generators(k):
    """Everything kubectl makes from a command line, tried on the server and then made."""
    space(k, "making")
    k.write("file.txt", "text\n")
    k.write("env.txt", "A=1\nB=2\n")
    made = r"""
        create configmap literal --from-literal=a=b --from-literal=c=d
        create configmap file --from-file=file.txt
        create configmap env --from-env-file=env.txt
        create configmap empty
        create secret generic literal --from-literal=a=b
        create secret generic typed --type=example.com/x --from-literal=a=b
        create secret docker-registry reg --docker-server=r.example --docker-username=u --docker-password=p --docker-email=e@example.com
        create secret generic basic --type=kubernetes.io/basic-auth --from-literal=username=x
        create secret generic nobasic --type=kubernetes.io/basic-auth --from-literal=x=x
        create secret generic token --type=kubernetes.io/service-account-token --from-literal=x=x
        create serviceaccount robot
        create deployment web --image=example.com/web:1
        create deployment many --image=example.com/a --image=example.com/b --replicas=3 --port=80
        create job once --image=example.com/a -- run it
        create priorityclass urgent-making --value=100 --description=urgent
        create priorityclass toobig-making --value=2000000000
        create priorityclass system-making --value=1
        create role reader --verb=get,list --resource=pods,configmaps
        create role named --verb=get --resource=pods --resource-name=a
        create role sub --verb=get --resource=pods/log,deployments.apps/scale
        create role nothing --verb=get --resource=nothings
        create clusterrole reader-making --verb=get --resource=nodes
        create clusterrole urls-making --verb=get --non-resource-url=/metrics
        create clusterrole sum-making --aggregation-rule=a=b
        create rolebinding readers --role=reader --user=u --group=g --serviceaccount=making:robot
        create rolebinding views --clusterrole=view --user=u
        create clusterrolebinding readers-making --clusterrole=reader-making --user=u
        create service clusterip plain --tcp=80:8080
        create service clusterip headless --clusterip=None --tcp=80
        create service nodeport node --tcp=80:8080 --node-port=30123
        create service nodeport node2 --tcp=80:8080 --node-port=30123
        create service nodeport node3 --tcp=80:8080 --node-port=123
        create service loadbalancer balanced --tcp=80:8080
        create service externalname outside --external-name=example.com
        create service clusterip fixed --clusterip=10.0.7.7 --tcp=80
        create service clusterip fixed2 --clusterip=10.0.7.7 --tcp=80
        create service clusterip far --clusterip=192.0.2.1 --tcp=80
        create ingress ing --rule=example.com/a=plain:80
        create ingress tls --rule='example.com/*=plain:http,tls=secret' --class=c
        create ingress def --default-backend=plain:80
        create ingress wrong --rule='exam_ple.com/a=plain:80'
        create namespace other-making
        create namespace Wrong
        run pod --image=example.com/web:1
        run more --image=example.com/web:1 --port=80 --labels=a=b --env=A=1 --restart=Never --command -- a b
        run over --image=example.com/web:1 --overrides='{"spec":{"priorityClassName":"urgent-making"}}'
        run nopriority --image=example.com/web:1 --overrides='{"spec":{"priorityClassName":"none-such"}}'
        run exposed --image=example.com/web:1 --port=80 --expose
        run Wrong --image=example.com/web:1
        run noimage --image=' '
        expose deployment many --port=80 --target-port=8080
        expose pod more --name=more-service
        expose pod more --name=more-node --type=NodePort
        expose pod more --name=More
        expose deployment missing --port=80
        expose service plain --name=plain2 --port=81
        autoscale deployment many --min=1 --max=3 --cpu-percent=50
        autoscale deployment many --name=none --max=0
        autoscale deployment many --name=swapped --min=5 --max=3
        autoscale deployment missing --max=3
        create job from-none --from=cronjob/none
    """
    for line in made.strip().splitlines():
        command = line.strip()
        if " -- " in command:
            options, _, rest = command.partition(" -- ")
            trial = "%s --dry-run=server -o yaml -- %s" % (options, rest)
        else:
            trial = command + " --dry-run=server -o yaml"
        k.run(trial)
        if command.startswith("autoscale") and len({code for code, _, _ in k.run(command)}) > 1:
            k.raw("delete hpa --all")  # made in one of them only
            continue
        if not command.startswith("autoscale"):
            k.run(command)
        k.run(command, note="again")
    all_of(k, """
        get all
        get cm,secret,sa,role,rolebinding,ing,hpa -o name
        get ing,rolebindings,roles,svc,deploy,sa -o wide
        get svc
        describe ing
        describe svc
        describe hpa
        describe role
        describe rolebinding
        describe job
        describe secret
        describe deployment
        create token robot --audience=x
        create token none
    """)


def case_changes(k):
    """set, scale, edit, patch, label, annotate, rollout."""
    space(k, "change")
    k.write("web.yaml", WEB)
    k.write("settings.yaml", SETTINGS)
    k.write("pod.yaml", POD % ("single", "single"))
    all_of(k, r"""
        create -f web.yaml -f settings.yaml -f pod.yaml --save-config
        scale deployment web --replicas=3
        scale deployment web --replicas=3 --current-replicas=2
        scale deployment web --replicas=-1
        scale deployment missing --replicas=1
        scale -f web.yaml --replicas=4 --dry-run=server
        scale -f web.yaml --replicas=4 -o yaml
        scale cm settings --replicas=1
        scale pod single --replicas=1
        scale deployment --all --replicas=2
        scale deployment web --replicas=2 --resource-version=1
        set image deployment/web web=example.com/web:2
        set image deployment/web web=example.com/web:2
        set image deployment/web nothing=example.com/web:2
        set image deployment/web *=example.com/web:3 --dry-run=server -o yaml
        set image pod/single c=example.com/app:2
        set image pod/single c=
        set env deployment/web B=2
        set env deployment/web A-
        set env deployment/web --from=configmap/settings --prefix=S_ --keys=a
        set env deployment/web --list
        set env deployment/web 'a b=c'
        set env pod/single X=y
        set resources deployment/web --limits=cpu=200m,memory=512Mi --requests=cpu=100m
        set resources deployment/web --limits=cpu=50m
        set resources deployment/web --limits=cpu=x
        set serviceaccount deployment/web robot
        set selector service web app=x
        set subject rolebinding none --user=x
        get deployment web -o yaml
        get deployment web -o yaml --show-managed-fields
        describe deployment web
        rollout history deployment/web
        rollout status deployment/web --timeout=1s
        rollout status deployment/web --watch=false
        rollout pause deployment/web
        rollout pause deployment/web
        rollout undo deployment/web
        rollout restart deployment/web
        rollout resume deployment/web
        rollout resume deployment/web
        rollout restart deployment/missing
        rollout history deployment/web --revision=3
        rollout undo deployment/web --to-revision=3
        rollout status pod/single
        label cm settings a=b
        label cm settings a=b
        label cm settings a=c
        label cm settings a=c --overwrite
        label cm settings a-
        label cm settings a-
        label cm settings 'a b=c'
        label cm settings a='c d'
        label cm settings a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        label cm settings x=y --resource-version=1
        label cm missing a=b
        label cm --all q=r
        label cm -l q=r s=t --dry-run=server -o yaml
        annotate cm settings note=two
        annotate cm settings note=two --overwrite
        annotate cm settings note-
        annotate cm settings 'x y=z'
        annotate cm settings example.com/a=b --resource-version=1
        patch cm settings -p '{"data":{"c":"3"}}'
        patch cm settings -p '{"data":{"c":"3"}}'
        patch cm settings -p '{"data":{"c":3}}'
        patch cm settings -p '{"data":"x"}'
        patch cm settings -p '{"data":['
        patch cm settings -p 'x'
        patch cm settings -p '[]'
        patch cm settings -p '{"nonsense":1}'
        patch cm settings -p '{"kind":"Secret"}'
        patch cm settings -p '{"apiVersion":"v9"}'
        patch cm settings --type=merge -p '{"kind":"Secret"}'
        patch cm settings --type=merge -p '{"apiVersion":"v9"}'
        patch cm settings --type=merge -p '{"kind":null}'
        patch cm settings -p '{"metadata":{"name":"other"}}'
        patch cm settings -p '{"metadata":{"namespace":"other"}}'
        patch cm settings -p '{"metadata":{"uid":"x"}}'
        patch cm settings -p '{"metadata":{"resourceVersion":"1"}}'
        patch cm settings --type=merge -p '{"data":null}' --dry-run=server -o yaml
        patch cm settings --type=json -p '[{"op":"add","path":"/data/x","value":"y"}]'
        patch cm settings --type=json -p '[{"op":"add","path":"/nothing/x","value":"y"}]'
        patch cm settings --type=json -p '[{"op":"replace","path":"/data/none","value":"y"}]'
        patch cm settings --type=merge -p '{"data":{"none":null}}'
        patch cm settings --type=json -p '[{"op":"nonsense","path":"/data/x","value":"y"}]'
        patch cm settings --type=json -p '[{"op":"test","path":"/data/x","value":"z"}]'
        patch cm settings --type=json -p '{"op":"test"}'
        patch cm missing -p '{"data":{"c":"3"}}'
        patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"x"}]}}}}'
        patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"image":"x"}]}}}}'
        patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"web","$patch":"delete"}]}}}}'
        patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"web","$patch":"nonsense"}]}}}}'
        patch deployment web -p '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}'
        patch deployment web -p '{"spec":{"replicas":"x"}}'
        patch deployment web -p '{"spec":{"replicas":-1}}'
        patch deployment web -p '{"spec":{"strategy":{"type":"Recreate"}}}'
        patch deployment web -p '{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}'
        patch deployment web -p '{"spec":{"strategy":{"$retainKeys":["type"],"type":"RollingUpdate"}}}'
        patch deployment web --type=merge -p '{"spec":{"template":{"spec":{"containers":[]}}}}'
        patch pod single -p '{"spec":{"containers":[{"name":"c","image":"y"}]}}'
        patch pod single -p '{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"b"}]}]}}'
        patch pod single -p '{"spec":{"nodeName":"x"}}'
        patch pod single -p '{"spec":{"activeDeadlineSeconds":5}}'
        patch pod single -p '{"spec":{"activeDeadlineSeconds":50}}'
        patch pod single -p '{"spec":{"tolerations":[{"key":"a","operator":"Exists"}]}}'
        patch pod single -p '{"spec":{"terminationGracePeriodSeconds":5}}'
        get pod single -o yaml
        get cm settings -o yaml --show-managed-fields
    """)
    for name, script in (("change", "s/b: \"2\"/b: \"3\"/"), ("nothing", "s/zzz/zzz/"), ("break", "s/^data:/data: [/"),
                         ("wrong", "s/^  b: .*/  b: {c: d}/"), ("rename", "s/name: settings/name: other/"),
                         ("old", "s/resourceVersion: .*/resourceVersion: \"1\"/"), ("unknown", "s/^data:/datum:/")):
        k.write("editor", "#!/bin/sh\nexec sed -i '%s' \"$1\"\n" % script)
        k.run("edit cm settings", env={"EDITOR": "sh ./editor"}, note=name)
    for name, script in (("image", "s/image: .*/image: example.com\\/new/"), ("selector", "s/app: web/app: other/")):
        k.write("editor", "#!/bin/sh\nexec sed -i '%s' \"$1\"\n" % script)
        k.run("edit deployment web", env={"EDITOR": "sh ./editor"}, note=name)
        k.run("edit deployment web -o yaml", env={"EDITOR": "sh ./editor"}, note=name)
    k.run("edit cm missing", env={"EDITOR": "true"})
    k.run("edit cm settings --save-config", env={"EDITOR": "true"})


def case_apply(k):
    space(k, "applied")
    k.write("web.yaml", WEB)
    k.write("settings.yaml", SETTINGS)
    k.write("web2.yaml", WEB.replace("replicas: 2", "replicas: 5").replace("web:1", "web:2").replace('env: [{name: A, value: "1"}]', "env: [{name: B}]"))
    k.write("settings2.yaml", SETTINGS.replace(', b: "2"', ', c: "2"').replace("note: one", "other: one"))
    k.write("unknown.yaml", SETTINGS + "nonsense: 1\n")
    k.write("double.yaml", WEB.replace("replicas: 2", "replicas: 2\n  replicas: 3"))
    k.write("wrong.yaml", WEB.replace("replicas: 2", "replicas: two"))
    k.write("many.yaml", SETTINGS + "---\n" + SETTINGS.replace("name: settings", "name: second") + "---\n" + POD % ("one", "one"))
    k.write("generate.yaml", SETTINGS.replace("name: settings", "generateName: gen-"))
    k.write("nokind.yaml", "apiVersion: v1\nmetadata: {name: x}\n")
    k.write("noversion.yaml", "kind: ConfigMap\nmetadata: {name: x}\n")
    k.write("nothing.yaml", "apiVersion: none.example/v1\nkind: Nothing\nmetadata: {name: x}\n")
    k.write("noname.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {labels: {a: b}}\n")
    k.write("elsewhere.yaml", SETTINGS.replace("name: settings", "name: settings, namespace: nowhere"))
    k.write("list.yaml", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: l1}}\n"
                         "- {apiVersion: v1, kind: Secret, metadata: {name: l2}}\n")
    all_of(k, """
        apply -f web.yaml --dry-run=server -o yaml
        apply -f web.yaml
        apply -f web.yaml
        apply -f web2.yaml --dry-run=server
        apply -f web2.yaml --dry-run=server -o yaml
        diff -f web2.yaml
        apply -f web2.yaml
        get deployment web -o yaml --show-managed-fields
        apply view-last-applied deployment web
        apply edit-last-applied missing
        scale deployment web --replicas=9
        apply -f web2.yaml
        get deployment web -o jsonpath={.spec.replicas}
        diff -f web.yaml
        create -f settings.yaml
        apply -f settings.yaml
        apply -f settings2.yaml
        get cm settings -o yaml
        apply set-last-applied -f settings.yaml
        apply set-last-applied -f settings.yaml
        diff -f settings.yaml
        diff -f settings2.yaml
        apply -f unknown.yaml
        apply -f unknown.yaml --validate=false
        apply -f double.yaml
        apply -f wrong.yaml
        apply -f wrong.yaml --validate=false
        create -f unknown.yaml
        create -f wrong.yaml
        create -f double.yaml
        create -f double.yaml --validate=false
        replace -f wrong.yaml --validate=false
        replace -f unknown.yaml
        apply -f generate.yaml
        create -f generate.yaml -o name
        apply -f nokind.yaml
        apply -f noversion.yaml
        apply -f nothing.yaml
        apply -f noname.yaml
        create -f noname.yaml
        replace -f noname.yaml
        apply -f elsewhere.yaml
        apply -f elsewhere.yaml -n applied
        apply -f elsewhere.yaml -n nowhere
        create -f elsewhere.yaml
        apply -f list.yaml
        apply -f list.yaml
        apply -f missing.yaml
        apply -f many.yaml
        apply -f settings.yaml --prune -l app=web --prune-whitelist=core/v1/ConfigMap --dry-run=server
        apply -f settings.yaml --prune -l app=web --prune-whitelist=core/v1/ConfigMap
        get cm,pod,deploy -o name
        apply --server-side -f settings.yaml
        apply --server-side -f settings.yaml --field-manager=other
        apply --server-side -f settings2.yaml --field-manager=third
        apply --server-side -f settings2.yaml --field-manager=third --force-conflicts
        get cm settings -o yaml --show-managed-fields
        apply --server-side -f web.yaml
        apply --server-side -f web.yaml --force-conflicts
        apply --server-side -f web2.yaml --field-manager=other
        apply --server-side -f web2.yaml --force-conflicts -o yaml --show-managed-fields
        apply --server-side -f web2.yaml --dry-run=server
        apply --server-side -f unknown.yaml
        apply --server-side -f unknown.yaml --validate=false
        apply --server-side -f wrong.yaml
        apply --server-side -f wrong.yaml --validate=false
        apply --server-side -f double.yaml --validate=false
        apply --server-side -f generate.yaml
        apply --server-side -f many.yaml
        apply --server-side -f elsewhere.yaml
        diff --server-side -f web.yaml
        diff --server-side --force-conflicts -f web.yaml
        replace -f web.yaml
        replace -f web.yaml --save-config
        replace -f settings2.yaml -o yaml
        replace --force -f settings.yaml --wait=false
        replace -f many.yaml --dry-run=server
        delete -f many.yaml --wait=false
        replace -f many.yaml
        wait --for=condition=Available deployment/web --timeout=1s
        wait --for=delete cm/settings --timeout=1s
        wait --for=delete cm/missing --timeout=1s
        wait --for=condition=x cm/missing --timeout=1s
        delete deployment web --cascade=foreground --wait=false
        get deployment web -o yaml
        delete deployment web --cascade=orphan --wait=false
    """)


def case_rights(k):
    space(k, "rights")
    k.write("rbac.yaml", """apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [pods, configmaps], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}]
""")
    k.write("rbac2.yaml", """apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: john}]
""")
    k.write("settings.yaml", SETTINGS)
    k.write("web.yaml", WEB)
    all_of(k, """
        auth reconcile -f rbac.yaml --dry-run=server
        auth reconcile -f rbac.yaml
        auth reconcile -f rbac.yaml
        auth reconcile -f rbac2.yaml -o yaml
        get role,rolebinding -o yaml
        auth reconcile -f rbac.yaml --remove-extra-permissions --remove-extra-subjects
        auth reconcile -f settings.yaml
        auth can-i get pods
        auth can-i get pods --as jane
        auth can-i get pods/log --as jane
        auth can-i delete pods --as jane
        auth can-i '*' '*' --as jane
        auth can-i '*' '*'
        auth can-i get /metrics --as jane
        auth can-i get /healthz --as jane
        auth can-i get nothings --as jane
        auth can-i nonsense pods --as jane
        auth can-i get pods --all-namespaces --as jane
        auth can-i get pods -q --as jane
        auth can-i get nodes --as jane
        auth can-i get pods/one --as jane
        auth can-i --list
        auth can-i --list --as jane
        auth can-i --list --as jane -n default
        auth can-i --list --as system:serviceaccount:rights:default
        auth can-i --list --as x --as-group=system:masters
        auth can-i --list --as x --as-group=system:nodes
        get pods --as jane
        get pods --as jane -n default
        get pods -A --as jane
        get pod x --as jane
        get nodes --as jane
        get node x --as jane
        get ns --as jane
        get secrets --as jane
        get secret x --as jane
        get deploy,svc,cm --as jane
        get all --as jane
        get --raw /metrics --as jane
        get --raw /healthz --as jane
        get --raw /nonsense --as jane
        create -f settings.yaml --as jane
        apply -f settings.yaml --as jane
        apply --server-side -f settings.yaml --as jane
        diff -f settings.yaml --as jane
        replace -f settings.yaml --as jane
        delete -f settings.yaml --as jane
        delete pods --all --as jane
        patch cm settings -p '{"data":{"x":"y"}}' --as jane
        label cm settings a=b --as jane
        scale deployment web --replicas=1 --as jane
        run x --image=y --as jane
        exec x --as jane -- ls
        logs x --as jane
        create ns x --as jane
        create clusterrole x-rights --verb=get --resource=pods --as jane
        create rolebinding x --clusterrole=view --user=jane --as jane
        create token default --as jane
        cordon none --as jane
        certificate approve x --as jane
        top nodes --as jane
        cluster-info --as jane
        api-resources --as jane -o name --api-group=apps
        get pods --as ''
        get pods --as-group=system:masters
        get pods --as x --as-group=system:masters
        get pods --as x --as-group=system:masters --as-uid=u
        get pods --as system:serviceaccount:rights:default
        get pods --as system:anonymous
        get pods --as system:node:x --as-group=system:nodes
        get cm --token=nonsense
        get cm --token=nonsense --user=none
        create role wide --verb='*' --resource=pods --as jane
        create role grants --verb='*' --resource=roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io
        create role grants-pods --verb=get --resource=pods
        create rolebinding grants --role=grants --user=adam
        create rolebinding grants-pods --role=grants-pods --user=adam
        create role wide --verb=get --resource=nodes,pods --as adam
        create role narrow --verb=get --resource=pods --as adam
        create rolebinding big --clusterrole=cluster-admin --user=adam --as adam
        create rolebinding small --role=grants-pods --user=x --as adam
        create rolebinding none --role=no-such-role --user=x --as adam
        patch role narrow --type=json -p '[{"op":"add","path":"/rules/0/verbs/-","value":"list"}]' --as adam
        create rolebinding editors --clusterrole=edit --user=ed
        create role wide --verb=get --resource=pods --as ed
        get pods --as jane -o json
        create -f web.yaml -f settings.yaml --as jane
    """)


def case_nodes(k):
    space(k, "nodes")
    k.write("node.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: worker, labels: {role: x, kubernetes.io/hostname: worker}}\n")
    k.write("pod.yaml", (POD % ("placed", "placed")).replace("spec: {", "spec: {nodeName: worker, terminationGracePeriodSeconds: 0, "))
    all_of(k, """
        create -f node.yaml
        get nodes
        get nodes -o wide
        describe node worker
        get node worker -o yaml
        cordon worker
        cordon worker
        get nodes
        uncordon worker
        uncordon worker
        cordon missing
        cordon worker --dry-run=server
        taint nodes worker a=b:NoSchedule
        taint nodes worker a=b:NoSchedule
        taint nodes worker a=c:NoSchedule
        taint nodes worker a=c:NoSchedule --overwrite
        taint nodes worker a=c:Nonsense
        taint nodes worker a-
        taint nodes worker a-
        taint nodes worker a:NoExecute
        taint nodes missing a:NoExecute
        taint nodes --all b:PreferNoSchedule
        taint nodes worker c:NoSchedule --dry-run=server
        label node worker node-role.kubernetes.io/control-plane=
        get node
        get node worker -o yaml
        create -f pod.yaml
        describe node worker
        get pods -o wide
        drain worker
        drain worker --force --dry-run=server
        drain worker --force --dry-run=client
        drain worker --force --grace-period=0 --timeout=20s
        get pods
        drain missing
        uncordon worker
        logs placed
        get --raw /api/v1/nodes/worker/proxy/healthz
        top node
        top node worker
        top pod
        top pod x
        patch node worker -p '{"spec":{"podCIDR":"10.1.0.0/24"}}'
        patch node worker -p '{"spec":{"podCIDR":"10.2.0.0/24"}}'
        patch node worker -p '{"spec":{"podCIDR":"x"}}'
        patch node worker -p '{"spec":{"providerID":"x"}}'
        patch node worker -p '{"spec":{"providerID":"y"}}'
        annotate node worker a=b
        delete node worker --wait=false
        get node worker
        config view
        config get-contexts
        config current-context
        cluster-info
        version --short
    """)
    documents = tour()
    k.write("csr.yaml", documents["CertificateSigningRequest"])
    all_of(k, """
        create -f csr.yaml
        get csr
        describe csr tour-csr
        certificate approve tour-csr
        certificate approve tour-csr
        get csr
        get csr tour-csr -o yaml
        certificate deny tour-csr
        certificate approve missing
        certificate approve -f csr.yaml
        delete csr tour-csr
    """)


def case_widgets(k):
    """A type of its own."""
    import api_diff_objects
    from kubectl_diff_more import explain
    space(k, "custom")
    definition = json.loads(json.dumps(api_diff_objects.WIDGETS))  # 1.20 takes all lists of a kind with an int-or-string for atomic
    del definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["either"]
    k.write("crd.yaml", json.dumps(definition))
    widget = {"apiVersion": "differ.example/v1", "kind": "Widget", "metadata": {"name": "w"}, **api_diff_objects.WIDGET.body}
    k.write("w.json", json.dumps(widget))
    k.write("w2.json", json.dumps({**widget, "spec": {"size": 5, "parts": [{"name": "b"}], "nonsense": 1, "replicas": 2}}))
    k.write("bad.json", json.dumps({**widget, "spec": {"size": 500, "mode": "X9", "color": "green", "tags": ["a", "a"], "map": {"a": "b"}}}))
    k.write("worse.json", json.dumps({**widget, "spec": {"size": "x", "parts": 3}}))
    k.write("nosize.json", json.dumps({**widget, "spec": {}}))
    all_of(k, """
        apply -f crd.yaml
        wait --for=condition=Established crd/widgets.differ.example --timeout=20s
        get crd
        get crd widgets.differ.example -o yaml
        describe crd widgets.differ.example
        get widgets
        get wd -o wide
        create -f w.json
        create -f w.json
        get widgets
        get wd w -o wide
        get widget.differ.example/w -o yaml
        get widgets -o yaml
        get all
        describe widget w
        describe widgets
        apply -f w.json
        apply -f w2.json
        apply -f w2.json --validate=false
        diff -f w.json
        get wd w -o yaml --show-managed-fields
        apply -f bad.json
        apply -f bad.json --validate=false
        apply -f worse.json
        apply -f worse.json --validate=false
        apply -f nosize.json
        apply -f nosize.json --validate=false
        create -f bad.json
        replace -f bad.json
        replace -f w2.json --validate=false
        patch widget w --type=merge -p '{"spec":{"size":7}}'
        patch widget w -p '{"spec":{"size":7}}'
        patch widget w --type=merge -p '{"spec":{"size":700}}'
        patch widget w --type=json -p '[{"op":"remove","path":"/spec/size"}]'
        scale widget w --replicas=3
        scale widget w --replicas=-3
        label widget w a=b
        annotate widget w a=b
        get wd -l a=b
        get wd --field-selector metadata.name=w
        get wd --field-selector spec.size=7
        get wd --sort-by=.spec.size
        apply --server-side -f w.json
        apply --server-side -f w.json --force-conflicts
        apply --server-side -f bad.json --force-conflicts
        apply --server-side -f w2.json --force-conflicts --validate=false
        get wd w -o yaml --show-managed-fields
        autoscale widget w --max=3
        expose widget w --port=80
        rollout status widget/w
        edit widget w
        auth can-i get widgets --as jane
        get wd --as jane
    """, env={"EDITOR": "sed -i s/size:.*/size:\\ 9/"})
    if k.minor < 27:  # as in case_explain
        for path in ("widgets", "widgets.spec", "widgets.spec.parts", "widgets --recursive", "widgets.nonsense"):
            explain(k, path)
    all_of(k, """
        delete wd w --wait=false
        delete wd w --wait=false
        delete wd --all
        delete crd widgets.differ.example --wait=false
    """)
