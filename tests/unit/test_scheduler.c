/*
 * The scheduler without a server: what pods ask for, which nodes fit and which is best, what people are told, and the
 * queue's order, back-off and wake-ups under a clock that the test turns.
 */
#include "base/clock.h"
#include "base/map.h"
#include "scheduler/framework.h"
#include "scheduler/plugins/node_match.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler_internal.h"
#include "tests/unit/objects.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct pod_facts *pod(const char *name, const char *spec)
{
    char json[4096];
    snprintf(json, sizeof json,
             "{'apiVersion':'v1','kind':'Pod','metadata':{'namespace':'d','name':'%s','uid':'%s'},'"
             "spec':{%s}}",
             name, name, spec);
    struct object *o = object_from_json(json);
    struct pod_facts *f = pod_facts_new(o);
    object_unref(o);
    return f;
}

static struct object *node(const char *name, const char *spec, const char *allocatable)
{
    char json[4096];
    snprintf(json, sizeof json,
             "{'apiVersion':'v1','kind':'Node','metadata':{'name':'%s','labels':{'kubernetes.io/"
             "hostname':"
             "'%s','disk':'ssd','gen':'7'}},'spec':{%s},'status':{'allocatable':{%s}}}",
             name, name, spec, allocatable);
    return object_from_json(json);
}

#define SMALL "'cpu':'2','memory':'1Gi','pods':'10'"
#define CONTAINER(requests) "'containers':[{'name':'c','resources':{'requests':{" requests "}}}]"

/* ------------------------------------------------------------------------------------- requests --- */

static void test_what_a_pod_asks_for(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        int64_t cpu, memory;
        int64_t score_cpu, score_memory;
    } cases[] = {
        {CONTAINER(""), 0, 0, 100, 200 << 20},
        {CONTAINER("'cpu':'250m','memory':'64Mi'"), 250, 64 << 20, 250, 64 << 20},
        {"'containers':[{'name':'a','resources':{'requests':{'cpu':'1'}}},"
         "{'name':'b','resources':{'requests':{'cpu':'500m','memory':'1Mi'}}}]",
         1500, 1 << 20, 1500, 201 << 20},
        /* Init containers run one after the other, before the others: the largest counts. */
        {"'initContainers':[{'name':'i','resources':{'requests':{'cpu':'3'}}},"
         "{'name':'j','resources':{'requests':{'cpu':'2'}}}]," CONTAINER(
             "'cpu':'1','memory':'1Mi'"),
         3000, 1 << 20, 3000, 200 << 20},
        /* A sidecar goes on beside the init containers after it, and beside the others. */
        {"'initContainers':[{'name':'s','restartPolicy':'Always','resources':{'requests':{'cpu':'1'"
         "}}},"
         "{'name':'i','resources':{'requests':{'cpu':'3'}}}]," CONTAINER(
             "'cpu':'2','memory':'1Mi'"),
         4000, 1 << 20, 4000, 400 << 20},
        {"'overhead':{'cpu':'100m','memory':'1Mi'}," CONTAINER("'cpu':'1','memory':'1Mi'"), 1100,
         2 << 20, 1100, 2 << 20},
        /* Requests of the pod as a whole stand for the sum. */
        {"'resources':{'requests':{'cpu':'5'}}," CONTAINER("'cpu':'1','memory':'1Mi'"), 5000,
         1 << 20, 5000, 1 << 20},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pod_facts *f = pod("p", cases[i].spec);
        assert_int_equal(f->request.milli_cpu, cases[i].cpu);
        assert_int_equal(f->request.memory_bytes, cases[i].memory);
        assert_int_equal(f->score_milli_cpu, cases[i].score_cpu);
        assert_int_equal(f->score_memory_bytes, cases[i].score_memory);
        pod_facts_unref(f);
    }
    struct pod_facts *f = pod("p", CONTAINER("'example.com/gpu':'2'"));
    assert_int_equal(resources_named(&f->request, "example.com/gpu"), 2);
    assert_int_equal(resources_named(&f->request, "example.com/fpga"), 0);
    pod_facts_unref(f);
}

/* ------------------------------------------------------------------------------------ decisions --- */

struct world {
    struct cache *cache;
    struct snapshot snapshot;
    struct rng rng;
    struct cycle cycle;
    size_t start;
};

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->cache = cache_new();
    rng_seed(&w->rng, 1);
}

static void world_free(struct world *w)
{
    snapshot_free(&w->snapshot);
    cache_free(w->cache);
    arena_free(&w->cycle.arena);
}

