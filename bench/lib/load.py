"""One measured run: so many messages by one entry, and what that cost."""

import os
import subprocess
import time
from dataclasses import dataclass

from . import groups

POLL_SECONDS = 0.01
MEMORY_EVERY_SECONDS = 0.25
# Without a new message for so long, the rest is lost or stuck; sooner, if the generator gave up.
STALL_SECONDS = 60
STALL_AFTER_FAILURE_SECONDS = 3
# Work after the last delivery, such as removing queue files, belongs to the messages.
SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Load:
    """What smtp-source is told."""

    n_messages: int
    n_connections: int
    n_octets: int
    keeps_connections: bool

    def command(self, port):
        """The generator's command line."""
        argv = ["smtp-source", "-m", str(self.n_messages), "-s", str(self.n_connections),
                "-l", str(self.n_octets), "-M", "client.bench.test",
                "-f", "bench@client.bench.test", "-t", "foo@sink.test"]
        if self.keeps_connections:
            argv.append("-d")
        return argv + [f"127.0.0.1:{port}"]


def machine_busy_seconds():
    """Processor time of the whole machine."""
    ticks = [int(word) for word in groups.read("/proc/stat").splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / groups.TICKS


class Device:
    """The block device below a folder; counts what reaches it, from everybody."""

    def __init__(self, folder):
        number = os.stat(folder).st_dev
        self.path = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat"

    def octets_written(self):
        """Since the machine started; zero where there is no such device."""
        words = groups.read(self.path).split()
        return int(words[6]) * 512 if words else 0


def measure(mta, entry, load, sink, generator, device):
    """Loads one entry of one side and waits until everything has arrived."""
    sink.zero()
    os.sync()
    written = device.octets_written()
    machine, sink_cpu, load_cpu = (machine_busy_seconds(), sink.group.cpu_seconds(),
                                   generator.cpu_seconds())
    cpu = mta.cpu_seconds()
    started = time.time()
    source = generator.spawn(load.command(mta.ports[entry]), stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
    counts, accepted, peak = wait_for_arrival(mta, load, sink, source, started)
    time.sleep(SETTLE_SECONDS)
    cpu = {part: now - cpu[part] for part, now in mta.cpu_seconds().items()}
    sink_cpu, load_cpu = (sink.group.cpu_seconds() - sink_cpu, generator.cpu_seconds() - load_cpu)
    machine = machine_busy_seconds() - machine
    os.sync()
    written = device.octets_written() - written

    n = load.n_messages
    seconds = max(counts["last_unix_ns"] / 1e9 - started, 1e-6)
    used = sum(cpu.values()) + sink_cpu + load_cpu
    return {
        "mta": mta.name, "entry": entry, "kept": load.keeps_connections, "messages": n,
        "cpu_seconds_per_1000": sum(cpu.values()) * 1000 / n,
        "cpu_seconds_per_1000_by_part": {part: used * 1000 / n for part, used in cpu.items()},
        "generator_seconds_per_1000": load_cpu * 1000 / n,
        "sink_seconds_per_1000": sink_cpu * 1000 / n,
        "messages_per_second": counts["messages"] / seconds,
        "accepted_per_second": n / accepted if accepted else 0,
        "device_octets_per_message": written / n,
        "anonymous_octets_peak": peak,
        "lost": n - counts["messages"] + counts["duplicates"],
        "duplicates": counts["duplicates"],
        "others_busy_share": max(0.0, machine - used) / (time.time() - started) / os.cpu_count(),
        "generator_failed": (source.stderr.read().strip() if source.returncode else ""),
    }


def wait_for_arrival(mta, load, sink, source, started):
    """Until the sink has all, or nothing moves any more."""
    accepted, peak, sample_at = None, 0, 0.0
    progress, moved_at = -1, time.monotonic()
    while True:
        now = time.monotonic()
        if now >= sample_at:
            peak = max(peak, mta.anonymous_octets())
            sample_at = now + MEMORY_EVERY_SECONDS
        if accepted is None and source.poll() is not None:
            accepted = time.time() - started
        counts = sink.counts()
        if accepted is not None and counts["messages"] >= load.n_messages:
            return counts, accepted, peak
        if counts["messages"] != progress:
            progress, moved_at = counts["messages"], now
        elif now - moved_at > (STALL_AFTER_FAILURE_SECONDS if source.returncode else STALL_SECONDS):
            if source.poll() is None:
                source.kill()
                source.wait()
            return counts, accepted, peak
        time.sleep(POLL_SECONDS)
