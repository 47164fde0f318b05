/*
 * Places where a process may be made to die, in test builds: before and after every step that makes
 * something durable, so that a test can kill a member exactly there and look at what it recovers
 * (tests/integration/test_crash_points.c drives every one of them).
 *
 * Built with C8S_CRASH_POINTS (all builds with sanitizers), CRASH_POINT(journal_flush_before) compares one
 * number; the process started with C8S_CRASH_AT=journal_flush_before:3 kills itself with SIGKILL when it comes by the
 * third time. In other builds it is nothing at all.
 */
#ifndef C8S_BASE_CRASH_POINT_H
#define C8S_BASE_CRASH_POINT_H

/* Every point, in the order in which a write meets them. */
#define CRASH_POINTS(X)                                          \
    /* entries and hard state: one record, one flush */          \
    X(journal_write_before)                                      \
    X(journal_write_after)                                       \
    X(journal_flush_after)                                       \
    X(hard_state_after)                                          \
    X(segment_begin_before)                                      \
    X(segment_begin_after)                                       \
    X(segment_make_after)                                        \
    X(segment_recycle_before)                                    \
    X(segment_recycle_after)                                     \
    /* the transaction of log and state */                       \
    X(apply_commit_before)                                       \
    X(apply_commit_after)                                        \
    X(log_cut_before)                                            \
    X(log_cut_after)                                             \
    X(log_trim_before)                                           \
    X(log_trim_after)                                            \
    X(config_change_before)                                      \
    X(config_change_after)                                       \
    X(compaction_before)                                         \
    X(compaction_after)                                          \
    /* the checkpoint */                                         \
    X(checkpoint_pinned)                                         \
    X(checkpoint_flushed)                                        \
    X(meta_copy_written)                                         \
    X(meta_copy_flushed)                                         \
    X(checkpoint_after)                                          \
    /* small files replaced by rename: CURRENT, boot, marks */   \
    X(file_rename_before)                                        \
    X(file_rename_after)                                         \
    X(file_rename_synced)                                        \
    /* a snapshot received, built and swapped in */              \
    X(stage_begun)                                               \
    X(stage_commit_before)                                       \
    X(stage_commit_after)                                        \
    X(stage_finished)                                            \
    X(stage_sealed)                                              \
    X(stage_renamed)                                             \
    X(stage_current_before)                                      \
    X(stage_current_after)                                       \
    X(stage_swapped)                                             \
    X(stage_old_removed)                                         \
    /* a defragmented copy takes the place of the environment */ \
    X(defrag_sealed)                                             \
    X(defrag_renamed)                                            \
    X(defrag_swapped)                                            \
    X(defrag_named)                                              \
    X(defrag_old_removed)                                        \
    /* a damaged state replaced, the log kept */                 \
    X(rebuild_installed)                                         \
    X(rebuild_marked)

enum crash_point {
    CRASH_NOWHERE,
#define CRASH_POINT_ENUM(name) CRASH_##name,
    CRASH_POINTS(CRASH_POINT_ENUM)
#undef CRASH_POINT_ENUM
        CRASH_POINTS_MAX
};

#ifdef C8S_CRASH_POINTS
extern enum crash_point crash_point_armed;
/* Takes C8S_CRASH_AT from the environment; a name that there is not ends the process. */
void crash_points_arm(void);
const char *crash_point_name(enum crash_point point);
void crash_point_reached(void);
#define CRASH_POINT(name)                      \
    do {                                       \
        if (crash_point_armed == CRASH_##name) \
            crash_point_reached();             \
    } while (0)
#else
#define CRASH_POINT(name) ((void)0)
#define crash_points_arm() ((void)0)
#endif

#endif
