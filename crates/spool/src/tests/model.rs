//! A reference model: what was asked of a spool, what it acknowledged, and what therefore may and
//! must be there after a crash. The invariants are those of `docs/spool-format.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use mail::MessageId;

use super::fixture::{content, deferral, key, keyed, message, options, stored};
use crate::engine::{Engine, Step};
use crate::simulated::SimulatedDisk;
use crate::{
    Commit, CommitError, Content, Ending, KeyState, Note, OpenError, Recovery, Spool, Stored,
};

/// Contents of this length and longer go to a file of their own.
const FILE_LEN: usize = 5_500;

/// More steps without a request than any housekeeping takes.
const STEPS_MAX: usize = 2_000;

/// What is known of one message, which is known by its number.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Its name, once its acceptance was acknowledged.
    id: Option<MessageId>,
    has_key: bool,
    key_settled: bool,
    /// It was refused for good: nothing of it may be there.
    refused: bool,
    /// The highest progress asked for, and acknowledged.
    version_asked: u32,
    version_acknowledged: u32,
    /// Attempts acknowledged since the last progress was asked for.
    attempts: u32,
    end_asked: bool,
    end_acknowledged: bool,
    /// The message that ends it, and nothing else does.
    notification: Option<u64>,
}

pub(crate) struct Trial {
    pub(crate) spool: Spool,
    pub(crate) engine: Engine,
    pub(crate) known: BTreeMap<u64, Known>,
    /// Whether accepting was refused for lack of room.
    pub(crate) was_full: bool,
}

enum Asked {
    Accept(u64, Commit<MessageId>),
    Attempt(u64, Commit<()>),
    Done(u64, Commit<()>),
    Notify(u64, u64, Commit<MessageId>),
    Progress(u64, u32, Commit<()>),
}

/// One thing to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Accept(u64),
    AcceptKeyed(u64),
    Attempt(u64),
    Done(u64),
    ForgetKeysBelow(u64),
    /// The first ends, the second reports on it.
    Notify(u64, u64),
    Progress(u64),
}

pub(crate) fn open(disk: &SimulatedDisk) -> Result<(Spool, Recovery, Engine), OpenError> {
    Spool::open_unstarted(Arc::new(disk.clone()), options())
}

impl Trial {
    pub(crate) fn open(disk: SimulatedDisk) -> Result<Self, OpenError> {
        let (spool, _, engine) = open(&disk)?;
        Ok(Self {
            spool,
            engine,
            known: BTreeMap::new(),
            was_full: false,
        })
    }

    /// Asks for all of it at once, and lets the engine work until it rests.
    pub(crate) fn ask(&mut self, actions: &[Action]) {
        let asked: Vec<Asked> = actions.iter().filter_map(|&a| self.ask_one(a)).collect();
        self.settle();
        for asked in asked {
            self.note(asked);
        }
    }

    pub(crate) fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            if self.engine.step() == Step::Idle {
                return;
            }
        }
        panic!("housekeeping does not end");
    }

    fn ask_one(&mut self, action: Action) -> Option<Asked> {
        match action {
            Action::Accept(n) => {
                self.known.entry(n).or_default();
                let content = self.content(n)?;
                let promise = self.spool.accept(&message(n, 2), content);
                Some(Asked::Accept(n, promise))
            }
            Action::AcceptKeyed(n) => {
                self.known.entry(n).or_default().has_key = true;
                let content = self.content(n)?;
                let promise = self.spool.accept(&keyed(n, 2), content);
                Some(Asked::Accept(n, promise))
            }
            Action::Attempt(n) => {
                let id = self.known[&n].id?;
                Some(Asked::Attempt(n, self.spool.attempt(id)))
            }
            Action::Done(n) => {
                let known = self.known.get_mut(&n)?;
                let id = known.id?;
                known.end_asked = true;
                Some(Asked::Done(n, self.spool.done(id)))
            }
            Action::ForgetKeysBelow(below) => {
                self.spool.forget_keys(key(0).sender, key(0).epoch, below);
                let settled = self.known.range_mut(..below);
                settled.for_each(|(_, known)| known.key_settled = true);
                None
            }
            Action::Notify(n, m) => {
                let content = self.content(m)?;
                let known = self.known.get_mut(&n)?;
                let id = known.id?;
                known.end_asked = true;
                known.notification = Some(m);
                self.known.entry(m).or_default();
                let promise = self.spool.notify(id, Ending::Done, &message(m, 2), content);
                Some(Asked::Notify(n, m, promise))
            }
            Action::Progress(n) => {
                let known = self.known.get_mut(&n)?;
                let id = known.id?;
                known.version_asked += 1;
                known.attempts = 0;
                let version = known.version_asked;
                let promise = self.spool.progress(id, deferral(0, version));
                Some(Asked::Progress(n, version, promise))
            }
        }
    }

    /// The content of a message; in a file if it is long, and `None` if there can be no file.
    fn content(&self, n: u64) -> Option<Content> {
        let bytes = content(n, content_len(n));
        if bytes.len() < FILE_LEN {
            return Some(Content::Bytes(bytes.into()));
        }
        let mut file = self.spool.content_file().ok()?;
        file.write(&bytes).ok()?;
        Some(Content::File(file.commit().ok()?))
    }

    fn note(&mut self, asked: Asked) {
        match asked {
            Asked::Accept(n, promise) => self.note_accepted(n, &promise),
            Asked::Attempt(n, promise) => {
                if promise.try_take() == Some(Ok(())) {
                    self.of(n).attempts += 1;
                }
            }
            Asked::Done(n, promise) => {
                if promise.try_take() == Some(Ok(())) {
                    self.of(n).end_acknowledged = true;
                }
            }
            Asked::Notify(n, m, promise) => {
                self.note_accepted(m, &promise);
                if self.of(m).id.is_some() {
                    self.of(n).end_acknowledged = true;
                } else if self.of(m).refused {
                    self.of(n).end_asked = false;
                    self.of(n).notification = None;
                }
            }
            Asked::Progress(n, version, promise) => {
                if promise.try_take() == Some(Ok(())) {
                    self.of(n).version_acknowledged = version;
                }
            }
        }
    }

    fn note_accepted(&mut self, n: u64, promise: &Commit<MessageId>) {
        match promise.try_take().expect("every commit resolves") {
            Ok(id) => self.of(n).id = Some(id),
            Err(CommitError::Full) => {
                self.of(n).refused = true;
                self.was_full = true;
            }
            Err(_) => {}
        }
    }

    fn of(&mut self, n: u64) -> &mut Known {
        self.known.entry(n).or_default()
    }
}

