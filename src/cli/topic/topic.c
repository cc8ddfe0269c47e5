/* `weir topic list | describe T | read T | tail T | write T | verify | dump FILE`: topics of a
 * running server, or of a data folder, which may be in use.
 *
 * Both give the same JSON: the server's native API, and api/topic_json.h over a log that is opened
 * to be looked at only. What is printed is made from that. */
#include <inttypes.h>
#include <stdio.h>

#include "api/topic_json.h"
#include "base/mem.h"
#include "cli/member.h"
#include "cli/topic/topic_int.h"
#include "codec/json_scan.h"
#include "codec/time.h"
#include "os/clock.h"

enum {
    LIMIT_DEFAULT = 100,
    PAGE_RECORDS = 1000,
    PAGE_BYTES_MAX = 128 << 20,
    LINE_BYTES_MAX = LOG_RECORD_MAX_BYTES, /* of standard input, one record */
    NESTING_MAX = 256,
    TAIL_WAIT_MS = 10000,
    TAIL_POLL_US = 200000,
};

/* Printing ------------------------------------------------------------------------------------ */

/* Control characters would move the cursor of whoever looks at the table. */
static void print_plain(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        putchar((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? ' ' : text.ptr[i]);
}

static struct str size_text(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    double value = (double)bytes;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    (void)snprintf(text, 32, unit > 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return str_from_c(text);
}

static struct str time_text(int64_t ms, char text[TIME_TEXT_BYTES + 1])
{
    if (ms < 0 || ms > INT64_MAX / 1000000)
        return STR("-");
    return str_take(time_format(ms * 1000, text), 23);
}

static void print_record(const struct topic_command *c, struct str record)
{
    char time[TIME_TEXT_BYTES + 1];
    struct arena a;
    if (c->json) {
        printf("%.*s\n", STR_ARG(record));
        return;
    }
    arena_init(&a);
    printf("%10" PRId64 "  %-23.*s  ", member_number(record, "offset"),
           STR_ARG(time_text(member_number(record, "timestamp_ms"), time)));
    print_plain(member_text(record, "key", &a));
    printf("  ");
    print_plain(member_text(record, "value", &a));
    putchar('\n');
    arena_release(&a);
}

/* Once, when it is sure that there is something to stand below it. */
static void print_record_head(struct topic_command *c)
{
    if (!c->json && !c->headed)
        printf("%10s  %-23s  %s\n", "OFFSET", "TIME", "KEY  VALUE");
    c->headed = true;
}

/* Calls each() with every element of the array at path. Returns how many. */
static uint64_t for_each(struct str object, const char *path,
                         void (*each)(const struct topic_command *c, struct str element),
                         const struct topic_command *c)
{
    struct json_value array;
    struct json_reader r;
    uint64_t count = 0;
    if (!json_find(object, path, &array))
        return 0;
    json_reader_init(&r, array.raw, NESTING_MAX);
    if (json_enter(&r, JSON_ARRAY))
        for (; json_next_element(&r); count++)
            each(c, json_take(&r).raw);
    return count;
}

/* Asking -------------------------------------------------------------------------------------- */

int topic_open_data(struct topic_command *c, log_report_fn *report)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    struct log_options options = {
        .dir = c->data.ptr, .read_only = true, .report = report, .arg = c};
    enum err error = log_open(&options, &detail, &c->log);
    if (error == ERR_OK)
        return 0;
    return cli_fail(&cli_topic, error == ERR_NOT_FOUND ? 1 : err_exit_code(error), "%.*s: %.*s",
                    STR_ARG(c->data),
                    STR_ARG(detail.len ? buf_str(&detail) : str_from_c(err_text(error))));
}

/* The folder's damage, met while it is read, is told as the server tells it. */
static void report_to_people(void *arg, enum log_severity severity, struct str text)
{
    (void)arg;
    if (severity != LOG_INFO)
        fprintf(stderr, "%.*s\n", STR_ARG(text));
}

/* One answer of the server. Returns an exit code. */
static int ask(const struct topic_command *c, struct str method, struct str path, struct str body,
               struct buf *out)
{
    struct remote_answer answer;
    int code = 1;
    if (remote_ask(&cli_topic, &c->remote, method, path, body, NULL, NULL, &answer)) {
        code = answer.status == 200 ? 0 : remote_refused(&cli_topic, &answer);
        buf_append_str(out, buf_str(&answer.body));
    }
    remote_answer_release(&answer);
    return code;
}

static void topic_path(struct buf *out, struct str name, const char *rest)
{
    buf_append_str(out, STR("/api/v1/topics/"));
    remote_encode(out, name);
    buf_append_str(out, str_from_c(rest));
}

/* The topic's partition in the folder. Returns an exit code. */
static int find_part(const struct topic_command *c, struct str name, struct log_part **ret_part)
{
    struct log_topic *topic = log_topic_find(c->log, name);
    if (!topic)
        return cli_fail(&cli_topic, 1,
                        "no topic '%.*s' in %.*s; `weir topic list --data %.*s` shows them",
                        STR_ARG(str_take(name, 100)), STR_ARG(c->data), STR_ARG(c->data));
    *ret_part = log_topic_part(topic, (uint32_t)c->partition);
    if (*ret_part)
        return 0;
    return cli_fail(&cli_topic, 2, "--partition %" PRIu64 ": topic '%.*s' has %u, counted from 0",
                    c->partition, STR_ARG(name), log_topic_partitions(topic));
}

/* list and describe --------------------------------------------------------------------------- */

struct sums {
    uint64_t bytes, records, segments;
};

static struct sums add_up(struct str topic)
{
    struct sums s = {0};
    struct json_value array;
    struct json_reader r;
    if (!json_find(topic, "partitions", &array))
        return s;
    json_reader_init(&r, array.raw, NESTING_MAX);
    if (json_enter(&r, JSON_ARRAY))
        while (json_next_element(&r)) {
            struct str part = json_take(&r).raw;
            s.bytes += (uint64_t)member_number(part, "bytes");
            s.records +=
                (uint64_t)(member_number(part, "end_offset") - member_number(part, "start_offset"));
            s.segments += (uint64_t)member_number(part, "segments");
        }
    return s;
}

static void count_element(const struct topic_command *c, struct str element)
{
    (void)c;
    (void)element;
}

static void print_topic(const struct topic_command *c, struct str topic)
{
    char size[32];
    struct arena a;
    struct sums s = add_up(topic);
    if (c->json) {
        printf("%.*s\n", STR_ARG(topic));
        return;
    }
    arena_init(&a);
    printf("%-32.*s  %10" PRIu64 "  %12" PRIu64 "  %10.*s  %8" PRIu64 "  %-10.*s  %.*s\n",
           STR_ARG(member_text(topic, "name", &a)), for_each(topic, "partitions", count_element, c),
           s.records, STR_ARG(size_text(s.bytes, size)), s.segments,
           STR_ARG(member_text(topic, "durability", &a)),
           STR_ARG(member_text(topic, "compression", &a)));
    arena_release(&a);
}

static int list(struct topic_command *c)
{
    struct buf page BUF_AUTO;
    buf_init(&page, PAGE_BYTES_MAX);
    if (c->log) {
        struct json_writer w;
        json_writer_init(&w, &page);
        topic_json_write_all(&w, c->log);
    } else {
        int code = ask(c, STR("GET"), STR("/api/v1/topics"), STR_NONE, &page);
        if (code)
            return code;
    }
    if (!c->json)
        printf("%-32s  %10s  %12s  %10s  %8s  %-10s  %s\n", "TOPIC", "PARTITIONS", "RECORDS",
               "SIZE", "SEGMENTS", "DURABILITY", "COMPRESSION");
    (void)for_each(buf_str(&page), "topics", print_topic, c);
    return 0;
}

static void print_part(const struct topic_command *c, struct str part)
{
    char size[32];
    char time[TIME_TEXT_BYTES + 1];
    (void)c;
    printf("%9" PRId64 "  %12" PRId64 "  %12" PRId64 "  %10.*s  %8" PRId64 "  %.*s\n",
           member_number(part, "partition"), member_number(part, "start_offset"),
           member_number(part, "end_offset"),
           STR_ARG(size_text((uint64_t)member_number(part, "bytes"), size)),
           member_number(part, "segments"),
           STR_ARG(time_text(member_number(part, "newest_ms"), time)));
}

static void print_limit(const char *name, int64_t value, const char *unit)
{
    if (value < 0)
        printf("%-12s none\n", name);
    else
        printf("%-12s %" PRId64 " %s\n", name, value, unit);
}

static int describe(struct topic_command *c, struct str name)
{
    struct buf page BUF_AUTO;
    struct buf path BUF_AUTO;
    struct log_part *part = NULL;
    struct arena a;
    buf_init(&page, PAGE_BYTES_MAX);
    buf_init(&path, 16384);
    if (c->log) {
        struct json_writer w;
        int code = find_part(c, name, &part);
        if (code)
            return code;
        json_writer_init(&w, &page);
        topic_json_write(&w, log_part_topic(part));
    } else {
        topic_path(&path, name, "");
        int code = ask(c, STR("GET"), buf_str(&path), STR_NONE, &page);
        if (code)
            return code;
    }
    struct str topic = buf_str(&page);
    if (c->json) {
        printf("%.*s\n", STR_ARG(topic));
        return 0;
    }
    arena_init(&a);
    printf("%-12s %.*s\n%-12s %.*s\n%-12s %.*s\n", "topic", STR_ARG(member_text(topic, "name", &a)),
           "durability", STR_ARG(member_text(topic, "durability", &a)), "compression",
           STR_ARG(member_text(topic, "compression", &a)));
    arena_release(&a);
    print_limit("age limit", member_number(topic, "retention_ms"), "ms");
    print_limit("size limit", member_number(topic, "retention_bytes"), "bytes a partition");
    printf("\n%9s  %12s  %12s  %10s  %8s  %s\n", "PARTITION", "EARLIEST", "END", "SIZE", "SEGMENTS",
           "NEWEST");
    (void)for_each(topic, "partitions", print_part, c);
    return 0;
}

/* read and tail ------------------------------------------------------------------------------- */

/* Where --from points in the folder. Returns an exit code. */
static int start_in_folder(const struct topic_command *c, struct log_part *part, struct str from,
                           int64_t *ret_offset)
{
    uint64_t offset = 0;
    int64_t ms = 0;
    int64_t us = 0;
    *ret_offset = log_part_start(part);
    if (str_eq(from, STR("start")))
        return 0;
    if (str_eq(from, STR("end"))) {
        *ret_offset = log_part_end(part);
        return 0;
    }
    if (str_to_u64(from, &offset) == ERR_OK && offset <= INT64_MAX) {
        if ((int64_t)offset >= *ret_offset && (int64_t)offset <= log_part_end(part)) {
            *ret_offset = (int64_t)offset;
            return 0;
        }
        return cli_fail(&cli_topic, 1, "--from %.*s: the offsets are %" PRId64 " to %" PRId64,
                        STR_ARG(from), *ret_offset, log_part_end(part));
    }
    if (time_point_parse(from, os_wall_us(), &us) != ERR_OK)
        return cli_fail(
            &cli_topic, 2,
            "--from '%.*s': write an offset, a time like 2026-11-24T10:00:00Z, an age like "
            "10m, start or end",
            STR_ARG(str_take(from, 40)));
    enum err error = log_find_time(part, us / 1000, ret_offset, &ms);
    if (error == ERR_OK)
        return 0;
    return cli_fail(&cli_topic, err_exit_code(error), "reading %.*s: %s", STR_ARG(c->data),
                    err_text(error));
}

/* At most `left` records of the folder from *offset on. Returns an exit code. */
static int read_folder(const struct topic_command *c, struct log_part *part, int64_t *offset,
                       uint64_t left)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    enum err error = log_cursor_open(part, *offset, LOG_FORWARD, &cursor);
    while (error == ERR_OK && left > 0 && (error = log_cursor_next(cursor, &entry)) == ERR_OK &&
           entry) {
        struct buf line BUF_AUTO;
        struct json_writer w;
        buf_init(&line, PAGE_BYTES_MAX);
        json_writer_init(&w, &line);
        topic_json_write_record(&w, part, entry);
        print_record(c, buf_str(&line));
        left--;
    }
    if (cursor)
        *offset = log_cursor_offset(cursor);
    log_cursor_close(cursor);
    if (error == ERR_OK)
        return 0;
    return cli_fail(&cli_topic, err_exit_code(error), "reading %.*s: %s", STR_ARG(c->data),
                    err_text(error));
}

