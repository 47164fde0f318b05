/*
 * Managed fields and server-side apply: scenarios of writes with the object, the owners and the conflicts
 * that the published algorithm leads to. Objects are written in YAML's flow style.
 */
#include "api/fields/managed_internal.h"
#include "api/meta.h"
#include "base/arena_str.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "tests/unit/api_test.h"
#include <stdio.h>

#define SCENARIO_STEPS_MAX 14

enum op { END, UPDATE, STATUS, APPLY, FORCE };

struct step {
    enum op op;
    const char *manager;
    const char *text;   /* UPDATE, STATUS: the whole new object; APPLY, FORCE: the configuration */
    const char *want;   /* members that the object has then (null: has not); or the error */
    const char *owners; /* {manager/operation: fields}, all of them; NULL: not looked at */
};

struct scenario {
    const char *name;
    int message;
    struct step steps[SCENARIO_STEPS_MAX];
};

#define CM Core__V1__ConfigMap__SCHEMA
#define POD Core__V1__Pod__SCHEMA
#define SERVICE Core__V1__Service__SCHEMA
#define DEPLOYMENT Apps__V1__Deployment__SCHEMA

static const struct scenario scenarios[] = {
    {"creates own what they say, structs are no fields, identity is nobody's",
     DEPLOYMENT,
     {{UPDATE, "kubectl-create",
       "{metadata: {name: d, namespace: x, uid: u, labels: {a: b}}, spec: {replicas: 1, selector: "
       "{matchLabels: {a: "
       "b}}, strategy: {type: Recreate}, template: {metadata: {labels: {a: b}}, spec: {containers: "
       "[{name: c, image: "
       "i}]}}}}",
       NULL,
       "{kubectl-create/Update: {f:metadata: {f:labels: {.: {}, f:a: {}}}, f:spec: {f:replicas: "
       "{}, f:selector: {}, "
       "f:strategy: {f:type: {}}, f:template: {f:metadata: {f:labels: {.: {}, f:a: {}}}, f:spec: "
       "{f:containers: "
       "{'k:{\"name\":\"c\"}': {.: {}, f:image: {}, f:name: {}, f:resources: {}}}}}}}}"}}},
    {"an update takes what it changes from whoever had it",
     CM,
     {{UPDATE, "one", "{data: {a: '1', b: '2'}}", NULL,
       "{one/Update: {f:data: {.: {}, f:a: {}, f:b: {}}}}"},
      {UPDATE, "two", "{data: {a: '9', b: '2', c: '3'}}", NULL,
       "{one/Update: {f:data: {.: {}, f:b: {}}}, two/Update: {f:data: {f:a: {}, f:c: {}}}}"},
      {UPDATE, "one", "{data: {a: '9', c: '3'}}", NULL,
       "{one/Update: {f:data: {}}, two/Update: {f:data: {f:a: {}, f:c: {}}}}"},
      {UPDATE, "three", "{}", NULL, "{}"}}},
    {"who owns an emptied map owns nothing that has come into it since",
     CM,
     {{UPDATE, "one", "{data: {a: '1'}}", NULL, "{one/Update: {f:data: {.: {}, f:a: {}}}}"},
      {UPDATE, "two", "{data: {b: '2', c: '3'}}", NULL,
       "{one/Update: {f:data: {}}, two/Update: {f:data: {f:b: {}, f:c: {}}}}"},
      {UPDATE, "three", "{data: {b: '9', c: '3'}}", NULL,
       "{one/Update: {f:data: {}}, two/Update: {f:data: {f:c: {}}}, three/Update: "
       "{f:data: {f:b: {}}}}"},
      {APPLY, "four", "{metadata: {name: x}, data: {c: '4'}}", "\"two\" using v1: .data.c\n", NULL},
      {APPLY, "five", "{metadata: {name: x}, data: {d: '5'}}", NULL,
       "{one/Update: {f:data: {}}, two/Update: {f:data: {f:c: {}}}, three/Update: "
       "{f:data: {f:b: {}}}, five/Apply: {f:data: {f:d: {}}}}"}}},
    {"subresources have owners of their own",
     POD,
     {{UPDATE, "kubectl", "{spec: {containers: [{name: c}]}}", NULL, NULL},
      {STATUS, "kubelet",
       "{spec: {containers: [{name: c}]}, status: {phase: Running, conditions: [{type: Ready, "
       "status: 'True'}]}}",
       NULL,
       "{kubectl/Update: {f:spec: {f:containers: {'k:{\"name\":\"c\"}': {.: {}, f:name: {}, "
       "f:resources: {}}}}}, "
       "kubelet/Update/status: {f:status: {f:phase: {}, f:conditions: {.: {}, "
       "'k:{\"type\":\"Ready\"}': {.: {}, "
       "f:lastProbeTime: {}, f:lastTransitionTime: {}, f:status: {}, f:type: {}}}}}}"}}},
    {"what is no longer applied goes, what others set stays",
     CM,
     {{APPLY, "one", "{metadata: {name: x}, data: {a: '1', b: '2'}}", "{data: {a: '1', b: '2'}}",
       "{one/Apply: {f:data: {f:a: {}, f:b: {}}}}"},
      {UPDATE, "two", "{metadata: {name: x}, data: {a: '1', b: '2', c: '3'}}", NULL, NULL},
      {APPLY, "one", "{metadata: {name: x}, data: {a: '1'}}", "{data: {a: '1', b: null, c: '3'}}",
       "{one/Apply: {f:data: {f:a: {}}}, two/Update: {f:data: {f:c: {}}}}"},
      {APPLY, "one", "{metadata: {name: x}}", "{data: {a: null, c: '3'}}",
       "{two/Update: {f:data: {f:c: {}}}}"}}},
    {"a conflict with a value of somebody else, and force",
     CM,
     {{APPLY, "one", "{data: {a: '1', b: '2'}}", NULL, NULL},
      {APPLY, "two", "{data: {a: '9', b: '8'}}", "\"one\": .data.a\n\"one\": .data.b\n", NULL},
      {FORCE, "two", "{data: {a: '9', b: '8'}}", "{data: {a: '9', b: '8'}}",
       "{two/Apply: {f:data: {f:a: {}, f:b: {}}}}"},
      {UPDATE, "three", "{data: {a: '7', b: '8'}}", NULL,
       "{two/Apply: {f:data: {f:b: {}}}, three/Update: {f:data: {f:a: {}}}}"},
      {APPLY, "two", "{data: {a: '9', b: '8'}}", "\"three\" using v1: .data.a\n", NULL}}},
    {"the same value is owned together, until both let go",
     CM,
     {{APPLY, "one", "{data: {a: '1'}}", NULL, NULL},
      {APPLY, "two", "{data: {a: '1'}}", NULL,
       "{one/Apply: {f:data: {f:a: {}}}, two/Apply: {f:data: {f:a: {}}}}"},
      {APPLY, "one", "{}", "{data: {a: '1'}}", "{two/Apply: {f:data: {f:a: {}}}}"},
      {APPLY, "two", "{}", "{data: null}", "{}"}}},
    {"ownership is handed over by applying the value, then dropping it",
     DEPLOYMENT,
     {{APPLY, "user", "{spec: {replicas: 3}}", NULL, NULL},
      {UPDATE, "hpa", "{spec: {replicas: 3, paused: true}}", NULL, NULL},
      {APPLY, "hpa", "{spec: {replicas: 3}}", NULL, NULL},
      {APPLY, "user", "{}", "{spec: {replicas: 3}}",
       "{hpa/Apply: {f:spec: {f:replicas: {}}}, hpa/Update: {f:spec: {f:paused: {}}}}"},
      {APPLY, "user", "{spec: {replicas: 4}}", "\"hpa\": .spec.replicas\n", NULL}}},
    {"items of lists by their keys, defaults of keys included",
     SERVICE,
     {{APPLY, "one", "{spec: {ports: [{port: 80}, {port: 53, protocol: UDP, name: dns}]}}", NULL,
       "{one/Apply: {f:spec: {f:ports: {'k:{\"port\":53,\"protocol\":\"UDP\"}': {.: {}, f:name: "
       "{}, f:port: {}, "
       "f:protocol: {}}, 'k:{\"port\":80,\"protocol\":\"TCP\"}': {.: {}, f:port: {}}}}}}"},
      {UPDATE, "defaults",
       "{spec: {ports: [{port: 80, protocol: TCP}, {port: 53, protocol: UDP, name: dns}]}}", NULL,
       NULL},
      {APPLY, "two", "{spec: {ports: [{port: 80, protocol: TCP, name: web}]}}",
       "{spec: {ports: [{port: 80, protocol: TCP, name: web}, {port: 53, protocol: UDP, name: "
       "dns}]}}",
       NULL},
      {APPLY, "one", "{spec: {ports: [{port: 53, protocol: UDP, name: dns}]}}",
       "{spec: {ports: [{port: 80, protocol: TCP, name: web}, {port: 53, protocol: UDP, name: "
       "dns}]}}",
       NULL},
      {APPLY, "two", "{spec: {ports: []}}",
       "{spec: {ports: [{port: 53, protocol: UDP, name: dns}]}}",
       "{one/Apply: {f:spec: {f:ports: {'k:{\"port\":53,\"protocol\":\"UDP\"}': {.: {}, f:name: "
       "{}, f:port: {}, "
       "f:protocol: {}}}}}}"}}},
    {"an item that its applier drops goes with all that is in it",
     POD,
     {{APPLY, "one", "{spec: {containers: [{name: a, image: i}, {name: b, image: i}]}}", NULL,
       NULL},
      {APPLY, "one", "{spec: {containers: [{name: b, image: i}]}}",
       "{spec: {containers: [{name: b, image: i}]}}", NULL}}},
    {"the order of a merged list is the configuration's",
     POD,
     {{UPDATE, "x", "{spec: {containers: [{name: a}, {name: b}, {name: c}, {name: d}]}}", NULL,
       NULL},
      {APPLY, "one",
       "{spec: {containers: [{name: d, image: i}, {name: b, image: i}, {name: n, image: i}]}}",
       "{spec: {containers: [{name: a}, {name: c}, {name: d, image: i}, {name: b, image: i}, "
       "{name: n, image: i}]}}",
       NULL}}},
    {"what stands twice is passed where it stands first again",
     POD,
     {{UPDATE, "x",
       "{spec: {containers: [{name: c, env: [{name: A}, {name: B}, {name: A}, {name: C}]}]}}", NULL,
       NULL},
      {FORCE, "one",
       "{spec: {containers: [{name: c, env: [{name: B, value: b}, {name: A, value: a}]}]}}",
       "{spec: {containers: [{name: c, env: [{name: B, value: b}, {name: A, value: a}, {name: "
       "C}]}]}}",
       NULL}}},
    {"sets by value",
     POD,
     {{APPLY, "one", "{metadata: {finalizers: [a/x, a/y]}}", NULL,
       "{one/Apply: {f:metadata: {f:finalizers: {'v:\"a/x\"': {}, 'v:\"a/y\"': {}}}}}"},
      {APPLY, "two", "{metadata: {finalizers: [a/z]}}", "{metadata: {finalizers: [a/x, a/y, a/z]}}",
       NULL},
      {APPLY, "one", "{metadata: {finalizers: [a/y]}}", "{metadata: {finalizers: [a/y, a/z]}}",
       NULL}}},
    {"atomic lists and structs are one value",
     POD,
     {{APPLY, "one", "{spec: {containers: [{name: c, command: [a, b]}], nodeSelector: {k: v}}}",
       NULL,
       "{one/Apply: {f:spec: {f:containers: {'k:{\"name\":\"c\"}': {.: {}, f:command: {}, f:name: "
       "{}}}, "
       "f:nodeSelector: {}}}}"},
      {APPLY, "two",
       "{spec: {containers: [{name: c, command: [a, c]}], nodeSelector: {k: v, l: w}}}",
       "\"one\": .spec.nodeSelector\n\"one\": .spec.containers[name=\"c\"].command\n", NULL},
      {FORCE, "two", "{spec: {containers: [{name: c, command: [a, c]}]}}",
       "{spec: {containers: [{name: c, command: [a, c]}]}}", NULL}}},
    {"objects without owners belong to before-first-apply",
     CM,
     {{UPDATE, "x", "{metadata: {managedFields: []}, data: {a: '1', b: '2'}}", NULL, NULL},
      {UPDATE, "x", "{metadata: {managedFields: []}, data: {a: '1', b: '2'}}", NULL, "{}"},
      {UPDATE, "x", "{data: {a: '1', b: '3'}}", NULL, "{}"},
      {APPLY, "one", "{data: {a: '9'}}", "\"before-first-apply\" using v1: .data.a\n", NULL},
      {APPLY, "one", "{data: {a: '1'}}", NULL,
       "{before-first-apply/Update: {f:data: {.: {}, f:a: {}, f:b: {}}}, one/Apply: {f:data: {f:a: "
       "{}}}}"}}},
    {"who owned parts of what is one value now owns that, who owned a whole owns none of its parts",
     DEPLOYMENT,
     {{UPDATE, "x",
       "{metadata: {managedFields: [{manager: z, operation: Update, apiVersion: apps/v1, "
       "fieldsType: FieldsV1, fieldsV1: {f:spec: {f:selector: {f:matchLabels: {f:a: {}}}, "
       "f:template: {f:spec: {f:containers: {}}}}}}]}, spec: {replicas: 1, "
       "selector: {matchLabels: {a: b}}, template: {spec: {containers: "
       "[{name: c, image: i}]}}}}",
       NULL, NULL},
      {UPDATE, "y",
       "{spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {spec: {containers: "
       "[{name: c, image: i}]}}}}",
       NULL,
       "{z/Update: {f:spec: {f:selector: {}, f:template: {f:spec: {f:containers: {}}}}}, "
       "x/Update: {f:spec: {f:selector: {}, f:template: {f:spec: {f:containers: "
       "{'k:{\"name\":\"c\"}': {.: {}, f:image: {}, f:name: {}, f:resources: {}}}}}}}, "
       "y/Update: {f:spec: {f:replicas: {}}}}"},
      {APPLY, "one", "{spec: {selector: {matchLabels: {a: c}}}}",
       "\"x\" using apps/v1: .spec.selector\n\"z\" using apps/v1: .spec.selector\n", NULL}}},
    {"[{}] clears the owners too, and nonsense is not taken",
     CM,
     {{UPDATE, "x", "{data: {a: '1'}}", NULL, NULL},
      {UPDATE, "y",
       "{metadata: {managedFields: [{manager: z, operation: Replace}]}, data: {a: '1'}}", NULL,
       "{x/Update: {f:data: {.: {}, f:a: {}}}}"},
      {UPDATE, "y", "{metadata: {managedFields: [{}]}, data: {a: '1'}}", NULL, "{}"}}},
    {"entries can be written by an update, in any order",
     CM,
     {{UPDATE, "x", "{data: {a: '1'}}", NULL, NULL},
      {UPDATE, "y",
       "{metadata: {managedFields: [{manager: z, operation: Apply, apiVersion: v1, fieldsType: "
       "FieldsV1, fieldsV1: "
       "{f:data: {f:b: {}, f:a: {}}}}]}, data: {a: '1'}}",
       NULL, "{z/Apply: {f:data: {f:a: {}, f:b: {}}}}"}}},
    {"a configuration must fit the schema",
     DEPLOYMENT,
     {{APPLY, "one", "{spec: {replicaz: 1}}",
       "failed to create typed patch object (/; apps/v1, Kind=Deployment): .spec.replicaz: field "
       "not declared in "
       "schema",
       NULL},
      {APPLY, "one", "{spec: {replicas: '1'}}",
       "failed to create typed patch object (/; apps/v1, Kind=Deployment): .spec.replicas: "
       "expected numeric (int or "
       "float), got string",
       NULL},
      {APPLY, "one",
       "{spec: {template: {spec: {containers: [{name: a, env: [{name: E, value: 1}]}]}}}}",
       "failed to create typed patch object (/; apps/v1, Kind=Deployment): "
       ".spec.template.spec.containers[name=\"a\"].env[name=\"E\"].value: expected string, got "
       "&value.valueUnstructured{Value:1}",
       NULL},
      {APPLY, "one", "{spec: {template: {spec: {containers: [{name: a}, {name: a}]}}}}",
       "failed to create typed patch object (/; apps/v1, Kind=Deployment): "
       ".spec.template.spec.containers: duplicate "
       "entries for key [name=\"a\"]",
       NULL},
      {APPLY, "one", "{spec: {template: {spec: {containers: [{image: a}]}}}}",
       "failed to create typed patch object (/; apps/v1, Kind=Deployment): "
       ".spec.template.spec.containers: element 0: "
       "associative list with keys has an element that omits all key fields [\"name\"] (and "
       "doesn't have default "
       "values for any key fields)",
       NULL},
      {APPLY, "one", "{spec: {template: x}, metadata: {labels: {a: 1}}}",
       "failed to create typed patch object (/; apps/v1, Kind=Deployment): errors:\n  "
       ".spec.template: expected map, "
       "got &{x}\n  .metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}",
       NULL}}},
    {"a list with an item twice can be applied to, the item stays",
     POD,
     {{UPDATE, "x",
       "{spec: {containers: [{name: c, env: [{name: E, value: a}, {name: E, value: b}, {name: F, "
       "value: "
       "c}]}]}}",
       NULL, NULL},
      {APPLY, "one", "{spec: {containers: [{name: c, env: [{name: F, value: c}]}]}}",
       "{spec: {containers: [{name: c, env: [{name: E, value: a}, {name: E, value: b}, {name: F, "
       "value: c}]}]}}",
       NULL}}},
    {"an item of which only the place is owned does not take its neighbours along",
     POD,
     {{UPDATE, "x", "{spec: {containers: [{name: c}, {name: c, image: i}]}}", NULL, NULL},
      {UPDATE, "y", "{spec: {containers: [{name: c, image: i}, {name: d}]}}", NULL,
       "{y/Update: {f:spec: {f:containers: {'k:{\"name\":\"c\"}': {}, 'k:{\"name\":\"d\"}': "
       "{.: {}, f:name: {}, f:resources: {}}}}}}"},
      {FORCE, "one", "{spec: {containers: [{name: d, image: x}]}}",
       "{spec: {containers: [{name: c, image: i}, {name: d, image: x}]}}", NULL},
      {FORCE, "one", "{spec: {containers: [{name: d, image: x}]}}",
       "{spec: {containers: [{name: c, image: i}, {name: d, image: x}]}}", NULL}}},
    {"quantities are what is stored after the apply",
     POD,
     {{APPLY, "one",
       "{spec: {containers: [{name: c, resources: {requests: {cpu: 0.5, memory: 1024Mi}}}]}}",
       "{spec: {containers: [{name: c, resources: {requests: {cpu: 500m, memory: 1Gi}}}]}}", NULL},
      {APPLY, "two", "{spec: {containers: [{name: c, resources: {requests: {cpu: 500m}}}]}}", NULL,
       NULL}}},
    {"null applied to a map of others keeps it, to a scalar clears it",
     DEPLOYMENT,
     {{UPDATE, "x", "{metadata: {labels: {a: b}}, spec: {paused: true, minReadySeconds: 4}}", NULL,
       NULL},
      {FORCE, "one", "{metadata: {labels: null}, spec: {minReadySeconds: null}}",
       "{metadata: {labels: {a: b}}, spec: {paused: true, minReadySeconds: null}}", NULL}}},
    {"kubectl takes over what client-side apply wrote",
     CM,
     {{UPDATE, "kubectl-client-side-apply",
       "{metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: "
       "'{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":{\"a\":\"1\",\"b\":\"2\"}}'}}, "
       "data: {a: '1', b: '2'}}",
       NULL, NULL},
      {APPLY, "kubectl", "{apiVersion: v1, kind: ConfigMap, data: {a: '9', b: '2'}}",
       "{data: {a: '9', b: '2'}, metadata: {annotations: "
       "{kubectl.kubernetes.io/last-applied-configuration: "
       "\"{\\\"apiVersion\\\":\\\"v1\\\",\\\"data\\\":{\\\"a\\\":\\\"9\\\",\\\"b\\\":\\\"2\\\"},"
       "\\\"kind\\\":"
       "\\\"ConfigMap\\\"}\\n\"}}}",
       NULL},
      {UPDATE, "editor",
       "{metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: "
       "'{\"apiVersion\":"
       "\"v1\",\"data\":{\"a\":\"9\"},\"kind\":\"ConfigMap\"}'}}, data: {a: '5', b: '2'}}",
       NULL, NULL},
      {APPLY, "kubectl", "{apiVersion: v1, kind: ConfigMap, data: {a: '6', b: '2'}}",
       "\"editor\" using v1: .data.a\n", NULL}}},
};

/* ---- running them ---- */

struct world {
    struct arena a;
    const struct schema_message *m;
    void *object;
    int64_t now;
};

static yyjson_val *yaml(struct arena *a, const char *text)
{
    yyjson_val **docs;
    size_t n;
    struct error err;
    if (yaml_read(a, str_from(text), &docs, &n, &err) < 0 || n != 1)
        fail_msg("%s: %s", text, err.message);
    return docs[0];
}

/* Every member of `want` is in `got`; null: it is not there, or empty. */
static bool includes(yyjson_val *got, yyjson_val *want)
{
    size_t i, max;
    yyjson_val *key, *v;
    char where[2000] = "";
    if (!yyjson_is_obj(want)) {
        if (!yyjson_is_arr(want) || !yyjson_is_arr(got))
            return json_value_equal(got, want, where, sizeof where);
        if (yyjson_arr_size(got) != yyjson_arr_size(want))
            return false;
        yyjson_arr_foreach (want, i, max, v)
            if (!includes(yyjson_arr_get(got, i), v))
                return false;
        return true;
    }
    yyjson_obj_foreach (want, i, max, key, v) {
        yyjson_val *have = yyjson_obj_get(got, yyjson_get_str(key));
        if (yyjson_is_null(v) ? have && !yyjson_is_null(have) : !have || !includes(have, v))
            return false;
    }
    return true;
}

static struct str json_of(struct world *w)
{
    struct buf b;
    buf_init(&b);
    json_encode(w->object, JSON_DEFAULT, &b);
    struct str s = arena_copy(&w->a, buf_str(&b));
    buf_free(&b);
    return s;
}

static struct str owners_of(struct world *w)
{
    const Meta__V1__ObjectMeta *meta = object_meta(w->object);
    struct buf b;
    buf_init(&b);
    buf_append_char(&b, '{');
    for (size_t i = 0; i < meta->n_managed_fields; i++) {
        const Meta__V1__ManagedFieldsEntry *e = meta->managed_fields[i];
        buf_printf(&b, "%s\"%s/%s%s%s\":%.*s", i ? "," : "", e->manager, e->operation,
                   *e->subresource ? "/" : "", e->subresource, (int)e->fields_v1->raw.len,
                   (const char *)e->fields_v1->raw.data);
    }
    buf_append_char(&b, '}');
    struct str s = arena_copy(&w->a, buf_str(&b));
    buf_free(&b);
    return s;
}

static void *decoded(struct world *w, const char *text)
{
    void *object;
    struct error err;
    if (json_decode_value(&w->a, w->m, yaml(&w->a, text), NULL, &object, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    return object;
}

/* "" or the conflicts or the error, as text. */
static const char *apply_step(struct world *w, const struct step *s)
{
    struct error err = {0};
    struct apply ap = {.a = &w->a,
                       .m = w->m,
                       .who = {s->manager, "", ++w->now},
                       .force = s->op == FORCE,
                       .live = w->object,
                       .config = yaml(&w->a, s->text)};
    int rc = apply_run(&ap, &err);
    if (rc == 0) {
        w->object = ap.object;
        return "";
    }
    if (rc != ERR_CONFLICT)
        return arena_strdup(&w->a, err.message);
    const char *text = "";
    for (size_t i = 0; i < ap.conflicts_len; i++)
        text =
            arena_printf(&w->a, "%s%s: %s\n", text, ap.conflicts[i].manager, ap.conflicts[i].field);
    return text;
}

static void run_step(struct world *w, const struct scenario *c, size_t i)
{
    const struct step *s = &c->steps[i];
    const char *got = "";
    if (s->op == APPLY || s->op == FORCE) {
        got = apply_step(w, s);
    } else {
        struct field_manager who = {s->manager, s->op == STATUS ? "status" : "", ++w->now};
        void *now = decoded(w, s->text);
        if (object_meta(now)->n_managed_fields == 0 && w->object &&
            !object_meta(now)->managed_fields)
            object_meta(now)->managed_fields = NULL;
        managed_fields_record(&w->a, &who, w->object, now);
        w->object = now;
    }
    bool wants_object = s->want && *s->want == '{';
    if (!wants_object && strcmp(got, s->want ? s->want : "") != 0)
        fail_msg("%s, step %zu: got\n%s\nwant\n%s", c->name, i + 1, got, s->want ? s->want : "");
    if (wants_object) {
        yyjson_val *have;
        struct str json = json_of(w);
        assert_int_equal(json_read(&w->a, json, &have, NULL), 0);
        if (*got || !includes(have, yaml(&w->a, s->want)))
            fail_msg("%s, step %zu: %s\n%.*s\nlacks %s", c->name, i + 1, got, STR_ARG(json),
                     s->want);
    }
    if (s->owners) {
        struct buf want;
        buf_init(&want);
        size_t n;
        char *text = yyjson_val_write(yaml(&w->a, s->owners), 0, &n);
        assert_json_equal(arena_printf(&w->a, "%s, step %zu", c->name, i + 1), owners_of(w),
                          str_make(text, n));
        free(text);
        buf_free(&want);
    }
}

static void test_scenarios(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        struct world w = {.m = schema_get(scenarios[i].message)};
        arena_init(&w.a);
        for (size_t k = 0; k < SCENARIO_STEPS_MAX && scenarios[i].steps[k].op != END; k++)
            run_step(&w, &scenarios[i], k);
        arena_free(&w.a);
    }
}

/* ---- entries ---- */

static const Meta__V1__ManagedFieldsEntry *entry(struct world *w, const char *manager)
{
    const Meta__V1__ObjectMeta *meta = object_meta(w->object);
    for (size_t i = 0; i < meta->n_managed_fields; i++)
        if (strcmp(meta->managed_fields[i]->manager, manager) == 0)
            return meta->managed_fields[i];
    return NULL;
}

static void update(struct world *w, const char *manager, const char *text)
{
    struct field_manager who = {manager, "", ++w->now};
    void *now = decoded(w, text);
    managed_fields_record(&w->a, &who, w->object, now);
    w->object = now;
}

/* Eleven updaters: the two oldest become one. */
static void test_updaters_are_capped(void **state)
{
    (void)state;
    struct world w = {.m = schema_get(CM)};
    arena_init(&w.a);
    const char *data = "";
    for (int i = 0; i < 13; i++) {
        data = arena_printf(&w.a, "%sk%d: v, ", data, i);
        update(&w, arena_printf(&w.a, "m%d", i), arena_printf(&w.a, "{data: {%s}}", data));
        assert_true(object_meta(w.object)->n_managed_fields <= MANAGED_UPDATERS_MAX);
    }
    assert_int_equal(object_meta(w.object)->n_managed_fields, MANAGED_UPDATERS_MAX);
    const Meta__V1__ManagedFieldsEntry *e = entry(&w, MANAGED_ANCIENT);
    assert_non_null(e);
    assert_json_equal(
        "ancient", str_make(e->fields_v1->raw.data, e->fields_v1->raw.len),
        STR("{\"f:data\":{\".\":{},\"f:k0\":{},\"f:k1\":{},\"f:k2\":{},\"f:k3\":{}}}"));
    assert_null(entry(&w, "m0"));
    assert_non_null(entry(&w, "m4"));
    arena_free(&w.a);
}

/* Only who changed something gets a new time; appliers come first, then by time. */
static void test_times_and_order(void **state)
{
    (void)state;
    struct world w = {.m = schema_get(CM)};
    arena_init(&w.a);
    update(&w, "b", "{data: {a: '1'}}");
    update(&w, "a", "{data: {a: '1', b: '2'}}");
    apply_step(&w, &(struct step){APPLY, "z", "{data: {c: '3'}}", NULL, NULL});
    const Meta__V1__ObjectMeta *meta = object_meta(w.object);
    assert_int_equal(meta->n_managed_fields, 3);
    assert_string_equal(meta->managed_fields[0]->manager, "z");
    assert_string_equal(meta->managed_fields[1]->manager, "b");
    assert_string_equal(meta->managed_fields[2]->manager, "a");
    assert_int_equal(entry(&w, "b")->time->seconds, 1);
    void *before = w.object;
    update(&w, "b", "{data: {a: '1', b: '2', c: '3'}}"); /* changes nothing */
    assert_int_equal(entry(&w, "b")->time->seconds, 1);
    assert_true(managed_fields_same(object_meta(before), object_meta(w.object)));
    assert_string_equal(apply_step(&w, &(struct step){APPLY, "z", "{data: {c: '3'}}", NULL, NULL}),
                        "");
    assert_true(object_equal(before, w.object));
    update(&w, "b", "{data: {a: '2', b: '2', c: '3'}}");
    assert_int_equal(entry(&w, "b")->time->seconds, w.now);
    arena_free(&w.a);
}

/* An entry of another version is compared as that version sees the object. */
static void test_versions(void **state)
{
    (void)state;
    struct world w = {.m = schema_get(Autoscaling__V1__HorizontalPodAutoscaler__SCHEMA)};
    arena_init(&w.a);
    update(&w, "old",
           "{metadata: {managedFields: [{manager: new, operation: Update, apiVersion: "
           "autoscaling/v2, fieldsType: "
           "FieldsV1, fieldsV1: {f:spec: {f:maxReplicas: {}, f:minReplicas: {}}}}, {manager: gone, "
           "operation: Apply, "
           "apiVersion: autoscaling/v9, fieldsType: FieldsV1, fieldsV1: {f:spec: {f:maxReplicas: "
           "{}}}}]}, "
           "spec: {maxReplicas: 5, minReplicas: 2, scaleTargetRef: {kind: X, name: y}}}");
    w.object = object_clone(&w.a, w.object);
    update(&w, "old",
           "{spec: {maxReplicas: 6, minReplicas: 2, scaleTargetRef: {kind: X, name: y}}}");
    assert_null(entry(&w, "gone"));
    struct str left = owners_of(&w);
    assert_non_null(entry(&w, "old"));
    assert_true(!entry(&w, "new") ||
                !strstr(left.p, "\"new/Update\":{\"f:spec\":{\"f:maxReplicas\""));
    arena_free(&w.a);
}

/* ---- the walk over structs and the one over trees ---- */

static void assert_same_delta(struct world *w, const void *old, const void *now)
{
    struct typed_space s = {&w->a, json_doc_new(&w->a)};
    struct field_type type = field_type_of_message(w->m);
    struct field_delta structs, trees;
    struct typed *l, *r;
    struct error err;
    object_compare_fields(&w->a, old, now, &structs);
    const void *base = old ? old : object_new(&w->a, w->m);
    assert_int_equal(typed_new(&s, &type, json_tree(&w->a, s.doc, base), false, &l, &err), 0);
    assert_int_equal(typed_new(&s, &type, json_tree(&w->a, s.doc, now), false, &r, &err), 0);
    typed_compare(&s, l, r, &trees);
    assert_true(field_set_equal(structs.added, trees.added));
    assert_true(field_set_equal(structs.modified, trees.modified));
    assert_true(field_set_equal(structs.removed, trees.removed));
    if (!old)
        assert_true(field_set_equal(
            object_new_fields(&w->a, now),
            strip_identity(&w->a, field_set_union(&w->a, trees.modified, trees.added))));
}

static void test_structs_compare_as_their_trees(void **state)
{
    static const struct {
        int message;
        const char *old, *now;
    } cases[] = {
        {POD, "{metadata: {name: n, namespace: m, generateName: g, uid: u, generation: 2}}",
         "{metadata: {labels: {name: n}, creationTimestamp: '2026-01-01T00:00:00Z', "
         "resourceVersion: "
         "'7'}, status: {phase: Running}}"},
        {DEPLOYMENT, "{metadata: {name: n}}",
         "{metadata: {selfLink: s}, spec: {template: {metadata: {name: t, generation: 4}}}}"},
        {POD, "{}",
         "{spec: {volumes: [{name: a, emptyDir: {}}, {name: b, hostPath: {path: /x}}]}}"},
        {POD, "{spec: {volumes: [{name: a, emptyDir: {}}, {name: b, hostPath: {path: /x}}]}}",
         "{spec: {volumes: [{name: b, hostPath: {path: /y, type: File}}, {name: a, emptyDir: "
         "{medium: Memory}}]}}"},
        {POD,
         "{metadata: {ownerReferences: [{uid: a}, {uid: b}], annotations: {z: y, a: b}, "
         "finalizers: [b, a]}}",
         "{metadata: {ownerReferences: [{uid: b, name: n}], annotations: {a: c}, finalizers: [a, "
         "c]}}"},
        {POD,
         "{spec: {containers: [{name: c, env: [{name: E, value: a}, {name: E, value: b}], ports: "
         "[{containerPort: "
         "80}, {containerPort: 80, protocol: UDP}]}]}}",
         "{spec: {containers: [{name: c, livenessProbe: {httpGet: {port: 80}}, env: [{name: E, "
         "value: b}, {name: E, "
         "value: a}], ports: [{containerPort: 80, hostPort: 1}]}], topologySpreadConstraints: "
         "[{topologyKey: z, "
         "whenUnsatisfiable: DoNotSchedule}], imagePullSecrets: [{name: s}]}}"},
        {DEPLOYMENT,
         "{spec: {selector: {matchLabels: {a: b}}, template: {spec: {containers: [{name: c}]}}}}",
         "{spec: {strategy: {rollingUpdate: {maxSurge: 1}}, template: {metadata: {labels: {a: "
         "b}}}}}"},
        {CM, "{data: {a: '1', b: '2'}, binaryData: {x: AA==}, immutable: true}",
         "{data: {c: '3'}, binaryData: {x: AAA=}}"},
        {SERVICE,
         "{spec: {ports: [{port: 1}, {port: 2, protocol: UDP}], clusterIPs: [a], "
         "loadBalancerSourceRanges: [x]}}",
         "{spec: {ports: [{port: 1, targetPort: http}, {port: 3}], clusterIPs: [a, b], "
         "sessionAffinityConfig: {}}, "
         "status: {loadBalancer: {ingress: [{ip: x}]}}}"},
        {Core__V1__Node__SCHEMA,
         "{status: {capacity: {cpu: 1}, addresses: [{type: a, address: b}], conditions: [{type: "
         "R}]}}",
         "{status: {capacity: {cpu: 2, memory: 1Gi}, addresses: [{type: a, address: c}], "
         "conditions: [{type: R, "
         "status: 'True'}]}}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w = {.m = schema_get(cases[i].message)};
        arena_init(&w.a);
        void *old = decoded(&w, cases[i].old), *now = decoded(&w, cases[i].now);
        assert_same_delta(&w, NULL, old);
        assert_same_delta(&w, NULL, now);
        assert_same_delta(&w, old, now);
        assert_same_delta(&w, now, old);
        assert_same_delta(&w, now, now);
        arena_free(&w.a);
    }
}

/* ---- sets ---- */

static struct field_set *set_of(struct arena *a, const char *text)
{
    struct field_set *s;
    struct error err;
    size_t n;
    char *json = yyjson_val_write(yaml(a, text), 0, &n);
    if (field_set_parse(a, str_make(json, n), &s, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    free(json);
    return s;
}

static void test_sets(void **state)
{
    static const struct {
        const char *x, *y, *both, *common, *only_x, *trees;
    } cases[] = {
        {"{f:a: {}, f:b: {}}", "{f:b: {}, f:c: {}}", "{f:a: {}, f:b: {}, f:c: {}}", "{f:b: {}}",
         "{f:a: {}}", "{f:a: {}}"},
        {"{f:a: {.: {}, f:b: {}}}", "{f:a: {}}", "{f:a: {.: {}, f:b: {}}}", "{f:a: {}}",
         "{f:a: {f:b: {}}}", "{}"},
        {"{f:a: {}}", "{f:a: {f:b: {}}}", "{f:a: {.: {}, f:b: {}}}", "{}", "{f:a: {}}",
         "{f:a: {}}"},
        {"{}", "{'v:1': {}}", "{'v:1': {}}", "{}", "{}", "{}"},
        {"{'k:{\"a\":true,\"b\":0}': {}}", "{'k:{\"a\" : true, \"b\":0}': {}}",
         "{'k:{\"a\":true,\"b\":0}': {}}", "{'k:{\"a\":true,\"b\":0}': {}}", "{}", "{}"},
        {"{'k:{\"b\":1,\"a\":\"x\"}': {}}", "{'k:{\"a\":\"x\",\"b\":1}': {}}",
         "{'k:{\"a\":\"x\",\"b\":1}': {}}", "{'k:{\"a\":\"x\",\"b\":1}': {}}", "{}", "{}"},
    };
    (void)state;
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct field_set *x = set_of(&a, cases[i].x), *y = set_of(&a, cases[i].y);
        assert_true(field_set_equal(field_set_union(&a, x, y), set_of(&a, cases[i].both)));
        assert_true(field_set_equal(field_set_union(&a, y, x), set_of(&a, cases[i].both)));
        assert_true(field_set_equal(field_set_intersection(&a, x, y), set_of(&a, cases[i].common)));
        assert_true(field_set_equal(field_set_difference(&a, x, y), set_of(&a, cases[i].only_x)));
        assert_true(field_set_equal(field_set_without_trees(&a, x, y), set_of(&a, cases[i].trees)));
    }
    struct buf b;
    buf_init(&b);
    const char text[] = "{\"f:a\\\"\\u0001\":{},\"f:metadata\":{\".\":{},\"f:x/"
                        "y\":{}},\"f:z\":{\"k:{\\\"n\\\":\\\"v\\\"}\":{}}}";
    struct field_set *s;
    struct error err;
    assert_int_equal(field_set_parse(&a, STR(text), &s, &err), 0);
    field_set_write(s, &b);
    assert_string_equal(buf_cstr(&b), text);
    buf_free(&b);
    static const char *const bad[] = {"[]",           "{\"f:a\":1}",   "{\"x:a\":{}}", "{\"f\":{}}",
                                      "{\"k:1\":{}}", "{\"k:{}\":{}}", "{\"v:\":{}}",  "{"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(field_set_parse(&a, str_from(bad[i]), &s, &err), 0);
    arena_free(&a);
}

/* ---- scale ---- */

static Meta__V1__ObjectMeta *meta_with(struct arena *a, const char *owners)
{
    Meta__V1__ObjectMeta *meta = api_new(a, Meta__V1__ObjectMeta);
    size_t i, max, n;
    yyjson_val *key, *v;
    yyjson_obj_foreach (yaml(a, owners), i, max, key, v) {
        struct str text = str_from(yyjson_get_str(key)), part[4] = {0};
        for (size_t k = 0; k < 4 && str_split(&text, ' ', &part[k]); k++)
            ;
        char *fields = yyjson_val_write(v, 0, &n);
        Meta__V1__ManagedFieldsEntry *e = api_new(a, Meta__V1__ManagedFieldsEntry);
        e->manager = arena_strndup(a, part[0].p, part[0].n);
        e->operation = arena_strndup(a, part[1].p, part[1].n);
        e->api_version = arena_strndup(a, part[2].p, part[2].n);
        e->subresource = part[3].n ? arena_strndup(a, part[3].p, part[3].n) : (char *)"";
        e->fields_type = (char *)"FieldsV1";
        e->fields_v1 = api_new(a, Meta__V1__FieldsV1);
        e->fields_v1->has_raw = 1;
        e->fields_v1->raw = (ProtobufCBinaryData){n, arena_dup(a, fields, n)};
        free(fields);
        api_append(a, meta, managed_fields, e);
    }
    return meta;
}

static void check_owners(struct arena *a, const char *what, const Meta__V1__ObjectMeta *meta,
                         const char *want)
{
    struct buf b;
    size_t n;
    buf_init(&b);
    buf_append_char(&b, '{');
    for (size_t i = 0; i < meta->n_managed_fields; i++) {
        const Meta__V1__ManagedFieldsEntry *e = meta->managed_fields[i];
        buf_printf(&b, "%s\"%s %s %s%s%s\":%.*s", i ? "," : "", e->manager, e->operation,
                   e->api_version, *e->subresource ? " " : "", e->subresource,
                   (int)e->fields_v1->raw.len, (const char *)e->fields_v1->raw.data);
    }
    buf_append_char(&b, '}');
    char *text = yyjson_val_write(yaml(a, want), 0, &n);
    assert_json_equal(what, buf_str(&b), str_make(text, n));
    free(text);
    buf_free(&b);
}

#define REPLICAS "{f:spec: {f:replicas: {}}}"

static void test_scale(void **state)
{
    static const struct {
        const char *name, *parent, *as_scale, *scale, *after;
    } cases[] = {
        {"owners of the replicas, whatever their version, and nobody else",
         "{a Apply apps/v1: {f:spec: {f:replicas: {}, f:selector: {}}}, b Update "
         "apps/v1beta1: " REPLICAS
         ", c Update apps/v1: {f:spec: {f:selector: {}}}, d Update odd/v1: " REPLICAS "}",
         "{a Apply autoscaling/v1: " REPLICAS ", b Update autoscaling/v1: " REPLICAS "}",
         "{a Apply autoscaling/v1: " REPLICAS ", b Update autoscaling/v1: " REPLICAS "}",
         "{a Apply apps/v1: {f:spec: {f:replicas: {}, f:selector: {}}}, b Update "
         "apps/v1beta1: " REPLICAS ", c Update apps/v1: {f:spec: {f:selector: {}}}}"},
        {"who takes them is an owner, and who had them keeps the rest",
         "{a Apply apps/v1: {f:spec: {f:replicas: {}, f:selector: {}}}, b Update apps/v1: " REPLICAS
         "}",
         "{a Apply autoscaling/v1: " REPLICAS ", b Update autoscaling/v1: " REPLICAS "}",
         "{hpa Apply autoscaling/v1 scale: " REPLICAS "}",
         "{a Apply apps/v1: {f:spec: {f:selector: {}}}, hpa Apply apps/v1 scale: " REPLICAS "}"},
        {"shared ones are shared, and the rest of a scale is nobody's",
         "{a Apply apps/v1: " REPLICAS "}", "{a Apply autoscaling/v1: " REPLICAS "}",
         "{a Apply autoscaling/v1: " REPLICAS
         ", hpa Apply autoscaling/v1 scale: {f:spec: {f:replicas: {}}, f:status: {f:replicas: "
         "{}}}, odd Apply "
         "autoscaling/v1 scale: {f:status: {f:replicas: {}}}}",
         "{a Apply apps/v1: " REPLICAS ", hpa Apply apps/v1 scale: " REPLICAS "}"},
        {"elsewhere in another version",
         "{a Apply apps/v2: {f:spec: {f:size: {f:count: {}, f:other: {}}}}, b Apply "
         "apps/v2: " REPLICAS "}",
         "{a Apply autoscaling/v1: " REPLICAS "}", "{hpa Apply autoscaling/v1 scale: " REPLICAS "}",
         "{a Apply apps/v2: {f:spec: {f:size: {f:other: {}}}}, b Apply apps/v2: " REPLICAS
         ", hpa Apply apps/v1 scale: " REPLICAS "}"},
    };
    static const struct scale_path paths[] = {{"apps/v1", SCALE_REPLICAS},
                                              {"apps/v1beta1", SCALE_REPLICAS},
                                              {"apps/v2", "spec.size.count"},
                                              {"apps/v3", NULL}};
    (void)state;
    struct arena a;
    struct error err;
    arena_init(&a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Meta__V1__ObjectMeta *parent = meta_with(&a, cases[i].parent),
                             *scale = api_new(&a, Meta__V1__ObjectMeta);
        assert_int_equal(managed_fields_to_scale(&a, parent, paths, 4, scale, &err), 0);
        check_owners(&a, cases[i].name, scale, cases[i].as_scale);
        assert_int_equal(managed_fields_from_scale(&a, meta_with(&a, cases[i].scale), paths, 4,
                                                   "apps/v1", parent, &err),
                         0);
        check_owners(&a, cases[i].name, parent, cases[i].after);
    }
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_updaters_are_capped),
        cmocka_unit_test(test_times_and_order),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_structs_compare_as_their_trees),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
