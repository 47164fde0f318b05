/*
 * POST of an object.
 */
#include "api/meta.h"
#include "apiserver/write.h"
#include <assert.h>

#define GENERATED_NAMES_MAX 8 /* made up before a create gives up, as published */

/* The body's object, to be changed: the first attempt's is in w->ctx, a later one reads the body again. */
static void *fresh_object(struct write *w)
{
    struct rest *rq = w->rq;
    if (w->attempts == 1)
        return w->ctx;
    rq->warnings_len = rq->warnings_kept; /* the others are said again */
    void *object = rest_decode(rq, rest_message(w->r));
    assert(object); /* it could be read before */
    return object;
}

/* Somebody has the name; who lets the server make names up hears that it could not, even of one he gave. */
static struct status *name_taken(struct write *w, const Meta__V1__ObjectMeta *meta, const void *by)
{
    struct arena *a = w->rq->a;
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    struct status *s = status_already_exists(a, &about);
    if (*meta->generate_name) {
        s->message = arena_printf(a,
                                  "%s, the server was not able to generate a unique name for "
                                  "the object",
                                  s->message);
        s->retry_after_s = 1;
    }
    if (object_meta(by)->deletion_timestamp)
        s->message = arena_printf(a, "object is being deleted: %s", s->message);
    return s;
}

static struct status *create_change(struct write *w)
{
    void *object = fresh_object(w);
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    bool generated = !*meta->name && *meta->generate_name;
    if (w->old && generated && w->attempts <= GENERATED_NAMES_MAX) {
        w->old = NULL; /* somebody has the name that was made up: another one */
        w->old_pair = (struct kv_pair){0};
        w->lease = 0;
    }
    const void *taken = w->old;
    if (taken &&
        w->dry_run) { /* no transaction says that the name is taken, so what is wrong is said here */
        w->old = NULL;
        w->name = meta->name;
        struct status *wrong = change_create(w, object);
        if (wrong)
            return wrong;
    }
    if (taken)
        return name_taken(w, meta, taken);
    w->name = meta->name;
    return change_create(w, object);
}

/* Namespace and resourceVersion of the body must fit the request. */
static bool body_fits(struct rest *rq, void *body)
{
    Meta__V1__ObjectMeta *meta = object_meta(body);
    if (rq->r->namespaced && *meta->namespace_ && strcmp(meta->namespace_, rq->info.ns) != 0) {
        rest_status(rq,
                    status_bad_request(
                        rq->a, "the namespace of the provided object does not match the namespace "
                               "sent on the request"));
        return false;
    }
    if (*meta->resource_version) {
        rest_status(rq, status_bad_request(
                            rq->a, "resourceVersion should not be set on objects to be created"));
        return false;
    }
    return true;
}

void rest_create(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    void *body = rest_decode(rq, rest_message(rq->r));
    if (!body || !body_fits(rq, body))
        return;
    rq->about.name = object_meta(body)->name;
    if (rq->r->namespaced && !*rq->info.ns) {
        rest_status(rq, status_bad_request(rq->a, "namespace is required"));
        return;
    }
    struct write *w = write_new(rq, create_change, write_answer, body);
    w->name = object_meta(body)->name;
    w->unread = true;
    write_run(w);
}
