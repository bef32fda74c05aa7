"""Clients that send as fast as they are answered, and know what became of each message.

    python3 -m lib.flood PORT CONNECTIONS RATE RECIPIENT...

A process of its own, so that it does not hold up who measures. Each message goes to one of the
recipients in turn and has a Message-ID of its own. A client that is told to come again does so after
a second. At the end of its input it ends, after the message under way. Each second it prints what
its clients were told, as JSON.
"""

import itertools
import json
import os
import random
import socket
import sys
import threading
import time

CONTENT_OCTETS = 4096
COME_AGAIN_SECONDS = 1
REPLY_WITHIN_SECONDS = 120


class Connection:
    """One SMTP connection; also for who sends a message now and then."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=REPLY_WITHIN_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")
        self.hear()
        self.socket.sendall(b"EHLO client.bench.test\r\n")
        self.hear()

    def hear(self):
        """The code of the next whole reply."""
        while True:
            line = self.replies.readline()
            if len(line) < 4:
                raise ConnectionError("closed")
            if line[3:4] != b"-":
                return int(line[:3])

    def send(self, recipient, content):
        """One message; the code of the reply that decided about it."""
        self.socket.sendall(b"MAIL FROM:<bench@client.bench.test>\r\nRCPT TO:<"
                            + recipient.encode() + b">\r\nDATA\r\n")
        codes = [self.hear() for _ in range(3)]
        if codes[2] != 354:
            self.socket.sendall(b"RSET\r\n")
            self.hear()
            return next(code for code in codes if code >= 400)
        self.socket.sendall(content + b"\r\n.\r\n")
        return self.hear()

    def close(self):
        """Ends it."""
        self.socket.close()


class Flood:
    """All clients, and the sum of what they were told."""

    def __init__(self, port, n_connections, rate, recipients):
        self.port, self.recipients = port, itertools.cycle(recipients)
        self.seconds_each = n_connections / rate if rate else 0
        self.lock = threading.Lock()
        self.told = {"accepted": 0, "refused": 0, "unknown": 0}
        self.run_id, self.numbers = os.getpid(), itertools.count(1)
        self.filler = b"x" * 70 + b"\r\n"
        self.stopping = threading.Event()
        self.clients = [threading.Thread(target=self.client) for _ in range(n_connections)]

    def note(self, what):
        """One more of it."""
        with self.lock:
            self.told[what] += 1

    def content(self, number):
        """A message that can be told from all others."""
        head = (f"Message-ID: <{number}.{self.run_id}@bench.test>\r\nSubject: flood\r\n\r\n").encode()
        return head + self.filler * ((CONTENT_OCTETS - len(head)) // len(self.filler))

    def client(self):
        """Sends one message after the other."""
        connection = None
        # Clients with a pace are not in step.
        time.sleep(random.random() * self.seconds_each)
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                connection = connection or Connection(self.port)
            except OSError:
                time.sleep(COME_AGAIN_SECONDS)
                continue
            with self.lock:
                number, recipient = next(self.numbers), next(self.recipients)
            try:
                code = connection.send(recipient, self.content(number))
            except OSError:
                connection = None
                self.note("unknown")
                continue
            self.note("accepted" if code == 250 else "refused")
            if code != 250:
                self.stopping.wait(COME_AGAIN_SECONDS)
            elif self.seconds_each:
                self.stopping.wait(max(0, began + self.seconds_each - time.monotonic()))

    def run(self):
        """Until the input ends."""
        threading.Thread(target=lambda: (sys.stdin.read(), self.stopping.set()), daemon=True).start()
        for client in self.clients:
            client.start()
        while not self.stopping.wait(1):
            self.tell()
        for client in self.clients:
            client.join()
        self.tell()

    def tell(self):
        """What they were told so far."""
        with self.lock:
            print(json.dumps(self.told), flush=True)


if __name__ == "__main__":
    Flood(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]).run()
