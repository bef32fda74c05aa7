//! A message that is set aside while a command changes it.
//!
//! # Guarantees
//! No attempt of it begins before the command is over; then its jobs are back in the queue, also
//! when the command fails or is dropped.

use std::sync::Arc;

use mail::{MessageId, Moment};
use queue::{Job, JobState, Which};
use spool::{ReadError, Stored};

use crate::delivery::{Delivery, fairness_key};

/// The jobs of a message that a command is changing; back in the queue when this is dropped.
pub(super) struct Aside {
    delivery: Arc<Delivery>,
    id: MessageId,
    sender: u64,
    pub(super) jobs: Vec<(Box<str>, Moment)>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        let now = self.delivery.clock.now();
        let mut state = self.delivery.state();
        state.aside.remove(&self.id);
        if !state.messages.contains_key(&self.id) {
            return;
        }
        for (name, due) in self.jobs.drain(..) {
            let destination = state.queue.destination(now, &name);
            let job = Job {
                id: self.id,
                destination,
                sender: self.sender,
                due,
            };
            state.queue.insert(now, job);
        }
        drop(state);
        self.delivery.changed.notify_one();
    }
}

impl Delivery {
    /// Reads a message of which no attempt is under way, and sees to it that none begins before
    /// the command is over: an attempt that read the message as it was would undo the command.
    pub(super) async fn set_aside(
        self: &Arc<Self>,
        id: MessageId,
    ) -> Result<(Result<Stored, ReadError>, Aside), String> {
        let jobs = {
            let mut state = self.state();
            if !state.messages.contains_key(&id) {
                return Err(format!("no message {id} is queued here"));
            }
            let jobs: Vec<_> = state.queue.jobs_of(id).collect();
            let is_under_way = |job: &queue::JobView| job.state == JobState::UnderWay;
            if jobs.iter().any(is_under_way) || state.away.contains_key(&id) {
                return Err(format!(
                    "an attempt for message {id} is under way; try again in a moment"
                ));
            }
            if !state.aside.insert(id) {
                return Err(format!("another command about message {id} is under way"));
            }
            let named = jobs.iter().filter_map(|job| {
                let destination = state.queue.destination_view(job.destination)?;
                Some((destination.name.into(), job.due))
            });
            let named = named.collect();
            state.queue.remove(self.clock.now(), Which::Message(id));
            named
        };
        self.drop_fresh(id);
        let mut aside = Aside {
            delivery: Arc::clone(self),
            id,
            sender: 0,
            jobs,
        };
        let read = self.read(id).await;
        aside.sender = read.as_ref().map_or(0, fairness_key);
        Ok((read, aside))
    }
}
