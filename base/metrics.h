/*
 * Prometheus metrics. Counters and gauges are atomics that any thread may touch; a registry renders
 * them as text exposition format. Metrics live as long as the process (registered once, never
 * removed).
 */
#ifndef C8S_BASE_METRICS_H
#define C8S_BASE_METRICS_H

#include "base/buf.h"

struct metrics; /* a registry */
struct counter;
struct gauge;
struct histogram;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
/* Same name and labels give the same metric. `labels` is the inside of the braces (`type="put"`) or
 * NULL. Strings are copied. */
struct counter *metrics_counter(struct metrics *m, const char *name, const char *labels,
                                const char *help);
struct gauge *metrics_gauge(struct metrics *m, const char *name, const char *labels,
                            const char *help);
/* `bounds`: ascending upper bounds, without +Inf. */
struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *labels,
                                    const char *help, const double *bounds, size_t bounds_len);
void counter_add(struct counter *c, uint64_t n);
void gauge_set(struct gauge *g, double v);
void gauge_add(struct gauge *g, double delta);
void histogram_observe(struct histogram *h, double v);
/* A gauge computed when scraped, called on the rendering thread. */
void metrics_gauge_fn(struct metrics *m, const char *name, const char *labels, const char *help,
                      double (*fn)(void *ctx), void *ctx);
/* All metrics, grouped by name, with process_* ones added (CPU seconds, resident memory, open fds).
 */
void metrics_render(struct metrics *m, struct buf *out);

#endif
