"""What the kernel counts for one side under load: sync calls and switches, and instructions where
the machine tells them. By perf, which only counts: the load is not slowed down as by strace.
"""

import re
import shutil
import signal
import subprocess
import time

from .calls import SYNCS
from .groups import read
from .load import wait_for_arrival

TRACING = "/sys/kernel/tracing/available_events"
OTHERS = ("context-switches", "instructions:u", "instructions:k")
# perf says nothing when it has begun.
BEGUN_AFTER_SECONDS = 0.5
# `value,unit,event,...`; in place of a value it can say why there is none.
ROW = re.compile(r"^(\d+),[^,]*,([^,]+),")


def events():
    """Those that this machine may have."""
    known = read(TRACING).split()
    syncs = [f"syscalls:sys_enter_{name}" for name in SYNCS]
    return [name for name in syncs if name in known] + list(OTHERS)


def count(mta, entry, load, sink, generator):
    """Counts for each message; without those that the machine does not tell."""
    if not shutil.which("perf"):
        return {}
    # Children that are started meanwhile are counted with their parents.
    perf = subprocess.Popen(
        ["perf", "stat", "-x", ",", "-e", ",".join(events()), "-p",
         ",".join(map(str, mta.pids()))],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(BEGUN_AFTER_SECONDS)
    try:
        sink.zero()
        source = generator.spawn(load.command(mta.ports[entry]), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        wait_for_arrival(mta, load, sink, source, time.time())
    finally:
        perf.send_signal(signal.SIGINT)
        _, out = perf.communicate()
    rows = filter(None, map(ROW.match, out.splitlines()))
    counted = {row[2]: int(row[1]) / load.n_messages for row in rows}
    names = [name for name in counted if name.startswith("syscalls:")]
    # Without the tracepoints nothing is known, which is not the same as none.
    syncs = {"sync calls": sum(counted.pop(name) for name in names)} if names else {}
    return {**syncs, **counted}
