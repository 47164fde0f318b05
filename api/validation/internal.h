/*
 * Shared by the validation files: paths that cost nothing until something is wrong, and the checks that
 * many kinds have in common. One file per family of kinds; each ends with a table of its rules, and
 * validation.c searches the tables.
 */
#ifndef C8S_API_VALIDATION_INTERNAL_H
#define C8S_API_VALIDATION_INTERNAL_H

#include "api/validation.h"
#include "api/validation/seen.h"
#include "proto/core_v1.pb-c.h"

/* One step of a field path; lives on the stack. NULL is the object itself. */
struct path {
    const struct path *up;
    const char *name; /* NULL: an index */
    size_t index;
    bool key; /* name is a map key: printed in brackets */
};

#define AT(up_, name_) (&(const struct path){(up_), (name_), 0, false})
#define ITEM(up_, i_) (&(const struct path){(up_), NULL, (i_), false})
#define KEY(up_, key_) (&(const struct path){(up_), (key_), 0, true})
#define SPEC AT(NULL, "spec")

/* A NULL-terminated list of strings, sorted as it is to be shown. */
#define ONE_OF(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- the rules of kinds ---- */

/* A subresource other than status ("finalize", "approval", "resize"); ends with a NULL name. */
struct sub_rule {
    const char *name;
    void (*check)(const void *object, const void *old, struct field_errors *e);
};

struct kind_rules {
    int message;
    void (*create)(const void *object, struct field_errors *e);
    /* What may not change; `create` was run on the new object before. */
    void (*update)(const void *object, const void *old, struct field_errors *e);
    /* Of status updates, after metadata. */
    void (*status)(const void *object, const void *old, struct field_errors *e);
    /* Only `update` is run for updates: it checks the rest itself. */
    bool update_alone;
    const struct sub_rule *subs; /* of other subresources; NULL: none */
};

struct rule_table {
    const struct kind_rules *rows;
    size_t len;
};
#define RULE_TABLE(rows_)                        \
    {                                            \
        (rows_), sizeof(rows_) / sizeof *(rows_) \
    }

extern const struct rule_table pod_rules, resource_rules, volume_rules, workload_rules, batch_rules,
    core_rules, node_rules, event_rules, service_rules, rbac_rules, networking_rules, storage_rules,
    autoscaling_rules, admission_rules, certificate_rules, cluster_rules, flow_control_rules,
    resource_claim_rules, custom_rules;

/* A path with an empty name, as upstream shows what concerns the object as a whole. */
#define NAMELESS AT(NULL, "[]")

/* "spec.list[0].name", in the arena. */
const char *path_text(struct arena *a, const struct path *at);

/* ---- errors at a path; strings are quoted here ---- */

void err_required(struct field_errors *e, const struct path *at, const char *detail);
void err_invalid(struct field_errors *e, const struct path *at, const char *value,
                 const char *detail);
/* For what a syntax rule said. */
void err_invalid_messages(struct field_errors *e, const struct path *at, const char *value,
                          const char *messages);
void err_invalid_int(struct field_errors *e, const struct path *at, int64_t value,
                     const char *detail);
/* `value` is shown as it is (JSON of a struct, a boolean). */
void err_invalid_raw(struct field_errors *e, const struct path *at, const char *value,
                     const char *detail);
/* The object (NULL: null) as JSON, as the two below show it. */
const char *object_text(struct arena *a, const void *object);
void err_invalid_object(struct field_errors *e, const struct path *at, const void *object,
                        const char *detail);
/* A list of strings, as JSON. */
void err_invalid_list(struct field_errors *e, const struct path *at, char *const *items, size_t n,
                      const char *detail);
/* A string map, as JSON. */
void err_invalid_map(struct field_errors *e, const struct path *at, StringEntry *const *items,
                     size_t n, const char *detail);
void err_duplicate(struct field_errors *e, const struct path *at, const char *value);
void err_duplicate_raw(struct field_errors *e, const struct path *at, const char *value);
/* The object as JSON. */
void err_duplicate_object(struct field_errors *e, const struct path *at, const void *object,
                          const char *detail);
void err_forbidden(struct field_errors *e, const struct path *at, const char *detail);
/* The same, and a line on, how the new object differs. */
void err_forbidden_diff(struct field_errors *e, const struct path *at, const void *old,
                        const void *new, const char *detail);
void err_not_found(struct field_errors *e, const struct path *at, const char *value);
void err_not_found_because(struct field_errors *e, const struct path *at, const char *value,
                           const char *detail);
void err_too_long(struct field_errors *e, const struct path *at, size_t max);
void err_too_many(struct field_errors *e, const struct path *at, size_t n, size_t max);
/* `allowed`: NULL-terminated, sorted. */
void err_not_supported(struct field_errors *e, const struct path *at, const char *value,
                       const char *const *allowed);

/* `value` is shown as it is. */
void err_not_supported_raw(struct field_errors *e, const struct path *at, const char *value,
                           const char *const *allowed);

#define IMMUTABLE "field is immutable"
#define NON_NEGATIVE "must be greater than or equal to 0"

/* ---- the common checks: each reports at the path and returns whether all was well ---- */

bool is_one_of(const char *value, const char *const *allowed);
bool check_string(struct field_errors *e, const struct path *at, const char *value,
                  const char *(*rule)(const char *));
/* Like check_string, but an empty or absent value is well. */
bool check_optional(struct field_errors *e, const struct path *at, const char *value,
                    const char *(*rule)(const char *));
/* Like check_string, but an empty or absent value is Required. */
bool check_required_string(struct field_errors *e, const struct path *at, const char *value,
                           const char *(*rule)(const char *));
