/*
 * `c8s kv lease grant|revoke|timetolive|keep-alive|list`, as etcdctl has them.
 */
#include "cli/kv.h"
#include "base/encode.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

/* Common start of the verbs: `wanted` arguments. 0 or an exit code. */
static int start(struct kv_cli *c, const char *program, const char *summary, const char *usage,
                 const struct flag *flags, int argc, char **argv, size_t wanted)
{
    const struct flags_spec spec = {.program = program,
                                    .summary = summary,
                                    .usage = usage,
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_start(c, &spec, argc, argv);
    if (c->args.len != wanted)
        return kv_fail(KV_EXIT_ARGS, "%s command needs %zu argument%s", program + strlen("c8s kv "),
                       wanted, wanted == 1 ? "" : "s");
    return c->format == KV_TABLE ? kv_no_table() : 0;
}

static int parse_id(const char *text, int64_t *id)
{
    return kv_lease_id(text, id)
               ? 0
               : kv_fail(KV_EXIT_ARGS, "bad lease ID arg (\"%s\"), expecting ID in Hex", text);
}

/* {"cluster_id":…,"member_id":…,…,<rest>}: etcdctl flattens the header of lease answers. */
static void print_flat_json(const Etcdserverpb__ResponseHeader *header, const char *rest)
{
    struct buf out;
    buf_init(&out);
    buf_append_char(&out, '{');
    kv_json_members(&out, &header->base);
    buf_printf(&out, ",%s}", rest);
    puts(buf_cstr(&out));
    buf_free(&out);
}

static int grant_main(int argc, char **argv)
{
    struct kv_cli c;
    kv_cli_init(&c, argv[0]);
    c.failure = "failed to grant lease";
    const struct flag flags[] = {KV_GLOBAL_FLAGS(&c), FLAGS_END};
    Etcdserverpb__LeaseGrantRequest q = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    Etcdserverpb__LeaseGrantResponse *r;
    int rc = start(&c, "c8s kv lease grant", "Grant a lease of TTL seconds.", "[flags] TTL", flags,
                   argc, argv, 1);
    if (rc == 0 && !str_to_i64(str_from(c.args.items[0]), &q.ttl))
        rc = kv_fail(KV_EXIT_ARGS, "bad TTL (\"%s\")", c.args.items[0]);
    if (rc == 0)
        rc = kv_call(&c, c.channel, "/etcdserverpb.Lease/LeaseGrant", &q,
                     &etcdserverpb__lease_grant_response__descriptor, &r);
    if (rc == 0 && c.format == KV_JSON) {
        print_flat_json(r->header,
                        arena_printf(&c.arena,
                                     "\"ID\":%" PRId64 ",\"TTL\":%" PRId64 ",\"Error\":\"\"", r->id,
                                     r->ttl));
    } else if (rc == 0 && c.format == KV_FIELDS) {
        kv_fields_header(r->header);
        printf("\"ID\" : %" PRId64 "\n\"TTL\" : %" PRId64 "\n", r->id, r->ttl);
    } else if (rc == 0 && c.format == KV_PROTOBUF) {
        kv_print_protobuf(&r->base);
    } else if (rc == 0) {
        printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s)\n", (uint64_t)r->id, r->ttl);
    }
    kv_cli_stop(&c);
    return rc;
}

static int revoke_main(int argc, char **argv)
{
    struct kv_cli c;
    kv_cli_init(&c, argv[0]);
    c.failure = "failed to revoke lease";
    const struct flag flags[] = {KV_GLOBAL_FLAGS(&c), FLAGS_END};
    Etcdserverpb__LeaseRevokeRequest q = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    Etcdserverpb__LeaseRevokeResponse *r;
    int rc = start(&c, "c8s kv lease revoke", "Revoke a lease and delete its keys.", "[flags] ID",
                   flags, argc, argv, 1);
    if (rc == 0)
        rc = parse_id(c.args.items[0], &q.id);
    if (rc == 0)
        rc = kv_call(&c, c.channel, "/etcdserverpb.Lease/LeaseRevoke", &q,
                     &etcdserverpb__lease_revoke_response__descriptor, &r);
    if (rc == 0 && c.format == KV_JSON) {
        struct buf out;
        buf_init(&out);
        kv_json_message(&out, &r->base);
        puts(buf_cstr(&out));
        buf_free(&out);
    } else if (rc == 0 && c.format == KV_FIELDS) {
        kv_fields_header(r->header);
    } else if (rc == 0 && c.format == KV_PROTOBUF) {
        kv_print_protobuf(&r->base);
    } else if (rc == 0) {
        printf("lease %016" PRIx64 " revoked\n", (uint64_t)q.id);
    }
    kv_cli_stop(&c);
    return rc;
}

