/*
 * Tables: what `kubectl get` prints. Columns come from the schema (struct column), cells from the
 * printers in table_*.c, one per kind; kinds without one print name and age.
 */
#ifndef C8S_APISERVER_TABLE_TABLE_H
#define C8S_APISERVER_TABLE_TABLE_H

#include "api/codec.h"
#include "proto/autoscaling_v1.pb-c.h"

struct rest;
struct status;

enum table_include { TABLE_METADATA, TABLE_OBJECT, TABLE_NONE };

struct table_options {
    enum table_include include;
    bool v1beta1;
    bool no_headers; /* leave columnDefinitions out: a watch has them in its first event only */
    int64_t now_s;
};

/* includeObject from the query, version from Accept. */
struct table_options table_options(const struct rest *rq);
/* NULL, or the 400 for an includeObject that is none. */
struct status *table_options_check(const struct rest *rq);

/* A table of one object. JSON without a final newline. */
int table_write_object(const struct resource *r, struct str stored, int64_t revision,
                       struct table_options options, struct buf *out, struct error *err);

/* The same of what the subresource `scale` shows. */
void table_write_scale(struct arena *a, const Autoscaling__V1__Scale *scale,
                       struct table_options options, struct buf *out);

/* A table of many. */
struct table_writer {
    const struct resource *r;
    struct table_options options;
    struct buf *out;
    size_t count;
};
void table_begin(struct table_writer *w, const struct resource *r, struct table_options options,
                 struct buf *out);
int table_add(struct table_writer *w, struct str stored, int64_t revision, struct error *err);
/* Metadata comes last. */
void table_end(struct table_writer *w, int64_t revision, const char *continue_token,
               int64_t remaining);

/* ---- for the printers ---- */

struct cells {
    struct buf *out;
    struct arena *a;
    int64_t now_s;
    bool any;
    size_t count;
};

void cell_string(struct cells *c, const char *s);
void cell_printf(struct cells *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cell_int(struct cells *c, int64_t v);
void cell_raw(struct cells *c, const char *json); /* a number as it is written */
void cell_bool(struct cells *c, bool v);
void cell_null(struct cells *c);
/* "5m", "<unknown>" for zero times. */
const char *cell_age(struct cells *c, int64_t time_s);

/* Print all cells of an object, name included; false: no printer for this kind. */
bool table_print_core(struct cells *c, const void *object);
bool table_print_pod(struct cells *c, const void *object);
bool table_print_apps(struct cells *c, const void *object);
bool table_print_other(struct cells *c, const void *object);
bool table_print_server(struct cells *c, const void *object);

#endif
