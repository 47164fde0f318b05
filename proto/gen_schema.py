#!/usr/bin/python3
"""Turn the descriptors of proto/*.proto into C tables (see api/schema.h and api/kinds.h).

usage: gen_schema.py DESCRIPTOR_SET OUT_DIR

Writes schema_ids.h (an id per message), schema_tables.c (messages, fields, strings) and
kinds_tables.c (resources). The descriptor set must hold imports and source info: comments become
descriptions.
"""
import re
import sys

import describe
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# protoc-c appends '_' to these.
KEYWORDS = set("""and and_eq asm auto bitand bitor bool break case catch char class compl const
const_cast continue default delete do double dynamic_cast else enum explicit extern false float for
friend goto if inline int long mutable namespace new not not_eq operator or or_eq private protected
public register reinterpret_cast return short signed sizeof static static_cast struct switch template
this throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while
xor xor_eq""".split())

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

# Discovery order (how short names resolve); within a group the preferred version first.
GROUP_ORDER = ["", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io",
               "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io",
               "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
               "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io",
               "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "resource.k8s.io",
               "flowcontrol.apiserver.k8s.io"]

FD = descriptor_pb2.FieldDescriptorProto
TYPES = {FD.TYPE_BOOL: "SCHEMA_BOOL", FD.TYPE_INT32: "SCHEMA_INT32", FD.TYPE_INT64: "SCHEMA_INT64",
         FD.TYPE_DOUBLE: "SCHEMA_DOUBLE", FD.TYPE_STRING: "SCHEMA_STRING",
         FD.TYPE_BYTES: "SCHEMA_BYTES", FD.TYPE_MESSAGE: "SCHEMA_MESSAGE"}


class Options:
    """Reads the c8s.* extensions of an options message."""

    def __init__(self, pool):
        self.pool = pool

    def get(self, options, name):
        ext = self.pool.FindExtensionByName("c8s." + name)
        return options.Extensions[ext]