static void print_ttl(struct kv_cli *c, const Etcdserverpb__LeaseTimeToLiveResponse *r,
                      bool with_keys)
{
    struct buf keys;
    buf_init(&keys);
    if (c->format == KV_JSON) {
        for (size_t i = 0; i < r->n_keys; i++) {
            buf_append_cstr(&keys, i ? "," : "[");
            buf_append_char(&keys, '"');
            base64_encode(&keys, str_make(r->keys[i].data, r->keys[i].len));
            buf_append_char(&keys, '"');
        }
        buf_append_cstr(&keys, r->n_keys ? "]" : "null");
        print_flat_json(r->header, arena_printf(&c->arena,
                                                "\"id\":%" PRId64 ",\"ttl\":%" PRId64
                                                ",\"granted-ttl\":%" PRId64 ",\"keys\":%s",
                                                r->id, r->ttl, r->grantedttl, buf_cstr(&keys)));
    } else if (c->format == KV_FIELDS) {
        kv_fields_header(r->header);
        printf("\"ID\" : %" PRId64 "\n\"TTL\" : %" PRId64 "\n\"GrantedTTL\" : %" PRId64 "\n", r->id,
               r->ttl, r->grantedttl);
        for (size_t i = 0; i < r->n_keys; i++)
            printf("\"Key\" : \"%.*s\"\n", (int)r->keys[i].len, (const char *)r->keys[i].data);
    } else if (c->format == KV_PROTOBUF) {
        kv_print_protobuf(&r->base);
    } else if (r->grantedttl == 0 && r->ttl == -1) {
        printf("lease %016" PRIx64 " already expired\n", (uint64_t)r->id);
    } else {
        printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s), remaining(%" PRId64 "s)",
               (uint64_t)r->id, r->grantedttl, r->ttl);
        for (size_t i = 0; i < r->n_keys; i++)
            buf_printf(&keys, "%s%.*s", i ? " " : "", (int)r->keys[i].len,
                       (const char *)r->keys[i].data);
        if (with_keys)
            printf(", attached keys([%s])", buf_cstr(&keys));
        putchar('\n');
    }
    buf_free(&keys);
}

static int ttl_main(int argc, char **argv)
{
    struct kv_cli c;
    bool keys = false;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {{"keys", 0, FLAG_BOOL, &keys, NULL, "Show the keys attached."},
                                 KV_GLOBAL_FLAGS(&c),
                                 FLAGS_END};
    Etcdserverpb__LeaseTimeToLiveRequest q = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    Etcdserverpb__LeaseTimeToLiveResponse *r;
    int rc = start(&c, "c8s kv lease timetolive", "What is left of a lease.", "[flags] ID", flags,
                   argc, argv, 1);
    if (rc == 0)
        rc = parse_id(c.args.items[0], &q.id);
    q.keys = keys;
    if (rc == 0)
        rc = kv_call(&c, c.channel, "/etcdserverpb.Lease/LeaseTimeToLive", &q,
                     &etcdserverpb__lease_time_to_live_response__descriptor, &r);
    if (rc == 0)
        print_ttl(&c, r, keys);
    kv_cli_stop(&c);
    return rc;
}

static int list_main(int argc, char **argv)
{
    struct kv_cli c;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {KV_GLOBAL_FLAGS(&c), FLAGS_END};
    Etcdserverpb__LeaseLeasesRequest q = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    Etcdserverpb__LeaseLeasesResponse *r;
    int rc = start(&c, "c8s kv lease list", "All leases.", "[flags]", flags, argc, argv, 0);
    if (rc == 0)
        rc = kv_call(&c, c.channel, "/etcdserverpb.Lease/LeaseLeases", &q,
                     &etcdserverpb__lease_leases_response__descriptor, &r);
    if (rc == 0 && c.format == KV_JSON) {
        struct buf out;
        buf_init(&out);
        buf_append_cstr(&out, "\"leases\":[");
        for (size_t i = 0; i < r->n_leases; i++)
            buf_printf(&out, "%s{\"id\":%" PRId64 "}", i ? "," : "", r->leases[i]->id);
        buf_append_char(&out, ']');
        print_flat_json(r->header, buf_cstr(&out));
        buf_free(&out);
    } else if (rc == 0 && c.format == KV_FIELDS) {
        kv_fields_header(r->header);
        for (size_t i = 0; i < r->n_leases; i++)
            printf("\"ID\" : %" PRId64 "\n", r->leases[i]->id);
    } else if (rc == 0 && c.format == KV_PROTOBUF) {
        kv_print_protobuf(&r->base);
    } else if (rc == 0) {
        printf("found %zu leases\n", r->n_leases);
        for (size_t i = 0; i < r->n_leases; i++)
            printf("%016" PRIx64 "\n", (uint64_t)r->leases[i]->id);
    }
    kv_cli_stop(&c);
    return rc;
}

