//! A reference model: what was asked of a spool, what it acknowledged, and what therefore may and
//! must be there after a crash. The invariants are those of `docs/spool-format.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mail::{MessageId, Reply};

use super::fixture::{content, deferral, key, keyed, message, options, stored};
use crate::engine::{Engine, Step};
use crate::simulated::SimulatedDisk;
use crate::{
    Commit, CommitError, Content, Ending, KeyState, Note, OpenError, Options, ReadError, Recovery,
    Spool, Stored,
};

/// Contents of this length and longer go to a file of their own.
const FILE_LEN: usize = 5_500;

/// More steps without a request than any housekeeping takes.
const STEPS_MAX: usize = 2_000;

/// What is known of one message, which is known by its number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Its name, once its acceptance was acknowledged.
    pub(crate) id: Option<MessageId>,
    has_key: bool,
    key_settled: bool,
    /// It was refused for good: nothing of it may be there.
    refused: bool,
    recipients: [KnownRecipient; 2],
    /// A progress was asked for when there may have been no room for the texts of replies.
    may_lack_texts: bool,
    end_asked: bool,
    end_acknowledged: bool,
    /// The message that ends it, and nothing else does.
    notification: Option<u64>,
    /// The message that reports on a recipient, and the progress that it came with.
    report: Option<(u64, u32, u32)>,
}

/// What is known of one of its recipients.
#[derive(Clone, Debug, Default)]
struct KnownRecipient {
    /// The highest progress asked for, and acknowledged.
    version_asked: u32,
    version_acknowledged: u32,
    /// How many attempts and progresses were asked for.
    n_asked: u32,
    /// Whether an attempt is under way, once the last thing asked for is acknowledged.
    under_way: Option<bool>,
}

impl KnownRecipient {
    /// Something is asked for that may or may not come to be; returns which thing it is.
    fn ask(&mut self) -> u32 {
        self.n_asked += 1;
        self.under_way = None;
        self.n_asked
    }

    /// Thing `n` was acknowledged.
    fn acknowledged(&mut self, n: u32, under_way: bool) {
        if n == self.n_asked {
            self.under_way = Some(under_way);
        }
    }
}

pub(crate) struct Trial {
    options: Options,
    pub(crate) spool: Spool,
    pub(crate) engine: Engine,
    pub(crate) known: BTreeMap<u64, Known>,
    /// How many messages were refused for lack of room, and how many outcomes.
    pub(crate) n_refused: u64,
    pub(crate) n_unrecorded: u64,
    /// The most octets by which segments exceeded their bound, after any step.
    pub(crate) excess: u64,
    /// Whether there may be no room for the texts of replies.
    pub(crate) is_tight: bool,
}

enum Asked {
    Accept(u64, Commit<MessageId>),
    /// For a recipient; which of the things asked for about it, and for a progress its version.
    Attempt(u64, u32, u32, Commit<()>),
    Done(u64, Commit<()>),
    Notify(u64, u64, Commit<MessageId>),
    NotifyOf(u64, u32, (u32, u32), u64, Commit<MessageId>),
    Progress(u64, u32, (u32, u32), Commit<()>),
}

/// One thing to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Accept(u64),
    AcceptKeyed(u64),
    /// For a recipient of the message.
    Attempt(u64, u32),
    Done(u64),
    ForgetEpochs,
    ForgetKeysBelow(u64),
    /// The first ends, the second reports on it.
    Notify(u64, u64),
    /// The second reports on a recipient of the first, which goes on with others.
    NotifyOf(u64, u32, u64),
    /// Of a recipient of the message.
    Progress(u64, u32),
}

pub(crate) fn open(disk: &SimulatedDisk) -> Result<(Spool, Recovery, Engine), OpenError> {
    open_with(disk, options())
}

fn open_with(
    disk: &SimulatedDisk,
    options: Options,
) -> Result<(Spool, Recovery, Engine), OpenError> {
    Spool::open_unstarted(Arc::new(disk.clone()), options)
}

impl Trial {
    pub(crate) fn open(disk: &SimulatedDisk) -> Result<Self, OpenError> {
        Self::open_with(disk, options())
    }

