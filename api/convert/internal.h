/*
 * Converters that have a file of their own.
 */
#ifndef C8S_API_CONVERT_INTERNAL_H
#define C8S_API_CONVERT_INTERNAL_H

#include "api/convert/convert.h"
#include "proto/meta_v1.pb-c.h"

/* autoscaling/v2 → v1 and back; the new object may share strings and messages with the old one. */
void *autoscaler_to_v1(struct arena *a, void *object);
void *autoscaler_to_v2(struct arena *a, void *object);

/* What v1 says in annotations: of the v2 object, but for the metrics that v1 has a member for; and back, all such
 * annotations taken away. autoscaling_notes.c */
void autoscaler_notes_write(struct arena *a, const void *object, bool (*has_member)(const void *),
                            Meta__V1__ObjectMeta *meta);
void autoscaler_notes_read(struct arena *a, void *object);

#endif
