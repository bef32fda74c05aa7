//! The supervisor's loop: one thing happens at a time, and after each everything that is due is
//! done.

use std::io;

use config::{Config, InstanceConfig};
use mail::{InstanceName, Moment, Timestamp};
use net::Clock;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::certificates::Certificates;
use super::child::{Child, ProcessId, Word};
use super::limits::WORDS_WAITING_MAX;
use super::member::{Member, Presence, Who};
use super::reload::Reloading;
use super::settings::Stranded;
use super::state::StateDirectory;
use super::takeover::Owed;
use super::wiring::Wiring;
use super::{Progress, Source};
use crate::channel::{FromChild, LogLine, ToChild, Weight};

/// A stop that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopping {
    /// When the last instance is to be gone.
    pub(super) deadline: Moment,
}

/// Everything that the supervisor knows.
pub(super) struct Watch<'a> {
    pub(super) source: Source,
    pub(super) config: Config,
    pub(super) state: StateDirectory,
    pub(super) wiring: Wiring,
    pub(super) certificates: Certificates,
    pub(super) clock: Clock,
    /// Control first, then the instances in the order of the configuration.
    pub(super) members: Vec<Member>,
    pub(super) reloading: Option<Reloading>,
    /// Processes that were started for a reload that did not come about.
    pub(super) dismissed: Vec<Child>,
    /// Who has been told of a reload and has not answered, also after it was given up: what comes
    /// late must not be taken for an answer to the next question.
    pub(super) owing: Vec<ProcessId>,
    /// Reloads that are in force and wait to be answered.
    pub(super) owed: Vec<Owed>,
    pub(super) stopping: Option<Stopping>,
    /// Spools that nobody can empty.
    pub(super) stranded: Vec<Stranded>,
    /// When this process started.
    pub(super) started_at: Timestamp,
    /// Whether all members have been ready once.
    started: bool,
    last_process: u64,
    speak: mpsc::Sender<(ProcessId, Word)>,
    words: mpsc::Receiver<(ProcessId, Word)>,
    signals: Signals,
    show: &'a mut dyn FnMut(&Progress<'_>),
}

/// The signals that mean something.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// What wakes the loop.
enum Wake {
    Reload,
    Stop,
    Time,
    Word(ProcessId, Word),
}

