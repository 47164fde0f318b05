/*
 * Objects, metadata helpers, the table of kinds and the OpenAPI documents.
 */
#include "api/kinds.h"
#include "api/meta.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "tests/unit/api_test.h"

/* --- objects -------------------------------------------------------------------------------------- */

static void test_new_has_no_nulls(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    for (int i = 0; i < SCHEMA_MESSAGE_COUNT; i++) {
        const struct schema_message *m = schema_get(i);
        char *object = object_new(&a, m);
        assert_ptr_equal(schema_of(object), m);
        for (unsigned k = 0; k < m->field_count; k++) {
            const struct schema_field *f = schema_field_at(m, k);
            bool pointer = f->type == SCHEMA_STRING || f->type == SCHEMA_MESSAGE;
            if (f->label == SCHEMA_VALUE && pointer)
                assert_non_null(*(void **)(object + f->offset));
            else if (pointer)
                assert_null(*(void **)(object + f->offset));
        }
        assert_true(object_equal(object, object_clone(&a, object)));
    }
    arena_free(&a);
}

static void test_equality(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    Core__V1__Pod *p = api_new(&a, Core__V1__Pod), *q;
    labels_set(&a, p->metadata, "a", "1");
    labels_set(&a, p->metadata, "b", "2");
    q = api_clone(&a, p);
    assert_true(object_equal(p, q));

    StringEntry *first = q->metadata->labels[0]; /* the order of a map means nothing */
    q->metadata->labels[0] = q->metadata->labels[1];
    q->metadata->labels[1] = first;
    assert_true(object_equal(p, q));
    labels_set(&a, q->metadata, "b", "3");
    assert_false(object_equal(p, q));
    assert_true(object_equal_except(p, q, "metadata"));
    assert_string_equal(labels_get(p->metadata, "b"), "2"); /* clones share nothing */

    q = api_clone(&a, p);
    q->spec->node_name = NULL; /* NULL and "" are the same for value strings */
    assert_true(object_equal(p, q));
    api_set(q->spec, priority, 0); /* set to zero is not absent */
    assert_false(object_equal(p, q));
    assert_false(object_equal(p, NULL));
    assert_true(object_equal(NULL, NULL));

    Core__V1__ResourceRequirements *x = api_new(&a, Core__V1__ResourceRequirements);
    Core__V1__ResourceRequirements *y = api_new(&a, Core__V1__ResourceRequirements);
    quantity_map_set(&a, &x->limits, &x->n_limits, "cpu", "1");
    quantity_map_set(&a, &y->limits, &y->n_limits, "cpu", "1000m");
    assert_true(object_equal(x, y));
    arena_free(&a);
}

static void test_access(void **state)
{
    (void)state;
    struct arena a;
    const struct schema_field *f;
    arena_init(&a);
    Core__V1__Pod *p = api_new(&a, Core__V1__Pod);
    p->spec->node_name = (char *)"n1";
    assert_string_equal(object_string(p, "spec.nodeName"), "n1");
    assert_null(object_string(p, "spec.nope"));
    assert_null(object_string(p, "spec.containers"));
    assert_null(object_member(p, "spec.affinity.nodeAffinity", &f)); /* a NULL on the way */
    assert_ptr_equal(object_member(p, "spec.affinity", &f), &p->spec->affinity);
    assert_ptr_equal(object_meta(p), p->metadata);
    assert_string_equal(object_kind(p), "Pod");
    assert_string_equal(object_api_version(p), "v1");

    Core__V1__Volume *v = api_new(&a, Core__V1__Volume); /* through an inlined message */
    v->volume_source->host_path = api_new(&a, Core__V1__HostPathVolumeSource);
    v->volume_source->host_path->path = (char *)"/x";
    assert_string_equal(object_string(v, "hostPath.path"), "/x");

    Core__V1__Pod *q = api_new(&a, Core__V1__Pod);
    object_share_member(q, p, "spec");
    assert_ptr_equal(q->spec, p->spec);

    Core__V1__PodList *list = api_new(&a, Core__V1__PodList);
    for (int i = 0; i < 10; i++)
        api_append(&a, list, items, i % 2 ? p : q);
    assert_int_equal(object_list_len(list), 10);
    assert_ptr_equal(object_list_item(list, 9), p);
    assert_non_null(object_list_meta(list));
    assert_true(string_map_remove(p->metadata->labels, &p->metadata->n_labels, "none") == false);
    arena_free(&a);
}

/* --- metadata helpers -------------------------------------------------------------------------------- */

