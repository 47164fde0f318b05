/*
 * `c8s kv member list|add|remove|update|promote`, as etcdctl has them.
 */
#include "cli/kv/kv.h"
#include "base/vec.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

/* --------------------------------------------------------------------------- list --- */

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

#define COLUMNS 6

/* The rows of the members behind a heading. */
static const char **member_cells(struct kv_cli *c, const Etcdserverpb__MemberListResponse *r)
{
    static const char *const heading[COLUMNS] = {"ID",         "STATUS",       "NAME",
                                                 "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"};
    const char **cells = arena_array(&c->arena, const char *, COLUMNS *(r->n_members + 1));
    size_t n = 0;
    for (; n < COLUMNS; n++)
        cells[n] = heading[n];
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        cells[n++] = arena_printf(&c->arena, "%" PRIx64, m->id);
        cells[n++] = *m->name ? "started" : "unstarted";
        cells[n++] = m->name;
        cells[n++] = join(&c->arena, m->peerurls, m->n_peerurls);
        cells[n++] = join(&c->arena, m->clienturls, m->n_clienturls);
        cells[n++] = m->islearner ? "true" : "false";
    }
    return cells;
}

static void simple_list(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__MemberListResponse *r = message;
    kv_rows(member_cells(c, r) + COLUMNS, COLUMNS, r->n_members);
}

static void table_list(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__MemberListResponse *r = message;
    kv_table(member_cells(c, r), COLUMNS, r->n_members + 1);
}

static void quoted_line(const char *name, const char *value)
{
    printf("\"%s\" : ", name);
    kv_print_quoted(kv_bytes(value));
    putchar('\n');
}

static void fields_list(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__MemberListResponse *r = message;
    kv_fields_header(r->header);
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        printf("\"ID\" : %" PRIu64 "\n", m->id);
        quoted_line("Name", m->name);
        for (size_t k = 0; k < m->n_peerurls; k++)
            quoted_line("PeerURL", m->peerurls[k]);
        for (size_t k = 0; k < m->n_clienturls; k++)
            quoted_line("ClientURL", m->clienturls[k]);
        printf("\"IsLearner\" : %s\n\n", m->islearner ? "true" : "false");
    }
}

static void json_urls(struct buf *out, const char *name, char **urls, size_t n)
{
    buf_printf(out, ",\"%s\":", name);
    for (size_t i = 0; i < n; i++) {
        buf_append_char(out, i ? ',' : '[');
        kv_json_string(out, str_from(urls[i]));
    }
    buf_append_cstr(out, n ? "]" : "null");
}

/* With --hex ids are hexadecimal texts, in a form of its own. */
static void json_list_hex(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__MemberListResponse *r = message;
    struct buf out;
    buf_init(&out);
    buf_printf(&out,
               "{\"header\":{\"cluster_id\":\"%" PRIx64 "\",\"member_id\":\"%" PRIx64
               "\",\"raft_term\":%" PRIu64 "}",
               r->header->cluster_id, r->header->member_id, r->header->raft_term);
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        buf_printf(&out, "%s{\"ID\":\"%" PRIx64 "\",\"name\":", i ? "," : ",\"members\":[", m->id);
        kv_json_string(&out, str_from(m->name));
        json_urls(&out, "peerURLs", m->peerurls, m->n_peerurls);
        json_urls(&out, "clientURLs", m->clienturls, m->n_clienturls);
        buf_append_char(&out, '}');
    }
    buf_append_cstr(&out, r->n_members ? "]}" : "}");
    kv_json_line(&out);
}