bool check_one_of(struct field_errors *e, const struct path *at, const char *value,
                  const char *const *allowed);
/* As check_one_of, but an empty value is Required. */
bool check_required_one_of(struct field_errors *e, const struct path *at, const char *value,
                           const char *const *allowed);
bool check_non_negative(struct field_errors *e, const struct path *at, int64_t value);
/* "must be between LOW and HIGH, inclusive" */
bool check_range(struct field_errors *e, const struct path *at, int64_t value, int64_t low,
                 int64_t high);
bool check_required(struct field_errors *e, const struct path *at, const char *value);
/* "field is immutable" unless both are equal messages, or both NULL. */
void check_immutable(struct field_errors *e, const struct path *at, const void *object,
                     const void *old);
void check_immutable_string(struct field_errors *e, const struct path *at, const char *value,
                            const char *old);
void check_labels(struct field_errors *e, const struct path *at, StringEntry *const *labels,
                  size_t n);
void check_annotations(struct field_errors *e, const struct path *at, StringEntry *const *items,
                       size_t n);
void check_label_selector(struct field_errors *e, const struct path *at,
                          const Meta__V1__LabelSelector *s);
/* `any_value`: values may be no label values (what is there has such already). */
void check_label_selector_keeping(struct field_errors *e, const struct path *at,
                                  const Meta__V1__LabelSelector *s, bool any_value);
/* One of its requirements; `any_operator`: it may be one that later versions know. */
void check_label_requirement(struct field_errors *e, const struct path *at,
                             const Meta__V1__LabelSelectorRequirement *r, bool any_value,
                             bool any_operator);
/* Non-negative integer or percentage. */
void check_int_or_percent(struct field_errors *e, const struct path *at,
                          const Meta__V1__IntOrString *v);
void check_port_number(struct field_errors *e, const struct path *at, int64_t port);
/* A port's number or name. */
void check_port_ref(struct field_errors *e, const struct path *at,
                    const Meta__V1__IntOrString *port);
void check_quantity_non_negative(struct field_errors *e, const struct path *at, const char *text);
void check_quantity_positive(struct field_errors *e, const struct path *at, const char *text);
/* The published rules of metav1.Condition; types are unique. */
void check_conditions(struct field_errors *e, const struct path *at,
                      Meta__V1__Condition *const *conditions, size_t n);
/* AdmissionReview or ConversionReview versions of a webhook; `when_none`: what is said when there is none; `known`:
 * one of them must be known here. */
void check_review_versions(struct field_errors *e, const struct path *at, char *const *versions,
                           size_t n, const char *when_none, bool known);
/* One of them is, or there are none. */
bool has_known_review_version(char *const *versions, size_t n);
bool string_list_has(char *const *items, size_t n, const char *value);
/* Values by their keys, for many look-ups in a map of any length. */
struct seen string_map_index(struct arena *a, StringEntry *const *entries, size_t n);
bool string_lists_equal(char *const *a, size_t n, char *const *b, size_t m);

/* "example.com/name" */
void check_domain_path(struct field_errors *e, const struct path *at, const char *value);
/* A rule's messages become one, joined by `separator`. */
void check_string_joined(struct field_errors *e, const struct path *at, const char *value,
                         const char *(*rule)(const char *), const char *separator);

/* address.c */
struct ip_prefix {
    unsigned char address[16]; /* IPv4 mapped into IPv6 */
    bool v6;
    int bits; /* of the family */
};
bool parse_prefix(const char *s, struct ip_prefix *out);
bool prefix_contains(const struct ip_prefix *outer, const struct ip_prefix *inner);
bool ip_is_v6(const char *s); /* of a valid address or prefix */
const char *validate_cidr(const char *s);
/* In canonical form, and no IPv4 address in IPv6's clothes; a prefix has no bits beyond its length. */
void check_strict_ip(struct field_errors *e, const struct path *at, const char *s);
void check_strict_cidr(struct field_errors *e, const struct path *at, const char *s);
/* "10.9.8.7/24", as it is written by everybody. */
void check_interface_address(struct field_errors *e, const struct path *at, const char *s);
/* Not unspecified, loopback, link-local. */
void check_non_special_ip(struct field_errors *e, const struct path *at, const char *s);
/* `message` when a family stands there twice. */
void check_one_per_family(struct field_errors *e, const struct path *at, char *const *ips, size_t n,
                          const char *message);

/* meta.c; r NULL: any kind. */
void check_object_meta(const Meta__V1__ObjectMeta *meta, const struct resource *r, bool namespaced,
                       const struct path *at, struct field_errors *e);
void check_object_meta_update(const Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *old,
                              const struct resource *r, struct field_errors *e);
/* Metadata of a template: labels and annotations; `strict`: nothing else may be set. */
void check_template_meta(struct field_errors *e, const struct path *at,
                         const Meta__V1__ObjectMeta *meta, bool strict);

/* pod.c */
void check_pod_template(struct field_errors *e, const struct path *at,
                        const Core__V1__PodTemplateSpec *t);

/* scheduling.c */
void check_node_selector(struct field_errors *e, const struct path *at,
                         const Core__V1__NodeSelector *s);
void check_taints(struct field_errors *e, const struct path *at, Core__V1__Taint *const *taints,
                  size_t n);

/* cron.c: what is wrong with a schedule, or NULL */
const char *cron_problem(struct arena *a, const char *schedule);

/* resources.c: "example.com/gpu"; and an amount: non-negative, whole for what is counted. */
bool is_extended_resource(struct arena *a, const char *name);
void check_resource_amount(struct field_errors *e, const struct path *at, const char *name,
                           const char *text);
void check_container_resource_name(struct field_errors *e, const struct path *at, const char *name);

#endif
