"""What every program of the bench does around its measurements: arguments, a folder, an end that
leaves nothing running, and the tables."""

import json
import os
import shutil
import signal
import sys
import tempfile

from .build import prepare


def add_arguments(parser):
    """Those that all have."""
    add = parser.add_argument
    add("--program", help="a postern that is built already")
    add("--folder", default="/var/tmp", help="a folder on the disk to measure")
    add("--keep", action="store_true", help="leave the folder with configurations and logs")
    add("--json", metavar="FILE", help="all figures of all runs")
    add("--markdown", metavar="FILE", help="the tables, once more")


def perform(options, run, document):
    """Calls `run(options, program, folder, started)`, which returns the figures and appends what it
    starts to `started`; stops all of that, whatever happens; and shows `document(figures)`."""
    # A bench that is told to stop cleans up like one that is done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    program = prepare(options)
    folder = tempfile.mkdtemp(prefix="postern-bench-", dir=options.folder)
    os.chmod(folder, 0o755)  # Postfix's own user goes through it
    started = []
    try:
        figures = run(options, program, folder, started)
    finally:
        for running in reversed(started):
            running.stop()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    text = document(figures)
    print("\n" + text)
    if options.json:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(figures, file, indent=1)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(text.strip() + "\n")
