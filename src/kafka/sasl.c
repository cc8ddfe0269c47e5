/* SaslHandshake, SaslAuthenticate: PLAIN (RFC 4616), name and key of one of Weir's keys.
 *
 *     authorization id, empty or the name | NUL | name | NUL | key */
#include "base/assert.h"
#include "kafka/kafka_int.h"

void kafka_on_sasl_handshake(struct kafka_request *r)
{
    static struct str plain = STR_INIT("PLAIN");
    const struct kafka_sasl_handshake_request *q = r->body;
    struct kafka_sasl_handshake_response *response =
        KAFKA_NEW(&r->arena, sasl_handshake_response, 1);
    response->mechanisms = &plain;
    response->mechanisms_count = 1;
    r->conn->sasl_chosen = str_eq(q->mechanism, plain);
    if (!r->conn->sasl_chosen)
        response->error_code = KAFKA_UNSUPPORTED_SASL_MECHANISM;
    kafka_reply(r, response);
}

static bool is_right(struct kafka_request *r, struct str bytes,
                     struct kafka_principal *ret_principal)
{
    const struct kafka_options *o = &kafka_request_half(r)->server->options;
    struct str authorization = str_split(&bytes, 0);
    struct str name = str_split(&bytes, 0);
    if (!bytes.ptr || name.len == 0 || bytes.len == 0 || !o->authenticate)
        return false;
    if (authorization.len > 0 && !str_eq(authorization, name))
        return false;
    return o->authenticate(o->arg, name, bytes, ret_principal);
}

void kafka_on_sasl_authenticate(struct kafka_request *r)
{
    const struct kafka_sasl_authenticate_request *q = r->body;
    struct kafka_conn *c = r->conn;
    struct kafka_sasl_authenticate_response *response =
        KAFKA_NEW(&r->arena, sasl_authenticate_response, 1);
    struct kafka_principal principal;
    if (!c->sasl_chosen) {
        response->error_code = KAFKA_ILLEGAL_SASL_STATE;
        response->error_message = STR("SaslHandshake comes first, with mechanism PLAIN");
    } else if (!is_right(r, q->auth_bytes, &principal)) {
        response->error_code = KAFKA_SASL_AUTHENTICATION_FAILED;
        response->error_message =
            STR("user name and password must be the name and the text of a key");
        kafka_count(&c->half->closed_for_cause, 1);
        kafka_conn_end(c);
    } else {
        c->principal = principal;
    }
    c->sasl_chosen = false;
    kafka_reply(r, response);
}
