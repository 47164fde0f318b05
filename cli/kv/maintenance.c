/*
 * `c8s kv alarm list|disarm`, `defrag`, `move-leader`, `downgrade validate|enable|cancel`.
 */
#include "cli/kv/kv.h"

#include <inttypes.h>
#include <stdio.h>

/* -------------------------------------------------------------------------- alarms --- */

static const char *alarm_name(Etcdserverpb__AlarmType type)
{
    return type == ETCDSERVERPB__ALARM_TYPE__NOSPACE   ? "NOSPACE"
           : type == ETCDSERVERPB__ALARM_TYPE__CORRUPT ? "CORRUPT"
                                                       : "NONE";
}

static void simple_alarms(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__AlarmResponse *r = message;
    for (size_t i = 0; i < r->n_alarms; i++) /* Go's text form of the message */
        printf("memberID:%" PRIu64 " alarm:%s \n", r->alarms[i]->memberid,
               alarm_name(r->alarms[i]->alarm));
}

static void fields_alarms(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__AlarmResponse *r = message;
    kv_fields_header(r->header);
    for (size_t i = 0; i < r->n_alarms; i++)
        printf("\"MemberID\" : %" PRIu64 "\n\"AlarmType\" : %s\n\n", r->alarms[i]->memberid,
               alarm_name(r->alarms[i]->alarm));
}

static const struct kv_forms alarm_forms = {.simple = simple_alarms, .fields = fields_alarms};

static int alarm_request(struct kv_cli *c, Etcdserverpb__AlarmRequest *q, void *out)
{
    return kv_call(c, c->channel, "/etcdserverpb.Maintenance/Alarm", q,
                   &etcdserverpb__alarm_response__descriptor, out);
}

static int alarm_list(struct kv_cli *c)
{
    Etcdserverpb__AlarmRequest q = ETCDSERVERPB__ALARM_REQUEST__INIT;
    Etcdserverpb__AlarmResponse *r;
    int rc = alarm_request(c, &q, &r);
    return rc ? rc : kv_show(c, r, &alarm_forms);
}

/* Every alarm that is raised, one by one; what was disarmed is shown in one answer. */
static int alarm_disarm(struct kv_cli *c)
{
    Etcdserverpb__AlarmRequest q = ETCDSERVERPB__ALARM_REQUEST__INIT;
    Etcdserverpb__AlarmResponse *raised, *r, all = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    int rc = alarm_request(c, &q, &raised);
    if (rc)
        return rc;
    Etcdserverpb__ResponseHeader none = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    all.header = &none;
    all.alarms = arena_array(&c->arena, Etcdserverpb__AlarmMember *, raised->n_alarms + 1);
    for (size_t i = 0; i < raised->n_alarms && rc == 0; i++) {
        q.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
        q.memberid = raised->alarms[i]->memberid;
        q.alarm = raised->alarms[i]->alarm;
        rc = alarm_request(c, &q, &r);
        if (rc == 0) {
            all.header = r->header;
            for (size_t k = 0; k < r->n_alarms; k++)
                all.alarms[all.n_alarms++] = raised->alarms[i];
        }
    }
    return rc ? rc : kv_show(c, &all, &alarm_forms);
}

static int alarm_list_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv alarm list",
        .summary = "Alarms that are raised.",
        .args_error = "alarm list command accepts no arguments",
        .run = alarm_list,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int alarm_disarm_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv alarm disarm",
        .summary = "Take every alarm back.",
        .args_error = "alarm disarm command accepts no arguments",
        .run = alarm_disarm,
    };
    return kv_plain_main(&plain, argc, argv);
}

const struct kv_verb kv_alarm_verbs[] = {
    {"disarm", alarm_disarm_main, "Take every alarm back"},
    {"list", alarm_list_main, "Alarms that are raised"},
    {NULL},
};

/* -------------------------------------------------------------------------- defrag --- */

static int defrag_each(struct kv_cli *c)
{
    Etcdserverpb__DefragmentRequest q = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
    int rc = 0;
    for (size_t i = 0; i < c->endpoints.len; i++) {
        struct error err = {0};
        const char *endpoint = c->endpoints.items[i], *why = err.message;
        void *r;
        struct grpc_channel *channel = kv_connect_one(c, endpoint, &err);
        if (channel && kv_try(c, channel, "/etcdserverpb.Maintenance/Defragment", &q,
                              &etcdserverpb__defragment_response__descriptor, &r, &why) == 0) {
            printf("Finished defragmenting etcd member[%s]\n", endpoint);
            fflush(stdout);
        } else {
            fprintf(stderr, "Failed to defragment etcd member[%s] (%s)\n", endpoint, why);
            rc = KV_EXIT_ERROR;
        }
        grpc_channel_free(channel);
    }
    return rc;
}

int kv_defrag_main(int argc, char **argv)
{
    struct kv_cli c;
    bool cluster = false;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"cluster", 0, FLAG_BOOL, &cluster, NULL, "All members of the cluster, as it lists them."},
        {"data-dir", 0, FLAG_UNSUPPORTED, &c.unsupported, NULL,
         "a directory without its member is not defragmented; start the member"},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {
        .program = "c8s kv defrag",
        .summary = "Give back the space of what was compacted, at each endpoint.",
        .flags = flags,
        .env_prefix = "ETCDCTL_",
        .args_max = FLAGS_ANY};
    kv_cli_start(&c, &spec, argc, argv);
    int rc = kv_use_cluster(&c, cluster);
    rc = rc ? rc : defrag_each(&c);
    kv_cli_stop(&c);
    return rc;
}

