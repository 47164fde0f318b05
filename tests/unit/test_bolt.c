/*
 * bbolt files: what is written comes back, page by page as bbolt has them; damaged ones are refused.
 */
#include "bolt/bolt.h"
#include "bolt/bolt_format.h"
#include "base/mem.h"
#include "base/vec.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
    char *key, *value;
    size_t key_n, value_n;
};

struct content {
    VEC(struct entry) items;
    size_t seen;
};

static void content_add(struct content *c, const void *key, size_t key_n, const void *value,
                        size_t value_n)
{
    vec_push(&c->items,
             ((struct entry){mem_dup(key, key_n), mem_dup(value, value_n + 1), key_n, value_n}));
}

static void content_free(struct content *c)
{
    for (size_t i = 0; i < c->items.len; i++) {
        mem_free(c->items.items[i].key);
        mem_free(c->items.items[i].value);
    }
    vec_free(&c->items);
}

static int compare(void *ctx, struct str key, struct str value, struct error *err)
{
    struct content *c = ctx;
    (void)err;
    assert_true(c->seen < c->items.len);
    const struct entry *e = &c->items.items[c->seen++];
    assert_true(str_eq(key, str_make(e->key, e->key_n)));
    assert_true(str_eq(value, str_make(e->value, e->value_n)));
    return 0;
}

static int count(void *ctx, struct str name, struct error *err)
{
    (void)name, (void)err;
    ++*(int *)ctx;
    return 0;
}

/* A file of these buckets, read into memory. */
static struct buf file_make(struct content *buckets, const char *const *names, size_t n)
{
    char path[] = "/tmp/c8s-test-bolt.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    struct bolt_writer *w = bolt_writer_new(fd);
    struct error err = {0};
    uint64_t size = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(bolt_bucket_begin(w, str_from(names[i])), 0);
        for (size_t k = 0; k < buckets[i].items.len; k++) {
            const struct entry *e = &buckets[i].items.items[k];
            assert_int_equal(
                bolt_put(w, str_make(e->key, e->key_n), str_make(e->value, e->value_n), &err), 0);
        }
        assert_int_equal(bolt_bucket_end(w, &err), 0);
    }
    assert_int_equal(bolt_finish(w, &size, &err), 0);
    bolt_writer_free(w);
    struct buf b;
    buf_init(&b);
    buf_reserve(&b, size);
    assert_int_equal(pread(fd, b.data, size, 0), (ssize_t)size);
    b.len = size;
    close(fd);
    assert_int_equal(size % BOLT_PAGE, 0);
    return b;
}

static void content_check(const struct bolt *b, const char *bucket, struct content *c)
{
    struct error err = {0};
    c->seen = 0;
    if (bolt_each(b, str_from(bucket), compare, c, &err) < 0)
        fail_msg("%s: %s", bucket, err.message);
    assert_int_equal(c->seen, c->items.len);
}

/* `n` keys of 17 bytes in order, like revisions, with values of up to value_max bytes. */
static void content_fill(struct content *c, size_t n, size_t value_max)
{
    char *value = mem_zalloc(value_max + 1), key[32];
    memset(value, 'v', value_max);
    for (size_t i = 0; i < n; i++) {
        int key_n = snprintf(key, sizeof key, "%08zu_%08zu", i, i * i % 97);
        content_add(c, key, (size_t)key_n, value, i * 7919 % (value_max + 1));
    }
    mem_free(value);
}

