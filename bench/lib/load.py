"""One measured run: so many messages by one entry, and what that cost."""

import os
import subprocess
import time
from dataclasses import dataclass

from . import groups

# With more than one recipient the generators write a number before the name.
N_RECIPIENTS_MAX = 20
RECIPIENTS = ("foo",) + tuple(f"{number}foo" for number in range(N_RECIPIENTS_MAX + 1))

POLL_SECONDS = 0.01
MEMORY_EVERY_SECONDS = 0.25
# Without a new message for so long, the rest is lost or stuck; sooner, if the generator gave up.
STALL_SECONDS = 60
STALL_AFTER_FAILURE_SECONDS = 3
# Work after the last delivery, such as removing queue files, belongs to the messages.
SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Load:
    """What a generator is told."""

    n_messages: int
    n_connections: int
    n_octets: int
    keeps_connections: bool
    n_recipients: int = 1

    def command(self, port):
        """The command line of smtp-source."""
        argv = ["smtp-source", "-m", str(self.n_messages), "-s", str(self.n_connections),
                "-l", str(self.n_octets), "-M", "client.bench.test",
                "-f", "bench@client.bench.test", "-t", "foo@sink.test"]
        if self.n_recipients > 1:
            argv += ["-r", str(self.n_recipients)]
        if self.keeps_connections:
            argv.append("-d")
        return argv + [f"127.0.0.1:{port}"]

    def timing_command(self, program, port):
        """The command line of source.c, which measures each answer."""
        numbers = (port, self.n_messages, self.n_connections, self.n_octets, self.n_recipients)
        return [program, *map(str, numbers), "kept" if self.keeps_connections else "each"]


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
    # A message for many may travel in parts: then its recipients are counted.
    if load.n_recipients == 1:
        delivered, duplicates = counts["messages"], counts["duplicates"]
        lost = n - delivered + duplicates
    else:
        delivered = counts["recipients"] / load.n_recipients
        lost, duplicates = max(0, n - delivered), max(0, delivered - n)
    seconds = max(counts["last_unix_ns"] / 1e9 - started, 1e-6)
    used = max(sum(cpu.values()) + sink_cpu + load_cpu, 1e-6)
    return {
        "mta": mta.name, "entry": entry, "messages": n,
        "cpu_seconds_per_1000": sum(cpu.values()) * 1000 / n,
        "cpu_seconds_per_1000_by_part": {part: used * 1000 / n for part, used in cpu.items()},
        "generator_seconds_per_1000": load_cpu * 1000 / n,
        "sink_seconds_per_1000": sink_cpu * 1000 / n,
        "messages_per_second": delivered / seconds,
        "accepted_per_second": n / accepted if accepted else 0,
        "ceiling_per_second": os.cpu_count() * n / used,
        "ceiling_reached": delivered / seconds / (os.cpu_count() * n / used),
        "device_octets_per_message": written / n,
        "arrived_octets_per_message": counts["octets"] / max(counts["messages"], 1),
        "anonymous_octets_peak": peak,
        "lost": lost,
        "duplicates": duplicates,
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
        if accepted is not None and counts["recipients"] >= load.n_messages * load.n_recipients:
            return counts, accepted, peak
        if counts["recipients"] != progress:
            progress, moved_at = counts["recipients"], now
        elif now - moved_at > (STALL_AFTER_FAILURE_SECONDS if source.returncode else STALL_SECONDS):
            if source.poll() is None:
                source.kill()
                source.wait()
            return counts, accepted, peak
        time.sleep(POLL_SECONDS)


def time_answers(mta, entry, load, sink, generator, program):
    """Loads one entry of one side by source.c, which says how long it waited for each reply."""
    sink.zero()
    source = generator.spawn(load.timing_command(program, mta.ports[entry]),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_arrival(mta, load, sink, source, time.time())
    out, failed = source.communicate()
    words = (word.partition("=") for word in out.split())
    return {"mta": mta.name, "entry": entry, "generator_failed": failed.strip(),
            **{name: float(value) for name, _, value in words}}
