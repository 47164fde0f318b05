/*
 * Content negotiation: what the client accepts (Accept) and what it sends (Content-Type).
 *
 *     application/json;as=Table;v=v1;g=meta.k8s.io,application/json     a table, as JSON
 *     application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;…    metadata, as protobuf
 */
#ifndef C8S_APISERVER_REST_NEGOTIATE_H
#define C8S_APISERVER_REST_NEGOTIATE_H

#include "api/codec.h"

enum transform { TRANSFORM_NONE, TRANSFORM_METADATA, TRANSFORM_TABLE };
#define TRANSFORM_COUNT 3

/* One clause of an Accept header: slices of it. */
struct accept_clause {
    struct str type, as, version, group, stream;
    bool pretty;
    double q;
};
/* Take the next clause off *rest; false: none is left. */
bool accept_clause_next(struct str *rest, struct accept_clause *out);
/* Does an Accept-Encoding header want gzip? */
bool negotiate_gzip(struct str header);

struct accept {
    enum media media;
    enum transform transform;
    bool as_list;       /* PartialObjectMetadataList was asked for, not PartialObjectMetadata */
    bool known_type;    /* some clause named a media type we speak, whatever form it wants */
    bool v1beta1;       /* tables and metadata of meta.k8s.io/v1beta1 */
    bool aggregated_v2; /* as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io */
    bool aggregated_v2beta1;
    bool pretty; /* application/json;pretty=1 */
};

/*
 * Pick the most wanted clause that can be served: by q, then the more specific type, then order. False:
 * none (406; only known_type is set then). An empty header takes JSON. `discovery` allows the aggregated
 * forms and forbids tables.
 */
bool negotiate_accept(struct str header, bool discovery, struct accept *out);
/* The same for custom resources, which have no protobuf form but that of their metadata. */
bool negotiate_accept_custom(struct str header, struct accept *out);
/* The same for what is only ever posted (reviews, bindings, evictions, tokens), which has no rows. */
bool negotiate_accept_tableless(struct str header, struct accept *out);
/* Media of a request body; an empty type is JSON. False: 415. */
bool negotiate_content_type(struct str header, enum media *out);
const char *media_type(enum media media);
/* What a 406 or 415 lists. */
#define ACCEPTED_MEDIA "application/json, application/yaml, application/vnd.kubernetes.protobuf"
#define ACCEPTED_STREAMS \
    "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"

#endif