/* At most `left` records of the server from `from` on. Returns an exit code. */
static int read_server(struct topic_command *c, struct str name, struct str from, uint64_t left,
                       uint64_t wait_ms, int64_t *ret_next, uint64_t *ret_count)
{
    struct buf page BUF_AUTO;
    struct buf path BUF_AUTO;
    buf_init(&page, PAGE_BYTES_MAX);
    buf_init(&path, 16384);
    topic_path(&path, name, "/records?");
    buf_printf(&path,
               "partition=%" PRIu64 "&limit=%" PRIu64 "&wait_ms=%" PRIu64 "&from=", c->partition,
               left < PAGE_RECORDS ? left : PAGE_RECORDS, wait_ms);
    remote_encode(&path, from);
    int code = ask(c, STR("GET"), buf_str(&path), STR_NONE, &page);
    if (code)
        return code;
    print_record_head(c);
    *ret_count = for_each(buf_str(&page), "records", print_record, c);
    *ret_next = member_number(buf_str(&page), "next");
    return 0;
}

static int read_records(struct topic_command *c, struct str name)
{
    struct str from = c->from.len ? c->from : STR("start");
    struct log_part *part = NULL;
    int64_t next = 0;
    char text[32];
    if (c->log) {
        int code = find_part(c, name, &part);
        if (code == 0)
            code = start_in_folder(c, part, from, &next);
        if (code)
            return code;
        print_record_head(c);
        return read_folder(c, part, &next, c->limit);
    }
    for (uint64_t left = c->limit, count = 1; left > 0 && count > 0; left -= count) {
        int code = read_server(c, name, from, left, 0, &next, &count);
        if (code)
            return code;
        (void)snprintf(text, sizeof text, "%" PRId64, next);
        from = str_from_c(text);
    }
    return 0;
}

