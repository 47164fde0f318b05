/*
 * RBAC snapshot and decisions: see authz.h.
 */
#include "apiserver/auth/authz.h"
#include "apiserver/auth/authz_node.h"
#include "apiserver/auth/node_identity.h"
#include "apiserver/auth/rbac_held.h"
#include "api/codec.h"
#include "base/arena_str.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "kvstore/kv.h"
#include "net/loop.h"
#include "proto/rbac_v1.pb-c.h"
#include <pthread.h>
#include <stdio.h>

#define FEW_RULES 32 /* so many are compared one by one */

struct role {
    struct rbac_rule *rules;
    size_t rules_len;
    struct rbac_held *held; /* of many rules; NULL: they are few */
};

/* A subject's grant: the rules of `role`, in `ns` or ("" ) everywhere. The first one found of several alike. */
struct grant {
    const char *ns;
    const char *binding, *role_kind, *role_name;
    const struct role *role;
    struct grant *next;
};

struct snapshot {
    unsigned refs; /* under authz.lock */
    uint64_t generation;
    struct arena arena;
    struct map roles; /* "ns/name", "/name" → struct role */
    /* "U", "ns", NUL, "name" (and "G" for groups; ns "": everywhere) → struct grant list: what a user has in other
     * namespaces costs nothing. The same with NUL and a role's key: is it in the list? */
    struct map subjects;
};

#define RBAC_PREFIXES 4
static const char *const prefixes[RBAC_PREFIXES] = {"/registry/roles/", "/registry/clusterroles/",
                                                    "/registry/rolebindings/",
                                                    "/registry/clusterrolebindings/"};

struct authz {
    struct kv *kv;
    struct loop *loop;
    bool always_allow;
    struct node_authz *nodes; /* NULL: no Node authorizer */
    struct kv_watch *watches[RBAC_PREFIXES];
    struct arena arena;
    atomic_uint_fast64_t generation; /* counts changes of RBAC objects */
    pthread_mutex_t lock;            /* guards current and refs */
    pthread_mutex_t build_lock;      /* one builder at a time */
    struct snapshot *current;
};

/* ---- building ---- */

