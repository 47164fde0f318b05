/*
 * c8s describe: text for people. A writer lines cells up that are separated by tabs, as far as lines with the same
 * number of cells follow each other.
 */
#ifndef C8S_CLI_RESOURCES_DESCRIBE_H
#define C8S_CLI_RESOURCES_DESCRIBE_H

#include "cli/resources/res.h"

#include "proto/apps_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"

struct writer {
    struct res_session *s;
    struct buf text; /* with tabs */
};

/* A line at an indentation of 2 · level. */
void write_line(struct writer *w, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Print everything to standard output, lined up. */
void writer_flush(struct writer *w);

/* "Label:\tvalue", "Labels:\ta=b" with one entry a line, "<none>" when empty. */
void write_map(struct writer *w, int level, const char *label,
               Meta__V1__StringEntry *const *entries, size_t n);
void write_list(struct writer *w, int level, const char *label, char *const *items, size_t n);
/* "Limits:" and one line for each; nothing when there is none. */
void write_quantities(struct writer *w, int level, const char *label,
                      Meta__V1__QuantityEntry *const *entries, size_t n);
void write_events(struct writer *w, const char *ns, const char *kind, const char *name,
                  const char *uid);
/* "Sat, 21 Nov 2026 09:41:17 +0000" */
const char *date_text(struct writer *w, const Meta__V1__Time *t);
/* "5m": since then. */
const char *age_text(struct writer *w, const Meta__V1__Time *t);
const char *or_none(const char *text); /* "<none>" for NULL and "" */

void describe_pod(struct writer *w, const Core__V1__Pod *pod);
/* The pod template of a workload. */
void describe_template(struct writer *w, const Core__V1__PodTemplateSpec *t);
void describe_node(struct writer *w, const Core__V1__Node *node);
void describe_deployment(struct writer *w, const Apps__V1__Deployment *d);
void describe_service(struct writer *w, const Core__V1__Service *service);

#endif
