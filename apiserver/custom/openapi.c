/*
 * Custom resources as OpenAPI wants them: every served version of every established definition.
 */
#include "api/openapi/openapi.h"
#include "apiserver/custom/registry.h"
#include "base/vec.h"

uint64_t custom_openapi_generation(void *ctx)
{
    return custom_generation(ctx);
}

void custom_openapi_list(void *ctx, void (*fn)(void *arg, const struct openapi_customs *customs),
                         void *arg)
{
    VEC(struct openapi_custom) items = {0};
    const struct custom_set *set = custom_set_get(ctx);
    for (size_t i = 0; i < set->types_len; i++) {
        const struct custom_type *t = set->types[i];
        for (size_t k = 0; t->established && k < t->versions_len; k++)
            if (t->versions[k].served)
                vec_push(&items, (struct openapi_custom){&t->versions[k].resource,
                                                         t->versions[k].schema_json});
    }
    fn(arg, &(struct openapi_customs){items.items, items.len});
    vec_free(&items);
    custom_set_put(ctx, set);
}
