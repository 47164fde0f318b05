/*
 * Prometheus metrics, text exposition format 0.0.4.
 *
 * A registry is a list of families (one name, type and help), each with its series (one set of
 * labels). Registering takes a lock; updating a series is an atomic operation on the series itself.
 */
#include "base/metrics.h"
#include "base/list.h"

#include <assert.h>
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum metric_kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

struct counter {
    atomic_uint_fast64_t value;
};

struct gauge {
    _Atomic double value;
    double (*fn)(void *ctx); /* computed gauge, or NULL */
    void *ctx;
};

struct histogram {
    double *bounds; /* ascending, without +Inf */
    size_t bounds_len;
    atomic_uint_fast64_t *buckets; /* bounds_len + 1, not cumulative */
    _Atomic double sum;
};

struct series {
    struct list link; /* family.series */
    char *labels;     /* inside of the braces; "" for none */
    union {
        struct counter counter;
        struct gauge gauge;
        struct histogram histogram;
    };
};

struct family {
    struct list link; /* metrics.families */
    char *name, *help;
    enum metric_kind kind;
    struct list series;
};

struct metrics {
    pthread_mutex_t lock; /* guards the lists, not the values */
    struct list families;
};

struct metrics *metrics_new(void)
{
    struct metrics *m = mem_zalloc(sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    list_init(&m->families);
    return m;
}

static void series_free(struct series *s, enum metric_kind kind)
{
    if (kind == KIND_HISTOGRAM) {
        mem_free(s->histogram.bounds);
        mem_free(s->histogram.buckets);
    }
    mem_free(s->labels);
    mem_free(s);
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    list_for_each_safe (f, &m->families) {
        struct family *family = list_entry(f, struct family, link);
        list_for_each_safe (s, &family->series)
            series_free(list_entry(s, struct series, link), family->kind);
        mem_free(family->name);
        mem_free(family->help);
        mem_free(family);
    }
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
}

static struct family *family_get(struct metrics *m, const char *name, const char *help,
                                 enum metric_kind kind)
{
    list_for_each (it, &m->families) {
        struct family *f = list_entry(it, struct family, link);
        if (cstr_eq(f->name, name)) {
            assert(f->kind == kind && "one metric name, two types");
            return f;
        }
    }
    struct family *f = mem_zalloc(sizeof *f);
    f->name = mem_strdup(name);
    f->help = mem_strdup(help ? help : "");
    f->kind = kind;
    list_init(&f->series);
    list_push_back(&m->families, &f->link);
    return f;
}

/* The series with these labels, made when absent (*created). Called with the lock held. */
static struct series *series_get(struct metrics *m, const char *name, const char *labels,
                                 const char *help, enum metric_kind kind, bool *created)
{
    struct family *f = family_get(m, name, help, kind);
    *created = false;
    list_for_each (it, &f->series) {
        struct series *s = list_entry(it, struct series, link);
        if (cstr_eq(s->labels, labels))
            return s;
    }
    struct series *s = mem_zalloc(sizeof *s);
    s->labels = mem_strdup(labels ? labels : "");
    list_push_back(&f->series, &s->link);
    *created = true;
    return s;
}

struct counter *metrics_counter(struct metrics *m, const char *name, const char *labels,
                                const char *help)
{
    bool created;
    pthread_mutex_lock(&m->lock);
    struct series *s = series_get(m, name, labels, help, KIND_COUNTER, &created);
    pthread_mutex_unlock(&m->lock);
    return &s->counter;
}

struct gauge *metrics_gauge(struct metrics *m, const char *name, const char *labels,
                            const char *help)
{
    bool created;
    pthread_mutex_lock(&m->lock);
    struct series *s = series_get(m, name, labels, help, KIND_GAUGE, &created);
    pthread_mutex_unlock(&m->lock);
    return &s->gauge;
}

void metrics_gauge_fn(struct metrics *m, const char *name, const char *labels, const char *help,
                      double (*fn)(void *ctx), void *ctx)
{
    bool created;
    pthread_mutex_lock(&m->lock);
    struct series *s = series_get(m, name, labels, help, KIND_GAUGE, &created);
    s->gauge.fn = fn;
    s->gauge.ctx = ctx;
    pthread_mutex_unlock(&m->lock);
}

struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *labels,
                                    const char *help, const double *bounds, size_t bounds_len)
{
    bool created;
    pthread_mutex_lock(&m->lock);
    struct series *s = series_get(m, name, labels, help, KIND_HISTOGRAM, &created);
    if (created) {
        s->histogram.bounds = mem_dup(bounds, bounds_len * sizeof *bounds);
        s->histogram.bounds_len = bounds_len;
        s->histogram.buckets = mem_zalloc((bounds_len + 1) * sizeof *s->histogram.buckets);
    }
    pthread_mutex_unlock(&m->lock);
    return &s->histogram;
}

