"""The destination that holds most of the queue, and does not take it.

`dead` refuses connections, `silent` takes them and says nothing, `slow` answers each command a
second late. In this process, in a thread of its own.
"""

import asyncio
import socket
import threading

ADDRESS = "127.77.200.1"
KINDS = ("dead", "silent", "slow")
SLOW_SECONDS = 1.0


class First:
    """The destination; `n_connections` and `n_messages` say what came."""

    def __init__(self, kind):
        self.kind, self.address = kind, ADDRESS
        self.n_connections = self.n_messages = 0
        self.listener = socket.socket()
        self.listener.bind((ADDRESS, 0))
        self.port = self.listener.getsockname()[1]
        self.loop = asyncio.new_event_loop()
        if kind != "dead":  # where nobody listens, connections are refused
            self.listener.listen(4096)
            threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        """Serves until the process ends."""
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.serve, sock=self.listener))
        self.loop.run_forever()

    async def serve(self, reader, writer):
        """One connection."""
        self.n_connections += 1
        if self.kind == "silent":
            await reader.read()
            return
        in_content = False
        writer.write(b"220 first.test ESMTP\r\n")
        while line := await reader.readline():
            if in_content and line != b".\r\n":
                continue
            await asyncio.sleep(SLOW_SECONDS)
            verb = line[:4].upper()
            self.n_messages += in_content
            in_content = verb == b"DATA"
            writer.write(b"354 go on\r\n" if in_content else b"250 2.0.0 OK\r\n")
            if verb == b"QUIT":
                break
        writer.close()
