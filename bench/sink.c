/*
 * The far end of a benchmark: an SMTP server that takes everything, and counts.
 *
 *     cc -O2 -o sink sink.c && ./sink          prints the port of 127.0.0.1 where it listens
 *     ./sink 999                               and of 999 more addresses: 127.77.0.1 to 127.77.3.249
 *     ./sink 1 100 30000                       waits 100 ms before it takes a message, and 30 s at
 *                                              the other addresses
 *
 * It looks at each Message-ID, so that loss and duplicates show. Two verbs of its own, on any
 * connection: XSTAT answers with the counts, XZERO begins anew.
 * One thread, and one read and one write for all that a client has pipelined.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER_LEN = 64 * 1024,
    REPLIES_LEN = 16 * 1024,
    EVENTS_MAX = 256,
    SEEN_SLOTS = 1 << 22, /* for two million messages between two XZERO */
    ADDRESSES_MAX = 4096,
    ADDRESSES_PER_NET = 250,
};

enum state { COMMAND, HEADER, BODY };

/* Clients that wait, in the order in which their time comes: all wait equally long. */
struct line {
    uint64_t wait_ns;
    struct client *first, *last;
};

struct listener {
    int fd;
    int has_mail; /* since the last XZERO */
    struct line *line;
};

struct client {
    int fd;
    struct listener *listener;
    enum state state;
    uint64_t recipients;
    uint64_t message_id;
    uint64_t due_ns;      /* when the message that it waits with is taken; zero: it does not wait */
    struct client *next;  /* that waits behind it */
    int gone;             /* while it waited */
    size_t n_in;
    size_t n_out;
    char out[REPLIES_LEN];
    char in[BUFFER_LEN];
};

static struct {
    uint64_t messages, recipients, octets, duplicates, nameless, connections, last_unix_ns;
    uint64_t addresses, first_unix_ns; /* that have had mail; when the latest of them had its first */
} counts;

static struct line here, elsewhere;

/* The first is that of 127.0.0.1. */
static struct listener listeners[1 + ADDRESSES_MAX];

/* Hashes of the Message-IDs, open addressing; zero is a free slot. */
static uint64_t seen[SEEN_SLOTS];

static uint64_t unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* FNV-1a; never zero. */
static uint64_t hash(const char *text, size_t len)
{
    uint64_t value = 14695981039346656037u;
    while (len--)
        value = (value ^ (unsigned char)*text++) * 1099511628211u;
    return value ? value : 1;
}

static int is_seen(uint64_t id)
{
    size_t slot = id % SEEN_SLOTS;
    for (size_t n = 0; n < SEEN_SLOTS && seen[slot]; n++, slot = (slot + 1) % SEEN_SLOTS)
        if (seen[slot] == id)
            return 1;
    seen[slot] = id;
    return 0;
}

static void say(struct client *client, const char *reply)
{
    size_t len = strlen(reply);
    if (client->n_out + len <= REPLIES_LEN) {
        memcpy(client->out + client->n_out, reply, len);
        client->n_out += len;
    }
}

