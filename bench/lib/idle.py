"""Connections that are open and say nothing, and the memory that they take at the other end."""

import resource
import socket
import ssl
import time

from .groups import read

# Between one pair of addresses there are some 28,000 ports; nobody shall run out of them.
PER_ADDRESS = 10_000
DESCRIPTORS_BESIDE = 100
# The first ones make the allocator and the tables grow for good; they are not counted.
WARMING_PART = 100
TIMEOUT_SECONDS = 30
# What was freed at the end of a handshake or a message is given back a moment later.
SETTLE_SECONDS = 1.0
# What the kernel keeps for an open connection, at each of its ends.
KERNEL_CACHES = ("TCP", "sock_inode_cache", "filp", "dentry", "eventpoll_epi")
PAGE = resource.getpagesize()

MESSAGE = (b"MAIL FROM:<bench@client.bench.test>\r\n", b"RCPT TO:<foo@sink.test>\r\n",
           b"DATA\r\n",
           b"From: <bench@client.bench.test>\r\nMessage-ID: <%d.%d@client.bench.test>\r\n\r\n"
           + b"La de da de da.\r\n" * 240 + b".\r\n")


def allow_descriptors(n_connections):
    """Lets this process, and those that it starts, have a descriptor for each connection; returns
    for how many this machine allows it."""
    wanted = n_connections + n_connections // WARMING_PART + DESCRIPTORS_BESIDE
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        return n_connections
    except ValueError:
        # Not even root may, without the capability for it.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return (hard - DESCRIPTORS_BESIDE) * WARMING_PART // (WARMING_PART + 1)


class Crowd:
    """Clients of one port, all in the same state: greeted, introduced, or after a message."""

    def __init__(self, port, tls):
        self.port = port
        self.connections = []
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.tls.check_hostname = False
            self.tls.verify_mode = ssl.CERT_NONE

    def grow(self, n, state):
        """Opens `n` more."""
        for _ in range(n):
            number = len(self.connections)
            source = f"127.0.0.{2 + number // PER_ADDRESS}"
            # The server's end of the port chooses nothing: only ours differs.
            client = socket.socket()
            client.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
            client.settimeout(TIMEOUT_SECONDS)
            client.bind((source, 0))
            client.connect(("127.0.0.1", self.port))
            if self.tls:
                client = self.tls.wrap_socket(client)
            self.connections.append(client)
            expect(client, b"220")
            if state != "greeted":
                say(client, b"EHLO client.bench.test\r\n", b"250")
            if state == "message":
                for text, code in zip(MESSAGE, (b"250", b"250", b"354", b"250")):
                    say(client, text % (time.time_ns(), number) if b"%d" in text else text, code)

    def close(self):
        """All of them leave, without a word."""
        for client in self.connections:
            client.close()
        self.connections.clear()


def say(client, text, code):
    """One command, and its reply."""
    client.sendall(text)
    expect(client, code)


def expect(client, code):
    """Reads a reply of one line or of many."""
    reply = b""
    while not reply.endswith(b"\n") or reply.splitlines()[-1][3:4] == b"-":
        more = client.recv(4096)
        if not more:
            raise SystemExit(f"closed after {reply!r}")
        reply += more
    if not reply.startswith(code):
        raise SystemExit(f"{code.decode()} was expected, not {reply!r}")


def measure(mta, part, port, n, state, tls):
    """Octets for each of `n` connections: of the part's processes and of the kernel."""
    crowd = Crowd(port, tls)
    try:
        crowd.grow(max(1, n // WARMING_PART), state)
        before = look(mta, part)
        crowd.grow(n, state)
        after = look(mta, part)
    finally:
        crowd.close()
    per = {what: (after[what] - before[what]) / n for what in before}
    return {"mta": mta.name, "state": state, "tls": tls, "connections": n, **per}


def look(mta, part):
    """Octets in use now."""
    time.sleep(SETTLE_SECONDS)
    pids = [pid for name, group in mta.groups.items() for pid in group.pids()
            if mta.part_of(name, pid) == part]
    return {"anonymous": sum(map(private_octets, pids)), "kernel_both_ends": kernel_octets()}


def private_octets(pid):
    """Anonymous memory of a process; pages that a fork shares count in parts."""
    rollup = read(f"/proc/{pid}/smaps_rollup")
    found = [line.split()[1] for line in rollup.splitlines() if line.startswith("Pss_Anon:")]
    return int(found[0]) * 1024 if found else 0


def kernel_octets():
    """What the kernel has for sockets and their files on the whole machine, and their buffers."""
    total = 0
    for line in read("/proc/slabinfo").splitlines():
        words = line.split()
        if words[0] in KERNEL_CACHES:
            total += int(words[1]) * int(words[3])
    sockets = read("/proc/net/sockstat").split("TCP:")[-1].split()
    return total + int(sockets[sockets.index("mem") + 1]) * PAGE
