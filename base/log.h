/*
 * Logging to standard error: one logfmt line (or JSON) per decision, "cause → outcome".
 *
 *     log_info("raft", "became leader term=%llu last=%llu", term, last);
 *     time=2026-11-21T08:15:49.123Z level=info module=raft msg="became leader" term=4 last=17
 *
 * The message is the format up to the first word that contains '='; what follows is key=value
 * pairs. Thread-safe; a line is one write(2). Process-wide level and format: the only mutable
 * globals here.
 */
#ifndef C8S_BASE_LOG_H
#define C8S_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
bool log_parse_level(const char *name, enum log_level *out); /* debug, info, warn, error */
void log_set_json(bool json);
/* Receives every line instead of standard error (tests assert on it); NULL restores. */
void log_set_sink(void (*sink)(void *ctx, enum log_level level, const char *line), void *ctx);
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define log_debug(module, ...) \
    (log_enabled(LOG_DEBUG) ? log_write(LOG_DEBUG, module, __VA_ARGS__) : (void)0)
#define log_info(module, ...) log_write(LOG_INFO, module, __VA_ARGS__)
#define log_warn(module, ...) log_write(LOG_WARN, module, __VA_ARGS__)
#define log_error(module, ...) log_write(LOG_ERROR, module, __VA_ARGS__)

#endif
