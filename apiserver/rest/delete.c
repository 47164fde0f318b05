/*
 * DELETE of an object or of all that match: options from the body (JSON or protobuf DeleteOptions) or,
 * as older clients send them, from the query.
 */
#include "api/meta.h"
#include "apiserver/rest/continue_token.h"
#include "apiserver/rest/list_options.h"
#include "apiserver/strategy/strategy.h"
#include "base/arena_str.h"

static bool body_options(struct rest *rq, struct delete_options *o)
{
    const Meta__V1__DeleteOptions *d = rest_decode(rq, schema_get(Meta__V1__DeleteOptions__SCHEMA));
    if (!d)
        return false;
    if (d->has_grace_period_seconds) {
        o->has_grace = true;
        o->grace_s = d->grace_period_seconds;
    }
    if (d->preconditions) {
        o->uid = d->preconditions->uid;
        o->resource_version = d->preconditions->resource_version;
    }
    o->propagation = d->propagation_policy;
    o->both = o->propagation && d->has_orphan_dependents;
    o->cascading = d->has_orphan_dependents && !d->orphan_dependents;
    if (d->has_orphan_dependents && !o->propagation)
        o->propagation = d->orphan_dependents ? "Orphan" : "Background";
    for (size_t i = 0; i < d->n_dry_run; i++) {
        o->dry_run |= strcmp(d->dry_run[i], "All") == 0;
        if (strcmp(d->dry_run[i], "All") != 0)
            o->bad_dry_run = d->dry_run[i];
    }
    return true;
}

static bool query_options(struct rest *rq, struct delete_options *o)
{
    const char *p = query_get(rq->a, rq->info.query, "propagationPolicy");
    if (p && *p)
        o->propagation = p;
    const char *orphan = query_get(rq->a, rq->info.query, "orphanDependents");
    o->both = orphan && o->propagation;
    o->cascading = orphan && !query_bool(rq->a, rq->info.query, "orphanDependents");
    if (orphan && !o->propagation)
        o->propagation =
            query_bool(rq->a, rq->info.query, "orphanDependents") ? "Orphan" : "Background";
    const char *grace = query_get(rq->a, rq->info.query, "gracePeriodSeconds");
    struct status *bad = query_number(rq, "gracePeriodSeconds", &o->grace_s);
    if (bad)
        rest_status(rq, bad);
    o->has_grace |= grace && *grace;
    return !bad;
}

static struct status *options_error(struct rest *rq, const struct delete_options *o)
{
    struct status_about about = {"meta.k8s.io", "", "DeleteOptions", ""};
    struct status *s = status_invalid(rq->a, &about);
    if (o->both)
        status_cause_add(
            rq->a, s, "FieldValueInvalid", "propagationPolicy",
            "Invalid value: \"%s\": orphanDependents and deletionPropagation cannot be "
            "both set",
            o->propagation);
    if (o->propagation && strcmp(o->propagation, "Orphan") != 0 &&
        strcmp(o->propagation, "Background") != 0 && strcmp(o->propagation, "Foreground") != 0)
        status_cause_add(rq->a, s, "FieldValueNotSupported", "propagationPolicy",
                         "Unsupported value: \"%s\": supported values: \"Foreground\", "
                         "\"Background\", \"Orphan\", \"nil\"",
                         o->propagation);
    if (o->bad_dry_run)
        rest_check_dry_run(rq->a, s, o->bad_dry_run);
    if (!s->causes)
        return NULL;
    status_invalid_finish(rq->a, s);
    return s;
}

/* False: answered. */
static bool parse_options(struct rest *rq, struct delete_options *o)
{
    *o = (struct delete_options){0};
    if (!rest_write_options(rq))
        return false;
    if (rq->x->body.n > 0 && !body_options(rq, o))
        return false;
    if (rq->x->body.n == 0 && !query_options(rq, o))
        return false;
    o->dry_run |= rq->dry_run;
    struct status *s = options_error(rq, o);
    if (s)
        rest_status(rq, s);
    else if (!o->propagation && rq->r->message == Batch__V1__Job__SCHEMA)
        rest_warn(rq, "child pods are preserved by default when jobs are deleted; set "
                      "propagationPolicy=Background to remove them or set propagationPolicy=Orphan "
                      "to suppress this warning");
    return s == NULL;
}

static struct status *delete_change(struct write *w)
{
    return change_delete(w, w->ctx);
}

