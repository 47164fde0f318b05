/*
 * The set checker (check_set.h): reads are taken in the order of their ends; for each element it is
 * remembered when somebody first had it for certain.
 */
#include "tests/robustness/check_set.h"

#include "base/mem.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int by_element(const void *x, const void *y)
{
    const struct set_add *a = x, *b = y;
    return a->element < b->element ? -1 : a->element > b->element;
}

static int by_end(const void *x, const void *y)
{
    const struct set_read *a = x, *b = y;
    return a->end_ns < b->end_ns ? -1 : a->end_ns > b->end_ns;
}

static const struct set_add *find(const struct set_add *adds, size_t n, uint64_t element)
{
    const struct set_add wanted = {.element = element};
    return bsearch(&wanted, adds, n, sizeof *adds, by_element);
}

/* Mark what the read holds in `present`. */
static bool take_elements(const struct set_add *adds, size_t n, const struct set_read *r,
                          uint8_t *present, struct verdict *v)
{
    for (size_t i = 0; i < r->elements_len; i++) {
        const struct set_add *a = find(adds, n, r->elements[i]);
        if (!a || a->start_ns > r->end_ns)
            return verdict_fail(v, "phantom: element %" PRIu64 " was read %s", r->elements[i],
                                a ? "before it was added" : "and never added");
        if (present[a - adds]++)
            return verdict_fail(v, "duplicate: element %" PRIu64 " is in a read twice", a->element);
        if (a->revision > r->revision)
            return verdict_fail(
                v, "a read of revision %" PRId64 " has element %" PRIu64 " of revision %" PRId64,
                r->revision, a->element, a->revision);
    }
    return true;
}

static bool check_missing(const struct set_add *adds, size_t n, const struct set_read *r,
                          const uint8_t *present, const uint64_t *certain_ns, struct verdict *v)
{
    for (size_t i = 0; i < n; i++) {
        const struct set_add *a = &adds[i];
        if (present[i])
            continue;
        if (certain_ns[i] < r->start_ns)
            return verdict_fail(
                v, "%s: element %" PRIu64 " is missing from a read of revision %" PRId64,
                a->unknown ? "vanished" : "lost write", a->element, r->revision);
        if (!a->unknown && a->revision <= r->revision)
            return verdict_fail(v,
                                "hole: a read of revision %" PRId64 " lacks element %" PRIu64
                                " of revision %" PRId64,
                                r->revision, a->element, a->revision);
    }
    return true;
}

void check_set(struct set_add *adds, size_t adds_len, struct set_read *reads, size_t reads_len,
               struct verdict *v)
{
    check_sort(adds, adds_len, sizeof *adds, by_element);
    check_sort(reads, reads_len, sizeof *reads, by_end);
    uint64_t *certain_ns = mem_alloc((adds_len + 1) * sizeof *certain_ns);
    uint8_t *present = mem_alloc(adds_len + 1);
    for (size_t i = 0; i < adds_len; i++)
        certain_ns[i] = adds[i].unknown ? UINT64_MAX : adds[i].end_ns;
    for (size_t r = 0; r < reads_len && !v->bad; r++) {
        memset(present, 0, adds_len + 1);
        if (!take_elements(adds, adds_len, &reads[r], present, v) ||
            !check_missing(adds, adds_len, &reads[r], present, certain_ns, v))
            break;
        for (size_t i = 0; i < adds_len; i++)
            if (present[i] && reads[r].end_ns < certain_ns[i])
                certain_ns[i] = reads[r].end_ns;
    }
    mem_free(certain_ns);
    mem_free(present);
}
