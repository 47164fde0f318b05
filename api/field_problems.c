/*
 * Unknown and duplicate fields, as far as they are told: see codec.h.
 */
#include "api/codec.h"
#include <ctype.h>
#include <stdlib.h>

bool field_problems_full(const struct field_problems *p)
{
    return !p || p->len >= FIELD_PROBLEMS_MAX || p->bytes >= FIELD_PROBLEMS_BYTES_MAX;
}

void field_problem_add(struct arena *a, struct field_problems *p, struct field_problem problem)
{
    if (field_problems_full(p))
        return;
    p->bytes += strlen(problem.path);
    for (size_t i = 0; i < p->len; i++) { /* each is told once */
        const struct field_problem *known = &p->items[i];
        if (known->duplicate == problem.duplicate && strcmp(known->path, problem.path) == 0)
            return;
    }
    if (p->len == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 8;
        p->items = arena_grow(a, p->items, p->cap * sizeof *p->items, cap * sizeof *p->items);
        p->cap = cap;
    }
    p->items[p->len++] = problem;
}

const char *field_problem_message(struct arena *a, const struct field_problem *p)
{
    return arena_printf(a, "%s%s field \"%s\"", p->in_patch ? "json patch " : "",
                        p->duplicate ? "duplicate" : "unknown", p->path);
}

/* A name ends before it goes on; whole numbers of items are compared as such. */
static int path_order(const char *a, const char *b)
{
    while (*a && *a == *b && *a != '[')
        a++, b++;
    if (*a == '[' && *b == '[' && isdigit((unsigned char)a[1]) && isdigit((unsigned char)b[1])) {
        char *rest_a, *rest_b;
        unsigned long x = strtoul(a + 1, &rest_a, 10), y = strtoul(b + 1, &rest_b, 10);
        return x != y ? (x > y) - (x < y) : path_order(rest_a, rest_b);
    }
    if (*a == '[' && *b == '[')
        return path_order(a + 1, b + 1);
    bool ends_a = !*a || *a == '.' || *a == '[', ends_b = !*b || *b == '.' || *b == '[';
    if (ends_a != ends_b)
        return ends_a ? -1 : 1;
    return (unsigned char)*a - (unsigned char)*b;
}

static int by_path(const void *x, const void *y)
{
    const struct field_problem *a = x, *b = y;
    int order = path_order(a->path, b->path);
    return order ? order : (a->duplicate > b->duplicate) - (a->duplicate < b->duplicate);
}

void field_problems_sort(struct field_problems *p)
{
    if (p->len)
        qsort(p->items, p->len, sizeof *p->items, by_path);
}