static int tail_folder(struct topic_command *c, struct log_part *part, int64_t next)
{
    print_record_head(c);
    for (;;) {
        int code = read_folder(c, part, &next, UINT64_MAX);
        (void)fflush(stdout);
        if (code)
            return code;
        os_sleep_us(TAIL_POLL_US);
        enum err error = log_part_refresh(part);
        if (error != ERR_OK)
            return cli_fail(&cli_topic, err_exit_code(error), "reading %.*s: %s", STR_ARG(c->data),
                            err_text(error));
    }
}

static int tail(struct topic_command *c, struct str name)
{
    struct str from = c->from.len ? c->from : STR("end");
    struct log_part *part = NULL;
    int64_t next = 0;
    uint64_t count = 0;
    char text[32];
    if (c->log) {
        int code = find_part(c, name, &part);
        if (code == 0)
            code = start_in_folder(c, part, from, &next);
        return code ? code : tail_folder(c, part, next);
    }
    for (;;) {
        int code = read_server(c, name, from, PAGE_RECORDS, TAIL_WAIT_MS, &next, &count);
        (void)fflush(stdout);
        if (code)
            return code;
        (void)snprintf(text, sizeof text, "%" PRId64, next);
        from = str_from_c(text);
    }
}

/* write --------------------------------------------------------------------------------------- */

