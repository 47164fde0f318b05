/*
 * Printing of objects and tables (cli/resources/res.h).
 */
#include "cli/resources/res.h"

#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

#define COLUMN_GAP 3
#define COLUMN_MIN 6

/* -------------------------------------------------------------------------------------- tables --- */

void res_table_init(struct res_table *t, struct arena *a)
{
    memset(t, 0, sizeof *t);
    t->arena = a;
}

/* Characters, not bytes. */
static size_t text_width(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void res_table_row(struct res_table *t, const char *const *cells, size_t len)
{
    if (len > t->widths_len) {
        t->widths = arena_grow(t->arena, t->widths, t->widths_len * sizeof *t->widths,
                               len * sizeof *t->widths);
        while (t->widths_len < len)
            t->widths[t->widths_len++] = 0;
    }
    const char **row = arena_array(t->arena, const char *, len);
    for (size_t i = 0; i < len; i++) {
        row[i] = arena_strdup(t->arena, cells[i]);
        t->widths[i] = MAX(t->widths[i], text_width(row[i]));
    }
    t->rows = arena_grow(t->arena, t->rows, t->rows_len * sizeof *t->rows,
                         (t->rows_len + 1) * sizeof *t->rows);
    t->row_lens = arena_grow(t->arena, t->row_lens, t->rows_len * sizeof *t->row_lens,
                             (t->rows_len + 1) * sizeof *t->row_lens);
    t->rows[t->rows_len] = row;
    t->row_lens[t->rows_len++] = len;
}

void res_table_flush(struct res_table *t)
{
    for (size_t r = 0; r < t->rows_len; r++) {
        for (size_t i = 0; i < t->row_lens[r]; i++) {
            const char *cell = t->rows[r][i];
            fputs(cell, stdout);
            size_t width = MAX(t->widths[i] + COLUMN_GAP, COLUMN_MIN);
            for (size_t n = text_width(cell); i + 1 < t->row_lens[r] && n < width; n++)
                putchar(' ');
        }
        putchar('\n');
    }
    t->rows_len = 0;
    t->rows = NULL;
    t->row_lens = NULL;
    fflush(stdout);
}

/* ------------------------------------------------------------------------------------- objects --- */

struct member {
    yyjson_val *key, *value;
};

static int by_key(const void *x, const void *y)
{
    const struct member *a = x, *b = y;
    return strcmp(yyjson_get_str(a->key), yyjson_get_str(b->key));
}

static yyjson_mut_val *sorted_object(yyjson_mut_doc *doc, yyjson_val *value, bool keep,
                                     bool in_metadata)
{
    size_t n = yyjson_obj_size(value), i, max;
    struct member *members = mem_alloc(sizeof *members * (n + 1));
    yyjson_val *k, *v;
    size_t len = 0;
    yyjson_obj_foreach (value, i, max, k, v) {
        if (keep || !in_metadata || strcmp(yyjson_get_str(k), "managedFields") != 0)
            members[len++] = (struct member){k, v};
    }
    qsort(members, len, sizeof *members, by_key);
    yyjson_mut_val *out = yyjson_mut_obj(doc);
    for (i = 0; i < len; i++) {
        bool metadata = strcmp(yyjson_get_str(members[i].key), "metadata") == 0;
        yyjson_mut_val *copy = metadata && yyjson_is_obj(members[i].value)
                                   ? sorted_object(doc, members[i].value, keep, true)
                                   : res_sorted(doc, members[i].value, keep);
        yyjson_mut_obj_add(out, yyjson_val_mut_copy(doc, members[i].key), copy);
    }
    mem_free(members);
    return out;
}

yyjson_mut_val *res_sorted(yyjson_mut_doc *doc, yyjson_val *value, bool keep_managed_fields)
{
    if (yyjson_is_obj(value))
        return sorted_object(doc, value, keep_managed_fields, false);
    if (!yyjson_is_arr(value))
        return yyjson_val_mut_copy(doc, value);
    yyjson_mut_val *out = yyjson_mut_arr(doc);
    yyjson_val *item;
    size_t i, max;
    yyjson_arr_foreach (value, i, max, item)
        yyjson_mut_arr_append(out, res_sorted(doc, item, keep_managed_fields));
    return out;
}

void res_print_json(struct res_session *s, yyjson_val *value, bool keep_managed_fields)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, res_sorted(doc, value, keep_managed_fields));
    char *text = yyjson_mut_write(doc, YYJSON_WRITE_PRETTY, NULL);
    if (text)
        printf("%s\n", text);
    else
        res_error(s, "cannot print the answer");
    free(text);
    yyjson_mut_doc_free(doc);
}

void res_print_yaml(struct res_session *s, yyjson_val *value, bool keep_managed_fields)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, res_sorted(doc, value, keep_managed_fields));
    yyjson_doc *fixed = yyjson_mut_doc_imut_copy(doc, NULL);
    struct buf out;
    buf_init(&out);
    if (fixed)
        yaml_write(yyjson_doc_get_root(fixed), &out);
    else
        res_error(s, "cannot print the answer");
    fwrite(out.data ? out.data : "", 1, out.len, stdout);
    buf_free(&out);
    yyjson_doc_free(fixed);
    yyjson_mut_doc_free(doc);
}
