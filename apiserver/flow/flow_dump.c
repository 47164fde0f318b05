/*
 * Tables of levels, queues and requests: see flow_dump.h.
 */
#include "apiserver/flow/flow_dump.h"
#include "apiserver/flow/flow_state.h"
#include "apiserver/request.h"
#include "base/arena_text.h"
#include "base/clock.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

#define COLUMN_MIN 8

/* ---- a table ---- */

struct table {
    struct arena arena;
    size_t columns;
    VEC(const char *) cells; /* row by row */
};

static void cell(struct table *t, const char *text)
{
    vec_push(&t->cells, text);
}

static void cell_number(struct table *t, int64_t n)
{
    cell(t, arena_printf(&t->arena, "%lld", (long long)n));
}

static void cell_bool(struct table *t, bool b)
{
    cell(t, b ? "true" : "false");
}

/* From a request: what would break the line or move the columns shows as "?". */
static void cell_text(struct table *t, struct str s)
{
    char *text = arena_strndup(&t->arena, s.p, s.n);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    cell(t, text);
}

static void cell_cstr(struct table *t, const char *s)
{
    cell_text(t, str_from(s));
}

static void table_begin(struct table *t, const char *const *names, size_t n)
{
    arena_init(&t->arena);
    t->columns = n;
    for (size_t i = 0; i < n; i++)
        cell(t, names[i]);
}

/* Characters, not bytes. */
static size_t width_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += (*s & 0xc0) != 0x80;
    return n;
}

/* A comma and a space follow each but a line's last. */
static void table_end(struct table *t, struct buf *out)
{
    size_t *wide = arena_array(&t->arena, size_t, t->columns + 1);
    for (size_t i = 0; i < t->columns; i++)
        wide[i] = COLUMN_MIN;
    for (size_t i = 0; i < t->cells.len; i++)
        wide[i % t->columns] = MAX(wide[i % t->columns], width_of(t->cells.items[i]) + 2);
    for (size_t i = 0; i < t->cells.len; i++) {
        const char *text = t->cells.items[i];
        bool last = i % t->columns == t->columns - 1;
        buf_append_cstr(out, text);
        buf_append_char(out, last ? '\n' : ',');
        for (size_t n = width_of(text) + 1; !last && n < wide[i % t->columns]; n++)
            buf_append_char(out, ' ');
    }
    vec_free(&t->cells);
    arena_free(&t->arena);
}

/* ---- levels ---- */

static int by_name(const void *a, const void *b)
{
    return str_cmp((*(struct flow_level *const *)a)->name, (*(struct flow_level *const *)b)->name);
}

/* Those that there are, or that somebody still waits or is served in; by name. */
static size_t levels_of(struct flow_control *fc, struct table *t, struct flow_level ***out)
{
    size_t n = 0;
    *out = arena_array(&t->arena, struct flow_level *, fc->levels.len + 1);
    for (size_t i = 0; i < fc->levels.len; i++) {
        struct flow_level *l = fc->levels.items[i];
        if (l->uid[0] || l->waiting || l->executing)
            (*out)[n++] = l;
    }
    qsort(*out, n, sizeof **out, by_name);
    return n;
}

static void level_row(struct table *t, const struct flow_level *l)
{
    cell_text(t, l->name);
    cell_number(t, (int64_t)l->waiting_flows.len);
    cell_bool(t, !l->waiting && !l->executing);
    cell_bool(t, !l->uid[0]);
    cell_number(t, l->waiting);
    cell_number(t, l->executing);
    cell_number(t, (int64_t)l->dispatched);
    cell_number(t, (int64_t)l->rejected);
    cell_number(t, (int64_t)l->timed_out);
    cell_number(t, (int64_t)l->cancelled);
}

void flow_dump_levels(struct flow_control *fc, struct buf *out)
{
    static const char *const names[] = {
        "PriorityLevelName",  "ActiveQueues",     "IsIdle",
        "IsQuiescing",        "WaitingRequests",  "ExecutingRequests",
        "DispatchedRequests", "RejectedRequests", "TimedoutRequests",
        "CancelledRequests"};
    struct table t = {0};
    struct flow_level **levels;
    table_begin(&t, names, ARRAY_LEN(names));
    pthread_mutex_lock(&fc->lock);
    size_t n = levels_of(fc, &t, &levels);
    for (size_t i = 0; i < n; i++)
        level_row(&t, levels[i]);
    pthread_mutex_unlock(&fc->lock);
    table_end(&t, out);
}

/* ---- queues ---- */

static bool has_queues(const struct flow_level *l)
{
    return l->queue_max || l->waiting;
}

static void queue_row(struct table *t, const struct flow *f)
{
    uint64_t seats = 0;
    list_for_each (it, &f->waiting)
        seats += flow_seats_wanted(list_entry(it, struct flow_ticket, link));
    cell_text(t, f->level->name);
    cell_number(t, f->index);
    cell_number(t, f->waiting_len);
    cell_number(t, f->executing);
    cell_number(t, f->seated);
    cell(t, "<none>");
    cell_number(t, (int64_t)seats);
    cell_number(t, (int64_t)seats);
    cell(t, "<none>");
}

