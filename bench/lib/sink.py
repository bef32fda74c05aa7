"""The far end: built from sink.c, and asked for its counts over a connection of its own."""

import socket
import subprocess

from . import groups
from .build import c_program

# The sink's other addresses: 127.77.0.1 and so on, as many in each net.
ADDRESSES_PER_NET = 250


class Sink:
    """A running sink; with more addresses it says at how many mail has arrived, and at each it can
    take its time."""

    def __init__(self, folder, n_addresses=0, wait_ms=0, wait_elsewhere_ms=0):
        self.n_addresses = n_addresses
        program = c_program(folder, "sink")
        self.group = groups.kind()("sink")
        self.process = self.group.spawn([program, str(n_addresses), str(wait_ms),
                                         str(wait_elsewhere_ms)], stdout=subprocess.PIPE,
                                        text=True)
        self.port = int(self.process.stdout.readline())
        self.connection = socket.create_connection(("127.0.0.1", self.port))
        self.replies = self.connection.makefile("r")
        self.replies.readline()

    def ask(self, verb):
        """One command, one line of reply."""
        self.connection.sendall(f"{verb}\r\n".encode())
        return self.replies.readline()

    def zero(self):
        """Begins to count anew."""
        self.ask("XZERO")

    def counts(self):
        """What has arrived."""
        words = self.ask("XSTAT").split()[1:]
        return {name: int(value) for name, _, value in (word.partition("=") for word in words)}

    def stop(self):
        self.group.stop()
