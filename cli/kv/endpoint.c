/*
 * `c8s kv endpoint status|health|hashkv`, as etcdctl prints them.
 */
#include "cli/kv/kv.h"
#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

/* What all three have: one answer per endpoint. */
struct answer {
    const char *endpoint;
    const void *message;
};
struct answers {
    struct answer *items;
    size_t len;
};

/*
 * Ask every endpoint by itself. Those that fail are complained of and left out; *text is the last
 * failure, NULL if there was none.
 */
static struct answers ask_each(struct kv_cli *c, const char *path, const void *request,
                               const ProtobufCMessageDescriptor *response, const char *complaint,
                               const char **text)
{
    struct answers found = {arena_array(&c->arena, struct answer, c->endpoints.len), 0};
    *text = NULL;
    for (size_t i = 0; i < c->endpoints.len; i++) {
        struct error err = {0};
        const char *endpoint = c->endpoints.items[i], *why = err.message;
        void *message;
        struct grpc_channel *channel = kv_connect_one(c, endpoint, &err);
        if (channel && kv_try(c, channel, path, request, response, &message, &why) == 0) {
            found.items[found.len++] = (struct answer){endpoint, message};
        } else {
            *text = arena_strdup(&c->arena, why);
            fflush(stdout);
            fprintf(stderr, "Failed to get the %s of endpoint %s (%s)\n", complaint, endpoint,
                    *text);
        }
        grpc_channel_free(channel);
    }
    return found;
}

/* [{"Endpoint":"…","Status":{…}}] */
static void json_answers(const struct answers *a, const char *name)
{
    struct buf out;
    buf_init(&out);
    buf_append_char(&out, '[');
    for (size_t i = 0; i < a->len; i++) {
        buf_append_cstr(&out, i ? ",{\"Endpoint\":" : "{\"Endpoint\":");
        kv_json_string(&out, str_from(a->items[i].endpoint));
        buf_printf(&out, ",\"%s\":", name);
        kv_json_message(&out, a->items[i].message);
        buf_append_char(&out, '}');
    }
    buf_append_char(&out, ']');
    kv_json_line(&out);
}

static void quoted_line(const char *name, const char *value)
{
    printf("\"%s\" : ", name);
    kv_print_quoted(kv_bytes(value));
    putchar('\n');
}

/* Common start: the flags, connected, with the endpoints to ask. 0 or an exit code. */
static int start(struct kv_cli *c, const struct flags_spec *spec, int argc, char **argv,
                 const bool *cluster)
{
    kv_cli_parse(c, spec, argc, argv);
    kv_cli_connect_all(c);
    return kv_use_cluster(c, *cluster);
}

#define CLUSTER_FLAG(target)                     \
    {                                            \
        "cluster", 0, FLAG_BOOL, (target), NULL, \
            "All members of the cluster, as it " \
            "lists them."                        \
    }

/* ------------------------------------------------------------------------- status --- */

#define STATUS_COLUMNS 10

static const char **status_cells(struct kv_cli *c, const struct answers *list)
{
    static const char *const heading[STATUS_COLUMNS] = {
        "ENDPOINT",           "ID",         "VERSION",   "DB SIZE",
        "IS LEADER",          "IS LEARNER", "RAFT TERM", "RAFT INDEX",
        "RAFT APPLIED INDEX", "ERRORS"};
    struct arena *a = &c->arena;
    const char **cells = arena_array(a, const char *, STATUS_COLUMNS *(list->len + 1));
    size_t n = 0;
    for (; n < STATUS_COLUMNS; n++)
        cells[n] = heading[n];
    for (size_t i = 0; i < list->len; i++) {
        const Etcdserverpb__StatusResponse *r = list->items[i].message;
        struct buf errors;
        buf_init(&errors);
        for (size_t k = 0; k < r->n_errors; k++)
            buf_printf(&errors, "%s%s", k ? ", " : "", r->errors[k]);
        cells[n++] = list->items[i].endpoint;
        cells[n++] = arena_printf(a, "%" PRIx64, r->header->member_id);
        cells[n++] = r->version;
        cells[n++] = kv_human_bytes(a, (uint64_t)r->dbsize);
        cells[n++] = r->leader == r->header->member_id ? "true" : "false";
        cells[n++] = r->islearner ? "true" : "false";
        cells[n++] = arena_printf(a, "%" PRIu64, r->raftterm);
        cells[n++] = arena_printf(a, "%" PRIu64, r->raftindex);
        cells[n++] = arena_printf(a, "%" PRIu64, r->raftappliedindex);
        cells[n++] = arena_strdup(a, buf_cstr(&errors));
        buf_free(&errors);
    }
    return cells;
}