/* --------------------------------------------------------------------- move-leader --- */

struct move {
    uint64_t from, to;
    const void *response;
};

static void simple_move(struct kv_cli *c, const void *message)
{
    (void)c;
    const struct move *m = message;
    printf("Leadership transferred from %" PRIx64 " to %" PRIx64 "\n", m->from, m->to);
}

static void json_move(struct kv_cli *c, const void *message)
{
    (void)c;
    struct buf out;
    buf_init(&out);
    kv_json_message(&out, ((const struct move *)message)->response);
    kv_json_line(&out);
}

static void protobuf_move(struct kv_cli *c, const void *message)
{
    (void)c;
    kv_print_protobuf(((const struct move *)message)->response);
}

/* "[a b]", as Go prints a list. */
static const char *endpoints_text(struct kv_cli *c)
{
    const char *text = "[";
    for (size_t i = 0; i < c->endpoints.len; i++)
        text = arena_printf(&c->arena, "%s%s%s", text, i ? " " : "", c->endpoints.items[i]);
    return arena_printf(&c->arena, "%s]", text);
}

/* The leader is looked for among the endpoints: only it can hand its office over. */
static int move_leader(struct kv_cli *c)
{
    static const struct kv_forms forms = {
        .simple = simple_move, .json = json_move, .protobuf = protobuf_move};
    Etcdserverpb__MoveLeaderRequest q = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
    Etcdserverpb__StatusRequest ask = ETCDSERVERPB__STATUS_REQUEST__INIT;
    Etcdserverpb__StatusResponse *s;
    struct error err = {0};
    const char *wrong = kv_parse_uint(&c->arena, c->args.items[0], 16, &q.targetid);
    if (wrong)
        return kv_fail(KV_EXIT_ARGS, "%s", wrong);
    for (size_t i = 0; i < c->endpoints.len; i++) {
        struct move m = {.to = q.targetid};
        struct grpc_channel *channel = kv_connect_one(c, c->endpoints.items[i], &err);
        if (!channel)
            return kv_fail(KV_EXIT_ARGS, "%s", err.message);
        int rc = kv_call(c, channel, "/etcdserverpb.Maintenance/Status", &ask,
                         &etcdserverpb__status_response__descriptor, &s);
        bool leads = rc == 0 && s->leader == s->header->member_id;
        if (leads)
            rc = kv_call(c, channel, "/etcdserverpb.Maintenance/MoveLeader", &q,
                         &etcdserverpb__move_leader_response__descriptor, &m.response);
        m.from = leads ? s->leader : 0;
        grpc_channel_free(channel);
        if (rc || leads)
            return rc ? rc : kv_show(c, &m, &forms);
    }
    return kv_fail(KV_EXIT_ARGS, "no leader endpoint given at %s", endpoints_text(c));
}

int kv_move_leader_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv move-leader",
        .summary = "Hand leadership over to a member.",
        .usage = "[flags] ID",
        .args = 1,
        .args_error = "move-leader command needs 1 argument",
        .run = move_leader,
    };
    return kv_plain_main(&plain, argc, argv);
}

/* ----------------------------------------------------------------------- downgrade --- */

static void simple_done(const char *action, const void *message)
{
    printf("Downgrade %s success, cluster version %s\n", action,
           ((const Etcdserverpb__DowngradeResponse *)message)->version);
}

static void simple_validate(struct kv_cli *c, const void *message)
{
    (void)c;
    simple_done("validate", message);
}

static void simple_enable(struct kv_cli *c, const void *message)
{
    (void)c;
    simple_done("enable", message);
}

static void simple_cancel(struct kv_cli *c, const void *message)
{
    (void)c;
    simple_done("cancel", message);
}

static int downgrade(struct kv_cli *c, int action, kv_form *simple)
{
    const struct kv_forms forms = {.simple = simple};
    Etcdserverpb__DowngradeRequest q = ETCDSERVERPB__DOWNGRADE_REQUEST__INIT;
    q.action = (Etcdserverpb__DowngradeRequest__DowngradeAction)action;
    if (c->args.len)
        q.version = c->args.items[0];
    return kv_ask(c, "/etcdserverpb.Maintenance/Downgrade", &q,
                  &etcdserverpb__downgrade_response__descriptor, &forms);
}

static int validate_version(struct kv_cli *c)
{
    return downgrade(c, ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__VALIDATE,
                     simple_validate);
}

static int enable(struct kv_cli *c)
{
    return downgrade(c, ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE, simple_enable);
}

static int cancel(struct kv_cli *c)
{
    return downgrade(c, ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL, simple_cancel);
}

static int validate_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv downgrade validate",
        .summary = "Can the cluster go back to a version?",
        .usage = "[flags] VERSION",
        .args = 1,
        .args_error = "TARGET_VERSION not provided",
        .run = validate_version,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int enable_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv downgrade enable",
        .summary = "Let the cluster go back to a version.",
        .usage = "[flags] VERSION",
        .args = 1,
        .args_error = "TARGET_VERSION not provided",
        .run = enable,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int cancel_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv downgrade cancel",
        .summary = "Stay with the present version.",
        .args_error = "downgrade cancel accepts no arguments",
        .run = cancel,
    };
    return kv_plain_main(&plain, argc, argv);
}

const struct kv_verb kv_downgrade_verbs[] = {
    {"validate", validate_main, "Can the cluster go back to a version?"},
    {"enable", enable_main, "Let it"},
    {"cancel", cancel_main, "Stay with the present version"},
    {NULL},
};
