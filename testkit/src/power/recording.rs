//! A system under strace, and what was recorded of it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::call::{self, Edge};
use super::disk::{Disk, PowerCut};
use super::operation::{Data, Operation, RECORDED};
use crate::postern::is_alive;
use crate::wait;

/// The longest text that strace writes, in octets: as much of a content as is written at once. Only
/// the zeros of a new segment are longer.
const TEXT_LEN_MAX: &str = "393216";

/// Records what is started under it.
#[derive(Debug)]
pub struct Recorder {
    strace: PathBuf,
    trace: PathBuf,
}

impl Recorder {
    /// One that runs `strace` and lets it write to `trace`.
    pub fn new(strace: &Path, trace: &Path) -> Self {
        Self {
            strace: strace.to_owned(),
            trace: trace.to_owned(),
        }
    }

    /// The words that stand before the command line of what is recorded.
    pub fn words(&self) -> Vec<OsString> {
        // The tracer is a grandchild (-D), so that the program stays the child that was started.
        let options = [
            "-D",
            "--seccomp-bpf",
            "-f",
            "-yy",
            "-s",
            TEXT_LEN_MAX,
            "-e",
            RECORDED,
            "-o",
        ];
        let mut words = vec![self.strace.clone().into_os_string()];
        words.extend(options.map(OsString::from));
        words.push(self.trace.clone().into_os_string());
        words
    }

    /// The process that traces `pid`.
    ///
    /// # Panics
    /// When nobody does.
    #[track_caller]
    pub fn tracer_of(pid: u32) -> u32 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        let tracer = line.and_then(|pid| pid.trim().parse().ok()).unwrap_or(0);
        assert_ne!(tracer, 0, "nobody traces {pid}");
        tracer
    }

    /// What was recorded of the directory `state`, which was not there at the start and whose own
    /// directory nobody else changes, once the system has ended and `tracer` with it.
    ///
    /// # Panics
    /// When a call is not known to the model, or what the model has in the end is not what lies
    /// there.
    #[track_caller]
    pub fn finish(&self, tracer: u32, state: &Path) -> Recording {
        self.finish_from(tracer, state, |root| Moment {
            number: 0,
            disk: Disk::new(root),
            said: String::new(),
            heard: String::new(),
        })
    }

    /// As [`Self::finish`], where what `cut` left at `moment` was there at the start. What clients
    /// had been told by then is part of what they were told; what other hosts had said is not.
    ///
    /// # Panics
    /// As [`Self::finish`].
    #[track_caller]
    pub fn finish_after(
        &self,
        tracer: u32,
        state: &Path,
        moment: &Moment,
        cut: PowerCut,
    ) -> Recording {
        self.finish_from(tracer, state, |root| Moment {
            number: 0,
            disk: moment.disk.after(cut, root),
            said: moment.said.clone(),
            heard: String::new(),
        })
    }

    #[track_caller]
    fn finish_from(
        &self,
        tracer: u32,
        state: &Path,
        start: impl FnOnce(&str) -> Moment,
    ) -> Recording {
        wait::until_true("strace writes its last line", || !is_alive(tracer));
        let root = state.parent().expect("a directory of ours is in another");
        let start = start(&root.display().to_string());
        let state = state.display().to_string();
        let file = File::open(&self.trace).expect("strace wrote a file");
        let (calls, all) = call::read(BufReader::new(file)).expect("the recording can be read");
        let operations = calls.iter().map(|call| Operation::of(call, &state));
        let recording = Recording {
            operations: operations.collect(),
            edges: all,
            start,
        };
        let end = recording.play(&mut |_| {});
        let difference = end.disk.difference().expect("what was recorded is there");
        assert_eq!(difference, None, "what is there is not what was recorded");
        recording
    }
}

/// What a system did.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What was there.
    start: Moment,
    operations: Vec<Option<Operation>>,
    edges: Vec<Edge>,
}

/// A moment of a recording: after the entry or the return of a call.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Which one, in the order of time.
    pub number: usize,
    /// The disk.
    pub disk: Disk,
    said: String,
    heard: String,
}

impl Moment {
    /// Whether a client may have been told this.
    pub fn has_said(&self, text: &str) -> bool {
        self.said.contains(text)
    }

    /// How often clients were told this.
    pub fn n_said(&self, text: &str) -> usize {
        self.said.matches(text).count()
    }

    /// Whether another host was heard to say this.
    pub fn has_heard(&self, text: &str) -> bool {
        self.heard.contains(text)
    }

    /// How often another host was heard to say this.
    pub fn n_heard(&self, text: &str) -> usize {
        self.heard.matches(text).count()
    }

    /// Stands for what `cut` leaves: where it is the same, that is the same.
    pub fn digest(&self, cut: PowerCut) -> u64 {
        self.disk.digest(cut)
    }

    /// What `cut` leaves depends on this alone. It changes more often, and costs nothing.
    pub const fn version(&self, cut: PowerCut) -> (usize, usize) {
        self.disk.version(cut)
    }
}

impl Recording {
    /// What was written at which offset of which file, in the order of the entries, without what
    /// strace cut short.
    pub fn writes(&self) -> impl Iterator<Item = (&str, u64, &[u8])> {
        let operations = self.operations.iter().flatten();
        operations.filter_map(|operation| match operation {
            Operation::Write {
                path, offset, data, ..
            } => {
                let octets = data.first().and_then(Data::octets)?;
                Some((path.as_str(), offset.as_ref().copied()?, octets))
            }
            _ => None,
        })
    }

    /// Calls `look` at each moment at which something happened that matters, in order of time.
    pub fn visit(&self, mut look: impl FnMut(&Moment)) {
        self.play(&mut look);
    }

    /// As [`Self::visit`]; the last moment.
    fn play(&self, look: &mut dyn FnMut(&Moment)) -> Moment {
        let mut moment = self.start.clone();
        let mut entered = vec![0; self.operations.len()];
        for (number, edge) in self.edges.iter().enumerate() {
            let (Edge::Entered(index) | Edge::Returned(index)) = *edge;
            let Some(operation) = &self.operations[index] else {
                continue;
            };
            match (edge, operation) {
                (Edge::Entered(_), Operation::Say { text }) => moment.said.push_str(text),
                (Edge::Returned(_), Operation::Hear { text }) => moment.heard.push_str(text),
                (Edge::Entered(_), _) => moment.disk.enter(index, operation),
                (Edge::Returned(_), _) => {
                    moment.disk.leave(index, operation, entered[index], number);
                }
            }
            if matches!(edge, Edge::Entered(_)) {
                entered[index] = number;
            }
            moment.number = number;
            look(&moment);
        }
        moment
    }

    /// The same without the syncs of what has a path that `is_forgotten` wants: what a program
    /// would do that forgets them. Returns how many these were.
    pub fn without_syncs(&self, is_forgotten: impl Fn(&str) -> bool) -> (Self, usize) {
        let mut recording = self.clone();
        let mut n = 0;
        for operation in &mut recording.operations {
            if matches!(operation, Some(Operation::Sync { path }) if is_forgotten(path)) {
                *operation = None;
                n += 1;
            }
        }
        (recording, n)
    }
}