static void simple_status(struct kv_cli *c, const void *message)
{
    const struct answers *list = message;
    kv_rows(status_cells(c, list) + STATUS_COLUMNS, STATUS_COLUMNS, list->len);
}

static void table_status(struct kv_cli *c, const void *message)
{
    const struct answers *list = message;
    kv_table(status_cells(c, list), STATUS_COLUMNS, list->len + 1);
}

static void fields_status(struct kv_cli *c, const void *message)
{
    (void)c;
    const struct answers *list = message;
    for (size_t i = 0; i < list->len; i++) {
        const Etcdserverpb__StatusResponse *r = list->items[i].message;
        kv_fields_header(r->header);
        quoted_line("Version", r->version);
        printf("\"DBSize\" : %" PRId64 "\n\"Leader\" : %" PRIu64 "\n\"IsLearner\" : %s\n",
               r->dbsize, r->leader, r->islearner ? "true" : "false");
        printf("\"RaftIndex\" : %" PRIu64 "\n\"RaftTerm\" : %" PRIu64
               "\n\"RaftAppliedIndex\" : %" PRIu64 "\n\"Errors\" : [",
               r->raftindex, r->raftterm, r->raftappliedindex);
        for (size_t k = 0; k < r->n_errors; k++)
            printf("%s%s", k ? " " : "", r->errors[k]);
        puts("]");
        quoted_line("Endpoint", list->items[i].endpoint);
        putchar('\n');
    }
}

static void json_status(struct kv_cli *c, const void *message)
{
    (void)c;
    json_answers(message, "Status");
}

static int status_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = simple_status,
                                          .fields = fields_status,
                                          .table = table_status,
                                          .json = json_status,
                                          .protobuf = kv_no_form};
    struct kv_cli c;
    bool cluster = false;
    const char *failure = NULL;
    Etcdserverpb__StatusRequest q = ETCDSERVERPB__STATUS_REQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {CLUSTER_FLAG(&cluster), KV_GLOBAL_FLAGS(&c), FLAGS_END};
    const struct flags_spec spec = {
        .program = "c8s kv endpoint status",
        .summary = "What each endpoint says of itself.",
        .details = "The simple form has a line for each: endpoint, ID, version, size of its data, "
                   "leader, learner, term, index, applied index, errors.",
        .flags = flags,
        .env_prefix = "ETCDCTL_"};
    int rc = start(&c, &spec, argc, argv, &cluster);
    if (rc == 0) {
        struct answers list =
            ask_each(&c, "/etcdserverpb.Maintenance/Status", &q,
                     &etcdserverpb__status_response__descriptor, "status", &failure);
        rc = kv_show(&c, &list, &forms);
    }
    if (rc == 0 && failure)
        rc = KV_EXIT_ERROR;
    kv_cli_stop(&c);
    return rc;
}

/* ------------------------------------------------------------------------- hashkv --- */

static const char **hash_cells(struct kv_cli *c, const struct answers *list)
{
    const char **cells = arena_array(&c->arena, const char *, 2 * (list->len + 1));
    cells[0] = "ENDPOINT";
    cells[1] = "HASH";
    for (size_t i = 0; i < list->len; i++) {
        const Etcdserverpb__HashKVResponse *r = list->items[i].message;
        cells[2 * i + 2] = list->items[i].endpoint;
        cells[2 * i + 3] = arena_printf(&c->arena, "%" PRIu32, r->hash);
    }
    return cells;
}

