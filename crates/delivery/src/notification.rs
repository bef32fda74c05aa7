//! Reports to a sender: made, and committed together with the end of what they report on.

use mail::Reply;
use mail::dsn::{self, Action, Fate, Original, Remote, Report};
use spool::{IndexSet, Message, Stored};

use crate::delivery::{Delivery, Settings};

// A notification that did not fit a record would never be sent.
const _: () = assert!(dsn::limits::NOTIFICATION_LEN_MAX <= spool::limits::INLINE_CONTENT_LEN_MAX);

/// A recipient of whom the sender wants to be told.
pub(crate) struct Reported {
    pub(crate) index: u32,
    /// What is to be told.
    pub(crate) action: Action,
    /// Why, as it was recorded.
    pub(crate) verdict: Reply,
    /// The other host and what it said, where one was reached.
    pub(crate) remote: Option<(Box<str>, Reply)>,
}

/// A report that is to be kept.
pub(crate) struct Written {
    pub(crate) action: Action,
    /// Those that it names.
    pub(crate) recipients: IndexSet,
    pub(crate) message: Message,
    pub(crate) content: Vec<u8>,
}

/// Whether the sender wants to be told this of a recipient.
pub(crate) fn is_wanted(stored: &Stored, index: u32, action: Action) -> bool {
    let envelope = &stored.message.envelope;
    let place = usize::try_from(index).unwrap_or(usize::MAX);
    let recipient = envelope.recipients.get(place);
    recipient.is_some_and(|recipient| dsn::wanted(action, envelope, recipient))
}

impl Delivery {
    /// The reports to the sender, where it is to have any; each says one thing about as many
    /// recipients as fit.
    pub(crate) async fn reports(
        &self,
        stored: &Stored,
        reported: &[Reported],
        settings: &Settings,
    ) -> Vec<Written> {
        if reported.is_empty() {
            return Vec::new();
        }
        let content = self.beginning(stored).await;
        let mut written = Vec::new();
        for action in [Action::Delivered, Action::Relayed, Action::Failed] {
            let of_action: Vec<_> = reported.iter().filter(|of| of.action == action).collect();
            if !of_action.is_empty() {
                written.extend(self.written(stored, &of_action, &content, settings));
            }
        }
        written
    }

    /// The reports about these, of whom the same is to be told.
    fn written(
        &self,
        stored: &Stored,
        reported: &[&Reported],
        content: &[u8],
        settings: &Settings,
    ) -> Vec<Written> {
        let now = self.now();
        let envelope = &stored.message.envelope;
        let (mut indexes, mut fates) = (Vec::new(), Vec::new());
        for of in reported {
            let place = usize::try_from(of.index).unwrap_or(usize::MAX);
            let Some(recipient) = envelope.recipients.get(place) else {
                continue;
            };
            let remote = of.remote.as_ref();
            indexes.push(of.index);
            fates.push(Fate {
                recipient,
                verdict: &of.verdict,
                remote: remote.map(|(host, reply)| Remote { host, reply }),
                last_attempt: now,
            });
        }
        let Some(action) = reported.first().map(|of| of.action) else {
            return Vec::new();
        };
        let report = Report {
            action,
            fates: &fates,
            original: Original {
                trace: stored.message.provenance.trace,
                arrived: stored.message.provenance.arrived,
                envelope,
                content,
                content_len: stored.content_len,
            },
            hostname: &settings.hostname,
            now,
            expires: None,
        };
        let mut indexes = indexes.into_iter();
        let written = report.parts().into_iter().filter_map(|part| {
            let recipients = indexes.by_ref().take(part.fates.len()).collect();
            let made = part.notification()?;
            Some(Written {
                action,
                recipients,
                message: Message {
                    handoff: None,
                    provenance: made.provenance,
                    envelope: made.envelope,
                    key: None,
                    next_due: now,
                },
                content: made.content,
            })
        });
        written.collect()
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
