/* The client of bench/kafka: librdkafka as most programs use it, the same against Weir and against
 * Apache Kafka.
 *
 *     kafka_load produce BROKERS TOPIC COUNT BYTES ACKS [SETTING=VALUE…]
 *     kafka_load fetch   BROKERS TOPIC COUNT
 *     kafka_load latency BROKERS TOPIC COUNT BYTES ACKS PER_SECOND
 *
 * One line of JSON on standard output. Latency is from the moment a record is given to the producer
 * to the moment the consumer has it, in one process. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

enum { PARTITIONS = 4, WAIT_MS = 60000 };

static long failed;
static long delivered;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_load: %s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[512];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        die(name, text);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    (void)opaque;
    delivered++;
    failed += m->err != 0;
}

static rd_kafka_t *open_client(rd_kafka_type_t type, const char *brokers, const char *acks,
                               char **settings)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    if (type == RD_KAFKA_PRODUCER) {
        set(conf, "acks", acks);
        set(conf, "queue.buffering.max.messages", "1000000");
        set(conf, "queue.buffering.max.kbytes", "262144");
        set(conf, "linger.ms", "5");
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    } else {
        set(conf, "group.id", "bench");
        set(conf, "enable.auto.commit", "false");
        set(conf, "auto.offset.reset", "earliest");
        set(conf, "queued.min.messages", "1000000");
    }
    for (; settings && *settings; settings++) {
        char *value = strchr(*settings, '=');
        if (!value)
            die(*settings, "not SETTING=VALUE");
        *value++ = 0;
        set(conf, *settings, value);
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (!rk)
        die("librdkafka", text);
    return rk;
}

static void send_one(rd_kafka_t *rk, rd_kafka_topic_t *topic, int partition, void *bytes,
                     size_t len)
{
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, bytes, len, NULL, 0, NULL) !=
           0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(rk, 10);
    }
}

/* Text that does not compress to nothing, though no codec is set. */
static char *payload(size_t len)
{
    char *bytes = malloc(len);
    if (!bytes)
        die("memory", "none");
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)('a' + (i * 7919 + i / 13) % 26);
    return bytes;
}

static int produce(const char *brokers, const char *name, long count, size_t len, const char *acks,
                   char **settings)
{
    rd_kafka_t *rk = open_client(RD_KAFKA_PRODUCER, brokers, acks, settings);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    char *bytes = payload(len);
    send_one(rk, topic, 0, bytes, len); /* connections, metadata */
    rd_kafka_flush(rk, WAIT_MS);
    double begun = now_s();
    for (long i = 0; i < count; i++) {
        send_one(rk, topic, (int)(i / 1000 % PARTITIONS), bytes, len);
        if (i % 1000 == 0)
            rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, WAIT_MS);
    double took = now_s() - begun;
    if (delivered != count + 1 || failed)
        die("produce", "not every record was acknowledged");
    printf("{\"records_s\": %.0f, \"mb_s\": %.1f}\n", (double)count / took,
           (double)count * (double)len / took / 1e6);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
    free(bytes);
    return 0;
}

static rd_kafka_t *open_consumer(const char *brokers, const char *name, int64_t offset,
                                 char **settings)
{
    rd_kafka_t *rk = open_client(RD_KAFKA_CONSUMER, brokers, NULL, settings);
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(list, name, i)->offset = offset;
    rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return rk;
}

static int fetch(const char *brokers, const char *name, long count)
{
    double begun = now_s();
    rd_kafka_t *rk = open_consumer(brokers, name, RD_KAFKA_OFFSET_BEGINNING, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    static rd_kafka_message_t *messages[1000];
    double bytes = 0;
    long got = 0;
    while (got < count) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, messages, 1000);
        for (ssize_t i = 0; i < n; i++) {
            got += !messages[i]->err;
            bytes += messages[i]->err ? 0 : (double)messages[i]->len;
            rd_kafka_message_destroy(messages[i]);
        }
    }
    double took = now_s() - begun;
    printf("{\"records_s\": %.0f, \"mb_s\": %.1f}\n", (double)got / took, bytes / took / 1e6);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Take what is there until `until`, noting how long each took. */
static long receive(rd_kafka_t *consumer, double until, double *ret_us, long got, long count)
{
    while (got < count) {
        double left = until - now_s();
        rd_kafka_message_t *m =
            rd_kafka_consumer_poll(consumer, left > 0.001 ? (int)(left * 1000) : 0);
        if (!m)
            return got;
        double sent;
        if (!m->err && m->len >= sizeof sent) {
            memcpy(&sent, m->payload, sizeof sent);
            if (sent > 0)
                ret_us[got++] = (now_s() - sent) * 1e6;
        }
        rd_kafka_message_destroy(m);
    }
    return got;
}

static int latency(const char *brokers, const char *name, long count, size_t len, const char *acks,
                   double per_second)
{
    static char *fast[] = {NULL, NULL};
    char linger[] = "linger.ms=0";
    char wait[] = "fetch.wait.max.ms=100";
    char *consumer_settings[] = {wait, NULL};
    fast[0] = linger;
    rd_kafka_t *producer = open_client(RD_KAFKA_PRODUCER, brokers, acks, fast);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, name, NULL);
    rd_kafka_t *consumer = open_consumer(brokers, name, RD_KAFKA_OFFSET_END, consumer_settings);
    double *us = calloc((size_t)count, sizeof *us);
    char *bytes = payload(len);
    double unsent = 0;
    memcpy(bytes, &unsent, sizeof unsent);
    double warm = now_s() + 3; /* also until the consumer has found the ends */
    for (; now_s() < warm; receive(consumer, now_s() + 0.02, us, 0, 1)) {
        send_one(producer, topic, 0, bytes, len);
        rd_kafka_poll(producer, 0);
    }
    double begun = now_s();
    long got = 0;
    for (long i = 0; i < count; i++) {
        double sent = now_s();
        memcpy(bytes, &sent, sizeof sent);
        send_one(producer, topic, 0, bytes, len);
        rd_kafka_poll(producer, 0);
        got = receive(consumer, begun + (double)(i + 1) / per_second, us, got, count);
        while (now_s() < begun + (double)(i + 1) / per_second)
            ;
    }
    got = receive(consumer, now_s() + 5, us, got, count);
    if (got < count)
        die("latency", "records did not arrive");
    qsort(us, (size_t)count, sizeof *us, by_value);
    printf("{\"p50_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f}\n", us[count / 2],
           us[count * 99 / 100], us[count * 999 / 1000]);
    rd_kafka_flush(producer, WAIT_MS);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    free(us);
    free(bytes);
    return 0;
}

static long number(const char *text)
{
    uint64_t n = 0;
    if (str_to_u64(str_from_c(text), &n) != ERR_OK || n > 1u << 30)
        die(text, "is not a number up to 2^30");
    return (long)n;
}

int main(int argc, char **argv)
{
    if (argc >= 7 && strcmp(argv[1], "produce") == 0)
        return produce(argv[2], argv[3], number(argv[4]), (size_t)number(argv[5]), argv[6],
                       argv + 7);
    if (argc == 5 && strcmp(argv[1], "fetch") == 0)
        return fetch(argv[2], argv[3], number(argv[4]));
    if (argc == 8 && strcmp(argv[1], "latency") == 0)
        return latency(argv[2], argv[3], number(argv[4]), (size_t)number(argv[5]), argv[6],
                       (double)number(argv[7]));
    fprintf(stderr, "kafka_load: see the head of bench/kafka_load.c\n");
    return 2;
}
