/*
 * `c8s kv role add|delete|get|list|grant-permission|revoke-permission`, as etcdctl has them.
 */
#include "cli/kv/kv.h"

#include <stdio.h>

/* --------------------------------------------------------------- add, delete, list --- */

static void simple_add(struct kv_cli *c, const void *message)
{
    (void)message;
    printf("Role %s created\n", c->args.items[0]);
}

static void simple_delete(struct kv_cli *c, const void *message)
{
    (void)message;
    printf("Role %s deleted\n", c->args.items[0]);
}

static void simple_list(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__AuthRoleListResponse *r = message;
    for (size_t i = 0; i < r->n_roles; i++)
        puts(r->roles[i]);
}

static void fields_list(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__AuthRoleListResponse *r = message;
    kv_fields_header(r->header);
    fputs("\"Roles\" :", stdout);
    for (size_t i = 0; i < r->n_roles; i++) {
        putchar(' ');
        kv_print_quoted(kv_bytes(r->roles[i]));
    }
    putchar('\n');
}

static int add(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_add, .fields = kv_fields_only_header};
    Etcdserverpb__AuthRoleAddRequest q = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
    q.name = c->args.items[0];
    return kv_ask(c, "/etcdserverpb.Auth/RoleAdd", &q,
                  &etcdserverpb__auth_role_add_response__descriptor, &forms);
}

static int delete_role(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_delete, .fields = kv_fields_only_header};
    Etcdserverpb__AuthRoleDeleteRequest q = ETCDSERVERPB__AUTH_ROLE_DELETE_REQUEST__INIT;
    q.role = c->args.items[0];
    return kv_ask(c, "/etcdserverpb.Auth/RoleDelete", &q,
                  &etcdserverpb__auth_role_delete_response__descriptor, &forms);
}

static int list(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_list, .fields = fields_list};
    Etcdserverpb__AuthRoleListRequest q = ETCDSERVERPB__AUTH_ROLE_LIST_REQUEST__INIT;
    return kv_ask(c, "/etcdserverpb.Auth/RoleList", &q,
                  &etcdserverpb__auth_role_list_response__descriptor, &forms);
}

static int add_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv role add",
        .summary = "Make a role, which may do nothing yet.",
        .usage = "[flags] ROLE",
        .args = 1,
        .args_error = "role add command requires role name as its argument",
        .run = add,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int delete_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv role delete",
        .summary = "Delete a role; who had it has it no longer.",
        .usage = "[flags] ROLE",
        .args = 1,
        .args_error = "role delete command requires role name as its argument",
        .run = delete_role,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int list_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv role list",
        .summary = "All roles.",
        .args_error = "role list command requires no arguments",
        .run = list,
    };
    return kv_plain_main(&plain, argc, argv);
}

/* ---------------------------------------------------------------------------- get --- */

static void print_key(ProtobufCBinaryData b)
{
    fwrite(b.data, 1, b.len, stdout);
}

static bool bytes_equal(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
    return str_eq(str_make(a.data, a.len), str_make(b.data, b.len));
}

static void print_permission(const Authpb__Permission *p, struct arena *a)
{
    putchar('\t');
    if (p->range_end.len == 0) {
        print_key(p->key);
        putchar('\n');
        return;
    }
    bool open_ended = bytes_equal(p->range_end, (ProtobufCBinaryData){1, (uint8_t *)"\0"});
    putchar('[');
    print_key(p->key);
    fputs(open_ended ? ", <open ended>" : ", ", stdout);
    if (!open_ended) {
        print_key(p->range_end);
        putchar(')');
    }
    if (bytes_equal(kv_prefix_end(a, p->key), p->range_end)) {
        fputs(" (prefix ", stdout);
        print_key(p->key);
        putchar(')');
    }
    putchar('\n');
}

