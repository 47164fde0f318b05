/*
 * Runs of pages reach a file of LMDB's in pieces: as many bytes at the same places, by more calls.
 */
#include "raft/log_pieces.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 64

static char dir[64];

/* Calls of this process that have written. */
static long writes(void)
{
    FILE *f = fopen("/proc/self/io", "r");
    char line[128];
    long n = -1;
    while (f && n < 0 && fgets(line, sizeof line, f))
        if (sscanf(line, "syscw: %ld", &n) != 1)
            n = -1;
    if (f)
        fclose(f);
    assert_true(n >= 0);
    return n;
}

static int scratch(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/file", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    return fd;
}

/* PAGES buffers, each full of its own letter; calls that writing them took. */
static long write_pages(int fd, char *bytes)
{
    struct iovec iov[PAGES];
    for (int i = 0; i < PAGES; i++) {
        memset(bytes + i * PAGE, 'A' + i % 26, PAGE);
        iov[i] = (struct iovec){bytes + i * PAGE, PAGE};
    }
    long before = writes();
    assert_int_equal(writev(fd, iov, PAGES), PAGES * PAGE);
    return writes() - before;
}

static void test_an_announced_file_is_written_in_pieces(void **state)
{
    (void)state;
    char *bytes = mem_alloc(PAGES * PAGE), *back = mem_alloc(PAGES * PAGE);
    int fd = scratch();
    assert_int_equal(write_pages(fd, bytes), 1);
    log_pieces_announce(fd);
    assert_int_equal(lseek(fd, PAGE, SEEK_SET), PAGE);
    assert_int_equal(write_pages(fd, bytes), PAGES * PAGE / LOG_PIECE_BYTES);
    assert_int_equal(pread(fd, back, PAGES * PAGE, PAGE), PAGES * PAGE);
    assert_memory_equal(back, bytes, PAGES * PAGE);
    log_pieces_forget(fd);
    assert_int_equal(write_pages(fd, bytes), 1);
    close(fd);
    mem_free(bytes);
    mem_free(back);
}

/* A value of many pages is one buffer: it stays whole, and what is around it does not join it. */
static void test_a_long_buffer_is_a_piece_of_its_own(void **state)
{
    (void)state;
    char *bytes = mem_zalloc(PAGES * PAGE);
    int fd = scratch();
    log_pieces_announce(fd);
    struct iovec iov[] = {{bytes, PAGE}, {bytes, 20 * PAGE}, {bytes, PAGE}, {bytes, PAGE}};
    long before = writes();
    assert_int_equal(writev(fd, iov, 4), 23 * PAGE);
    assert_int_equal(writes() - before, 3);
    log_pieces_forget(fd);
    close(fd);
    mem_free(bytes);
}

/* What is written before the file may grow no further counts; then the failure is told. */
static void test_a_file_that_may_grow_no_further(void **state)
{
    (void)state;
    struct rlimit old, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = 10 * PAGE;
    char *bytes = mem_zalloc(PAGES * PAGE);
    struct iovec iov[PAGES];
    for (int i = 0; i < PAGES; i++)
        iov[i] = (struct iovec){bytes + i * PAGE, PAGE};
    int fd = scratch();
    log_pieces_announce(fd);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ssize_t put = writev(fd, iov, PAGES), more = writev(fd, iov, PAGES);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(put, 10 * PAGE);
    assert_int_equal(more, -1);
    log_pieces_forget(fd);
    close(fd);
    mem_free(bytes);
}

/* Calls that a commit of about PAGES new pages takes. */
static long commit_pages(MDB_env *env, int from)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "t", MDB_CREATE | MDB_INTEGERKEY, &dbi), 0);
    char value[1300] = {0};
    for (uint64_t i = 0; i < 3 * PAGES; i++) {
        uint64_t id = (uint64_t)from + i;
        MDB_val k = {sizeof id, &id}, v = {sizeof value, value};
        assert_int_equal(mdb_put(txn, dbi, &k, &v, MDB_APPEND), 0);
    }
    long before = writes();
    assert_int_equal(mdb_txn_commit(txn), 0);
    return writes() - before;
}

/* LMDB calls ours, not libc's. */
static void test_lmdb_writes_in_pieces(void **state)
{
    (void)state;
    MDB_env *env;
    int fd;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 16u << 20), 0);
    assert_int_equal(mdb_env_open(env, dir, MDB_NOSYNC, 0600), 0);
    assert_int_equal(mdb_env_get_fd(env, &fd), 0);
    long whole = commit_pages(env, 0);
    log_pieces_announce(fd);
    long pieces = commit_pages(env, 3 * PAGES);
    assert_true(pieces >= whole + PAGES * PAGE / (long)LOG_PIECE_BYTES / 2);
    log_pieces_forget(fd);
    mdb_env_close(env);
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/test_log_pieces.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_announced_file_is_written_in_pieces),
        cmocka_unit_test(test_a_long_buffer_is_a_piece_of_its_own),
        cmocka_unit_test(test_a_file_that_may_grow_no_further),
        cmocka_unit_test(test_lmdb_writes_in_pieces),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
