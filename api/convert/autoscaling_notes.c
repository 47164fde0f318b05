/*
 * What an autoscaler of autoscaling/v1 says in annotations, as published: the metrics, statuses, conditions and behavior
 * that v1 has no members for. The metrics there are of v1's own, flatter form:
 *
 *     v2  {type: Pods, pods: {metric: {name: rate}, target: {averageValue: 5}}}
 *     v1  {type: Pods, pods: {metricName: rate, targetAverageValue: 5}}
 */
#include "api/codec.h"
#include "api/convert/internal.h"
#include "api/custom/custom.h"
#include "api/meta.h"
#include "proto/autoscaling_v2.pb-c.h"
#include <ctype.h>
#include <stdlib.h>

#define METRICS "autoscaling.alpha.kubernetes.io/metrics"
#define STATUSES "autoscaling.alpha.kubernetes.io/current-metrics"
#define CONDITIONS "autoscaling.alpha.kubernetes.io/conditions"
#define BEHAVIOR "autoscaling.alpha.kubernetes.io/behavior"

typedef Autoscaling__V2__HorizontalPodAutoscaler V2;

/* A member of a source of metrics in both forms. */
struct name {
    const char *source, *v2, *v1;
    bool must; /* v1 says 0 where v2 says nothing */
};

static const struct name spec_names[] = {
    {"object", "describedObject", "target", false},
    {"object", "metric.name", "metricName", false},
    {"object", "target.value", "targetValue", true},
    {"object", "metric.selector", "selector", false},
    {"object", "target.averageValue", "averageValue", false},
    {"pods", "metric.name", "metricName", false},
    {"pods", "target.averageValue", "targetAverageValue", true},
    {"pods", "metric.selector", "selector", false},
    {"resource", "name", "name", false},
    {"resource", "target.averageUtilization", "targetAverageUtilization", false},
    {"resource", "target.averageValue", "targetAverageValue", false},
    {"containerResource", "name", "name", false},
    {"containerResource", "target.averageUtilization", "targetAverageUtilization", false},
    {"containerResource", "target.averageValue", "targetAverageValue", false},
    {"containerResource", "container", "container", false},
    {"external", "metric.name", "metricName", false},
    {"external", "metric.selector", "metricSelector", false},
    {"external", "target.value", "targetValue", false},
    {"external", "target.averageValue", "targetAverageValue", false},
    {NULL, NULL, NULL, false},
};

static const struct name status_names[] = {
    {"object", "describedObject", "target", false},
    {"object", "metric.name", "metricName", false},
    {"object", "current.value", "currentValue", true},
    {"object", "metric.selector", "selector", false},
    {"object", "current.averageValue", "averageValue", false},
    {"pods", "metric.name", "metricName", false},
    {"pods", "current.averageValue", "currentAverageValue", true},
    {"pods", "metric.selector", "selector", false},
    {"resource", "name", "name", false},
    {"resource", "current.averageUtilization", "currentAverageUtilization", false},
    {"resource", "current.averageValue", "currentAverageValue", true},
    {"containerResource", "name", "name", false},
    {"containerResource", "current.averageUtilization", "currentAverageUtilization", false},
    {"containerResource", "current.averageValue", "currentAverageValue", true},
    {"containerResource", "container", "container", false},
    {"external", "metric.name", "metricName", false},
    {"external", "metric.selector", "metricSelector", false},
    {"external", "current.value", "currentValue", true},
    {"external", "current.averageValue", "currentAverageValue", false},
    {NULL, NULL, NULL, false},
};

/* ---- one metric ---- */

static void put(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *path, yyjson_mut_val *v)
{
    custom_path_set(doc, o, path, yyjson_mut_val_mut_copy(doc, v));
}

static yyjson_mut_val *metric_to_v1(yyjson_mut_doc *doc, yyjson_mut_val *metric,
                                    const struct name *names)
{
    yyjson_mut_val *out = yyjson_mut_obj(doc), *type = yyjson_mut_obj_get(metric, "type");
    if (type)
        put(doc, out, "type", type);
    for (const struct name *n = names; n->source; n++) {
        yyjson_mut_val *from = yyjson_mut_obj_get(metric, n->source), *v;
        if (!yyjson_mut_is_obj(from))
            continue;
        if (!yyjson_mut_obj_get(out, n->source))
            yyjson_mut_obj_add_val(doc, out, n->source, yyjson_mut_obj(doc));
        yyjson_mut_val *to = yyjson_mut_obj_get(out, n->source);
        if ((v = custom_path_get(from, n->v2)))
            put(doc, to, n->v1, v);
        else if (n->must)
            put(doc, to, n->v1, yyjson_mut_str(doc, "0"));
    }
    return out;
}

