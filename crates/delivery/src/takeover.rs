//! Attempts that go on while a new process takes the spool.
//!
//! A host may take ten minutes for its last reply (RFC 5321 §4.5.3.2.6). The old process waits for
//! it without the spool, and what it comes to is recorded by the new process, which leaves those
//! recipients alone until then. An attempt that has sent no content yet is cut off instead: the new
//! process makes it, by its own configuration.
//!
//! # Guarantees
//! Of a recipient no two processes make an attempt at a time, unless it goes to the next instance
//! under a key, which makes a repetition harmless. An outcome that was taken twice is recorded
//! once. Where the old process ends without an outcome, the recipient is tried again, as after a
//! crash.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mail::dsn::Action;
use mail::{Disposition, HandoffKey, MessageId, Outcome};
use queue::DestinationId;
use spool::{ReadError, Stored};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::delivery::{Delivery, State};
use crate::record::{CarriedBy, Tried};
use crate::transport::{Handoff, Transport};

/// Recipients of a message whose attempt is under way in another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The message.
    pub id: MessageId,
    /// Its recipients, by their index in the envelope.
    pub recipients: Vec<u32>,
}

/// What an attempt came to whose process had no spool any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateOutcome {
    /// The message.
    pub id: MessageId,
    /// What came of its recipients.
    pub recipients: Vec<LateRecipient>,
}

/// What came of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateRecipient {
    /// Its index in the envelope.
    pub index: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// What carried it, as the log names it.
    pub transport: Box<str>,
    /// The host that it was sent to, where it was one outside.
    pub host: Option<Box<str>>,
    /// What a sender who asks for it is to be told, where it was delivered.
    pub success: Option<Action>,
}

/// What a process that is about to give up its spool knows of its attempts.
#[derive(Debug, Default)]
pub(crate) struct Carrying {
    under_way: BTreeMap<(MessageId, DestinationId), Begun>,
    /// Where outcomes go that cannot be recorded here any more.
    leaving: watch::Sender<Option<UnboundedSender<LateOutcome>>>,
}

/// How far an attempt has come.
#[derive(Debug, Default)]
struct Begun {
    /// The recipients that were begun with.
    recipients: Vec<u32>,
    /// Whether the host may have the content of any of them.
    content_begun: Arc<AtomicBool>,
}

/// An attempt that may go on; it ends early where the process leaves its spool before the host can
/// have anything.
pub(crate) struct GoesOn {
    pub(crate) content_begun: Arc<AtomicBool>,
    leaving: watch::Receiver<Option<UnboundedSender<LateOutcome>>>,
}

impl GoesOn {
    /// What came of `work`, unless it was cut off. Pinned by the caller, since an `async fn` keeps
    /// its arguments twice, and all that an attempt does is in this one.
    pub(crate) async fn unless_cut<T>(
        mut self,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let cut = async {
            // The sender lives as long as the deliveries.
            let left = self.leaving.wait_for(Option::is_some).await.is_ok();
            if !left || self.content_begun.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = cut => None,
            done = work => Some(done),
        }
    }
}

impl Carrying {
    /// An attempt goes on with these. `None` where it must not, as the spool is about to be another
    /// process's, which would try them too.
    pub(crate) fn begin(
        &mut self,
        attempt: (MessageId, DestinationId),
        recipients: &[u32],
        handoff: Option<HandoffKey>,
    ) -> Option<GoesOn> {
        if self.leaving.borrow().is_some() {
            return None;
        }
        let begun = self.under_way.entry(attempt).or_default();
        if handoff.is_none() {
            begun.recipients.extend(recipients);
        }
        Some(GoesOn {
            content_begun: Arc::clone(&begun.content_begun),
            leaving: self.leaving.subscribe(),
        })
    }

    /// An attempt is over; where its outcome goes, if it is not to be recorded here.
    pub(crate) fn end(
        &mut self,
        attempt: (MessageId, DestinationId),
    ) -> Option<UnboundedSender<LateOutcome>> {
        self.under_way.remove(&attempt)?;
        self.leaving.borrow().clone()
    }
}

