/*
 * How many seats a request should hold: what it reads at once in steps of 100 kB, as upstream since 1.34, between 1 and
 * FLOW_WIDTH_MAX. An answer is made of pages, and none has more than a megabyte under way (rest/list.c); so ten seats are the
 * most that a list is worth, where upstream goes up to a hundred for what it has to hold as a whole.
 *
 *   lists and watches with sendInitialEvents   by the bytes that are read: all objects, or as many as the limit asks for;
 *                                              with a selector at least half of them, since others are passed over
 *   one name (fieldSelector metadata.name)     1, as everything else
 *
 * What there is of a resource, or of it in a namespace, is looked up when a list of it comes: at most the megabyte that makes
 * the answer ten, so that it costs less than the list does, and no more often than every FLOW_STOCK_MS. Nothing is kept of
 * resources that are not listed, nothing is counted when objects are written.
 */
#ifndef C8S_APISERVER_FLOW_FLOW_WIDTH_H
#define C8S_APISERVER_FLOW_FLOW_WIDTH_H

#include <stdbool.h>
#include <stdint.h>

#define FLOW_SEAT_BYTES 100000u
#define FLOW_STOCK_MS 10000
#define FLOW_STOCKS_MAX 1024 /* remembered by a loop; then all are forgotten */

/* What was found under a prefix. */
struct flow_stock {
    uint64_t objects, bytes;
    bool more; /* that was not all */
};

/* Pure. limit 0: none; selects: by labels or fields. */
unsigned flow_width_of(const struct flow_stock *stock, int64_t limit, bool selects);

struct rest;
struct flow_stocks;
struct flow_stocks *flow_stocks_new(void);
void flow_stocks_free(struct flow_stocks *s); /* NULL is fine */

/* Does the watch ask for the objects that there are? Its seats are held until they are sent. */
bool flow_watch_lists(const struct rest *rq);
/* On the request's loop, before it is authorized. */
unsigned flow_width(struct rest *rq);

#endif