static void number_flows(struct flow_level *l)
{
    struct map_iter it = {0};
    for (int n = 0; map_next(&l->flows, &it); n++)
        ((struct flow *)it.value)->index = n;
}

void flow_dump_queues(struct flow_control *fc, struct buf *out)
{
    static const char *const names[] = {"PriorityLevelName", "Index",       "PendingRequests",
                                        "ExecutingRequests", "SeatsInUse",  "NextDispatchR",
                                        "InitialSeatsSum",   "MaxSeatsSum", "TotalWorkSum"};
    struct table t = {0};
    struct flow_level **levels;
    table_begin(&t, names, ARRAY_LEN(names));
    pthread_mutex_lock(&fc->lock);
    size_t n = levels_of(fc, &t, &levels);
    for (size_t i = 0; i < n; i++) {
        struct map_iter it = {0};
        number_flows(levels[i]);
        while (has_queues(levels[i]) && map_next(&levels[i]->flows, &it))
            queue_row(&t, it.value);
    }
    pthread_mutex_unlock(&fc->lock);
    table_end(&t, out);
}

/* ---- requests ---- */

/* As Go's RFC3339Nano: no zeros at the end. `ns` is of clock_mono_ns. */
static void cell_time(struct table *t, uint64_t ns)
{
    char text[CLOCK_RFC3339_MAX];
    int64_t wall = clock_wall_ns() - (int64_t)(clock_mono_ns() - ns);
    size_t n = clock_format_rfc3339(wall / (int64_t)NS_PER_S, (int32_t)(wall % (int64_t)NS_PER_S),
                                    9, text);
    n--; /* Z */
    while (text[n - 1] == '0')
        n--;
    n -= text[n - 1] == '.';
    cell(t, arena_printf(&t->arena, "%.*sZ", (int)n, text));
}

static void cell_version(struct table *t, const struct request_info *i)
{
    cell_cstr(t, *i->group ? arena_printf(&t->arena, "%s/%s", i->group, i->version) : i->version);
}

static void detail_cells(struct table *t, const struct flow_ticket *ticket)
{
    static const struct request_info nothing = REQUEST_INFO_NONE;
    const struct request_info *i = ticket->about ? ticket->about : &nothing;
    cell_cstr(t, ticket->user ? ticket->user->name : "");
    cell_cstr(t, i->verb_str);
    cell_cstr(t, i->path);
    cell_cstr(t, i->ns);
    cell_cstr(t, i->name);
    cell_version(t, i);
    cell_cstr(t, i->resource);
    cell_cstr(t, i->subresource);
}

static struct str distinguisher(const struct flow *f)
{
    size_t schema = f ? strlen(f->key.p) + 1 : 0;
    return f ? str_slice(f->key, schema, f->key.n) : STR_NONE;
}

/* place: among those of its queue that wait; -1: it does not. */
static void request_row(struct table *t, const struct flow_ticket *ticket, int place, bool details)
{
    const struct flow_level *l = ticket->level;
    cell_text(t, l->name);
    cell_text(t, ticket->counts->schema);
    cell_number(t, ticket->flow && has_queues(l) ? ticket->flow->index : -1);
    cell_number(t, place);
    cell_text(t, distinguisher(ticket->flow));
    cell_time(t, ticket->arrived_ns);
    cell_number(t, place < 0 ? ticket->seats : flow_seats_wanted(ticket));
    cell_number(t, 0);
    cell(t, "0s");
    if (place < 0)
        cell_time(t, ticket->started_ns);
    else
        cell(t, "0001-01-01T00:00:00Z");
    if (details)
        detail_cells(t, ticket);
}

static void request_rows(struct table *t, struct flow_level *l, bool details)
{
    struct map_iter flows = {0};
    number_flows(l);
    list_for_each (it, &l->inside)
        request_row(t, list_entry(it, struct flow_ticket, link), -1, details);
    while (map_next(&l->flows, &flows)) {
        const struct flow *f = flows.value;
        int place = 0;
        list_for_each (it, &f->waiting)
            request_row(t, list_entry(it, struct flow_ticket, link), place++, details);
    }
}

void flow_dump_requests(struct flow_control *fc, bool details, struct buf *out)
{
    static const char *const names[] = {"PriorityLevelName", "FlowSchemaName", "QueueIndex",
                                        "RequestIndexInQueue", "FlowDistingsher", "ArriveTime",
                                        "InitialSeats", "FinalSeats", "AdditionalLatency",
                                        "StartTime",
                                        /* details */
                                        "UserName", "Verb", "APIPath", "Namespace", "Name",
                                        "APIVersion", "Resource", "SubResource"};
    struct table t = {0};
    struct flow_level **levels;
    table_begin(&t, names, details ? ARRAY_LEN(names) : 10);
    pthread_mutex_lock(&fc->lock);
    size_t n = levels_of(fc, &t, &levels);
    for (size_t i = 0; i < n; i++)
        request_rows(&t, levels[i], details);
    pthread_mutex_unlock(&fc->lock);
    table_end(&t, out);
}
