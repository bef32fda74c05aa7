"""Three instances of Postfix, as an administrator would set them up by hand.

They live in folders of their own: the configuration of this machine is neither read nor changed.
The checks are those that Postern makes: syntax of HELO and addresses, relay control, a table of
valid recipients.
"""

import os
import pwd
import signal
import subprocess

from .groups import read
from .load import RECIPIENTS
from .mta import Mta, free_port, wait_for_port

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = {name}.bench.test
mydomain = bench.test
myorigin = bench.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
local_transport = error:no local delivery here
mydestination =
biff = no
append_dot_mydomain = no
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtp_tls_security_level = none
message_size_limit = 52428800
smtpd_client_connection_count_limit = 5000
smtpd_helo_required = yes
strict_rfc821_envelopes = yes
disable_vrfy_command = yes
relayhost = [127.0.0.1]:{relay}
"""

ROLES = {
    "submission": """
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_send_xforward_command = yes
""",
    "input": """
mynetworks = 192.0.2.1/32
relay_domains = sink.test
relay_recipient_maps = inline:{{ {recipients} }}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unlisted_recipient
smtp_send_xforward_command = yes
""",
    "output": """
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_authorized_xforward_hosts = 127.0.0.0/8
receive_override_options = no_unknown_recipient_checks, no_header_body_checks
""",
}

# What its documentation advises for many messages, as far as it touches this path; why, in README.
TUNED_NAME = "postfix-tuned"
TUNED = (
    "default_process_limit = 200",
    "max_use = 1000",
    "in_flow_delay = 0s",
    "qmgr_message_active_limit = 40000",
    "qmgr_message_recipient_limit = 40000",
    "initial_destination_concurrency = 20",
    "default_destination_concurrency_limit = 50",
    "smtp_connection_cache_destinations = static:all",
    "smtp_connection_reuse_time_limit = 600s",
    "smtpd_client_connection_count_limit = 0",
    "smtpd_client_connection_rate_limit = 0",
    "local_header_rewrite_clients =",
)
TUNED_FRONT = ("receive_override_options = no_address_mappings",)

# The services of the stock master.cf that a message meets, none of them in a chroot.
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix(Mta):
    """The instances, and what they were started with."""

    name = "postfix"

    def __init__(self, folder, sink_port, settings, name="postfix"):
        self.name = name
        super().__init__(folder)
        self.settings = settings
        self.masters = []
        ports = {role: free_port() for role in ROLES}
        for role in ("output", "input", "submission"):
            relay = sink_port if role == "output" else ports["output"]
            self.configure(role, ports[role], relay)
        self.ports = {role: ports[role] for role in ("input", "submission")}
        self.all_ports = ports

    def configure(self, role, port, relay):
        """Writes one instance's folder."""
        folder = f"{self.folder}/{role}"
        os.makedirs(f"{folder}/queue")
        os.makedirs(f"{folder}/data")
        postfix = pwd.getpwnam("postfix")
        os.chown(f"{folder}/data", postfix.pw_uid, postfix.pw_gid)
        recipients = ", ".join(f"{name}@sink.test=OK" for name in RECIPIENTS)
        values = {"folder": folder, "name": role, "port": port, "relay": relay,
                  "recipients": recipients}
        settings = list(self.settings)
        if self.name == TUNED_NAME:
            settings += TUNED + (() if role == "output" else TUNED_FRONT)
        extra = "".join(f"{setting}\n" for setting in settings)
        with open(f"{folder}/main.cf", "w", encoding="ascii") as file:
            file.write((MAIN + ROLES[role]).format(**values) + extra)
        with open(f"{folder}/master.cf", "w", encoding="ascii") as file:
            file.write(MASTER.format(**values))

    def start(self):
        for role, port in self.all_ports.items():
            with open(f"{self.folder}/{role}.out", "w", encoding="ascii") as out:
                master = self.group(role).spawn(
                    ["postfix", "-c", f"{self.folder}/{role}", "start-fg"],
                    stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            self.masters.append(master)
            wait_for_port(port, master, f"{self.folder}/{role}.out")

    def stop(self):
        # What was started is a script; the master below it ends the processes that it leads.
        for pid in self.pids():
            if os.path.basename(read(f"/proc/{pid}/cmdline").split("\0")[0]) == "master":
                os.kill(pid, signal.SIGTERM)
        self.finish(self.masters)

    def version(self):
        out = subprocess.run(["postconf", "-d", "-h", "mail_version"], capture_output=True,
                             text=True, check=True)
        return f"Postfix {out.stdout.strip()}"