static int write_one(const struct topic_command *c, struct str name, struct str value)
{
    struct buf answer BUF_AUTO;
    struct buf path BUF_AUTO;
    buf_init(&answer, 4096);
    buf_init(&path, 16384 + 3 * c->record_key.len);
    topic_path(&path, name, "/records");
    if (c->record_key.len) {
        buf_append_str(&path, STR("?key="));
        remote_encode(&path, c->record_key);
    }
    int code = ask(c, STR("POST"), buf_str(&path), value, &answer);
    if (code)
        return code;
    if (c->json)
        printf("%.*s\n", STR_ARG(buf_str(&answer)));
    else
        printf("offset %" PRId64 "\n", member_number(buf_str(&answer), "offset"));
    return 0;
}

/* Every line of standard input is a record. */
static int write_lines(const struct topic_command *c, struct str name)
{
    struct buf line BUF_AUTO;
    int code = 0;
    buf_init(&line, LINE_BYTES_MAX);
    for (int ch = getchar(); ch != EOF && code == 0; ch = getchar()) {
        if (ch != '\n') {
            buf_append_char(&line, (char)ch);
            continue;
        }
        code = line.error ? cli_fail(&cli_topic, 1, "a line above %d bytes", LINE_BYTES_MAX)
                          : write_one(c, name, buf_str(&line));
        buf_reset(&line);
    }
    if (code == 0 && line.len > 0)
        code = write_one(c, name, buf_str(&line));
    return code;
}

