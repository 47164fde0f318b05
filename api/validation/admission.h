/*
 * Shared by the files that validate webhook configurations and admission policies, and by definitions' conversion
 * webhooks. (Expressions are checked for presence; compiling them comes with CEL.)
 */
#ifndef C8S_API_VALIDATION_ADMISSION_H
#define C8S_API_VALIDATION_ADMISSION_H

#include "api/validation/internal.h"
#include "proto/admissionregistration_v1.pb-c.h"

/* Nothing, or nothing but white space. */
bool is_blank(const char *s);
void check_admission_rule(struct field_errors *e, const struct path *at,
                          const Admissionregistration__V1__RuleWithOperations *r);
void check_match_conditions(struct field_errors *e, const struct path *at,
                            Admissionregistration__V1__MatchCondition *const *items, size_t n);
bool match_conditions_equal(Admissionregistration__V1__MatchCondition *const *a, size_t n,
                            Admissionregistration__V1__MatchCondition *const *b, size_t m);

/* admission_policy.c */
void validate_policy(const void *object, struct field_errors *e);
void validate_policy_update(const void *object, const void *old, struct field_errors *e);
void validate_policy_status(const void *object, const void *old, struct field_errors *e);
void validate_policy_binding(const void *object, struct field_errors *e);

/* webhook_client.c: where a webhook is called */
void check_webhook_url(struct field_errors *e, const struct path *at, const char *url);
void check_webhook_service(struct field_errors *e, const struct path *at, const char *namespace_,
                           const char *name, const char *path, int64_t port);

#endif
