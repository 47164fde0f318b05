/*
 * `c8s kv member list`, `c8s kv endpoint status|health`, as etcdctl prints them.
 */
#include "cli/kv.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"

#include <inttypes.h>
#include <stdio.h>

typedef VEC(const char *) cell_list;

/* ------------------------------------------------------------------ member list --- */

static char *join(struct arena *a, char **items, size_t n)
{
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s%s", i ? "," : "", items[i]);
    char *text = arena_strndup(a, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

static void fields_members(const Etcdserverpb__MemberListResponse *r)
{
    kv_fields_header(r->header);
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        printf("\"ID\" : %" PRIu64 "\n\"Name\" : \"%s\"\n", m->id, m->name);
        for (size_t k = 0; k < m->n_peerurls; k++)
            printf("\"PeerURL\" : \"%s\"\n", m->peerurls[k]);
        for (size_t k = 0; k < m->n_clienturls; k++)
            printf("\"ClientURL\" : \"%s\"\n", m->clienturls[k]);
        printf("\"IsLearner\" : %s\n\n", m->islearner ? "true" : "false");
    }
}

static void rows_of_members(struct arena *a, const Etcdserverpb__MemberListResponse *r,
                            cell_list *cells)
{
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        vec_push(cells, arena_printf(a, "%" PRIx64, m->id));
        vec_push(cells, *m->name ? "started" : "unstarted");
        vec_push(cells, m->name);
        vec_push(cells, join(a, m->peerurls, m->n_peerurls));
        vec_push(cells, join(a, m->clienturls, m->n_clienturls));
        vec_push(cells, m->islearner ? "true" : "false");
    }
}

static void simple_rows(const cell_list *cells, size_t columns)
{
    for (size_t i = 0; i < cells->len; i++)
        printf("%s%s", cells->items[i], (i + 1) % columns ? ", " : "\n");
}

