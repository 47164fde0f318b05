/*
 * The REST client and informers against a small API server, with faults: what comes back as which error, what is tried
 * again, and that a cache never shows the past.
 */
#include "api/meta.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "client/informer.h"
#include "client/kubeconfig.h"
#include "client/workqueue.h"
#include "tests/unit/fake_api.h"
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 60000
#define WAIT_NS (WAIT_MS * NS_PER_MS)

static struct client *connect_to(struct fake_api *first, struct fake_api *second)
{
    const char *servers[] = {fake_api_url(first), second ? fake_api_url(second) : NULL};
    struct client_config config = {.servers = servers, .servers_len = second ? 2 : 1};
    struct client *c = NULL;
    struct error err = {0};
    if (client_new(&config, "test", &c, &err) < 0)
        fail_msg("%s", err.message);
    return c;
}

/* --------------------------------------------------------------------------------------- verbs --- */

static void test_verbs_and_their_errors(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct arena a;
    arena_init(&a);
    struct error err = {0};
    struct client_status status;
    struct client_options o = {.status = &status};

    assert_null(client_get(c, RESOURCE_PODS, "default", "web", &o, &a, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(status.http_status, 404);
    assert_string_equal(status.reason, "NotFound");
    assert_non_null(strstr(err.message, "/api/v1/namespaces/default/pods/web"));

    Core__V1__Pod *pod = api_new(&a, Core__V1__Pod);
    pod->metadata->namespace_ = "default";
    pod->metadata->name = "web";
    Core__V1__Pod *made = client_create(c, RESOURCE_PODS, pod, NULL, &a, &err);
    assert_non_null(made);
    assert_null(client_create(c, RESOURCE_PODS, pod, NULL, &a, &err));
    assert_int_equal(err.code, ERR_EXISTS);

    made->spec->node_name = "n1";
    Core__V1__Pod *changed = client_update(c, RESOURCE_PODS, made, NULL, &a, &err);
    assert_non_null(changed);
    assert_string_equal(changed->spec->node_name, "n1");
    assert_null(client_update(c, RESOURCE_PODS, made, NULL, &a, &err)); /* an old version */
    assert_int_equal(err.code, ERR_CONFLICT);

    Core__V1__PodList *list = client_list(c, RESOURCE_PODS, "default", NULL, &a, &err);
    assert_non_null(list);
    assert_int_equal(list->n_items, 1);
    assert_int_equal(client_delete(c, RESOURCE_PODS, "default", "web", NULL, NULL, &err), 0);
    assert_int_equal(client_delete(c, RESOURCE_PODS, "default", "web", NULL, NULL, &err),
                     ERR_NOT_FOUND);
    arena_free(&a);
    client_free(c);
    fake_api_free(f);
}

static bool count_item(void *ctx, void *object)
{
    (void)object;
    ++*(size_t *)ctx;
    return true;
}

static void test_list_all_walks_the_pages(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    char name[16];
    for (int i = 0; i < 25; i++) {
        snprintf(name, sizeof name, "p%02d", i);
        fake_put_pod(f, "default", name, NULL);
    }
    size_t n = 0;
    struct client_options o = {.limit = 10};
    assert_int_equal(client_list_all(c, RESOURCE_PODS, NULL, &o, count_item, &n, NULL), 0);
    assert_int_equal(n, 25);
    assert_int_equal(fake_counts(f).lists, 3);
    client_free(c);
    fake_api_free(f);
}

static void test_retry_after_is_obeyed(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct arena a;
    arena_init(&a);
    struct error err = {0};
    fake_put_pod(f, "default", "web", NULL);
    fake_refuse(f, 2, 429, 1);
    uint64_t start = clock_mono_ns();
    assert_non_null(client_get(c, RESOURCE_PODS, "default", "web", NULL, &a, &err));
    assert_true(clock_mono_ns() - start >= 2 * NS_PER_S - 10 * NS_PER_MS);
    assert_int_equal(fake_counts(f).refused, 2);
    /* Not beyond the caller's time. */
    fake_refuse(f, 1, 429, 120);
    struct client_options o = {.timeout_ms = 9000};
    start = clock_mono_ns();
    assert_null(client_get(c, RESOURCE_PODS, "default", "web", &o, &a, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_true(clock_mono_ns() - start < 8 * NS_PER_S);
    arena_free(&a);
    client_free(c);
    fake_api_free(f);
}

static void test_requests_fail_over_to_the_next_server(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new(), *g = fake_api_new();
    struct client *c = connect_to(f, g);
    struct arena a;
    arena_init(&a);
    struct error err = {0};
    fake_put_pod(f, "default", "web", NULL);
    fake_copy(g, f);
    assert_non_null(client_get(c, RESOURCE_PODS, "default", "web", NULL, &a, &err));
    fake_die(f);
    assert_non_null(client_get(c, RESOURCE_PODS, "default", "web", NULL, &a, &err));
    assert_int_equal(fake_counts(g).gets, 1);
    fake_die(g);
    assert_null(client_get(c, RESOURCE_PODS, "default", "web", NULL, &a, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    arena_free(&a);
    client_free(c);
    fake_api_free(f);
    fake_api_free(g);
}

struct done {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int calls, code;
};

static void on_done(void *ctx, const struct error *err)
{
    struct done *d = ctx;
    pthread_mutex_lock(&d->lock);
    d->calls++;
    d->code = err ? err->code : 0;
    pthread_cond_signal(&d->cond);
    pthread_mutex_unlock(&d->lock);
}

static int wait_done(struct done *d, int calls)
{
    pthread_mutex_lock(&d->lock);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    int rc = 0;
    while (d->calls < calls && rc == 0)
        rc = pthread_cond_timedwait(&d->cond, &d->lock, &until);
    bool called = d->calls == calls;
    int code = d->code;
    pthread_mutex_unlock(&d->lock);
    assert_true(called);
    return code;
}

static void wait_refused(struct fake_api *f, unsigned times)
{
    for (uint64_t end = clock_mono_ns() + WAIT_NS; fake_counts(f).refused < times; usleep(1000))
        assert_true(clock_mono_ns() < end);
}

static void test_writes_without_waiting(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct arena a;
    arena_init(&a);
    struct done d = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    Core__V1__Pod *pod = api_new(&a, Core__V1__Pod);
    pod->metadata->namespace_ = "default";
    pod->metadata->name = "web";
    client_create_async(c, RESOURCE_PODS, pod, on_done, &d);
    assert_int_equal(wait_done(&d, 1), 0);
    client_create_async(c, RESOURCE_PODS, pod, on_done, &d);
    assert_int_equal(wait_done(&d, 2), ERR_EXISTS);
    client_delete_async(c, RESOURCE_PODS, "default", "web", NULL, on_done, &d);
    assert_int_equal(wait_done(&d, 3), 0);
    /* A busy server is asked again when it says so; a client that ends does not wait for that. */
    fake_refuse(f, 1, 429, 1);
    client_create_async(c, RESOURCE_PODS, pod, on_done, &d);
    assert_int_equal(wait_done(&d, 4), 0);
    fake_refuse(f, 1, 429, 8);
    client_create_async(c, RESOURCE_PODS, pod, on_done, &d);
    wait_refused(f, 2);
    arena_free(&a);
    client_free(c);
    assert_int_equal(wait_done(&d, 5), ERR_CANCELLED);
    fake_api_free(f);
}

struct blocked {
    struct client *client;
    struct error err;
};

static void *get_pod(void *arg)
{
    struct blocked *b = arg;
    struct arena a;
    arena_init(&a);
    client_get(b->client, RESOURCE_PODS, "default", "web", NULL, &a, &b->err);
    arena_free(&a);
    return NULL;
}

/* Whatever a call waits for when its client ends, and also when that is the time a busy server asked for. */
static void test_a_client_that_ends_wakes_its_callers(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    fake_refuse(f, UINT_MAX, 429, 10);
    struct blocked b = {.client = connect_to(f, NULL)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, get_pod, &b), 0);
    wait_refused(f, 1);
    uint64_t start = clock_mono_ns();
    client_free(b.client);
    pthread_join(thread, NULL);
    assert_int_equal(b.err.code, ERR_CANCELLED);
    assert_true(clock_mono_ns() - start < 8 * NS_PER_S);
    fake_api_free(f);
}

static void on_raw_done(void *ctx, const struct client_response *response, const struct error *err)
{
    (void)response;
    on_done(ctx, err);
}

static void test_a_call_tried_again_has_no_more_time_than_its_own(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct done d = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    fake_refuse(f, 1, 429, 3);
    /* Then an answer that does not end. */
    const struct client_request q = {.path = "/api/v1/pods?watch=1&resourceVersion=1",
                                     .timeout_ms = 4000};
    uint64_t start = clock_mono_ns();
    client_raw_async(c, &q, on_raw_done, &d);
    assert_int_equal(wait_done(&d, 1), ERR_TIMEOUT);
    assert_int_equal(fake_counts(f).watches, 1);
    assert_true(clock_mono_ns() - start < 6500 * NS_PER_MS);
    client_free(c);
    fake_api_free(f);
}

/* ----------------------------------------------------------------------------------- informers --- */

/* What an informer's handler saw, as text: "+a ~a -a". */
struct seen {
    pthread_mutex_t lock;
    struct buf text;
    bool went_back, may_go_back; /* an update showed an older version */
};

static void note(struct seen *s, char what, const struct object *o)
{
    pthread_mutex_lock(&s->lock);
    buf_printf(&s->text, "%s%c%s", s->text.len ? " " : "", what, o->name);
    pthread_mutex_unlock(&s->lock);
}

static void on_add(void *ctx, struct object *o)
{
    note(ctx, '+', o);
}

static void on_update(void *ctx, struct object *old, struct object *o)
{
    struct seen *s = ctx;
    /* Read when the informer is freed: this thread cannot fail a test. */
    s->went_back |= o->revision <= old->revision;
    note(ctx, '~', o);
}

static void on_delete(void *ctx, struct object *o)
{
    note(ctx, '-', o);
}

static struct informer *start_informer(struct client *c, struct seen *s)
{
    pthread_mutex_init(&s->lock, NULL);
    buf_init(&s->text);
    struct informer_config config = {.resource = RESOURCE_PODS};
    config.indexes[0] = index_by_node;
    struct informer *i = informer_new(c, &config);
    informer_add_handler(
        i, &(struct informer_handler){
               .on_add = on_add, .on_update = on_update, .on_delete = on_delete, .ctx = s});
    informer_start(i);
    return i;
}

static void expect_seen(struct seen *s, const char *want)
{
    uint64_t deadline = clock_mono_ns() + WAIT_NS;
    bool same = false;
    while (!same && clock_mono_ns() < deadline) {
        pthread_mutex_lock(&s->lock);
        same = str_eqz(buf_str(&s->text), want);
        pthread_mutex_unlock(&s->lock);
        if (!same)
            usleep(1000);
    }
    pthread_mutex_lock(&s->lock);
    if (!same)
        print_error("seen: %s\nwant: %s\n", buf_cstr(&s->text), want);
    pthread_mutex_unlock(&s->lock);
    assert_true(same);
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* As expect_seen, whatever the order: lists tell objects in no particular one. */
static void expect_seen_in_any_order(struct seen *s, const char *want_sorted)
{
    uint64_t deadline = clock_mono_ns() + WAIT_NS;
    struct buf sorted = {0};
    do {
        char text[256], *words[16], *next = text;
        size_t n = 0;
        pthread_mutex_lock(&s->lock);
        snprintf(text, sizeof text, "%s", buf_cstr(&s->text));
        pthread_mutex_unlock(&s->lock);
        for (char *word; n < 16 && (word = strsep(&next, " "));)
            words[n++] = word;
        qsort(words, n, sizeof *words, compare_words);
        buf_clear(&sorted);
        for (size_t i = 0; i < n; i++)
            buf_printf(&sorted, "%s%s", i ? " " : "", words[i]);
        if (cstr_eq(buf_cstr(&sorted), want_sorted))
            break;
        usleep(1000);
    } while (clock_mono_ns() < deadline);
    assert_string_equal(buf_cstr(&sorted), want_sorted);
    buf_free(&sorted);
}

static void wait_revision(struct informer *i, uint64_t revision)
{
    uint64_t deadline = clock_mono_ns() + WAIT_NS;
    while (informer_revision(i) < revision && clock_mono_ns() < deadline)
        usleep(1000);
    assert_true(informer_revision(i) >= revision);
}

/* Its revision goes back to that of a restored store. */
static void wait_back(struct informer *i, uint64_t revision)
{
    uint64_t deadline = clock_mono_ns() + WAIT_NS;
    while (informer_revision(i) != revision && clock_mono_ns() < deadline)
        usleep(1000);
    assert_true(informer_revision(i) == revision);
}

static void end_informer(struct informer *i, struct seen *s)
{
    informer_free(i);
    buf_free(&s->text);
    assert_int_equal(s->went_back, s->may_go_back);
}

static void test_informer_lists_then_watches(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {0};
    fake_put_pod(f, "default", "a", "n1");
    struct informer *i = start_informer(c, &s);
    assert_int_equal(informer_wait_synced(&i, 1, WAIT_MS, NULL), 0);
    expect_seen(&s, "+a");
    fake_put_pod(f, "kube-system", "b", NULL);
    fake_put_pod(f, "default", "a", "n2");
    fake_delete_pod(f, "kube-system", "b");
    expect_seen(&s, "+a +b ~a -b");
    struct object *o = informer_get(i, "default", "a");
    assert_string_equal(((Core__V1__Pod *)o->msg)->spec->node_name, "n2");
    struct object_refs refs = {0};
    informer_list_index(i, 0, "n1", &refs);
    assert_int_equal(refs.len, 0);
    informer_list_index(i, 0, "n2", &refs);
    assert_int_equal(refs.len, 1);
    object_refs_free(&refs);
    informer_list(i, "default", &refs);
    assert_int_equal(refs.len, 1);
    object_refs_free(&refs);
    end_informer(i, &s);
    assert_string_equal(o->name, "a"); /* a reference outlives the informer */
    object_unref(o);
    client_free(c);
    fake_api_free(f);
}

static void test_broken_watch_resumes_without_a_list(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {0};
    struct informer *i = start_informer(c, &s);
    assert_int_equal(informer_wait_synced(&i, 1, WAIT_MS, NULL), 0);
    fake_put_pod(f, "default", "a", NULL);
    expect_seen(&s, "+a");
    fake_break_watches(f);
    fake_put_pod(f, "default", "b", NULL);
    fake_break_watches(f);
    fake_delete_pod(f, "default", "a");
    expect_seen(&s, "+a +b -a");
    assert_int_equal(fake_counts(f).lists, 1);
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
}

static void test_gone_leads_to_a_relist_whose_difference_is_told(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {0};
    fake_put_pod(f, "default", "a", NULL);
    fake_put_pod(f, "default", "b", NULL);
    struct informer *i = start_informer(c, &s);
    assert_int_equal(informer_wait_synced(&i, 1, WAIT_MS, NULL), 0);
    wait_revision(i, fake_revision(f));
    fake_die(f); /* meanwhile b goes and comes again as another, and history is compacted */
    fake_delete_pod(f, "default", "b");
    fake_put_pod(f, "default", "b", NULL);
    fake_delete_pod(f, "default", "a");
    fake_compact(f);
    fake_revive(f);
    wait_revision(i, fake_revision(f));
    expect_seen_in_any_order(&s, "+a +b +b -a -b");
    assert_int_equal(informer_count(i), 1);
    assert_int_equal(fake_counts(f).lists, 2);
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
}

static void test_bookmarks_move_the_revision_on(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {0};
    struct informer *i = start_informer(c, &s);
    assert_int_equal(informer_wait_synced(&i, 1, WAIT_MS, NULL), 0);
    fake_put_pod(f, "default", "a", NULL);
    expect_seen(&s, "+a");
    wait_revision(i, fake_bookmark(f));
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
}

/* 1. The client watches member f up to revision r. 2. f dies; member g, which lags behind r, is asked. 3. A list "as
 * of now" at g would show a again, which is gone, and lose b. Instead g has to say that it is not there yet. */
static void test_a_lagging_member_does_not_show_the_past(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new(), *g = fake_api_new();
    struct client *c = connect_to(f, g);
    struct seen s = {0};
    fake_put_pod(f, "default", "a", NULL);
    fake_copy(g, f);
    fake_lag(g);
    struct informer *i = start_informer(c, &s);
    assert_int_equal(informer_wait_synced(&i, 1, WAIT_MS, NULL), 0);
    fake_delete_pod(f, "default", "a");
    fake_put_pod(f, "default", "b", NULL);
    expect_seen(&s, "+a -a +b"); /* so the watch is open, and a bookmark reaches it */
    wait_revision(i, fake_bookmark(f));
    fake_refuse(g, 1, 410, -1); /* the watch cannot simply be resumed: a list is needed */
    fake_die(f);
    unsigned lists = fake_counts(g).lists;
    uint64_t deadline = clock_mono_ns() + WAIT_NS;
    while (fake_counts(g).lists < lists + 3 && clock_mono_ns() < deadline)
        usleep(1000);
    assert_true(clock_mono_ns() < deadline);
    expect_seen(&s, "+a -a +b"); /* it was asked, and showed nothing of the past */
    fake_copy(g, f);             /* it catches up */
    fake_put_pod(g, "default", "c", NULL);
    expect_seen(&s, "+a -a +b +c");
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
    fake_api_free(g);
}

/* 1. The client watches up to revision r. 2. The store is restored from a backup of before r. 3. Neither a watch from r nor
 * a list of r or newer is answered there before somebody has written that much; what there is, is the backup's. */
static void test_a_store_restored_from_a_backup_is_believed(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new(), *backup = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {.may_go_back = true};
    fake_put_pod(f, "default", "a", "n1");
    fake_put_pod(f, "default", "b", NULL);
    fake_copy(backup, f);
    struct informer *i = start_informer(c, &s);
    assert_int_equal(informer_wait_synced(&i, 1, WAIT_MS, NULL), 0);
    fake_delete_pod(f, "default", "b");
    fake_put_pod(f, "default", "a", "n2");
    fake_put_pod(f, "default", "c", NULL);
    expect_seen_in_any_order(&s, "+a +b +c -b ~a");
    wait_revision(i, fake_bookmark(f));
    fake_die(f);
    fake_copy(f, backup);
    fake_revive(f);
    expect_seen_in_any_order(&s, "+a +b +b +c -b -c ~a ~a");
    struct object *o = informer_get(i, "default", "a");
    assert_string_equal(((Core__V1__Pod *)o->msg)->spec->node_name, "n1");
    object_unref(o);
    wait_back(i, fake_revision(f)); /* it goes back when the difference has been told */
    fake_put_pod(f, "default", "d", NULL);
    expect_seen_in_any_order(&s, "+a +b +b +c +d -b -c ~a ~a");
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
    fake_api_free(backup);
}

/* As above, but by the time the client is back the restored store has gone past what it had seen: nothing tells it, and
 * yet objects of the list that are older than the known ones are right. */
static void test_a_list_shows_what_there_is(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new(), *backup = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {.may_go_back = true};
    fake_put_pod(f, "default", "a", "n1");
    fake_copy(backup, f);
    struct informer *i = start_informer(c, &s);
    assert_int_equal(informer_wait_synced(&i, 1, WAIT_MS, NULL), 0);
    fake_put_pod(f, "default", "a", "n2");
    expect_seen(&s, "+a ~a");
    wait_revision(i, fake_revision(f)); /* a handler runs before the version is noted */
    fake_die(f);
    fake_copy(f, backup);
    while (fake_revision(f) <= informer_revision(i))
        fake_bookmark(f);
    fake_compact(f);
    fake_revive(f);
    expect_seen(&s, "+a ~a ~a");
    struct object *o = informer_get(i, "default", "a");
    assert_string_equal(((Core__V1__Pod *)o->msg)->spec->node_name, "n1");
    object_unref(o);
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
    fake_api_free(backup);
}

static void test_what_is_not_served_has_no_objects(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {0};
    fake_refuse(f, 5, 404, -1);
    struct informer *i = start_informer(c, &s);
    assert_int_equal(informer_wait_synced(&i, 1, WAIT_MS, NULL), 0); /* others need not wait for it */
    assert_int_equal(informer_count(i), 0);
    end_informer(i, &s);
    fake_put_pod(f, "default", "a", NULL);
    i = start_informer(c, &s);
    expect_seen(&s, "+a");
    fake_refuse(f, UINT_MAX, 404, -1); /* the watch, open or not yet, then lists: its definition is gone */
    fake_break_watches(f);
    expect_seen(&s, "+a -a");
    fake_refuse(f, 0, 0, 0); /* and comes again */
    expect_seen(&s, "+a -a +a");
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
}

static void test_refused_lists_are_tried_again(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {0};
    fake_put_pod(f, "default", "a", NULL);
    fake_refuse(f, 3, 500, -1);
    struct informer *i = start_informer(c, &s);
    expect_seen(&s, "+a");
    assert_int_equal(fake_counts(f).refused, 3);
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
}

/* Watches in a row, or lists, that lead nowhere: six pauses of 25 ms or more, each twice as long. */
static void expect_pauses_before(struct fake_api *f, unsigned watches, unsigned lists)
{
    uint64_t start = clock_mono_ns();
    struct fake_counts n;
    while ((n = fake_counts(f)).watches < watches || n.lists < lists) {
        assert_true(clock_mono_ns() - start < WAIT_NS);
        usleep(1000);
    }
    assert_true(clock_mono_ns() - start >= 1500 * NS_PER_MS);
}

static void test_watches_that_end_at_once_are_not_begun_all_the_time(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {0};
    fake_watches(f, 200);
    struct informer *i = start_informer(c, &s);
    expect_pauses_before(f, 7, 1);
    assert_int_equal(fake_counts(f).lists, 1);
    fake_watches(f, 0);
    fake_put_pod(f, "default", "a", NULL);
    expect_seen(&s, "+a");
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
}

static void test_who_may_list_but_not_watch_lists_now_and_then(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct seen s = {0};
    fake_watches(f, 403);
    struct informer *i = start_informer(c, &s);
    expect_pauses_before(f, 6, 7);
    fake_put_pod(f, "default", "a", NULL);
    expect_seen(&s, "+a");
    end_informer(i, &s);
    client_free(c);
    fake_api_free(f);
}

static void test_changes_reach_a_queue(void **state)
{
    (void)state;
    struct fake_api *f = fake_api_new();
    struct client *c = connect_to(f, NULL);
    struct workqueue *q = workqueue_new("pods", NULL);
    struct informer *i = informer_new(c, &(struct informer_config){.resource = RESOURCE_PODS});
    informer_enqueue(i, q);
    informer_start(i);
    fake_put_pod(f, "default", "a", NULL);
    char *key = workqueue_get_timeout(q, WAIT_MS);
    assert_non_null(key);
    assert_string_equal(key, "default/a");
    workqueue_done(q, key);
    informer_free(i);
    workqueue_shut_down(q);
    workqueue_free(q);
    client_free(c);
    fake_api_free(f);
}

/* ---------------------------------------------------------------------------------- kubeconfig --- */

static const char kubeconfig_text[] =
    "apiVersion: v1\nkind: Config\ncurrent-context: prod\n"
    "clusters:\n"
    "- name: prod\n"
    "  cluster:\n"
    "    server: https://10.0.0.1:6443/\n"
    "    certificate-authority-data: Q0E=\n"
    "    extensions:\n"
    "    - name: c8s.io/servers\n"
    "      extension:\n"
    "        servers: [\"https://10.0.0.2:6443\", \"https://10.0.0.1:6443\"]\n"
    "- name: other\n"
    "  cluster: {server: \"https://other:6443\", insecure-skip-tls-verify: true}\n"
    "users:\n"
    "- name: admin\n"
    "  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}\n"
    "- name: robot\n"
    "  user: {token: abc}\n"
    "- name: file\n"
    "  user: {tokenFile: token}\n"
    "- name: plugin\n"
    "  user: {exec: {command: get-token}}\n"
    "- name: half\n"
    "  user: {client-certificate-data: Q0VSVA==}\n"
    "contexts:\n"
    "- name: prod\n"
    "  context: {cluster: prod, user: admin, namespace: shop}\n"
    "- name: bot\n"
    "  context: {cluster: other, user: robot}\n"
    "- name: file\n"
    "  context: {cluster: other, user: file}\n";

static void test_kubeconfig(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    struct client_config c;
    struct error err = {0};
    assert_int_equal(kubeconfig_parse(str_from(kubeconfig_text), ".", NULL, &a, &c, &err), 0);
    assert_int_equal(c.servers_len, 2);
    assert_string_equal(c.servers[0], "https://10.0.0.2:6443");
    assert_string_equal(c.servers[1], "https://10.0.0.1:6443");
    assert_true(str_eqz(c.ca_pem, "CA") && str_eqz(c.cert_pem, "CERT") &&
                str_eqz(c.key_pem, "KEY"));
    assert_string_equal(c.ns, "shop");
    struct kubeconfig_overrides o = {.context = "bot"};
    assert_int_equal(kubeconfig_parse(str_from(kubeconfig_text), ".", &o, &a, &c, &err), 0);
    assert_string_equal(c.token, "abc");
    assert_string_equal(c.ns, "default");
    assert_true(c.insecure);
    o = (struct kubeconfig_overrides){.context = "file"};
    assert_int_equal(kubeconfig_parse(str_from(kubeconfig_text), ".", &o, &a, &c, &err), 0);
    assert_string_equal(c.token_file, "./token");
    o.token = "given"; /* on the command line: the file would be read again over it */
    assert_int_equal(kubeconfig_parse(str_from(kubeconfig_text), ".", &o, &a, &c, &err), 0);
    assert_string_equal(c.token, "given");
    assert_null(c.token_file);
    static const struct {
        struct kubeconfig_overrides o;
        int code;
        const char *message;
    } bad[] = {
        {{.context = "none"}, ERR_NOT_FOUND, "context \"none\" does not exist"},
        {{.user = "plugin"}, ERR_UNSUPPORTED, "user plugin: exec"},
        {{.user = "half"}, ERR_INVALID, "user half: client-certificate and client-key"},
        {{.cluster = "none"}, ERR_INVALID, "cluster \"none\" does not exist"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(kubeconfig_parse(str_from(kubeconfig_text), ".", &bad[i].o, &a, &c, &err),
                         bad[i].code);
        assert_non_null(strstr(err.message, bad[i].message));
    }
    assert_int_equal(kubeconfig_parse(STR("[1, 2]"), ".", NULL, &a, &c, &err), ERR_INVALID);
    arena_free(&a);
}

/* A token file that is being written is no token: without one a client would be anonymous. */
static void test_an_empty_token_file_is_an_error(void **state)
{
    (void)state;
    char path[] = "/tmp/test_client.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    const char *servers[] = {"http://127.0.0.1:1"};
    struct client_config config = {.servers = servers, .servers_len = 1, .token_file = path};
    struct client *c = NULL;
    struct error err = {0};
    assert_true(client_new(&config, "test", &c, &err) < 0);
    assert_int_equal(err.code, ERR_INVALID);
    assert_int_equal(write(fd, "t0k3n\n", 6), 6);
    assert_int_equal(client_new(&config, "test", &c, &err), 0);
    client_free(c);
    close(fd);
    unlink(path);
}

static void quiet(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs_and_their_errors),
        cmocka_unit_test(test_list_all_walks_the_pages),
        cmocka_unit_test(test_retry_after_is_obeyed),
        cmocka_unit_test(test_requests_fail_over_to_the_next_server),
        cmocka_unit_test(test_writes_without_waiting),
        cmocka_unit_test(test_a_client_that_ends_wakes_its_callers),
        cmocka_unit_test(test_a_call_tried_again_has_no_more_time_than_its_own),
        cmocka_unit_test(test_informer_lists_then_watches),
        cmocka_unit_test(test_broken_watch_resumes_without_a_list),
        cmocka_unit_test(test_gone_leads_to_a_relist_whose_difference_is_told),
        cmocka_unit_test(test_bookmarks_move_the_revision_on),
        cmocka_unit_test(test_a_lagging_member_does_not_show_the_past),
        cmocka_unit_test(test_a_store_restored_from_a_backup_is_believed),
        cmocka_unit_test(test_a_list_shows_what_there_is),
        cmocka_unit_test(test_what_is_not_served_has_no_objects),
        cmocka_unit_test(test_refused_lists_are_tried_again),
        cmocka_unit_test(test_watches_that_end_at_once_are_not_begun_all_the_time),
        cmocka_unit_test(test_who_may_list_but_not_watch_lists_now_and_then),
        cmocka_unit_test(test_changes_reach_a_queue),
        cmocka_unit_test(test_kubeconfig),
        cmocka_unit_test(test_an_empty_token_file_is_an_error),
    };
    if (!getenv("TEST_VERBOSE"))
        log_set_sink(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