/* What v1 does not say: it follows from which targets are given. */
static const char *target_type(yyjson_mut_val *to, const char *source)
{
    bool average = custom_path_get(to, "target.averageValue") != NULL;
    if (strcmp(source, "object") == 0)
        return average ? "AverageValue" : "Value";
    if (strcmp(source, "external") == 0)
        return custom_path_get(to, "target.value") ? "Value" : "AverageValue";
    if (strcmp(source, "pods") == 0 || !custom_path_get(to, "target.averageUtilization"))
        return "AverageValue";
    return "Utilization";
}

static yyjson_mut_val *metric_to_v2(yyjson_mut_doc *doc, yyjson_mut_val *metric,
                                    const struct name *names)
{
    yyjson_mut_val *out = yyjson_mut_obj(doc), *type = yyjson_mut_obj_get(metric, "type");
    if (type)
        put(doc, out, "type", type);
    for (const struct name *n = names; n->source; n++) {
        yyjson_mut_val *from = yyjson_mut_obj_get(metric, n->source);
        yyjson_mut_val *v = yyjson_mut_is_obj(from) ? yyjson_mut_obj_get(from, n->v1) : NULL;
        if (!v || (n->must && yyjson_mut_equals_str(v, "0")))
            continue;
        if (!yyjson_mut_obj_get(out, n->source))
            yyjson_mut_obj_add_val(doc, out, n->source, yyjson_mut_obj(doc));
        put(doc, yyjson_mut_obj_get(out, n->source), n->v2, v);
    }
    if (names != spec_names)
        return out;
    for (const struct name *n = names; n->source; n++) {
        yyjson_mut_val *to = yyjson_mut_obj_get(out, n->source);
        if (to && !custom_path_get(to, "target.type"))
            put(doc, to, "target.type", yyjson_mut_str(doc, target_type(to, n->source)));
    }
    return out;
}

/* Upstream writes the behavior by the names of its own structs, which begin with capitals. */
static yyjson_mut_val *recased(yyjson_mut_doc *doc, yyjson_mut_val *v, int (*first)(int))
{
    size_t i, max;
    yyjson_mut_val *key, *item;
    if (yyjson_mut_is_arr(v)) {
        yyjson_mut_val *out = yyjson_mut_arr(doc);
        yyjson_mut_arr_foreach (v, i, max, item)
            yyjson_mut_arr_append(out, recased(doc, item, first));
        return out;
    }
    if (!yyjson_mut_is_obj(v))
        return yyjson_mut_val_mut_copy(doc, v);
    yyjson_mut_val *out = yyjson_mut_obj(doc);
    yyjson_mut_obj_foreach (v, i, max, key, item) {
        yyjson_mut_val *name =
            yyjson_mut_strncpy(doc, yyjson_mut_get_str(key), yyjson_mut_get_len(key));
        char *text = (char *)yyjson_mut_get_str(name);
        text[0] = (char)first((unsigned char)text[0]);
        yyjson_mut_obj_add(out, name, recased(doc, item, first));
    }
    return out;
}

/* ---- to annotations ---- */

static void drop_notes(struct arena *a, Meta__V1__ObjectMeta *meta)
{
    meta->annotations =
        arena_dup(a, meta->annotations, meta->n_annotations * sizeof *meta->annotations);
    annotations_remove(meta, METRICS);
    annotations_remove(meta, STATUSES);
    annotations_remove(meta, CONDITIONS);
    annotations_remove(meta, BEHAVIOR);
}

static void note(struct arena *a, Meta__V1__ObjectMeta *meta, const char *key, yyjson_mut_val *v)
{
    size_t n;
    char *text = yyjson_mut_val_write(v, 0, &n);
    if (text)
        annotations_set(a, meta, key, arena_strndup(a, text, n));
    free(text);
}