void kv_print_role(const char *name, const Etcdserverpb__AuthRoleGetResponse *r)
{
    static const struct {
        const char *title;
        Authpb__Permission__Type type;
    } kinds[] = {{"KV Read:", AUTHPB__PERMISSION__TYPE__READ},
                 {"KV Write:", AUTHPB__PERMISSION__TYPE__WRITE}};
    struct arena a;
    arena_init(&a);
    printf("Role %s\n", name);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        puts(kinds[k].title);
        for (size_t i = 0; i < r->n_perm; i++) {
            const Authpb__Permission *p = r->perm[i];
            if (p->permtype == kinds[k].type || p->permtype == AUTHPB__PERMISSION__TYPE__READWRITE)
                print_permission(p, &a);
        }
    }
    arena_free(&a);
}

static void simple_get(struct kv_cli *c, const void *message)
{
    kv_print_role(c->args.items[0], message);
}

static void fields_get(struct kv_cli *c, const void *message)
{
    (void)c;
    static const char *const types[] = {"READ", "WRITE", "READWRITE"};
    const Etcdserverpb__AuthRoleGetResponse *r = message;
    kv_fields_header(r->header);
    for (size_t i = 0; i < r->n_perm; i++) {
        const Authpb__Permission *p = r->perm[i];
        printf("\"PermType\" :  %s\n\"Key\" : ", /* two spaces, as etcdctl */
               (size_t)p->permtype < ARRAY_LEN(types) ? types[p->permtype] : "");
        kv_print_quoted(p->key);
        fputs("\n\"RangeEnd\" : ", stdout);
        kv_print_quoted(p->range_end);
        putchar('\n');
    }
}

static int get(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_get, .fields = fields_get};
    Etcdserverpb__AuthRoleGetRequest q = ETCDSERVERPB__AUTH_ROLE_GET_REQUEST__INIT;
    q.role = c->args.items[0];
    return kv_ask(c, "/etcdserverpb.Auth/RoleGet", &q,
                  &etcdserverpb__auth_role_get_response__descriptor, &forms);
}

static int get_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv role get",
        .summary = "What a role may read and write.",
        .usage = "[flags] ROLE",
        .args = 1,
        .args_error = "role get command requires role name as its argument",
        .run = get,
    };
    return kv_plain_main(&plain, argc, argv);
}

/* -------------------------------------------------------------------- permissions --- */

struct range_flags {
    bool prefix, from_key;
};

/* The range that arguments from `first` on mean. 0 or an exit code. */
static int permission_range(struct kv_cli *c, const struct range_flags *f, size_t first,
                            ProtobufCBinaryData *key, ProtobufCBinaryData *end)
{
    bool has_end = c->args.len > first + 1;
    *key = kv_bytes(c->args.items[first]);
    if (f->prefix && f->from_key && (key->len == 0 || !has_end))
        return kv_fail(KV_EXIT_ARGS, "--from-key and --prefix flags are mutually exclusive");
    if (key->len == 0) { /* the first key of all */
        *key = (ProtobufCBinaryData){1, (uint8_t *)"\0"};
        if (f->prefix || f->from_key)
            *end = *key;
        return 0;
    }
    if (has_end && (f->prefix || f->from_key))
        return kv_fail(KV_EXIT_ARGS, "unexpected endkey argument with --%s flag",
                       f->prefix ? "prefix" : "from-key");
    if (has_end)
        *end = kv_bytes(c->args.items[first + 1]);
    else if (f->prefix)
        *end = kv_prefix_end(&c->arena, *key);
    else if (f->from_key)
        *end = (ProtobufCBinaryData){1, (uint8_t *)"\0"};
    return 0;
}

static void simple_grant(struct kv_cli *c, const void *message)
{
    (void)message;
    printf("Role %s updated\n", c->args.items[0]);
}