void counter_add(struct counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}

static void atomic_add_double(_Atomic double *at, double delta)
{
    double v = atomic_load_explicit(at, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(at, &v, v + delta, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

void gauge_set(struct gauge *g, double v)
{
    atomic_store_explicit(&g->value, v, memory_order_relaxed);
}

void gauge_add(struct gauge *g, double delta)
{
    atomic_add_double(&g->value, delta);
}

void histogram_observe(struct histogram *h, double v)
{
    size_t i = 0;
    while (i < h->bounds_len && v > h->bounds[i])
        i++;
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    atomic_add_double(&h->sum, v);
}

/* --- rendering --- */

static void render_number(struct buf *out, double v)
{
    if (v == (double)(int64_t)v && v < 1e15 && v > -1e15)
        buf_printf(out, "%lld\n", (long long)v);
    else
        buf_printf(out, "%.17g\n", v);
}

/* name_suffix{labels,extra} and a space. */
static void render_name(struct buf *out, const char *name, const char *suffix, const char *labels,
                        const char *extra)
{
    buf_printf(out, "%s%s", name, suffix);
    if (*labels || *extra)
        buf_printf(out, "{%s%s%s}", labels, *labels && *extra ? "," : "", extra);
    buf_append_char(out, ' ');
}

static void render_histogram(struct buf *out, const char *name, const char *labels,
                             struct histogram *h)
{
    uint64_t total = 0;
    for (size_t i = 0; i <= h->bounds_len; i++) {
        char le[64];
        total += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        if (i < h->bounds_len)
            snprintf(le, sizeof le, "le=\"%g\"", h->bounds[i]);
        else
            snprintf(le, sizeof le, "le=\"+Inf\"");
        render_name(out, name, "_bucket", labels, le);
        buf_printf(out, "%llu\n", (unsigned long long)total);
    }
    render_name(out, name, "_sum", labels, "");
    render_number(out, atomic_load_explicit(&h->sum, memory_order_relaxed));
    render_name(out, name, "_count", labels, "");
    buf_printf(out, "%llu\n", (unsigned long long)total);
}

static void render_series(struct buf *out, struct family *f, struct series *s)
{
    switch (f->kind) {
    case KIND_COUNTER:
        render_name(out, f->name, "", s->labels, "");
        buf_printf(
            out, "%llu\n",
            (unsigned long long)atomic_load_explicit(&s->counter.value, memory_order_relaxed));
        break;
    case KIND_GAUGE:
        render_name(out, f->name, "", s->labels, "");
        render_number(out, s->gauge.fn
                               ? s->gauge.fn(s->gauge.ctx)
                               : atomic_load_explicit(&s->gauge.value, memory_order_relaxed));
        break;
    case KIND_HISTOGRAM:
        render_histogram(out, f->name, s->labels, &s->histogram);
        break;
    }
}

static void render_header(struct buf *out, const char *name, const char *help, const char *type)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void render_process_metric(struct buf *out, const char *name, const char *help,
                                  const char *type, double v)
{
    render_header(out, name, help, type);
    buf_printf(out, "%s ", name);
    render_number(out, v);
}

static double count_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    int n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 3; /* ".", ".." and the directory itself */
}

static void render_process(struct buf *out)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    render_process_metric(out, "process_cpu_seconds_total",
                          "User and system CPU time spent, in seconds.", "counter",
                          (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                              (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    long virtual_pages = 0, resident_pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm) {
        if (fscanf(statm, "%ld %ld", &virtual_pages, &resident_pages) != 2)
            virtual_pages = resident_pages = 0;
        fclose(statm);
    }
    double page = (double)sysconf(_SC_PAGESIZE);
    render_process_metric(out, "process_virtual_memory_bytes", "Virtual memory size in bytes.",
                          "gauge", (double)virtual_pages * page);
    render_process_metric(out, "process_resident_memory_bytes", "Resident memory size in bytes.",
                          "gauge", (double)resident_pages * page);
    render_process_metric(out, "process_open_fds", "Open file descriptors.", "gauge",
                          count_open_fds());
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        render_process_metric(out, "process_max_fds", "Limit of open file descriptors.", "gauge",
                              (double)limit.rlim_cur);
}

void metrics_render(struct metrics *m, struct buf *out)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    pthread_mutex_lock(&m->lock);
    list_for_each (it, &m->families) {
        struct family *f = list_entry(it, struct family, link);
        render_header(out, f->name, f->help, types[f->kind]);
        list_for_each (s, &f->series)
            render_series(out, f, list_entry(s, struct series, link));
    }
    pthread_mutex_unlock(&m->lock);
    render_process(out);
}
