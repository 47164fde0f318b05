/*
 * `c8s kv lease grant|revoke|timetolive|keep-alive|list`, as etcdctl has them.
 */
#include "cli/kv/kv.h"

#include <inttypes.h>
#include <stdio.h>

/* {"cluster_id":…,"member_id":…,…,<rest>}: etcdctl flattens the header of lease answers. */
static void begin_flat(struct buf *out, const Etcdserverpb__ResponseHeader *header)
{
    buf_init(out);
    buf_append_char(out, '{');
    kv_json_members(out, &header->base);
}

/* … and has nothing but the header in its protobuf form. */
static void only_header(struct kv_cli *c, const void *message)
{
    (void)c;
    kv_print_protobuf(&((const Etcdserverpb__LeaseGrantResponse *)message)->header->base);
}

/* -------------------------------------------------------------------------- grant --- */

static void simple_grant(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseGrantResponse *r = message;
    printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s)\n", (uint64_t)r->id, r->ttl);
}

static void fields_grant(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseGrantResponse *r = message;
    kv_fields_header(r->header);
    printf("\"ID\" : %" PRId64 "\n\"TTL\" : %" PRId64 "\n", r->id, r->ttl);
}

static void json_grant(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseGrantResponse *r = message;
    struct buf out;
    begin_flat(&out, r->header);
    buf_printf(&out, ",\"ID\":%" PRId64 ",\"TTL\":%" PRId64 ",\"Error\":", r->id, r->ttl);
    kv_json_string(&out, str_from(r->error));
    buf_append_char(&out, '}');
    kv_json_line(&out);
}

static int grant(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_grant,
                                          .fields = fields_grant,
                                          .json = json_grant,
                                          .protobuf = only_header};
    Etcdserverpb__LeaseGrantRequest q = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    const char *wrong = kv_parse_int(&c->arena, c->args.items[0], 10, &q.ttl);
    if (wrong)
        return kv_fail(KV_EXIT_ARGS, "bad TTL (%s)", wrong);
    c->failure = "failed to grant lease";
    return kv_ask(c, "/etcdserverpb.Lease/LeaseGrant", &q,
                  &etcdserverpb__lease_grant_response__descriptor, &forms);
}

static int grant_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv lease grant",
        .summary = "Grant a lease of TTL seconds.",
        .usage = "[flags] TTL",
        .args = 1,
        .args_error = "lease grant command needs TTL argument",
        .run = grant,
    };
    return kv_plain_main(&plain, argc, argv);
}

/* ------------------------------------------------------------------------- revoke --- */

static void simple_revoke(struct kv_cli *c, const void *message)
{
    (void)message;
    int64_t id = 0;
    kv_parse_int(&c->arena, c->args.items[0], 16, &id); /* it was one */
    printf("lease %016" PRIx64 " revoked\n", (uint64_t)id);
}

static int revoke_lease(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_revoke, .fields = kv_fields_only_header};
    Etcdserverpb__LeaseRevokeRequest q = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    int rc = kv_lease_arg(c, c->args.items[0], &q.id);
    c->failure = "failed to revoke lease";
    return rc ? rc
              : kv_ask(c, "/etcdserverpb.Lease/LeaseRevoke", &q,
                       &etcdserverpb__lease_revoke_response__descriptor, &forms);
}

static int revoke_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv lease revoke",
        .summary = "Revoke a lease and delete its keys.",
        .usage = "[flags] ID",
        .args = 1,
        .args_error = "lease revoke command needs 1 argument",
        .run = revoke_lease,
    };
    return kv_plain_main(&plain, argc, argv);
}

/* --------------------------------------------------------------------- timetolive --- */

static void print_ttl(const Etcdserverpb__LeaseTimeToLiveResponse *r, bool with_keys)
{
    if (r->grantedttl == 0 && r->ttl == -1) {
        printf("lease %016" PRIx64 " already expired\n", (uint64_t)r->id);
        return;
    }
    printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s), remaining(%" PRId64 "s)",
           (uint64_t)r->id, r->grantedttl, r->ttl);
    for (size_t i = 0; i < r->n_keys && with_keys; i++) {
        fputs(i ? " " : ", attached keys([", stdout);
        fwrite(r->keys[i].data, 1, r->keys[i].len, stdout);
    }
    puts(!with_keys ? "" : r->n_keys ? "])" : ", attached keys([])");
}

static void simple_ttl(struct kv_cli *c, const void *message)
{
    (void)c;
    print_ttl(message, false);
}

static void simple_ttl_keys(struct kv_cli *c, const void *message)
{
    (void)c;
    print_ttl(message, true);
}

static void fields_ttl(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseTimeToLiveResponse *r = message;
    kv_fields_header(r->header);
    printf("\"ID\" : %" PRId64 "\n\"TTL\" : %" PRId64 "\n\"GrantedTTL\" : %" PRId64 "\n", r->id,
           r->ttl, r->grantedttl);
    for (size_t i = 0; i < r->n_keys; i++) {
        fputs("\"Key\" : ", stdout);
        kv_print_quoted(r->keys[i]);
        putchar('\n');
    }
}

static void json_ttl(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseTimeToLiveResponse *r = message;
    struct buf out;
    begin_flat(&out, r->header);
    buf_printf(&out,
               ",\"id\":%" PRId64 ",\"ttl\":%" PRId64 ",\"granted-ttl\":%" PRId64 ",\"keys\":",
               r->id, r->ttl, r->grantedttl);
    for (size_t i = 0; i < r->n_keys; i++) {
        buf_append_char(&out, i ? ',' : '[');
        kv_json_bytes(&out, r->keys[i]);
    }
    buf_append_cstr(&out, r->n_keys ? "]}" : "null}");
    kv_json_line(&out);
}

