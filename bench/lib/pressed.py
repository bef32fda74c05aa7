"""Postern under pressure: the system, what is seen of it, and what disturbs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from . import flood
from .groups import read
from .mta import STARTED_WITHIN_SECONDS
from .postern import CONFIGURATION, Postern

MORE = """
[[instance.output.route]]
domain = "tarpit.test"
users = ["foo"]
open_to = "anyone"
to = {{ relay = "127.77.0.1:{sink}" }}

[[instance.output.route]]
domain = "local.test"
users = ["bob"]
to = {{ maildir = "{{state}}/mail/{{local}}" }}

[instance.output.queue]
messages = {messages}

[instance.input.queue]
messages = {messages}

[instance.input.handoff]
patience = "{patience}"

[instance.submission.handoff]
patience = "{patience}"
"""
TO_FLOOD, TO_TARPIT, TO_PROBE = "foo@sink.test", "foo@tarpit.test", "bob@local.test"
PROBE_EVERY_SECONDS = 0.1
PROBE_WITHIN_SECONDS = 60
LOOK_EVERY_SECONDS = 0.002


class Pressed(Postern):
    """With little room in its queues, so that they fill within a minute."""

    def __init__(self, folder, sink_port, program, messages, patience):
        template = CONFIGURATION + MORE
        super().__init__(folder, sink_port, program, limits={"connections_per_client": 1000},
                         template=template, messages=messages,
                         patience=patience)
        self.mailbox = f"{folder}/state/mail/bob/new"

    def waiting(self):
        """Messages in the queue of each instance; what does not answer is left out."""
        out = subprocess.run([self.program, "queue", "count", "--json", "--config",
                              self.configuration, "--state", f"{self.folder}/state"],
                             capture_output=True, text=True, check=False).stdout
        counts = {}
        for line in json.loads(out or "{}").get("instances", []):
            if "ok" in line:
                counts[line["instance"]] = line["ok"]["messages"]
        return counts

    def memory(self):
        """Anonymous octets of each process."""
        octets = {}
        for pid in self.groups["all"].pids():
            status = dict(line.split(":", 1) for line in read(f"/proc/{pid}/status").splitlines()
                          if ":" in line)
            if "RssAnon" in status:
                octets[self.part_of("all", pid)] = int(status["RssAnon"].split()[0]) * 1024
        return octets

    def committer(self, instance):
        """The thread of an instance that syncs; waits until there is one."""
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while time.monotonic() < deadline:
            for pid in self.groups["all"].pids():
                if self.part_of("all", pid) != instance:
                    continue
                for thread in os.listdir(f"/proc/{pid}/task"):
                    if read(f"/proc/{pid}/task/{thread}/comm").strip() == "spool":
                        return thread
            time.sleep(0.05)
        raise SystemExit(f"{instance} has no thread for its spool")


class Flooding:
    """The clients that flood, in a process of their own."""

    def __init__(self, group, port, connections, rate, recipients):
        argv = [sys.executable, "-m", "lib.flood", str(port), str(connections), str(rate)]
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self.process = group.spawn(argv + recipients, cwd=here, text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        self.told = {"accepted": 0, "refused": 0, "unknown": 0}
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        """Keeps the latest word."""
        for line in self.process.stdout:
            self.told = json.loads(line)

    def finish(self):
        """Lets each client end its message."""
        self.process.stdin.close()
        self.process.wait()
        self.reader.join()
        return self.told


class Probe:
    """A local program that sends a message now and then, and a reader of its mailbox."""

    def __init__(self, port, mailbox):
        self.port, self.mailbox = port, mailbox
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.accepted, self.arrived = [], []
        self.n_sent = self.n_refused = self.n_missing = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        """One message at a time."""
        connection = None
        while not self.stopping.wait(PROBE_EVERY_SECONDS):
            try:
                connection = connection or flood.Connection(self.port)
                began = time.monotonic()
                code = connection.send(TO_PROBE, b"Subject: probe\r\n\r\nhello")
            except OSError:
                code, connection = 0, None
            if code != 250:
                self.n_refused += 1
                continue
            took = time.monotonic() - began
            self.n_sent += 1
            with self.lock:
                self.accepted.append(took)
            if self.has_arrived():
                with self.lock:
                    self.arrived.append(time.monotonic() - began)
            else:
                self.n_missing += 1

    def has_arrived(self):
        """Waits for the one message, and takes it away."""
        deadline = time.monotonic() + PROBE_WITHIN_SECONDS
        while time.monotonic() < deadline:
            names = os.listdir(self.mailbox) if os.path.isdir(self.mailbox) else []
            if names:
                for name in names:
                    os.remove(f"{self.mailbox}/{name}")
                return True
            time.sleep(LOOK_EVERY_SECONDS)
        return False

    def take(self):
        """The latencies since it was asked last, in seconds."""
        with self.lock:
            taken = sorted(self.accepted), sorted(self.arrived)
            self.accepted, self.arrived = [], []
        return taken

    def finish(self):
        """After the message under way."""
        self.stopping.set()
        self.thread.join()


class SlowDisk:
    """Each sync of an instance, or one of them, takes longer: by strace, on the committer's thread
    alone, as it slows down every call of what it traces."""

    def __init__(self, postern, instance, seconds, once):
        if not shutil.which("strace"):
            raise SystemExit("this needs strace")
        thread = postern.committer(instance)
        when = ":when=1" if once else ""
        inject = f"inject=fdatasync:delay_enter={int(seconds * 1e6)}{when}"
        self.process = subprocess.Popen(["strace", "-q", "-p", thread, "-e", "trace=fdatasync",
                                         "-e", inject, "-o", "/dev/null"],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        """The disk is as it was."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
