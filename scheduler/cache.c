/*
 * The scheduler's cluster cache and its incremental snapshot (scheduler/cache.h).
 */
#include "scheduler/cache.h"

#include "base/map.h"
#include "base/mem.h"
#include <assert.h>
#include <pthread.h>

/* Where a pod is counted. */
struct pod_place {
    struct pod_facts *facts; /* borrowed from the node_info */
    struct node_info *node;
    bool assumed;
};

struct cache {
    pthread_mutex_t lock;
    struct map nodes;      /* name → struct node_info */
    struct map pods;       /* key → struct pod_place */
    struct list by_change; /* node_info, last changed first */
    uint64_t generation, membership;
    size_t known_nodes, assumed;
};

/* -------------------------------------------------------------------------------- node_info --- */

struct node_info *node_info_new(const char *name)
{
    struct node_info *n = mem_zalloc(sizeof *n);
    n->name = mem_strdup(name);
    arena_init(&n->arena);
    list_init(&n->link);
    return n;
}

static void drop_content(struct node_info *n)
{
    for (size_t i = 0; i < n->pods.len; i++)
        pod_facts_unref(n->pods.items[i]);
    vec_clear(&n->pods);
    object_unref(n->object);
    n->object = NULL;
}

void node_info_free(struct node_info *n)
{
    if (!n)
        return;
    drop_content(n);
    vec_free(&n->pods);
    vec_free(&n->named_requested);
    arena_free(&n->arena);
    mem_free(n->name);
    mem_free(n);
}

void node_info_set_node(struct node_info *n, struct object *node)
{
    struct object *old = n->object;
    n->object = node ? object_ref(node) : NULL;
    n->node = node ? node->msg : NULL;
    object_unref(old);
    arena_reset(&n->arena);
    n->allocatable = (struct resources){0};
    if (n->node)
        resources_parse(&n->arena, n->node->status->allocatable, n->node->status->n_allocatable,
                        &n->allocatable);
}

static void count_named(struct node_info *n, const struct named_amount *amount, int sign)
{
    for (size_t i = 0; i < n->named_requested.len; i++) {
        struct named_amount *have = &n->named_requested.items[i];
        if (strcmp(have->name, amount->name) != 0)
            continue;
        have->value += sign * amount->value;
        if (have->value == 0) /* its name may belong to the pod that leaves */
            vec_remove(&n->named_requested, i);
        return;
    }
    if (sign > 0 && amount->value)
        vec_push(&n->named_requested, *amount);
}

static void count_pod(struct node_info *n, const struct pod_facts *f, int sign)
{
    n->requested.milli_cpu += sign * f->request.milli_cpu;
    n->requested.memory_bytes += sign * f->request.memory_bytes;
    n->requested.ephemeral_bytes += sign * f->request.ephemeral_bytes;
    n->score_milli_cpu += sign * f->score_milli_cpu;
    n->score_memory_bytes += sign * f->score_memory_bytes;
    for (size_t i = 0; i < f->request.named_len; i++)
        count_named(n, &f->request.named[i], sign);
}

/* Names of counted resources may point into a pod that leaves: let them point into one that stays.
 */
static void renew_names(struct node_info *n)
{
    vec_clear(&n->named_requested);
    for (size_t p = 0; p < n->pods.len; p++)
        for (size_t i = 0; i < n->pods.items[p]->request.named_len; i++)
            count_named(n, &n->pods.items[p]->request.named[i], 1);
}

void node_info_add_pod(struct node_info *n, struct pod_facts *facts)
{
    vec_push(&n->pods, pod_facts_ref(facts));
    count_pod(n, facts, 1);
}

bool node_info_remove_pod(struct node_info *n, const char *key)
{
    for (size_t i = 0; i < n->pods.len; i++) {
        struct pod_facts *f = n->pods.items[i];
        if (strcmp(f->key, key) != 0)
            continue;
        bool named = f->request.named_len > 0;
        n->pods.items[i] = n->pods.items[n->pods.len - 1];
        n->pods.len--;
        count_pod(n, f, -1);
        if (named)
            renew_names(n);
        pod_facts_unref(f);
        return true;
    }
    return false;
}

