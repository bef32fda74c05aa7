"""Groups of processes whose processor time, memory and device bytes can be told apart.

Control groups where the kernel has them and we may make them (version 1 or 2), else /proc: then
the processes are found as descendants of the one that was started.
"""

import os
import subprocess
import time

ROOT = "/sys/fs/cgroup"
TICKS = os.sysconf("SC_CLK_TCK")


def read(path):
    """The text of a file, or nothing where it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def fields(text):
    """Lines of `name number` as a dictionary."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def kind():
    """Which kind of group this machine offers."""
    if os.access(f"{ROOT}/cpuacct", os.W_OK):
        return V1Group
    if os.access(f"{ROOT}/cgroup.controllers", os.R_OK) and os.access(ROOT, os.W_OK):
        return V2Group
    return ProcGroup


class Group:
    """What all kinds have in common."""

    def __init__(self, name):
        self.name = f"postern-bench-{os.getpid()}-{name}"
        self.processes = []

    def spawn(self, argv, **options):
        """Starts a program inside the group."""
        process = subprocess.Popen(argv, preexec_fn=self.enter, **options)
        self.processes.append(process)
        return process

    def enter(self):
        """Runs in the child, before the program."""

    def rss_anonymous(self):
        """Octets, from /proc: the pages of a fork count twice."""
        total = 0
        for pid in self.pids():
            for line in read(f"/proc/{pid}/status").splitlines():
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1]) * 1024
        return total

    def remove(self):
        """Takes the group away, once its processes are gone."""

    def stop(self):
        """Ends what was started in it, and takes it away."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.remove()


class V1Group(Group):
    """Control groups, version 1: one folder for each controller."""

    CONTROLLERS = ("cpuacct", "memory", "blkio")

    def __init__(self, name):
        super().__init__(name)
        self.folders = [f"{ROOT}/{c}/{self.name}" for c in self.CONTROLLERS
                        if os.path.isdir(f"{ROOT}/{c}")]
        for folder in self.folders:
            os.makedirs(folder, exist_ok=True)

    def enter(self):
        for folder in self.folders:
            with open(f"{folder}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(os.getpid()))

    def pids(self):
        return [int(pid) for pid in read(f"{self.folders[0]}/cgroup.procs").split()]

    def cpu_seconds(self):
        return int(read(f"{ROOT}/cpuacct/{self.name}/cpuacct.usage") or 0) / 1e9

    def anonymous_octets(self):
        stat = fields(read(f"{ROOT}/memory/{self.name}/memory.stat"))
        return stat.get("total_rss") or self.rss_anonymous()

    def remove(self):
        for folder in self.folders:
            remove_folder(folder)


class V2Group(Group):
    """Control groups, version 2: one folder."""

    def __init__(self, name):
        super().__init__(name)
        self.folder = f"{ROOT}/{self.name}"
        os.makedirs(self.folder, exist_ok=True)
        try:
            with open(f"{ROOT}/cgroup.subtree_control", "w", encoding="ascii") as file:
                file.write("+memory")
        except OSError:
            pass  # processor time is counted without it, and memory comes from /proc then

    def enter(self):
        with open(f"{self.folder}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))

    def pids(self):
        return [int(pid) for pid in read(f"{self.folder}/cgroup.procs").split()]

    def cpu_seconds(self):
        return fields(read(f"{self.folder}/cpu.stat")).get("usage_usec", 0) / 1e6

    def anonymous_octets(self):
        return fields(read(f"{self.folder}/memory.stat")).get("anon") or self.rss_anonymous()

    def remove(self):
        remove_folder(self.folder)


class ProcGroup(Group):
    """Without control groups: the processes that were started, and all below them."""

    def pids(self):
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            stat = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            if stat:
                parents[int(pid)] = int(stat[1])
        found = {process.pid for process in self.processes if process.pid in parents}
        while True:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            if not more:
                return sorted(found)
            found |= more

    def cpu_seconds(self):
        """With the time of children that have ended and were waited for."""
        ticks = 0
        for pid in self.pids():
            stat = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            ticks += sum(map(int, stat[11:15])) if stat else 0
        return ticks / TICKS

    def anonymous_octets(self):
        return self.rss_anonymous()


def remove_folder(folder):
    """A group can be removed only when its last process is gone for good."""
    for _ in range(50):
        try:
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.1)
