/*
 * nftables transactions (see nft.h). A context is made for each: they are rare (a Service or an
 * endpoint changed), and a context that is kept would hold the kernel's whole ruleset as its cache.
 */
#include "node/nft.h"
#include "base/mem.h"
#include <nftables/libnftables.h>
#include <pthread.h>

/* The parser behind libnftables keeps static state. */
static pthread_mutex_t nft_lock = PTHREAD_MUTEX_INITIALIZER;

int nft_apply(struct str commands, struct error *err)
{
    char *text = mem_strndup(commands.p, commands.n);
    struct nft_ctx *ctx;
    int rc = 0;

    pthread_mutex_lock(&nft_lock);
    ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!ctx) {
        rc = error_set(err, ERR_IO, "nftables: cannot make a context");
    } else {
        nft_ctx_buffer_error(ctx);
        nft_ctx_buffer_output(ctx);
        if (nft_run_cmd_from_buffer(ctx, text) != 0) {
            const char *why = nft_ctx_get_error_buffer(ctx);
            rc = error_set(err, ERR_IO, "nftables: %s", why && *why ? why : "transaction refused");
        }
        nft_ctx_free(ctx);
    }
    pthread_mutex_unlock(&nft_lock);
    mem_free(text);
    return rc;
}
