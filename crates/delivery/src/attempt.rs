//! One attempt: a message's recipients at one site, handed to their transports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mail::reply::table;
use mail::{Disposition, Moment, Outcome};
use queue::{Finish, Job, Which};
use spool::{CommitError, Progress, ReadError, Stored};

use crate::delivery::{Delivery, Settings, State, fairness_key, site_name};
use crate::record::Tried;
use crate::transport::{Carried, SiteSeen, Transport, Work};

impl Delivery {
    /// Carries out an attempt that the queue gave out, and gives it back.
    pub(crate) async fn attempt(self: Arc<Self>, attempt: queue::Attempt, site: Box<str>) {
        let ended = self.try_site(&attempt, &site).await;
        {
            let mut state = self.state();
            state.finish(self.clock.now(), attempt, ended);
            if state.stopping {
                self.changed.notify_one();
            }
        }
        self.start_due();
    }

    async fn try_site(self: &Arc<Self>, attempt: &queue::Attempt, site: &str) -> Ended {
        let not_now = || Ended {
            due: Some(self.clock.now() + UNREADABLE_PAUSE),
            site: SiteSeen::Answering,
            elsewhere: Elsewhere::default(),
        };
        let stored = match self.load(attempt.id).await {
            Ok(stored) => stored,
            Err(ReadError::Unknown(id)) => {
                self.forget(id);
                return Ended::nothing_left(Elsewhere::default());
            }
            Err(e) => {
                self.alarm(&format!(
                    "message {} cannot be read and stays as it is: {e}",
                    attempt.id
                ));
                return not_now();
            }
        };
        let settings = Arc::clone(&self.state().settings);
        let (ways, elsewhere) = ways(&stored, site, &settings);
        if ways.is_empty() {
            return Ended::nothing_left(elsewhere);
        }
        let Ok(stored) = self.with_key(stored, &ways).await else {
            return not_now();
        };
        if !self.record_beginning(&stored).await {
            return not_now();
        }
        let mut tried = Vec::new();
        let mut seen = SiteSeen::Down;
        for way in ways.into_values() {
            let (site, of_way) = self.carry(&stored, way).await;
            if site == SiteSeen::Answering {
                seen = site;
            }
            tried.extend(of_way);
        }
        Ended {
            due: self.record(&stored, tried, &settings).await,
            site: seen,
            elsewhere,
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
        let id = stored.id;
        let message = &mut Arc::make_mut(&mut stored).message;
        if let Some(drawn) = self.state().keys.get(&id) {
            message.handoff = *drawn;
        }
        if message.handoff.is_some() {
            return Ok(stored);
        }
        let key = next.draw_key();
        message.handoff = Some(key);
        let progress = Progress {
            recipients: Vec::new(),
            next_due: message.next_due,
            handoff: message.handoff,
        };
        let committing = {
            let mut state = self.state();
            state.keys.insert(id, message.handoff);
            self.spool.progress(id, progress)
        };
        if let Err(e) = committing.await {
            self.alarm(&format!("a handoff key could not be recorded: {e}"));
            self.state().keys.remove(&id);
            next.settle(&key);
            return Err(e);
        }
        Ok(stored)
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

    async fn carry(&self, stored: &Stored, way: Way) -> (SiteSeen, Vec<Tried>) {
        let reader = match self.reader(stored.id) {
            Ok(reader) => reader,
            Err(e) => {
                self.alarm(&format!(
                    "content of message {} cannot be read: {e}",
                    stored.id
                ));
                // What no outcome is said of, is put off.
                return (SiteSeen::Answering, way.tried(&[]));
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
        let Carried { outcomes, site } = way.transport.deliver(work).await;
        (site, way.tried(&outcomes))
    }
}

impl State {
    /// Gives an attempt back to the queue, and sees to it that what it found to be another site's
    /// has a job there.
    fn finish(&mut self, now: Moment, attempt: queue::Attempt, ended: Ended) {
        let (id, site) = (attempt.id, attempt.site);
        let finish = match (ended.due, ended.site) {
            (None, SiteSeen::Answering) => Finish::Done,
            (None, SiteSeen::Down) => {
                // What was given up leaves, and the site is down all the same.
                self.queue.remove(now, Which::Job(id, site));
                Finish::SiteDown { due: now }
            }
            (Some(due), SiteSeen::Answering) => Finish::Retry { due },
            (Some(due), SiteSeen::Down) => Finish::SiteDown { due },
        };
        self.queue.finish(now, attempt, finish);
        if !self.messages.contains_key(&id) {
            return;
        }
        let Elsewhere { sites, sender } = ended.elsewhere;
        for name in sites {
            let site = self.queue.site(now, &name);
            // A job that waits keeps its time.
            if self.queue.job(id, site).is_none() {
                let due = now;
                self.queue.insert(
                    now,
                    Job {
                        id,
                        site,
                        sender,
                        due,
                    },
                );
            }
        }
    }
}

/// How an attempt ended.
struct Ended {
    /// When the recipients of this site are due again, if any are.
    due: Option<Moment>,
    site: SiteSeen,
    elsewhere: Elsewhere,
}

impl Ended {
    const fn nothing_left(elsewhere: Elsewhere) -> Self {
        Self {
            due: None,
            site: SiteSeen::Answering,
            elsewhere,
        }
    }
}

/// Sites to which other recipients of a message go by now.
#[derive(Default)]
struct Elsewhere {
    sites: BTreeSet<Box<str>>,
    sender: u64,
}

/// The recipients to be tried at this site, by what carries them, and the sites of all others.
fn ways(stored: &Stored, site: &str, settings: &Settings) -> (BTreeMap<usize, Way>, Elsewhere) {
    let mut ways: BTreeMap<usize, Way> = BTreeMap::new();
    let mut elsewhere = Elsewhere {
        sites: BTreeSet::new(),
        sender: fairness_key(stored),
    };
    let envelope = &stored.message.envelope;
    let origin = &stored.message.provenance.origin;
    for (index, (state, recipient)) in (0..).zip(stored.recipients.iter().zip(&envelope.recipients))
    {
        if state.disposition != Disposition::Pending {
            continue;
        }
        let found = settings.routes.transport(&recipient.address, origin);
        let name = site_name(found.clone());
        if *name != *site {
            elsewhere.sites.insert(name);
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
    (ways, elsewhere)
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
