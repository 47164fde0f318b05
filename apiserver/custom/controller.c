/*
 * Names, conditions and the end of CustomResourceDefinitions: see controller.h.
 */
#include "apiserver/custom/controller.h"
#include "api/codec.h"
#include "api/fields/managed_fields.h"
#include "api/meta.h"
#include "apiserver/server.h"
#include "base/arena_text.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#define AGAIN_MS 100
#define AGAIN_MAX_MS 5000
#define FOLLOWER_AGAIN_MS 500
#define SETTLED_MS 1000 /* so long after the last change, freed memory is given back */
#define DELETE_BATCH 60 /* operations and compares of one transaction */

typedef Apiextensions__V1__CustomResourceDefinitionNames Names;
typedef Apiextensions__V1__CustomResourceDefinitionCondition Condition;

struct custom_controller {
    struct apiserver *s;
    struct custom_registry *registry;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop, woken;
};

/* ---- conditions ---- */

static Condition *find_condition(const CrdObject *crd, const char *type)
{
    for (size_t i = 0; i < crd->status->n_conditions; i++)
        if (cstr_eq(crd->status->conditions[i]->type, type))
            return crd->status->conditions[i];
    return NULL;
}

static bool condition_is_true(const CrdObject *crd, const char *type)
{
    const Condition *c = find_condition(crd, type);
    return c && cstr_eq(c->status, "True");
}

void crd_set_condition(struct arena *a, CrdObject *crd, const char *type, const char *status,
                       const char *reason, const char *message)
{
    Condition *c = find_condition(crd, type);
    bool changed = !c || !cstr_eq(c->status, status);
    if (!c) {
        c = api_new(a, Apiextensions__V1__CustomResourceDefinitionCondition);
        c->type = (char *)type;
        api_append(a, crd->status, conditions, c);
    }
    if (changed)
        c->last_transition_time = time_now(a);
    c->status = (char *)status;
    c->reason = (char *)reason;
    c->message = (char *)message;
}

/* ---- names ---- */

struct naming {
    struct arena *a;
    const CrdObject *crd;
    const struct custom_set *all;
    const char *reason, *message; /* of the last conflict; NULL: none */
};

static bool same(const char *a, const char *b)
{
    return *a && cstr_eq(a, b);
}

/* Has another definition of the group this name? Its plural, singular and short names share a space, kind
 * and list kind another. */
static bool is_taken(const struct naming *n, const char *name, bool kind)
{
    for (size_t i = 0; i < n->all->types_len; i++) {
        const CrdObject *other = n->all->types[i]->crd;
        const Names *names = other->status->accepted_names;
        if (!cstr_eq(other->spec->group, n->crd->spec->group) ||
            cstr_eq(other->metadata->name, n->crd->metadata->name))
            continue;
        if (kind ? same(name, names->kind) || same(name, names->list_kind)
                 : same(name, names->plural) || same(name, names->singular))
            return true;
        for (size_t k = 0; !kind && k < names->n_short_names; k++)
            if (same(name, names->short_names[k]))
                return true;
    }
    return false;
}

/* Take a name over from the spec unless it is another's. */
static void accept_name(struct naming *n, const char *wanted, char **accepted, bool kind,
                        const char *reason)
{
    if (!cstr_eq(wanted, *accepted) && is_taken(n, wanted, kind)) {
        n->reason = reason;
        n->message = arena_printf(n->a, "\"%s\" is already in use", wanted);
        return;
    }
    *accepted = (char *)wanted;
}

static bool has_short_name(const Names *names, const char *name)
{
    for (size_t i = 0; i < names->n_short_names; i++)
        if (cstr_eq(names->short_names[i], name))
            return true;
    return false;
}

static void accept_short_names(struct naming *n, const Names *wanted, Names *accepted)
{
    struct arena_text taken = {.a = n->a};
    size_t n_taken = 0;
    for (size_t i = 0; i < wanted->n_short_names; i++) {
        const char *name = wanted->short_names[i];
        if (has_short_name(accepted, name) || !is_taken(n, name, false))
            continue;
        arena_text_addf(&taken, "%s\"%s\" is already in use", n_taken++ ? ", " : "", name);
    }
    if (n_taken) {
        const char *message = arena_text_of(&taken);
        n->reason = "ShortNamesConflict";
        n->message = n_taken > 1 ? arena_printf(n->a, "[%s]", message) : message;
        return;
    }
    accepted->short_names = wanted->short_names;
    accepted->n_short_names = wanted->n_short_names;
}

