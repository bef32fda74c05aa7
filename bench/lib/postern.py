"""Postern with its three instances, from a release build, on ports of the loopback."""

import json
import os
import subprocess

from .groups import read
from .load import RECIPIENTS
from .mta import Mta, free_port, wait_for_port

CONFIGURATION = """
hostname = "bench.test"

[instance.submission]
role = "submission"
listen = ["127.0.0.1:{submission}"]
next = "output"

[instance.submission.limits]
{limits}

[instance.input]
role = "input"
listen = ["127.0.0.1:{input}", "tls://127.0.0.1:{tls}"]
next = "output"

[instance.input.tls]
certificate = "{{state}}/input.pem"
key = "{{state}}/input.key"
missing = "self-signed"

[instance.input.limits]
{limits}

[instance.output]
role = "output"

[instance.output.limits]
{output_limits}

[[instance.output.route]]
domain = "sink.test"
users = {users}
open_to = "anyone"
to = {{ relay = "127.0.0.1:{sink}" }}
"""


class Postern(Mta):
    """The system, and what it was started with."""

    name = "postern"

    def __init__(self, folder, sink_port, program, limits=None, output_limits=None,
                 template=CONFIGURATION, **more):
        """`limits` are those of both fronts' clients, as texts of TOML; `more` is what another
        template names besides."""
        super().__init__(folder)
        self.program = program
        self.ports = {"input": free_port(), "submission": free_port()}
        self.tls_port = free_port()
        self.configuration = f"{folder}/postern.toml"
        with open(self.configuration, "w", encoding="ascii") as file:
            users = json.dumps(RECIPIENTS)  # a list of strings is written alike in TOML
            file.write(template.format(
                sink=sink_port, tls=self.tls_port, users=users, limits=lines_of(limits),
                output_limits=lines_of(output_limits), **self.ports, **more))
        self.supervisor = None

    def start(self):
        out = f"{self.folder}/out"
        with open(out, "w", encoding="ascii") as file:
            self.supervisor = self.group("all").spawn(
                [self.program, "run", "--config", self.configuration,
                 "--state", f"{self.folder}/state"],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        for port in self.ports.values():
            wait_for_port(port, self.supervisor, out)

    def stop(self):
        self.supervisor.terminate()
        self.finish([self.supervisor])

    def part_of(self, _part, pid):
        """One group has them all; each was started with its name as its last argument."""
        words = read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
        return words[-1] if words[1:-1] == ["instance"] or words[1:] == ["control"] else "supervisor"

    def version(self):
        out = subprocess.run([self.program, "--version"], capture_output=True, text=True,
                             check=False)
        return out.stdout.strip() or os.path.basename(self.program)


def lines_of(settings):
    """As they stand in the configuration."""
    return "\n".join(f"{key} = {value}" for key, value in (settings or {}).items())