static void say_counts(struct client *client)
{
    char line[400];
    snprintf(line, sizeof line,
             "250 messages=%lu recipients=%lu octets=%lu duplicates=%lu nameless=%lu "
             "connections=%lu last_unix_ns=%lu addresses=%lu first_unix_ns=%lu\r\n",
             counts.messages, counts.recipients, counts.octets, counts.duplicates,
             counts.nameless, counts.connections, counts.last_unix_ns, counts.addresses,
             counts.first_unix_ns);
    say(client, line);
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The whole content is here: it is taken, at once or in a while. */
static void end_content(struct client *client);

static void count_message(struct client *client)
{
    counts.messages++;
    counts.recipients += client->recipients;
    counts.last_unix_ns = unix_ns();
    if (!client->listener->has_mail) {
        client->listener->has_mail = 1;
        counts.addresses++;
        counts.first_unix_ns = counts.last_unix_ns;
    }
    if (!client->message_id)
        counts.nameless++;
    else if (is_seen(client->message_id))
        counts.duplicates++;
    client->state = COMMAND;
    client->recipients = 0;
    say(client, "250 2.0.0 taken\r\n");
}

static void end_content(struct client *client)
{
    struct line *line = client->listener->line;
    if (!line->wait_ns) {
        count_message(client);
        return;
    }
    client->due_ns = monotonic_ns() + line->wait_ns;
    client->next = NULL;
    if (line->last)
        line->last->next = client;
    else
        line->first = client;
    line->last = client;
}

/* One command; returns whether the connection goes on. */
static int obey(struct client *client, const char *line)
{
    if (!strncasecmp(line, "EHLO", 4)) {
        say(client, "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n");
    } else if (!strncasecmp(line, "MAIL", 4)) {
        client->recipients = 0;
        say(client, "250 2.1.0 sender OK\r\n");
    } else if (!strncasecmp(line, "RCPT", 4)) {
        client->recipients++;
        say(client, "250 2.1.5 recipient OK\r\n");
    } else if (!strncasecmp(line, "DATA", 4)) {
        client->state = HEADER;
        client->message_id = 0;
        say(client, "354 go on\r\n");
    } else if (!strncasecmp(line, "XSTAT", 5)) {
        say_counts(client);
    } else if (!strncasecmp(line, "XZERO", 5)) {
        memset(&counts, 0, sizeof counts);
        memset(seen, 0, sizeof seen);
        for (size_t n = 0; n < sizeof listeners / sizeof *listeners; n++)
            listeners[n].has_mail = 0;
        say(client, "250 2.0.0 zero\r\n");
    } else if (!strncasecmp(line, "QUIT", 4)) {
        say(client, "221 2.0.0 bye\r\n");
        return 0;
    } else if (!strncasecmp(line, "HELO", 4) || !strncasecmp(line, "NOOP", 4) ||
               !strncasecmp(line, "RSET", 4)) {
        say(client, "250 2.0.0 OK\r\n");
    } else {
        say(client, "500 5.5.2 what?\r\n");
    }
    return 1;
}

/* One line of content, its line end included. */
static void take(struct client *client, const char *line, size_t len)
{
    static const char name[] = "message-id:";
    if (len == 3 && line[0] == '.') {
        end_content(client);
        return;
    }
    counts.octets += len;
    if (client->state == BODY)
        return;
    if (len == 2)
        client->state = BODY;
    else if (len > sizeof name && !strncasecmp(line, name, sizeof name - 1))
        client->message_id = hash(line + sizeof name - 1, len - sizeof name + 1);
}

/* What has been read; returns whether the connection goes on. */
static int digest(struct client *client)
{
    size_t at = 0;
    int goes_on = 1;
    while (goes_on && !client->due_ns && at < client->n_in) {
        char *line = client->in + at;
        char *end = memchr(line, '\n', client->n_in - at);
        if (!end)
            break;
        size_t len = (size_t)(end - line) + 1;
        at += len;
        if (client->state == COMMAND)
            goes_on = obey(client, line);
        else
            take(client, line, len);
    }
    client->n_in -= at;
    memmove(client->in, client->in + at, client->n_in);
    return goes_on && client->n_in < BUFFER_LEN;
}

/* Replies are few and short, so a socket that does not take them is a broken client. */
static int flush(struct client *client)
{
    size_t n = client->n_out;
    client->n_out = 0;
    return !n || send(client->fd, client->out, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static int serve(struct client *client)
{
    ssize_t n = recv(client->fd, client->in + client->n_in, BUFFER_LEN - client->n_in, 0);
    if (n < 0)
        return errno == EAGAIN;
    if (n == 0)
        return 0;
    client->n_in += (size_t)n;
    int goes_on = digest(client);
    return flush(client) && goes_on;
}

static void welcome(struct listener *listener, int epoll)
{
    int fd, one = 1;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *client = malloc(sizeof *client);
        if (!client) {
            close(fd);
            return;
        }
        client->fd = fd;
        client->listener = listener;
        client->state = COMMAND;
        client->n_in = client->n_out = client->recipients = client->due_ns = 0;
        client->gone = 0;
        counts.connections++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        say(client, "220 sink.test ESMTP\r\n");
        flush(client);
    }
}

/* Listens on an address (in the order of the host); returns the port, zero for failure. */
static int listen_on(struct listener *listener, uint32_t host, int port, int epoll)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(host);
    listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener->fd, (void *)&address, len) || listen(listener->fd, 4096) ||
        getsockname(listener->fd, (void *)&address, &len))
        return 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener->fd, &event);
    return ntohs(address.sin_port);
}

