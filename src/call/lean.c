/* Requests of the Responses API that lean on stored responses (previous_response_id, references to
 * items): what they lean on is read from the log before anything else happens, on a worker.
 *
 *   target               previous is Weir's                previous is the provider's own
 *   translated           the conversation, put into the input (both)
 *   native               the same                          the client's bytes, once the log says
 *                                                          that this key made that response
 *
 * The request stays as it came in the record: the conversation stands in the records before it. */
#include "call/call_int.h"
#include "call/stored.h"
#include "dialect/responses_items.h"
#include "net/work.h"

struct call_lean {
    struct call *call;
    struct responses_lean needs;
    struct buf whole;            /* the request with what it leans on */
    struct chat_request request; /* of it */
    bool reads;
    bool foreign;   /* the response that it continues has a provider's own id */
    enum err known; /* of such a one: is it this key's? */
    enum err err;   /* of putting it together */
    struct openai_problem problem;
};

static unsigned nesting_of(const struct call *c)
{
    return (unsigned)c->settings->shared->config->limits.nesting;
}

static void read_log(void *arg)
{
    struct call_lean *lean = arg;
    struct call *c = lean->call;
    struct stored *stored = c->gl->gateway->stored;
    struct str previous = lean->needs.previous, call;
    lean->foreign = previous.len && !responses_id_call(previous, &call);
    if (lean->foreign)
        lean->known = stored_check(stored, previous, c->key->name, &lean->problem);
    lean->err = stored_expand(stored, c->request.body, nesting_of(c), c->key->name, &lean->whole,
                              &lean->problem);
    /* The conversation's own nesting was bounded when its turns came. */
    if (lean->err == ERR_OK)
        lean->err = c->endpoint->dialect->watch->read_request(
            buf_str(&lean->whole), JSON_DEPTH_MAX, c->x->arena, &lean->request, &lean->problem);
}

static void on_read(void *arg)
{
    struct call_lean *lean = arg;
    struct call *c = lean->call;
    lean->reads = false;
    if (c->gone) {
        call_client_left(c);
        return;
    }
    if (lean->err == ERR_OK)
        c->request.prompt_tokens = lean->request.prompt_tokens;
    call_admitted(c);
}

bool call_lean_begin(struct call *c)
{
    struct responses_lean needs;
    if (c->endpoint->id != CALL_RESPONSES ||
        responses_lean_read(c->request.body, nesting_of(c), c->x->arena, &needs) != ERR_OK ||
        (needs.previous.len == 0 && !needs.references))
        return false;
    struct call_lean *lean = ARENA_NEW(c->x->arena, struct call_lean);
    lean->call = c;
    lean->needs = needs;
    lean->reads = true;
    buf_init(&lean->whole, 2 * STORED_BYTES_MAX);
    c->lean = lean;
    work_start(c->gl->loop, read_log, on_read, lean);
    return true;
}

bool call_lean_reads(const struct call *c)
{
    return c->lean && c->lean->reads;
}

static enum err refuse(struct call *c)
{
    c->problem = c->lean->problem;
    return c->lean->err;
}

enum err call_lean_body(struct call *c, struct str *ret_body)
{
    if (c->lean && c->lean->err != ERR_OK)
        return refuse(c);
    *ret_body = c->lean ? buf_str(&c->lean->whole) : c->request.body;
    return ERR_OK;
}

enum err call_lean_request(struct call *c, const struct chat_request **ret_request)
{
    struct call_lean *lean = c->lean;
    *ret_request = &c->request;
    if (!lean || (lean->foreign && lean->known == ERR_OK))
        return ERR_OK;
    /* References to items alone may be to the provider's. */
    if (lean->err != ERR_OK)
        return lean->needs.previous.len ? refuse(c) : ERR_OK;
    *ret_request = &lean->request;
    return ERR_OK;
}

void call_lean_done(struct call *c)
{
    if (c->lean)
        buf_release(&c->lean->whole);
}
