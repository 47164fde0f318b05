/*
 * /healthz, /livez and /readyz: what a load balancer, a supervisor or an operator asks of this member.
 *
 *     /livez                   "ok", or 500 and what is wrong: does the store work?
 *     /readyz                  besides: is a leader known, are the objects there that the server makes, does it stay?
 *     /readyz?verbose          every check by name; &exclude=etcd leaves that one out
 *     /readyz/etcd             one check
 */
#ifndef C8S_APISERVER_HEALTH_H
#define C8S_APISERVER_HEALTH_H

#include <stdbool.h>

struct rest;

/* One of the pages, or the page of one check? They need no authentication. */
bool health_is_path(const char *path);
void health_serve(struct rest *rq);

#endif