static const char **string_list(struct arena *a, char *const *items, size_t n)
{
    const char **out = arena_array(a, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = items[i];
    return out;
}

static void rules_from(struct arena *a, Rbac__V1__PolicyRule *const *in, size_t n,
                       struct rbac_rule **rules, size_t *rules_len)
{
    struct rbac_rule *out = arena_array(a, struct rbac_rule, n ? n : 1);
    for (size_t i = 0; i < n; i++) {
        const Rbac__V1__PolicyRule *p = in[i];
        out[i] = (struct rbac_rule){
            .verbs = string_list(a, p->verbs, p->n_verbs),
            .groups = string_list(a, p->api_groups, p->n_api_groups),
            .resources = string_list(a, p->resources, p->n_resources),
            .names = string_list(a, p->resource_names, p->n_resource_names),
            .urls = string_list(a, p->non_resource_urls, p->n_non_resource_urls),
        };
    }
    *rules = out;
    *rules_len = n;
}

void rbac_rules_of(struct arena *a, const void *role, struct rbac_rule **rules, size_t *rules_len)
{
    if (schema_of(role)->id == Rbac__V1__ClusterRole__SCHEMA) {
        const Rbac__V1__ClusterRole *c = role;
        rules_from(a, c->rules, c->n_rules, rules, rules_len);
    } else {
        const Rbac__V1__Role *r = role;
        rules_from(a, r->rules, r->n_rules, rules, rules_len);
    }
}

static struct str role_key(struct arena *a, const char *ns, const char *name)
{
    return str_from(arena_printf(a, "%s/%s", ns ? ns : "", name));
}

static int add_role(void *ctx, const struct kv_pair *pair)
{
    struct snapshot *s = ctx;
    void *object;
    struct error err;
    if (stored_decode(&s->arena, pair->value, pair->mod_rev, NULL, &object, &err) < 0) {
        log_error("authz", "role not readable, ignored key=%.*s error=\"%s\"", STR_ARG(pair->key),
                  err.message);
        return 0;
    }
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    struct role *r = arena_new(&s->arena, struct role);
    rbac_rules_of(&s->arena, object, &r->rules, &r->rules_len);
    if (r->rules_len > FEW_RULES) {
        r->held = rbac_held_new();
        for (size_t i = 0; i < r->rules_len; i++)
            rbac_held_add(r->held, &r->rules[i]);
    }
    map_put(&s->roles, role_key(&s->arena, meta->namespace_, meta->name), r);
    return 0;
}

static void subject_key(struct buf *b, char tag, const char *ns, const char *name)
{
    buf_clear(b);
    buf_append_char(b, tag);
    buf_append_cstr(b, ns);
    buf_append_char(b, 0);
    buf_append_cstr(b, name);
}

/* Whom a binding in `ns` means; false: nobody who can be. */
static bool subject_of(struct arena *a, struct buf *key, const Rbac__V1__Subject *sub,
                       const char *ns)
{
    if (cstr_eq(sub->kind, "User"))
        subject_key(key, 'U', ns, sub->name);
    else if (cstr_eq(sub->kind, "Group"))
        subject_key(key, 'G', ns, sub->name);
    else if (cstr_eq(sub->kind, "ServiceAccount"))
        subject_key(key, 'U', ns,
                    arena_printf(a, "system:serviceaccount:%s:%s",
                                 sub->namespace_ && *sub->namespace_ ? sub->namespace_ : ns,
                                 sub->name));
    else
        return false;
    return true;
}

/* A role that a subject has already is not given again: bindings may be many, and roles long. */
static void add_grant(struct snapshot *s, struct buf *key, struct str role_key, struct grant *grant)
{
    struct str subject = arena_copy(&s->arena, buf_str(key));
    buf_append_char(key, 0);
    buf_append_str(key, role_key);
    if (map_has(&s->subjects, buf_str(key)))
        return;
    struct grant *g = arena_dup(&s->arena, grant, sizeof *grant);
    map_put(&s->subjects, buf_str(key), g);
    g->next = map_put(&s->subjects, subject, g);
}

static void add_grants(struct snapshot *s, const Meta__V1__ObjectMeta *meta,
                       const Rbac__V1__RoleRef *ref, Rbac__V1__Subject *const *subjects, size_t n)
{
    bool cluster_role = cstr_eq(ref->kind, "ClusterRole");
    struct str role = role_key(&s->arena, cluster_role ? "" : meta->namespace_, ref->name);
    struct grant g = {.ns = meta->namespace_,
                      .binding = meta->name,
                      .role_kind = ref->kind,
                      .role_name = ref->name,
                      .role = map_get(&s->roles, role)};
    struct buf key;
    buf_init(&key);
    for (size_t i = 0; g.role && i < n; i++)
        if (subject_of(&s->arena, &key, subjects[i], meta->namespace_))
            add_grant(s, &key, role, &g);
    buf_free(&key);
}

static int add_binding(void *ctx, const struct kv_pair *pair)
{
    struct snapshot *s = ctx;
    void *object;
    struct error err;
    if (stored_decode(&s->arena, pair->value, pair->mod_rev, NULL, &object, &err) < 0) {
        log_error("authz", "binding not readable, ignored key=%.*s error=\"%s\"",
                  STR_ARG(pair->key), err.message);
        return 0;
    }
    if (schema_of(object)->id == Rbac__V1__ClusterRoleBinding__SCHEMA) {
        const Rbac__V1__ClusterRoleBinding *b = object;
        add_grants(s, b->metadata, b->role_ref, b->subjects, b->n_subjects);
    } else {
        const Rbac__V1__RoleBinding *b = object;
        add_grants(s, b->metadata, b->role_ref, b->subjects, b->n_subjects);
    }
    return 0;
}

static void snapshot_free(struct snapshot *s)
{
    struct map_iter it = {0};
    while (map_next(&s->roles, &it))
        rbac_held_free(((struct role *)it.value)->held);
    map_free(&s->roles);
    map_free(&s->subjects);
    arena_free(&s->arena);
    mem_free(s);
}

static struct snapshot *snapshot_build(struct authz *z, uint64_t generation)
{
    struct snapshot *s = mem_zalloc(sizeof *s);
    s->refs = 1;
    s->generation = generation;
    arena_init(&s->arena);
    map_init(&s->roles);
    map_init(&s->subjects);
    for (int i = 0; i < RBAC_PREFIXES; i++) {
        struct str key = str_from(prefixes[i]);
        struct kv_range_request rq = {
            .key = key, .end = kv_prefix_end(&s->arena, key), .no_count = true};
        struct kv_range_result out;
        struct error err;
        if (kv_scan(z->kv, &rq, i < 2 ? add_role : add_binding, s, &s->arena, &out, &err) < 0) {
            log_error("authz", "cannot read roles → keeping the rules known before error=\"%s\"",
                      err.message);
            snapshot_free(s);
            return NULL;
        }
    }
    return s;
}

static void snapshot_put(struct authz *z, struct snapshot *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&z->lock);
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&z->lock);
    if (last)
        snapshot_free(s);
}