static void add_node(struct world *w, const char *name, const char *spec, const char *allocatable)
{
    struct object *o = node(name, spec, allocatable);
    cache_set_node(w->cache, o);
    object_unref(o);
}

static void place_pod(struct world *w, const char *name, const char *spec, const char *on)
{
    struct pod_facts *f = pod(name, spec);
    cache_set_pod(w->cache, f, on);
    pod_facts_unref(f);
}

static struct decision decide(struct world *w, const char *spec)
{
    struct decision d;
    struct pod_facts *f = pod("new", spec);
    arena_free(&w->cycle.arena);
    memset(&w->cycle, 0, sizeof w->cycle);
    cache_snapshot(w->cache, &w->snapshot);
    w->cycle.facts = f;
    w->cycle.snapshot = &w->snapshot;
    w->cycle.rng = &w->rng;
    framework_decide(default_plugins, default_plugins_len, &w->cycle, &w->start, &d);
    pod_facts_unref(f);
    return d;
}

static void test_filters_and_what_people_are_told(void **state)
{
    (void)state;
    static const char unreachable[] =
        "'taints':[{'key':'node.kubernetes.io/unreachable','effect':'NoExecute'}]";
    static const struct {
        const char *node_spec, *pod_spec; /* one node of SMALL */
        const char *message;              /* NULL: it fits */
        uint32_t events;                  /* some that must help */
    } cases[] = {
        {"", CONTAINER("'cpu':'2','memory':'1Gi'"), NULL, 0},
        {"", CONTAINER("'cpu':'2001m'"), "0/1 nodes are available: 1 Insufficient cpu.",
         EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED | EVENT_NODE_ADDED},
        {"", CONTAINER("'cpu':'3','memory':'2Gi'"),
         "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.", EVENT_POD_REMOVED},
        {"", CONTAINER("'example.com/gpu':'1'"),
         "0/1 nodes are available: 1 Insufficient example.com/gpu.", EVENT_NODE_ALLOCATABLE},
        {"", "'nodeName':'other'," CONTAINER(""),
         "0/1 nodes are available: 1 node(s) didn't match the requested node name.",
         EVENT_NODE_ADDED},
        {"", "'nodeSelector':{'disk':'ssd'}," CONTAINER(""), NULL, 0},
        {"", "'nodeSelector':{'disk':'hdd'}," CONTAINER(""),
         "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
         EVENT_NODE_LABELS},
        {"'unschedulable':true", CONTAINER(""),
         "0/1 nodes are available: 1 node(s) were unschedulable.", EVENT_NODE_TAINTS},
        {"'unschedulable':true",
         "'tolerations':[{'key':'node.kubernetes.io/"
         "unschedulable','operator':'Exists'}]," CONTAINER(""),
         NULL, 0},
        {unreachable, CONTAINER(""), "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
         EVENT_NODE_TAINTS},
        {unreachable, "'tolerations':[{'operator':'Exists'}]," CONTAINER(""), NULL, 0},
        {unreachable,
         "'tolerations':[{'key':'node.kubernetes.io/"
         "unreachable','operator':'Exists','effect':'NoSchedule'}]," CONTAINER(""),
         "0/1 nodes are available: 1 node(s) had untolerated taint(s).", EVENT_NODE_TAINTS},
        {"'taints':[{'key':'a','value':'b','effect':'PreferNoSchedule'}]", CONTAINER(""), NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_init(&w);
        add_node(&w, "n1", cases[i].node_spec, SMALL);
        struct decision d = decide(&w, cases[i].pod_spec);
        if (cases[i].message) {
            assert_null(d.node);
            assert_string_equal(d.message, cases[i].message);
            assert_int_equal(d.events & cases[i].events, cases[i].events);
        } else {
            assert_string_equal(d.node, "n1");
        }
        world_free(&w);
    }
}

static void test_affinity_operators(void **state)
{
    (void)state;
    static const struct {
        const char *expression;
        bool fits;
    } cases[] = {
        {"'key':'disk','operator':'In','values':['hdd','ssd']", true},
        {"'key':'disk','operator':'NotIn','values':['ssd']", false},
        {"'key':'none','operator':'NotIn','values':['ssd']", true},
        {"'key':'none','operator':'Exists'", false},
        {"'key':'none','operator':'DoesNotExist'", true},
        {"'key':'gen','operator':'Gt','values':['6']", true},
        {"'key':'gen','operator':'Gt','values':['7']", false},
        {"'key':'gen','operator':'Lt','values':['8']", true},
        {"'key':'disk','operator':'Gt','values':['1']", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        char spec[1024];
        world_init(&w);
        add_node(&w, "n1", "", SMALL);
        snprintf(spec, sizeof spec,
                 "'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':"
                 "{'nodeSelectorTerms':[{'matchExpressions':[{%s}]}]}}}," CONTAINER(""),
                 cases[i].expression);
        assert_int_equal(decide(&w, spec).node != NULL, cases[i].fits);
        world_free(&w);
    }
}

static void test_reasons_are_counted_over_nodes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_string_equal(decide(&w, CONTAINER("")).message, "no nodes available to schedule pods");
    add_node(&w, "n1", "", SMALL);
    add_node(&w, "n2", "", "'cpu':'1','memory':'1Gi','pods':'0'");
    add_node(&w, "n3", "'unschedulable':true", SMALL);
    struct decision d = decide(&w, CONTAINER("'cpu':'8'"));
    assert_string_equal(d.message,
                        "0/3 nodes are available: 1 Too many pods, 1 node(s) were unschedulable, "
                        "2 Insufficient cpu.");
    world_free(&w);
}

static void test_host_ports_clash_by_address_and_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *port;
        bool fits;
    } cases[] = {
        {"'containerPort':80,'hostPort':8080", false},
        {"'containerPort':80,'hostPort':8081", true},
        {"'containerPort':80,'hostPort':8080,'protocol':'UDP'", true},
        {"'containerPort':80,'hostPort':8080,'hostIP':'10.0.0.1'", false}, /* the other is on all */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        char spec[512];
        world_init(&w);
        add_node(&w, "n1", "", SMALL);
        place_pod(&w, "old",
                  "'containers':[{'name':'c','ports':[{'containerPort':1,'hostPort':8080}]}]",
                  "n1");
        snprintf(spec, sizeof spec, "'containers':[{'name':'c','ports':[{%s}]}]", cases[i].port);
        assert_int_equal(decide(&w, spec).node != NULL, cases[i].fits);
        world_free(&w);
    }
}

