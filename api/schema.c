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
        uint32_t at = schema_numbers[m->by_number + mid];
        if (at == number)
            return &schema_fields[schema_by_number[m->by_number + mid]];
        if (at < number)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* Sorted by bytes: the shorter first when one is a prefix of the other. */
static int compare_name(struct str name, const struct schema_field *f)
{
    size_t n = name.n < f->json_len ? name.n : f->json_len;
    int order = memcmp(name.p, schema_string(f->json_name), n);
    return order ? order : (int)name.n - (int)f->json_len;
}

int schema_member_find(const struct schema_message *m, struct str json_name)
{
    int low = 0, high = m->member_count;
    if (json_name.n == 0 || json_name.n > 255)
        return -1;
    while (low < high) {
        int mid = (low + high) / 2;
        int order = compare_name(json_name, &schema_fields[schema_members[m->members + mid].field]);
        if (order == 0)
            return mid;
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return -1;
}

const struct schema_field *schema_field_by_json(const struct schema_message *m,
                                                struct str json_name,
                                                const struct schema_field **via)
{
    int i = schema_member_find(m, json_name);
    *via = NULL;
    if (i < 0)
        return NULL;
    const struct schema_member *member = &schema_members[m->members + i];
    if (member->via != 0xffff)
        *via = &schema_fields[member->via];
    return &schema_fields[member->field];
}
