//! What is queued, what is handed out, and what comes back.

use mail::{MessageId, Moment};

use crate::SiteId;

/// The recipients of one message that go to one site: tried together, due together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The message in the spool.
    pub id: MessageId,
    /// Where its recipients go.
    pub site: SiteId,
    /// Whose turn an attempt counts as; any hash of who sent the message (an identity, a uid, an
    /// address). Two senders with the same key share a turn, and nothing worse.
    pub sender: u64,
    /// Not before.
    pub due: Moment,
}

/// A job that is to be tried now; handed out by [`Queue::next`](crate::Queue::next), given back to
/// [`Queue::finish`](crate::Queue::finish). One that is not given back occupies its place for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an attempt that is not finished occupies its place for ever"]
pub struct Attempt {
    /// The message.
    pub id: MessageId,
    /// The site.
    pub site: SiteId,
    /// How often the site had failed in a row when this attempt began.
    pub(crate) failures_seen: u32,
    /// What was known of it then.
    pub(crate) standing: Standing,
}

/// What is known of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
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
    /// Nobody went to the site: it stands where it stood.
    Untried {
        /// When this job is due again; `None` where nothing is left to do for it.
        due: Option<Moment>,
    },
}

/// Which jobs an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One message's job for one site.
    Job(MessageId, SiteId),
    /// All jobs of one message.
    Message(MessageId),
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Kept until it is released.
    Held,
    /// An attempt has begun and is not finished.
    UnderWay,
    /// Waits for its due time, its turn, or its site.
    Waiting,
}

/// A job as [`Queue::jobs_after`](crate::Queue::jobs_after) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobView {
    /// The message.
    pub id: MessageId,
    /// The site.
    pub site: SiteId,
    /// Where it stands.
    pub state: JobState,
    /// When it is due; while its site is down, not before the site's next probe.
    pub due: Moment,
}

/// How many jobs stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Held.
    pub n_held: u32,
    /// Under way.
    pub n_under_way: u32,
    /// Waiting.
    pub n_waiting: u32,
}

impl Counts {
    /// All jobs.
    #[must_use]
    pub const fn n_all(self) -> u32 {
        self.n_held + self.n_under_way + self.n_waiting
    }

    pub(crate) const fn count_mut(&mut self, state: JobState) -> &mut u32 {
        match state {
            JobState::Held => &mut self.n_held,
            JobState::UnderWay => &mut self.n_under_way,
            JobState::Waiting => &mut self.n_waiting,
        }
    }
}
