/*
 * Event recorder (client/recorder.h): a bounded queue, a thread that writes, and a bounded memory
 * of what was written lately, from which repeated events become patches of a count.
 */
#include "client/recorder.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/core_v1.pb-c.h"
#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#define QUEUE_MAX 1000
#define SERIES_MAX 1024 /* remembered; beyond it the memory starts over */
#define SIMILAR_MAX 10
#define SIMILAR_WINDOW_NS (600 * NS_PER_S)
#define BURST 25
#define REFILL_NS (300 * NS_PER_S)
#define MESSAGE_MAX 1024
#define DRAIN_NS (2 * NS_PER_S)
#define EVENT_TIMEOUT_MS 10000

struct pending_event {
    struct list link;
    struct arena arena; /* holds this struct's strings */
    struct event_target about;
    const char *type, *reason, *message;
    int64_t at_s;
};

/* An Event that exists in the cluster and may repeat. */
struct series {
    char *ns, *event_name;
    int32_t count;
};

/* How many different messages of one reason about one object. */
struct similar {
    unsigned messages;
    uint64_t last_ns;
};

/* Token bucket of one object. */
struct spam {
    unsigned tokens;
    uint64_t refilled_ns;
};

struct recorder {
    struct client *client;
    char *component, *host;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct list queue;
    size_t queue_len, dropped;
    bool stop;
    uint64_t stop_ns;
    /* The thread's own. */
    struct map series, similar, spam;
};

/* ---------------------------------------------------------------------------------- callers --- */

static const char *or_empty(struct arena *a, const char *s)
{
    return arena_strdup(a, s ? s : "");
}

/* The end of a text that was cut, if a character was cut, too. */
static void drop_part_of_character(char *text)
{
    size_t n = strlen(text), begin = n;
    while (begin > 0 && n - begin < 3 && ((unsigned char)text[begin - 1] & 0xc0) == 0x80)
        begin--;
    if (begin > 0 && !utf8_valid(str_make(text + begin - 1, n - begin + 1)))
        text[begin - 1] = '\0';
}

static struct pending_event *event_new(const struct event_target *t, const char *type,
                                       const char *reason, const char *format, va_list args)
{
    struct pending_event *e = mem_zalloc(sizeof *e);
    struct arena *a = &e->arena;
    arena_init(a);
    e->about = (struct event_target){or_empty(a, t->api_version), or_empty(a, t->kind),
                                     or_empty(a, t->ns),          or_empty(a, t->name),
                                     or_empty(a, t->uid),         or_empty(a, t->resource_version),
                                     or_empty(a, t->field_path)};
    char message[MESSAGE_MAX];
    if (vsnprintf(message, sizeof message, format, args) >= MESSAGE_MAX)
        drop_part_of_character(message);
    e->type = arena_strdup(a, type);
    e->reason = arena_strdup(a, reason);
    e->message = arena_strdup(a, message);
    e->at_s = clock_wall_s();
    return e;
}

static void event_free(struct pending_event *e)
{
    arena_free(&e->arena);
    mem_free(e);
}

void recorder_event(struct recorder *r, const struct event_target *about, const char *type,
                    const char *reason, const char *format, ...)
{
    if (!r)
        return;
    va_list args;
    va_start(args, format);
    struct pending_event *e = event_new(about, type, reason, format, args);
    va_end(args);
    pthread_mutex_lock(&r->lock);
    bool room = r->queue_len < QUEUE_MAX && !r->stop;
    if (room) {
        list_push_back(&r->queue, &e->link);
        r->queue_len++;
        pthread_cond_signal(&r->cond);
    } else {
        r->dropped++;
    }
    pthread_mutex_unlock(&r->lock);
    if (!room)
        event_free(e);
}

struct event_target event_target_of(const struct resource *res, const struct object *o)
{
    return (struct event_target){.api_version = res->api_version,
                                 .kind = res->kind,
                                 .ns = o->ns,
                                 .name = o->name,
                                 .uid = o->uid,
                                 .resource_version = o->resource_version};
}

/* ----------------------------------------------------------------------------------- memory --- */

static void series_clear(struct map *m)
{
    struct map_iter it = {0};
    while (map_next(m, &it)) {
        struct series *s = it.value;
        mem_free(s->ns);
        mem_free(s->event_name);
        mem_free(s);
    }
    map_clear(m);
}