static int list_main(int argc, char **argv)
{
    struct kv_forms forms = {.simple = simple_list, .fields = fields_list, .table = table_list};
    struct kv_cli c;
    const char *consistency = "l";
    Etcdserverpb__MemberListRequest q = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"consistency", 0, FLAG_STRING, &consistency, "l|s", "Linearizable or serializable."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv member list",
                                    .summary = "The members of the cluster.",
                                    .details = "The simple form has a line for each: ID, status, "
                                               "name, peer addresses, client addresses, learner.",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_"};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = 0;
    if (!cstr_eq(consistency, "l") && !cstr_eq(consistency, "s"))
        rc = kv_fail(KV_EXIT_FEATURE, "unknown consistency flag \"%s\"", consistency);
    q.linearizable = cstr_eq(consistency, "l");
    if (c.hex)
        forms.json = json_list_hex;
    if (rc == 0) {
        kv_cli_connect_all(&c);
        rc = kv_ask(&c, "/etcdserverpb.Cluster/MemberList", &q,
                    &etcdserverpb__member_list_response__descriptor, &forms);
    }
    kv_cli_stop(&c);
    return rc;
}

/* ---------------------------------------------------------------------------- add --- */

struct add_flags {
    const char *peer_urls;
    bool learner;
};

static void simple_add(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__MemberAddResponse *r = message;
    printf("Member %16" PRIx64 " added%s to cluster %16" PRIx64 "\n", r->member->id,
           r->member->islearner ? " as learner" : "", r->header->cluster_id);
}

/* The variables that the new member is to be started with. */
static void print_variables(struct kv_cli *c, const Etcdserverpb__MemberAddResponse *r,
                            const char *peer_urls)
{
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        const char *name = m->id == r->member->id ? c->args.items[0] : m->name;
        for (size_t k = 0; k < m->n_peerurls; k++)
            buf_printf(&b, "%s%s=%s", b.len ? "," : "", name, m->peerurls[k]);
    }
    fputs("\nETCD_NAME=", stdout);
    kv_print_quoted(kv_bytes(c->args.items[0]));
    fputs("\nETCD_INITIAL_CLUSTER=", stdout);
    kv_print_quoted((ProtobufCBinaryData){b.len, (uint8_t *)b.data});
    fputs("\nETCD_INITIAL_ADVERTISE_PEER_URLS=", stdout);
    kv_print_quoted(kv_bytes(peer_urls));
    puts("\nETCD_INITIAL_CLUSTER_STATE=\"existing\"");
    buf_free(&b);
}

/* "a,b" as a list of texts in the arena. */
static char **split_urls(struct arena *a, const char *text, size_t *n)
{
    struct str rest = str_from(text), url;
    char **urls = arena_array(a, char *, strlen(text) + 1);
    *n = 0;
    while (str_split(&rest, ',', &url))
        urls[(*n)++] = arena_strndup(a, url.n ? url.p : "", url.n);
    return urls;
}

static int check_add(struct kv_cli *c, const struct add_flags *f)
{
    if (c->args.len < 1)
        return kv_fail(KV_EXIT_ARGS, "member name not provided");
    if (c->args.len == 1 && !*f->peer_urls)
        return kv_fail(KV_EXIT_ARGS, "member peer urls not provided");
    if (c->args.len == 1)
        return 0;
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; i < c->args.len; i++)
        if (strncasecmp(c->args.items[i], "http", 4) == 0)
            buf_printf(&b, ", did you mean --peer-urls=%s", c->args.items[i]);
    int rc = kv_fail(KV_EXIT_ARGS, "too many arguments%s", buf_cstr(&b));
    buf_free(&b);
    return rc;
}