    pub(crate) fn open_with(disk: &SimulatedDisk, options: Options) -> Result<Self, OpenError> {
        let (spool, _, engine) = open_with(disk, options.clone())?;
        Ok(Self {
            options,
            spool,
            engine,
            known: BTreeMap::new(),
            n_refused: 0,
            n_unrecorded: 0,
            excess: 0,
            is_tight: false,
        })
    }

    /// Loses the power, and opens what is left.
    pub(crate) fn reopen(&mut self, left: &SimulatedDisk) {
        let opened = open_with(left, self.options.clone());
        let (spool, recovery, engine) = opened.expect("recovers");
        check(&self.known, &spool, &recovery);
        self.learn(&recovery);
        (self.spool, self.engine) = (spool, engine);
    }

    /// What was not acknowledged has come to be or never will, from here on.
    fn learn(&mut self, recovery: &Recovery) {
        let present: BTreeMap<u64, Stored> = stored(recovery)
            .into_iter()
            .map(|stored| (number_of(&stored), stored))
            .collect();
        for (n, known) in &mut self.known {
            let Some(stored) = present.get(n) else {
                known.refused |= known.id.is_none();
                known.end_acknowledged |= known.end_asked;
                continue;
            };
            known.id = Some(stored.id);
            known.end_asked = false;
            known.notification = None;
            for (r, of) in (0..).zip(&mut known.recipients) {
                let version = stored.recipients[r as usize].attempts;
                of.version_asked = version;
                of.version_acknowledged = version;
                of.under_way = Some(stored.under_way.contains(r));
                known.report.take_if(|of| of.1 == r && of.2 > version);
            }
        }
    }

    /// Goes on with what another trial had left.
    pub(crate) fn adopt(&mut self, known: &BTreeMap<u64, Known>) {
        let left = known.iter().filter(|(_, known)| !known.end_asked);
        self.known
            .extend(left.map(|(&n, known)| (n, known.clone())));
    }

    /// Asks for all of it at once, and lets the engine work until it rests.
    pub(crate) fn ask(&mut self, actions: &[Action]) {
        let asked: Vec<Asked> = actions.iter().filter_map(|&a| self.ask_one(a)).collect();
        self.settle();
        for asked in asked {
            self.note(asked);
        }
    }

    /// The messages that are there: accepted, and no end was asked for.
    pub(crate) fn live(&self) -> Vec<u64> {
        let live = self.known.iter();
        live.filter(|(_, known)| known.id.is_some() && !known.end_asked)
            .map(|(&n, _)| n)
            .collect()
    }

