/*
 * The near end of a benchmark: SMTP clients that send as fast as they are answered, and measure how
 * long the answer to each message takes.
 *
 *     cc -O2 -o source source.c
 *     ./source PORT MESSAGES CONNECTIONS OCTETS RECIPIENTS kept|each
 *
 * Sends to 127.0.0.1: MAIL, RCPT and DATA in one write, the content in another. "each" makes a
 * connection for each message. At the end one line says how many were accepted, and the times from
 * the last octet of the data to the reply, in microseconds. What else than acceptance comes is
 * written to standard error, once, and makes the exit status 1.
 * One thread.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    REPLIES_LEN = 4096,
    HEADER_LEN = 512,
    COMMAND_LEN_MAX = 64,
    EVENTS_MAX = 256,
    LINE_LEN = 80,
};

/* What a client waits for. */
enum state { GREETING, HELLO, ENVELOPE, GO_AHEAD, ANSWER, FAREWELL };

struct client {
    int fd;
    enum state state;
    long n_replies;    /* of the envelope, still to come */
    uint64_t ended_ns; /* when the last octet of the data was given away */
    size_t n_in;
    char in[REPLIES_LEN];
    char header[HEADER_LEN];
    size_t header_len;
    size_t n_sent; /* of header and body */
};

static struct {
    long port, messages, connections, octets, recipients;
    int kept;
} order;

static struct {
    long begun, accepted, refused;
    uint32_t *micros;
} done;

static char *envelope, *body;
static size_t envelope_len, body_len;
static int epoll, n_open;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void stop(const char *what, const char *detail)
{
    fprintf(stderr, "source: %s: %s\n", what, detail);
    exit(1);
}

static void watch(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(epoll, operation, client->fd, &event))
        stop("epoll", strerror(errno));
}

static void dial(struct client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)order.port)};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* On the loopback this returns at once; only then may nothing block any more. */
    if (client->fd < 0 || connect(client->fd, (void *)&address, sizeof address))
        stop("connect", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    client->state = GREETING;
    client->n_in = 0;
    n_open++;
    watch(client, EPOLL_CTL_ADD, EPOLLIN);
}

static void hang_up(struct client *client)
{
    close(client->fd);
    n_open--;
}

/* Commands are few and short, so a socket that does not take them is a broken server. */
static void say(struct client *client, const char *text, size_t len)
{
    if (send(client->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        stop("send", strerror(errno));
}

/* Gives away as much of the content as the socket takes. */
static void send_content(struct client *client)
{
    size_t whole = client->header_len + body_len;
    for (;;) {
        struct iovec parts[2];
        int n_parts = 0;
        if (client->n_sent < client->header_len)
            parts[n_parts++] = (struct iovec){client->header + client->n_sent,
                                              client->header_len - client->n_sent};
        size_t of_body =
            client->n_sent > client->header_len ? client->n_sent - client->header_len : 0;
        parts[n_parts++] = (struct iovec){body + of_body, body_len - of_body};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)n_parts};
        uint64_t before = now_ns();
        ssize_t n = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            watch(client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n < 0)
            stop("send", strerror(errno));
        client->n_sent += (size_t)n;
        if (client->n_sent == whole) {
            client->ended_ns = before;
            client->state = ANSWER;
            return;
        }
    }
}

/* The next message, or the end. */
static void begin(struct client *client)
{
    if (done.begun == order.messages) {
        client->state = FAREWELL;
        say(client, "QUIT\r\n", 6);
        return;
    }
    long number = done.begun++;
    client->header_len = (size_t)snprintf(
        client->header, HEADER_LEN,
        "From: <bench@client.bench.test>\r\nTo: <foo@sink.test>\r\n"
        "Date: Mon, 23 Nov 2026 17:00:00 +0000\r\n"
        "Message-ID: <%ld.%d.%ld@client.bench.test>\r\n\r\n",
        (long)time(NULL), (int)getpid(), number);
    client->n_sent = 0;
    client->n_replies = order.recipients + 1;
    client->state = ENVELOPE;
    say(client, envelope, envelope_len);
}

static void note_refusal(const char *reply)
{
    if (!done.refused++)
        fprintf(stderr, "source: %.*s\n", (int)strcspn(reply, "\r\n"), reply);
}

static void note_answer(struct client *client, const char *reply)
{
    uint64_t micros = (now_ns() - client->ended_ns) / 1000;
    if (reply[0] == '2')
        done.micros[done.accepted++] = micros > UINT32_MAX ? UINT32_MAX : (uint32_t)micros;
    else
        note_refusal(reply);
}

