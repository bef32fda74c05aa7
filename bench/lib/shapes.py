"""The shapes of load that are compared."""

from dataclasses import dataclass

from .load import N_RECIPIENTS_MAX, Load

MIB = 1024 * 1024


@dataclass(frozen=True)
class Shape:
    """A load without its number of messages, of which it gets a part of what is asked for: a
    costlier message shows as much in fewer."""

    title: str
    part: float
    n_connections: int
    n_octets: int
    keeps_connections: bool
    n_recipients: int = 1

    def load(self, n_messages):
        """The load of a run in which others of its size have `n_messages`."""
        # No connection shall be without a few messages.
        n = max(int(n_messages * self.part), 5 * self.n_connections)
        return Load(n, self.n_connections, self.n_octets, self.keeps_connections,
                    self.n_recipients)


SHAPES = {
    "kept": Shape("4 KiB, 20 connections, kept", 1, 20, 4096, True),
    "each": Shape("4 KiB, 20 connections, one for each message", 1, 20, 4096, False),
    "1-kept": Shape("4 KiB, 1 connection, kept", 0.2, 1, 4096, True),
    "1-each": Shape("4 KiB, 1 connection, one for each message", 0.2, 1, 4096, False),
    "100-kept": Shape("4 KiB, 100 connections, kept", 0.6, 100, 4096, True),
    "100-each": Shape("4 KiB, 100 connections, one for each message", 0.6, 100, 4096, False),
    "1MiB": Shape("1 MiB, 20 connections, kept", 0.05, 20, MIB, True),
    "20-recipients": Shape("4 KiB, 20 recipients, 20 connections, kept", 0.2, 20, 4096, True,
                           N_RECIPIENTS_MAX),
}
FIRST_SHAPES = ("kept", "each")
