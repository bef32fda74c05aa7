//! Notifications of failure: made, and committed together with the end of what they report on.

use mail::Reply;
use mail::dsn::{self, Action, Fate, Original, Remote, Report};
use spool::{Message, Stored};

use crate::delivery::{Delivery, Settings};

/// A recipient that failed for good.
pub(crate) struct Failure {
    pub(crate) index: u32,
    /// Why, as it was recorded.
    pub(crate) verdict: Reply,
    /// The other host and what it said, where one was reached.
    pub(crate) remote: Option<(Box<str>, Reply)>,
}

impl Delivery {
    /// A notification about `failed` to the sender, where it is to have one.
    pub(crate) async fn notification(
        &self,
        stored: &Stored,
        failed: &[Failure],
        settings: &Settings,
    ) -> Option<(Message, Vec<u8>)> {
        let envelope = &stored.message.envelope;
        let now = self.now();
        let fates: Vec<_> = failed
            .iter()
            .filter_map(|failure| {
                let index = usize::try_from(failure.index).ok()?;
                let recipient = envelope.recipients.get(index)?;
                let wanted = dsn::wanted(Action::Failed, envelope, recipient);
                let remote = failure.remote.as_ref();
                let fate = Fate {
                    recipient,
                    verdict: &failure.verdict,
                    remote: remote.map(|(host, reply)| Remote { host, reply }),
                    last_attempt: now,
                };
                wanted.then_some(fate)
            })
            .collect();
        if fates.is_empty() {
            return None;
        }
        let content = self.beginning(stored).await;
        let report = Report {
            action: Action::Failed,
            fates: &fates,
            original: Original {
                trace: stored.message.provenance.trace,
                arrived: stored.message.provenance.arrived,
                envelope,
                content: &content,
                content_len: stored.content_len,
            },
            hostname: &settings.hostname,
            now,
            expires: None,
        };
        let made = report.notification()?;
        let message = Message {
            handoff: None,
            provenance: made.provenance,
            envelope: made.envelope,
            key: None,
            next_due: now,
        };
        Some((message, made.content))
    }

    /// As much of the original as a notification can return. What cannot be read is left out: the
    /// sender hears of the failure all the same.
    async fn beginning(&self, stored: &Stored) -> Vec<u8> {
        let (spool, id) = (self.spool.clone(), stored.id);
        let len = stored.content_len.min(dsn::limits::RETURNED_LEN_MAX as u64);
        let reading = tokio::task::spawn_blocking(move || {
            let mut beginning = vec![0; usize::try_from(len).unwrap_or(0)];
            let mut reader = spool.reader(id).ok()?;
            let n = reader.read_at(0, &mut beginning).ok()?;
            beginning.truncate(n);
            Some(beginning)
        });
        reading.await.ok().flatten().unwrap_or_default()
    }
}