def load(path):
    """The descriptor set, parsed by a pool that knows our options."""
    data = open(path, "rb").read()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    cls = factory.GetPrototype(pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet"))
    files = [f for f in cls.FromString(data).file
             if not f.name.startswith(("google/", "protobuf-c/", "c8s/"))]
    return files, Options(pool)


class Strings:
    """One pool of NUL-terminated strings; equal strings share an offset, "" is at 0."""

    def __init__(self):
        self.offsets = {"": 0}
        self.parts = [""]
        self.size = 1

    def add(self, text):
        if text not in self.offsets:
            self.offsets[text] = self.size
            self.parts.append(text)
            self.size += len(text.encode()) + 1
        return self.offsets[text]


def c_type(full_name):
    return "__".join(part[0].upper() + part[1:] for part in full_name.split("."))


def c_member(name):
    return name + "_" if name in KEYWORDS else name


def c_string(text):
    out = ""
    for byte in text.encode():
        ch = chr(byte)
        if ch in '"\\':
            out += "\\" + ch
        elif 32 <= byte < 127:
            out += ch
        else:
            out += "\\%03o" % byte
    return '"' + out + '"'


class Message:
    def __init__(self, file, index, desc):
        self.file, self.index, self.desc = file, index, desc
        self.full_name = file.package + "." + desc.name
        self.c = c_type(self.full_name)
        self.doc = comments[file.name].get((4, index), "") or describe.message(desc.name)


comments = {}


def read_comments(files):
    for file in files:
        table = comments[file.name] = {}
        for loc in file.source_code_info.location:
            if loc.leading_comments:
                table[tuple(loc.path)] = re.sub(r"\s+", " ", loc.leading_comments).strip()


def field_flags(opt, f):
    o = f.options
    flags = []
    omit = opt.get(o, "omit")
    if omit >= 1:
        flags.append("SCHEMA_OMIT_EMPTY")
    if omit == 2:
        flags.append("SCHEMA_OMIT_ZERO")
    if opt.get(o, "inline"):
        flags.append("SCHEMA_INLINE")
    if opt.get(o, "must"):
        flags.append("SCHEMA_REQUIRED")
    for patch in opt.get(o, "patch"):
        flags.append({1: "SCHEMA_PATCH_MERGE", 2: "SCHEMA_PATCH_REPLACE",
                      3: "SCHEMA_PATCH_RETAIN_KEYS"}[patch])
    if opt.get(o, "atomic"):
        flags.append("SCHEMA_ATOMIC")
    if opt.get(o, "granular"):
        flags.append("SCHEMA_GRANULAR")
    return " | ".join(flags) or "0"


def field_label(opt, f):
    if opt.get(f.options, "map"):
        return "SCHEMA_MAP"
    return {FD.LABEL_REQUIRED: "SCHEMA_VALUE", FD.LABEL_OPTIONAL: "SCHEMA_POINTER",
            FD.LABEL_REPEATED: "SCHEMA_REPEATED"}[f.label]


def field_doc(opt, docs, m, i, f):
    """The comment of a field, or a sentence made from what is known of it."""
    doc = comments[m.file.name].get((4, m.index, 2, i), "")
    o = f.options
    if doc or opt.get(o, "inline"):
        return doc
    values = [v for v in opt.get(o, "values").split(",") if v]
    label = "map" if opt.get(o, "map") else "list" if f.label == FD.LABEL_REPEATED else "value"
    target = docs[f.type_name[1:]] if f.type == FD.TYPE_MESSAGE and label != "map" else ""
    return describe.field(f.json_name, label, f.type == FD.TYPE_BOOL, f.type in (FD.TYPE_INT32, FD.TYPE_INT64), values,
                          opt.get(o, "default"), target)


def field_row(opt, strings, ids, docs, m, i, f):
    member = c_member(f.name)
    if f.label == FD.LABEL_REPEATED:
        count = f"offsetof({m.c}, n_{member})"
    elif f.label == FD.LABEL_OPTIONAL and f.type not in (FD.TYPE_STRING, FD.TYPE_MESSAGE):
        count = f"offsetof({m.c}, has_{member})"
    else:
        count = "0"
    target = ids[f.type_name[1:]] if f.type == FD.TYPE_MESSAGE else 0
    o = f.options
    doc = field_doc(opt, docs, m, i, f)
    json_name = "" if opt.get(o, "inline") else f.json_name
    lists = ["SCHEMA_LIST_NONE", "SCHEMA_LIST_ATOMIC", "SCHEMA_LIST_SET", "SCHEMA_LIST_MAP"]
    tag_len = 1 if f.number < 16 else 2 if f.number < 2048 else 3
    return (f"    {{{f.number}, {strings.add(f.name)}, {strings.add(json_name)}, "
            f"{strings.add(opt.get(o, 'merge_key'))}, {strings.add(opt.get(o, 'list_keys'))}, "
            f"{strings.add(opt.get(o, 'default'))}, {strings.add(doc)}, "
            f"{strings.add(','.join(sorted(opt.get(o, 'values').split(','))))}, offsetof({m.c}, {member}), {count}, {target}, "
            f"{TYPES[f.type]}, {field_label(opt, f)}, {field_flags(opt, f)}, "
            f"{lists[opt.get(o, 'list')]}, {int(opt.get(o, 'closed'))}, {tag_len}, {len(json_name)}}},"
            f" /* {m.full_name}.{f.name} */")


def members_of(opt, by_name, m, base):
    """(JSON name, field, via) of every member. Members of an inlined message are found through the
    inline field `via`, whose message may in turn inline another."""
    out = []
    for i, f in enumerate(m.desc.field):
        row = base[m.full_name] + i
        if opt.get(f.options, "inline"):
            inner = by_name[f.type_name[1:]]
            out += [(name, field, row) for name, field, _ in members_of(opt, by_name, inner, base)]
        elif f.json_name:
            out.append((f.json_name, row, 0xFFFF))
    return out


def message_flags(opt, m):
    flags = []
    o = m.desc.options
    if opt.get(o, "type_meta"):
        flags.append("SCHEMA_HAS_TYPE_META")
    first = m.desc.field[0] if m.desc.field else None
    if first is not None and first.name == "metadata" and first.number == 1:
        if first.type_name == ".meta.v1.ObjectMeta":
            flags.append("SCHEMA_HAS_OBJECT_META")
        elif first.type_name == ".meta.v1.ListMeta":
            flags.append("SCHEMA_HAS_LIST_META")
    if opt.get(o, "entry"):
        flags.append("SCHEMA_MAP_ENTRY")
    if opt.get(o, "atomic_message"):
        flags.append("SCHEMA_MESSAGE_ATOMIC")
    return " | ".join(flags) or "0"


def includes(files):
    return "".join(f'#include "proto/{f.name[:-6]}.pb-c.h"\n' for f in files)


def write_ids(path, messages):
    with open(path, "w") as out:
        out.write("/* Generated by proto/gen_schema.py: the id of every message. */\n"
                  "#ifndef C8S_PROTO_SCHEMA_IDS_H\n#define C8S_PROTO_SCHEMA_IDS_H\n\nenum schema_id {\n")
        for i, m in enumerate(messages):
            out.write(f"    {m.c}__SCHEMA = {i},\n")
        out.write(f"    SCHEMA_MESSAGE_COUNT = {len(messages)},\n    SCHEMA_NONE = 0xffff,\n}};\n\n#endif\n")


def filled_size(opt, by_name, m):
    """sizeof the struct and of the value messages that are always made with it, as a C expression."""
    out = f"sizeof({m.c})"
    for f in m.desc.field:
        if f.type == FD.TYPE_MESSAGE and field_label(opt, f) == "SCHEMA_VALUE":
            out += " + " + filled_size(opt, by_name, by_name[f.type_name[1:]])
    return out


def attention(opt, m, f):
    """Does an absent field still have a place in JSON (see api/wire_json.c)?"""
    omit = opt.get(f.options, "omit")
    always = omit == 0 or (omit == 1 and f.type == FD.TYPE_MESSAGE and
                           field_label(opt, f) == "SCHEMA_VALUE")
    spliced = m.full_name == "meta.v1.ObjectMeta" and f.name == "resource_version"
    return str(int(always or spliced or opt.get(f.options, "inline")))


def write_tables(path, opt, files, messages):
    ids = {m.full_name: i for i, m in enumerate(messages)}
    by_name = {m.full_name: m for m in messages}
    docs = {m.full_name: m.doc for m in messages}
    base, total = {}, 0
    for m in messages:
        base[m.full_name] = total
        total += len(m.desc.field)
    all_fields = [(m, f) for m in messages for f in m.desc.field]
    strings = Strings()
    rows, numbers, member_rows, message_rows = [], [], [], []
    special = ["PLAIN", "TIME", "MICRO_TIME", "DURATION", "QUANTITY", "INT_OR_STRING", "RAW",
               "STRINGS", "PROPS_OR_ARRAY", "PROPS_OR_BOOL", "PROPS_OR_STRINGS", "CUSTOM"]
    for m in messages:
        start = base[m.full_name]
        o = m.desc.options
        members = sorted(members_of(opt, by_name, m, base), key=lambda x: x[0].encode())
        oa = opt.get(o, "openapi_name") or \
            opt.get(m.file.options, "openapi_package") + "." + m.desc.name
        message_rows.append(
            f"    {{{strings.add(m.full_name)}, {strings.add(oa)}, {strings.add(m.doc)}, "
            f"{filled_size(opt, by_name, m)}, {m.c}__SCHEMA, sizeof({m.c}), {start}, {start}, {len(member_rows)}, "
            f"{len(m.desc.field)}, {len(members)}, SCHEMA_{special[opt.get(o, 'special')]}, "
            f"{message_flags(opt, m)}}},")
        rows += [field_row(opt, strings, ids, docs, m, i, f) for i, f in enumerate(m.desc.field)]
        order = sorted(range(len(m.desc.field)), key=lambda i: m.desc.field[i].number)
        numbers += [start + i for i in order]
        member_rows += [f"{{{field}, {via}}}," for _, field, via in members]
    with open(path, "w") as out:
        out.write("/* Generated by proto/gen_schema.py from proto/: see api/schema.h. */\n"
                  '#include "api/schema.h"\n' + includes(files) + "#include <stddef.h>\n\n")
        out.write("const char schema_strings[] =\n")
        for part in strings.parts:
            out.write("    " + c_string(part) + ' "\\0"\n')
        out.write("    ;\n\nconst struct schema_message schema_messages[SCHEMA_MESSAGE_COUNT] = {\n")
        out.write("\n".join(message_rows) + "\n};\n\n")
        out.write("const struct schema_field schema_fields[] = {\n" + "\n".join(rows) + "\n};\n\n")
        out.write("const uint16_t schema_by_number[] = {\n" +
                  ",\n".join(map(str, numbers)) + "\n};\n\n")
        out.write("const uint16_t schema_numbers[] = {\n" +
                  ",\n".join(str(all_fields[n][1].number) for n in numbers) + "\n};\n\n")
        out.write("const uint8_t schema_attention[] = {\n" +
                  ",\n".join(attention(opt, *all_fields[n]) for n in numbers) + "\n};\n\n")
        out.write("const struct schema_member schema_members[] = {\n" +
                  "\n".join(member_rows) + "\n};\n")


def verbs(text):
    return " | ".join("VERB_" + v.upper() for v in VERBS if v in text.split(",")) or "0"


def split_version(api_version):
    group, _, version = api_version.rpartition("/")
    return group, version


def c_list(items):
    return "(const char *const[]){" + "".join(c_string(i) + ", " for i in items) + "NULL}"


def resource_row(opt, ids, m, r):
    group = opt.get(m.file.options, "group")
    version = opt.get(m.file.options, "version")
    api_version = group + "/" + version if group else version
    list_name = m.full_name + "List"
    has_list = list_name in ids and "list" in r.verbs.split(",")
    subs = "".join(
        "{%s, %s, %s, %s, %s}, " % (c_string(s.name), *map(c_string, split_version(s.api_version)),
                                    c_string(s.kind), verbs(s.verbs)) for s in r.subresource)
    descriptions = {"Name": "Name of the object, unique within its kind and namespace.",
                    "Age": "How long the object has existed."}
    columns = list(r.column)
    rows = "".join("{%s, %s, %s, %s, %d}, " % (
        c_string(c.name), c_string(c.type), c_string(c.format),
        c_string(descriptions.get(c.name, c.name + ".")), c.priority) for c in columns)
    if not rows:
        rows = '{"Name", "string", "name", "Name of the object.", 0}, ' \
               '{"Age", "string", "", "How long the object has existed.", 0}, '
    stored = ids[r.stored_as] if r.stored_as else ids[m.full_name]
    return (f"    {{{c_string(group)}, {c_string(version)}, {c_string(api_version)}, "
            f"{c_string(m.desc.name)}, {c_string(m.desc.name + 'List' if has_list else '')}, "
            f"{c_string(r.plural)}, {c_string(r.singular)},\n     {c_list(r.short_name)}, "
            f"{c_list(r.category)}, {c_string(r.storage)},\n"
            f"     (const struct subresource[]){{{subs}{{0}}}},\n"
            f"     (const struct column[]){{{rows}{{0}}}},\n"
            f"     {verbs(r.verbs)}, {ids[m.full_name]}, "
            f"{ids[list_name] if has_list else 'SCHEMA_NONE'}, {stored}, "
            f"{'true' if r.namespaced else 'false'}}},")


def write_kinds(path, opt, messages):
    ids = {m.full_name: i for i, m in enumerate(messages)}
    found = []
    for m in messages:
        r = opt.get(m.desc.options, "resource")
        if not r.plural:
            continue
        group = opt.get(m.file.options, "group")
        version = opt.get(m.file.options, "version")
        found.append((GROUP_ORDER.index(group), -int(version.strip("v")), r.plural, m, r))
    found.sort(key=lambda x: x[:3])
    versions = []
    for order, _, _, m, _ in found:
        pair = (opt.get(m.file.options, "group"), opt.get(m.file.options, "version"))
        if pair not in versions:
            versions.append(pair)
    with open(path, "w") as out:
        out.write("/* Generated by proto/gen_schema.py from proto/: see api/kinds.h. */\n"
                  '#include "api/kinds.h"\n#include <stddef.h>\n\n'
                  "const struct resource resources[] = {\n")
        for _, _, _, m, r in found:
            out.write(resource_row(opt, ids, m, r) + "\n")
        out.write(f"}};\nconst size_t resources_len = {len(found)};\n\n"
                  "const struct group_version group_versions[] = {\n")
        seen = set()
        for group, version in versions:
            api = group + "/" + version if group else version
            out.write(f"    {{{c_string(group)}, {c_string(version)}, {c_string(api)}, "
                      f"{'false' if group in seen else 'true'}}},\n")
            seen.add(group)
        out.write(f"}};\nconst size_t group_versions_len = {len(versions)};\n\n")
        write_top_level(out, opt, messages)


def write_top_level(out, opt, messages):
    """Kinds by message: what apiVersion and kind each top-level message goes by."""
    out.write("const struct kind_name kind_names[] = {\n")
    count = 0
    for i, m in enumerate(messages):
        if not opt.get(m.desc.options, "type_meta"):
            continue
        group = opt.get(m.file.options, "group")
        version = opt.get(m.file.options, "version")
        api = group + "/" + version if group else version
        meta = m.file.package == "meta.v1"
        if meta and m.desc.name.startswith(("PartialObject", "Table")):
            api = "meta.k8s.io/v1"
        out.write(f"    {{{c_string(api)}, {c_string(m.desc.name)}, {i}, {'true' if meta else 'false'}}},\n")
        count += 1
    out.write(f"}};\nconst size_t kind_names_len = {count};\n")


def main():
    files, opt = load(sys.argv[1])
    read_comments(files)
    messages = [Message(f, i, d) for f in files for i, d in enumerate(f.message_type)]
    out = sys.argv[2]
    write_ids(out + "/schema_ids.h", messages)
    write_tables(out + "/schema_tables.c", opt, files, messages)
    write_kinds(out + "/kinds_tables.c", opt, messages)


if __name__ == "__main__":
    main()
