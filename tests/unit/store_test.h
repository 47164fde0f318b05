/*
 * What tests of the store begin and end with: a directory of their own, a store in it, one request, one call
 * that ends on another thread.
 */
#ifndef C8S_TESTS_STORE_TEST_H
#define C8S_TESTS_STORE_TEST_H

#include "base/mem.h"
#include "kvstore/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <semaphore.h>

#define STORE_DIR_MAX 64

/* A new, empty directory in /tmp, called after the test. */
static inline void store_dir_make(char dir[STORE_DIR_MAX], const char *test)
{
    snprintf(dir, STORE_DIR_MAX, "/tmp/c8s-test-%s.XXXXXX", test);
    assert_non_null(mkdtemp(dir));
}

static inline void store_dir_remove(const char *dir)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* The store that the options say; never NULL. */
static inline struct kv *store_open(const struct kv_options *o)
{
    struct error err;
    struct kv *kv = kv_open(o, &err);
    if (!kv)
        fail_msg("kv_open: %s", err.message);
    return kv;
}

/* For cmocka's setup and teardown: a store in a directory of its own. */
struct store_fixture {
    char dir[STORE_DIR_MAX];
    struct kv_options options;
    struct kv *kv; /* a test may close it, and open it again: f->kv = store_open(&f->options) */
};

/* *state: a fixture whose store has these options and the directory. */
static inline int store_fixture_make(void **state, const char *test, struct kv_options o)
{
    struct store_fixture *f = mem_zalloc(sizeof *f);
    store_dir_make(f->dir, test);
    f->options = o;
    f->options.data_dir = f->dir;
    f->kv = store_open(&f->options);
    *state = f;
    return 0;
}

static inline int store_fixture_remove(void **state)
{
    struct store_fixture *f = *state;
    kv_close(f->kv);
    store_dir_remove(f->dir);
    mem_free(f);
    return 0;
}

/*
 * A call that ends on a thread of the store: begin, hand the call `store_call_ended` (or the one for leases) with
 * the store_call as its context, wait.
 */
struct store_call {
    sem_t done;
    int code;
    int64_t rev, id; /* as the call says; 0: it says none */
};

static inline void store_call_begin(struct store_call *c)
{
    *c = (struct store_call){0};
    assert_int_equal(sem_init(&c->done, 0, 0), 0);
}

static inline void store_call_ended(void *ctx, int code, int64_t rev)
{
    struct store_call *c = ctx;
    c->code = code;
    c->rev = rev;
    sem_post(&c->done);
}

static inline void store_lease_call_ended(void *ctx, const struct kv_lease_result *r)
{
    struct store_call *c = ctx;
    c->id = r->id;
    store_call_ended(c, r->code, r->rev);
}

/* The code it ended with. */
static inline int store_call_wait(struct store_call *c)
{
    while (sem_wait(&c->done) != 0) /* a signal came in between */
        ;
    sem_destroy(&c->done);
    return c->code;
}

static inline int store_compact(struct kv *kv, int64_t rev, bool physical)
{
    struct store_call c;
    store_call_begin(&c);
    kv_compact(kv, rev, physical, NULL, store_call_ended, &c);
    return store_call_wait(&c);
}

/* A lease of `id` (0: one that the store chooses); its id, or 0 when it was refused with *code. */
static inline int64_t store_grant(struct kv *kv, int64_t id, int64_t ttl_s, int *code)
{
    struct store_call c;
    store_call_begin(&c);
    kv_lease_grant(kv, id, ttl_s, NULL, store_lease_call_ended, &c);
    *code = store_call_wait(&c);
    return *code ? 0 : c.id;
}

/* Write; the code, and in *rev (may be NULL) the revision. */
static inline int store_write(struct kv *kv, const struct kv_op *ops, size_t n, int64_t *rev)
{
    struct kv_txn_request t = {.then = ops, .then_len = n};
    struct kv_txn_result *r = kv_txn_wait(kv, &t);
    int code = r->code;
    if (rev)
        *rev = r->rev;
    kv_txn_result_free(r);
    return code;
}

#endif