static void deleted(struct write *w, struct status *s)
{
    struct rest *rq = w->rq;
    const struct delete_options *o = w->ctx;
    bool shown = (strategy_of(w->r)->flags & STRATEGY_RETURN_DELETED) || (w->dry_run && w->obj);
    if (s) {
        rest_status(rq, s);
    } else if (w->remove && !shown) {
        rest_status(rq, status_deleted(rq->a, &rq->about, object_meta(w->old)->uid));
    } else {
        rest_stored(rq, o->cascading && !w->remove ? 202 : 200, w->stored, w->rev);
    }
}

void rest_delete(struct rest *rq)
{
    struct delete_options *o = arena_new(rq->a, struct delete_options);
    if (!parse_options(rq, o))
        return;
    struct write *w = write_new(rq, delete_change, deleted, o);
    w->dry_run = o->dry_run;
    write_run(w);
}

/* ---- deletecollection ---- */

/*
 * A page of the matching objects is read, as of one version; they are deleted one after the other, each with memory of
 * its own and from the loop, however many there are; then the next page. The answer lists them as they were, as far as
 * ANSWER_MAX goes: deleted are all.
 */
#define PAGE_BYTES (512u << 10)
#define ANSWER_MAX (8u << 20)

struct target {
    const char *ns, *name, *uid;
};

struct collection {
    struct rest *rq;
    struct selection select;
    struct delete_options options;
    struct str start, end; /* what is still to be read, as of rev; start.n 0: nothing */
    /* The page. */
    struct arena page;
    struct target *targets;
    size_t len, cap, next;
    /* The object. */
    struct rest one;
    struct arena scratch;
    struct loop_task go_on;
    int64_t found, limit; /* limit 0: none */
    bool more;            /* the limit left some */
    struct str last;
    const char *token; /* of what is left */
    int64_t remaining;
    struct list_writer list;
    struct buf out;
    int64_t rev;
    struct error err;
};

static int collect(void *ctx, const struct kv_pair *pair)
{
    struct collection *c = ctx;
    struct arena *a = &c->page;
    if (!selection_matches(&c->select, pair->value))
        return 0;
    struct stored_meta m;
    if (!stored_meta(pair->value, &m))
        return error_set(&c->err, ERR_CORRUPT, "%.*s cannot be read", STR_ARG(pair->key));
    c->more = c->limit > 0 && c->found == c->limit;
    if (c->more)
        return 1;
    if (c->len == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        c->targets =
            arena_grow(a, c->targets, c->cap * sizeof *c->targets, cap * sizeof *c->targets);
        c->cap = cap;
    }
    c->targets[c->len++] =
        (struct target){arena_strndup(a, m.namespace_.p, m.namespace_.n),
                        arena_strndup(a, m.name.p, m.name.n), arena_strndup(a, m.uid.p, m.uid.n)};
    c->found++;
    if (c->found == c->limit)
        c->last = str_make(arena_dup(c->rq->a, pair->key.p, pair->key.n), pair->key.n);
    return c->out.len < ANSWER_MAX ? list_add(&c->list, pair->value, pair->mod_rev, &c->err) : 0;
}

/* The end: c goes with the exchange. s NULL: all went well. */
static void collection_answer(struct collection *c, const struct status *s)
{
    struct rest *rq = c->rq;
    struct arena page = c->page, scratch = c->scratch;
    struct buf out = c->out;
    if (s) {
        rest_status(rq, s);
    } else {
        list_end(&c->list, c->rev, c->token, c->remaining);
        out = c->out;
        rest_json_or_wire(rq, 200, &out);
    }
    buf_free(&out);
    arena_free(&scratch);
    arena_free(&page);
}

static void one_deleted(struct write *w, struct status *s)
{
    struct collection *c = w->ctx;
    if (s && s->code != 404)
        collection_answer(c, s);
    else
        loop_post(c->rq->x->loop, &c->go_on); /* w may still be in use, and nothing may nest */
}

static struct status *collection_change(struct write *w)
{
    struct collection *c = w->ctx;
    /* Another one of that name has not been chosen. */
    if (w->old && strcmp(object_meta(w->old)->uid, c->targets[c->next - 1].uid) != 0)
        return status_not_found(w->rq->a, &w->rq->about);
    return change_delete(w, &c->options);
}

static void delete_next(struct collection *c)
{
    const struct target *t = &c->targets[c->next++];
    arena_reset(&c->scratch);
    c->one = *c->rq;
    c->one.a = &c->scratch;
    struct write *w = arena_new(&c->scratch, struct write);
    w->rq = &c->one;
    w->r = c->rq->r;
    w->ns = t->ns;
    w->name = t->name;
    w->change = collection_change;
    w->done = one_deleted;
    w->ctx = c;
    w->dry_run = c->options.dry_run;
    write_run(w);
}

