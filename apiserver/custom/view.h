/*
 * Custom objects as tables and as scales.
 */
#ifndef C8S_APISERVER_CUSTOM_VIEW_H
#define C8S_APISERVER_CUSTOM_VIEW_H

#include "api/custom/custom.h"
#include "apiserver/table/table.h"
#include "proto/autoscaling_v1.pb-c.h"

/* All cells by the columns of the definition; false: not a custom object. */
bool table_print_custom(struct cells *c, const void *object);

#define SCALE_NO_REPLICAS INT32_MIN

/* Scale as the definition maps it, its replicas SCALE_NO_REPLICAS when there are none; NULL: not a custom object. */
Autoscaling__V1__Scale *custom_scale_of(struct arena *a, const void *object);
/* A copy with other replicas; NULL: not a custom object. */
void *custom_scaled(struct arena *a, const void *object, int32_t replicas);

#endif
