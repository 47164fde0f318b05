/*
 * A disk that loses power, under the real code: write and sync calls of the whole test binary, LMDB's
 * included, are interposed.
 *
 * Real files are the page cache. Beside them the simulator keeps, for each file under the given directory, what
 * is durable for certain (as of its last fdatasync or fsync) and the writes since; and for each
 * directory the names as of its last fsync, and the changes since. At the chosen call power fails: that
 * write and everything later returns EIO. disk_sim_reboot then makes the files what a disk might hold:
 * of every unsynced write any subset of its 512-byte sectors, of unsynced name changes of a directory any
 * prefix.
 *
 * One simulation at a time; calls of several threads are serialised.
 */
#ifndef C8S_TESTS_DISK_SIM_H
#define C8S_TESTS_DISK_SIM_H

#include <stdbool.h>
#include <stdint.h>

/* Begin with what is in `dir` now as durable. */
void disk_sim_start(const char *dir, uint64_t seed);
/* Power fails at the n-th write or sync from now (n ≥ 1). */
void disk_sim_fail_after(uint64_t n);
bool disk_sim_dead(void);
uint64_t disk_sim_calls(void); /* writes and syncs so far */
uint64_t disk_sim_syncs(void);
uint64_t disk_sim_bytes_written(void);
/* Rewrite the directory as the disk has it, and go on with the power back. All files must be closed. */
void disk_sim_reboot(void);
/* The same from inside the dying process, other threads of which may still run: they are stopped at their
 * next write. Ends the process. */
_Noreturn void disk_sim_reboot_and_exit(void);
void disk_sim_stop(void);

#endif
