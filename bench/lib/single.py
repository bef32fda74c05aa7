"""One message at a time: how long it takes to the reply, and to the sink."""

import socket
import statistics
import time

from .idle import expect, say

N_LINES = 256
TIMEOUT_SECONDS = 30
# Between two messages nothing is under way any more.
PAUSE_SECONDS = 0.01
POLL_SECONDS = 0.0002


def measure(mta, entry, n, sink):
    """Quantiles in milliseconds from the end of the data, over `n` connections of a message each."""
    sink.zero()
    answers, arrivals = [], []
    for number in range(n):
        sent, answered = send(mta.ports[entry], number)
        answers.append((answered - sent) * 1e3)
        deadline = sent + TIMEOUT_SECONDS
        counts = sink.counts()
        while counts["messages"] <= number and time.time() < deadline:
            time.sleep(POLL_SECONDS)
            counts = sink.counts()
        arrivals.append((counts["last_unix_ns"] / 1e9 - sent) * 1e3)
        time.sleep(PAUSE_SECONDS)
    return {"mta": mta.name, "entry": entry, "messages": n,
            "answer_p50_ms": statistics.median(answers), "answer_p99_ms": quantile(answers, 0.99),
            "arrival_p50_ms": statistics.median(arrivals),
            "arrival_p99_ms": quantile(arrivals, 0.99)}


def quantile(values, part):
    """The value below which so many are."""
    return sorted(values)[int((len(values) - 1) * part)]


def send(port, number):
    """One message over a connection of its own; when its data ended and when it was answered."""
    client = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client:
        expect(client, b"220")
        for text, code in ((b"EHLO client.bench.test", b"250"),
                           (b"MAIL FROM:<bench@client.bench.test>", b"250"),
                           (b"RCPT TO:<foo@sink.test>", b"250"), (b"DATA", b"354")):
            say(client, text + b"\r\n", code)
        name = f"{time.time_ns()}.{number}@client.bench.test"
        content = (f"From: <bench@client.bench.test>\r\nMessage-ID: <{name}>\r\n\r\n"
                   + "La de da de da.\r\n" * N_LINES + ".\r\n").encode()
        sent = time.time()
        say(client, content, b"250")
        answered = time.time()
        say(client, b"QUIT\r\n", b"221")
    return sent, answered
