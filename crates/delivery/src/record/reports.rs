//! The records of an attempt of which reports are to be sent.
//!
//! # Guarantees
//! A failure is final only in the record that holds the notification about it. Where one cannot be
//! kept, its recipients are tried again, and notified of then. A delivery is final whether or not
//! the report about it can be kept: it must not be made again.

use std::sync::Arc;

use mail::Disposition;
use mail::dsn::Action;
use spool::{Content, Fresh, IndexSet, Stored};

use super::{Changes, Record};
use crate::delivery::Delivery;
use crate::notification::Written;

impl Delivery {
    /// Makes the outcomes durable, and with them the reports. True when that is the message's end.
    pub(super) async fn commit_all(
        self: &Arc<Self>,
        record: &mut Record<'_>,
        reports: Vec<Written>,
    ) -> bool {
        let (mut successes, failures): (Vec<_>, Vec<_>) = reports
            .into_iter()
            .partition(|report| report.action != Action::Failed);
        let mut first = successes.pop();
        for report in successes {
            self.keep_report(record.stored, report).await;
        }
        let mut failures = failures.into_iter();
        if first.is_none() {
            first = failures.next();
        }
        let mut later = Vec::new();
        for report in failures {
            later.push((record.split_off(&report.recipients), report));
        }
        let mut ended = self.commit_first(record, first).await;
        for (part, report) in later {
            match self.commit_with(&part, report).await {
                Ok(is_end) => {
                    ended |= is_end;
                    record.changes.n_pending -= part.changes.n_closed;
                }
                // They stand in the spool as to be tried again.
                Err(e) => self.alarm(&put_off(part.stored, &e)),
            }
        }
        ended
    }

    async fn commit_first(
        self: &Arc<Self>,
        record: &mut Record<'_>,
        report: Option<Written>,
    ) -> bool {
        let Some(report) = report else {
            return self.commit(record).await;
        };
        let action = report.action;
        match self.commit_with(record, report).await {
            Ok(ended) => return ended,
            Err(e) if action == Action::Failed => {
                self.alarm(&put_off(record.stored, &e));
                record.changes.put_off_failures();
            }
            Err(e) => self.alarm(&lost(record.stored, &e)),
        }
        self.commit(record).await
    }

    /// Keeps a report of success beyond the first of an attempt. It goes before the record of the
    /// deliveries: a crash in between repeats a report, and loses none.
    async fn keep_report(self: &Arc<Self>, about: &Stored, report: Written) {
        let Written {
            message, content, ..
        } = report;
        let content = Arc::new(content);
        let octets = Content::Bytes(Arc::clone(&content));
        match self.spool.accept(&message, octets).await {
            Ok(id) => {
                self.tell_notified(about, &message);
                self.queued(Fresh {
                    id,
                    message,
                    content_len: content.len() as u64,
                    content: Some(content),
                });
            }
            Err(e) => self.alarm(&lost(about, &e)),
        }
    }
}

fn put_off(stored: &Stored, error: &spool::CommitError) -> String {
    format!(
        "a notification about message {} could not be kept and will be tried again: {error}",
        stored.id
    )
}

fn lost(stored: &Stored, error: &spool::CommitError) -> String {
    format!(
        "the sender of message {} asked for a report of success, which could not be kept: {error}",
        stored.id
    )
}

impl Record<'_> {
    /// Takes failures out that are to be a record of their own, with their notification. Until
    /// that is durable they stand as to be tried again.
    fn split_off(&mut self, recipients: &IndexSet) -> Self {
        let (mut tried, mut states) = (Vec::new(), Vec::new());
        let (mut left_tried, mut left_states) = (Vec::new(), Vec::new());
        let all = std::mem::take(&mut self.tried).into_iter();
        for (t, state) in all.zip(std::mem::take(&mut self.changes.states)) {
            if recipients.contains(t.index) {
                let mut waiting = state.clone();
                waiting.1.disposition = Disposition::Pending;
                self.changes.waiting.push(waiting);
                tried.push(t);
                states.push(state);
            } else {
                left_tried.push(t);
                left_states.push(state);
            }
        }
        (self.tried, self.changes.states) = (left_tried, left_states);
        let n = u32::try_from(states.len()).unwrap_or(u32::MAX);
        self.changes.n_closed -= n;
        self.changes.n_pending += n;
        Self {
            stored: self.stored,
            tried,
            changes: Changes {
                states,
                waiting: Vec::new(),
                reported: Vec::new(),
                n_closed: n,
                n_pending: 0,
                n_held: 0,
                // As the record before this one counted them.
                n_deferred_before: n,
            },
            next_due: self.next_due,
            next: self.next,
        }
    }
}

impl Changes {
    /// Failures whose notification cannot be kept now are found again at the next attempt.
    fn put_off_failures(&mut self) {
        for (_, state) in &mut self.states {
            if state.disposition == Disposition::Failed {
                state.disposition = Disposition::Pending;
                self.n_closed -= 1;
                self.n_pending += 1;
            }
        }
    }
}
