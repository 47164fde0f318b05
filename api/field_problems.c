/*
 * Unknown and duplicate fields, as far as they are told: see codec.h.
 */
#include "api/codec.h"

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
