/*
 * Views of custom objects: see view.h.
 */
#include "apiserver/custom/view.h"
#include "api/codec.h"
#include "api/jsonpath.h"
#include "api/meta.h"
#include "base/clock.h"
#include <math.h>
#include <stdlib.h>

/* ---- tables ---- */

static bool number_value(yyjson_val *v, double *out)
{
    if (!yyjson_is_raw(v))
        return false;
    *out = strtod(yyjson_get_raw(v), NULL);
    return isfinite(*out);
}

static void print_date(struct cells *c, yyjson_val *v)
{
    int64_t seconds;
    int32_t nanos;
    if (!yyjson_is_str(v))
        cell_null(c);
    else if (clock_parse_rfc3339(yyjson_get_str(v), yyjson_get_len(v), &seconds, &nanos))
        cell_string(c, cell_age(c, seconds));
    else
        cell_string(c, "<invalid>");
}

static void print_text(struct cells *c, yyjson_val *v)
{
    struct buf b;
    buf_init(&b);
    jsonpath_print(v, &b);
    cell_string(c, buf_cstr(&b));
    buf_free(&b);
}

static void print_value(struct cells *c, const char *type, yyjson_val *v)
{
    double number;
    if (strcmp(type, "string") == 0)
        print_text(c, v);
    else if (strcmp(type, "date") == 0)
        print_date(c, v);
    else if (strcmp(type, "integer") == 0 && number_value(v, &number) && fabs(number) < 9e18)
        cell_int(c, (int64_t)number);
    else if (strcmp(type, "number") == 0 && number_value(v, &number))
        cell_raw(c, yyjson_get_raw(v));
    else if (strcmp(type, "boolean") == 0 && yyjson_is_bool(v))
        cell_bool(c, yyjson_get_bool(v));
    else
        cell_null(c);
}

bool table_print_custom(struct cells *c, const void *object)
{
    const struct custom_version *v = custom_of_message(schema_of(object));
    struct buf text;
    struct error err;
    yyjson_val *root = NULL, **values;
    if (!v)
        return false;
    buf_init(&text);
    json_encode(object, JSON_DEFAULT, &text);
    int rc = json_read(c->a, buf_str(&text), &root, &err);
    buf_free(&text);
    cell_string(c, object_meta(object)->name);
    for (size_t i = 0; v->column_paths[i]; i++) {
        size_t n = 0;
        if (rc < 0 || jsonpath_find(c->a, v->column_paths[i], root, &values, &n, &err) < 0 || !n ||
            yyjson_is_null(values[0]))
            cell_null(c);
        else
            print_value(c, v->resource.columns[i + 1].type, values[0]);
    }
    return true;
}

/* ---- scales ---- */

static int32_t replicas_at(yyjson_mut_val *root, const char *path, int32_t absent)
{
    yyjson_mut_val *v = custom_path_get(root, path);
    int64_t n = 0;
    if (!v)
        return absent;
    if (yyjson_mut_is_raw(v))
        str_to_i64(str_make(yyjson_mut_get_raw(v), yyjson_mut_get_len(v)), &n);
    return n > INT32_MAX ? INT32_MAX : n < INT32_MIN ? INT32_MIN : (int32_t)n;
}

Autoscaling__V1__Scale *custom_scale_of(struct arena *a, const void *object)
{
    const struct custom_version *v = custom_of_message(schema_of(object));
    if (!v)
        return NULL;
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_mut_val *root = custom_body(a, doc, object);
    Autoscaling__V1__Scale *scale = api_new(a, Autoscaling__V1__Scale);
    scale->metadata->name = meta->name;
    scale->metadata->namespace_ = meta->namespace_;
    scale->metadata->uid = meta->uid;
    scale->metadata->resource_version = meta->resource_version;
    scale->metadata->creation_timestamp = meta->creation_timestamp;
    scale->spec->replicas = replicas_at(root, v->scale.spec_replicas, SCALE_NO_REPLICAS);
    scale->status->replicas = replicas_at(root, v->scale.status_replicas, 0);
    yyjson_mut_val *selector =
        *v->scale.label_selector ? custom_path_get(root, v->scale.label_selector) : NULL;
    if (yyjson_mut_is_str(selector))
        scale->status->selector = arena_strdup(a, yyjson_mut_get_str(selector));
    return scale;
}

void *custom_scaled(struct arena *a, const void *object, int32_t replicas)
{
    const struct custom_version *v = custom_of_message(schema_of(object));
    if (!v)
        return NULL;
    CustomObject *o = object_clone(a, object);
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_mut_val *root = custom_body(a, doc, o);
    custom_path_set(doc, root, v->scale.spec_replicas, yyjson_mut_sint(doc, replicas));
    custom_set_body(a, o, root);
    return o;
}