/* ------------------------------------------------------------------- keep-alive --- */

struct keeper {
    struct kv_cli *cli;
    int64_t id;
    bool once;
    int rc;
    struct grpc_client_call *call;
    struct loop_timer next;
    uv_sem_t ended;
};

static void print_keep_alive(struct kv_cli *c, const Etcdserverpb__LeaseKeepAliveResponse *r)
{
    if (c->format == KV_JSON) {
        print_flat_json(r->header, arena_printf(&c->arena, "\"ID\":%" PRId64 ",\"TTL\":%" PRId64,
                                                r->id, r->ttl));
    } else if (c->format == KV_FIELDS) {
        kv_fields_header(r->header);
        printf("\"ID\" : %" PRId64 "\n\"TTL\" : %" PRId64 "\n", r->id, r->ttl);
    } else if (c->format == KV_PROTOBUF) {
        kv_print_protobuf(&r->base);
    } else {
        printf("lease %016" PRIx64 " keepalived with TTL(%" PRId64 ")\n", (uint64_t)r->id, r->ttl);
    }
    fflush(stdout);
}

static void ask(struct keeper *k)
{
    Etcdserverpb__LeaseKeepAliveRequest q = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    q.id = k->id;
    grpc_client_send(k->call, &q.base);
}

static void on_next(struct loop_timer *timer)
{
    ask(container_of(timer, struct keeper, next));
}

static void on_answer(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                      struct str raw)
{
    (void)raw;
    struct keeper *k = ctx;
    const Etcdserverpb__LeaseKeepAliveResponse *r = (const void *)m;
    if (r->ttl <= 0) {
        if (k->once)
            k->rc = kv_fail(KV_EXIT_CONNECTION, "etcdserver: requested lease not found");
        else
            printf("lease %016" PRIx64 " expired or revoked.\n", (uint64_t)k->id);
        grpc_client_end(call);
        return;
    }
    print_keep_alive(k->cli, r);
    if (k->once)
        grpc_client_end(call);
    else
        loop_timer_start(&k->next, (uint64_t)r->ttl * 1000 / 3);
}

static void on_keep_done(struct grpc_client_call *call, void *ctx, const struct grpc_result *result)
{
    (void)call;
    struct keeper *k = ctx;
    loop_timer_stop(&k->next);
    if (result->status != GRPC_OK)
        k->rc = kv_fail(KV_EXIT_CONNECTION, "%s", result->message);
    uv_sem_post(&k->ended);
}

static void keep_begin(void *arg)
{
    static const struct grpc_client_events events = {.on_message = on_answer,
                                                     .on_done = on_keep_done};
    struct keeper *k = arg;
    loop_timer_init(k->cli->loop, &k->next, on_next);
    k->call = grpc_open(k->cli->channel, "/etcdserverpb.Lease/LeaseKeepAlive",
                        &etcdserverpb__lease_keep_alive_response__descriptor, 0, &events, k);
    ask(k);
}

static int keep_alive_main(int argc, char **argv)
{
    struct kv_cli c;
    struct keeper k = {.cli = &c};
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {{"once", 0, FLAG_BOOL, &k.once, NULL, "Renew one time and end."},
                                 KV_GLOBAL_FLAGS(&c),
                                 FLAGS_END};
    k.rc = start(&c, "c8s kv lease keep-alive", "Keep a lease alive until interrupted.",
                 "[flags] ID", flags, argc, argv, 1);
    if (k.rc == 0)
        k.rc = parse_id(c.args.items[0], &k.id);
    if (k.rc == 0) {
        uv_sem_init(&k.ended, 0);
        loop_call(c.loop, keep_begin, &k);
        uv_sem_wait(&k.ended);
        uv_sem_destroy(&k.ended);
    }
    kv_cli_stop(&c);
    return k.rc;
}

int kv_lease_main(int argc, char **argv)
{
    static const struct kv_verb verbs[] = {
        {"grant", grant_main, "Grant a lease"},
        {"revoke", revoke_main, "Revoke a lease"},
        {"timetolive", ttl_main, "What is left of a lease"},
        {"keep-alive", keep_alive_main, "Renew a lease until interrupted"},
        {"list", list_main, "All leases"},
        {NULL},
    };
    return kv_dispatch("c8s kv lease", verbs, argc, argv);
}