static int write_records(struct topic_command *c, const struct cli_args *args)
{
    if (c->data.len)
        return cli_fail(&cli_topic, 2,
                        "write needs a running server: a folder (--data) is only looked at");
    if (args->count == 2)
        return write_lines(c, args->words[1]);
    for (size_t i = 2; i < args->count; i++) {
        int code = write_one(c, args->words[1], args->words[i]);
        if (code)
            return code;
    }
    return 0;
}

/* The command --------------------------------------------------------------------------------- */

static int with_topic(struct topic_command *c, const struct cli_args *args)
{
    struct str what = args->words[0];
    struct str name = args->words[1];
    if (args->count < 2)
        return cli_fail(&cli_topic, 2, "%.*s needs a topic; `weir topic list` shows them",
                        STR_ARG(what));
    if (str_eq(what, STR("write")))
        return write_records(c, args);
    if (args->count > 2)
        return cli_fail(&cli_topic, 2, "'%.*s' is one word too many", STR_ARG(args->words[2]));
    int code = c->data.len ? topic_open_data(c, report_to_people) : 0;
    if (code)
        return code;
    if (str_eq(what, STR("describe")))
        return describe(c, name);
    return str_eq(what, STR("read")) ? read_records(c, name) : tail(c, name);
}

static int run_words(struct topic_command *c, const struct cli_args *args)
{
    static const struct str names[] = {STR_INIT("describe"), STR_INIT("read"), STR_INIT("tail"),
                                       STR_INIT("write")};
    struct str what = args->count ? args->words[0] : STR_NONE;
    struct str second = args->count > 1 ? args->words[1] : STR_NONE;
    if (str_eq(what, STR("list"))) {
        int code = c->data.len ? topic_open_data(c, report_to_people) : 0;
        return code ? code : list(c);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(what, names[i]))
            return with_topic(c, args);
    if (str_eq(what, STR("verify")))
        return topic_verify(c, second);
    if (str_eq(what, STR("dump")))
        return topic_dump(c, second);
    return cli_fail(&cli_topic, 2,
                    "%s%.*s: write list, describe, read, tail, write, verify or dump",
                    args->count ? "unknown word " : "what to do is missing", STR_ARG(what));
}

static int run(int argc, char **argv)
{
    struct topic_command c = {.limit = LIMIT_DEFAULT};
    struct cli_args args;
    struct str partition = STR_NONE;
    struct str limit = STR_NONE;
    remote_init(&c.remote);
    const struct cli_option options[] = {
        {"--data", "DIR", "look at a data folder instead of asking a server", .value = &c.data},
        {"--from", "OFFSET|TIME", "where to begin; also an age (10m), start, end",
         .value = &c.from},
        {"--limit", "N", "records at most, default 100", .value = &limit},
        {"--partition", "N", "default 0", .value = &partition},
        {"--record-key", "KEY", "key of the records that write appends", .value = &c.record_key},
        {"--records", NULL, "dump: the records too", .flag = &c.records},
        {"--json", NULL, "one JSON object a line", .flag = &c.json},
        REMOTE_OPTIONS(&c.remote),
    };
    enum cli_parsed parsed =
        cli_parse(&cli_topic, options, sizeof options / sizeof options[0], argc, argv, &args);
    if (parsed != CLI_GO)
        return parsed == CLI_HELP_SHOWN ? 0 : 2;
    if ((limit.len && !cli_number(&cli_topic, "--limit", limit, 1, UINT32_MAX, &c.limit)) ||
        (partition.len &&
         !cli_number(&cli_topic, "--partition", partition, 0, LOG_PARTITIONS_MAX, &c.partition)))
        return 2;
    int code = run_words(&c, &args);
    if (c.log)
        log_close(c.log);
    return code;
}

const struct cli_command cli_topic = {
    .name = "topic",
    .usage = "weir topic list|describe T|read T|tail T [options]\n"
             "       weir topic write T [VALUE]… [--record-key KEY]\n"
             "       weir topic verify [T] [--data DIR]\n"
             "       weir topic dump FILE [--records]",
    .summary = "Look into the event log: topics, their records and files",
    .details = "write without values appends every line of standard input. verify reads every byte "
               "of a data\n"
               "folder (./weir-data unless --data says otherwise), which may be in use, and exits "
               "with 1 when\n"
               "anything is damaged. dump shows a .log, .index or .timeindex file.",
    .run = run,
};
