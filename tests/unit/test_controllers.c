/*
 * What controllers decide, as tables: what is observed → what to do. No server; how it is carried out is tested
 * against a real one (tests/integration/control_test.py).
 */
#include "api/meta.h"
#include "controllers/deployment.h"
#include "controllers/endpointslice.h"
#include "controllers/expectations.h"
#include "controllers/garbagecollector.h"
#include "controllers/namespace.h"
#include "controllers/nodeipam.h"
#include "controllers/nodelifecycle.h"
#include "controllers/podgc.h"
#include "controllers/pods.h"
#include "controllers/replicaset.h"
#include "tests/unit/objects.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena a; /* of one test */

static int set_up(void **state)
{
    (void)state;
    arena_init(&a);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&a);
    return 0;
}

static const char *text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *s = arena_vprintf(&a, format, args);
    va_end(args);
    return s;
}

/* ----------------------------------------------------------------------------------- deployment --- */

static Apps__V1__Deployment *deployment(int replicas, const char *surge, const char *unavailable)
{
    return from_json(
        &a,
        text("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d','generation':2},"
             "'spec':{'replicas':%d,'selector':{},'template':{},'progressDeadlineSeconds':60,"
             "'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':%s,'maxUnavailable':"
             "%s}}},'status':{'observedGeneration':2}}",
             replicas, surge, unavailable));
}

static Apps__V1__ReplicaSet *set(const char *name, int replicas, int available, int age)
{
    return from_json(
        &a,
        text("{'apiVersion':'apps/v1','kind':'ReplicaSet','metadata':{'name':'%s',"
             "'creationTimestamp':'2026-01-01T00:00:%02dZ','annotations':"
             "{'deployment.kubernetes.io/revision':'%d'}},'spec':{'replicas':%d,'selector':{},"
             "'template':{}},'status':{'replicas':%d,'readyReplicas':%d,'availableReplicas':%d}}",
             name, 59 - age, 100 - age, replicas, replicas, available, available));
}