static void simple_hash(struct kv_cli *c, const void *message)
{
    const struct answers *list = message;
    kv_rows(hash_cells(c, list) + 2, 2, list->len);
}

static void table_hash(struct kv_cli *c, const void *message)
{
    const struct answers *list = message;
    kv_table(hash_cells(c, list), 2, list->len + 1);
}

static void fields_hash(struct kv_cli *c, const void *message)
{
    (void)c;
    const struct answers *list = message;
    for (size_t i = 0; i < list->len; i++) {
        const Etcdserverpb__HashKVResponse *r = list->items[i].message;
        kv_fields_header(r->header);
        quoted_line("Endpoint", list->items[i].endpoint);
        printf("\"Hash\" : %" PRIu32 "\n\n", r->hash);
    }
}

static void json_hash(struct kv_cli *c, const void *message)
{
    (void)c;
    json_answers(message, "HashKV");
}

static int hashkv_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = simple_hash,
                                          .fields = fields_hash,
                                          .table = table_hash,
                                          .json = json_hash,
                                          .protobuf = kv_no_form};
    struct kv_cli c;
    bool cluster = false;
    const char *failure = NULL;
    Etcdserverpb__HashKVRequest q = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"rev", 0, FLAG_INT, &q.revision, "N", "Up to this revision; 0: the latest."},
        CLUSTER_FLAG(&cluster),
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv endpoint hashkv",
                                    .summary = "A hash of each endpoint's keys and history.",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_"};
    int rc = start(&c, &spec, argc, argv, &cluster);
    if (rc == 0) {
        struct answers list =
            ask_each(&c, "/etcdserverpb.Maintenance/HashKV", &q,
                     &etcdserverpb__hash_kvresponse__descriptor, "hash", &failure);
        rc = kv_show(&c, &list, &forms);
    }
    if (rc == 0 && failure)
        rc = kv_fail(KV_EXIT_ERROR, "%s", failure);
    kv_cli_stop(&c);
    return rc;
}

/* ------------------------------------------------------------------------- health --- */

struct health {
    const char *endpoint, *took, *error; /* error "": healthy */
};
struct healths {
    struct health *items;
    size_t len;
};

/* A member that answers is not healthy while an alarm is raised. */
static const char *alarms_of(struct kv_cli *c, struct grpc_channel *channel)
{
    Etcdserverpb__AlarmRequest q = ETCDSERVERPB__ALARM_REQUEST__INIT;
    Etcdserverpb__AlarmResponse *r;
    const char *text;
    if (kv_try(c, channel, "/etcdserverpb.Maintenance/Alarm", &q,
               &etcdserverpb__alarm_response__descriptor, &r, &text))
        return "Unable to fetch the alarm list";
    if (r->n_alarms == 0)
        return "";
    text = "Active Alarm(s): ";
    for (size_t i = 0; i < r->n_alarms; i++) {
        int alarm = (int)r->alarms[i]->alarm;
        text = arena_printf(&c->arena, "%s%s ", text,
                            alarm == ETCDSERVERPB__ALARM_TYPE__NOSPACE   ? "NOSPACE"
                            : alarm == ETCDSERVERPB__ALARM_TYPE__CORRUPT ? "CORRUPT"
                                                                         : "UNKNOWN");
    }
    return text;
}

static struct health check_health(struct kv_cli *c, const char *endpoint)
{
    struct error err = {0};
    struct health h = {.endpoint = endpoint, .error = "", .took = ""};
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    void *out;
    const char *text = NULL;
    q.key = kv_bytes("health");
    uint64_t begin = clock_mono_ns();
    struct grpc_channel *channel = kv_connect_one(c, endpoint, &err);
    if (!channel) {
        h.error = arena_strdup(&c->arena, err.message);
        return h;
    }
    int status = kv_try(c, channel, "/etcdserverpb.KV/Range", &q,
                        &etcdserverpb__range_response__descriptor, &out, &text);
    h.took = kv_go_duration(&c->arena, clock_mono_ns() - begin);
    /* Who is refused has been answered all the same. */
    if (status == 0 || cstr_eq(text, "etcdserver: permission denied"))
        h.error = alarms_of(c, channel);
    else
        h.error = text;
    grpc_channel_free(channel);
    return h;
}