static struct snapshot *snapshot_ref_current(struct authz *z)
{
    pthread_mutex_lock(&z->lock);
    struct snapshot *s = z->current;
    if (s)
        s->refs++;
    pthread_mutex_unlock(&z->lock);
    return s;
}

/* The current rules, one reference; NULL when they cannot be read. */
static struct snapshot *snapshot_get(struct authz *z)
{
    struct snapshot *s = snapshot_ref_current(z);
    if (s && s->generation == atomic_load(&z->generation))
        return s;
    pthread_mutex_lock(&z->build_lock);
    snapshot_put(z, s);
    s = snapshot_ref_current(z);
    uint64_t generation = atomic_load(&z->generation);
    if (!s || s->generation != generation) {
        struct snapshot *fresh = snapshot_build(z, generation);
        if (fresh) {
            fresh->refs = 2; /* current's and ours */
            pthread_mutex_lock(&z->lock);
            struct snapshot *old = z->current;
            z->current = fresh;
            pthread_mutex_unlock(&z->lock);
            snapshot_put(z, old);
            snapshot_put(z, s);
            s = fresh;
        }
    }
    pthread_mutex_unlock(&z->build_lock);
    return s;
}

/* ---- watching ---- */

static void on_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch)
{
    (void)watch;
    (void)batch;
    struct authz *z = ctx;
    atomic_fetch_add(&z->generation, 1);
}

static const struct kv_watch_callbacks watch_callbacks;

static void watch_start(struct authz *z, int i)
{
    struct str key = str_from(prefixes[i]);
    struct kv_watch_request rq = {.key = key, .end = kv_prefix_end(&z->arena, key)};
    z->watches[i] = kv_watch(z->kv, &rq, z->loop, &watch_callbacks, z, NULL);
}

/* A member that was sent a snapshot ends its watches: watch anew and read everything again. */
static void on_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct authz *z = ctx;
    (void)compact_rev;
    if (code == ERR_CANCELLED)
        return;
    log_warn("authz", "watch of roles ended → watching again code=%d", code);
    for (int i = 0; i < RBAC_PREFIXES; i++) {
        if (z->watches[i] != watch)
            continue;
        kv_watch_close(watch);
        watch_start(z, i);
    }
    atomic_fetch_add(&z->generation, 1);
}

static const struct kv_watch_callbacks watch_callbacks = {.events = on_events, .closed = on_closed};

struct authz *authz_new(struct kv *kv, struct loop *loop, bool always_allow, bool nodes)
{
    struct authz *z = mem_zalloc(sizeof *z);
    z->kv = kv;
    z->loop = loop;
    z->always_allow = always_allow;
    arena_init(&z->arena);
    atomic_init(&z->generation, 1);
    pthread_mutex_init(&z->lock, NULL);
    pthread_mutex_init(&z->build_lock, NULL);
    for (int i = 0; i < RBAC_PREFIXES; i++)
        watch_start(z, i);
    if (nodes)
        z->nodes = node_authz_new(kv, loop);
    return z;
}

void authz_close(struct authz *z)
{
    if (!z)
        return;
    for (int i = 0; i < RBAC_PREFIXES; i++)
        kv_watch_close(z->watches[i]);
    snapshot_put(z, z->current);
    node_authz_close(z->nodes);
    pthread_mutex_destroy(&z->lock);
    pthread_mutex_destroy(&z->build_lock);
    arena_free(&z->arena);
    mem_free(z);
}

/* ---- deciding ---- */

/* Visit the grants of a user; stops when the visitor returns true. */
typedef bool grant_fn(void *ctx, const struct grant *g, const char *subject);

static bool subject_grants(const struct snapshot *s, struct buf *key, const char *name,
                           grant_fn *visit, void *ctx)
{
    const struct grant *g = map_get(&s->subjects, buf_str(key));
    bool stop = false;
    for (; g && !stop; g = g->next)
        stop = visit(ctx, g, name);
    return stop;
}

/* Those in a namespace, or ("") everywhere. */
static bool user_grants(const struct snapshot *s, const struct user *u, const char *ns,
                        grant_fn *visit, void *ctx)
{
    struct buf key;
    buf_init(&key);
    subject_key(&key, 'U', ns, u->name);
    bool stop = subject_grants(s, &key, u->name, visit, ctx);
    for (size_t i = 0; i < u->groups_len && !stop; i++) {
        subject_key(&key, 'G', ns, u->groups[i]);
        stop = subject_grants(s, &key, u->groups[i], visit, ctx);
    }
    buf_free(&key);
    return stop;
}

