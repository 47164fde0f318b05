/*
 * What the server serves: the resources of each group in the group's preferred version.
 */
#ifndef C8S_CLIENT_DISCOVERY_H
#define C8S_CLIENT_DISCOVERY_H

#include "client/client.h"

struct discovered {
    const struct resource *resource; /* the row of api/kinds.h where there is one, else made for
                                        this; verbs are what the server says */
    uint32_t verbs;                  /* enum verb */
    const char *const *short_names;  /* NULL-terminated */
};

struct discovery {
    struct arena arena; /* holds everything */
    struct discovered *items;
    size_t len;
};

/* Subresources are left out; each (group, plural) is there once. A group that does not answer is an
 * error. Free with discovery_free, also after a failure. */
int discovery_load(struct client *c, struct discovery *out, struct error *err);
void discovery_free(struct discovery *d);
/* By plural, short name, kind, or "plural.group", in any case; NULL when there is none. */
const struct discovered *discovery_find(const struct discovery *d, const char *name);

#endif