/* The last line of a reply; returns whether the connection goes on. */
static int obey(struct client *client, const char *reply)
{
    switch (client->state) {
    case GREETING:
        if (reply[0] != '2')
            stop("greeting", reply);
        client->state = HELLO;
        say(client, "EHLO client.bench.test\r\n", 24);
        return 1;
    case HELLO:
        begin(client);
        return 1;
    case ENVELOPE:
        /* Without its recipients a message is no measure: the whole run is wrong then. */
        if (reply[0] != '2')
            stop("envelope", reply);
        if (--client->n_replies == 0)
            client->state = GO_AHEAD;
        return 1;
    case GO_AHEAD:
        if (reply[0] != '3')
            stop("DATA", reply);
        send_content(client);
        return 1;
    case ANSWER:
        note_answer(client, reply);
        if (order.kept) {
            begin(client);
        } else {
            client->state = FAREWELL;
            say(client, "QUIT\r\n", 6);
        }
        return 1;
    case FAREWELL:
        break;
    }
    return 0;
}

/* Returns whether the connection goes on. */
static int serve(struct client *client, uint32_t events)
{
    if (events & EPOLLOUT) {
        watch(client, EPOLL_CTL_MOD, EPOLLIN);
        send_content(client);
    }
    if (!(events & ~(uint32_t)EPOLLOUT))
        return 1;
    ssize_t n = recv(client->fd, client->in + client->n_in, REPLIES_LEN - 1 - client->n_in,
                     MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return 1;
    if (n <= 0)
        stop("connection lost", n ? strerror(errno) : "end of file");
    client->n_in += (size_t)n;
    client->in[client->n_in] = 0;
    size_t at = 0;
    int goes_on = 1;
    char *end;
    while (goes_on && (end = strchr(client->in + at, '\n'))) {
        char *line = client->in + at;
        at = (size_t)(end + 1 - client->in);
        if (end - line < 4 || line[3] != '-')
            goes_on = obey(client, line);
    }
    client->n_in -= at;
    memmove(client->in, client->in + at, client->n_in);
    if (client->n_in == REPLIES_LEN - 1)
        stop("reply", "too long");
    return goes_on;
}

static void prepare(void)
{
    envelope = malloc((size_t)(order.recipients + 2) * COMMAND_LEN_MAX);
    body = malloc((size_t)order.octets + LINE_LEN + 8);
    done.micros = malloc((size_t)order.messages * sizeof *done.micros);
    if (!envelope || !body || !done.micros)
        stop("memory", "not enough");
    envelope_len = (size_t)sprintf(envelope, "MAIL FROM:<bench@client.bench.test>\r\n");
    for (long n = 0; n < order.recipients; n++)
        envelope_len += order.recipients == 1
            ? (size_t)sprintf(envelope + envelope_len, "RCPT TO:<foo@sink.test>\r\n")
            : (size_t)sprintf(envelope + envelope_len, "RCPT TO:<%ldfoo@sink.test>\r\n", n + 1);
    envelope_len += (size_t)sprintf(envelope + envelope_len, "DATA\r\n");
    while (body_len + 2 < (size_t)order.octets) {
        size_t left = (size_t)order.octets - body_len - 2;
        size_t len = left < LINE_LEN - 2 ? left : LINE_LEN - 2;
        memset(body + body_len, 'x', len);
        memcpy(body + body_len + len, "\r\n", 2);
        body_len += len + 2;
    }
    memcpy(body + body_len, ".\r\n", 3);
    body_len += 3;
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static uint32_t quantile(long per_mille)
{
    return done.accepted ? done.micros[(done.accepted - 1) * per_mille / 1000] : 0;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        stop("arguments", "PORT MESSAGES CONNECTIONS OCTETS RECIPIENTS kept|each");
    order.port = atol(argv[1]);
    order.messages = atol(argv[2]);
    order.connections = atol(argv[3]);
    order.octets = atol(argv[4]);
    order.recipients = atol(argv[5]);
    order.kept = !strcmp(argv[6], "kept");
    if (order.port < 1 || order.messages < 1 || order.connections < 1 || order.octets < 1 ||
        order.recipients < 1)
        stop("arguments", "numbers above zero");
    prepare();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (order.connections > order.messages)
        order.connections = order.messages;
    struct client *clients = calloc((size_t)order.connections, sizeof *clients);
    if (!clients)
        stop("memory", "not enough");
    uint64_t started = now_ns();
    for (long n = 0; n < order.connections; n++)
        dial(clients + n);
    struct epoll_event events[EVENTS_MAX];
    while (n_open) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            struct client *client = events[i].data.ptr;
            if (serve(client, events[i].events))
                continue;
            hang_up(client);
            if (!order.kept && done.begun < order.messages)
                dial(client);
        }
    }
    double seconds = (double)(now_ns() - started) / 1e9;
    qsort(done.micros, (size_t)done.accepted, sizeof *done.micros, by_size);
    printf("accepted=%ld refused=%ld seconds=%.6f p50_us=%u p90_us=%u p99_us=%u max_us=%u\n",
           done.accepted, done.refused, seconds, quantile(500), quantile(900), quantile(990),
           quantile(1000));
    return done.refused || done.accepted != order.messages;
}
