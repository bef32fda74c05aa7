//! strace on processes that run already: to see their system calls, or to end them at one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::postern::send;
use crate::wait;

/// Which threads are traced.
#[derive(Clone, Copy, Debug)]
pub enum Threads<'a> {
    /// All of a process, and those that it starts.
    AllOf(u32),
    /// These alone.
    These(&'a [u32]),
}

impl Threads<'_> {
    fn ids(self) -> Vec<u32> {
        match self {
            Self::AllOf(pid) => of(pid).into_keys().collect(),
            Self::These(ids) => ids.to_vec(),
        }
    }

    fn arguments(self) -> Vec<String> {
        match self {
            Self::AllOf(pid) => vec!["-f".to_owned(), format!("-p{pid}")],
            Self::These(ids) => ids.iter().map(|id| format!("-p{id}")).collect(),
        }
    }
}

/// The threads of a process that is there, with their names.
pub fn of(pid: u32) -> BTreeMap<u32, String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let named = |path: PathBuf| {
        let id = path.file_name()?.to_str()?.parse().ok()?;
        let name = fs::read_to_string(path.join("comm")).ok()?;
        Some((id, name.trim_end().to_owned()))
    };
    tasks
        .flatten()
        .filter_map(|task| named(task.path()))
        .collect()
}

/// strace at work; it lets go when this goes out of scope.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    file: PathBuf,
}

impl Tracer {
    /// Lets `strace` trace, with `options`, and write to `file`; returns when it does.
    ///
    /// # Panics
    /// When it cannot, or is not ready in time.
    #[track_caller]
    pub fn attach(strace: &Path, options: &[&str], threads: Threads<'_>, file: &Path) -> Self {
        let mut command = Command::new(strace);
        command
            .args(options)
            .arg("-o")
            .arg(file)
            .args(threads.arguments());
        let child = command
            .stderr(Stdio::null())
            .spawn()
            .expect("strace can be started");
        let mut tracer = Self {
            child,
            file: file.to_owned(),
        };
        wait::until_true("strace traces", || {
            tracer.has_ended() || threads.ids().into_iter().all(is_traced)
        });
        tracer
    }

    /// Whether nothing is traced any more: what was has ended, or strace could not.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.try_wait();
        ended.expect("a child of ours can be waited for").is_some()
    }

    /// What it has written so far.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap_or_default()
    }

    /// Lets go, so that all that was seen is written.
    pub fn detach(&mut self) {
        // Its own end, so that it writes what it saw and lets go of the process.
        if !self.has_ended() {
            send(self.child.id(), Signal::INT);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.detach();
    }
}

/// The name of the call that a line of strace, without the thread, says was entered.
pub fn call_in(line: &str) -> Option<&str> {
    let (name, _) = line.trim_start().split_once('(')?;
    let of_a_name = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (!name.is_empty() && name.bytes().all(of_a_name)).then_some(name)
}

/// Whether a thread is traced, or has ended.
fn is_traced(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    !status.contains("TracerPid:\t0\n")
}
