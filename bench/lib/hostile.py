"""Clients that mean to fill the memory of an input, each kind in its own way."""

import socket
import ssl
import time

KIB = 1024
PER_ADDRESS = 10_000  # between one pair of addresses there are some 28,000 ports
TIMEOUT_SECONDS = 30
# What is not taken for so long is not wanted.
QUIET_SECONDS = 3
PIECE = 64 * KIB

BEGIN = b"EHLO hostile.bench.test\r\n"
MAIL = b"MAIL FROM:<bench@hostile.bench.test>\r\n"
RCPT = b"RCPT TO:<foo@sink.test>\r\n"
TRANSACTION = BEGIN + MAIL + RCPT + b"DATA\r\n"
LINE = b"X-Hostile: " + b"x" * 65 + b"\r\n"
MESSAGE = MAIL + RCPT + b"DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"


def lines(n_octets):
    """So much of a content that does not end."""
    return LINE * (n_octets // len(LINE))


def client_hello():
    """The first flight of a TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def endless_hello():
    """The beginning of a TLS handshake message that is said to have 60,000 octets."""
    body = b"\x01" + (60_000).to_bytes(3, "big") + b"\x03\x03" + bytes(16_000)
    record = b"\x16\x03\x01" + (16_000).to_bytes(2, "big")
    return b"".join(record + body[at:at + 16_000].ljust(16_000, b"\0")
                    for at in (0, 16_000, 32_000))


def recipients():
    """As many as one transaction may have, with all that can be said of each."""
    orcpt = b" ORCPT=rfc822;" + b"o" * 450
    return b"".join(b"RCPT TO:<foo+%d@sink.test> NOTIFY=NEVER%s\r\n" % (n, orcpt)
                    for n in range(1000))


# By name: whether the port is the one with TLS, what is sent at first and how the last reply to it
# begins, what is sent then, and what that is.
KINDS = {
    "header": (False, TRANSACTION, b"354", lambda: lines(100 * KIB),
               "100 KiB of a header that goes on"),
    "below": (False, TRANSACTION, b"354", lambda: b"\r\n" + lines(250 * KIB),
              "250 KiB of a content that goes on"),
    "above": (False, TRANSACTION, b"354", lambda: b"\r\n" + lines(2048 * KIB),
              "2 MiB of a content that goes on"),
    "unread": (False, BEGIN, b"250", lambda: (BEGIN * 150 + MESSAGE) * 200,
               "EHLO and a message again and again, and no reply is read"),
    "behind": (False, TRANSACTION, b"354", lambda: b"x\r\n.\r\n" + (BEGIN * 150 + MESSAGE) * 200,
               "as much of that as goes behind the end of a content"),
    "recipients": (False, BEGIN + MAIL, b"250 2.1.0", recipients,
                   "1,000 recipients with all that can be said of each"),
    "tls": (True, b"", None, client_hello, "the first flight of a TLS handshake, and no more"),
    "tls-endless": (True, b"", None, endless_hello, "48 KiB of a first flight that goes on"),
}


class Crowd:
    """Connections of one kind."""

    def __init__(self, kind, port):
        self.tls, self.first, self.code, payload, _ = KINDS[kind]
        self.payload = payload()
        self.port = port
        self.clients = []

    def grow(self, n):
        """Opens `n`, each as far as it gets before it turns hostile."""
        for _ in range(n):
            client = socket.socket()
            client.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
            client.settimeout(TIMEOUT_SECONDS)
            client.bind((f"127.0.0.{2 + len(self.clients) // PER_ADDRESS}", 0))
            client.connect(("127.0.0.1", self.port))
            if not self.tls:
                client.sendall(self.first)
                expect(client, self.code)
            client.setblocking(False)
            self.clients.append(client)

    def send(self):
        """All send at once, for as long as anything is taken from any of them; returns how many
        octets were taken in all."""
        sent = [0] * len(self.clients)
        last_progress = time.monotonic()
        while time.monotonic() - last_progress < QUIET_SECONDS:
            is_done = True
            for number, client in enumerate(self.clients):
                rest = self.payload[sent[number]:sent[number] + PIECE]
                if not rest:
                    continue
                is_done = False
                try:
                    sent[number] += client.send(rest)
                    last_progress = time.monotonic()
                except BlockingIOError:
                    pass
                except OSError:
                    sent[number] = len(self.payload)  # it was sent away
            if is_done:
                time.sleep(QUIET_SECONDS)
                break
            time.sleep(0.02)
        return sum(sent)

    def close(self):
        """All of them leave."""
        for client in self.clients:
            client.close()


def expect(client, code):
    """Reads until a whole reply begins so."""
    reply = b""
    while not any(line.startswith(code) and line[3:4] != b"-" for line in reply.splitlines()
                  ) or not reply.endswith(b"\n"):
        more = client.recv(4096)
        if not more:
            raise SystemExit(f"closed after {reply!r}")
        reply += more


def deliver(port):
    """How many seconds a client that means well needs for a message; None where it fails."""
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as client:
            client.sendall(TRANSACTION)
            expect(client, b"354")
            client.sendall(b"Subject: well meant\r\n\r\nx\r\n.\r\n")
            expect(client, b"250 2.0.0 accepted")
    except (OSError, SystemExit):
        return None
    return time.monotonic() - began