impl Delivery {
    /// To be called when [`Self::stop`] takes too long. Waits until every outcome that there is has
    /// been recorded, and those are cut off that have sent nothing; from then on outcomes go to
    /// `outcomes`, and the spool may be closed. Returns the attempts that are under way, whose end
    /// is that of another [`Self::stop`].
    pub async fn leave_attempts(&self, outcomes: UnboundedSender<LateOutcome>) -> Vec<Unfinished> {
        self.state().carrying.leaving.send_replace(Some(outcomes));
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                let n_carried = state.carrying.n_with_content();
                if usize::try_from(state.queue.totals().n_under_way) == Ok(n_carried) {
                    return state.carrying.unfinished();
                }
            }
            tokio::select! {
                () = changed => {}
                // The driver waits for the same sign and may have taken it.
                () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {}
            }
        }
    }

    /// Leaves these recipients alone until [`Self::take_outcome`] or [`Self::expect_no_more`]. To
    /// be called before the queue is filled by recovery.
    pub fn expect_outcomes(&self, unfinished: &[Unfinished]) {
        let mut state = self.state();
        for Unfinished { id, recipients } in unfinished {
            let away = state.away.entry(*id).or_default();
            recipients.iter().for_each(|index| away.insert(*index));
        }
    }

    /// Records what an attempt of an earlier process came to.
    pub async fn take_outcome(self: &Arc<Self>, late: LateOutcome) {
        let stored = match self.read(late.id).await {
            Ok(stored) => stored,
            // Recorded before: the message has ended.
            Err(ReadError::Unknown(id)) => return drop(self.state().away.remove(&id)),
            Err(error) => return self.note_unreadable(late.id, &error),
        };
        let settings = Arc::clone(&self.state().settings);
        let is_open = |recipient: &LateRecipient| {
            let place = usize::try_from(recipient.index).unwrap_or(usize::MAX);
            let state = stored.recipients.get(place);
            state.is_some_and(|state| state.disposition == Disposition::Pending)
        };
        let late: Vec<_> = {
            let state = self.state();
            // Others are this process's own to try.
            let is_away = |of: &LateRecipient| state.is_away(stored.id, of.index);
            let expected = late.recipients.into_iter().filter(is_away);
            expected.filter(is_open).collect()
        };
        let indexes: Vec<_> = late.iter().map(|recipient| recipient.index).collect();
        let tried: Vec<_> = late.into_iter().map(Tried::from).collect();
        if !tried.is_empty()
            && let Some(due) = self.record(&stored, tried, &settings).await
        {
            for &index in &indexes {
                self.insert_at(&stored, &settings.destination(&stored, index), due);
            }
        }
        self.state().is_back(stored.id, &indexes);
        self.start_due();
    }

    /// No outcome of an earlier process comes any more for these: what is left of them is tried.
    pub async fn expect_no_more(self: &Arc<Self>, unfinished: &[Unfinished]) {
        for Unfinished { id, recipients } in unfinished {
            let left: Vec<u32> = {
                let state = self.state();
                let away = state.away.get(id);
                let is_away = |index: &&u32| away.is_some_and(|away| away.contains(**index));
                recipients.iter().filter(is_away).copied().collect()
            };
            if left.is_empty() {
                continue;
            }
            let read = self.read(*id).await;
            self.state().is_back(*id, &left);
            match read {
                Ok(stored) => self.try_again(&stored, &left),
                Err(ReadError::Unknown(_)) => {}
                Err(error) => self.note_unreadable(*id, &error),
            }
        }
        self.start_due();
    }

    fn try_again(&self, stored: &Stored, recipients: &[u32]) {
        let settings = Arc::clone(&self.state().settings);
        for &index in recipients {
            let place = usize::try_from(index).unwrap_or(usize::MAX);
            let state = stored.recipients.get(place);
            if state.is_some_and(|state| state.disposition == Disposition::Pending) {
                self.insert_at(stored, &settings.destination(stored, index), self.at_once());
            }
        }
    }
}

impl Carrying {
    fn n_with_content(&self) -> usize {
        let begun = self.under_way.values();
        let with_content = begun.filter(|begun| begun.content_begun.load(Ordering::Relaxed));
        with_content.count()
    }

    /// But for those that go under a key: a repetition of them is harmless.
    fn unfinished(&self) -> Vec<Unfinished> {
        let under_way = self.under_way.iter();
        let begun = under_way.filter(|(_, begun)| !begun.recipients.is_empty());
        let unfinished = begun.map(|((id, _), begun)| Unfinished {
            id: *id,
            recipients: begun.recipients.clone(),
        });
        unfinished.collect()
    }
}

impl State {
    /// Whether another process makes an attempt for this recipient.
    pub(crate) fn is_away(&self, id: MessageId, index: u32) -> bool {
        let away = self.away.get(&id);
        away.is_some_and(|away| away.contains(index))
    }

    fn is_back(&mut self, id: MessageId, recipients: &[u32]) {
        let Some(mut away) = self.away.remove(&id) else {
            return;
        };
        recipients.iter().for_each(|index| away.remove(*index));
        if !away.is_empty() {
            self.away.insert(id, away);
        }
    }
}

impl LateOutcome {
    /// Of those that did not go under a key.
    pub(crate) fn of(id: MessageId, tried: Vec<Tried>) -> Self {
        let tried = tried.into_iter().filter(|tried| tried.handoff.is_none());
        let recipients = tried.map(|tried| LateRecipient {
            index: tried.index,
            host: tried.by.host().map(Into::into),
            transport: tried.by.name(),
            outcome: tried.outcome,
            success: tried.success,
        });
        Self {
            id,
            recipients: recipients.collect(),
        }
    }
}

impl From<LateRecipient> for Tried {
    fn from(late: LateRecipient) -> Self {
        Self {
            index: late.index,
            outcome: late.outcome,
            by: CarriedBy::EarlierProcess {
                name: late.transport,
                host: late.host,
            },
            handoff: None,
            success: late.success,
        }
    }
}

impl CarriedBy {
    /// As the log names it.
    pub(crate) fn name(&self) -> Box<str> {
        match self {
            Self::Here(transport) | Self::Nothing(transport) => transport.to_string().into(),
            Self::EarlierProcess { name, .. } => name.clone(),
            Self::Exchanger { host } => format!("mx {host}").into(),
        }
    }

    /// The next instance, where it was handed on.
    pub(crate) fn next(&self) -> Option<&Handoff> {
        match self {
            Self::Here(transport) | Self::Nothing(transport) => transport.handoff(),
            Self::EarlierProcess { .. } | Self::Exchanger { .. } => None,
        }
    }

    /// Whether what came of it is the last word on a recipient whose time is over.
    pub(crate) const fn may_expire(&self) -> bool {
        !matches!(self, Self::Nothing(_))
    }

    /// The host outside that it is sent to.
    pub(crate) fn host(&self) -> Option<&str> {
        match self {
            Self::Here(transport) => match &**transport {
                Transport::Relay(relay) => Some(relay.host()),
                _ => None,
            },
            Self::EarlierProcess { host, .. } => host.as_deref(),
            Self::Exchanger { host } => Some(host),
            Self::Nothing(_) => None,
        }
    }
}