static void test_scores(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    add_node(&w, "n1", "", "'cpu':'4','memory':'4Gi','pods':'10'");
    add_node(&w, "n2", "", "'cpu':'4','memory':'4Gi','pods':'10'");
    place_pod(&w, "a", CONTAINER("'cpu':'1','memory':'1Gi'"), "n1");
    assert_string_equal(decide(&w, CONTAINER("'cpu':'1','memory':'1Gi'")).node,
                        "n2"); /* the emptier */
    place_pod(&w, "b", CONTAINER("'cpu':'2'"), "n2");
    /* n1 1/4 and 1/4 used, n2 2/4 and 0: together with the pod n1 stays level. */
    assert_string_equal(decide(&w, CONTAINER("'cpu':'1','memory':'1Gi'")).node, "n1");
    /* A preference outweighs that. */
    assert_string_equal(
        decide(&w,
               "'affinity':{'nodeAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{'"
               "weight':50,"
               "'preference':{'matchExpressions':[{'key':'kubernetes.io/hostname','operator':'In',"
               "'values':['n2']}]}}]}}," CONTAINER("'cpu':'1','memory':'1Gi'"))
            .node,
        "n2");
    add_node(&w, "n1", "'taints':[{'key':'a','effect':'PreferNoSchedule'}]",
             "'cpu':'4','memory':'4Gi','pods':'10'");
    assert_string_equal(decide(&w, CONTAINER("'cpu':'1','memory':'1Gi'")).node, "n2");
    world_free(&w);
}

static void test_enough_nodes(void **state)
{
    (void)state;
    assert_int_equal(framework_enough(100), 100);
    assert_int_equal(framework_enough(200), 100);
    assert_int_equal(framework_enough(1000), 420);
    assert_int_equal(framework_enough(10000), 500);
}

/* ---------------------------------------------------------------------------------------- cache --- */