static void settle_approval(struct arena *a, CrdObject *crd)
{
    static const char *const reasons[] = {[CRD_APPROVAL_MISSING] = "MissingAnnotation",
                                          [CRD_APPROVAL_BYPASSED] = "UnapprovedAnnotation",
                                          [CRD_APPROVAL_GIVEN] = "ApprovedAnnotation",
                                          [CRD_APPROVAL_INVALID] = "InvalidAnnotation"};
    const char *message;
    enum crd_approval approval = crd_approval_of(a, crd, &message);
    if (approval != CRD_UNPROTECTED)
        crd_set_condition(a, crd, "KubernetesAPIApprovalPolicyConformant",
                          approval == CRD_APPROVAL_GIVEN ? "True" : "False", reasons[approval],
                          message);
}

/* There only while something is wrong. */
static void settle_structure(struct arena *a, CrdObject *crd, const char *problem)
{
    static const char type[] = "NonStructuralSchema";
    size_t n = 0;
    if (problem) {
        crd_set_condition(a, crd, type, "True", "Violations", problem);
        return;
    }
    for (size_t i = 0; i < crd->status->n_conditions; i++)
        if (!cstr_eq(crd->status->conditions[i]->type, type))
            crd->status->conditions[n++] = crd->status->conditions[i];
    crd->status->n_conditions = n;
}

void crd_settle_names(struct arena *a, CrdObject *crd, const struct custom_set *all)
{
    struct naming n = {.a = a, .crd = crd, .all = all};
    const Names *wanted = crd->spec->names;
    Names *accepted = crd->status->accepted_names = api_clone(a, crd->status->accepted_names);
    accept_name(&n, wanted->plural, &accepted->plural, false, "PluralConflict");
    accept_name(&n, wanted->singular, &accepted->singular, false, "SingularConflict");
    accept_short_names(&n, wanted, accepted);
    accept_name(&n, wanted->kind, &accepted->kind, true, "KindConflict");
    accept_name(&n, wanted->list_kind, &accepted->list_kind, true, "ListKindConflict");
    accepted->categories = wanted->categories;
    accepted->n_categories = wanted->n_categories;
    if (n.reason)
        crd_set_condition(a, crd, "NamesAccepted", "False", n.reason, n.message);
    else
        crd_set_condition(a, crd, "NamesAccepted", "True", "NoConflicts", "no conflicts found");
    settle_approval(a, crd);
    if (condition_is_true(crd, "Established"))
        return; /* for good */
    if (n.reason)
        crd_set_condition(a, crd, "Established", "False", "NotAccepted",
                          "not all names are accepted");
    else
        crd_set_condition(a, crd, "Established", "True", "InitialNamesAccepted",
                          "the initial names have been accepted");
}

/* ---- writing ---- */

/* One transaction; true when it happened. */
static bool commit(struct custom_controller *c, const struct kv_compare *compares, size_t n,
                   const struct kv_op *ops, size_t ops_len)
{
    struct kv_txn_request txn = {
        .compares = compares, .compares_len = n, .then = ops, .then_len = ops_len};
    struct kv_txn_result *r = kv_txn_wait(c->s->kv, &txn);
    bool ok = r->code == 0 && r->succeeded;
    if (r->code < 0)
        log_warn("custom", "transaction failed → again code=%d error=\"%s\"", r->code, r->message);
    kv_txn_result_free(r);
    return ok;
}

static struct str key_of(struct arena *a, const struct custom_type *t)
{
    return str_from(arena_printf(a, CRD_PREFIX "%s", t->name));
}

static struct kv_compare unchanged(struct str key, int64_t mod_rev)
{
    return (struct kv_compare){
        .target = KV_COMPARE_MOD, .result = KV_EQUAL, .key = key, .number = mod_rev};
}

