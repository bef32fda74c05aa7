"""The most anonymous memory that each part of one side had at a time."""

import threading

from .groups import read

SAMPLE_SECONDS = 0.05


class Peaks:
    """Samples while it is entered; `by_part` has the highest, in octets."""

    def __init__(self, mta):
        self.mta = mta
        self.by_part = {}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    def run(self):
        """Looks, again and again."""
        while not self.stopped.wait(SAMPLE_SECONDS):
            for part, octets in anonymous_by_part(self.mta).items():
                self.by_part[part] = max(octets, self.by_part.get(part, 0))


def anonymous_by_part(mta):
    """Anonymous memory now, in octets."""
    found = {}
    for group_name, group in mta.groups.items():
        for pid in group.pids():
            for line in read(f"/proc/{pid}/status").splitlines():
                if line.startswith("RssAnon:"):
                    part = mta.part_of(group_name, pid)
                    found[part] = found.get(part, 0) + int(line.split()[1]) * 1024
    return found