impl<'a> Watch<'a> {
    /// Nothing is started yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub(super) fn new(
        source: Source,
        config: Config,
        state: StateDirectory,
        wiring: Wiring,
        clock: Clock,
        show: &'a mut dyn FnMut(&Progress<'_>),
    ) -> io::Result<Self> {
        let (speak, words) = mpsc::channel(WORDS_WAITING_MAX);
        let now = clock.now();
        let instances = config
            .instances
            .iter()
            .map(|of| Who::Instance(of.name.clone()));
        let members = std::iter::once(Who::Control).chain(instances);
        let signals = Signals {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        Ok(Self {
            certificates: Certificates::of(&config, now),
            members: members.map(|who| Member::new(who, now)).collect(),
            source,
            config,
            state,
            wiring,
            clock,
            reloading: None,
            dismissed: Vec::new(),
            owing: Vec::new(),
            owed: Vec::new(),
            stopping: None,
            stranded: Vec::new(),
            started_at: clock.timestamp(),
            started: false,
            last_process: 0,
            speak,
            words,
            signals,
            show,
        })
    }

    /// Runs until everything is stopped.
    pub(super) async fn run(&mut self) {
        self.store_settings();
        loop {
            let now = self.clock.now();
            let due = self.do_what_is_due(now);
            if self
                .members
                .iter()
                .all(|member| matches!(member.presence, Presence::Gone))
            {
                break;
            }
            match self.wait(due).await {
                Wake::Reload => self.reload(None, self.clock.now()),
                Wake::Stop => self.stop(self.clock.now()),
                Wake::Time => {}
                Wake::Word(id, word) => self.hear(id, word, self.clock.now()),
            }
        }
        (self.show)(&Progress::Stopped);
    }

    async fn wait(&mut self, due: Option<Moment>) -> Wake {
        let clock = self.clock;
        let time = async {
            match due {
                Some(due) => clock.sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.signals.hangup.recv() => Wake::Reload,
            _ = self.signals.interrupt.recv() => Wake::Stop,
            _ = self.signals.terminate.recv() => Wake::Stop,
            Some((id, word)) = self.words.recv() => Wake::Word(id, word),
            () = time => Wake::Time,
        }
    }

    /// Does everything whose time has come; when to look again.
    fn do_what_is_due(&mut self, now: Moment) -> Option<Moment> {
        if self.stopping.is_none() {
            // An instance that a reload removed, and that has stopped.
            self.members
                .retain(|member| !matches!(member.presence, Presence::Gone));
        }
        let due = [
            self.stop_what_may_stop(now),
            self.start_what_may_start(now),
            self.refuse_where_nobody_serves(now),
            self.beat(now),
            self.take_up_certificates(now),
            self.continue_reload(now),
            self.give_owed_answers(now),
        ];
        if !self.started && self.all_serve() {
            self.started = true;
            (self.show)(&Progress::Started);
        }
        due.into_iter().flatten().min()
    }

    /// Whether every process is ready, but for those that only empty a queue.
    fn all_serve(&self) -> bool {
        let is_leaving = |member: &Member| {
            let name = member.who.instance();
            name.is_some_and(|name| self.config.is_leaving(name))
        };
        let mut members = self.members.iter();
        members.all(|member| member.is_ready() || is_leaving(member))
    }

    /// Takes in what is reported of a process.
    fn hear(&mut self, id: ProcessId, word: Word, now: Moment) {
        let Some(at) = self.member_of(id) else {
            return self.hear_successor(id, word);
        };
        match word {
            Word::Exited(status) => self.bury(at, id, &status, now),
            Word::Garbled(what) => {
                let text = format!("sent something unreadable ({what}) and is killed");
                self.note(at, Weight::Alarm, &text);
                self.members[at]
                    .children()
                    .filter(|child| child.id == id)
                    .for_each(Child::kill);
            }
            Word::Said(up) => self.hear_said(at, id, up, now),
        }
    }

    fn hear_said(&mut self, at: usize, id: ProcessId, up: FromChild, now: Moment) {
        match up {
            FromChild::Committed => self.reload_committed(id),
            FromChild::Drained => self.hear_drained(at, id),
            FromChild::Failed(why) => {
                if let Some(child) = self.child_mut(at, id) {
                    child.failed = Some(shortened(&why).into());
                }
            }
            FromChild::Pong(number) => {
                let beat = self
                    .child_mut(at, id)
                    .and_then(|child| child.heartbeat.as_mut());
                if beat.is_some_and(|beat| beat.answered(number, now)) {
                    self.note(at, Weight::Note, "answers again");
                }
            }
            FromChild::Prepared => self.reload_prepared(id),
            FromChild::Ready => self.greet(at, id, now),
            FromChild::Refused(why) => self.reload_refused(id, shortened(&why)),
            FromChild::Request(json) => {
                if self.members[at].who == Who::Control {
                    self.answer_request(&json, now);
                }
            }
        }
    }

    /// Gives something to the log, by way of control, and to whoever watches.
    pub(super) fn note(&mut self, at: usize, weight: Weight, text: &str) {
        let about = self.members[at].who.instance().cloned();
        let text = match about {
            None => format!("control {text}").into(),
            Some(_) => text.into(),
        };
        self.tell(LogLine {
            at: self.clock.timestamp(),
            about,
            weight,
            text,
        });
    }

    /// Gives something about the whole system to the log.
    pub(super) fn note_of_all(&mut self, weight: Weight, text: &str) {
        let at = self.clock.timestamp();
        self.tell(LogLine {
            at,
            about: None,
            weight,
            text: text.into(),
        });
    }

    fn tell(&mut self, told: LogLine) {
        self.show(&Progress::LogLine(&told));
        if let Some(control) = self.control() {
            // A control that reads nothing has been reported; the log is its loss to tell.
            let _ = control.tell(ToChild::Tell(told));
        }
    }

    /// Shows something to whoever started the supervisor.
    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        (self.show)(progress);
    }

    /// The process that is control.
    pub(super) fn control(&self) -> Option<&Child> {
        self.members
            .iter()
            .find(|member| member.who == Who::Control)
            .and_then(Member::child)
    }

    /// The number for a new process, and where its words go.
    pub(super) fn new_process(&mut self) -> (ProcessId, mpsc::Sender<(ProcessId, Word)>) {
        self.last_process += 1;
        (ProcessId(self.last_process), self.speak.clone())
    }

    /// The configuration of the instance at a place; `None` for control.
    pub(super) fn instance_at(&self, at: usize) -> Option<&InstanceConfig> {
        self.config.instance(self.members[at].who.instance()?)
    }

    /// The place of an instance.
    pub(super) fn place_of(&self, name: &InstanceName) -> Option<usize> {
        self.members
            .iter()
            .position(|member| member.who.instance() == Some(name))
    }

    fn member_of(&self, id: ProcessId) -> Option<usize> {
        self.members
            .iter()
            .position(|member| member.children().any(|child| child.id == id))
    }

    fn child_mut(&mut self, at: usize, id: ProcessId) -> Option<&mut Child> {
        self.members[at].children_mut().find(|child| child.id == id)
    }
}

/// A text of a child's, cut to what is passed on.
pub(super) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(super::limits::TEXT_LEN_MAX)]
}