static void plain_clear(struct map *m)
{
    struct map_iter it = {0};
    while (map_next(m, &it))
        mem_free(it.value);
    map_clear(m);
}

static void *remembered(struct map *m, const char *key, size_t size)
{
    void *v = map_get(m, str_from(key));
    if (v)
        return v;
    if (m->len >= SERIES_MAX)
        plain_clear(m);
    v = mem_zalloc(size);
    map_put(m, str_from(key), v);
    return v;
}

static bool is_spam(struct recorder *r, const struct pending_event *e, struct arena *a)
{
    const char *key =
        arena_printf(a, "%s/%s/%s/%s", e->about.kind, e->about.ns, e->about.name, e->about.uid);
    bool known = map_has(&r->spam, str_from(key));
    struct spam *s = remembered(&r->spam, key, sizeof *s);
    uint64_t now = clock_mono_ns();
    if (!known)
        *s = (struct spam){.tokens = BURST, .refilled_ns = now};
    while (s->tokens < BURST && now - s->refilled_ns >= REFILL_NS) {
        s->tokens++;
        s->refilled_ns += REFILL_NS;
    }
    if (s->tokens == 0)
        return true;
    if (s->tokens-- == BURST)
        s->refilled_ns = now;
    return false;
}

/* Many different messages of one reason become one text. */
static const char *folded_message(struct recorder *r, const struct pending_event *e,
                                  struct arena *a)
{
    const char *key = arena_printf(a, "%s/%s/%s/%s/%s", e->about.kind, e->about.ns, e->about.name,
                                   e->about.uid, e->reason);
    struct similar *s = remembered(&r->similar, key, sizeof *s);
    uint64_t now = clock_mono_ns();
    if (s->last_ns && now - s->last_ns > SIMILAR_WINDOW_NS)
        s->messages = 0;
    s->last_ns = now;
    if (s->messages++ < SIMILAR_MAX)
        return e->message;
    return arena_printf(a, "(combined from similar events): %s", e->message);
}

/* ---------------------------------------------------------------------------------- writing --- */

static Core__V1__Event *event_message(struct recorder *r, const struct pending_event *e,
                                      const char *message, struct arena *a)
{
    Core__V1__Event *v = api_new(a, Core__V1__Event);
    const char *ns = *e->about.ns ? e->about.ns : "default";
    v->metadata->namespace_ = (char *)ns;
    v->metadata->name =
        arena_printf(a, "%s.%llx", e->about.name, (unsigned long long)clock_wall_ns());
    Core__V1__ObjectReference *o = v->involved_object;
    o->api_version = (char *)e->about.api_version;
    o->kind = (char *)e->about.kind;
    o->namespace_ = (char *)e->about.ns;
    o->name = (char *)e->about.name;
    o->uid = (char *)e->about.uid;
    o->resource_version = (char *)e->about.resource_version;
    o->field_path = (char *)e->about.field_path;
    v->type = (char *)e->type;
    v->reason = (char *)e->reason;
    v->message = (char *)message;
    v->source->component = r->component;
    v->source->host = r->host ? r->host : "";
    v->reporting_component = r->component;
    v->reporting_instance = r->host ? r->host : "";
    v->count = 1;
    v->first_timestamp = time_from_s(a, e->at_s);
    v->last_timestamp = time_from_s(a, e->at_s);
    return v;
}

/* What a call may take: the end of the recorder does not wait for long. */
static uint32_t call_timeout_ms(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    uint64_t end = r->stop ? r->stop_ns + DRAIN_NS : UINT64_MAX;
    pthread_mutex_unlock(&r->lock);
    uint64_t now = clock_mono_ns(), left_ms = end > now ? (end - now) / NS_PER_MS : 0;
    return (uint32_t)MAX(MIN(left_ms, EVENT_TIMEOUT_MS), 1);
}

/* Count up an Event that exists. False: it is gone (expired), make a new one. */
static bool patch_count(struct recorder *r, struct series *s, const struct pending_event *e,
                        const char *message, struct arena *a)
{
    char at[CLOCK_RFC3339_MAX];
    clock_format_rfc3339(e->at_s, 0, 0, at);
    struct buf patch;
    buf_init(&patch);
    buf_printf(&patch, "{\"count\":%d,\"lastTimestamp\":\"%s\",\"message\":", s->count + 1, at);
    buf_append_json_string(&patch, str_from(message));
    buf_append_char(&patch, '}');
    struct error err = {0};
    struct client_options o = {.timeout_ms = call_timeout_ms(r)};
    void *answer = client_patch(r->client, RESOURCE_EVENTS, s->ns, s->event_name, PATCH_MERGE,
                                buf_str(&patch), &o, a, &err);
    buf_free(&patch);
    if (answer)
        s->count++;
    else if (err.code != ERR_NOT_FOUND)
        log_warn("events", "cannot count up event=%s error=\"%s\"", s->event_name, err.message);
    return err.code != ERR_NOT_FOUND;
}

