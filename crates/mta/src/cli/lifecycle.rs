//! `run`, `start`, `stop` and `reload`.
//!
//! # Limits
//! `start` waits [`START_TIME`]; `stop` waits as long as the configuration allows a stop to take,
//! and [`STOP_SLACK`] more.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mail::InstanceName;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;
use supervisor::channel::Weight;
use supervisor::{self, Progress, Source};

use super::arguments::SystemArguments;
use super::connection::{self, SILENCE_TIME};
use super::exit::{Exit, Failure};
use super::output::{complain, print_json, print_line, print_text};
use super::system::{self, System};
use super::welcome::Welcome;

/// How long `start` waits for the system to be ready.
const START_TIME: Duration = Duration::from_secs(60);

/// How long a stop may take where neither the system nor its configuration says it.
const STOP_TIME: Duration = Duration::from_secs(60);

/// How much longer than the system itself `stop` waits.
const STOP_SLACK: Duration = Duration::from_secs(10);

/// How often `stop` looks.
const STOP_INTERVAL: Duration = Duration::from_millis(20);

/// How long control may take for a reload.
const RELOAD_TIME: Duration = Duration::from_secs(70);

/// What `run --detached` writes when it is ready.
const READY: &str = "ready\n";

/// Runs the supervisor in this process until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub(crate) fn run(source: Source) -> Result<Exit, Failure> {
    let config = source.load();
    let config = config.map_err(|problems| Failure::error(problems.to_string()))?;
    let mut welcome = Welcome::new(&source, &config);
    let mut show = |progress: &Progress<'_>| match progress {
        Progress::Listening { name, listen } => welcome.listens(name, listen),
        Progress::Started => print_text(&welcome.text()),
        Progress::Stopped => print_line("stopped"),
        Progress::Stopping => print_line("stopping"),
        // Whoever reads standard error sees the whole log there.
        Progress::LogLine(_) => {}
        Progress::WaitingForOrphans => {
            print_line("waiting for processes of an earlier supervisor to stop");
        }
    };
    supervisor::run(source.clone(), &mut show)
        .map_err(|error| Failure::error(error.to_string()))?;
    Ok(Exit::Done)
}

/// As [`run`], in a session of its own: tells `start` over standard output, then keeps silent.
///
/// # Errors
/// When it cannot start; that is told over standard output.
pub(crate) fn run_detached(source: Source) -> Result<Exit, Failure> {
    // Fails only for the leader of a group, which has a session to itself already.
    let _ = rustix::process::setsid();
    let mut is_ready = false;
    let mut show = |progress: &Progress<'_>| match progress {
        Progress::Started if !is_ready => {
            is_ready = true;
            let mut stdout = io::stdout();
            let _ = stdout
                .write_all(READY.as_bytes())
                .and_then(|()| stdout.flush());
            silence_stdout();
        }
        Progress::LogLine(told) if !is_ready && told.weight == Weight::Alarm => {
            let about = told.about.as_ref().map_or("postern", InstanceName::as_str);
            print_line(format!("{about}: {}", told.text));
        }
        Progress::Listening { .. } | Progress::Started | Progress::Stopped => {}
        Progress::Stopping | Progress::LogLine(_) | Progress::WaitingForOrphans => {}
    };
    if let Err(error) = supervisor::run(source, &mut show) {
        print_line(error);
        return Ok(Exit::Error);
    }
    Ok(Exit::Done)
}

