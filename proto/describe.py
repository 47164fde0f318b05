"""Descriptions of fields and messages whose .proto comment says nothing: a sentence from what is known of
them (name, type, what they point to, published values, default)."""
import re

FIXED = {
    "apiVersion": "Version of the schema that the object named is written in.",
    "kind": "Name of the type, in CamelCase.",
    "metadata": "What every object says of itself: name, labels, owners.",
    "spec": "What is wanted.",
    "status": "What is observed; written by the system.",
    "items": "The objects of the list.",
    "name": "Name of it.",
    "namespace": "Namespace of what is named.",
    "uid": "Unique id of what is named.",
    "labels": "Labels: names and values to select by.",
    "annotations": "Annotations: names and values that nothing selects by.",
    "message": "What happened, for people.",
    "reason": "Why, as one word in CamelCase for programs.",
    "type": "Which type it is of.",
    "value": "The value.",
    "key": "The key.",
    "path": "The path.",
    "conditions": "Conditions: what holds now, each with a reason.",
    "observedGeneration": "The generation of the object that the status speaks of.",
    "lastTransitionTime": "When the condition last changed from one status to another.",
    "lastUpdateTime": "When the condition was last written.",
    "selector": "Which objects are meant, by their labels.",
    "resourceVersion": "Version of the object in the store; to be compared for equality only.",
    "fieldPath": "Path of a field within the object.",
    "apiGroup": "API group of what is named; empty is the core group.",
    "apiGroups": "API groups; \"*\" is all.",
    "resources": "Resources, by their plural names; \"*\" is all.",
    "verbs": "Verbs: get, list, watch, create, update, patch, delete, and others; \"*\" is all.",
    "replicas": "How many there are, or shall be.",
    "group": "API group; empty is the core group.",
    "version": "API version.",
    "resource": "Resource, by its plural name.",
    "subresource": "Subresource, such as status or scale.",
    "readOnly": "Whether nothing can be written to it.",
    "optional": "Whether it may be missing.",
    "fsType": "File system type of the volume, such as ext4.",
    "secretRef": "The secret with the credentials.",
}
UPPER = {"ip": "IP", "ips": "IPs", "api": "API", "uid": "UID", "uids": "UIDs", "id": "id", "ids": "ids", "url": "URL", "uri": "URI",
         "tls": "TLS", "dns": "DNS", "http": "HTTP", "https": "HTTPS", "cpu": "CPU", "fs": "file system", "csi": "CSI", "nfs": "NFS",
         "iscsi": "iSCSI", "rbd": "RBD", "tcp": "TCP", "udp": "UDP", "grpc": "gRPC", "cel": "CEL", "aws": "AWS", "gce": "GCE", "fc": "Fibre Channel",
         "ca": "CA", "qos": "quality of service", "ipc": "IPC", "pid": "process id", "lun": "LUN", "selinux": "SELinux",
         "num": "number of", "max": "most", "min": "least", "ref": "reference", "refs": "references"}


def words(name):
    """"hostPathVolume" → "host path volume"."""
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])[0-9]*", name)
    return " ".join(UPPER.get(p.lower(), p.lower()) for p in parts) or name


def sentence(text):
    text = text[0].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def first_sentence(doc):
    return re.split(r"(?<=[.!])\s", doc, maxsplit=1)[0].rstrip(".")


def lower_first(text):
    return text if text[:2].isupper() else text[0].lower() + text[1:]


def scalar(name, boolean, integer, values):
    w = words(name)
    if boolean:
        return "Whether this holds: " + w
    if name.endswith("Seconds"):
        return words(name[:-len("Seconds")] or "time") + ", in seconds"
    if name.endswith("Percent"):
        return words(name[:-len("Percent")]) + ", in percent"
    if name.endswith("Name") and len(name) > 4:
        return "name of the " + words(name[:-len("Name")])
    if values:
        return w + ": " + ", ".join(values[:-1]) + (" or " if len(values) > 1 else "") + values[-1]
    if integer and not w.startswith("number of"):
        return w + ", a number"
    return w


def field(json_name, label, boolean, integer, values, default, target_doc):
    """A field without a comment. label: value, list or map; target_doc: of the message it holds, or ""."""
    if json_name in FIXED and label != "map":
        text = FIXED[json_name]
    elif target_doc:
        text = words(json_name) + ": " + lower_first(first_sentence(target_doc))
        text = ("list of " if label == "list" else "by name, " if label == "map" else "") + text
    else:
        text = scalar(json_name, boolean, integer, values)
        text = ("list: " if label == "list" else "names and values: " if label == "map" else "") + text
    text = sentence(text)
    if default and default not in ("{}", "\"\"", "[]"):
        text += " Default: %s." % default.strip('"')
    return text


def message(name):
    """A message without a comment."""
    for suffix, form in (("List", "A list of objects of kind %s"), ("Spec", "What is wanted of a %s"),
                         ("Status", "What is observed of a %s"), ("Condition", "A condition of a %s"),
                         ("Options", "Options of %s"), ("Reference", "Names a %s"), ("Selector", "Selects by %s"),
                         ("VolumeSource", "A volume: %s"), ("Source", "Where it comes from: %s"), ("Entry", "An entry: %s")):
        if name.endswith(suffix) and len(name) > len(suffix):
            rest = name[:-len(suffix)]
            return sentence(form % (rest if suffix in ("List", "Spec", "Status") else words(rest)))
    return sentence(words(name))
