/*
 * Specification of base/mem.h, arena.h, blob.h, vec.h, heap.h, list.h and map.h.
 */
#include "base/arena.h"
#include "base/arena_text.h"
#include "base/blob.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "base/vec.h"

#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* --- mem --- */

static void copies_are_independent_and_zero_sizes_are_valid(void **state)
{
    (void)state;
    char *s = mem_strdup("abc");
    assert_string_equal(s, "abc");
    char *cut = mem_strndup("abcdef", 4);
    assert_string_equal(cut, "abcd");
    char *printed = mem_printf("%s-%d", cut, 7);
    assert_string_equal(printed, "abcd-7");
    void *nothing = mem_alloc(0);
    assert_non_null(nothing);
    mem_free(s);
    mem_free(cut);
    mem_free(printed);
    mem_free(nothing);
    mem_free(NULL);
}

/* --- arena --- */

static void arena_gives_aligned_memory_of_any_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 500, 1024, 4096, 70000, 3};
    struct arena a;
    arena_init(&a);
    for (int round = 0; round < 100; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            char *p = arena_alloc(&a, sizes[i]);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            memset(p, round, sizes[i]); /* the sanitizer sees an overlap or overrun */
        }
    }
    assert_true(a.used >= 100 * 70000);
    arena_free(&a);
    assert_int_equal(a.used, 0);
    assert_string_equal(arena_strdup(&a, "usable again"), "usable again");
    arena_free(&a);
}

static void arena_grows_the_last_allocation_in_place(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    char *p = arena_alloc(&a, 16);
    memcpy(p, "0123456789abcde", 16);
    char *same = arena_grow(&a, p, 16, 64);
    assert_ptr_equal(same, p);
    char *other = arena_alloc(&a, 16);
    char *moved = arena_grow(&a, p, 64, 128);
    assert_ptr_not_equal(moved, p);
    assert_memory_equal(moved, "0123456789abcde", 16);
    assert_ptr_not_equal(moved, other);
    char *fresh = arena_grow(&a, NULL, 0, 10);
    assert_non_null(fresh);
    arena_free(&a);
}

static void arena_with_a_limit_returns_null_past_it(void **state)
{
    (void)state;
    struct arena a;
    arena_init_limited(&a, 256);
    assert_non_null(arena_alloc(&a, 200));
    assert_null(arena_alloc(&a, 100));
    assert_null(arena_zalloc(&a, SIZE_MAX));
    assert_null(arena_strdup(&a, "a string that is longer than the forty-eight bytes left over"));
    assert_non_null(arena_alloc(&a, 32));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 200));
    arena_free(&a);
}

static void arena_prints_and_copies(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_string_equal(arena_printf(&a, "%s=%d", "x", 5), "x=5");
    assert_string_equal(arena_strndup(&a, "abc", 2), "ab");
    assert_string_equal(arena_strndup(&a, "abc", 9), "abc");
    assert_memory_equal(arena_dup(&a, "a\0b", 3), "a\0b", 3);
    arena_free(&a);
}

/* --- blob --- */

static void arena_texts_grow_and_join(void **state)
{
    (void)state;
    const char *const items[] = {"a", "", "ccc"};
    struct arena a;
    arena_init(&a);
    assert_string_equal(arena_join(&a, items, 3, ", "), "a, , ccc");
    assert_string_equal(arena_join(&a, items, 1, ", "), "a");
    assert_string_equal(arena_join(&a, NULL, 0, ", "), "");
    struct arena_text text = {.a = &a};
    assert_string_equal(arena_text_of(&text), "");
    arena_text_addf(&text, "%s", "");
    assert_string_equal(arena_text_of(&text), "");
    size_t before = a.used;
    for (int i = 0; i < 100000; i++) {
        arena_text_addf(&text, "%d", i % 10);
        arena_text_add(&text, ",");
    }
    assert_int_equal(text.len, 200000);
    assert_memory_equal(arena_text_of(&text) + 199980, "0,1,2,3,4,5,6,7,8,9,", 21);
    assert_true(a.used - before < 1 << 20);
    arena_free(&a);
}

static void blob_lives_until_its_last_reference(void **state)
{
    (void)state;
    struct blob *b = blob_from("hello", 5);
    struct blob *again = blob_ref(b);
    blob_unref(b);
    assert_true(str_eqz(blob_str(again), "hello"));
    blob_unref(again);
    blob_unref(NULL);
    assert_null(blob_ref(NULL));
    assert_int_equal(blob_str(NULL).n, 0);
}

/* --- vec --- */

static void vec_grows_and_keeps_order_on_removal(void **state)
{
    (void)state;
    VEC(int) v = {0};
    for (int i = 0; i < 100; i++)
        vec_push(&v, i);
    vec_remove(&v, 0);
    vec_remove(&v, 49);
    assert_int_equal(v.len, 98);
    assert_int_equal(v.items[0], 1);
    assert_int_equal(v.items[48], 49);
    assert_int_equal(v.items[49], 51);
    assert_int_equal(vec_pop(&v), 99);
    vec_free(&v);
    assert_null(v.items);
}

/* --- list --- */

struct node {
    int v;
    struct list link;
};

static void expect_list(struct list *head, const char *want)
{
    char got[64] = "";
    list_for_each (it, head) {
        size_t n = strlen(got);
        snprintf(got + n, sizeof got - n, "%d", list_entry(it, struct node, link)->v);
    }
    assert_string_equal(got, want);
}

