/*
 * OpenAPI on the wire: /openapi/v2 and /openapi/v3 with entity tags, hashes and gzip.
 *
 * Documents are made when they are first asked for and kept compressed (all of v2 and v3 together take 370 KB);
 * for whoever takes no gzip they are expanded as they are taken. When the custom resources change, what depends
 * on them is made again at the next request, so that a new one is seen by whoever asks after its creation.
 *
 * Any loop's thread.
 */
#ifndef C8S_APISERVER_OPENAPI_SERVICE_H
#define C8S_APISERVER_OPENAPI_SERVICE_H

#include "api/openapi/openapi.h"
#include "apiserver/rest/rest.h"

/* Where custom resources come from. Called on any loop's thread, so it locks what it reads itself. */
struct openapi_source {
    void *ctx;
    /* A number that changes whenever what `list` shows does; asked at each request, so it must be cheap. */
    uint64_t (*generation)(void *ctx);
    /* Call fn once with all custom resources; they need be valid during that call only. */
    void (*list)(void *ctx, void (*fn)(void *arg, const struct openapi_customs *customs),
                 void *arg);
};

struct openapi_service;
struct openapi_service *openapi_service_new(void);
void openapi_service_free(struct openapi_service *s); /* NULL is fine */
/* Before the first request, or not at all: then there are no custom resources. */
void openapi_service_source(struct openapi_service *s, const struct openapi_source *source);
/* Answer /openapi/v2, /openapi/v3 and what is below it; false: another path. */
bool openapi_service_serve(struct openapi_service *s, struct rest *rq);

#endif
