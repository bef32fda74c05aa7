"""What the two sides have in common: groups for their parts, a start, and an end."""

import os
import random
import signal
import socket
import subprocess
import time

from . import groups

STARTED_WITHIN_SECONDS = 20
STOPPED_WITHIN_SECONDS = 20


def free_port():
    """A port of the loopback that nobody uses, below those that the kernel gives to clients."""
    first_for_clients = int(groups.read("/proc/sys/net/ipv4/ip_local_port_range").split()[0])
    while True:
        port = random.randrange(10_000, first_for_clients)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_for_port(port, process, log):
    """Until somebody listens, or the process that should is gone."""
    deadline = time.monotonic() + STARTED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}; see {log}:\n{groups.read(log)[-2000:]}")


class Mta:
    """One side of the comparison; `ports` maps an entry to its port."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        self.groups = {}
        self.ports = {}

    def group(self, part):
        """The group for a part, made when it is first asked for."""
        if part not in self.groups:
            self.groups[part] = groups.kind()(f"{self.name}-{part}")
        return self.groups[part]

    def pids(self):
        """All processes."""
        return [pid for group in self.groups.values() for pid in group.pids()]

    def cpu_seconds(self):
        """Of all parts, by part."""
        return {part: group.cpu_seconds() for part, group in self.groups.items()}

    def anonymous_octets(self):
        """Of all parts."""
        return sum(group.anonymous_octets() for group in self.groups.values())

    def part_of(self, part, _pid):
        """The instance that a process of a group belongs to."""
        return part

    def finish(self, processes):
        """Waits for the end; kills what does not come to one, by its process id."""
        deadline = time.monotonic() + STOPPED_WITHIN_SECONDS
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        while self.pids() and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for group in self.groups.values():
            group.remove()


class NoMta(Mta):
    """Nothing between generator and sink: what this machine can do at most."""

    name = "none"

    def __init__(self, folder, sink_port):
        super().__init__(folder)
        self.ports = {"none": sink_port}

    def start(self):
        """There is nothing to start."""

    def stop(self):
        """There is nothing to stop."""

    def version(self):
        """For the headings."""
        return "no MTA"
