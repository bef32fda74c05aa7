//! What is queued, what is handed out, and what comes back.

use mail::{MessageId, Moment};

use crate::{DestinationId, SiteId};

/// The recipients of one message that have one destination: tried together, due together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The message in the spool.
    pub id: MessageId,
    /// Where its recipients are to get.
    pub destination: DestinationId,
    /// Whose turn an attempt counts as; any hash of who sent the message (an identity, a uid, an
    /// address). Two senders with the same key share a turn, and nothing worse.
    pub sender: u64,
    /// Not before.
    pub due: Moment,
}

/// What is to be done now; returned by [`Queue::next`](crate::Queue::next).
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A job is to be tried.
    Attempt(Attempt),
    /// A destination is to be resolved.
    Resolve(Resolution),
}

/// A job that is to be tried now; given back to [`Queue::finish`](crate::Queue::finish). One that
/// is not given back occupies its place for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an attempt that is not finished occupies its place for ever"]
pub struct Attempt {
    /// The message.
    pub id: MessageId,
    /// Its destination.
    pub destination: DestinationId,
    /// The site that this leads to; `None` only for a job that was taken out of turn.
    pub site: Option<SiteId>,
    /// How often the site had failed in a row when this attempt began.
    pub(crate) failures_seen: u32,
    /// What was known of it then.
    pub(crate) state: SiteState,
}

/// A destination of which is to be found out where it leads; given back to
/// [`Queue::resolved`](crate::Queue::resolved). One that is not given back keeps its jobs for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a resolution that gets no answer keeps the jobs of its destination for ever"]
pub struct Resolution {
    /// The destination.
    pub destination: DestinationId,
    /// What was known of it when this began.
    pub(crate) state: SiteState,
}

/// What came of resolving a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It leads to this site.
    To {
        /// The site.
        site: SiteId,
        /// Until when; then it is resolved again, as soon as a job is due.
        until: Option<Moment>,
    },
    /// That cannot be found out now: its jobs wait, and it is tried again at growing intervals.
    Failed,
}

/// What is known of a site, or of resolving a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteState {
    /// It failed when it was tried last.
    Down,
    /// Nothing: it has not answered since it was first asked for.
    New,
    /// It answers.
    Up,
}

/// What an attempt means for its job and its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Nothing is left to do here for this job's recipients; the site works.
    Done,
    /// The site answered, and some recipients are to be tried again.
    Retry {
        /// When.
        due: Moment,
    },
    /// The site could not be reached or did not serve: for a while one attempt stands for all.
    SiteDown {
        /// When this job is due again; it waits for the site all the same.
        due: Moment,
    },
    /// The site was not tried: it is as it was.
    Untried {
        /// When this job is due again; `None` where nothing is left to do for it.
        due: Option<Moment>,
    },
}

/// Which jobs an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One message's job for one destination.
    Job(MessageId, DestinationId),
    /// All jobs of one message.
    Message(MessageId),
}

/// What happens with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// An attempt has begun and is not finished.
    UnderWay,
    /// It waits for its due time, its turn, or its site.
    Waiting,
}

/// A job as [`Queue::job`](crate::Queue::job) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobView {
    /// The message.
    pub id: MessageId,
    /// Its destination.
    pub destination: DestinationId,
    /// What happens with it.
    pub state: JobState,
    /// When it is due; while its site is down, not before the site's next probe, and while its
    /// destination cannot be resolved, not before that is tried again.
    pub due: Moment,
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Under way.
    pub n_under_way: u32,
    /// Waiting.
    pub n_waiting: u32,
}

impl Counts {
    /// All jobs.
    #[must_use]
    pub const fn n_all(self) -> u32 {
        self.n_under_way + self.n_waiting
    }

    pub(crate) const fn count_mut(&mut self, state: JobState) -> &mut u32 {
        match state {
            JobState::UnderWay => &mut self.n_under_way,
            JobState::Waiting => &mut self.n_waiting,
        }
    }
}
