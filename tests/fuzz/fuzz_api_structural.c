/*
 * A schema, a newline, a document: whatever schema compiles prunes, defaults and validates any document, and
 * doing it again changes nothing. The scanner of raw JSON reads the document, too.
 */
#include "api/custom/internal.h"
#include "api/structural/structural.h"
#include "tests/fuzz/fuzz.h"

static void write_tree(yyjson_mut_val *v, struct buf *out)
{
    buf_clear(out);
    json_write_canonical(v, out);
}

static void scan(struct str text, int depth)
{
    struct str key, value;
    while (depth < 20 && json_scan_next(&text, &key, &value)) {
        json_scan_string(value);
        scan(value, depth + 1);
    }
}

static void use(struct arena *a, struct structural *s, yyjson_val *root)
{
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_mut_val *v = yyjson_val_mut_copy(doc, root);
    struct field_errors e = {.arena = a};
    struct buf once, twice;
    buf_init(&once);
    buf_init(&twice);
    bool defaulted = true;
    for (int i = 0; i < 3 && defaulted;
         i++) { /* a default may hold what the schema does not know */
        structural_prune(v, s, NULL, NULL);
        defaulted = structural_default(doc, v, s, NULL) == 0;
        write_tree(v, i == 1 ? &once : &twice);
    }
    require(!defaulted || str_eq(buf_str(&once), buf_str(&twice)));
    structural_validate(s, v, NULL, "", &e);
    structural_validate_lists(s, v, "", &e);
    structural_validate_embedded(s, v, "", &e);
    e.len = 0;
    structural_validate(s, v, v, "", &e);
    require(!defaulted || e.len == 0); /* nothing has changed */
    buf_free(&once);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct str rest = str_make(data, size), first;
    struct structural *s = NULL;
    void *props;
    yyjson_val *root;
    if (size > 16384)
        return 0;
    arena_init(&a);
    str_split(&rest, '\n', &first);
    rest.p = rest.p ? rest.p : "";
    scan(rest, 0);
    if (json_decode(&a, schema_get(Apiextensions__V1__JSONSchemaProps__SCHEMA), first, NULL, &props,
                    NULL) == 0 &&
        json_read(&a, rest, &root, NULL) == 0 && structural_depth_is_fine(root) &&
        structural_new(&a, props, &s, NULL) == 0)
        use(&a, s, root);
    structural_free(s);
    arena_free(&a);
    return 0;
}
