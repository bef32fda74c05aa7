//! NSD with zones of a test's own, on the loopback: an answer to every name, and none from outside.
//!
//! # Limits
//! It is authoritative only: with a root zone it answers like a resolver that knows this much of
//! the world.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::peer::peer;
use crate::{Scratch, port, wait};

/// Before each zone's records.
const START_OF_ZONE: &str = "$TTL 60\n@ IN SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60\n\
                             @ IN NS ns.invalid.\n";

/// A running NSD, ended when it goes out of scope.
#[derive(Debug)]
pub struct Nsd {
    process: Child,
    address: SocketAddr,
    scratch: Scratch,
}

impl Nsd {
    /// Starts one with a root zone of these records: `a.example. MX 10 mx.example.`; and with
    /// these names as zones that it cannot load, so that it answers SERVFAIL there. `None` where
    /// this machine has none, and the reason on the standard error stream.
    ///
    /// # Panics
    /// When it is there but does not start.
    #[track_caller]
    pub fn start(records: &str, broken: &[&str]) -> Option<Self> {
        Self::start_at(
            SocketAddr::from(([127, 0, 0, 1], port::free_port())),
            records,
            broken,
        )
    }

    /// As [`Self::start`], at this address.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[track_caller]
    pub fn start_at(address: SocketAddr, records: &str, broken: &[&str]) -> Option<Self> {
        let program = peer("nsd")?;
        let scratch = Scratch::new();
        scratch.file("root.zone", format!("{START_OF_ZONE}{records}\n"));
        let settings = settings(&scratch.path().display().to_string(), address, broken);
        let settings = scratch.file("nsd.conf", settings);
        let log = fs::File::create(scratch.path().join("output")).expect("can be written");
        let process = Command::new(program)
            .arg("-d")
            .arg("-c")
            .arg(settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor is left"))
            .stderr(log)
            .spawn()
            .expect("NSD can be started");
        let nsd = Self {
            process,
            address,
            scratch,
        };
        let listens = || TcpStream::connect(address).is_ok();
        let started = wait::within(wait::LIMIT, || listens().then_some(()));
        assert!(started.is_some(), "NSD does not listen:\n{}", nsd.log());
        Some(nsd)
    }

    /// Where it answers, by UDP and by TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("output")).unwrap_or_default()
    }
}

fn settings(folder: &str, address: SocketAddr, broken: &[&str]) -> String {
    let (ip, port) = (address.ip(), address.port());
    let mut text = format!(
        "server:\n ip-address: {ip}@{port}\n username: \"\"\n zonesdir: \"{folder}\"\n \
         database: \"\"\n pidfile: \"{folder}/pid\"\n xfrdfile: \"{folder}/xfrd\"\n \
         zonelistfile: \"{folder}/zones\"\n server-count: 1\n hide-version: yes\n\
         remote-control:\n control-enable: no\n\
         zone:\n name: \".\"\n zonefile: \"root.zone\"\n"
    );
    for name in broken {
        let _ = write!(text, "zone:\n name: \"{name}\"\n zonefile: \"none\"\n");
    }
    text
}

impl Drop for Nsd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("NSD's log:\n{}", self.log());
        }
        // NSD ends its server process itself when it is asked to end.
        if let Some(id) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.process.wait();
    }
}