static int grant(struct kv_cli *c, const struct range_flags *f)
{
    static const struct kv_forms forms = {.simple = simple_grant, .fields = kv_fields_only_header};
    static const char *const types[] = {"READ", "WRITE", "READWRITE"};
    Etcdserverpb__AuthRoleGrantPermissionRequest q =
        ETCDSERVERPB__AUTH_ROLE_GRANT_PERMISSION_REQUEST__INIT;
    Authpb__Permission p = AUTHPB__PERMISSION__INIT;
    if (c->args.len < 3)
        return kv_fail(KV_EXIT_ARGS, "role grant command requires role name, permission type, and "
                                     "key [endkey] as its argument");
    size_t type = 0;
    while (type < ARRAY_LEN(types) && !str_ieq(str_from(types[type]), str_from(c->args.items[1])))
        type++;
    if (type == ARRAY_LEN(types))
        return kv_fail(KV_EXIT_ARGS, "invalid permission type: %s", c->args.items[1]);
    int rc = permission_range(c, f, 2, &p.key, &p.range_end);
    if (rc)
        return rc;
    p.permtype = (Authpb__Permission__Type)type;
    q.name = c->args.items[0];
    q.perm = &p;
    kv_cli_connect_all(c);
    return kv_ask(c, "/etcdserverpb.Auth/RoleGrantPermission", &q,
                  &etcdserverpb__auth_role_grant_permission_response__descriptor, &forms);
}

static int revoke_permission(struct kv_cli *c, const struct range_flags *f)
{
    static const struct kv_forms forms = {.fields = kv_fields_only_header};
    Etcdserverpb__AuthRoleRevokePermissionRequest q =
        ETCDSERVERPB__AUTH_ROLE_REVOKE_PERMISSION_REQUEST__INIT;
    Etcdserverpb__AuthRoleRevokePermissionResponse *r;
    if (c->args.len < 2)
        return kv_fail(
            KV_EXIT_ARGS,
            "role revoke-permission command requires role name and key [endkey] as its argument");
    const char *role = q.role = c->args.items[0], *key = c->args.items[1];
    int rc = permission_range(c, f, 1, &q.key, &q.range_end);
    if (rc)
        return rc;
    kv_cli_connect_all(c);
    rc = kv_call(c, c->channel, "/etcdserverpb.Auth/RoleRevokePermission", &q,
                 &etcdserverpb__auth_role_revoke_permission_response__descriptor, &r);
    if (rc || c->format != KV_SIMPLE)
        return rc ? rc : kv_show(c, r, &forms);
    if (q.range_end.len == 0)
        printf("Permission of key %s is revoked from role %s\n", key, role);
    else if (bytes_equal(q.range_end, (ProtobufCBinaryData){1, (uint8_t *)"\0"}))
        printf("Permission of range [%s, <open ended> is revoked from role %s\n", key, role);
    else
        printf("Permission of range [%s, %.*s) is revoked from role %s\n", key,
               (int)q.range_end.len, (const char *)q.range_end.data, role);
    return 0;
}

static int permission_main(int argc, char **argv, const char *program, const char *summary,
                           const char *usage,
                           int (*run)(struct kv_cli *c, const struct range_flags *f))
{
    struct kv_cli c;
    struct range_flags f = {0};
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"prefix", 0, FLAG_BOOL, &f.prefix, NULL, "All keys that begin with KEY."},
        {"from-key", 0, FLAG_BOOL, &f.from_key, NULL, "All keys not less than KEY."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {.program = program,
                                    .summary = summary,
                                    .usage = usage,
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = run(&c, &f);
    kv_cli_stop(&c);
    return rc;
}

static int grant_main(int argc, char **argv)
{
    return permission_main(argc, argv, "c8s kv role grant-permission",
                           "Let a role read, write or both.",
                           "[flags] ROLE read|write|readwrite KEY [END]", grant);
}

static int revoke_main(int argc, char **argv)
{
    return permission_main(argc, argv, "c8s kv role revoke-permission",
                           "Take a permission from a role, as it was granted.",
                           "[flags] ROLE KEY [END]", revoke_permission);
}

const struct kv_verb kv_role_verbs[] = {
    {"add", add_main, "Make a role"},
    {"delete", delete_main, "Delete a role"},
    {"get", get_main, "What a role may do"},
    {"list", list_main, "All roles"},
    {"grant-permission", grant_main, "Let a role read and write keys"},
    {"revoke-permission", revoke_main, "Take that back"},
    {NULL},
};
