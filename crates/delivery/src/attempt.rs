//! One attempt: a message's recipients at one site, handed to their transports.

use std::collections::BTreeMap;
use std::sync::Arc;

use mail::reply::table;
use mail::{Disposition, Outcome, Reply};
use queue::Finish;
use spool::{CommitError, Progress, ReadError, Stored};

use crate::delivery::{Delivery, Settings, site_name};
use crate::record::Tried;
use crate::transport::{Transport, Work};

impl Delivery {
    /// Carries out an attempt that the queue gave out, and gives it back.
    pub(crate) async fn attempt(self: Arc<Self>, attempt: queue::Attempt, site: Box<str>) {
        let finish = self.try_site(&attempt, &site).await;
        {
            let mut state = self.state();
            state.queue.finish(self.clock.now(), attempt, finish);
            if state.stopping {
                self.changed.notify_one();
            }
        }
        self.start_due();
    }

    async fn try_site(self: &Arc<Self>, attempt: &queue::Attempt, site: &str) -> Finish {
        let stored = match self.load(attempt.id).await {
            Ok(stored) => stored,
            Err(ReadError::Unknown(_)) => return Finish::Done,
            Err(e) => {
                self.alarm(&format!(
                    "message {} cannot be read and stays as it is: {e}",
                    attempt.id
                ));
                return Finish::Retry {
                    due: self.clock.now() + UNREADABLE_PAUSE,
                };
            }
        };
        let settings = Arc::clone(&self.state().settings);
        let ways = self.ways(&stored, site, &settings);
        if ways.is_empty() {
            return Finish::Done;
        }
        let Ok(stored) = self.with_key(stored, &ways).await else {
            return Finish::Retry {
                due: self.clock.now() + UNREADABLE_PAUSE,
            };
        };
        if !self.record_beginning(&stored).await {
            return Finish::Retry {
                due: self.clock.now() + UNREADABLE_PAUSE,
            };
        }
        let mut tried = Vec::new();
        for way in ways.into_values() {
            tried.extend(self.carry(&stored, way).await);
        }
        let down = tried.iter().all(|t| is_site_failure(&t.outcome));
        let due = self.record(&stored, tried, &settings).await;
        match due {
            None => Finish::Done,
            Some(due) if down => Finish::SiteDown { due },
            Some(due) => Finish::Retry { due },
        }
    }

    /// The whole message: from memory at its first attempt, else from the spool.
    async fn load(&self, id: mail::MessageId) -> Result<Arc<Stored>, ReadError> {
        if let Some(fresh) = self
            .state()
            .messages
            .get(&id)
            .and_then(|entry| entry.fresh.clone())
        {
            return Ok(fresh);
        }
        let spool = self.spool.clone();
        let reading = tokio::task::spawn_blocking(move || spool.message(id));
        match reading.await {
            Ok(read) => read.map(Arc::new),
            Err(e) => Err(ReadError::Io(std::io::Error::other(e))),
        }
    }

    /// The recipients to be tried at this site, by what carries them. A recipient whose route has
    /// changed gets a job at its new site.
    fn ways(&self, stored: &Stored, site: &str, settings: &Settings) -> BTreeMap<usize, Way> {
        let mut ways: BTreeMap<usize, Way> = BTreeMap::new();
        let envelope = &stored.message.envelope;
        for (index, (state, recipient)) in stored
            .recipients
            .iter()
            .zip(&envelope.recipients)
            .enumerate()
        {
            let Ok(index) = u32::try_from(index) else {
                break;
            };
            if state.disposition != Disposition::Pending {
                continue;
            }
            let found = settings
                .routes
                .transport(&recipient.address, &stored.message.provenance.origin);
            let name = site_name(found.clone());
            if *name != *site {
                self.insert_at(stored, &name, self.clock.now());
                continue;
            }
            let (key, transport) = match found {
                Ok(transport) => (Arc::as_ptr(transport) as usize, Arc::clone(transport)),
                Err(reply) => (usize::MAX, Arc::new(Transport::Error(reply))),
            };
            let way = ways.entry(key).or_insert_with(|| Way {
                transport,
                recipients: Vec::new(),
            });
            way.recipients.push(index);
        }
        ways
    }