static void forget_series(struct recorder *r, const char *key)
{
    struct series *s = map_remove(&r->series, str_from(key));
    mem_free(s->ns);
    mem_free(s->event_name);
    mem_free(s);
}

/* A new Event; key: what the same one again is known by. */
static void create_event(struct recorder *r, const struct pending_event *e, const char *message,
                         const char *key, struct arena *a)
{
    struct error err = {0};
    struct client_options o = {.timeout_ms = call_timeout_ms(r)};
    Core__V1__Event *v = event_message(r, e, message, a);
    if (!client_create(r->client, RESOURCE_EVENTS, v, &o, a, &err)) {
        log_warn("events", "cannot write event reason=%s about=%s/%s error=\"%s\"", e->reason,
                 e->about.ns, e->about.name, err.message);
        return;
    }
    if (r->series.len >= SERIES_MAX)
        series_clear(&r->series);
    struct series *s = mem_zalloc(sizeof *s);
    s->ns = mem_strdup(v->metadata->namespace_);
    s->event_name = mem_strdup(v->metadata->name);
    s->count = 1;
    map_put(&r->series, str_from(key), s);
}

static void write_event(struct recorder *r, const struct pending_event *e)
{
    struct arena a;
    arena_init(&a);
    if (!is_spam(r, e, &a)) {
        const char *message = folded_message(r, e, &a);
        bool folded = message != e->message;
        const char *key = arena_printf(&a, "%s/%s/%s/%s/%s/%s/%s/%s", e->about.kind, e->about.ns,
                                       e->about.name, e->about.uid, e->about.field_path, e->type,
                                       e->reason, folded ? "" : message);
        struct series *s = map_get(&r->series, str_from(key));
        if (s && !patch_count(r, s, e, message, &a)) {
            forget_series(r, key);
            s = NULL;
        }
        if (!s)
            create_event(r, e, message, key, &a);
    }
    arena_free(&a);
}

static struct pending_event *next_event(struct recorder *r)
{
    struct pending_event *e = NULL;
    pthread_mutex_lock(&r->lock);
    while (!r->stop && list_empty(&r->queue))
        pthread_cond_wait(&r->cond, &r->lock);
    bool late = r->stop && clock_mono_ns() > r->stop_ns + DRAIN_NS;
    if (!late && !list_empty(&r->queue)) {
        e = list_first(&r->queue, struct pending_event, link);
        list_remove(&e->link);
        r->queue_len--;
    }
    pthread_mutex_unlock(&r->lock);
    return e;
}

static void *recorder_thread(void *arg)
{
    struct recorder *r = arg;
    struct pending_event *e;
    while ((e = next_event(r)) != NULL) {
        write_event(r, e);
        event_free(e);
    }
    return NULL;
}

struct recorder *recorder_new(struct client *c, const char *component, const char *host)
{
    struct recorder *r = mem_zalloc(sizeof *r);
    r->client = c;
    r->component = mem_strdup(component);
    r->host = host ? mem_strdup(host) : NULL;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->cond, NULL);
    list_init(&r->queue);
    map_init(&r->series);
    map_init(&r->similar);
    map_init(&r->spam);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    int rc = pthread_create(&r->thread, &attr, recorder_thread, r);
    assert(rc == 0);
    (void)rc;
    pthread_attr_destroy(&attr);
    return r;
}

void recorder_free(struct recorder *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    r->stop_ns = clock_mono_ns();
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    list_for_each_safe (it, &r->queue)
        event_free(list_entry(it, struct pending_event, link));
    series_clear(&r->series);
    plain_clear(&r->similar);
    plain_clear(&r->spam);
    map_free(&r->series);
    map_free(&r->similar);
    map_free(&r->spam);
    if (r->dropped)
        log_warn("events", "events dropped since the queue was full count=%zu", r->dropped);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->lock);
    mem_free(r->component);
    mem_free(r->host);
    mem_free(r);
}