static void simple_health(struct kv_cli *c, const void *message)
{
    (void)c;
    const struct healths *list = message;
    for (size_t i = 0; i < list->len; i++) {
        const struct health *h = &list->items[i];
        if (!*h->error)
            printf("%s is healthy: successfully committed proposal: took = %s\n", h->endpoint,
                   h->took);
        else
            fprintf(stderr, "%s is unhealthy: failed to commit proposal: %s\n", h->endpoint,
                    h->error);
    }
}

static void fields_health(struct kv_cli *c, const void *message)
{
    (void)c;
    const struct healths *list = message;
    for (size_t i = 0; i < list->len; i++) {
        const struct health *h = &list->items[i];
        quoted_line("Endpoint", h->endpoint);
        printf("\"Health\" : %s\n\"Took\" : %s\n\"Error\" : %s\n\n", *h->error ? "false" : "true",
               h->took, h->error);
    }
}

static void json_health(struct kv_cli *c, const void *message)
{
    (void)c;
    const struct healths *list = message;
    struct buf out;
    buf_init(&out);
    buf_append_char(&out, '[');
    for (size_t i = 0; i < list->len; i++) {
        const struct health *h = &list->items[i];
        buf_append_cstr(&out, i ? ",{\"endpoint\":" : "{\"endpoint\":");
        kv_json_string(&out, str_from(h->endpoint));
        buf_printf(&out, ",\"health\":%s,\"took\":", *h->error ? "false" : "true");
        kv_json_string(&out, str_from(h->took));
        if (*h->error) {
            buf_append_cstr(&out, ",\"error\":");
            kv_json_string(&out, str_from(h->error));
        }
        buf_append_char(&out, '}');
    }
    buf_append_char(&out, ']');
    kv_json_line(&out);
}

static void table_health(struct kv_cli *c, const void *message)
{
    const struct healths *list = message;
    const char **cells = arena_array(&c->arena, const char *, 4 * (list->len + 1));
    size_t n = 0;
    cells[n++] = "ENDPOINT", cells[n++] = "HEALTH", cells[n++] = "TOOK", cells[n++] = "ERROR";
    for (size_t i = 0; i < list->len; i++) {
        const struct health *h = &list->items[i];
        cells[n++] = h->endpoint;
        cells[n++] = *h->error ? "false" : "true";
        cells[n++] = h->took;
        cells[n++] = h->error;
    }
    kv_table(cells, 4, list->len + 1);
}

static int health_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = simple_health,
                                          .fields = fields_health,
                                          .table = table_health,
                                          .json = json_health,
                                          .protobuf = kv_no_form};
    struct kv_cli c;
    bool cluster = false, sick = false;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {CLUSTER_FLAG(&cluster), KV_GLOBAL_FLAGS(&c), FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv endpoint health",
                                    .summary = "Does each endpoint answer a linearizable read, "
                                               "and is no alarm raised?",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_"};
    int rc = start(&c, &spec, argc, argv, &cluster);
    if (rc == 0) {
        struct healths list = {arena_array(&c.arena, struct health, c.endpoints.len), 0};
        for (; list.len < c.endpoints.len; list.len++) {
            list.items[list.len] = check_health(&c, c.endpoints.items[list.len]);
            sick |= *list.items[list.len].error != 0;
        }
        rc = kv_show(&c, &list, &forms);
    }
    if (rc == 0 && sick)
        rc = kv_fail(KV_EXIT_ERROR, "unhealthy cluster");
    kv_cli_stop(&c);
    return rc;
}

const struct kv_verb kv_endpoint_verbs[] = {
    {"health", health_main, "Does each endpoint answer?"},
    {"status", status_main, "What each endpoint says of itself"},
    {"hashkv", hashkv_main, "A hash of each endpoint's keys and history"},
    {NULL},
};
