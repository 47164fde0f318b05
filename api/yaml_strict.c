/*
 * What a strict reader of YAML complains of: keys that stand twice in one mapping.
 */
#include "api/codec.h"
#include "base/mem.h"
#include <stdlib.h>
#include <yaml.h>

#define DUPLICATES_MAX 100

struct place {
    struct str key;
    size_t index, line;
};

static int by_key(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static int by_line(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return (x->line > y->line) - (x->line < y->line);
}

/* Keys of one mapping that were there before, appended to `found`. */
static size_t find(yaml_document_t *d, const yaml_node_t *mapping, struct place *found, size_t n)
{
    const yaml_node_pair_t *start = mapping->data.mapping.pairs.start;
    size_t pairs = (size_t)(mapping->data.mapping.pairs.top - start), len = 0;
    if (pairs < 2)
        return n;
    struct place *all = mem_alloc(pairs * sizeof *all);
    for (size_t i = 0; i < pairs; i++) {
        const yaml_node_t *key = yaml_document_get_node(d, start[i].key);
        const yaml_node_t *value = yaml_document_get_node(d, start[i].value);
        if (key && value && key->type == YAML_SCALAR_NODE)
            all[len++] = (struct place){str_make(key->data.scalar.value, key->data.scalar.length),
                                        i, value->start_mark.line + 1};
    }
    qsort(all, len, sizeof *all, by_key);
    for (size_t i = 1; i < len && n < DUPLICATES_MAX; i++)
        if (str_eq(all[i - 1].key, all[i].key))
            found[n++] = all[i];
    mem_free(all);
    return n;
}

size_t yaml_duplicate_keys(struct arena *a, struct str yaml, const char ***out)
{
    yaml_parser_t parser;
    yaml_document_t d;
    size_t n = 0;
    *out = NULL;
    if (!yaml_parser_initialize(&parser))
        return 0;
    yaml_parser_set_input_string(&parser, (const unsigned char *)(yaml.p ? yaml.p : ""), yaml.n);
    if (yaml_parser_load(&parser, &d)) {
        struct place *found = arena_array(a, struct place, DUPLICATES_MAX);
        for (const yaml_node_t *node = d.nodes.start; node < d.nodes.top; node++)
            if (node->type == YAML_MAPPING_NODE)
                n = find(&d, node, found, n);
        qsort(found, n, sizeof *found, by_line);
        *out = arena_array(a, const char *, n);
        for (size_t i = 0; i < n; i++)
            (*out)[i] = arena_printf(a, "line %zu: key \"%.*s\" already set in map", found[i].line,
                                     STR_ARG(found[i].key));
        yaml_document_delete(&d);
    }
    yaml_parser_delete(&parser);
    return n;
}
