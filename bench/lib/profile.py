"""Where the time of one side goes, by function: a run of its own under perf."""

import signal
import subprocess
import time

from .load import wait_for_arrival

# Prime, so that it does not beat with a timer.
SAMPLES_PER_SECOND = 997
N_LINES = 40
# perf says nothing when it has begun.
BEGUN_AFTER_SECONDS = 1


def record(mta, entry, load, sink, generator, folder):
    """The functions with the most samples, kernel and program apart; as text."""
    data = f"{folder}/{mta.name}-{entry}.perf"
    pids = ",".join(map(str, mta.pids()))
    perf = subprocess.Popen(
        ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(SAMPLES_PER_SECOND), "-o", data,
         "-p", pids], stderr=subprocess.DEVNULL)
    time.sleep(BEGUN_AFTER_SECONDS)
    try:
        sink.zero()
        source = generator.spawn(load.command(mta.ports[entry]), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        wait_for_arrival(mta, load, sink, source, time.time())
    finally:
        perf.send_signal(signal.SIGINT)
        perf.wait()
    return "\n".join(table(data, columns) for columns in ("overhead,dso", "overhead,dso,symbol"))


def table(data, columns):
    """One view of the samples."""
    out = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-F", columns],
                         capture_output=True, text=True, check=False)
    rows = [line.rstrip() for line in out.stdout.splitlines() if line and line[0] != "#"]
    return "\n".join(filter(str.strip, rows[:N_LINES])) + "\n"
