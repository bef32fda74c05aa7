"""What has to be installed and built before anything can be measured."""

import os
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def prepare(options):
    """Installs Postfix and builds Postern as a release where they are needed and missing; returns
    Postern's program."""
    if os.geteuid() != 0:
        raise SystemExit("this needs root: Postfix does, and so do control groups")
    if not shutil.which("smtp-source") or not shutil.which("postfix"):
        subprocess.run(["debconf-set-selections"], check=True, text=True,
                       input="postfix postfix/main_mailer_type select No configuration\n")
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "install", "-q", "-y", "postfix"], check=True, env=environment)
    if options.program or "postern" not in options.mta:
        return options.program
    subprocess.run(["cargo", "build", "--release", "--locked", "--package", "postern"], cwd=ROOT,
                   check=True)
    target = os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target")
    return f"{target}/release/postern"


def c_program(folder, name):
    """Builds `bench/NAME.c` into `folder`."""
    program = f"{folder}/{name}"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", program, f"{ROOT}/bench/{name}.c"],
                   check=True)
    return program
