/*
 * Logging: format, split into message and key=value pairs, write one line.
 *
 * The split is made on the format, not on the result, so that a value with '=' or spaces in it
 * cannot pass for a field: everything before the first word with '=' is formatted as the message,
 * and each following `key=conversion` word is formatted and quoted by itself.
 */
#include "base/log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES (16 * 1024) /* a longer line is cut: log lines are for people */
#define FIELDS_MAX 24

static atomic_int current_level = LOG_INFO;
static atomic_bool json_lines;

static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*sink_fn)(void *ctx, enum log_level level, const char *line);
static void *sink_ctx;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_parse_level(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (cstr_eq(name, level_names[i])) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_json(bool json)
{
    atomic_store(&json_lines, json);
}

void log_set_sink(void (*sink)(void *ctx, enum log_level level, const char *line), void *ctx)
{
    pthread_mutex_lock(&sink_lock);
    sink_fn = sink;
    sink_ctx = ctx;
    pthread_mutex_unlock(&sink_lock);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/*
 * The format is rewritten before it is printed, in one vsnprintf: a mark takes the place of the
 * space in front of each `key=` word, and the result is cut apart at the marks. The mark is a byte
 * that UTF-8 text never holds; an argument that does hold it can at worst confuse its own line.
 */
#define FIELD_MARK '\xff'

struct field {
    struct str key, value;
};

/* Length of the key when a `key=` word starts at s, else 0. */
static size_t key_length(const char *s)
{
    size_t n = 0;
    while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z') ||
           (s[n] >= '0' && s[n] <= '9') || s[n] == '_' || s[n] == '-' || s[n] == '.')
        n++;
    return n && s[n] == '=' ? n : 0;
}

/* Copy the format, with marks in place of the spaces before the fields. */
static char *mark_fields(const char *format, size_t *fields)
{
    char *copy = mem_strdup(format);
    *fields = 0;
    for (char *at = copy; *at && *fields < FIELDS_MAX; at++) {
        if (*at == ' ' && key_length(at + 1)) {
            *at = FIELD_MARK;
            (*fields)++;
        }
    }
    return copy;
}

static bool needs_quotes(struct str s)
{
    if (s.n == 0)
        return true;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == '=')
            return true;
    return false;
}

static bool is_json_number(struct str s)
{
    size_t i = s.n && s.p[0] == '-';
    if (i == s.n || s.n > 18 || (s.p[i] == '0' && s.n > i + 1))
        return false;
    for (; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

static void append_field(struct buf *line, bool json, const char *key, size_t key_len, struct str v)
{
    if (json) {
        buf_append_cstr(line, line->len > 1 ? "," : "");
        buf_append_json_string(line, str_make(key, key_len));
        buf_append_char(line, ':');
        if (is_json_number(v))
            buf_append_str(line, v);
        else
            buf_append_json_string(line, v);
        return;
    }
    if (line->len)
        buf_append_char(line, ' ');
    buf_append(line, key, key_len);
    buf_append_char(line, '=');
    if (needs_quotes(v))
        buf_append_json_string(line, v);
    else
        buf_append_str(line, v);
}

/* The text is "message MARK key=value MARK key=value …"; marks beyond `fields` came from arguments.
 */
static void append_text(struct buf *line, bool json, struct str text, size_t fields)
{
    struct str part, rest = text;
    if (!str_split(&rest, FIELD_MARK, &part))
        part = STR("");
    /* A format that begins with key=value has no message. */
    append_field(line, json, "msg", 3, part);
    for (size_t i = 0; i < fields && str_split(&rest, FIELD_MARK, &part); i++) {
        ptrdiff_t eq = str_find_char(part, '=');
        if (eq < 0)
            continue;
        struct str value = str_slice(part, (size_t)eq + 1, part.n);
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
            value = str_slice(value, 1, value.n - 1); /* the format wrote key=\"%s\" */
        append_field(line, json, part.p, (size_t)eq, value);
    }
}

static void emit(enum log_level level, struct buf *line)
{
    pthread_mutex_lock(&sink_lock);
    if (sink_fn) {
        sink_fn(sink_ctx, level, buf_cstr(line));
        pthread_mutex_unlock(&sink_lock);
        return;
    }
    pthread_mutex_unlock(&sink_lock);
    buf_append_char(line, '\n');
    /* One write, so that lines of several threads and processes do not mix. Nobody to tell if it
     * fails. */
    ssize_t written = write(STDERR_FILENO, line->data, line->len);
    (void)written;
}

void log_write(enum log_level level, const char *module, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    size_t fields;
    char *marked = mark_fields(format, &fields);
    char *text = mem_alloc(LINE_MAX_BYTES);
    va_list args;
    va_start(args, format);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n = vsnprintf(text, LINE_MAX_BYTES, marked, args);
#pragma GCC diagnostic pop
    va_end(args);
    mem_free(marked);
    size_t len = n < 0 ? 0 : MIN((size_t)n, (size_t)LINE_MAX_BYTES - 1);

    bool json = atomic_load_explicit(&json_lines, memory_order_relaxed);
    int64_t now = clock_wall_ns();
    char time[CLOCK_RFC3339_MAX];
    size_t time_len =
        clock_format_rfc3339(now / (int64_t)NS_PER_S, (int32_t)(now % (int64_t)NS_PER_S), 3, time);
    struct buf line = {0};
    buf_append_cstr(&line, json ? "{" : "");
    append_field(&line, json, "time", 4, str_make(time, time_len));
    append_field(&line, json, "level", 5, str_from(level_names[level]));
    append_field(&line, json, "module", 6, str_from(module));
    append_text(&line, json, str_make(text, len), fields);
    buf_append_cstr(&line, json ? "}" : "");
    emit(level, &line);
    buf_free(&line);
    mem_free(text);
}