static void leave(struct client *client)
{
    close(client->fd);
    free(client);
}

/* A client that waits is not heard, but its end is noticed. */
static void listen_to(struct client *client, int epoll)
{
    uint32_t events = client->due_ns ? EPOLLRDHUP : EPOLLIN;
    struct epoll_event event = {.events = events, .data.ptr = client};
    epoll_ctl(epoll, EPOLL_CTL_MOD, client->fd, &event);
}

/* Takes what has waited long enough, also of clients that are gone: they may have lost patience,
 * and the message is here all the same. Returns the milliseconds until the next; -1 for none. */
static int advance(struct line *line, int epoll)
{
    struct client *client;
    while ((client = line->first)) {
        uint64_t now = monotonic_ns();
        if (client->due_ns > now)
            return (int)((client->due_ns - now) / 1000000u) + 1;
        line->first = client->next;
        if (!line->first)
            line->last = NULL;
        client->due_ns = 0;
        count_message(client);
        int goes_on = !client->gone && digest(client) && flush(client);
        if (!goes_on && !client->due_ns)
            leave(client);
        else if (goes_on)
            listen_to(client, epoll);
    }
    return -1;
}

/* The sooner of two times to wait, of which -1 is never. */
static int sooner(int a, int b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

static int is_listener(const void *pointer)
{
    return (const struct listener *)pointer >= listeners &&
           (const struct listener *)pointer <= listeners + ADDRESSES_MAX;
}

int main(int argc, char **argv)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int port = listen_on(listeners, INADDR_LOOPBACK, 0, epoll);
    int n_more = argc > 1 ? atoi(argv[1]) : 0;
    here.wait_ns = argc > 2 ? (uint64_t)atoi(argv[2]) * 1000000u : 0;
    elsewhere.wait_ns = argc > 3 ? (uint64_t)atoi(argv[3]) * 1000000u : here.wait_ns;
    for (size_t n = 0; n < sizeof listeners / sizeof *listeners; n++)
        listeners[n].line = n ? &elsewhere : &here;
    for (int n = 0; port && n < n_more && n < ADDRESSES_MAX; n++) {
        uint32_t host = (127u << 24) + (77u << 16) + (uint32_t)(n / ADDRESSES_PER_NET << 8) +
                        1 + (uint32_t)(n % ADDRESSES_PER_NET);
        port = listen_on(listeners + 1 + n, host, port, epoll);
    }
    if (!port) {
        perror("sink");
        return 1;
    }
    printf("%d\n", port);
    fflush(stdout);

    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int wait_ms = sooner(advance(&here, epoll), advance(&elsewhere, epoll));
        int n = epoll_wait(epoll, events, EVENTS_MAX, wait_ms);
        for (int i = 0; i < n; i++) {
            struct client *client = events[i].data.ptr;
            if (is_listener(client)) {
                welcome((struct listener *)client, epoll);
            } else if (client->due_ns) {
                client->gone = 1;
                epoll_ctl(epoll, EPOLL_CTL_DEL, client->fd, NULL);
            } else if (!serve(client)) {
                if (client->due_ns)
                    client->gone = 1;
                else
                    leave(client);
            } else if (client->due_ns) {
                listen_to(client, epoll);
            }
        }
    }
}
