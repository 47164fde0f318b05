/*
 * LimitRange arithmetic, apart from the plugin so that its tests need no server. Pure.
 */
#ifndef C8S_APISERVER_ADMISSION_LIMITS_H
#define C8S_APISERVER_ADMISSION_LIMITS_H

#include "proto/core_v1.pb-c.h"
#include <stdbool.h>

struct arena;

/* Give containers without requests or limits the range's defaults, and say so in an annotation. False: that would take
 * more than *room bytes, which becomes less by what was given. */
bool limits_default(struct arena *a, const Core__V1__LimitRange *range, Core__V1__Pod *pod,
                    size_t *room);
/* A Pod or PersistentVolumeClaim against the bounds: NULL, or what is wrong in upstream's words. */
const char *limits_check(struct arena *a, const Core__V1__LimitRange *range, const void *object);

#endif
