//! Debian's Postfix in directories of a test's own: the configuration of the machine is neither
//! read nor changed.
//!
//! # Limits
//! Needs root, since Postfix starts its daemons under the users that were made for it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::peer::{is_root, peer};
use crate::run::run;
use crate::{Scratch, port, wait};

/// What every instance has; `{folder}` is its directory.
const MAIN: &str = "\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = postfix.example.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
local_transport = error:no local delivery here
mydestination =
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtp_tls_security_level = none
mynetworks = 192.0.2.1/32
";

/// The services that a message meets, none of them in a chroot.
const MASTER: &str = "\
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
";

/// A running Postfix, stopped when it goes out of scope.
#[derive(Debug)]
pub struct Postfix {
    program: PathBuf,
    port: u16,
    scratch: Scratch,
}

impl Postfix {
    /// Starts one with the lines `settings` in its `main.cf`; `None` where this machine cannot
    /// run it, and the reason on the standard error stream.
    ///
    /// # Panics
    /// When it is there but does not start.
    #[track_caller]
    pub fn start(settings: &str) -> Option<Self> {
        let program = is_root().then(|| peer("postfix")).flatten()?;
        let postfix = Self {
            program,
            port: port::free_port(),
            scratch: Scratch::new(),
        };
        postfix.prepare(settings);
        postfix.call("start").ok();
        wait::until_true(&format!("Postfix listens:\n{}", postfix.log()), || {
            std::net::TcpStream::connect(("127.0.0.1", postfix.port)).is_ok()
        });
        Some(postfix)
    }

    fn prepare(&self, settings: &str) {
        let folder = self.scratch.path().display().to_string();
        for name in ["queue", "data"] {
            fs::create_dir(self.scratch.path().join(name)).expect("can be written");
        }
        // Its daemons give up root and still have to reach their sockets.
        fs::set_permissions(self.scratch.path(), fs::Permissions::from_mode(0o755))
            .expect("the directory is ours");
        let user = user_of_postfix().expect("the package makes the user");
        chown(self.scratch.path().join("data"), Some(user), None).expect("we are root");
        let main = MAIN.replace("{folder}", &folder) + settings;
        self.scratch.file("main.cf", main);
        let master = MASTER.replace("{port}", &self.port.to_string());
        self.scratch.file("master.cf", master);
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its log, as it is now.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("mail.log")).unwrap_or_default()
    }

    fn call(&self, verb: &str) -> crate::run::Ran {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.scratch.path()).arg(verb);
        run(&mut command, "", Duration::from_secs(30))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Postfix's log:\n{}", self.log());
        }
        // At once; `stop` gives its daemons time to finish what no test waits for.
        let _ = self.call("abort");
    }
}

fn user_of_postfix() -> Option<u32> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let user = users.lines().find(|line| line.starts_with("postfix:"))?;
    user.split(':').nth(2)?.parse().ok()
}