static int ttl_main(int argc, char **argv)
{
    struct kv_forms forms = {
        .simple = simple_ttl, .fields = fields_ttl, .json = json_ttl, .protobuf = only_header};
    struct kv_cli c;
    bool keys = false;
    Etcdserverpb__LeaseTimeToLiveRequest q = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {{"keys", 0, FLAG_BOOL, &keys, NULL, "Show the keys attached."},
                                 KV_GLOBAL_FLAGS(&c),
                                 FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv lease timetolive",
                                    .summary = "What is left of a lease.",
                                    .usage = "[flags] ID",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = c.args.len == 1
                 ? kv_lease_arg(&c, c.args.items[0], &q.id)
                 : kv_fail(KV_EXIT_ARGS, "lease timetolive command needs lease ID as argument");
    q.keys = keys;
    if (keys)
        forms.simple = simple_ttl_keys;
    c.failure_exit = KV_EXIT_CONNECTION;
    if (rc == 0) {
        kv_cli_connect_all(&c);
        rc = kv_ask(&c, "/etcdserverpb.Lease/LeaseTimeToLive", &q,
                    &etcdserverpb__lease_time_to_live_response__descriptor, &forms);
    }
    kv_cli_stop(&c);
    return rc;
}

/* --------------------------------------------------------------------------- list --- */

static void simple_list(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseLeasesResponse *r = message;
    printf("found %zu leases\n", r->n_leases);
    for (size_t i = 0; i < r->n_leases; i++)
        printf("%016" PRIx64 "\n", (uint64_t)r->leases[i]->id);
}

static void fields_list(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseLeasesResponse *r = message;
    kv_fields_header(r->header);
    for (size_t i = 0; i < r->n_leases; i++)
        printf("\"ID\" : %" PRId64 "\n", r->leases[i]->id);
}

static void json_list(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseLeasesResponse *r = message;
    struct buf out;
    begin_flat(&out, r->header);
    buf_append_cstr(&out, ",\"leases\":[");
    for (size_t i = 0; i < r->n_leases; i++)
        buf_printf(&out, "%s{\"id\":%" PRId64 "}", i ? "," : "", r->leases[i]->id);
    buf_append_cstr(&out, "]}");
    kv_json_line(&out);
}

static int list(struct kv_cli *c)
{
    static const struct kv_forms forms = {
        .simple = simple_list, .fields = fields_list, .json = json_list, .protobuf = only_header};
    Etcdserverpb__LeaseLeasesRequest q = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    c->failure_exit = KV_EXIT_CONNECTION;
    return kv_ask(c, "/etcdserverpb.Lease/LeaseLeases", &q,
                  &etcdserverpb__lease_leases_response__descriptor, &forms);
}

static int list_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv lease list",
        .summary = "All leases.",
        .usage = "[flags]",
        .args_error = "lease list command needs no arguments",
        .run = list,
    };
    return kv_plain_main(&plain, argc, argv);
}

/* --------------------------------------------------------------------- keep-alive --- */

static void simple_keep_alive(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseKeepAliveResponse *r = message;
    printf("lease %016" PRIx64 " keepalived with TTL(%" PRId64 ")\n", (uint64_t)r->id, r->ttl);
}

static void json_keep_alive(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__LeaseKeepAliveResponse *r = message;
    struct buf out;
    begin_flat(&out, r->header);
    buf_printf(&out, ",\"ID\":%" PRId64 ",\"TTL\":%" PRId64 "}", r->id, r->ttl);
    kv_json_line(&out);
}

static const struct kv_forms keep_alive_forms = {
    .simple = simple_keep_alive,
    .fields = fields_grant, /* the same fields */
    .json = json_keep_alive,
    .protobuf = only_header,
};

static void on_answer(struct kv_cli *c, const Etcdserverpb__LeaseKeepAliveResponse *r)
{
    kv_show(c, r, &keep_alive_forms);
}

static int keep_alive(struct kv_cli *c, int64_t id, bool once)
{
    char text[256];
    if (c->format == KV_TABLE)
        return kv_unsupported(c);
    enum kv_next end = kv_keep_alive(c, id, once, on_answer, text);
    if (end == KV_LATE || (once && *text))
        return kv_fail(KV_EXIT_CONNECTION, "%s", text);
    if (!once && c->format == KV_SIMPLE)
        printf("lease %016" PRIx64 " expired or revoked.\n", (uint64_t)id);
    return 0;
}

static int keep_alive_main(int argc, char **argv)
{
    struct kv_cli c;
    bool once = false;
    int64_t id = 0;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {{"once", 0, FLAG_BOOL, &once, NULL, "Renew one time and end."},
                                 KV_GLOBAL_FLAGS(&c),
                                 FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv lease keep-alive",
                                    .summary = "Keep a lease alive until interrupted.",
                                    .usage = "[flags] ID",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = c.args.len == 1
                 ? kv_lease_arg(&c, c.args.items[0], &id)
                 : kv_fail(KV_EXIT_ARGS, "lease keep-alive command needs lease ID as argument");
    if (rc == 0) {
        kv_cli_connect_all(&c);
        rc = keep_alive(&c, id, once);
    }
    kv_cli_stop(&c);
    return rc;
}

const struct kv_verb kv_lease_verbs[] = {
    {"grant", grant_main, "Grant a lease"},
    {"revoke", revoke_main, "Revoke a lease"},
    {"timetolive", ttl_main, "What is left of a lease"},
    {"list", list_main, "All leases"},
    {"keep-alive", keep_alive_main, "Renew a lease until interrupted"},
    {NULL},
};
