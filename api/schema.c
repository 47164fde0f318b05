/*
 * Look-ups in the generated schema tables (schema_tables.c).
 */
#include "api/schema.h"
#include <assert.h>

const struct schema_field *schema_map_value(const struct schema_field *map)
{
    assert(map->label == SCHEMA_MAP);
    return schema_field_at(schema_field_message(map), 1);
}

const struct schema_message *schema_find(const char *full_name)
{
    for (int i = 0; i < SCHEMA_MESSAGE_COUNT; i++) {
        if (strcmp(schema_string(schema_messages[i].full_name), full_name) == 0)
            return &schema_messages[i];
    }
    return NULL;
}

const struct schema_field *schema_field_by_number(const struct schema_message *m, uint32_t number)
{
    unsigned low = 0, high = m->field_count;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct schema_field *f = &schema_fields[schema_by_number[m->by_number + mid]];
        if (f->number == number)
            return f;
        if (f->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct schema_field *schema_field_by_json(const struct schema_message *m,
                                                struct str json_name,
                                                const struct schema_field **via)
{
    unsigned low = 0, high = m->member_count;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct schema_member *member = &schema_members[m->members + mid];
        const struct schema_field *f = &schema_fields[member->field];
        int order = str_cmp(json_name, str_from(schema_string(f->json_name)));
        if (order == 0) {
            *via = member->via == 0xffff ? NULL : &schema_fields[member->via];
            return f;
        }
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    *via = NULL;
    return NULL;
}