int64_t node_info_named_requested(const struct node_info *n, const char *name)
{
    for (size_t i = 0; i < n->named_requested.len; i++)
        if (strcmp(n->named_requested.items[i].name, name) == 0)
            return n->named_requested.items[i].value;
    return 0;
}

/* Make `to` a copy of `from`, sharing pods and node object by reference. */
static void copy_info(struct node_info *to, const struct node_info *from)
{
    for (size_t i = 0; i < to->pods.len; i++)
        pod_facts_unref(to->pods.items[i]);
    vec_clear(&to->pods);
    if (to->object != from->object)
        node_info_set_node(to, from->object);
    vec_reserve(&to->pods, from->pods.len);
    for (size_t i = 0; i < from->pods.len; i++)
        vec_push(&to->pods, pod_facts_ref(from->pods.items[i]));
    vec_clear(&to->named_requested);
    for (size_t i = 0; i < from->named_requested.len; i++)
        vec_push(&to->named_requested, from->named_requested.items[i]);
    to->requested = from->requested;
    to->score_milli_cpu = from->score_milli_cpu;
    to->score_memory_bytes = from->score_memory_bytes;
    to->generation = from->generation;
}

/* ------------------------------------------------------------------------------------ cache --- */

struct cache *cache_new(void)
{
    struct cache *c = mem_zalloc(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    map_init(&c->nodes);
    map_init(&c->pods);
    list_init(&c->by_change);
    return c;
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    struct map_iter it = {0};
    while (map_next(&c->pods, &it))
        mem_free(it.value);
    map_free(&c->pods);
    struct map_iter n = {0};
    while (map_next(&c->nodes, &n))
        node_info_free(n.value);
    map_free(&c->nodes);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

static void changed(struct cache *c, struct node_info *n)
{
    n->generation = ++c->generation;
    list_remove(&n->link);
    list_push_front(&c->by_change, &n->link);
}

static struct node_info *info_of(struct cache *c, const char *name)
{
    struct node_info *n = map_get(&c->nodes, str_from(name));
    if (!n) {
        n = node_info_new(name);
        map_put(&c->nodes, str_from(name), n);
        list_push_front(&c->by_change, &n->link);
    }
    return n;
}

static void drop_if_empty(struct cache *c, struct node_info *n)
{
    if (n->object || n->pods.len)
        return;
    map_remove(&c->nodes, str_from(n->name));
    list_remove(&n->link);
    node_info_free(n);
}

void cache_set_node(struct cache *c, struct object *node)
{
    pthread_mutex_lock(&c->lock);
    struct node_info *n = info_of(c, node->name);
    if (!n->object) {
        c->membership++;
        c->known_nodes++;
    }
    node_info_set_node(n, node);
    changed(c, n);
    pthread_mutex_unlock(&c->lock);
}

void cache_remove_node(struct cache *c, const char *name)
{
    pthread_mutex_lock(&c->lock);
    struct node_info *n = map_get(&c->nodes, str_from(name));
    if (n && n->object) {
        c->membership++;
        c->known_nodes--;
        node_info_set_node(n, NULL);
        changed(c, n);
        drop_if_empty(c, n);
    }
    pthread_mutex_unlock(&c->lock);
}

static void place(struct cache *c, struct pod_facts *facts, const char *node, bool assumed)
{
    struct pod_place *p = mem_zalloc(sizeof *p);
    p->facts = facts;
    p->node = info_of(c, node);
    p->assumed = assumed;
    c->assumed += assumed;
    node_info_add_pod(p->node, facts);
    changed(c, p->node);
    map_put(&c->pods, str_from(facts->key), p);
}

static void unplace(struct cache *c, const char *key)
{
    struct pod_place *p = map_remove(&c->pods, str_from(key));
    if (!p)
        return;
    c->assumed -= p->assumed;
    node_info_remove_pod(p->node, key);
    changed(c, p->node);
    drop_if_empty(c, p->node);
    mem_free(p);
}

void cache_set_pod(struct cache *c, struct pod_facts *facts, const char *node)
{
    pthread_mutex_lock(&c->lock);
    unplace(c, facts->key);
    place(c, facts, node, false);
    pthread_mutex_unlock(&c->lock);
}

void cache_remove_pod(struct cache *c, const char *key)
{
    pthread_mutex_lock(&c->lock);
    unplace(c, key);
    pthread_mutex_unlock(&c->lock);
}

bool cache_assume(struct cache *c, struct pod_facts *facts, const char *node)
{
    pthread_mutex_lock(&c->lock);
    bool fresh = !map_has(&c->pods, str_from(facts->key));
    if (fresh)
        place(c, facts, node, true);
    pthread_mutex_unlock(&c->lock);
    return fresh;
}

void cache_forget(struct cache *c, const char *key)
{
    pthread_mutex_lock(&c->lock);
    struct pod_place *p = map_get(&c->pods, str_from(key));
    if (p && p->assumed)
        unplace(c, key);
    pthread_mutex_unlock(&c->lock);
}

bool cache_is_assumed(struct cache *c, const char *key)
{
    pthread_mutex_lock(&c->lock);
    struct pod_place *p = map_get(&c->pods, str_from(key));
    bool assumed = p && p->assumed;
    pthread_mutex_unlock(&c->lock);
    return assumed;
}

void cache_count(struct cache *c, struct cache_counts *out)
{
    pthread_mutex_lock(&c->lock);
    *out = (struct cache_counts){c->known_nodes, c->pods.len, c->assumed};
    pthread_mutex_unlock(&c->lock);
}

/* --------------------------------------------------------------------------------- snapshot --- */

/* The set of nodes changed: make the array anew, dropping copies of nodes that are gone. */
static void rebuild(struct cache *c, struct snapshot *s)
{
    struct map *fresh = mem_zalloc(sizeof *fresh);
    map_init(fresh);
    s->nodes = mem_realloc_array(s->nodes, c->nodes.len + 1, sizeof *s->nodes);
    s->nodes_len = 0;
    struct map_iter it = {0};
    while (map_next(&c->nodes, &it)) {
        struct node_info *n = it.value;
        if (!n->object)
            continue;
        struct node_info *mine = s->by_name ? map_remove(s->by_name, str_from(n->name)) : NULL;
        if (!mine) {
            mine = node_info_new(n->name);
            copy_info(mine, n);
        }
        map_put(fresh, str_from(n->name), mine);
        s->nodes[s->nodes_len++] = mine;
    }
    if (s->by_name) {
        struct map_iter old = {0};
        while (map_next(s->by_name, &old))
            node_info_free(old.value);
        map_free(s->by_name);
        mem_free(s->by_name);
    }
    s->by_name = fresh;
    s->membership = c->membership;
}

void cache_snapshot(struct cache *c, struct snapshot *s)
{
    pthread_mutex_lock(&c->lock);
    if (!s->by_name || s->membership != c->membership)
        rebuild(c, s);
    list_for_each (it, &c->by_change) {
        struct node_info *n = list_entry(it, struct node_info, link);
        if (n->generation <= s->generation)
            break; /* all others are older still */
        struct node_info *mine = map_get(s->by_name, str_from(n->name));
        if (mine && mine->generation != n->generation)
            copy_info(mine, n);
    }
    s->generation = c->generation;
    pthread_mutex_unlock(&c->lock);
}

void snapshot_free(struct snapshot *s)
{
    for (size_t i = 0; i < s->nodes_len; i++)
        node_info_free(s->nodes[i]);
    mem_free(s->nodes);
    if (s->by_name) {
        map_free(s->by_name);
        mem_free(s->by_name);
    }
    memset(s, 0, sizeof *s);
}
