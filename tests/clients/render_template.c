/* Renders one template with many chats, for test_local_templates.py.
 *
 *   render_template TEMPLATE < chats       chats: a JSON object of variables on each line
 *
 * Writes for each chat a line: {"text": …}, or {"error": …, "raised": …}. */
#include <stdio.h>
#include <stdlib.h>

#include "codec/json_scan.h"
#include "codec/json_write.h"
#include "os/file.h"
#include "text/jinja.h"

enum { VARIABLES_MAX = 32, NOW_S = 1790000000 };

static void write_line(const struct buf *out)
{
    (void)fwrite(out->ptr, 1, out->len, stdout);
    (void)putchar('\n');
}

static size_t read_variables(struct str chat, struct arena *arena, struct jinja_input *inputs)
{
    size_t count = 0;
    struct json_value key;
    struct json_reader r;
    json_reader_init(&r, chat, 200);
    if (!json_enter(&r, JSON_OBJECT))
        return 0;
    while (count < VARIABLES_MAX && json_next_member(&r, &key)) {
        struct json_value v = json_take(&r);
        inputs[count++] = (struct jinja_input){json_text(&key, arena), v.raw, false};
    }
    return count;
}

static void render(const struct jinja_template *t, struct str chat)
{
    struct arena arena;
    struct json_writer w;
    BUF_AUTO struct buf problem;
    BUF_AUTO struct buf line;
    struct jinja_output out;
    struct jinja_input inputs[VARIABLES_MAX];
    bool raised = false;
    arena_init(&arena);
    buf_init(&problem, 1000);
    buf_init(&line, 16 << 20);
    jinja_output_init(&out, 2 << 20);
    struct jinja_options o = {inputs, read_variables(chat, &arena, inputs), NOW_S};
    json_writer_init(&w, &line);
    json_object_begin(&w);
    if (jinja_render(t, &o, &out, &problem, &raised) == ERR_OK) {
        json_member_str(&w, STR("text"), buf_str(&out.text));
    } else {
        json_member_str(&w, STR("error"), buf_str(&problem));
        json_member_bool(&w, STR("raised"), raised);
    }
    json_object_end(&w);
    write_line(&line);
    jinja_output_release(&out);
    arena_release(&arena);
}

int main(int argc, char **argv)
{
    BUF_AUTO struct buf source;
    BUF_AUTO struct buf problem;
    struct jinja_template *t;
    char *chat = NULL;
    size_t room = 0;
    buf_init(&source, JINJA_SOURCE_BYTES_MAX);
    buf_init(&problem, 1000);
    if (argc != 2 || os_fs_read_file(os_fs_machine(), argv[1], &source) != ERR_OK)
        return 2;
    if (jinja_parse(buf_str(&source), &problem, &t) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", buf_cstr(&problem));
        return 1;
    }
    for (ssize_t n; (n = getline(&chat, &room, stdin)) > 0;)
        render(t, str_of(chat, (size_t)n));
    free(chat);
    jinja_free(t);
    return 0;
}
