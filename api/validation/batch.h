/*
 * Shared by the two files about jobs.
 */
#ifndef C8S_API_VALIDATION_BATCH_H
#define C8S_API_VALIDATION_BATCH_H

#include "api/validation/internal.h"
#include "proto/batch_v1.pb-c.h"

/* "1,3-5": ascending, below `completions`. What is wrong, or NULL; *total counts them. job_status.c */
const char *index_list_problem(struct arena *a, const char *list, int64_t completions,
                               int64_t *total);
void validate_job_status(const void *object, const void *old, struct field_errors *e);

#endif