static struct str encoded(struct arena *a, const CrdObject *crd)
{
    struct buf b;
    buf_init(&b);
    stored_encode(crd, &b);
    struct str s = str_make(arena_dup(a, b.data, b.len), b.len);
    buf_free(&b);
    return s;
}

/* The definition with its schemas, to be changed and put back; NULL: the store has another, look again. */
static CrdObject *whole(struct custom_controller *c, struct arena *a, const struct custom_type *t)
{
    struct kv_range_result out;
    struct error err;
    void *object;
    struct kv_range_request range = {.key = key_of(a, t)};
    if (kv_range(c->s->kv, &range, a, &out, &err) < 0) {
        log_warn("custom", "definition not readable → again name=%s error=\"%s\"", t->name,
                 err.message);
        return NULL;
    }
    const struct schema_message *m =
        schema_get(Apiextensions__V1__CustomResourceDefinition__SCHEMA);
    if (out.pairs_len == 0 || out.pairs[0].mod_rev != t->mod_rev ||
        stored_decode(a, out.pairs[0].value, t->mod_rev, m, &object, &err) < 0)
        return NULL;
    return object;
}

/* Put a definition back, provided that it, and with `all` every other, is as it was in the set. */
static bool put(struct custom_controller *c, struct arena *a, const struct custom_type *t,
                const CrdObject *crd, const struct custom_set *all)
{
    struct str key = key_of(a, t);
    struct kv_compare compares[2] = {unchanged(key, t->mod_rev)};
    int64_t last = 0;
    for (size_t i = 0; all && i < all->types_len; i++)
        last = MAX(last, all->types[i]->mod_rev);
    compares[1] = (struct kv_compare){.target = KV_COMPARE_MOD,
                                      .result = KV_LESS,
                                      .key = STR(CRD_PREFIX),
                                      .end = kv_prefix_end(a, STR(CRD_PREFIX)),
                                      .number = last + 1};
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = key, .value = encoded(a, crd)}};
    return commit(c, compares, all ? 2 : 1, &op, 1);
}

/* ---- removing objects ---- */

struct sweep {
    struct custom_controller *c;
    const struct custom_type *t;
    struct arena *a; /* of the page */
    struct buf next; /* where the next one begins */
    struct kv_compare compares[DELETE_BATCH];
    struct kv_op ops[DELETE_BATCH];
    size_t len;
    size_t held; /* objects that finalizers keep */
};

static void sweep_flush(struct sweep *w)
{
    if (w->len && !commit(w->c, w->compares, w->len, w->ops, w->len))
        log_debug("custom", "objects changed while they were deleted → again type=%s", w->t->name);
    w->len = 0;
}

/* Mark what finalizers hold, delete what nothing holds. */
static void sweep_one(struct sweep *w, const struct kv_pair *pair)
{
    struct error err;
    void *object;
    struct str key = str_make(arena_dup(w->a, pair->key.p, pair->key.n), pair->key.n);
    struct kv_op op = {.type = KV_OP_DELETE, .del = {.key = key}};
    if (stored_decode(w->a, pair->value, pair->mod_rev, &w->t->stored->message, &object, &err) ==
        0) {
        Meta__V1__ObjectMeta *meta = object_meta(object);
        w->held += meta->n_finalizers > 0;
        if (meta->n_finalizers > 0 && meta->deletion_timestamp)
            return;
        if (meta->n_finalizers > 0) {
            struct buf b;
            buf_init(&b);
            meta->deletion_timestamp = time_now(w->a);
            api_set(meta, deletion_grace_period_seconds, 0);
            meta->generation += meta->generation > 0;
            stored_encode(object, &b);
            op = (struct kv_op){
                .type = KV_OP_PUT,
                .put = {.key = key, .value = str_make(arena_dup(w->a, b.data, b.len), b.len)}};
            buf_free(&b);
        }
    }
    w->compares[w->len] = unchanged(key, pair->mod_rev);
    w->ops[w->len++] = op;
    if (w->len == DELETE_BATCH)
        sweep_flush(w);
}

