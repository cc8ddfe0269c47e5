/* Every case × API × stream × target, and what came of it: lines of JSON, or a table for each API.
 */
#include <stdio.h>

#include "cli/conformance/conformance_int.h"
#include "codec/json_write.h"

enum { REASONS_BYTES_MAX = 8 << 20, NAME_WIDTH = 26, CELL_WIDTH = 11 };

struct run {
    const struct conf *conf;
    size_t passed, failed;
    struct buf reasons; /* for people, below the tables */
};

enum err conf_question_ask(const struct conf_question *question, struct str body,
                           struct conf_answer *ret_answer, struct conf_view *ret_view)
{
    struct buf BUF_AUTO headers;
    buf_init(&headers, 64 << 10);
    conf_headers_append(question, &headers);
    struct conf_ask ask = {.server = &question->conf->gateway,
                           .method = STR("POST"),
                           .path = conf_path(question->api),
                           .headers = buf_str(&headers),
                           .body = body};
    enum err e = conf_http(&ask, ret_answer);
    conf_view_init(ret_view);
    if (ret_answer->status > 0)
        conf_view_read(question->api, ret_answer, ret_view);
    return e;
}

static void ask_plain(const struct conf_question *question, struct buf *why)
{
    struct conf_answer answer;
    struct conf_view view;
    struct buf BUF_AUTO body;
    buf_init(&body, CONF_BODY_BYTES_MAX);
    conf_body_append(question, &body);
    enum err e = conf_question_ask(question, buf_str(&body), &answer, &view);
    bool broken = str_find(str_from_c(question->the_case->wants), STR("broken=1")) >= 0;
    if (e != ERR_OK && !(broken && answer.status == 200)) {
        buf_printf(why, "%s", err_text(e));
    } else {
        yyjson_doc *last = conf_mock_get(question->conf, STR("/mock/last"));
        conf_check(question, &answer, &view, yyjson_obj_get(yyjson_doc_get_root(last), "seen"),
                   why);
        yyjson_doc_free(last);
    }
    conf_view_release(&view);
    buf_release(&answer.body);
}

static void write_json(const struct conf_question *question, struct str why)
{
    struct buf BUF_AUTO line;
    struct json_writer w;
    buf_init(&line, 64 << 10);
    json_writer_init(&w, &line);
    json_object_begin(&w);
    json_member_str(&w, STR("case"), str_from_c(question->the_case->name));
    json_member_str(&w, STR("api"), str_from_c(conf_api_names[question->api]));
    json_member_str(&w, STR("target"), str_from_c(conf_kind_names[question->target->kind]));
    json_member_str(&w, STR("model"), question->target->model);
    json_member_bool(&w, STR("stream"), question->stream);
    json_member_bool(&w, STR("pass"), why.len == 0);
    json_member_str_or_null(&w, STR("why"), why.len > 0 ? why : STR_NONE);
    json_object_end(&w);
    printf("%.*s\n", STR_ARG(buf_str(&line)));
    fflush(stdout);
}

/* One cell's half; its word for the table. */
static const char *run_question(struct run *run, const struct conf_question *question)
{
    struct buf BUF_AUTO why;
    buf_init(&why, 16 << 10);
    if (question->the_case->special)
        question->the_case->special(question, &why);
    else
        ask_plain(question, &why);
    bool pass = why.len == 0;
    *(pass ? &run->passed : &run->failed) += 1;
    if (run->conf->json)
        write_json(question, buf_str(&why));
    if (!pass)
        buf_printf(&run->reasons, "%s > %s, %s%s: %.*s\n", conf_api_names[question->api],
                   conf_kind_names[question->target->kind], question->the_case->name,
                   question->stream ? ", stream" : "", STR_ARG(buf_str(&why)));
    return pass ? "ok" : "FAIL";
}

static void run_cell(struct run *run, const struct conf_case *c, enum conf_api api,
                     const struct conf_target *target)
{
    struct conf_question question = {
        .conf = run->conf, .the_case = c, .api = api, .target = target};
    const char *whole = "-";
    const char *stream = "-";
    char cell[32];
    bool applies = c->kinds & (1u << target->kind);
    if (applies && (c->modes & WHOLE))
        whole = run_question(run, &question);
    question.stream = true;
    if (applies && (c->modes & STREAM))
        stream = run_question(run, &question);
    (void)snprintf(cell, sizeof cell, "%s %s", whole, stream);
    if (!run->conf->json)
        printf("  %-*s", CELL_WIDTH, cell);
}

static bool is_wanted(const struct run *run, const struct conf_case *c, enum conf_api api)
{
    return (c->apis & (1u << api)) &&
           (run->conf->only.len == 0 || str_find(str_from_c(c->name), run->conf->only) >= 0);
}

static void run_api(struct run *run, enum conf_api api)
{
    const struct conf *conf = run->conf;
    bool any = false;
    for (size_t i = 0; i < conf_case_count; i++)
        any |= is_wanted(run, &conf_cases[i], api);
    if (!any)
        return;
    if (!conf->json) {
        printf("\n%-*s", NAME_WIDTH, conf_api_names[api]);
        for (size_t t = 0; t < conf->target_count; t++)
            printf("  %-*s", CELL_WIDTH, conf_kind_names[conf->targets[t].kind]);
        printf("\n");
    }
    for (size_t i = 0; i < conf_case_count; i++) {
        if (!is_wanted(run, &conf_cases[i], api))
            continue;
        if (!conf->json)
            printf("%-*s", NAME_WIDTH, conf_cases[i].name);
        for (size_t t = 0; t < conf->target_count; t++)
            run_cell(run, &conf_cases[i], api, &conf->targets[t]);
        if (!conf->json)
            printf("\n");
        fflush(stdout);
    }
}

int conf_run(const struct conf *conf)
{
    struct run run = {.conf = conf};
    buf_init(&run.reasons, REASONS_BYTES_MAX);
    if (!conf->json)
        printf("Unstreamed, then streamed; -: does not apply.\n");
    for (size_t api = 0; api < CONF_APIS; api++)
        run_api(&run, (enum conf_api)api);
    if (conf->json)
        printf("{\"passed\":%zu,\"failed\":%zu}\n", run.passed, run.failed);
    else
        printf("\n%.*s\n%zu passed, %zu failed\n", STR_ARG(buf_str(&run.reasons)), run.passed,
               run.failed);
    buf_release(&run.reasons);
    return run.failed > 0 ? 1 : 0;
}