void autoscaler_notes_write(struct arena *a, const void *object, bool (*has_member)(const void *),
                            Meta__V1__ObjectMeta *meta)
{
    const V2 *from = object;
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_mut_val *tree = json_tree(a, doc, from), *v;
    yyjson_mut_val *metrics = yyjson_mut_arr(doc), *statuses = yyjson_mut_arr(doc);
    size_t i, max;
    drop_notes(a, meta);
    yyjson_mut_val *list = custom_path_get(tree, "spec.metrics");
    yyjson_mut_arr_foreach (list, i, max, v)
        if (!has_member(from->spec->metrics[i]))
            yyjson_mut_arr_append(metrics, metric_to_v1(doc, v, spec_names));
    list = custom_path_get(tree, "status.currentMetrics");
    yyjson_mut_arr_foreach (list, i, max, v)
        yyjson_mut_arr_append(statuses, metric_to_v1(doc, v, status_names));
    if (yyjson_mut_arr_size(metrics))
        note(a, meta, METRICS, metrics);
    if (yyjson_mut_arr_size(statuses))
        note(a, meta, STATUSES, statuses);
    if (from->spec->behavior)
        note(a, meta, BEHAVIOR, recased(doc, custom_path_get(tree, "spec.behavior"), toupper));
    if (from->status->n_conditions)
        note(a, meta, CONDITIONS, custom_path_get(tree, "status.conditions"));
}

/* ---- from annotations ---- */

static yyjson_mut_val *read_note(struct arena *a, yyjson_mut_doc *doc,
                                 const Meta__V1__ObjectMeta *meta, const char *key)
{
    const char *text = annotations_get(meta, key);
    yyjson_val *v;
    if (!text || json_read(a, str_from(text), &v, NULL) < 0)
        return NULL;
    return yyjson_val_mut_copy(doc, v);
}

/* An object with that one member; NULL: it makes no sense (clients write what they like). */
static V2 *object_with(struct arena *a, yyjson_mut_doc *doc, const char *path, yyjson_mut_val *v)
{
    yyjson_mut_val *tree = yyjson_mut_obj(doc);
    size_t n;
    void *out = NULL;
    custom_path_set(doc, tree, path, v);
    char *text = yyjson_mut_val_write(tree, 0, &n);
    if (!text || json_decode(a, schema_get(Autoscaling__V2__HorizontalPodAutoscaler__SCHEMA),
                             str_make(text, n), NULL, &out, NULL) < 0)
        out = NULL;
    free(text);
    return out;
}

static V2 *read_metrics(struct arena *a, const Meta__V1__ObjectMeta *meta, const char *key,
                        const char *path, const struct name *names)
{
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_mut_val *list = read_note(a, doc, meta, key), *out = yyjson_mut_arr(doc), *v;
    size_t i, max;
    if (!yyjson_mut_is_arr(list))
        return NULL;
    yyjson_mut_arr_foreach (list, i, max, v)
        yyjson_mut_arr_append(out, metric_to_v2(doc, v, names));
    return object_with(a, doc, path, out);
}

void autoscaler_notes_read(struct arena *a, void *object)
{
    V2 *to = object, *said;
    const Meta__V1__ObjectMeta *meta = to->metadata;
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_mut_val *v;
    if ((said = read_metrics(a, meta, METRICS, "spec.metrics", spec_names)))
        for (size_t i = 0; i < said->spec->n_metrics; i++)
            api_append(a, to->spec, metrics, said->spec->metrics[i]);
    if ((said = read_metrics(a, meta, STATUSES, "status.currentMetrics", status_names))) {
        to->status->current_metrics = said->status->current_metrics;
        to->status->n_current_metrics = said->status->n_current_metrics;
    }
    if ((v = read_note(a, doc, meta, BEHAVIOR)) &&
        (said = object_with(a, doc, "spec.behavior", recased(doc, v, tolower))))
        to->spec->behavior = said->spec->behavior;
    if ((v = read_note(a, doc, meta, CONDITIONS)) &&
        (said = object_with(a, doc, "status.conditions", v))) {
        to->status->conditions = said->status->conditions;
        to->status->n_conditions = said->status->n_conditions;
    }
    drop_notes(a, to->metadata);
}
