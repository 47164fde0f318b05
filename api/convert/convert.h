/*
 * Converters between served versions of one resource: events core/v1 ⇄ events.k8s.io/v1, and
 * autoscaling v1 ⇄ v2. Lossless both ways: what autoscaling/v1 cannot say it carries in the annotation
 * autoscaling.c8s.io/v2.
 */
#ifndef C8S_API_CONVERT_CONVERT_H
#define C8S_API_CONVERT_CONVERT_H

#include "api/object.h"

/* The object as message `to`: itself when it is of that message already, else a new struct in the
 * arena that may share strings and messages with the old one. ERR_UNSUPPORTED between unrelated
 * kinds. */
int object_convert(struct arena *a, void *object, const struct schema_message *to, void **out,
                   struct error *err);

#endif
