"""Postern with a spool that was filled before it starts, and 1,000 routes that lead out of it."""

import json
import os
import socket
import subprocess
import threading
import time

from .groups import TICKS, read
from .mta import Mta, free_port
from .sink import ADDRESSES_PER_NET

CONFIGURATION = """
hostname = "scale.test"

[instance.input]
role = "input"
listen = ["127.0.0.1:{input}"]
next = "output"

[instance.output]
role = "output"

[[instance.output.route]]
domain = "new.test"
open_to = "anyone"
to = {{ relay = "127.0.0.1:{new}" }}
"""

ROUTE = """
[[instance.output.route]]
domain = "d{number}.test"
open_to = "anyone"
to = {{ relay = "{host}:{port}" }}
"""

READY_WITHIN_SECONDS = 300
SAMPLE_SECONDS = 0.1


class Scaled(Mta):
    """The system; its control is asked without a program in between."""

    name = "postern"

    def __init__(self, folder, program, sinks, first):
        super().__init__(folder)
        self.program = program
        self.ports = {"input": free_port()}
        self.state = f"{folder}/state"
        self.spool = f"{self.state}/spool/output"
        os.makedirs(self.spool, mode=0o700)
        self.configuration = f"{folder}/postern.toml"
        others, new = sinks
        with open(self.configuration, "w", encoding="ascii") as file:
            file.write(CONFIGURATION.format(new=new.port, **self.ports))
            file.write(ROUTE.format(number=0, host=first.address, port=first.port))
            for n in range(others.n_addresses):
                host = f"127.77.{n // ADDRESSES_PER_NET}.{1 + n % ADDRESSES_PER_NET}"
                file.write(ROUTE.format(number=n + 1, host=host, port=others.port))
        self.supervisor = None
        self.memory = {}  # the peak and the latest RssAnon in KiB, by process
        self.watching = threading.Event()

    def start(self):
        """Starts it. Seconds until output is ready, and until input takes clients; processor time
        of output until then."""
        out = f"{self.folder}/out"
        with open(out, "w", encoding="ascii") as file:
            began = time.monotonic()
            self.supervisor = self.group("all").spawn(
                [self.program, "run", "--config", self.configuration, "--state", self.state],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        threading.Thread(target=self.watch, daemon=True).start()
        ready = self.wait(lambda: self.instance("output")["process"]["state"] == "ready", began)
        pid = self.instance("output")["ok"]["pid"]
        return ready, self.wait(self.greets, began), cpu_seconds(pid)

    def wait(self, is_so, began):
        """Until it is so; the seconds since `began`."""
        while time.monotonic() < began + READY_WITHIN_SECONDS:
            try:
                if is_so():
                    return time.monotonic() - began
            except (OSError, KeyError, TypeError, ValueError):
                pass
            if self.supervisor.poll() is not None:
                break
            time.sleep(0.02)
        raise SystemExit(f"not ready: {read(f'{self.folder}/out')[-2000:]}")

    def greets(self):
        """Whether input takes clients."""
        with socket.create_connection(("127.0.0.1", self.ports["input"]), timeout=5) as client:
            return client.recv(3) == b"220"

    def status(self):
        """By instance."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(f"{self.state}/control.sock")
            control.sendall(b'{"verb": "status", "args": {}}\n')
            with control.makefile("r") as lines:
                values = map(json.loads, lines)
                return {value["instance"]: value for value in values if "instance" in value}

    def instance(self, name):
        """What status says of one."""
        return self.status()[name]

    def command(self, *words):
        """A command that is being carried out: its process."""
        argv = [self.program, "--config", self.configuration, "--state", self.state, *words]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def watch(self):
        """Looks at the memory of all processes until it is stopped."""
        while not self.watching.wait(SAMPLE_SECONDS):
            for pid in self.pids():
                part, now = self.part_of("all", pid), anonymous_kib(pid)
                peak, _ = self.memory.get(part, (0, 0))
                self.memory[part] = (max(peak, now), now)

    def forget_peaks(self):
        """What was before does not count any more."""
        self.memory = {}

    def part_of(self, _part, pid):
        """Each was started with its name as its last argument."""
        words = read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
        return words[-1] if words[1:-1] == ["instance"] or words[1:] == ["control"] else "supervisor"

    def stop(self):
        """Ends it in order."""
        self.watching.set()
        if self.supervisor:
            self.supervisor.terminate()
            self.finish([self.supervisor])


def cpu_seconds(pid):
    """Processor time of a process and its threads."""
    stat = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, stat[11:13])) / TICKS


def anonymous_kib(pid):
    """RssAnon of a process; nothing where it is gone."""
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0
