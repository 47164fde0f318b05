/*
 * What tests of the store begin and end with: a directory of their own, a store in it, one request.
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