static void test_assumed_pods_count_until_confirmed_or_forgotten(void **state)
{
    (void)state;
    struct world w;
    struct cache_counts n;
    world_init(&w);
    add_node(&w, "n1", "", SMALL);
    struct pod_facts *f = pod("a", CONTAINER("'cpu':'2'"));
    assert_true(cache_assume(w.cache, f, "n1"));
    assert_false(cache_assume(w.cache, f, "n1"));
    assert_null(decide(&w, CONTAINER("'cpu':'1'")).node);
    cache_forget(w.cache, f->key);
    assert_non_null(decide(&w, CONTAINER("'cpu':'1'")).node);
    assert_true(cache_assume(w.cache, f, "n1"));
    cache_set_pod(w.cache, f, "n1"); /* seen there */
    cache_forget(w.cache,
                 f->key); /* too late: the binding's failure was only an answer that got lost */
    cache_count(w.cache, &n);
    assert_int_equal(n.pods, 1);
    assert_int_equal(n.assumed, 0);
    assert_null(decide(&w, CONTAINER("'cpu':'1'")).node);
    cache_remove_pod(w.cache, f->key);
    assert_non_null(decide(&w, CONTAINER("'cpu':'1'")).node);
    pod_facts_unref(f);
    world_free(&w);
}

static void test_snapshots_copy_what_changed_and_follow_the_nodes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    add_node(&w, "n1", "", SMALL);
    add_node(&w, "n2", "", SMALL);
    cache_snapshot(w.cache, &w.snapshot);
    struct node_info *n1 = map_get(w.snapshot.by_name, STR("n1"));
    struct node_info *n2 = map_get(w.snapshot.by_name, STR("n2"));
    uint64_t before = n2->generation;
    place_pod(&w, "a", CONTAINER("'cpu':'1','example.com/gpu':'1'"), "n1");
    assert_int_equal(n1->pods.len, 0); /* a snapshot does not change by itself */
    cache_snapshot(w.cache, &w.snapshot);
    assert_int_equal(n1->pods.len, 1);
    assert_int_equal(n1->requested.milli_cpu, 1000);
    assert_int_equal(node_info_named_requested(n1, "example.com/gpu"), 1);
    assert_int_equal(n2->generation, before);
    place_pod(&w, "early", CONTAINER("'cpu':'1'"), "n3"); /* its node is not known yet */
    cache_remove_node(w.cache, "n1");
    cache_snapshot(w.cache, &w.snapshot);
    assert_int_equal(w.snapshot.nodes_len, 1);
    add_node(&w, "n3", "", SMALL);
    cache_snapshot(w.cache, &w.snapshot);
    assert_int_equal(w.snapshot.nodes_len, 2);
    struct node_info *n3 = map_get(w.snapshot.by_name, STR("n3"));
    assert_int_equal(n3->requested.milli_cpu, 1000);
    cache_remove_pod(w.cache, "d/a"); /* the last of n1 */
    cache_remove_pod(w.cache, "d/early");
    cache_snapshot(w.cache, &w.snapshot);
    assert_int_equal(n3->requested.milli_cpu, 0);
    world_free(&w);
}

/* ---------------------------------------------------------------------------------------- queue --- */

static uint64_t turned_ns(void *ctx)
{
    return *(uint64_t *)ctx;
}

static void expect_pop(struct queue *q, const char *name)
{
    struct queued_pod *p = queue_pop(q, 0);
    assert_non_null(p);
    assert_string_equal(p->facts->object->name, name);
    queue_finish(q, p);
}

static void add_pod(struct queue *q, const char *name, const char *spec)
{
    struct pod_facts *f = pod(name, spec);
    queue_add(q, f);
    pod_facts_unref(f);
}

static void test_queue_order(void **state)
{
    (void)state;
    uint64_t now = NS_PER_S;
    struct queue *q = queue_new(turned_ns, &now, NULL);
    add_pod(q, "first", CONTAINER(""));
    add_pod(q, "low", "'priority':-10," CONTAINER(""));
    add_pod(q, "high", "'priority':1000," CONTAINER(""));
    add_pod(q, "second", CONTAINER(""));
    expect_pop(q, "high");
    expect_pop(q, "first");
    expect_pop(q, "second");
    expect_pop(q, "low");
    assert_null(queue_pop(q, 0));
    queue_free(q);
}

static void test_queue_waits_for_what_may_help(void **state)
{
    (void)state;
    uint64_t now = NS_PER_S;
    struct queue *q = queue_new(turned_ns, &now, NULL);
    add_pod(q, "a", CONTAINER(""));
    queue_unschedulable(q, queue_pop(q, 0), EVENT_NODE_ADDED);
    now += 100 * NS_PER_S;
    queue_event(q, EVENT_POD_REMOVED); /* not what it waits for */
    assert_null(queue_pop(q, 0));
    queue_event(q, EVENT_NODE_ADDED | EVENT_NODE_LABELS);
    struct queued_pod *p = queue_pop(q, 0); /* its back-off has long been over */
    assert_non_null(p);
    assert_int_equal(p->attempts, 2);
    queue_unschedulable(q, p, EVENT_NODE_ADDED);
    queue_event(q, EVENT_NODE_ADDED);
    assert_null(queue_pop(q, 0)); /* 2 s back-off after the second attempt */
    now += 1999 * NS_PER_MS;
    assert_null(queue_pop(q, 0));
    now += 2 * NS_PER_MS;
    expect_pop(q, "a");
    /* Without any event it is tried again after five minutes. */
    add_pod(q, "b", CONTAINER(""));
    queue_unschedulable(q, queue_pop(q, 0), 0);
    now += 299 * NS_PER_S;
    assert_null(queue_pop(q, 0));
    now += 31 * NS_PER_S;
    expect_pop(q, "b");
    queue_free(q);
}

