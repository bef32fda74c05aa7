//! The program itself: a supervisor with its processes, in a scratch directory.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::run::{Ran, run};
use crate::{Scratch, wait};

/// What `run` prints when every instance listens.
const READY: &str = "Ctrl-C stops it.";

/// How long a command may take.
const COMMAND_TIME: Duration = wait::LIMIT;

/// How long a stop may take: more than the `stop_timeout` of every test.
const STOP_TIME: Duration = wait::LIMIT;

/// The exit status of an answer in which an instance is missing.
const PARTIAL: i32 = 3;

/// A system, running or not.
#[derive(Debug)]
pub struct Postern {
    program: PathBuf,
    config: PathBuf,
    /// Whose processes they are, where root starts them for somebody else.
    user: Option<u32>,
    supervisor: Option<Child>,
    scratch: Scratch,
    /// In place of `/run/postern`, which a power cut empties: not below the scratch directory, all
    /// of which a recorder takes for files on a disk.
    run: Scratch,
}

impl Postern {
    /// A system of `program` with `config`, not yet started. In the text, `{scratch}` is its
    /// scratch directory; its state lies in `state` below that, where the text says nothing else.
    ///
    /// # Panics
    /// When the scratch directory cannot be written.
    pub fn new(program: &str, config: &str) -> Self {
        Self::below(&std::env::temp_dir(), program, config)
    }

    /// As [`Self::new`], with its scratch directory in `folder`.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn below(folder: &Path, program: &str, config: &str) -> Self {
        let scratch = Scratch::below(folder);
        let mut system = Self {
            program: program.into(),
            config: scratch.path().join("postern.toml"),
            user: None,
            supervisor: None,
            scratch,
            run: Scratch::new(),
        };
        system.write_config(config);
        system
    }

    /// As [`Self::new`], for an ordinary user: this one, where the test runs as root.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn of_user(program: &str, config: &str, user: u32) -> Self {
        let mut system = Self::new(program, config);
        if rustix::process::geteuid().is_root() {
            // The program may lie where only root may go.
            let program = system.scratch.path().join("program");
            fs::copy(&system.program, &program).expect("the program can be copied");
            for folder in [&system.scratch, &system.run] {
                let owned = std::os::unix::fs::chown(folder.path(), Some(user), Some(user));
                owned.expect("root can give files away");
            }
            system.program = program;
            system.user = Some(user);
        }
        system
    }

    /// Replaces the configuration file; a running system learns of it by `reload`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_config(&mut self, config: &str) {
        let folder = self.scratch.path().display().to_string();
        let text = config.replace("{scratch}", &folder);
        fs::write(&self.config, text).expect("the scratch directory can be written");
    }

    /// Its scratch directory.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Where links to its state directory stand, as in `/run/postern`.
    pub fn run_directory(&self) -> &Path {
        self.run.path()
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its state directory.
    pub fn state_folder(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// A file below its state directory.
    pub fn state(&self, name: &str) -> PathBuf {
        self.state_folder().join(name)
    }

    /// Its one log, as it is now.
    pub fn log(&self) -> String {
        fs::read_to_string(self.state("log/postern.log")).unwrap_or_default()
    }

    /// What `run` has printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.scratch.path().join("out")).unwrap_or_default()
    }

    /// Starts the supervisor by `run`, and waits until every instance listens.
    ///
    /// # Panics
    /// When it ends before, or is not ready in time.
    #[track_caller]
    pub fn start(&mut self) {
        self.start_under(&[]);
    }

    /// As [`Self::start`], with the words of another program before the command line, which it
    /// must run in its own place.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[track_caller]
    pub fn start_under(&mut self, words: &[OsString]) {
        self.begin_under(words);
        let is_ready = self.becomes_ready();
        assert!(is_ready, "not ready:\n{}\n{}", self.printed(), self.log());
    }

    /// Waits until every instance listens; `false` when the supervisor ends before, or they do not
    /// in time.
    pub fn becomes_ready(&mut self) -> bool {
        let ready = wait::within(wait::LIMIT, || {
            self.printed()
                .contains(READY)
                .then_some(true)
                .or_else(|| self.has_ended().then_some(false))
        });
        ready == Some(true)
    }

    /// As [`Self::start_under`], but waits for nothing.
    ///
    /// # Panics
    /// When it runs already, or cannot be started.
    #[track_caller]
    pub fn begin_under(&mut self, words: &[OsString]) {
        assert!(self.supervisor.is_none(), "it runs already");
        let out = File::create(self.scratch.path().join("out")).expect("can be written");
        let err = out.try_clone().expect("there are descriptors");
        let mut command = match words {
            [] => self.command(),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                self.address(command.current_dir(self.scratch.path()));
                command
            }
        };
        let child = command
            .arg("run")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("the program can be started");
        self.supervisor = Some(child);
    }

    fn has_ended(&mut self) -> bool {
        let state = self.supervisor.as_mut().map(Child::try_wait);
        !matches!(state, Some(Ok(None)))
    }

    /// The program with the arguments that name this system.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.scratch.path());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        self.address(&mut command);
        command
    }

    /// The program under another name, as its link `sendmail` has it; the system is named by the
    /// environment.
    ///
    /// # Panics
    /// When the link cannot be made.
    pub fn command_as(&self, name: &str) -> Command {
        let link = self.scratch.path().join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(&self.program, &link).expect("a link can be made");
        }
        let mut command = Command::new(link);
        command.current_dir(self.scratch.path());
        self.address(&mut command);
        command
    }

    fn address(&self, command: &mut Command) {
        command
            .env("POSTERN_CONFIG", &self.config)
            .env("POSTERN_STATE", self.scratch.path().join("state"))
            .env("POSTERN_RUN", self.run.path());
    }

    /// Runs the program with `arguments` to its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn call(&self, arguments: &[&str]) -> Ran {
        self.call_with(arguments, "")
    }

    /// As [`Self::call`], with a standard input.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn call_with(&self, arguments: &[&str], input: &str) -> Ran {
        run(self.command().args(arguments), input, COMMAND_TIME)
    }

    /// What the program answers with `--json`, whatever its exit status.
    ///
    /// # Panics
    /// When that is no JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = run(
            self.command().arg("--json").args(arguments),
            "",
            COMMAND_TIME,
        );
        match serde_json::from_str(&ran.out) {
            Ok(value) => value,
            Err(error) => panic!("{error} in the answer to {arguments:?}: {ran:?}"),
        }
    }

    /// The process of the supervisor.
    ///
    /// # Panics
    /// When it does not run.
    pub fn supervisor(&self) -> u32 {
        self.supervisor.as_ref().expect("it runs").id()
    }

    /// The process `name`: an instance, or `control`.
    ///
    /// # Panics
    /// When `status` does not know it.
    #[track_caller]
    pub fn pid(&self, name: &str) -> u32 {
        let status = self.json(&["status"]);
        let mut processes = status["processes"].as_array().into_iter().flatten();
        let process = processes.find(|process| process["name"] == name);
        let pid = process.and_then(|process| process["pid"].as_u64());
        pid.and_then(|pid| u32::try_from(pid).ok())
            .unwrap_or_else(|| panic!("no process {name} in {status:#}"))
    }

    /// Sends `signal` to the process `name`.
    ///
    /// # Panics
    /// When there is no such process.
    #[track_caller]
    pub fn signal(&self, name: &str, signal: Signal) {
        send(self.pid(name), signal);
    }

    /// What the program prints when every instance has answered: on a busy machine one may be late,
    /// and is shown as not answering. For what may be asked again.
    ///
    /// # Panics
    /// When one does not answer in time, or the program fails.
    #[track_caller]
    pub fn ask(&self, arguments: &[&str]) -> String {
        let what = format!("every instance answers {arguments:?}");
        wait::until(&what, || {
            let ran = self.call(arguments);
            (ran.status != Some(PARTIAL)).then(|| ran.ok())
        })
    }

    /// Stops it by `stop`, and waits until the supervisor has ended.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn stop(&mut self) {
        self.call(&["stop"]).ok();
        self.wait_for_end();
    }

    /// Waits until the supervisor has ended.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn wait_for_end(&mut self) {
        wait::until_true("the supervisor ends", || self.has_ended());
        self.supervisor = None;
    }
}