    pub(crate) fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            let step = self.engine.step();
            self.excess = self.excess.max(self.over_bound());
            if step == Step::Idle {
                return;
            }
        }
        panic!("housekeeping does not end");
    }

    /// Octets of the contents of all messages that were accepted.
    pub(crate) fn octets_accepted(&self) -> u64 {
        let accepted = self.known.iter().filter(|(_, known)| known.id.is_some());
        accepted.map(|(&n, _)| content_len(n) as u64).sum()
    }

    /// How many segments a sync failed of are still there.
    pub(crate) fn n_failed_segments(&self) -> usize {
        let state = self.spool.shared().lock();
        let segments = state.ledger.segments.values();
        segments.filter(|segment| segment.failed).count()
    }

    /// By how many octets segments exceed their bound.
    pub(crate) fn over_bound(&self) -> u64 {
        let usage = self.spool.usage();
        let bound = 2 * usage.live_bytes + 4 * u64::from(self.options.segment_len);
        usage.segment_bytes.saturating_sub(bound)
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
            Action::Attempt(n, r) => {
                let known = self.known.get_mut(&n)?;
                let id = known.id?;
                let thing = known.recipient(r).ask();
                let promise = self.spool.attempt(id, [r].into_iter().collect());
                Some(Asked::Attempt(n, r, thing, promise))
            }
            Action::Done(n) => {
                let known = self.known.get_mut(&n)?;
                let id = known.id?;
                known.end_asked = true;
                Some(Asked::Done(n, self.spool.done(id)))
            }
            // A spool that failed is not asked to forget.
            Action::ForgetEpochs | Action::ForgetKeysBelow(_) if self.spool.failure().is_some() => {
                None
            }
            Action::ForgetEpochs => {
                self.spool.forget_epochs(key(0).sender, &[]);
                let all = self.known.values_mut();
                all.for_each(|known| known.key_settled = true);
                None
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
            Action::NotifyOf(n, r, m) => {
                let content = self.content(m)?;
                let (id, thing, version) = self.ask_progress(n, r)?;
                self.of(n).report = Some((m, r, version));
                self.known.entry(m).or_default();
                let ending = Ending::Progress(deferral(r, version));
                let promise = self.spool.notify(id, ending, &message(m, 2), content);
                Some(Asked::NotifyOf(n, r, (thing, version), m, promise))
            }
            Action::Progress(n, r) => {
                let (id, thing, version) = self.ask_progress(n, r)?;
                let promise = self.spool.progress(id, deferral(r, version));
                Some(Asked::Progress(n, r, (thing, version), promise))
            }
        }
    }

    /// A new progress of a recipient: of which message, which thing it is, and its version.
    fn ask_progress(&mut self, n: u64, r: u32) -> Option<(MessageId, u32, u32)> {
        let is_tight = self.is_tight;
        let known = self.known.get_mut(&n)?;
        known.may_lack_texts |= is_tight;
        let id = known.id?;
        let of = known.recipient(r);
        of.version_asked += 1;
        Some((id, of.ask(), of.version_asked))
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
            Asked::Attempt(n, r, thing, promise) => {
                if self.is_recorded(&promise) {
                    self.of(n).recipient(r).acknowledged(thing, true);
                }
            }
            Asked::Done(n, promise) => {
                if self.is_recorded(&promise) {
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
            Asked::NotifyOf(n, r, (thing, version), m, promise) => {
                self.note_accepted(m, &promise);
                let is_there = self.of(m).id.is_some();
                let is_refused = self.of(m).refused;
                let known = self.of(n);
                let of = known.recipient(r);
                if is_there {
                    of.version_acknowledged = version;
                    of.acknowledged(thing, false);
                } else if is_refused {
                    of.version_asked -= 1;
                    known.report = None;
                }
            }
            Asked::Progress(n, r, (thing, version), promise) => {
                if self.is_recorded(&promise) {
                    let of = self.of(n).recipient(r);
                    of.version_acknowledged = version;
                    of.acknowledged(thing, false);
                }
            }
        }
    }

    fn note_accepted(&mut self, n: u64, promise: &Commit<MessageId>) {
        match promise.try_take().expect("every commit resolves") {
            Ok(id) => {
                self.of(n).id = Some(id);
                for of in &mut self.of(n).recipients {
                    of.under_way = Some(true);
                }
            }
            Err(CommitError::Full) => {
                self.of(n).refused = true;
                self.n_refused += 1;
            }
            Err(_) => {}
        }
    }

    fn is_recorded(&mut self, promise: &Commit<()>) -> bool {
        let result = promise.try_take();
        // Or it waits for room.
        let is_unrecorded = matches!(result, None | Some(Err(CommitError::Full)));
        self.n_unrecorded += u64::from(is_unrecorded);
        result == Some(Ok(()))
    }

    fn of(&mut self, n: u64) -> &mut Known {
        self.known.entry(n).or_default()
    }
}

impl Known {
    fn recipient(&mut self, r: u32) -> &mut KnownRecipient {
        &mut self.recipients[r as usize]
    }
}

/// Messages from this number on are as small as messages get.
pub(crate) const TINY: u64 = 1_000_000;

pub(crate) fn content_len(n: u64) -> usize {
    let len = if n < TINY {
        300 + n * 977 % 6_000
    } else {
        n % 100
    };
    usize::try_from(len).expect("small")
}

fn number_of(stored: &Stored) -> u64 {
    let sender = stored.message.envelope.sender.as_str();
    let digits: String = sender.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a sender of the fixture")
}

