/*
 * What every component that is a client of the API server serves itself: health and metrics over
 * HTTPS
 * (`/healthz`, `/livez`, `/readyz`, `/metrics`, `/version`), and waiting for a signal to end.
 *
 * Without certificate files a self-signed certificate is made at start, as upstream's components
 * do.
 */
#ifndef C8S_CLIENT_COMPONENT_H
#define C8S_CLIENT_COMPONENT_H

#include "base/error.h"
#include "base/metrics.h"

struct component_options {
    const char *bind_address; /* "0.0.0.0" */
    int port;                 /* 0: serve nothing */
    const char *cert_file, *key_file;
    struct metrics *metrics;
    bool (*ready)(void *ctx); /* /readyz; NULL: always */
    void *ctx;
};

struct component;
int component_start(const struct component_options *o, struct component **out, struct error *err);
void component_free(struct component *c); /* NULL is fine */

/* Block SIGTERM and SIGINT in this thread and those it starts later: call first in main. */
void component_block_signals(void);
/* Wait for one of them; returns its number. */
int component_wait_signal(void);

/* Begin again as the same process with a new image: every thread and every bit of state is gone, and no supervisor is
 * needed. For a leader that has lost its lease: nothing that it started can write any more. Does not return. */
void component_restart(char **argv) __attribute__((noreturn));

#endif