static void test_ages(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {{0, "0s"},
                 {45, "45s"},
                 {119, "119s"},
                 {192, "3m12s"},
                 {180, "3m"},
                 {600, "10m"},
                 {10799, "179m"},
                 {10800, "3h"},
                 {5 * 3600 + 60, "5h1m"},
                 {8 * 3600, "8h"},
                 {172799, "47h"},
                 {172800, "2d"},
                 {176400, "2d1h"},
                 {8 * 86400, "8d"},
                 {730 * 86400, "2y"},
                 {731 * 86400, "2y1d"},
                 {3000 * 86400ll, "8y"},
                 {-5, "<invalid>"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        duration_human(cases[i].seconds, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_int_or_string(void **state)
{
    (void)state;
    struct arena a;
    int32_t v;
    arena_init(&a);
    assert_int_equal(int_or_string_scaled(int_or_string_int(&a, 3), 10, true, &v), 0);
    assert_int_equal(v, 3);
    assert_int_equal(int_or_string_scaled(int_or_string_string(&a, "25%"), 10, true, &v), 0);
    assert_int_equal(v, 3);
    assert_int_equal(int_or_string_scaled(int_or_string_string(&a, "25%"), 10, false, &v), 0);
    assert_int_equal(v, 2);
    assert_int_equal(int_or_string_scaled(int_or_string_string(&a, "half"), 10, false, &v),
                     ERR_INVALID);
    assert_int_equal(int_or_string_scaled(NULL, 10, false, &v), 0);
    assert_int_equal(v, 0);
    assert_string_equal(int_or_string_text(&a, int_or_string_int(&a, 80)), "80");
    arena_free(&a);
}

static void test_owners(void **state)
{
    (void)state;
    struct arena a;
    struct str ns, name;
    arena_init(&a);
    Apps__V1__ReplicaSet *rs = api_new(&a, Apps__V1__ReplicaSet);
    Core__V1__Pod *p = api_new(&a, Core__V1__Pod);
    rs->metadata->name = (char *)"web";
    rs->metadata->uid = (char *)"u";
    assert_null(controller_of(p->metadata));
    api_append(&a, p->metadata, owner_references, owner_reference_new(&a, rs));
    assert_true(is_controlled_by(p->metadata, rs->metadata));
    assert_string_equal(controller_of(p->metadata)->api_version, "apps/v1");
    assert_string_equal(controller_of(p->metadata)->kind, "ReplicaSet");
    api_append(&a, p->metadata, finalizers, (char *)"x");
    assert_true(has_finalizer(p->metadata, "x"));
    assert_true(remove_finalizer(p->metadata, "x"));
    assert_false(remove_finalizer(p->metadata, "x"));
    p->metadata->name = (char *)"p";
    assert_string_equal(object_key(&a, p->metadata), "p");
    p->metadata->namespace_ = (char *)"d";
    assert_string_equal(object_key(&a, p->metadata), "d/p");
    object_key_split(STR("d/p"), &ns, &name);
    assert_true(str_eqz(ns, "d") && str_eqz(name, "p"));
    object_key_split(STR("p"), &ns, &name);
    assert_true(ns.n == 0 && str_eqz(name, "p"));
    arena_free(&a);
}

static void test_template_hash(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    Core__V1__PodTemplateSpec *t = api_new(&a, Core__V1__PodTemplateSpec);
    char *one = pod_template_hash(&a, t, 0);
    assert_int_equal(strlen(one), 10);
    assert_string_equal(one, pod_template_hash(&a, api_clone(&a, t), 0));
    assert_string_not_equal(one, pod_template_hash(&a, t, 1));
    t->spec->node_name = (char *)"n";
    assert_string_not_equal(one, pod_template_hash(&a, t, 0));
    arena_free(&a);
}

/* --- kinds -------------------------------------------------------------------------------------------- */

static void test_kinds(void **state)
{
    (void)state;
    bool is_list;
    const struct resource *pods = resource_find(STR(""), STR("v1"), STR("pods"));
    assert_non_null(pods);
    assert_int_equal(pods->message, Core__V1__Pod__SCHEMA);
    assert_int_equal(pods->list_message, Core__V1__PodList__SCHEMA);
    assert_string_equal(pods->storage_prefix, "/registry/pods");
    assert_string_equal(resource_find_name(STR("svc"))->storage_prefix, "/registry/services/specs");
    assert_string_equal(resource_find_name(STR("nodes"))->storage_prefix, "/registry/minions");
    assert_ptr_equal(resource_find_name(STR("po")), pods);
    assert_ptr_equal(resource_find_name(STR("Pod")), pods);
    assert_string_equal(resource_find_name(STR("deployments.apps"))->kind, "Deployment");
    assert_string_equal(resource_find_name(STR("deploy.v1.apps"))->kind, "Deployment");
    assert_null(resource_find_name(STR("deploy.v2.apps")));
    assert_null(resource_find_name(STR("nonsense")));
    assert_string_equal(resource_find_name(STR("ev"))->api_version, "v1"); /* core comes first */
    assert_string_equal(resource_find_name(STR("hpa"))->api_version, "autoscaling/v2");
    assert_ptr_equal(resource_find_kind(STR("v1"), STR("PodList"), &is_list), pods);
    assert_true(is_list);
    assert_null(resource_find_kind(STR("v1"), STR("PodList"), NULL));
    assert_non_null(resource_subresource(pods, STR("eviction")));
    assert_string_equal(resource_subresource(pods, STR("eviction"))->group, "policy");
    assert_int_equal(kind_message(STR("apps/v1"), STR("DeleteOptions")),
                     Meta__V1__DeleteOptions__SCHEMA);
    assert_int_equal(kind_message(STR("apps/v1"), STR("Pod")), SCHEMA_NONE);
    for (size_t i = 0; i < resources_len; i++) { /* every row hangs together */
        const struct resource *r = &resources[i];
        assert_ptr_equal(resource_of_message(r->message), r);
        assert_string_equal(message_kind(schema_get(r->message)), r->kind);
        assert_string_equal(message_api_version(schema_get(r->message)), r->api_version);
        assert_true(*r->singular != 0 && r->columns[0].name);
        if (*r->storage_prefix)
            assert_true(schema_get(r->message)->flags & SCHEMA_HAS_OBJECT_META);
        if (r->verbs & VERB_LIST)
            assert_true(schema_get(r->list_message)->flags & SCHEMA_HAS_LIST_META);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_has_no_nulls), cmocka_unit_test(test_equality),
        cmocka_unit_test(test_access),           cmocka_unit_test(test_ages),
        cmocka_unit_test(test_int_or_string),    cmocka_unit_test(test_owners),
        cmocka_unit_test(test_template_hash),    cmocka_unit_test(test_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