/* As of a list of as many: where the rest begins, and how many there are when all are meant. */
static void find_rest(struct collection *c)
{
    struct rest *rq = c->rq;
    size_t base = strlen(rq->r->storage_prefix) + 1;
    struct kv_range_request range = {
        .key = c->last, .end = c->end, .rev = c->rev, .count_only = true};
    struct kv_range_result result;
    struct error err;
    if (selection_is_all(&c->select) && kv_range(rq->server->kv, &range, rq->a, &result, &err) == 0)
        c->remaining = result.count - 1; /* the last one is in the answer */
    struct str start =
        str_from(arena_printf(rq->a, "%.*s", (int)(c->last.n - base), c->last.p + base));
    start.n++; /* the first key after it: with the NUL */
    struct continue_token next = {c->rev, start, c->remaining};
    c->token = continue_token_make(rq->a, &next);
}

static int read_page(struct collection *c)
{
    struct kv_range_request range = {
        .key = c->start, .end = c->end, .rev = c->rev, .no_count = true, .bytes_max = PAGE_BYTES};
    struct kv_range_result result;
    struct arena a;
    arena_reset(&c->page);
    c->targets = NULL;
    c->len = c->cap = c->next = 0;
    arena_init(&a);
    int rc = kv_scan(c->rq->server->kv, &range, collect, c, &a, &result, &c->err);
    if (rc == 0) {
        if (c->rev == 0)
            c->rev = result.rev;
        bool last = c->more || !result.more;
        c->start = last
                       ? STR_NONE
                       : str_make(arena_dup(c->rq->a, result.next.p, result.next.n), result.next.n);
        if (c->more)
            find_rest(c);
    }
    arena_free(&a);
    return rc;
}

/* The next object, of the next page if need be. */
static void go_on(struct loop_task *task)
{
    struct collection *c = container_of(task, struct collection, go_on);
    bool gone = http_closed(c->rq->x);
    while (c->next == c->len && c->start.n && !gone) {
        int rc = read_page(c);
        if (rc == ERR_COMPACTED && c->rev) {
            c->rev = 0; /* whoever deletes for so long goes on with what there is now */
        } else if (rc < 0) {
            collection_answer(c, status_from_error(c->rq->a, &c->err));
            return;
        }
    }
    if (c->next == c->len || gone)
        collection_answer(c, NULL);
    else
        delete_next(c);
}

static void collection_ready(struct rest *rq)
{
    struct collection *c = rq->op;
    c->end = c->select.exact ? STR_NONE : kv_prefix_end(rq->a, c->select.prefix);
    c->token = "";
    c->remaining = -1;
    go_on(&c->go_on);
}

/* At the first object, or where an earlier answer ended, at its revision. */
static struct status *begin_at(struct collection *c)
{
    struct rest *rq = c->rq;
    const char *token = query_get(rq->a, rq->info.query, "continue");
    struct continue_token from;
    struct error err;
    c->start = c->select.prefix;
    if (!token || !*token)
        return NULL;
    if (continue_token_parse(rq->a, token, &from, &err) < 0)
        return status_bad_request(rq->a, "invalid continue token: %s", err.message);
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%s/", rq->r->storage_prefix);
    buf_append_str(&b, from.start);
    c->start = arena_copy(rq->a, buf_str(&b));
    buf_free(&b);
    c->rev = from.revision == CONTINUE_NEWEST ? 0 : from.revision;
    return str_has_prefix(c->start, c->select.prefix)
               ? NULL
               : status_bad_request(rq->a, "invalid continue token: continue key is not valid: it "
                                           "is of another list");
}

void rest_delete_collection(struct rest *rq)
{
    struct collection *c = arena_new(rq->a, struct collection);
    c->rq = rq;
    rq->op = c;
    if (rq->r->namespaced && !*rq->info.ns) { /* never those of all namespaces at once */
        rest_status(rq, status_method_not_allowed(rq->a, &rq->about, rq->info.verb_str));
        return;
    }
    if (!parse_options(rq, &c->options))
        return;
    int64_t ignored;
    struct status *bad = selection_parse(rq, &c->select);
    if (!bad)
        bad = query_number(rq, "timeoutSeconds", &ignored);
    if (!bad)
        bad = query_number(rq, "limit", &c->limit);
    if (!bad)
        bad = begin_at(c);
    if (bad) {
        rest_status(rq, bad);
        return;
    }
    c->go_on.fn = go_on;
    arena_init(&c->page);
    arena_init(&c->scratch);
    buf_init(&c->out);
    list_begin(&c->list, rq->r, rq->accept.media == MEDIA_PROTOBUF ? MEDIA_PROTOBUF : MEDIA_JSON,
               FORM_FULL, &c->out);
    rest_await(rq, "", collection_ready);
}
