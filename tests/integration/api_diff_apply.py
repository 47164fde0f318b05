"""How applies of 1.20 turn out otherwise than those of 1.35, foretold from what was there and what is applied, for api_diff_patches.py."""
import copy
import json
import re

from api_diff_lib import differences

# What makes an item of a list that is merged; lists that are not here are one value.
KEYS = {"containers": ("name",), "initContainers": ("name",), "env": ("name",), "volumes": ("name",), "parts": ("name",),
        "ports": ("containerPort", "port", "protocol"), "conditions": ("type",), "tags": (), "finalizers": ()}
MAPS = ("data", "labels", "annotations", "limits", "resources", "map", "template", "metadata", "spec", "strategy")
FOLLOWS = re.compile(r"metadata\.(generation|resourceVersion)$|managedFields\[\d+\]\.time$")  # from an object that has changed


def key_of(name, item):
    return tuple(str(item.get(k)) for k in KEYS[name]) if KEYS[name] else item


def older(live, config):
    """Before 1.24 (structured-merge-diff 4.2.1): what there was, then what came."""
    return live + [k for k in config if k not in live]


def newer(live, config):
    """Since: the configuration's order, and before each item that both have, what only the object has up to that item's old place."""
    out, at = [], 0
    for n, key in enumerate(config):
        shared = [k for k in config[n:] if k in live]
        if not shared:
            end = next((i for i in range(at, len(live)) if live[i] in config), len(live))
        else:
            place = live.index(shared[0])
            end = place if place >= at else len(live)
        out += [k for k in live[at:end] if k not in config] + [key]
        at = end + (end < len(live) and (key in live or not shared))
    return out + [k for k in live[at:] if k not in config]


def as_foretold(live, config, theirs, ours):
    """Have all merged lists the orders that they must have? Theirs are put in our order; None: some have not."""
    if isinstance(config, dict):
        for name, value in config.items():
            if not all(isinstance(o, dict) and name in o for o in (theirs, ours)):
                continue
            before = live.get(name) if isinstance(live, dict) else None
            if name in KEYS and isinstance(value, list) and isinstance(theirs[name], list):
                if not list_as_foretold(name, before or [], value, theirs, ours):
                    return False
            elif not as_foretold(before, value, theirs[name], ours[name]):
                return False
    return True


def list_as_foretold(name, live, config, theirs, ours):
    keys = [[key_of(name, item) for item in items] for items in (live, config, theirs[name], ours[name])]
    if any(len(set(k)) < len(k) for k in keys) or set(keys[2]) != set(keys[3]):
        return keys[2] == keys[3]
    for merge, got in ((older, keys[2]), (newer, keys[3])):
        if [k for k in merge(keys[0], keys[1]) if k in got] != got:
            return False
    items = {key_of(name, item): item for item in theirs[name]}
    theirs[name] = [items[k] for k in keys[3]]
    before = {key_of(name, item): item for item in live}
    return all(as_foretold(before.get(key_of(name, c)), c, items.get(key_of(name, c)), o)
               for c in config for o in ours[name] if key_of(name, o) == key_of(name, c))


def only_order(live, config, theirs, ours, excused):
    """1.24: lists are merged in the order of what is applied."""
    if {theirs["status"], ours["status"]} - {200, 201}:
        return False
    theirs = copy.deepcopy(theirs)
    if not as_foretold(live, config, theirs["body"], ours["body"]):
        return False
    return all(excused(*d) or FOLLOWS.search(d[0]) for d in differences(theirs, ours))


def emptied(theirs, ours):
    """1.21: a list whose last item is given up goes; before, null took its place, which no schema of a custom resource takes."""
    return theirs["status"] == 422 and ours["status"] in (200, 422) and re.search(r'must be of type \w+: "null"', theirs["body"]["message"])


def conflicts(answer):
    message = answer["body"].get("message", "")
    return re.findall(r"^- (.*)$", message, re.M) or re.findall(r": (\.\S+)$", message)


def overwritten(theirs, ours):
    """1.29 (structured-merge-diff 4.3): a conflict's path is its own; before, its first steps may be those of a later one."""
    if theirs["status"] != 409 or ours["status"] != 409:
        return False
    told, own = conflicts(theirs), conflicts(ours)
    return len(told) == len(own) and all(any(o.startswith(t) for o in own) for t in told)


def free_conflicts(theirs, ours):
    """1.21: what a schema leaves open is deduced member by member: whose its members are, and so what goes with them."""
    told, own = ({c for c in conflicts(a) if not c.startswith(".spec.free")} for a in (theirs, ours))
    return theirs["status"] == ours["status"] == 409 and told == own


def without_free(answer):
    """Without what is left open, and without owners of nothing else."""
    answer = copy.deepcopy(answer)
    o = answer["body"]
    if o.get("kind") == "Gadget":
        o.get("spec", {}).pop("free", None)
        for e in o["metadata"].get("managedFields", []):
            e["fieldsV1"].get("f:spec", {}).pop("f:free", None)
            if e["fieldsV1"].get("f:spec") == {}:
                del e["fieldsV1"]["f:spec"]
        o["metadata"]["managedFields"] = [e for e in o["metadata"].get("managedFields", []) if e["fieldsV1"]]
    return answer


def only_known(theirs, ours, excused):
    return all(excused(*d) or FOLLOWS.search(d[0]) for d in differences(theirs, ours))


def emptied_owners(live):
    """Paths that somebody owns with nothing below, where what is there now has members (of a kind that can be owned one by one)."""
    def walk(fields, value, path):
        for step, below in fields.items():
            inner = value.get(step[2:]) if isinstance(value, dict) else None
            if step.startswith("f:") and below == {} and inner and (step[2:] in KEYS or step[2:] in MAPS):
                yield path + [step[2:]]
            elif step.startswith("f:"):
                yield from walk(below, inner, path + [step[2:]])
            elif step.startswith("k:") and isinstance(value, list):
                key = json.loads(step[2:])
                item = next((i for i in value if all(i.get(k) == v for k, v in key.items())), None)
                yield from walk(below, item, path + [step])
    for e in live.get("metadata", {}).get("managedFields", []):
        yield from walk(e.get("fieldsV1", {}), live, [])


def filled(live):
    """1.22 (structured-merge-diff 4.1.1): an owner of an emptied map has nothing of what comes into it; before, all of it from the next write on.
    Where that shows, if somebody owns one."""
    paths = "|".join(re.escape(".".join(p)) for p in emptied_owners(live))
    return re.compile(r"managedFields|body\.(%s)\b" % paths) if paths else None


def foretold(plural, live, config):
    """Whether a difference is one of these: a function for Pair.judge. `config`: what is applied, where something is."""
    owned = filled(live)

    def judge(theirs, ours, known):
        def excused(path, a, b):
            return known(path, a, b) or owned and owned.search(path)
        if plural == "gadgets":
            theirs, ours = without_free(theirs), without_free(ours)
        if owned and 409 in (theirs["status"], ours["status"]):
            return True
        if (owned or plural == "gadgets") and only_known(theirs, ours, excused):
            return True
        if config is not None and (only_order(live, config, theirs, ours, excused) or overwritten(theirs, ours)):
            return True
        return plural == "gadgets" and (bool(emptied(theirs, ours)) or free_conflicts(theirs, ours))
    return judge
