"""What a message asks of the kernel: its system calls, and those among them that wait for the disk.

Counted by strace in a run of its own, because strace slows down what it looks at.
"""

import re
import signal
import subprocess
import time

from .groups import read
from .load import wait_for_arrival

SYNCS = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync")
ATTACHED_WITHIN_SECONDS = 10
# `% time  seconds  usecs/call  calls  [errors]  name`
ROW = re.compile(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")


def count(mta, entry, load, sink, generator, folder):
    """Calls for each message, by part of the MTA and by name; None where strace cannot be used."""
    tracers = {}
    for part, pids in parts(mta):
        log = f"{folder}/{mta.name}-{part}.strace"
        argv = ["strace", "-f", "-c", "-qq", "-o", log]
        for pid in pids:
            argv += ["-p", str(pid)]
        tracers[part] = (subprocess.Popen(argv, stderr=subprocess.DEVNULL), pids, log)
    try:
        if not all(is_attached(tracer, pids) for tracer, pids, _ in tracers.values()):
            return None
        sink.zero()
        source = generator.spawn(load.command(mta.ports[entry]), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        wait_for_arrival(mta, load, sink, source, time.time())
    finally:
        for tracer, _, _ in tracers.values():
            tracer.send_signal(signal.SIGINT)
        for tracer, _, _ in tracers.values():
            tracer.wait()
    return {part: {name: n / load.n_messages for name, n in summary(log).items()}
            for part, (_, _, log) in tracers.items()}


def total(by_name):
    """All calls of a part."""
    return sum(by_name.values())


def syncs(by_name):
    """Those that wait for the disk."""
    return sum(n for name, n in by_name.items() if name in SYNCS)


def parts(mta):
    """Process ids under the name of the instance that they belong to."""
    for part, group in mta.groups.items():
        by_name = {}
        for pid in group.pids():
            by_name.setdefault(mta.part_of(part, pid), []).append(pid)
        yield from by_name.items()


def is_attached(tracer, pids):
    """Whether strace holds all the processes, or soon does."""
    deadline = time.monotonic() + ATTACHED_WITHIN_SECONDS
    while tracer.poll() is None and time.monotonic() < deadline:
        if all(tracer_of(pid) in (tracer.pid, None) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def tracer_of(pid):
    """The process id of who traces `pid`; zero without one, None where `pid` is gone."""
    found = re.search(r"^TracerPid:\s+(\d+)$", read(f"/proc/{pid}/status"), re.MULTILINE)
    return int(found[1]) if found else None


def summary(log):
    """The counts at the end of strace's log."""
    rows = (ROW.match(line) for line in read(log).splitlines())
    return {row[2]: int(row[1]) for row in rows if row and row[2] != "total"}