static void test_surge_and_unavailable(void **state)
{
    (void)state;
    static const struct {
        int replicas;
        const char *surge, *unavailable;
        int want_surge, want_unavailable;
    } cases[] = {
        {10, "'25%'", "'25%'", 3, 2},                      /* up, down */
        {1, "'25%'", "'25%'", 1, 0},  {4, "0", "0", 0, 1}, /* something must be able to move */
        {3, "'0%'", "'10%'", 0, 1},   {2, "5", "7", 5, 2}, {0, "'25%'", "'25%'", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int32_t surge, unavailable;
        deployment_bounds(deployment(cases[i].replicas, cases[i].surge, cases[i].unavailable),
                          &surge, &unavailable);
        assert_int_equal(surge, cases[i].want_surge);
        assert_int_equal(unavailable, cases[i].want_unavailable);
    }
}

static void test_size_of_the_new_set(void **state)
{
    (void)state;
    static const struct {
        int replicas;
        const char *surge;
        int now, old, want;
    } cases[] = {
        {10, "3", 0, 10, 3},                                          /* up to the surge */
        {10, "3", 3, 10, 3},                                          /* it is used up */
        {10, "3", 3, 8, 5},                                           /* what the old left */
        {10, "3", 10, 0, 10}, {10, "0", 0, 10, 0}, {5, "1", 9, 0, 5}, /* scaled down at once */
        {10, "3", 0, 0, 10},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Apps__V1__ReplicaSet *old[] = {set("old", cases[i].old, cases[i].old, 10)};
        struct rollout_sets s = {set("new", cases[i].now, 0, 1), old, 1};
        assert_int_equal(
            deployment_new_replicas(deployment(cases[i].replicas, cases[i].surge, "1"), &s),
            cases[i].want);
    }
}

static void test_old_sets_shrink_without_breaking_the_minimum(void **state)
{
    (void)state;
    static const struct {
        const char *unavailable;
        int new_size, new_available, old_size, old_available,
            want; /* of the one old set; of 10 wanted */
    } cases[] = {
        {"2", 0, 0, 10, 10, 8}, /* two may be missing */
        {"2", 3, 0, 10, 10, 8}, /* new ones that are not available yet do not count … */
        {"2", 3, 3, 10, 10, 5}, /* … and do as soon as they are */
        {"2", 0, 0, 8, 8, 8},   /* at the minimum */
        {"0", 3, 0, 10, 10, 10}, {"0", 3, 3, 10, 10, 7},
        {"2", 3, 0, 10, 4, 8}, /* those that are not available go first, within the same bounds */
        {"2", 10, 10, 3, 3, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Apps__V1__ReplicaSet *old[] = {set("old", cases[i].old_size, cases[i].old_available, 10)};
        struct rollout_sets s = {set("new", cases[i].new_size, cases[i].new_available, 1), old, 1};
        struct scale_step steps[1];
        size_t n = deployment_shrink_old(deployment(10, "3", cases[i].unavailable), &s, steps);
        assert_int_equal(n ? steps[0].replicas : cases[i].old_size, cases[i].want);
    }
    /* Of two, pods that are not available go first, then the oldest set's. */
    Apps__V1__ReplicaSet *old[] = {set("b", 5, 5, 10), set("a", 5, 4, 20)};
    struct rollout_sets s = {set("new", 3, 3, 1), old, 2};
    struct scale_step steps[2];
    assert_int_equal(deployment_shrink_old(deployment(10, "3", "1"), &s, steps), 1);
    assert_string_equal(steps[0].set->metadata->name, "a");
    assert_int_equal(steps[0].replicas, 1);
}

/* A rollout played to its end: never fewer available, never more pods than allowed, and it ends. */
static void test_a_rollout_always_ends_within_its_bounds(void **state)
{
    (void)state;
    static const char *const bounds[][2] = {
        {"'25%'", "'25%'"}, {"1", "0"}, {"0", "1"}, {"'100%'", "0"}, {"2", "3"}};
    for (size_t b = 0; b < ARRAY_LEN(bounds); b++) {
        for (int want = 1; want <= 13; want += 3) {
            Apps__V1__Deployment *d = deployment(want, bounds[b][0], bounds[b][1]);
            Apps__V1__ReplicaSet *old[] = {set("old", want, want, 10)};
            struct rollout_sets s = {set("new", 0, 0, 1), old, 1};
            int32_t surge, unavailable;
            deployment_bounds(d, &surge, &unavailable);
            int steps_taken = 0;
            while (s.new_set->spec->replicas < want || old[0]->spec->replicas > 0) {
                struct scale_step step[1];
                int32_t next = deployment_new_replicas(d, &s);
                if (next != s.new_set->spec->replicas)
                    s.new_set->spec->replicas = next;
                else if (deployment_shrink_old(d, &s, step))
                    step[0].set->spec->replicas = step[0].replicas;
                else /* wait for a pod */
                    s.new_set->status->available_replicas++;
                old[0]->status->available_replicas =
                    MIN(old[0]->status->available_replicas, old[0]->spec->replicas);
                int32_t available =
                    old[0]->status->available_replicas + s.new_set->status->available_replicas;
                assert_true(available >= want - unavailable);
                assert_true(old[0]->spec->replicas + s.new_set->spec->replicas <= want + surge);
                assert_true(s.new_set->status->available_replicas <= s.new_set->spec->replicas);
                assert_true(++steps_taken < 200);
            }
        }
    }
}

static void test_scaling_in_mid_rollout_is_proportional(void **state)
{
    (void)state;
    Apps__V1__ReplicaSet *old[] = {set("old", 8, 8, 10)};
    struct rollout_sets s = {set("new", 5, 5, 1), old, 1};
    for (int i = 0; i < 2; i++) {
        Meta__V1__ObjectMeta *m = i ? s.new_set->metadata : old[0]->metadata;
        annotations_set(&a, m, ANNOTATION_DESIRED, "10");
        annotations_set(&a, m, ANNOTATION_MAX, "13");
    }
    Apps__V1__Deployment *d = deployment(20, "3", "2");
    assert_true(deployment_is_scaling(d, &s));
    struct scale_step steps[3];
    assert_int_equal(deployment_rescale(&a, d, &s, steps), 2);
    assert_int_equal(steps[0].replicas + steps[1].replicas, 23);
    assert_string_equal(steps[0].set->metadata->name, "old");
    assert_int_equal(steps[0].replicas, 14); /* 8/13 of 23 */
    /* One active set simply gets the size. */
    struct rollout_sets one = {set("new", 5, 5, 1), NULL, 0};
    assert_int_equal(deployment_rescale(&a, d, &one, steps), 1);
    assert_int_equal(steps[0].replicas, 20);
    assert_false(deployment_is_scaling(d, &one)); /* no annotation: nothing to compare with */
}

static const char *reason(const Apps__V1__DeploymentStatus *s, const char *type)
{
    const Apps__V1__DeploymentCondition *c = deployment_condition(s, type);
    return c ? c->reason : "";
}

static void test_conditions_of_a_rollout(void **state)
{
    (void)state;
    const int64_t start = 1000000;
    Apps__V1__Deployment *d = deployment(2, "1", "0");
    struct rollout_sets s = {set("new", 2, 0, 1), NULL, 0};
    int64_t recheck = INT64_MAX;
    d->status = deployment_status(&a, d, &s, true, start, &recheck);
    assert_string_equal(reason(d->status, "Progressing"), "ReplicaSetUpdated");
    assert_string_equal(reason(d->status, "Available"), "MinimumReplicasUnavailable");
    assert_int_equal(recheck, 61);
    s.new_set->status->ready_replicas = s.new_set->status->available_replicas = 1;
    d->status = deployment_status(&a, d, &s, true, start + 50, &recheck);
    d->status = deployment_status(&a, d, &s, true, start + 100,
                                  &recheck); /* 50 s after the last progress */
    assert_string_equal(reason(d->status, "Progressing"), "ReplicaSetUpdated");
    d->status = deployment_status(&a, d, &s, true, start + 111, &recheck);
    assert_string_equal(reason(d->status, "Progressing"), "ProgressDeadlineExceeded");
    assert_string_equal(deployment_condition(d->status, "Progressing")->status, "False");
    s.new_set->status->ready_replicas = s.new_set->status->available_replicas = 2;
    d->status = deployment_status(&a, d, &s, true, start + 200, &recheck);
    assert_string_equal(reason(d->status, "Progressing"), "NewReplicaSetAvailable");
    assert_string_equal(reason(d->status, "Available"), "MinimumReplicasAvailable");
    assert_true(deployment_complete(d, d->status));
    /* A pod of a finished rollout that dies starts no deadline. */
    s.new_set->status->ready_replicas = s.new_set->status->available_replicas = 1;
    recheck = INT64_MAX;
    d->status = deployment_status(&a, d, &s, true, start + 1000, &recheck);
    assert_string_equal(reason(d->status, "Progressing"), "NewReplicaSetAvailable");
    assert_int_equal(recheck, INT64_MAX);
}

static void test_history_limit(void **state)
{
    (void)state;
    Apps__V1__Deployment *d = deployment(1, "1", "0");
    Apps__V1__ReplicaSet *old[] = {set("r90", 0, 0, 10), set("r70", 0, 0, 30), set("r80", 1, 1, 20),
                                   set("r60", 0, 0, 40)};
    struct rollout_sets s = {set("new", 1, 1, 1), old, 4};
    Apps__V1__ReplicaSet *out[4];
    api_set(d->spec, revision_history_limit, 1);
    assert_int_equal(deployment_surplus_sets(d, &s, out),
                     2); /* of three too many one is not empty */
    assert_string_equal(out[0]->metadata->name, "r60");
    assert_string_equal(out[1]->metadata->name, "r70");
    api_set(d->spec, revision_history_limit, 4);
    assert_int_equal(deployment_surplus_sets(d, &s, out), 0);
}

/* ----------------------------------------------------------------------------------- replica set --- */

static Core__V1__Pod *pod(const char *name, const char *node, const char *phase, bool ready,
                          const char *more_meta)
{
    return from_json(
        &a,
        text(
            "{'apiVersion':'v1','kind':'Pod','metadata':{'namespace':'d','name':'%s','uid':'%s'%s},"
            "'spec':{'nodeName':'%s','containers':[{'name':'c','ports':[{'name':'web',"
            "'containerPort':8080,'protocol':'TCP'}]}]},'status':{'phase':'%s','podIP':"
            "'10.0.0.%d','conditions':[{'type':'Ready','status':'%s','lastTransitionTime':"
            "'2026-01-01T00:00:00Z'}]}}",
            name, name, more_meta, node, phase, name[0] % 100, ready ? "True" : "False"));
}

static void test_which_pods_go_first(void **state)
{
    (void)state;
    Core__V1__Pod *pods[] = {
        pod("zz", "n1", "Running", true, ",'creationTimestamp':'2026-01-01T00:00:00Z'"),
        pod("young", "n1", "Running", true, ",'creationTimestamp':'2026-01-02T00:00:00Z'"),
        pod("alone", "n2", "Running", true, ",'creationTimestamp':'2026-01-02T00:00:00Z'"),
        pod("cheap", "n2", "Running", true,
            ",'annotations':{'controller.kubernetes.io/pod-deletion-cost':'-5'}"),
        pod("unready", "n2", "Running", false, ""),
        pod("pending", "n1", "Pending", false, ""),
        pod("nowhere", "", "Pending", false, ""),
    };
    static const char *const want[] = {"nowhere", "pending", "unready", "cheap",
                                       "alone",   "young",   "zz"};
    replicaset_deletion_order(pods, ARRAY_LEN(pods));
    /* n2 has three pods of the set, n1 as many: alone and young tie there and go by name after age. */
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_string_equal(pods[i]->metadata->name, want[i]);
}

static void test_missing_pods(void **state)
{
    (void)state;
    assert_int_equal(replicaset_missing(set("s", 3, 0, 1), 1), 2);
    assert_int_equal(replicaset_missing(set("s", 3, 0, 1), 5), -2);
    assert_int_equal(replicaset_missing(set("s", 3, 0, 1), 3), 0);
    assert_int_equal(replicaset_missing(set("s", 100000, 0, 1), 0), REPLICASET_BURST);
}

static void test_replica_set_status(void **state)
{
    (void)state;
    Apps__V1__ReplicaSet *rs = set("s", 3, 0, 1);
    rs->spec->min_ready_seconds = 30;
    rs->metadata->generation = 7;
    labels_set(&a, rs->spec->template_->metadata, "app", "x");
    Core__V1__Pod *pods[] = {pod("a", "n1", "Running", true, ",'labels':{'app':'x'}"),
                             pod("b", "n1", "Running", true, ""),
                             pod("c", "n1", "Running", false, "")};
    int64_t ready_s = 1767225600, wait_s = INT64_MAX; /* 2026-01-01 */
    Apps__V1__ReplicaSetStatus *s =
        replicaset_status(&a, rs, pods, 3, 0, NULL, NULL, ready_s + 10, &wait_s);
    assert_int_equal(s->replicas, 3);
    assert_int_equal(s->ready_replicas, 2);
    assert_int_equal(s->available_replicas, 0);
    assert_int_equal(s->fully_labeled_replicas, 1);
    assert_int_equal(s->observed_generation, 7);
    assert_int_equal(wait_s, 20);
    s = replicaset_status(&a, rs, pods, 3, 0, "FailedCreate", "no", ready_s + 40, &wait_s);
    assert_int_equal(s->available_replicas, 2);
    assert_string_equal(s->conditions[0]->reason, "FailedCreate");
    rs->status = s;
    s = replicaset_status(&a, rs, pods, 3, 0, NULL, NULL, ready_s + 40, &wait_s);
    assert_int_equal(s->n_conditions, 0);
}

static void test_claims(void **state)
{
    (void)state;
    static const struct {
        const char *labels, *owner, *object_deleted, *owner_deleted;
        enum claim want;
    } cases[] = {
        {"'app':'x'", "me", "", "", CLAIM_OWNED},       {"'app':'y'", "me", "", "", CLAIM_RELEASE},
        {"'app':'x'", "", "", "", CLAIM_ADOPT},         {"'app':'y'", "", "", "", CLAIM_NONE},
        {"'app':'x'", "other", "", "", CLAIM_NONE},     {"'app':'x'", "", "yes", "", CLAIM_NONE},
        {"'app':'x'", "", "", "yes", CLAIM_NONE},       {"'app':'y'", "me", "", "yes", CLAIM_NONE},
        {"'app':'x'", "me", "yes", "yes", CLAIM_OWNED},
    };
    static const char deleted[] = ",'deletionTimestamp':'2026-01-01T00:00:00Z'";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct label_selector selector;
        assert_int_equal(label_selector_parse(&a, STR("app=x"), &selector, NULL), 0);
        Core__V1__Pod *p = from_json(
            &a, text("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','labels':{%s}%s%s}}",
                     cases[i].labels,
                     *cases[i].owner ? text(",'ownerReferences':[{'uid':'%s','controller':true}]",
                                            cases[i].owner)
                                     : "",
                     *cases[i].object_deleted ? deleted : ""));
        Core__V1__Pod *owner = from_json(
            &a, text("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'o','uid':'me'%s}}",
                     *cases[i].owner_deleted ? deleted : ""));
        assert_int_equal(claim_decide(p->metadata, &selector, owner->metadata), cases[i].want);
    }
}

static void test_expectations(void **state)
{
    (void)state;
    struct expectations *e = expectations_new();
    const char *uids[] = {"u1", "u2"};
    assert_true(expectations_met(e, "k"));
    expect_creations(e, "k", 2);
    creation_observed(e, "k");
    assert_false(expectations_met(e, "k"));
    creation_observed(e, "k");
    creation_observed(e, "k"); /* somebody else's */
    assert_true(expectations_met(e, "k"));
    expect_deletions(e, "k", uids, 2);
    deletion_observed(e, "k", "u1");
    deletion_observed(e, "k", "u1");
    assert_false(expectations_met(e, "k")); /* the same one seen twice is one */
    deletion_observed(e, "k", "u2");
    assert_true(expectations_met(e, "k"));
    expectations_free(e);
}

/* ---------------------------------------------------------------------------- garbage collection --- */

static void test_garbage(void **state)
{
    (void)state;
    static const struct {
        const char *deleted, *finalizer;
        size_t owners_len;
        enum owner_state owners[2];
        size_t dependents, blocking;
        enum gc_action want;
        const char *propagation;
    } cases[] = {
        {"", "", 0, {0}, 0, 0, GC_NOTHING, NULL},
        {"", "", 1, {OWNER_SOLID}, 0, 0, GC_NOTHING, NULL},
        {"", "", 1, {OWNER_ABSENT}, 0, 0, GC_DELETE, "Background"},
        {"", "", 2, {OWNER_ABSENT, OWNER_ABSENT}, 0, 0, GC_DELETE, "Background"},
        {"", "", 2, {OWNER_SOLID, OWNER_ABSENT}, 0, 0, GC_DROP_OWNERS, NULL},
        {"", "", 2, {OWNER_WAITING, OWNER_SOLID}, 0, 0, GC_DROP_OWNERS, NULL},
        {"", "", 1, {OWNER_WAITING}, 0, 0, GC_DELETE, "Background"},
        {"", "", 1, {OWNER_WAITING}, 3, 3, GC_DELETE, "Foreground"}, /* its own dependents first */
        {"", "orphan", 1, {OWNER_ABSENT}, 2, 0, GC_DELETE, "Orphan"},
        {"yes", "", 1, {OWNER_ABSENT}, 0, 0, GC_NOTHING, NULL}, /* on its way already */
        {"yes", "orphan", 0, {0}, 2, 2, GC_ORPHAN, NULL},
        {"yes", "foregroundDeletion", 0, {0}, 2, 1, GC_AWAIT, NULL},
        {"yes", "foregroundDeletion", 0, {0}, 2, 0, GC_FINISH, NULL}, /* none of them blocks */
        {"yes", "example.com/other", 0, {0}, 2, 2, GC_NOTHING, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Core__V1__Pod *p = from_json(
            &a,
            text("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'%s%s,'ownerReferences':[%s%"
                 "s%s]}}",
                 *cases[i].deleted ? ",'deletionTimestamp':'2026-01-01T00:00:00Z'" : "",
                 *cases[i].finalizer ? text(",'finalizers':['%s']", cases[i].finalizer) : "",
                 cases[i].owners_len > 0 ? "{'uid':'1'}" : "", cases[i].owners_len > 1 ? "," : "",
                 cases[i].owners_len > 1 ? "{'uid':'2'}" : ""));
        struct gc_view v = {.object = p->metadata,
                            .owners = cases[i].owners,
                            .dependents = cases[i].dependents,
                            .blocking_dependents = cases[i].blocking};
        assert_int_equal(gc_decide(&v), cases[i].want);
        if (cases[i].propagation)
            assert_string_equal(gc_propagation(&v), cases[i].propagation);
    }
}

static void test_pod_garbage(void **state)
{
    (void)state;
    static const char deleted[] = ",'deletionTimestamp':'2026-01-01T00:00:00Z'";
    assert_true(pod_is_unscheduled_garbage(pod("p", "", "Pending", false, deleted)));
    assert_false(pod_is_unscheduled_garbage(pod("p", "n1", "Running", false, deleted)));
    assert_false(pod_is_unscheduled_garbage(pod("p", "", "Pending", false, "")));
    const Core__V1__Pod *ended[] = {
        pod("new", "n", "Failed", false, ",'creationTimestamp':'2026-01-03T00:00:00Z'"),
        pod("old", "n", "Failed", false, ",'creationTimestamp':'2026-01-01T00:00:00Z'"),
        pod("mid", "n", "Failed", false, ",'creationTimestamp':'2026-01-02T00:00:00Z'")};
    assert_int_equal(ended_pods_surplus(ended, 3, 0), 0);
    assert_int_equal(ended_pods_surplus(ended, 3, 3), 0);
    assert_int_equal(ended_pods_surplus(ended, 3, 1), 2);
    assert_string_equal(ended[0]->metadata->name, "old");
    assert_string_equal(ended[1]->metadata->name, "mid");
}

static void test_namespace_conditions(void **state)
{
    (void)state;
    struct namespace_content c = {0};
    Core__V1__NamespaceStatus *s = api_new(&a, Core__V1__NamespaceStatus);
    Core__V1__Pod *p = from_json(
        &a, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','finalizers':['x/y']}}");
    namespace_content_add(&c, &a, RESOURCE_PODS, p->metadata);
    namespace_content_add(&c, &a, RESOURCE_PODS, p->metadata);
    namespace_conditions(&a, s, &c, 5);
    assert_int_equal(s->n_conditions, 5);
    assert_string_equal(s->conditions[3]->message,
                        "Some resources are remaining: pods. has 2 resource instances");
    assert_string_equal(s->conditions[4]->reason, "SomeFinalizersRemain");
    struct namespace_content none = {.deletion_error = "refused"};
    namespace_conditions(&a, s, &none, 9);
    assert_int_equal(s->n_conditions, 5);
    assert_string_equal(s->conditions[3]->status, "False");
    assert_int_equal(s->conditions[3]->last_transition_time->seconds, 9);
    assert_string_equal(s->conditions[2]->message, "refused");
    assert_int_equal(s->conditions[0]->last_transition_time->seconds, 5); /* did not change */
}

/* ---------------------------------------------------------------------------------------- nodes --- */

static Core__V1__Node *node(const char *ready, const char *spec)
{
    return from_json(
        &a, text("{'apiVersion':'v1','kind':'Node','metadata':{'name':'n'},'spec':{%s},'status':"
                 "{'conditions':[{'type':'Ready','status':'%s'}]}}",
                 spec, ready));
}

static const char *taints_text(const Core__V1__NodeSpec *spec)
{
    const char *out = "";
    for (size_t i = 0; i < spec->n_taints; i++)
        out =
            text("%s%s%s:%s", out, *out ? " " : "", spec->taints[i]->key, spec->taints[i]->effect);
    return out;
}

static void test_taints_follow_conditions(void **state)
{
    (void)state;
    static const struct {
        const char *ready, *spec, *want;
        bool changed;
    } cases[] = {
        {"True", "", "", false},
        {"False", "",
         "node.kubernetes.io/not-ready:NoSchedule node.kubernetes.io/not-ready:NoExecute", true},
        {"Unknown", "",
         "node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute",
         true},
        {"True", "'unschedulable':true", "node.kubernetes.io/unschedulable:NoSchedule", true},
        {"True",
         "'taints':[{'key':'mine','effect':'NoSchedule'},{'key':'node.kubernetes.io/"
         "not-ready','effect':"
         "'NoExecute'}]",
         "mine:NoSchedule", true},
        {"True", "'taints':[{'key':'mine','effect':'NoExecute'}]", "mine:NoExecute", false},
        {"Unknown", "'taints':[{'key':'node.kubernetes.io/not-ready','effect':'NoExecute'}]",
         "node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute",
         true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Core__V1__Node *n = node(cases[i].ready, cases[i].spec);
        assert_int_equal(node_set_taints(&a, n->spec, n, 7), cases[i].changed);
        assert_string_equal(taints_text(n->spec), cases[i].want);
        assert_false(node_set_taints(&a, n->spec, n, 8)); /* once is enough */
    }
}

static void test_silent_nodes(void **state)
{
    (void)state;
    Core__V1__Node *n = node("True", "");
    assert_true(node_mark_unknown(&a, n->status, 9));
    assert_string_equal(node_condition(n, "Ready")->status, "Unknown");
    assert_string_equal(node_condition(n, "Ready")->reason, "NodeStatusUnknown");
    assert_string_equal(node_condition(n, "MemoryPressure")->reason, "NodeStatusNeverUpdated");
    assert_int_equal(node_condition(n, "Ready")->last_transition_time->seconds, 9);
    assert_false(node_mark_unknown(&a, n->status, 20));
}

static void test_when_pods_leave(void **state)
{
    (void)state;
    static const struct {
        const char *tolerations;
        int64_t want; /* the taint was added at 1000 */
    } cases[] = {
        {"", 0},
        {"{'operator':'Exists'}", INT64_MAX},
        {"{'key':'k','operator':'Exists','effect':'NoExecute','tolerationSeconds':300}", 1300},
        {"{'key':'k','operator':'Exists','effect':'NoSchedule'}", 0},
        {"{'key':'k','operator':'Exists','tolerationSeconds':300},{'operator':'Exists','"
         "tolerationSeconds':60}",
         1060},
        {"{'key':'k','value':'v'}", INT64_MAX},
        {"{'key':'k','value':'w'}", 0},
        {"{'operator':'Exists','tolerationSeconds':-1}", 1000},
    };
    Core__V1__Node *n =
        node("True", "'taints':[{'key':'k','value':'v','effect':'NoExecute','timeAdded':"
                     "'1970-01-01T00:16:40Z'},{'key':'s','effect':'NoSchedule'}]");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Core__V1__Pod *p = from_json(&a, text("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'"
                                              "p'},'spec':{'tolerations':[%s]}}",
                                              cases[i].tolerations));
        assert_int_equal(pod_eviction_time(p, n, 5000), cases[i].want);
    }
    assert_int_equal(pod_eviction_time(pod("p", "n", "Running", true, ""), node("True", ""), 5000),
                     INT64_MAX);
}

static void test_node_ranges(void **state)
{
    (void)state;
    struct cidr_pool p;
    struct error err = {0};
    char cidr[CIDR_TEXT_MAX];
    assert_int_equal(cidr_pool_init(&p, "10.244.0.0/16", 24, &err), 0);
    assert_int_equal(cidr_pool_take(&p, cidr, &err), 0);
    assert_string_equal(cidr, "10.244.0.0/24");
    assert_true(cidr_pool_occupy(&p, "10.244.1.0/24"));
    assert_false(cidr_pool_occupy(&p, "10.245.1.0/24"));
    assert_false(cidr_pool_occupy(&p, "10.244.1.0/25"));
    assert_int_equal(cidr_pool_take(&p, cidr, &err), 0);
    assert_string_equal(cidr, "10.244.2.0/24");
    for (int i = 3; i < 256; i++)
        assert_int_equal(cidr_pool_take(&p, cidr, &err), 0);
    assert_string_equal(cidr, "10.244.255.0/24");
    assert_int_equal(cidr_pool_take(&p, cidr, &err), ERR_LIMIT);
    cidr_pool_release(&p, "10.244.7.0/24");
    assert_int_equal(cidr_pool_take(&p, cidr, &err), 0);
    assert_string_equal(cidr, "10.244.7.0/24");
    cidr_pool_free(&p);
    static const char *const bad[] = {"10.244.0.0", "10.244.0/16", "x/16", "10.0.0.0/33",
                                      "fd00::/48"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(cidr_pool_init(&p, bad[i], 24, &err), ERR_INVALID);
    assert_int_equal(cidr_pool_init(&p, "10.0.0.0/24", 16, &err), ERR_INVALID);
}

/* ------------------------------------------------------------------------------------ endpoints --- */

static Core__V1__Service *service(const char *target)
{
    return from_json(
        &a,
        text(
            "{'apiVersion':'v1','kind':'Service','metadata':{'namespace':'d','name':'s','uid':'su'}"
            ","
            "'spec':{'selector':{'app':'x'},'clusterIP':'10.96.0.9','ports':[{'port':80,'protocol':"
            "'TCP','targetPort':%s}]}}",
            target));
}

static struct slice_plan plan_for(const Core__V1__Service *s, Core__V1__Pod *const *pods, size_t n,
                                  Discovery__V1__EndpointSlice *const *existing,
                                  size_t existing_len)
{
    size_t groups_len;
    struct endpoint_group *groups = slices_desired(&a, s, pods, n, NULL, NULL, &groups_len);
    return slices_plan(&a, s, groups, groups_len, existing, existing_len);
}

static void test_endpoints_of_pods(void **state)
{
    (void)state;
    static const char deleted[] = ",'deletionTimestamp':'2026-01-01T00:00:00Z'";
    Core__V1__Pod *pods[] = {
        pod("a", "n1", "Running", true, ""), pod("b", "n1", "Running", false, ""),
        pod("c", "n2", "Running", true, deleted), pod("d", "n2", "Succeeded", false, "")};
    struct slice_plan plan = plan_for(service("'web'"), pods, 4, NULL, 0);
    assert_int_equal(plan.create_len, 1);
    const Discovery__V1__EndpointSlice *s = plan.create[0];
    assert_int_equal(s->n_endpoints, 3); /* an ended pod is none */
    assert_int_equal(s->ports[0]->port, 8080);
    assert_string_equal(s->metadata->generate_name, "s-");
    assert_string_equal(labels_get(s->metadata, SLICE_LABEL_SERVICE), "s");
    static const bool want[3][3] = {
        {true, true, false}, {false, false, false}, {false, true, true}};
    for (size_t i = 0; i < 3; i++) {
        const Discovery__V1__EndpointConditions *c = s->endpoints[i]->conditions;
        assert_int_equal(c->ready, want[i][0]);
        assert_int_equal(c->serving, want[i][1]);
        assert_int_equal(c->terminating, want[i][2]);
    }
    Core__V1__Endpoints *e = api_new(&a, Core__V1__Endpoints);
    size_t groups_len;
    struct endpoint_group *groups =
        slices_desired(&a, service("'web'"), pods, 4, NULL, NULL, &groups_len);
    endpoints_fill(&a, e, groups, groups_len);
    assert_int_equal(e->subsets[0]->n_addresses, 1);
    assert_int_equal(e->subsets[0]->n_not_ready_addresses, 1);
}

static void test_slices_without_endpoints_and_with_many(void **state)
{
    (void)state;
    struct slice_plan plan = plan_for(service("8080"), NULL, 0, NULL, 0);
    assert_int_equal(plan.create_len, 1);
    assert_int_equal(plan.create[0]->n_endpoints, 0);
    assert_int_equal(plan.create[0]->ports[0]->port, 8080);
    Core__V1__Pod *pods[250];
    for (int i = 0; i < 250; i++) {
        pods[i] = pod(text("p%03d", i), "n", "Running", true, "");
        pods[i]->status->pod_ip = (char *)text("10.1.0.%d", i);
    }
    plan = plan_for(service("8080"), pods, 250, NULL, 0);
    assert_int_equal(plan.create_len, 3);
    assert_int_equal(plan.create[0]->n_endpoints, 100);
    assert_int_equal(plan.create[2]->n_endpoints, 50);
    /* Nothing changed: nothing to write. One pod less and one more: one slice is written. */
    Discovery__V1__EndpointSlice *have[] = {plan.create[0], plan.create[1], plan.create[2]};
    plan = plan_for(service("8080"), pods, 250, have, 3);
    assert_int_equal(plan.create_len + plan.update_len + plan.remove_len, 0);
    Core__V1__Pod *gone = pods[249];
    pods[249] = pod("q", "n", "Running", true, "");
    pods[249]->status->pod_ip = "10.2.0.1";
    plan = plan_for(service("8080"), pods, 250, have, 3);
    assert_int_equal(plan.create_len, 0);
    assert_int_equal(plan.update_len, 1);
    pods[249] = gone;
    /* Down to ten: each slice keeps its own, or goes when it has none. */
    plan = plan_for(service("8080"), pods, 10, have, 3);
    assert_int_equal(plan.create_len, 0);
    assert_int_equal(plan.update_len + plan.remove_len, 3);
    /* To none: one stays, empty. */
    plan = plan_for(service("8080"), NULL, 0, have, 3);
    assert_int_equal(plan.remove_len, 2);
    assert_int_equal(plan.update_len, 1);
    assert_int_equal(plan.update[0]->n_endpoints, 0);
    /* The service's port changed: new slices for old. */
    plan = plan_for(service("9090"), pods, 10, have, 3);
    assert_int_equal(plan.create_len, 1);
    assert_int_equal(plan.remove_len, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_surge_and_unavailable),
        TEST(test_size_of_the_new_set),
        TEST(test_old_sets_shrink_without_breaking_the_minimum),
        TEST(test_a_rollout_always_ends_within_its_bounds),
        TEST(test_scaling_in_mid_rollout_is_proportional),
        TEST(test_conditions_of_a_rollout),
        TEST(test_history_limit),
        TEST(test_which_pods_go_first),
        TEST(test_missing_pods),
        TEST(test_replica_set_status),
        TEST(test_claims),
        TEST(test_expectations),
        TEST(test_garbage),
        TEST(test_pod_garbage),
        TEST(test_namespace_conditions),
        TEST(test_taints_follow_conditions),
        TEST(test_silent_nodes),
        TEST(test_when_pods_leave),
        TEST(test_node_ranges),
        TEST(test_endpoints_of_pods),
        TEST(test_slices_without_endpoints_and_with_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