/* A pass over a page of objects; *next goes on. False at the end. */
static bool sweep_page(struct sweep *w, struct str *next, struct str end)
{
    struct kv_range_result out;
    struct error err;
    struct arena page; /* there may be gigabytes of them */
    struct kv_range_request range = {
        .key = *next, .end = end, .no_count = true, .bytes_max = 1u << 20};
    arena_init(&page);
    w->a = &page;
    if (kv_range(w->c->s->kv, &range, &page, &out, &err) < 0) {
        log_warn("custom", "objects not readable → again type=%s error=\"%s\"", w->t->name,
                 err.message);
        w->held++;
        arena_free(&page);
        return false;
    }
    for (size_t i = 0; i < out.pairs_len; i++)
        sweep_one(w, &out.pairs[i]);
    sweep_flush(w);
    buf_clear(&w->next);
    buf_append_str(&w->next, out.more ? out.next : STR_NONE);
    *next = buf_str(&w->next);
    arena_free(&page);
    return out.more;
}

static struct str objects_prefix(struct arena *a, const struct custom_type *t)
{
    return str_from(arena_printf(a, "%s/", t->stored->resource.storage_prefix));
}

/* Remove all objects that can go; true when none is known to be left. */
static bool sweep_objects(struct custom_controller *c, struct arena *a, const struct custom_type *t)
{
    struct sweep w = {.c = c, .t = t};
    struct str next = objects_prefix(a, t), end = kv_prefix_end(a, next);
    buf_init(&w.next);
    while (sweep_page(&w, &next, end))
        ;
    buf_free(&w.next);
    return w.held == 0;
}

/* ---- the end of a definition ---- */

static bool overlaps_built_in(const struct custom_type *t)
{
    for (size_t i = 0; i < resources_len; i++)
        if (cstr_eq(resources[i].group, t->group) &&
            cstr_eq(resources[i].plural, t->crd->spec->names->plural))
            return true;
    return false;
}

/* The last step: without the finalizer the definition goes, unless others hold it. Only while there is no
 * object: `empty` compares that too. */
static bool let_go(struct custom_controller *c, struct arena *a, const struct custom_type *t,
                   CrdObject *crd, bool empty)
{
    struct str key = key_of(a, t), prefix = objects_prefix(a, t);
    struct kv_compare compares[2] = {unchanged(key, t->mod_rev),
                                     {.target = KV_COMPARE_VERSION,
                                      .result = KV_EQUAL,
                                      .key = prefix,
                                      .end = kv_prefix_end(a, prefix),
                                      .number = 0}};
    remove_finalizer(crd->metadata, CRD_FINALIZER);
    struct kv_op op = {.type = KV_OP_DELETE, .del = {.key = key}};
    if (crd->metadata->n_finalizers > 0)
        op = (struct kv_op){.type = KV_OP_PUT, .put = {.key = key, .value = encoded(a, crd)}};
    return commit(c, compares, empty ? 2 : 1, &op, 1);
}

/* Each step writes once; the change comes back through the registry and leads to the next. True: look again
 * soon. */
static bool finalize(struct custom_controller *c, struct arena *a, const struct custom_type *t)
{
    CrdObject *crd = whole(c, a, t);
    if (!crd)
        return true;
    const Condition *terminating = find_condition(crd, "Terminating");
    if (overlaps_built_in(t)) {
        crd_set_condition(a, crd, "Terminating", "False", "OverlappingBuiltInResource",
                          "instances overlap with built-in resources in storage");
        return !let_go(c, a, t, crd, false);
    }
    if (!condition_is_true(crd, "Established")) {
        crd_set_condition(a, crd, "Terminating", "False", "NeverEstablished",
                          "resource was never established");
        return !let_go(c, a, t, crd, false);
    }
    if (!terminating || !cstr_eq(terminating->reason, "InstanceDeletionInProgress")) {
        crd_set_condition(a, crd, "Terminating", "True", "InstanceDeletionInProgress",
                          "CustomResource deletion is in progress");
        put(c, a, t, crd, NULL);
        return true;
    }
    if (!sweep_objects(c, a, t))
        return true;
    crd_set_condition(a, crd, "Terminating", "False", "InstanceDeletionCompleted",
                      "removed all instances");
    bool gone = let_go(c, a, t, crd, true);
    if (gone)
        log_info("custom", "all objects removed → definition released name=%s", t->name);
    return !gone;
}

