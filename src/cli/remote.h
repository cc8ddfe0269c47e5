/* Commands that talk to a running server: where it is, one request, its answer. */
#ifndef WEIR_CLI_REMOTE_H
#define WEIR_CLI_REMOTE_H

#include "base/buf.h"
#include "cli/cli.h"

#define REMOTE_URL_DEFAULT "http://127.0.0.1:8080"

struct remote {
    struct str url; /* --url, else WEIR_URL, else REMOTE_URL_DEFAULT */
    struct str key; /* --key, else WEIR_KEY; a secret */
    struct str ca;  /* --ca: certificates to trust instead of the system's */
};

/* The options that every such command has; put them into its table. */
#define REMOTE_OPTIONS(remote_ptr)                                                                 \
    {"--url", "URL", "server; default $WEIR_URL or " REMOTE_URL_DEFAULT,                           \
     .value = &(remote_ptr)->url},                                                                 \
    {                                                                                              \
        "--key", "KEY", "key; default $WEIR_KEY", .value = &(remote_ptr)->key                      \
    }

/* From the environment; call before cli_parse. */
void remote_init(struct remote *r);

struct remote_answer {
    int status;
    struct buf body;    /* whole, unless it was given to on_body */
    struct str call_id; /* x-weir-call-id; points into head_text */
    struct str target;  /* x-weir-target */
    char head_text[512];
};

/* Ask and wait. on_body (may be NULL) gets an answer of status 200 piece by piece instead of body.
 * False after the reason has been printed to standard error (not reachable, broken off). */
bool remote_ask(const struct cli_command *command, const struct remote *r, struct str method,
                struct str path, struct str body, void (*on_body)(void *arg, struct str bytes),
                void *arg, struct remote_answer *ret_answer);
void remote_answer_release(struct remote_answer *a);
/* Print the error that an answer of another status than 200 holds; returns exit code 1. */
int remote_refused(const struct cli_command *command, const struct remote_answer *a);
/* Append text percent-encoded. */
void remote_encode(struct buf *out, struct str text);

#endif