pub(crate) fn content_len(n: u64) -> usize {
    usize::try_from(300 + n * 977 % 6_000).expect("small")
}

fn number_of(stored: &Stored) -> u64 {
    let sender = stored.message.envelope.sender.as_str();
    let digits: String = sender.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a sender of the fixture")
}

/// Checks every invariant on what recovery gave back.
pub(crate) fn check(known: &BTreeMap<u64, Known>, spool: &Spool, recovery: &Recovery) {
    let damage = |note: &&Note| matches!(note, Note::Damage { .. });
    assert_eq!(recovery.notes.iter().find(damage), None);
    let mut present = BTreeMap::new();
    for stored in stored(recovery) {
        let n = number_of(&stored);
        check_present(known.get(&n), &stored, spool);
        assert!(present.insert(n, stored.id).is_none(), "{n} is there twice");
    }
    for (&n, known_of) in known {
        let is_present = present.contains_key(&n);
        if known_of.id.is_some() && !known_of.end_asked {
            assert!(is_present, "{n} was acknowledged and is gone");
        }
        if let Some(m) = known_of.notification {
            let m_known = &known[&m];
            let m_lives = present.contains_key(&m) || m_known.end_asked;
            assert_ne!(is_present, m_lives, "{n} and its notification {m}");
        }
        if known_of.has_key && !known_of.key_settled {
            check_key(n, known_of, is_present, spool);
        }
    }
}

fn check_present(known: Option<&Known>, stored: &Stored, spool: &Spool) {
    let n = number_of(stored);
    let known = known.expect("only what was asked for is there");
    assert!(!known.end_acknowledged, "{n} was done and came back");
    assert!(!known.refused, "{n} was refused and is there");
    assert!(
        known.id.is_none_or(|id| id == stored.id),
        "{n} has another id"
    );
    let version = stored.recipients[0].attempts;
    assert!(
        (known.version_acknowledged..=known.version_asked).contains(&version),
        "{n} has state {version} of {known:?}"
    );
    if version == known.version_acknowledged && version == known.version_asked {
        assert!(stored.unfinished >= known.attempts, "{n}: {known:?}");
    }
    let mut expected = if known.has_key {
        keyed(n, 2)
    } else {
        message(n, 2)
    };
    if version > 0 {
        let progress = deferral(0, version);
        expected.next_due = progress.next_due;
        expected.handoff = progress.handoff;
        assert_eq!(stored.recipients[0], progress.recipients[0].1);
    }
    assert_eq!(stored.message, expected);
    let read = spool.reader(stored.id).expect("there").read_all();
    assert_eq!(read.expect("whole"), content(n, content_len(n)));
}

fn check_key(n: u64, known: &Known, is_present: bool, spool: &Spool) {
    match spool.lookup_key(&key(n)) {
        KeyState::Accepted(set) => assert_eq!(set.len(), 2),
        KeyState::Unknown => {
            assert!(known.id.is_none(), "the key of {n} is forgotten");
            assert!(!is_present, "{n} is there without its key");
        }
        KeyState::Pending(_) => panic!("nothing is under way"),
    }
    if known.id.is_none() && !is_present && !known.end_asked {
        // Its sender would take it for delivered.
        assert!(
            matches!(spool.lookup_key(&key(n)), KeyState::Unknown),
            "the key of {n} is known and the message is not there"
        );
    }
}
