/*
 * Converters that have a file of their own.
 */
#ifndef C8S_API_CONVERT_INTERNAL_H
#define C8S_API_CONVERT_INTERNAL_H

#include "api/convert.h"

/* autoscaling/v2 → v1 and back; the new object may share strings and messages with the old one. */
void *autoscaler_to_v1(struct arena *a, void *object);
void *autoscaler_to_v2(struct arena *a, void *object);

#endif