fn silence_stdout() {
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// Starts the system in the background and waits until it is ready.
///
/// # Errors
/// What the system says when it cannot start; nothing is left running then.
pub(crate) fn start(source: &Source) -> Result<Exit, Failure> {
    // Also where its file has become useless meanwhile.
    let found = System::find(source).map(|at| at.state);
    fail_if_running(found.as_deref().ok())?;
    let config = source.read().map_err(Failure::error)?;
    fail_if_running(Some(&config.state))?;
    let cannot = |error: io::Error| Failure::error(format!("cannot start: {error}"));
    let errors = open_errors(&config.state)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("postern");
    for (name, path) in [("--config", &source.file), ("--state", &source.state)] {
        if let Some(path) = path {
            // What a list of processes shows should not depend on where they were started.
            command
                .arg(name)
                .arg(std::path::absolute(path).map_err(cannot)?);
        }
    }
    command.args(["run", "--detached"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors);
    let mut child = command.spawn().map_err(cannot)?;
    let Some(output) = child.stdout.take() else {
        return Err(Failure::error("cannot start: no pipe"));
    };
    let (said, is_late) = read_until_ready(output, Instant::now() + START_TIME).map_err(cannot)?;
    if let Some(before) = said.strip_suffix(READY) {
        complain(before);
        print_text(&Welcome::new(source, &config).text_for_background(child.id()));
        return Ok(Exit::Done);
    }
    if is_late {
        let text = format!(
            "process {} is not ready yet; see `postern status`",
            child.id()
        );
        return Err(Failure {
            exit: Exit::Partial,
            text,
        });
    }
    let why = if said.is_empty() {
        format!(
            "it ended without a word; see {}",
            config.state.join("log/stderr.log").display()
        )
    } else {
        said
    };
    Err(Failure::error(why))
}

fn fail_if_running(state: Option<&Path>) -> Result<(), Failure> {
    let Some(state) = state else { return Ok(()) };
    match supervisor::running(state) {
        Ok(Some(pid)) => Err(Failure::error(format!(
            "already running as process {pid} in {}",
            state.display()
        ))),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Where the system's processes write what is not for the log: panics, mostly.
fn open_errors(state: &Path) -> Result<File, Failure> {
    let cannot = |path: &Path, error: &io::Error| {
        Failure::error(format!("cannot use {}: {error}", path.display()))
    };
    supervisor::make_layout(state).map_err(|error| Failure::error(error.to_string()))?;
    let path = state.join("log/stderr.log");
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o640).open(&path);
    opened.map_err(|error| cannot(&path, &error))
}

/// What was said until it was ready or had ended; and whether the time was over before.
fn read_until_ready(mut output: impl Read + AsFd, until: Instant) -> io::Result<(String, bool)> {
    let mut said = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let n_ready = {
            let mut ready = [PollFd::new(&output, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut ready, Some(&left)))?
        };
        let mut buffer = [0; 4096];
        let len = if n_ready == 0 {
            0
        } else {
            output.read(&mut buffer)?
        };
        said.extend_from_slice(&buffer[..len]);
        let is_ready = said.ends_with(READY.as_bytes());
        if len == 0 || is_ready {
            return Ok((String::from_utf8_lossy(&said).into_owned(), n_ready == 0));
        }
    }
}

/// Stops the system and waits until all its processes are gone.
///
/// # Errors
/// When nothing runs, or something is left when the time is over.
pub(crate) fn stop(source: &Source) -> Result<Exit, Failure> {
    let at = System::find(source)?;
    let stop_timeout = system::config(source).map_or(STOP_TIME, |config| config.stop_timeout);
    let state = &at.state;
    let look = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => at.forbidden(),
        _ => Failure::error(format!("{}: {error}", state.display())),
    };
    let Some(pid) = supervisor::running(state).map_err(look)? else {
        return Err(at.not_running());
    };
    let request = json!({"verb": "stop", "args": {}});
    let limit = match connection::ask(&at, &request, SILENCE_TIME) {
        Ok(answer) => {
            let limit_ms = answer.end["ok"]["limit_ms"].as_u64();
            limit_ms.map_or(stop_timeout, Duration::from_millis)
        }
        Err(failure) => {
            // A system that has little to finish may be gone before it has answered.
            if supervisor::running(state).map_err(look)? == Some(pid) {
                complain(&format!(
                    "{}; telling the supervisor by signal",
                    failure.text
                ));
                terminate(state, pid).map_err(|error| {
                    Failure::error(format!("process {pid} cannot be told to stop: {error}"))
                })?;
            }
            stop_timeout
        }
    };
    let until = Instant::now() + limit + STOP_SLACK;
    loop {
        let is_gone = supervisor::running(state).map_err(look)?.is_none();
        if is_gone && supervisor::all_gone(state).map_err(look)? {
            print_line("stopped");
            return Ok(Exit::Done);
        }
        if Instant::now() >= until {
            let text = format!("process {pid} or what it started has not stopped in time");
            return Err(Failure::error(text));
        }
        std::thread::sleep(STOP_INTERVAL);
    }
}

/// Tells the supervisor to stop by a signal that can reach no other process: the number is held
/// fast before it is compared with the one under the lock.
fn terminate(state: &Path, pid: u32) -> io::Result<()> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let held = pidfd_open(number.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    if supervisor::running(state)? == Some(pid) {
        pidfd_send_signal(held, Signal::TERM)?;
    }
    Ok(())
}

/// Takes the changed configuration into use.
///
/// # Errors
/// What is wrong with it; then nothing has changed.
pub(crate) fn reload(arguments: &SystemArguments, at: &System) -> Result<Exit, Failure> {
    let answer = connection::ask(at, &json!({"verb": "reload", "args": {}}), RELOAD_TIME)?;
    let ok = &answer.end["ok"];
    if arguments.json {
        print_json(ok);
        return Ok(Exit::Done);
    }
    for line in ok["instances"].as_array().into_iter().flatten() {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        print_line(format!("{:<12} {}", text("instance"), text("text")));
    }
    Ok(Exit::Done)
}