    /// A message that was not accepted for a handoff may come to one by a change of the routes. Its
    /// key is on stable storage before it is used.
    async fn with_key(
        &self,
        mut stored: Arc<Stored>,
        ways: &BTreeMap<usize, Way>,
    ) -> Result<Arc<Stored>, CommitError> {
        let next = ways.values().find_map(|way| match &*way.transport {
            Transport::Handoff(next) => Some(next),
            _ => None,
        });
        let (Some(next), None) = (next, stored.message.handoff) else {
            return Ok(stored);
        };
        let message = &mut Arc::make_mut(&mut stored).message;
        message.handoff = Some(next.draw_key());
        let progress = Progress {
            recipients: Vec::new(),
            next_due: message.next_due,
            handoff: message.handoff,
        };
        let committed = self.spool.progress(stored.id, progress).await;
        if let Err(e) = &committed {
            self.alarm(&format!("a handoff key could not be recorded: {e}"));
        }
        committed.map(|()| stored)
    }

    /// From the second attempt on, an attempt is on stable storage before it begins. For the first,
    /// the record of acceptance stands.
    async fn record_beginning(&self, stored: &Stored) -> bool {
        let first = {
            let state = self.state();
            state
                .messages
                .get(&stored.id)
                .is_some_and(|entry| entry.fresh.is_some())
        };
        if first {
            return true;
        }
        self.note_doubt(stored);
        match self.spool.attempt(stored.id).await {
            Ok(()) => true,
            Err(e) => {
                self.alarm(&format!(
                    "an attempt could not be recorded and did not begin: {e}"
                ));
                false
            }
        }
    }

    async fn carry(&self, stored: &Stored, way: Way) -> Vec<Tried> {
        let reader = match self.spool.reader(stored.id) {
            Ok(reader) => reader,
            Err(e) => {
                self.alarm(&format!(
                    "content of message {} cannot be read: {e}",
                    stored.id
                ));
                let reply = table::TRY_AGAIN.reply();
                return way.tried(&vec![Outcome::Deferred(reply); way.recipients.len()]);
            }
        };
        let work = Work {
            spool: self.spool.id(),
            id: stored.id,
            provenance: &stored.message.provenance,
            envelope: &stored.message.envelope,
            recipients: &way.recipients,
            handoff: stored.message.handoff,
            content: reader,
        };
        let outcomes = way.transport.deliver(work).await;
        way.tried(&outcomes)
    }
}

/// How long a message waits that the spool cannot read or record now.
const UNREADABLE_PAUSE: std::time::Duration = std::time::Duration::from_secs(60);

/// Recipients that one transport carries.
struct Way {
    transport: Arc<Transport>,
    recipients: Vec<u32>,
}

impl Way {
    fn tried(&self, outcomes: &[Outcome]) -> Vec<Tried> {
        // A transport that forgot one has not delivered it.
        let missing = Outcome::Deferred(table::TRY_AGAIN.reply());
        let outcomes = outcomes.iter().chain(std::iter::repeat(&missing));
        let pairs = self.recipients.iter().zip(outcomes);
        let transport = Arc::clone(&self.transport);
        pairs
            .map(|(&index, outcome)| Tried {
                index,
                outcome: outcome.clone(),
                transport: Arc::clone(&transport),
            })
            .collect()
    }
}

/// Whether nobody was reached at all, so that the site and not the message is at fault.
fn is_site_failure(outcome: &Outcome) -> bool {
    let Outcome::Deferred(reply) = outcome else {
        return false;
    };
    let ours: [Reply; 4] = [
        table::NO_CONNECTION.reply(),
        table::CONNECTION_LOST.reply(),
        table::ATTEMPT_TIMED_OUT.reply(),
        table::NEXT_UNAVAILABLE.reply(),
    ];
    ours.contains(reply)
}