static void list_orders_splices_and_removes(void **state)
{
    (void)state;
    struct list a, b;
    struct node n[5];
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 5; i++)
        n[i].v = i;
    list_push_back(&a, &n[1].link);
    list_push_back(&a, &n[2].link);
    list_push_front(&a, &n[0].link);
    expect_list(&a, "012");
    list_push_back(&b, &n[3].link);
    list_push_back(&b, &n[4].link);
    list_splice_back(&a, &b);
    expect_list(&a, "01234");
    assert_true(list_empty(&b));
    list_splice_back(&a, &b);
    expect_list(&a, "01234");
    list_for_each_safe (it, &a)
        if (list_entry(it, struct node, link)->v % 2)
            list_remove(it);
    expect_list(&a, "024");
    list_remove(&n[1].link); /* twice is harmless */
    expect_list(&a, "024");
}

/* --- heap --- */

struct timer {
    struct heap_item item;
};

static void heap_pops_in_key_order_whatever_was_removed_or_rekeyed(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct timer *t = mem_zalloc(COUNT * sizeof *t);
    struct rng r;
    struct heap h;
    heap_init(&h);
    assert_null(heap_peek(&h));
    assert_null(heap_pop(&h));
    rng_seed(&r, 1);
    for (size_t i = 0; i < COUNT; i++)
        heap_insert(&h, &t[i].item, rng_below(&r, 1000));
    for (size_t i = 0; i < COUNT; i += 3)
        heap_remove(&h, &t[i].item);
    heap_remove(&h, &t[0].item); /* not in the heap: no-op */
    for (size_t i = 1; i < COUNT; i += 3)
        heap_rekey(&h, &t[i].item, rng_below(&r, 1000));
    heap_rekey(&h, &t[0].item, 5); /* absent: inserted */
    uint64_t last = 0;
    size_t count = 0;
    for (struct heap_item *it; (it = heap_pop(&h)); count++) {
        assert_true(it->key >= last);
        assert_int_equal(it->index, 0);
        last = it->key;
    }
    assert_int_equal(count, COUNT - (COUNT + 2) / 3 + 1);
    heap_free(&h);
    mem_free(t);
}

/* --- map --- */

static void map_replaces_removes_and_tells_absent_from_null(void **state)
{
    (void)state;
    int one = 1, two = 2;
    struct map m;
    map_init(&m);
    assert_null(map_get(&m, STR("a")));
    assert_null(map_put(&m, STR("a"), &one));
    assert_ptr_equal(map_put(&m, STR("a"), &two), &one);
    assert_ptr_equal(map_get(&m, STR("a")), &two);
    map_put(&m, STR("null"), NULL);
    assert_true(map_has(&m, STR("null")));
    assert_false(map_has(&m, STR("nul")));
    map_put(&m, str_make("x\0y", 3), &one);
    assert_false(map_has(&m, STR("x")));
    map_put(&m, STR(""), &one);
    assert_ptr_equal(map_get(&m, STR("")), &one);
    assert_int_equal(m.len, 4);
    assert_ptr_equal(map_remove(&m, STR("a")), &two);
    assert_null(map_remove(&m, STR("a")));
    map_clear(&m);
    assert_int_equal(m.len, 0);
    assert_false(map_has(&m, STR("")));
    map_free(&m);
}

static void map_agrees_with_an_array_over_random_operations(void **state)
{
    (void)state;
    enum { KEYS = 300 };
    void *model[KEYS] = {0};
    size_t live = 0;
    struct map m;
    struct rng r;
    map_init(&m);
    rng_seed(&r, 7);
    for (int step = 0; step < 20000; step++) {
        char name[16];
        size_t k = rng_below(&r, KEYS);
        struct str key = str_make(name, (size_t)snprintf(name, sizeof name, "key-%zu", k));
        if (rng_below(&r, 2)) {
            void *value = (void *)(uintptr_t)(step + 1);
            assert_ptr_equal(map_put(&m, key, value), model[k]);
            live += !model[k];
            model[k] = value;
        } else {
            assert_ptr_equal(map_remove(&m, key), model[k]);
            live -= model[k] != NULL;
            model[k] = NULL;
        }
        assert_int_equal(m.len, live);
        assert_true(m.capacity <= 4 * KEYS); /* removed slots are reclaimed */
    }
    size_t seen = 0;
    struct map_iter it = {0};
    while (map_next(&m, &it)) {
        size_t k = (size_t)strtoul(it.key.p + 4, NULL, 10);
        assert_ptr_equal(it.value, model[k]);
        seen++;
        map_remove(&m, it.key); /* allowed while iterating */
    }
    assert_int_equal(seen, live);
    assert_int_equal(m.len, 0);
    map_free(&m);
}

static void hash_depends_on_every_byte_and_the_length(void **state)
{
    (void)state;
    char bytes[40] = {0};
    uint64_t base = hash_bytes(bytes, sizeof bytes);
    assert_true(base == hash_bytes(bytes, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = 1;
        assert_true(hash_bytes(bytes, sizeof bytes) != base);
        bytes[i] = 0;
        assert_true(hash_bytes(bytes, i) != base);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_independent_and_zero_sizes_are_valid),
        cmocka_unit_test(arena_gives_aligned_memory_of_any_size),
        cmocka_unit_test(arena_grows_the_last_allocation_in_place),
        cmocka_unit_test(arena_with_a_limit_returns_null_past_it),
        cmocka_unit_test(arena_prints_and_copies),
        cmocka_unit_test(arena_texts_grow_and_join),
        cmocka_unit_test(blob_lives_until_its_last_reference),
        cmocka_unit_test(vec_grows_and_keeps_order_on_removal),
        cmocka_unit_test(list_orders_splices_and_removes),
        cmocka_unit_test(heap_pops_in_key_order_whatever_was_removed_or_rekeyed),
        cmocka_unit_test(map_replaces_removes_and_tells_absent_from_null),
        cmocka_unit_test(map_agrees_with_an_array_over_random_operations),
        cmocka_unit_test(hash_depends_on_every_byte_and_the_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