/* 1. A pod is popped; its attempt looks at a snapshot without the node. 2. The node arrives. 3. The attempt ends: no
 * node. If the pod now waited for the event of step 2, it would wait for ever. */
static void test_no_event_is_lost_during_an_attempt(void **state)
{
    (void)state;
    uint64_t now = NS_PER_S;
    struct queue *q = queue_new(turned_ns, &now, NULL);
    struct queue_counts n;
    add_pod(q, "a", CONTAINER(""));
    struct queued_pod *p = queue_pop(q, 0);
    queue_event(q, EVENT_NODE_ADDED);
    queue_unschedulable(q, p, EVENT_NODE_ADDED);
    queue_count(q, &n);
    assert_int_equal(n.backoff, 1);
    assert_int_equal(n.unschedulable, 0);
    now += NS_PER_S + 1;
    expect_pop(q, "a");
    queue_free(q);
}

static void test_changes_and_deletions_while_in_flight(void **state)
{
    (void)state;
    uint64_t now = NS_PER_S;
    struct queue *q = queue_new(turned_ns, &now, NULL);
    add_pod(q, "a", CONTAINER("'cpu':'8'"));
    struct queued_pod *p = queue_pop(q, 0);
    struct pod_facts *smaller = pod("a", CONTAINER("'cpu':'1'"));
    queue_update(q, smaller, true);
    assert_int_equal(p->facts->request.milli_cpu, 8000); /* the attempt's facts stay */
    queue_unschedulable(q, p, 0);
    now += 2 * NS_PER_S;
    p = queue_pop(q, 0);
    assert_int_equal(p->facts->request.milli_cpu, 1000);
    queue_remove(q, "d/a");
    queue_retry(q, p);
    now += 20 * NS_PER_S;
    assert_null(queue_pop(q, 0));
    pod_facts_unref(smaller);
    queue_free(q);
}

/* --------------------------------------------------------------------------------------- events --- */

static void test_which_changes_of_a_node_may_help(void **state)
{
    (void)state;
    struct object *base = node("n", "", SMALL),
                  *cordoned = node("n", "'unschedulable':true", SMALL),
                  *bigger = node("n", "", "'cpu':'4','memory':'1Gi','pods':'10'"),
                  *tainted = node("n", "'taints':[{'key':'a','effect':'NoSchedule'}]", SMALL),
                  *renamed = node("m", "", SMALL);
    assert_int_equal(node_changes(base->msg, base->msg), 0);
    assert_int_equal(node_changes(cordoned->msg, base->msg), EVENT_NODE_TAINTS);
    assert_int_equal(node_changes(base->msg, bigger->msg), EVENT_NODE_ALLOCATABLE);
    assert_int_equal(node_changes(base->msg, tainted->msg), EVENT_NODE_TAINTS);
    assert_int_equal(node_changes(base->msg, renamed->msg), EVENT_NODE_LABELS);
    struct object *all[] = {base, cordoned, bigger, tainted, renamed};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        object_unref(all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_pod_asks_for),
        cmocka_unit_test(test_filters_and_what_people_are_told),
        cmocka_unit_test(test_affinity_operators),
        cmocka_unit_test(test_reasons_are_counted_over_nodes),
        cmocka_unit_test(test_host_ports_clash_by_address_and_protocol),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_enough_nodes),
        cmocka_unit_test(test_assumed_pods_count_until_confirmed_or_forgotten),
        cmocka_unit_test(test_snapshots_copy_what_changed_and_follow_the_nodes),
        cmocka_unit_test(test_queue_order),
        cmocka_unit_test(test_queue_waits_for_what_may_help),
        cmocka_unit_test(test_no_event_is_lost_during_an_attempt),
        cmocka_unit_test(test_changes_and_deletions_while_in_flight),
        cmocka_unit_test(test_which_changes_of_a_node_may_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
