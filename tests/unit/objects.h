/*
 * Objects from JSON for tests of schedulers and controllers: what an informer would hold.
 */
#ifndef C8S_TESTS_OBJECTS_H
#define C8S_TESTS_OBJECTS_H

#include "api/codec.h"
#include "base/mem.h"
#include "client/informer.h"
#include <stdio.h>

/* A decoded message in the arena; the test fails when the JSON is wrong. Single quotes stand for double ones. */
static inline void *from_json(struct arena *a, const char *json)
{
    struct error err = {0};
    void *out = NULL;
    char *text = arena_strdup(a, json);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_decode(a, NULL, str_from(text), NULL, &out, &err) < 0) {
        fprintf(stderr, "%s: %s\n", err.message, text);
        abort();
    }
    return out;
}

/* The same as an informer's object; unref it. */
static inline struct object *object_from_json(const char *json)
{
    struct arena a;
    arena_init(&a);
    void *msg = from_json(&a, json);
    struct object *o = arena_new(&a, struct object);
    Meta__V1__ObjectMeta *meta = object_meta(msg);
    atomic_init(&o->refs, 1);
    o->ns = meta->namespace_;
    o->name = meta->name;
    o->uid = meta->uid;
    o->resource_version = meta->resource_version;
    o->msg = msg;
    o->arena = a;
    return o;
}

#endif
