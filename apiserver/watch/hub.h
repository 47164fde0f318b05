/*
 * Watch fan-out: one store watch per (resource, loop), shared by all its watchers on that loop.
 *
 *     kv watch of /registry/pods/ ──▶ hub ──▶ index ─┬─ all namespaces:  w1, w2
 *                                                    ├─ namespace "web": w3
 *                                                    ├─ object web/a:    w4
 *                                                    └─ node "n7":       w5     (pods, spec.nodeName)
 *
 * An event is looked up in the index, so it costs what its own watchers cost; node watchers are found
 * by the old and the new node. A watcher that starts in the past first has a store watch of its own
 * over its own key range, and joins the hub once it has caught up.
 *
 * An event is encoded once per type, media type and transform, and the bytes are kept with the event
 * (kv_event.cache) for all watchers on all loops.
 *
 * Everything runs on the loop's thread.
 */
#ifndef C8S_APISERVER_WATCH_HUB_H
#define C8S_APISERVER_WATCH_HUB_H

#include "apiserver/rest/list_options.h"

enum watch_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED };

struct watcher;

/* What a watcher hears. A callback may end its own watcher (watcher_stop), no other. */
struct watcher_events {
    /* An event of the selection: `stored` is the object as of `rev` (the old one for DELETED). */
    void (*event)(struct watcher *w, enum watch_type type, struct kv_event *event,
                  struct str stored, int64_t rev);
    /* Everything up to rev has been delivered. Called at least once a minute. */
    void (*progress)(struct watcher *w, int64_t rev);
    /* The store ended the watch: ERR_COMPACTED, ERR_CANCELLED, …. Stopped already. */
    void (*closed)(struct watcher *w, int code);
};

struct watcher {
    /* Set by the owner. */
    const struct selection *select;
    const struct watcher_events *events;
    /* The hub's. */
    struct watch_hubs *hubs;
    struct hub *hub;
    struct list link;          /* in a bucket or in hub->catching_up */
    struct kv_watch *catch_up; /* its own watch while it is behind */
    const char *bucket;        /* index key; NULL while catching up */
    bool *gone;                /* told when it is stopped inside its own callback */
    int64_t seen;              /* everything up to here has been delivered */
    /* But for what one write did besides: of the revision `seen` all but the first event of the selection is
     * delivered still. Until it has caught up. */
    bool more_of_seen;
    bool first_passed; /* that first one */
};

struct watch_hubs *watch_hubs_new(struct worker *worker);
/* Every watcher must be stopped. */
void watch_hubs_free(struct watch_hubs *h);
/*
 * Deliver what happens after `seen`. `select->prefix` and the strings stay with the owner.
 *
 * With `resumed` the caller names the version of the last event it got. Where one write changes several objects of a
 * resource (the quotas of a namespace, the addresses of a service) they share that version, and the stream may have
 * broken off between them: those after the first are sent again. To an informer that is nothing new; without, it
 * would never hear of them.
 */
void watcher_start(struct watch_hubs *h, struct watcher *w, int64_t seen, bool resumed);
void watcher_stop(struct watcher *w); /* harmless when stopped */
/* Everything up to here has been delivered. */
int64_t watcher_revision(const struct watcher *w);
/* Visit every watcher, which may be stopped meanwhile: for shutting down. */
void watch_hubs_each(struct watch_hubs *h, void (*fn)(struct watcher *w));

/* The same for the watchers of one resource, by its storage prefix. */
void watch_hubs_end(struct watch_hubs *h, const char *storage_prefix,
                    void (*fn)(struct watcher *w));

/* The event's bytes in one form, from its cache or made now; NULL with *err. One reference. Tables are of
 * the shared kind (watch_table_shared); others are made one by one (watch_event_table). */
struct blob *watch_event_blob(const struct resource *r, struct kv_event *event,
                              enum watch_type type, struct str stored, int64_t rev,
                              enum media media, enum transform transform, struct error *err);
/* A table event's bytes with any options; 0, or negative with *err. */
struct table_options;
int watch_event_table(const struct resource *r, enum watch_type type, struct str stored,
                      int64_t rev, const struct table_options *options, struct buf *out,
                      struct error *err);
/* Are these the options of the tables that are shared: metadata, v1, no columns? */
bool watch_table_shared(const struct table_options *options);
/* For kv_options.event_cache_free. */
void watch_event_cache_free(void *cached);
const char *watch_type_name(enum watch_type type);
/* End the stream a watcher belongs to (apiserver/rest/watch.c). */
void rest_watch_end(struct watcher *w);

#endif