/// Checks every invariant on what recovery gave back.
pub(crate) fn check(known: &BTreeMap<u64, Known>, spool: &Spool, recovery: &Recovery) {
    let damage = |note: &&Note| matches!(note, Note::Damage { .. } | Note::SegmentsMissing { .. });
    assert_eq!(recovery.notes.iter().find(damage), None);
    let mut present = BTreeMap::new();
    for stored in stored(recovery) {
        let n = number_of(&stored);
        check_present(known.get(&n), &stored, spool);
        assert!(present.insert(n, stored).is_none(), "{n} is there twice");
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
        if let (Some((m, r, version)), Some(stored)) = (known_of.report, present.get(&n)) {
            let is_reported = stored.recipients[r as usize].attempts >= version;
            let m_lives = present.contains_key(&m) || known[&m].end_asked;
            assert_eq!(is_reported, m_lives, "{n} and its report {m}");
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
    let mut expected = if known.has_key {
        keyed(n, 2)
    } else {
        message(n, 2)
    };
    let mut due = vec![expected.next_due];
    for (r, of) in (0..).zip(&known.recipients) {
        let state = &stored.recipients[r as usize];
        let versions = of.version_acknowledged..=of.version_asked;
        assert!(
            versions.contains(&state.attempts),
            "{n} has {state:?} of {known:?}"
        );
        let progress = deferral(r, state.attempts);
        if state.attempts > 0 {
            due.push(progress.next_due);
            let mut expected = progress.recipients[0].1.clone();
            let text = state.reply.as_ref().map(Reply::text);
            if known.may_lack_texts && text == Some("") {
                expected.reply = expected.reply.map(|r| Reply::new(r.code, r.enhanced, ""));
            }
            assert_eq!(*state, expected);
        } else {
            assert_eq!(state.handoff, expected.handoff);
        }
        if let Some(under_way) = of.under_way {
            assert_eq!(
                stored.under_way.contains(r),
                under_way,
                "{n} to {r}: {known:?}"
            );
        }
    }
    // The last progress decides when it is due, whosever it was.
    assert!(
        due.contains(&stored.message.next_due)
            && (due.len() == 1 || stored.message.next_due != due[0])
    );
    expected.next_due = stored.message.next_due;
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

/// What damage did.
#[derive(Debug, Default)]
pub(crate) struct Deviations {
    /// Messages that are gone, came back, are in an older state, or cannot be read.
    pub(crate) messages: BTreeSet<u64>,
    /// Messages whose key is forgotten.
    pub(crate) keys: BTreeSet<u64>,
    /// Whether one of the messages says that it is damaged when it is read.
    pub(crate) is_damaged_to_read: bool,
}

/// Finds out what damage did, where everything asked for had been acknowledged. What is there and
/// never was is a panic.
pub(crate) fn deviations(
    known: &BTreeMap<u64, Known>,
    spool: &Spool,
    recovery: &Recovery,
) -> Deviations {
    let mut found = Deviations::default();
    let mut present = BTreeSet::new();
    for (id, stored) in recovery.messages() {
        let stored = match stored {
            Ok(stored) => stored,
            Err(ReadError::Damaged(_) | ReadError::Io(_)) => {
                let mut all = known.iter();
                let n = all.find_map(|(&n, known)| (known.id == Some(id)).then_some(n));
                let n = n.expect("only what was accepted is there");
                present.insert(n);
                found.messages.insert(n);
                found.is_damaged_to_read = true;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let n = number_of(&stored);
        let known = &known[&n];
        assert_eq!(known.id, Some(stored.id));
        assert!(present.insert(n), "{n} is there twice");
        let expected = if known.has_key {
            keyed(n, 2)
        } else {
            message(n, 2)
        };
        assert_eq!(stored.message.envelope, expected.envelope);
        assert_eq!(stored.message.provenance, expected.provenance);
        let mut is_older = known.end_acknowledged;
        for (r, of) in (0..).zip(&known.recipients) {
            let state = &stored.recipients[r as usize];
            assert!(state.attempts <= of.version_asked);
            if state.attempts > 0 {
                assert_eq!(*state, deferral(r, state.attempts).recipients[0].1);
            }
            is_older |= state.attempts < of.version_acknowledged;
            is_older |= of.under_way != Some(stored.under_way.contains(r));
        }
        let read = spool.reader(stored.id);
        match read.and_then(|mut reader| reader.read_all()) {
            Ok(bytes) => assert_eq!(bytes, content(n, content_len(n))),
            Err(ReadError::Damaged(_) | ReadError::Io(_)) => {
                found.is_damaged_to_read = true;
                is_older = true;
            }
            Err(error) => panic!("{n}: {error}"),
        }
        if is_older {
            found.messages.insert(n);
        }
    }
    for (&n, known) in known {
        if !known.end_acknowledged && !present.contains(&n) {
            found.messages.insert(n);
        }
        if known.has_key && !matches!(spool.lookup_key(&key(n)), KeyState::Accepted(_)) {
            found.keys.insert(n);
        }
    }
    found
}
