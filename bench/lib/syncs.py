"""How often a message makes somebody wait for the disk: system calls that sync, counted by strace.

In a run of its own, because strace slows down what it looks at.
"""

import os
import signal
import subprocess
import time

from .load import wait_for_arrival

CALLS = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync")
ATTACHED_WITHIN_SECONDS = 10


def count(mta, entry, load, sink, generator, folder):
    """Sync calls for each message, by part of the MTA; None where strace cannot be used."""
    tracers = {}
    for part, pids in parts(mta):
        log = f"{folder}/{mta.name}-{part}.strace"
        argv = ["strace", "-f", "-qq", "-o", log, "-e", "trace=" + ",".join(CALLS)]
        for pid in pids:
            argv += ["-p", str(pid)]
        tracers[part] = (subprocess.Popen(argv, stderr=subprocess.DEVNULL), pids, log)
    try:
        if not all(is_attached(tracer, pids) for tracer, pids, _ in tracers.values()):
            return None
        sink.zero()
        source = generator.spawn(load.command(mta.ports[entry]), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
        wait_for_arrival(mta, load, sink, source, time.time())
    finally:
        for tracer, _, _ in tracers.values():
            tracer.send_signal(signal.SIGINT)
        for tracer, _, _ in tracers.values():
            tracer.wait()
    return {part: calls(log) / load.n_messages for part, (_, _, log) in tracers.items()}


def parts(mta):
    """Groups of process ids under the name of the instance that they belong to."""
    for part, group in mta.groups.items():
        if part != "all":
            yield part, group.pids()
            continue
        by_name = {}
        for pid in group.pids():
            by_name.setdefault(instance_of(pid), []).append(pid)
        yield from by_name.items()


def instance_of(pid):
    """The name that a Postern process shows for itself."""
    with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as file:
        return file.read().strip()


def is_attached(tracer, pids):
    """Whether strace holds all the processes, or soon does."""
    deadline = time.monotonic() + ATTACHED_WITHIN_SECONDS
    while tracer.poll() is None and time.monotonic() < deadline:
        if all(traced_by(pid) in (tracer.pid, None) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def traced_by(pid):
    """The process id of the tracer; zero without one, None for a process that is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("TracerPid:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return None


def calls(log):
    """Lines of the log that begin a call, not those that resume or tell of a signal."""
    with open(log, encoding="ascii", errors="replace") as file:
        names = (line.split(None, 1)[-1] for line in file)
        return sum(name.startswith(CALLS) for name in names)
