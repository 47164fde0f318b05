/*
 * The event loop and TCP under other names, so that the real ones can be linked beside them for code
 * that never runs here. Included by shim.h, and by the simulator's own files that use a loop.
 */
#ifndef C8S_TESTS_SIM_WHOLE_SHIM_NET_H
#define C8S_TESTS_SIM_WHOLE_SHIM_NET_H

#include "net/loop.h"
#include "net/stream.h"

#define SIM_RENAMED(X)                                                                    \
    X(loop_new)                                                                           \
    X(loop_free)                                                                          \
    X(loop_run)                                                                           \
    X(loop_leave)                                                                         \
    X(loop_expect)                                                                        \
    X(loop_stop)                                                                          \
    X(loop_start)                                                                         \
    X(loop_join)                                                                          \
    X(loop_post)                                                                          \
    X(loop_call)                                                                          \
    X(loop_uv) X(loop_is_current) X(loop_now_ms) X(loop_deferred_init) X(loop_defer)      \
        X(loop_deferred_cancel) X(loop_timer_init) X(loop_timer_start) X(loop_timer_stop) \
            X(stream_accept) X(stream_connect) X(stream_write) X(stream_write_blob)       \
                X(stream_queued) X(stream_write_stalled_ms) X(stream_set_low_water)       \
                    X(stream_pause) X(stream_resume) X(stream_shutdown) X(stream_close)   \
                        X(stream_loop) X(stream_is_tls) X(stream_peer) X(stream_alpn)     \
                            X(stream_remote) X(stream_local) X(stream_set_keepalive)      \
                                X(listener_new) X(listener_port) X(listener_close)
#define SIM_DECLARE(name) extern __typeof__(name) sim_##name;
SIM_RENAMED(SIM_DECLARE)

#define loop_new sim_loop_new
#define loop_free sim_loop_free
#define loop_run sim_loop_run
#define loop_leave sim_loop_leave
#define loop_expect sim_loop_expect
#define loop_stop sim_loop_stop
#define loop_start sim_loop_start
#define loop_join sim_loop_join
#define loop_post sim_loop_post
#define loop_call sim_loop_call
#define loop_uv sim_loop_uv
#define loop_is_current sim_loop_is_current
#define loop_now_ms sim_loop_now_ms
#define loop_deferred_init sim_loop_deferred_init
#define loop_defer sim_loop_defer
#define loop_deferred_cancel sim_loop_deferred_cancel
#define loop_timer_init sim_loop_timer_init
#define loop_timer_start sim_loop_timer_start
#define loop_timer_stop sim_loop_timer_stop
#define stream_accept sim_stream_accept
#define stream_connect sim_stream_connect
#define stream_write sim_stream_write
#define stream_write_blob sim_stream_write_blob
#define stream_queued sim_stream_queued
#define stream_write_stalled_ms sim_stream_write_stalled_ms
#define stream_set_low_water sim_stream_set_low_water
#define stream_pause sim_stream_pause
#define stream_resume sim_stream_resume
#define stream_shutdown sim_stream_shutdown
#define stream_close sim_stream_close
#define stream_loop sim_stream_loop
#define stream_is_tls sim_stream_is_tls
#define stream_peer sim_stream_peer
#define stream_alpn sim_stream_alpn
#define stream_remote sim_stream_remote
#define stream_local sim_stream_local
#define stream_set_keepalive sim_stream_set_keepalive
#define listener_new sim_listener_new
#define listener_port sim_listener_port
#define listener_close sim_listener_close

#endif
