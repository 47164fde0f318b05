/*
 * Encoded events, kept with the store's event and shared by all watchers: see hub.h.
 */
#include "api/custom/custom.h"
#include "apiserver/table/table.h"
#include "apiserver/watch/hub.h"
#include "base/clock.h"
#include "base/mem.h"
#include <pthread.h>

#define TYPES 3
#define MEDIAS 2

struct encoded {
    pthread_mutex_t lock;
    struct blob *blobs[TYPES][MEDIAS][TRANSFORM_COUNT];
};

const char *watch_type_name(enum watch_type type)
{
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED"};
    return names[type];
}

void watch_event_cache_free(void *cached)
{
    struct encoded *e = cached;
    if (!e)
        return;
    struct blob **all = &e->blobs[0][0][0];
    for (size_t i = 0; i < TYPES * MEDIAS * TRANSFORM_COUNT; i++)
        blob_unref(all[i]);
    pthread_mutex_destroy(&e->lock);
    mem_free(e);
}

/* Versions of custom resources have a slot each, as far as there are slots; KV_EVENT_CACHE_SLOTS: none. */
static unsigned slot_of(const struct resource *r)
{
    if (!r->custom)
        return r->message == r->stored_as ? 0 : 1;
    size_t version = (size_t)(r->custom - r->custom->type->versions);
    return version < KV_EVENT_CACHE_SLOTS ? (unsigned)version : KV_EVENT_CACHE_SLOTS;
}

/* Slot 0 holds the stored version's encodings, slot 1 those of its other version (events). */
static struct encoded *cache_of(const struct resource *r, struct kv_event *event)
{
    unsigned slot = slot_of(r);
    struct encoded *e = atomic_load(&event->cache[slot]);
    if (e)
        return e;
    e = mem_zalloc(sizeof *e);
    pthread_mutex_init(&e->lock, NULL);
    struct encoded *first = kv_event_cache_set(event, slot, e);
    if (first != e)
        watch_event_cache_free(e);
    return first;
}

bool watch_table_shared(const struct table_options *o)
{
    return o->include == TABLE_METADATA && o->no_headers && !o->v1beta1;
}

int watch_event_table(const struct resource *r, enum watch_type type, struct str stored,
                      int64_t rev, const struct table_options *options, struct buf *out,
                      struct error *err)
{
    struct buf object;
    buf_init(&object);
    struct table_options now = *options;
    now.now_s = clock_wall_s();
    int rc = table_write_object(r, stored, rev, now, &object, err);
    if (rc == 0)
        watch_event_write(out, MEDIA_JSON, watch_type_name(type), buf_str(&object));
    buf_free(&object);
    return rc;
}

static struct blob *encode(const struct resource *r, enum watch_type type, struct str stored,
                           int64_t rev, enum media media, enum transform transform,
                           struct error *err)
{
    struct buf object, event;
    buf_init(&object);
    buf_init(&event);
    int rc;
    if (transform == TRANSFORM_TABLE)
        rc = table_write_object(r, stored, rev,
                                (struct table_options){.no_headers = true, .now_s = clock_wall_s()},
                                &object, err);
    else
        rc = stored_answer(r, stored, rev, media,
                           transform == TRANSFORM_METADATA ? FORM_METADATA : FORM_FULL, false,
                           &object, err);
    struct blob *b = NULL;
    if (rc == 0) {
        watch_event_write(&event, media, watch_type_name(type), buf_str(&object));
        b = blob_from(event.data, event.len);
    }
    buf_free(&object);
    buf_free(&event);
    return b;
}

struct blob *watch_event_blob(const struct resource *r, struct kv_event *event,
                              enum watch_type type, struct str stored, int64_t rev,
                              enum media media, enum transform transform, struct error *err)
{
    if (slot_of(r) == KV_EVENT_CACHE_SLOTS)
        return encode(r, type, stored, rev, media, transform, err);
    struct encoded *e = cache_of(r, event);
    pthread_mutex_lock(&e->lock);
    struct blob **slot = &e->blobs[type][media == MEDIA_PROTOBUF][transform];
    if (!*slot)
        *slot = encode(r, type, stored, rev, media, transform, err);
    struct blob *b = blob_ref(*slot);
    pthread_mutex_unlock(&e->lock);
    return b;
}