impl Drop for Postern {
    fn drop(&mut self) {
        let Some(mut child) = self.supervisor.take() else {
            return;
        };
        let children = children(child.id());
        for pid in &children {
            send(*pid, Signal::CONT);
        }
        send(child.id(), Signal::TERM);
        let ended = wait::within(STOP_TIME, || child.try_wait().ok().flatten());
        if ended.is_none() {
            let _ = child.kill();
            let _ = child.wait();
            for pid in children {
                send(pid, Signal::KILL);
            }
        }
    }
}

/// Sends `signal` to a process; one that has ended is no error.
///
/// # Panics
/// When `pid` is none.
pub fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = kill_process(pid.expect("a process id"), signal);
}

/// Whether the process is there.
pub fn is_alive(pid: u32) -> bool {
    parent_of(pid).is_some()
}

/// The processes whose parent is `pid`.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let started = threads.filter_map(|t| fs::read_to_string(t.path().join("children")).ok());
    let started: Vec<String> = started.collect();
    // Some kernels do not say it so, and all processes have to be looked at.
    let all = if started.is_empty() {
        processes()
    } else {
        Vec::new()
    };
    let started = started.iter().flat_map(|list| list.split_whitespace());
    started
        .filter_map(|child| child.parse().ok())
        .chain(all)
        .filter(|child| parent_of(*child) == Some(pid))
        .collect()
}

/// All processes of this machine.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.collect()
}

/// The parent of a process that is there and not a zombie.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    (fields.next()? != "Z").then(|| fields.next()?.parse().ok())?
}
