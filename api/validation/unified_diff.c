/*
 * The difference of two texts, line by line: see diff.h. The way of Python's difflib, which the published servers
 * follow: the longest run of equal lines is taken as it is, then the same is done before it and behind it; lines
 * that a long text is full of do not begin a run.
 */
#include "api/validation/diff.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/str.h"
#include <string.h>

/* Beyond these nothing is shown: the work can grow with the cube. Changes in otherwise equal texts stay far below. */
#define LINES_MAX 4000
#define STEPS_MAX 500000 /* a millisecond or two */
#define CONTEXT 3        /* equal lines around a change */
#define POPULAR_MIN \
    200 /* lines of a text that has popular ones: more than a hundredth of it, and one */

struct lines {
    struct str *items; /* without their ends */
    int *ids;          /* equal for equal lines */
    int n;
};

/* Equal lines: a[i, i+n) and b[j, j+n). */
struct run {
    int i, j, n;
};

struct matcher {
    struct arena *a;
    struct lines old, new;
    int *first, *next; /* by id: the first place in `new`; by place: the next one; -1: none */
    int *row, *above;  /* lengths of runs that end at a place + 1 of `new`, for a line of `old` */
    struct run *runs;
    int n_runs;
    int steps; /* places compared, and lines passed */
};

static struct lines split(struct arena *a, const char *text)
{
    struct lines l = {0};
    struct str rest = str_from(text), line;
    size_t n = 1;
    for (const char *c = text; *c; c++)
        n += *c == '\n';
    l.items = arena_array(a, struct str, n);
    while ((size_t)l.n < n && str_split(&rest, '\n', &line))
        l.items[l.n++] = line;
    return l;
}

/* Open addressing over the lines of both; a table twice as large as there are lines. */
static int number_lines(struct arena *a, struct lines *old, struct lines *new)
{
    size_t slots = 1;
    int count = 0;
    while (slots < 2 * (size_t)(old->n + new->n + 1))
        slots *= 2;
    struct slot {
        struct str line;
        int id;
    } *table = arena_array(a, struct slot, slots);
    struct lines *both[2] = {old, new};
    for (int side = 0; side < 2; side++) {
        both[side]->ids = arena_array(a, int, (size_t)both[side]->n + 1);
        for (int i = 0; i < both[side]->n; i++) {
            struct str line = both[side]->items[i];
            size_t at = hash_bytes(line.p, line.n) & (slots - 1);
            while (table[at].id && !str_eq(table[at].line, line))
                at = (at + 1) & (slots - 1);
            if (!table[at].id)
                table[at] = (struct slot){line, ++count};
            both[side]->ids[i] = table[at].id - 1;
        }
    }
    return count;
}

/* Where each line stands in `new`, in order; popular lines nowhere. */
static void index_lines(struct matcher *m, int count)
{
    int n = m->new.n, *times = arena_array(m->a, int, (size_t)count + 1);
    m->first = arena_array(m->a, int, (size_t)count + 1);
    m->next = arena_array(m->a, int, (size_t)n + 1);
    for (int id = 0; id < count; id++)
        m->first[id] = -1;
    for (int j = n - 1; j >= 0; j--) {
        int id = m->new.ids[j];
        m->next[j] = m->first[id];
        m->first[id] = j;
        times[id]++;
    }
    for (int id = 0; id < count && n >= POPULAR_MIN; id++) {
        if (times[id] > n / 100 + 1)
            m->first[id] = -1;
    }
}

/* The lengths that stand in `row` for the line of `old`. */
static void clear_row(const struct matcher *m, int *row, int line)
{
    for (int j = m->first[m->old.ids[line]]; j >= 0; j = m->next[j])
        row[j + 1] = 0;
}

/* The longest run within a[i0, i1) and b[j0, j1): of equally long ones the first in `old`, then in `new`. */
static struct run longest_run(struct matcher *m, int i0, int i1, int j0, int j1)
{
    const int *a = m->old.ids, *b = m->new.ids;
    struct run best = {i0, j0, 0};
    for (int i = i0; i < i1; i++, m->steps++) {
        int *swap = m->above;
        m->above = m->row;
        m->row = swap;
        if (i - 2 >= i0)
            clear_row(m, m->row, i - 2);
        for (int j = m->first[a[i]]; j >= 0 && j < j1; j = m->next[j]) {
            m->steps++;
            if (j < j0)
                continue;
            int length = m->row[j + 1] = m->above[j] + 1;
            if (length > best.n)
                best = (struct run){i - length + 1, j - length + 1, length};
        }
    }
    for (int i = i1 - 2 < i0 ? i0 : i1 - 2; i < i1; i++) {
        clear_row(m, m->row, i);
        clear_row(m, m->above, i);
    }
    while (best.i > i0 && best.j > j0 && a[best.i - 1] == b[best.j - 1])
        best = (struct run){best.i - 1, best.j - 1, best.n + 1};
    while (best.i + best.n < i1 && best.j + best.n < j1 && a[best.i + best.n] == b[best.j + best.n])
        best.n++;
    return best;
}