static int member_list_main(int argc, char **argv)
{
    struct kv_cli c;
    Etcdserverpb__MemberListRequest q = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    Etcdserverpb__MemberListResponse *r;
    cell_list cells = {0};
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {KV_GLOBAL_FLAGS(&c), FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv member list",
                                    .summary = "The members of the cluster.",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_"};
    kv_cli_start(&c, &spec, argc, argv);
    q.linearizable = true;
    int rc = kv_call(&c, c.channel, "/etcdserverpb.Cluster/MemberList", &q,
                     &etcdserverpb__member_list_response__descriptor, &r);
    if (rc == 0 && c.format == KV_JSON) {
        struct buf out;
        buf_init(&out);
        kv_json_message(&out, &r->base);
        puts(buf_cstr(&out));
        buf_free(&out);
    } else if (rc == 0 && c.format == KV_FIELDS) {
        fields_members(r);
    } else if (rc == 0 && c.format == KV_PROTOBUF) {
        kv_print_protobuf(&r->base);
    } else if (rc == 0 && c.format == KV_TABLE) {
        static const char *const heading[] = {"ID",         "STATUS",       "NAME",
                                              "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"};
        for (size_t i = 0; i < ARRAY_LEN(heading); i++)
            vec_push(&cells, heading[i]);
        rows_of_members(&c.arena, r, &cells);
        kv_table(cells.items, 6, r->n_members + 1);
    } else if (rc == 0) {
        rows_of_members(&c.arena, r, &cells);
        simple_rows(&cells, 6);
    }
    vec_free(&cells);
    kv_cli_stop(&c);
    return rc;
}

int kv_member_main(int argc, char **argv)
{
    static const struct kv_verb verbs[] = {{"list", member_list_main, "The members"}, {NULL}};
    return kv_dispatch("c8s kv member", verbs, argc, argv);
}

/* -------------------------------------------------------------- endpoint status --- */

/* Bytes as etcdctl writes them: two significant digits below ten, powers of ten. */
static const char *human_bytes(struct arena *a, int64_t n)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double v = (double)n;
    size_t u = 0;
    for (; v >= 1000 && u + 1 < ARRAY_LEN(units); u++)
        v /= 1000;
    return arena_printf(a, u && v < 10 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

struct endpoint {
    const char *name;
    Etcdserverpb__StatusResponse *status;
};

static void rows_of_status(struct arena *a, const struct endpoint *e, size_t n, cell_list *cells)
{
    for (size_t i = 0; i < n; i++) {
        const Etcdserverpb__StatusResponse *r = e[i].status;
        vec_push(cells, e[i].name);
        vec_push(cells, arena_printf(a, "%" PRIx64, r->header->member_id));
        vec_push(cells, r->version);
        vec_push(cells, human_bytes(a, r->dbsize));
        vec_push(cells, r->leader == r->header->member_id ? "true" : "false");
        vec_push(cells, r->islearner ? "true" : "false");
        vec_push(cells, arena_printf(a, "%" PRIu64, r->raftterm));
        vec_push(cells, arena_printf(a, "%" PRIu64, r->raftindex));
        vec_push(cells, arena_printf(a, "%" PRIu64, r->raftappliedindex));
        vec_push(cells, join(a, r->errors, r->n_errors));
    }
}

static void json_status(const struct endpoint *e, size_t n)
{
    struct buf out;
    buf_init(&out);
    buf_append_char(&out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_append_cstr(&out, i ? ",{\"Endpoint\":" : "{\"Endpoint\":");
        buf_append_json_string(&out, str_from(e[i].name));
        buf_append_cstr(&out, ",\"Status\":");
        kv_json_message(&out, &e[i].status->base);
        buf_append_char(&out, '}');
    }
    buf_append_char(&out, ']');
    puts(buf_cstr(&out));
    buf_free(&out);
}

static void fields_status(const struct endpoint *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Etcdserverpb__StatusResponse *r = e[i].status;
        kv_fields_header(r->header);
        printf("\"Version\" : \"%s\"\n\"DBSize\" : %" PRId64 "\n\"Leader\" : %" PRIu64
               "\n\"IsLearner\" : %s\n",
               r->version, r->dbsize, r->leader, r->islearner ? "true" : "false");
        printf("\"RaftIndex\" : %" PRIu64 "\n\"RaftTerm\" : %" PRIu64
               "\n\"RaftAppliedIndex\" : %" PRIu64 "\n\"Errors\" : [",
               r->raftindex, r->raftterm, r->raftappliedindex);
        for (size_t k = 0; k < r->n_errors; k++)
            printf("%s\"%s\"", k ? " " : "", r->errors[k]);
        printf("]\n\"Endpoint\" : \"%s\"\n\n", e[i].name);
    }
}

/* Replace the endpoints given by those of all members. */
static int use_cluster(struct kv_cli *c)
{
    Etcdserverpb__MemberListRequest q = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    Etcdserverpb__MemberListResponse *r;
    int rc = kv_call(c, c->channel, "/etcdserverpb.Cluster/MemberList", &q,
                     &etcdserverpb__member_list_response__descriptor, &r);
    if (rc)
        return rc;
    flag_list_free(&c->endpoints);
    for (size_t i = 0; i < r->n_members; i++)
        for (size_t k = 0; k < r->members[i]->n_clienturls; k++)
            flag_list_add(&c->endpoints, r->members[i]->clienturls[k]);
    return 0;
}

static struct grpc_channel *connect_to(struct kv_cli *c, const char *endpoint, struct error *err)
{
    const char *one[] = {endpoint, NULL};
    return kv_cli_connect(c, one, 1, err);
}

static void print_status(struct kv_cli *c, const struct endpoint *e, size_t n)
{
    static const char *const heading[] = {"ENDPOINT",  "ID",         "VERSION",
                                          "DB SIZE",   "IS LEADER",  "IS LEARNER",
                                          "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX",
                                          "ERRORS"};
    cell_list cells = {0};
    if (c->format == KV_JSON) {
        json_status(e, n);
    } else if (c->format == KV_FIELDS) {
        fields_status(e, n);
    } else if (c->format == KV_TABLE) {
        for (size_t i = 0; i < ARRAY_LEN(heading); i++)
            vec_push(&cells, heading[i]);
        rows_of_status(&c->arena, e, n, &cells);
        kv_table(cells.items, 10, n + 1);
    } else {
        rows_of_status(&c->arena, e, n, &cells);
        simple_rows(&cells, 10);
    }
    vec_free(&cells);
}

static int status_main(int argc, char **argv)
{
    struct kv_cli c;
    bool cluster = false;
    Etcdserverpb__StatusRequest q = ETCDSERVERPB__STATUS_REQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"cluster", 0, FLAG_BOOL, &cluster, NULL, "All members of the cluster."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv endpoint status",
                                    .summary = "What each endpoint says of itself.",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_"};
    kv_cli_start(&c, &spec, argc, argv);
    int rc = cluster ? use_cluster(&c) : 0, worst = rc;
    struct endpoint *found = arena_array(&c.arena, struct endpoint, c.endpoints.len);
    size_t n = 0;
    for (size_t i = 0; i < c.endpoints.len && rc == 0; i++) {
        struct error err = {0};
        int status;
        ProtobufCMessage *out = NULL;
        struct grpc_channel *ch = connect_to(&c, c.endpoints.items[i], &err);
        if (ch &&
            grpc_call_wait(ch, "/etcdserverpb.Maintenance/Status", &q.base,
                           &etcdserverpb__status_response__descriptor,
                           (uint64_t)c.command_timeout_ms, &c.arena, &out, &status, &err) == 0) {
            found[n++] = (struct endpoint){c.endpoints.items[i], (void *)out};
        } else {
            fprintf(stderr, "Failed to get the status of endpoint %s (%s)\n", c.endpoints.items[i],
                    ch ? kv_error_text(&err, status) : err.message);
            worst = KV_EXIT_ERROR;
        }
        grpc_channel_free(ch);
    }
    if (rc == 0)
        print_status(&c, found, n);
    kv_cli_stop(&c);
    return worst;
}

/* -------------------------------------------------------------- endpoint health --- */

struct health {
    const char *endpoint, *took, *error; /* error "": healthy */
};

static struct health check_health(struct kv_cli *c, const char *endpoint)
{
    struct error err = {0};
    struct health h = {.endpoint = endpoint, .error = ""};
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    ProtobufCMessage *out;
    int status = 0;
    q.key = kv_bytes("health");
    uint64_t start = clock_mono_ns();
    struct grpc_channel *ch = connect_to(c, endpoint, &err);
    int rc = ch ? grpc_call_wait(ch, "/etcdserverpb.KV/Range", &q.base,
                                 &etcdserverpb__range_response__descriptor,
                                 (uint64_t)c->command_timeout_ms, &c->arena, &out, &status, &err)
                : ERR_INVALID;
    if (rc < 0)
        h.error = arena_strdup(&c->arena, ch ? kv_error_text(&err, status) : err.message);
    h.took = arena_printf(&c->arena, "%.6fms", (double)(clock_mono_ns() - start) / 1e6);
    grpc_channel_free(ch);
    return h;
}

static void print_health(struct kv_cli *c, const struct health *h, size_t n)
{
    static const char *const heading[] = {"ENDPOINT", "HEALTH", "TOOK", "ERROR"};
    cell_list cells = {0};
    struct buf json;
    buf_init(&json);
    for (size_t i = 0; i < ARRAY_LEN(heading); i++)
        vec_push(&cells, heading[i]);
    for (size_t i = 0; i < n; i++) {
        bool ok = !*h[i].error;
        const char *health = ok ? "true" : "false";
        vec_push(&cells, h[i].endpoint);
        vec_push(&cells, health);
        vec_push(&cells, h[i].took);
        vec_push(&cells, h[i].error);
        buf_printf(&json, "%s{\"endpoint\":", i ? "," : "");
        buf_append_json_string(&json, str_from(h[i].endpoint));
        buf_printf(&json, ",\"health\":%s,\"took\":\"%s\"", health, h[i].took);
        if (!ok) {
            buf_append_cstr(&json, ",\"error\":");
            buf_append_json_string(&json, str_from(h[i].error));
        }
        buf_append_char(&json, '}');
        if (c->format == KV_FIELDS)
            printf("\"Endpoint\" : \"%s\"\n\"Health\" : %s\n\"Took\" : %s\n\"Error\" : %s\n\n",
                   h[i].endpoint, health, h[i].took, h[i].error);
        else if (c->format == KV_SIMPLE && ok) /* as etcdctl: on standard error */
            fprintf(stderr, "%s is healthy: successfully committed proposal: took = %s\n",
                    h[i].endpoint, h[i].took);
        else if (c->format == KV_SIMPLE)
            fprintf(stderr, "%s is unhealthy: failed to commit proposal: %s\n", h[i].endpoint,
                    h[i].error);
    }
    if (c->format == KV_JSON)
        printf("[%s]\n", buf_cstr(&json));
    else if (c->format == KV_TABLE)
        kv_table(cells.items, 4, n + 1);
    buf_free(&json);
    vec_free(&cells);
}

static int health_main(int argc, char **argv)
{
    struct kv_cli c;
    bool cluster = false;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"cluster", 0, FLAG_BOOL, &cluster, NULL, "All members of the cluster."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv endpoint health",
                                    .summary = "Does each endpoint answer a linearizable read?",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_"};
    kv_cli_start(&c, &spec, argc, argv);
    int rc = cluster ? use_cluster(&c) : 0;
    bool sick = false;
    if (rc == 0) {
        struct health *h = arena_array(&c.arena, struct health, c.endpoints.len);
        for (size_t i = 0; i < c.endpoints.len; i++) {
            h[i] = check_health(&c, c.endpoints.items[i]);
            sick |= *h[i].error != 0;
        }
        print_health(&c, h, c.endpoints.len);
        if (sick)
            rc = kv_fail(KV_EXIT_ERROR, "unhealthy cluster");
    }
    kv_cli_stop(&c);
    return rc;
}

int kv_endpoint_main(int argc, char **argv)
{
    static const struct kv_verb verbs[] = {
        {"status", status_main, "What each endpoint says of itself"},
        {"health", health_main, "Does each endpoint answer?"},
        {NULL},
    };
    return kv_dispatch("c8s kv endpoint", verbs, argc, argv);
}
