/*
 * Files of flags (--config-file): any text, against flags of every type.
 */
#include "apiserver/config_file.h"
#include "tests/fuzz/fuzz.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool flag = false;
    const char *text = NULL;
    struct flag_list list = {0}, repeated = {0};
    int64_t number = 0, duration = 0, ms = 0;
    uint64_t count = 0;
    const struct flag flags[] = {{"bool", 0, FLAG_BOOL, &flag},
                                 {"string", 0, FLAG_STRING, &text},
                                 {"choice", 0, FLAG_STRING, &text, NULL, "One of two.", "one|two"},
                                 {"list", 0, FLAG_LIST, &list},
                                 {"repeated", 0, FLAG_REPEATED, &repeated},
                                 {"int", 0, FLAG_INT, &number},
                                 {"uint", 0, FLAG_UINT, &count},
                                 {"duration", 0, FLAG_DURATION, &duration},
                                 {"ms", 0, FLAG_MS, &ms},
                                 {"cert-file", 0, FLAG_STRING, &text},
                                 {"client-cert-auth", 0, FLAG_BOOL, &flag},
                                 FLAGS_END};
    const struct flags_spec spec = {.program = "fuzz", .flags = flags};
    struct arena a;
    struct error err = {0};
    char path[64];
    int fd = memfd_create("config", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    arena_init(&a);
    require(config_file_read(path, &spec, &a, &err) == 0 || err.message[0] != '\0');
    arena_free(&a);
    flag_list_free(&list);
    flag_list_free(&repeated);
    close(fd);
    return 0;
}