/* All runs, in order; those that touch are one. What is left to search is on a stack, what comes first on top. */
static void find_runs(struct matcher *m)
{
    struct part {
        int i0, i1, j0, j1;
        struct run done; /* n: this run comes next, there is nothing to search */
    } *stack = arena_array(m->a, struct part, (size_t)(2 * (m->old.n + m->new.n) + 4));
    int depth = 0;
    m->runs = arena_array(m->a, struct run, (size_t)m->old.n + 1);
    stack[depth++] = (struct part){0, m->old.n, 0, m->new.n, {0}};
    while (depth > 0 && m->steps <= STEPS_MAX) {
        struct part p = stack[--depth];
        struct run r = p.done.n ? p.done : longest_run(m, p.i0, p.i1, p.j0, p.j1);
        if (p.done.n) {
            struct run *last = m->n_runs ? &m->runs[m->n_runs - 1] : NULL;
            if (last && last->i + last->n == r.i && last->j + last->n == r.j)
                last->n += r.n;
            else
                m->runs[m->n_runs++] = r;
            continue;
        }
        if (r.n == 0)
            continue;
        if (r.i + r.n < p.i1 && r.j + r.n < p.j1)
            stack[depth++] = (struct part){r.i + r.n, p.i1, r.j + r.n, p.j1, {0}};
        stack[depth++] = (struct part){.done = r};
        if (p.i0 < r.i && p.j0 < r.j)
            stack[depth++] = (struct part){p.i0, r.i, p.j0, r.j, {0}};
    }
}

static void put_range(struct buf *out, int start, int stop)
{
    if (stop - start == 1)
        buf_printf(out, "%d", start + 1);
    else
        buf_printf(out, "%d,%d", stop == start ? start : start + 1, stop - start);
}

static void put_lines(struct buf *out, char mark, const struct lines *l, int start, int stop)
{
    for (int i = start; i < stop; i++)
        buf_printf(out, "%c%.*s\n", mark, (int)l->items[i].n, l->items[i].p);
}

/* Changes with few equal lines between them: those that follow run[from], up to the equal lines that end the hunk.
 * Returns the run that stands there; n_runs: the end of the texts does. */
static int put_hunk(const struct matcher *m, int from, struct buf *out)
{
    struct run start = from < 0 ? (struct run){0} : m->runs[from];
    int lead = start.n < CONTEXT ? start.n : CONTEXT, last = from + 1;
    int i = start.i + start.n - lead, j = start.j + start.n - lead;
    while (last < m->n_runs && m->runs[last].n <= 2 * CONTEXT && last + 1 < m->n_runs)
        last++;
    bool at_end = last >= m->n_runs;
    struct run stop = at_end ? (struct run){m->old.n, m->new.n, 0} : m->runs[last];
    /* equal lines at the very end, and changes behind few equal ones */
    bool changes_behind = !at_end && last + 1 == m->n_runs &&
                          (stop.i + stop.n < m->old.n || stop.j + stop.n < m->new.n);
    if (changes_behind && stop.n <= 2 * CONTEXT) {
        last = m->n_runs;
        stop = (struct run){m->old.n, m->new.n, 0};
    }
    int trail = stop.n < CONTEXT ? stop.n : CONTEXT;
    buf_append_cstr(out, "@@ -");
    put_range(out, i, stop.i + trail);
    buf_append_cstr(out, " +");
    put_range(out, j, stop.j + trail);
    buf_append_cstr(out, " @@\n");
    put_lines(out, ' ', &m->old, i, i + lead);
    i += lead;
    j += lead;
    for (int r = from + 1; r <= last; r++) {
        struct run equal = r == last ? stop : m->runs[r];
        put_lines(out, '-', &m->old, i, equal.i);
        put_lines(out, '+', &m->new, j, equal.j);
        put_lines(out, ' ', &m->old, equal.i, equal.i + (r == last ? trail : equal.n));
        i = equal.i + equal.n;
        j = equal.j + equal.n;
    }
    return last;
}

static void put_hunks(const struct matcher *m, struct buf *out)
{
    int at = m->n_runs && m->runs[0].i == 0 && m->runs[0].j == 0 ? 0 : -1;
    while (at < m->n_runs) {
        struct run r = at < 0 ? (struct run){0} : m->runs[at];
        if (r.i + r.n == m->old.n && r.j + r.n == m->new.n)
            return;
        at = put_hunk(m, at, out);
    }
}

const char *unified_diff(struct arena *a, const char *old, const char *new)
{
    struct matcher m = {.a = a, .old = split(a, old), .new = split(a, new)};
    if (m.old.n > LINES_MAX || m.new.n > LINES_MAX)
        return "";
    index_lines(&m, number_lines(a, &m.old, &m.new));
    size_t width = (size_t)m.new.n + 2;
    m.row = arena_array(a, int, width);
    m.above = arena_array(a, int, width);
    find_runs(&m);
    if (m.steps > STEPS_MAX)
        return "";
    struct buf out;
    buf_init(&out);
    put_hunks(&m, &out);
    const char *text = arena_strndup(a, out.data ? out.data : "", out.len);
    buf_free(&out);
    return text;
}
