/*
 * LMDB's writes of many pages at once, taken in small pieces.
 *
 * The kernel (Linux 6.16 and later, ext4) keeps what one call writes in one folio as large as the call, and
 * LMDB writes runs of up to 64 new pages with one writev. A single page written there later, as most of a
 * store's are, costs the more the larger the folio is, since every block of it is looked at: measured 1.5 µs of
 * processor for one of 4 KiB, 2.0 of 16 KiB, 4 of 64 KiB, 9 of 256 KiB. Filling a file costs 3 µs a page by 4 KiB,
 * 1.5 by 16 KiB, 0.9 by 256 KiB: 16 KiB is the best of both.
 *
 * LMDB has no setting for it. So this library defines writev (weakly: tests define their own), which
 * liblmdb finds before libc's; a file that is not announced here is written as ever. It calls whoever would have been
 * found otherwise, so that a library preloaded to watch what is written (tests/robustness/power_loss.c) sees it all.
 */
#ifndef C8S_RAFT_LOG_PIECES_H
#define C8S_RAFT_LOG_PIECES_H

#define LOG_PIECE_BYTES (16u * 1024)

/* From here on, until it is forgotten, what writev writes to `fd` goes in pieces. A few files at a time can be
 * announced; one that finds no room is written in one piece. Any thread. */
void log_pieces_announce(int fd);
/* Before `fd` is closed; nothing if it was not announced. */
void log_pieces_forget(int fd);

#endif