static void written_comes_back(void **state)
{
    (void)state;
    static const struct {
        size_t n, value_max;
    } cases[] = {{0, 1}, {1, 0}, {1, 2000000}, {3, 5000}, {500, 100}, {40000, 30}, {300, 9000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static const char *const names[] = {"zoo", "key", "meta"}; /* sorted when written */
        struct content c[3] = {0};
        struct bolt b;
        struct error err = {0};
        int buckets = 0;
        content_fill(&c[0], cases[i].n, cases[i].value_max);
        content_fill(&c[2], 3, 10);
        struct buf file = file_make(c, names, 3);
        assert_int_equal(bolt_open(buf_str(&file), &b, &err), 0);
        for (size_t k = 0; k < 3; k++)
            content_check(&b, names[k], &c[k]);
        assert_int_equal(bolt_each_bucket(&b, count, &buckets, &err), 0);
        assert_int_equal(buckets, 3);
        assert_int_equal(bolt_each(&b, STR("none"), compare, &c[0], &err), ERR_NOT_FOUND);
        buf_free(&file);
        for (size_t k = 0; k < 3; k++)
            content_free(&c[k]);
    }
}

static void keys_up_to_the_limit(void **state)
{
    (void)state;
    static const char *const names[] = {"key"};
    struct content c = {0};
    struct bolt b;
    struct error err = {0};
    char *key = mem_zalloc(BOLT_KEY_MAX);
    for (int i = 0; i < 60; i++) {
        key[0] = (char)('A' + i);
        content_add(&c, key, i % 2 ? BOLT_KEY_MAX : 1000, "x", 1);
    }
    struct buf file = file_make(&c, names, 1);
    assert_int_equal(bolt_open(buf_str(&file), &b, &err), 0);
    content_check(&b, "key", &c);
    buf_free(&file);
    content_free(&c);
    mem_free(key);
}

static int ignore(void *ctx, struct str key, struct str value, struct error *err)
{
    (void)ctx, (void)err;
    /* Whatever it says must lie within the file. */
    volatile char sink = 0;
    for (size_t i = 0; i < key.n; i += 64)
        sink = (char)(sink ^ key.p[i]);
    for (size_t i = 0; i < value.n; i += 64)
        sink = (char)(sink ^ value.p[i]);
    return 0;
}

/* Every byte of heads and elements changed in turn: read or refused, never outside of the bytes. */
static void damage_is_survived(void **state)
{
    (void)state;
    static const char *const names[] = {"key", "lease"};
    struct content c[2] = {0};
    struct error err = {0};
    size_t refused = 0;
    content_fill(&c[0], 600, 60);
    content_fill(&c[1], 2, 3);
    struct buf file = file_make(c, names, 2);
    for (size_t at = 0; at < file.len; at += at % BOLT_PAGE < 200 ? 1 : 37) {
        char *exact = mem_dup(file.data, file.len);
        struct bolt b;
        exact[at] = (char)(exact[at] ^ 0x41);
        int rc = bolt_open(str_make(exact, file.len), &b, &err);
        for (int i = 0; i < 2 && rc == 0; i++)
            rc = bolt_each(&b, str_from(names[i]), ignore, NULL, &err);
        refused += rc < 0;
        mem_free(exact);
    }
    assert_true(refused > 100);
    for (size_t n = 0; n < file.len; n += 1000) {
        struct bolt b;
        char *cut = mem_dup(file.data, n + 1);
        assert_true(bolt_open(str_make(cut, n), &b, &err) < 0);
        mem_free(cut);
    }
    buf_free(&file);
    content_free(&c[0]);
    content_free(&c[1]);
}

/* A tree that leads into itself. */
static void cycles_end(void **state)
{
    (void)state;
    static const char *const names[] = {"key"};
    struct content c = {0};
    struct bolt b;
    struct error err = {0};
    content_fill(&c, 2000, 60);
    struct buf file = file_make(&c, names, 1);
    assert_int_equal(bolt_open(buf_str(&file), &b, &err), 0);
    int branches = 0;
    for (size_t page = 2; page < b.pages; page++) {
        struct bolt_page head;
        memcpy(&head, file.data + page * BOLT_PAGE, sizeof head);
        if (head.flags != BOLT_BRANCH)
            continue;
        branches++;
        struct bolt_branch_element *e = (void *)(file.data + page * BOLT_PAGE + sizeof head);
        e->page = page; /* its own first child */
    }
    assert_true(branches > 0);
    assert_int_equal(bolt_each(&b, STR("key"), ignore, NULL, &err), ERR_CORRUPT);
    buf_free(&file);
    content_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_comes_back),
        cmocka_unit_test(keys_up_to_the_limit),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(cycles_end),
    };
    return cmocka_run_group_tests_name("bolt", tests, NULL, NULL);
}