struct decision {
    const struct authz_attributes *attr;
    struct arena *a;
    const char **reason;
};

static bool role_allows(const struct role *r, const struct authz_attributes *attr)
{
    if (r->held)
        return rbac_held_allows(r->held, attr, NULL) == RBAC_YES;
    for (size_t i = 0; i < r->rules_len; i++)
        if (rbac_rule_allows(&r->rules[i], attr))
            return true;
    return false;
}

static bool grant_allows(void *ctx, const struct grant *g, const char *subject)
{
    struct decision *d = ctx;
    if (!role_allows(g->role, d->attr))
        return false;
    if (d->reason)
        *d->reason = arena_printf(d->a, "RBAC: allowed by %s \"%s%s%s\" of %s \"%s\" to \"%s\"",
                                  *g->ns ? "RoleBinding" : "ClusterRoleBinding", g->binding,
                                  *g->ns ? "/" : "", g->ns, g->role_kind, g->role_name, subject);
    return true;
}

/* Bindings in a namespace give no paths, and nothing outside it. */
static bool in_namespace(const struct authz_attributes *attr)
{
    return attr->is_resource && *attr->ns;
}

bool authz_allowed(struct authz *z, const struct authz_attributes *attr, struct arena *a,
                   const char **reason)
{
    if (reason)
        *reason = "";
    if (z->always_allow || user_in_group(attr->user, "system:masters"))
        return true;
    const char *node, *why = "";
    if (z->nodes && node_identity(attr->user, &node) &&
        node_authz_allowed(z->nodes, node, attr, a, &why))
        return true;
    struct snapshot *s = snapshot_get(z);
    if (!s)
        return false;
    struct decision d = {attr, a, reason};
    bool ok = user_grants(s, attr->user, "", grant_allows, &d) ||
              (in_namespace(attr) && user_grants(s, attr->user, attr->ns, grant_allows, &d));
    snapshot_put(z, s);
    if (!ok && reason)
        *reason = why;
    return ok;
}

struct rule_walk {
    struct map roles; /* visited, by their addresses */
    authz_rule_fn *visit;
    void *ctx;
};

static bool visit_rules(void *ctx, const struct grant *g, const char *subject)
{
    (void)subject;
    struct rule_walk *w = ctx;
    if (map_put(&w->roles, str_make((const char *)&g->role, sizeof g->role), w))
        return false;
    for (size_t i = 0; i < g->role->rules_len; i++)
        w->visit(w->ctx, &g->role->rules[i]);
    return false;
}

static const char *star[] = {"*", NULL};
static const char *none[] = {NULL};
static const struct rbac_rule all_resources = {star, star, star, none, none};
static const struct rbac_rule all_paths = {star, none, none, none, star};

void authz_user_rules(struct authz *z, const struct user *user, const char *ns,
                      authz_rule_fn *visit, authz_then_fn *then, void *ctx)
{
    if (z->always_allow) { /* system:masters has what bindings say, with that of its other groups */
        visit(ctx, &all_resources);
        visit(ctx, &all_paths);
        if (then)
            then(ctx);
        return;
    }
    struct snapshot *s = snapshot_get(z);
    if (!s)
        return;
    struct rule_walk w = {.visit = visit, .ctx = ctx};
    map_init(&w.roles);
    user_grants(s, user, "", visit_rules, &w);
    if (*ns)
        user_grants(s, user, ns, visit_rules, &w);
    if (then)
        then(ctx);
    map_free(&w.roles);
    snapshot_put(z, s);
}

bool authz_role_rules(struct authz *z, const char *ns, const char *name, struct arena *a,
                      struct rbac_rule **rules, size_t *rules_len)
{
    const char *key = ns ? arena_printf(a, "/registry/roles/%s/%s", ns, name)
                         : arena_printf(a, "/registry/clusterroles/%s", name);
    struct kv_range_request rq = {.key = str_from(key)};
    struct kv_range_result out;
    struct error err;
    void *object;
    if (kv_range(z->kv, &rq, a, &out, &err) < 0 || out.pairs_len == 0 ||
        stored_decode(a, out.pairs[0].value, out.pairs[0].mod_rev, NULL, &object, &err) < 0)
        return false;
    rbac_rules_of(a, object, rules, rules_len);
    return true;
}