/* ---- the thread ---- */

static bool is_dying(const struct custom_type *t)
{
    return t->crd->metadata->deletion_timestamp && has_finalizer(t->crd->metadata, CRD_FINALIZER);
}

/* The definition with this one's status, which is the server's own. */
static CrdObject *with_status(struct arena *a, const CrdObject *stored, const CrdObject *from)
{
    struct field_manager self = {"kube-apiserver", "status", clock_wall_s()};
    CrdObject *crd = api_clone(a, (CrdObject *)stored);
    crd->metadata = api_clone(a, stored->metadata);
    crd->status = from->status;
    managed_fields_record(a, &self, stored, crd);
    return crd;
}

/* True: not done, look again soon. */
static bool reconcile(struct custom_controller *c, const struct custom_type *t,
                      const struct custom_set *all, bool leader)
{
    struct arena a;
    arena_init(&a);
    bool again;
    if (is_dying(t)) {
        again = leader ? finalize(c, &a, t) : true;
    } else {
        CrdObject *crd = api_clone(&a, (CrdObject *)t->crd), *stored;
        crd_settle_names(&a, crd, all);
        settle_structure(&a, crd, t->not_structural);
        again = !object_equal(crd->status, t->crd->status);
        if (again && leader && (stored = whole(c, &a, t)))
            put(c, &a, t, with_status(&a, stored, crd), all);
    }
    arena_free(&a);
    return again;
}

static bool is_leader(struct custom_controller *c)
{
    struct kv_status st;
    kv_status(c->s->kv, &st);
    return st.leader_id != 0 && st.leader_id == st.member_id;
}

/* Until woken, at most `ms` (0: forever). True when asked to stop. */
static bool rest_until_woken(struct custom_controller *c, uint64_t ms, bool *woken)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&c->lock);
    while (!c->stop && !c->woken) {
        if (!ms)
            pthread_cond_wait(&c->wake, &c->lock);
        else if (pthread_cond_timedwait(&c->wake, &c->lock, &until) != 0)
            break;
    }
    *woken = c->woken;
    c->woken = false;
    bool stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return stop;
}

static void *run(void *arg)
{
    struct custom_controller *c = arg;
    uint64_t wait_ms = 0;
    bool woken, settled = false;
    while (!rest_until_woken(c, wait_ms, &woken)) {
        if (settled && !woken) {
            malloc_trim(0); /* a definition of 600 KB leaves several MB free, here and there */
            settled = false;
            wait_ms = 0;
            continue;
        }
        bool leader = is_leader(c), again = false;
        uint64_t began = clock_mono_ns();
        const struct custom_set *all = custom_set_get(c->registry);
        for (size_t i = 0; i < all->types_len; i++)
            again |= reconcile(c, all->types[i], all, leader);
        custom_set_put(c->registry, all);
        settled = !again;
        /* Objects of a dying definition that finalizers hold are looked at again and again, by a tenth of the time. */
        uint64_t took_ms = (clock_mono_ns() - began) / NS_PER_MS;
        wait_ms = settled  ? SETTLED_MS
                  : leader ? MIN(MAX((uint64_t)AGAIN_MS, 9 * took_ms), (uint64_t)AGAIN_MAX_MS)
                           : FOLLOWER_AGAIN_MS;
    }
    return NULL;
}

struct custom_controller *custom_controller_start(struct apiserver *s, struct custom_registry *r)
{
    struct custom_controller *c = mem_zalloc(sizeof *c);
    c->s = s;
    c->registry = r;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&c->thread, NULL, run, c) != 0) {
        log_error("custom", "cannot start the controller's thread");
        abort();
    }
    return c;
}

void custom_controller_wake(struct custom_controller *c)
{
    pthread_mutex_lock(&c->lock);
    c->woken = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

void custom_controller_stop(struct custom_controller *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
}

void custom_controller_free(struct custom_controller *c)
{
    if (!c)
        return;
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}