static int add_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = simple_add};
    struct kv_cli c;
    struct add_flags f = {.peer_urls = ""};
    Etcdserverpb__MemberAddRequest q = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    Etcdserverpb__MemberAddResponse *r;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"peer-urls", 0, FLAG_STRING, &f.peer_urls, "URLS", "The new member's peer URLs."},
        {"learner", 0, FLAG_BOOL, &f.learner, NULL, "Without a vote, until it is promoted."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {
        .program = "c8s kv member add",
        .summary = "Tell the cluster of a new member, which may then be started.",
        .details = "Prints the variables that the member wants in its environment.",
        .usage = "[flags] NAME",
        .flags = flags,
        .env_prefix = "ETCDCTL_",
        .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = check_add(&c, &f);
    if (rc == 0) {
        kv_cli_connect_all(&c);
        q.peerurls = split_urls(&c.arena, f.peer_urls, &q.n_peerurls);
        q.islearner = f.learner;
        rc = kv_call(&c, c.channel, "/etcdserverpb.Cluster/MemberAdd", &q,
                     &etcdserverpb__member_add_response__descriptor, &r);
    }
    if (rc == 0)
        rc = kv_show(&c, r, &forms);
    if (rc == 0 && c.format == KV_SIMPLE)
        print_variables(&c, r, f.peer_urls);
    kv_cli_stop(&c);
    return rc;
}

/* -------------------------------------------------------- remove, promote, update --- */

/* "Member 1234 removed from cluster 5678": the id is the verb's argument. */
static void print_done(struct kv_cli *c, const char *done, const void *message)
{
    uint64_t id = 0;
    kv_parse_uint(&c->arena, c->args.items[0], 16, &id); /* it was one */
    printf("Member %16" PRIx64 " %s cluster %16" PRIx64 "\n", id, done,
           ((const Etcdserverpb__MemberRemoveResponse *)message)->header->cluster_id);
}

static void simple_remove(struct kv_cli *c, const void *message)
{
    print_done(c, "removed from", message);
}

static void simple_promote(struct kv_cli *c, const void *message)
{
    print_done(c, "promoted in", message);
}

static void simple_update(struct kv_cli *c, const void *message)
{
    print_done(c, "updated in", message);
}

static int remove_member(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_remove};
    Etcdserverpb__MemberRemoveRequest q = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    int rc = kv_member_arg(c, c->args.items[0], &q.id);
    return rc ? rc
              : kv_ask(c, "/etcdserverpb.Cluster/MemberRemove", &q,
                       &etcdserverpb__member_remove_response__descriptor, &forms);
}

static int remove_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv member remove",
        .summary = "Take a member out of the cluster.",
        .usage = "[flags] ID",
        .args = 1,
        .args_error = "member ID is not provided",
        .run = remove_member,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int promote(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_promote};
    Etcdserverpb__MemberPromoteRequest q = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
    int rc = kv_member_arg(c, c->args.items[0], &q.id);
    return rc ? rc
              : kv_ask(c, "/etcdserverpb.Cluster/MemberPromote", &q,
                       &etcdserverpb__member_promote_response__descriptor, &forms);
}

static int promote_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv member promote",
        .summary = "Give a learner that has caught up its vote.",
        .usage = "[flags] ID",
        .args = 1,
        .args_error = "member ID is not provided",
        .run = promote,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int update_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = simple_update};
    struct kv_cli c;
    const char *peer_urls = "";
    Etcdserverpb__MemberUpdateRequest q = ETCDSERVERPB__MEMBER_UPDATE_REQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"peer-urls", 0, FLAG_STRING, &peer_urls, "URLS", "The member's peer URLs from now on."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv member update",
                                    .summary = "Change where a member is found by its peers.",
                                    .usage = "[flags] ID",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = c.args.len == 1 ? kv_member_arg(&c, c.args.items[0], &q.id)
                             : kv_fail(KV_EXIT_ARGS, "member ID is not provided");
    if (rc == 0 && !*peer_urls)
        rc = kv_fail(KV_EXIT_ARGS, "member peer urls not provided");
    if (rc == 0) {
        kv_cli_connect_all(&c);
        q.peerurls = split_urls(&c.arena, peer_urls, &q.n_peerurls);
        rc = kv_ask(&c, "/etcdserverpb.Cluster/MemberUpdate", &q,
                    &etcdserverpb__member_update_response__descriptor, &forms);
    }
    kv_cli_stop(&c);
    return rc;
}

const struct kv_verb kv_member_verbs[] = {
    {"list", list_main, "The members"},
    {"add", add_main, "Tell the cluster of a new member"},
    {"remove", remove_main, "Take a member out"},
    {"update", update_main, "Change a member's peer URLs"},
    {"promote", promote_main, "Give a learner its vote"},
    {NULL},
};
