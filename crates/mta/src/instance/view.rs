//! What an instance tells control about itself and its queue.

use std::sync::Arc;

use config::certificate::concern;
use delivery::Delivery;
use intake::{Admission, Onward};
use mail::MessageId;
use net::Clock;
use operate::{
    Brief, InstanceStatus, PageRow, QueueCounts, QueueRow, QueueView, RecipientRow, Step,
};
use spool::{Browser, Spool};
use supervisor::channel::Purpose;
use tokio::sync::watch;

use super::doors::Sessions;
use super::draining;

/// Looks into the parts of an instance.
pub(crate) struct View {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) spool: Spool,
    pub(crate) sessions: watch::Receiver<Sessions>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) clock: Clock,
    pub(crate) generation: u64,
}

/// So many messages that cannot be read are named by their ids.
const N_UNREADABLE_NAMED: usize = 5;

/// So many destinations that take no mail are named.
const N_OUTAGES_NAMED: usize = 10;

impl QueueView for View {
    type Browser = Browser;

    fn status(&self) -> InstanceStatus {
        let usage = self.spool.usage();
        let mut notes = Vec::new();
        let (onward, validity, purpose) = {
            let sessions = self.sessions.borrow();
            let onward = sessions.intake.onward.clone();
            (onward, sessions.validity, sessions.purpose)
        };
        if purpose == Purpose::Drain {
            notes.push(draining::NOTE.into());
        }
        if let Onward::Next { next, .. } = onward
            && next.is_away()
        {
            let name = next.name();
            notes.push(format!("handoff to {name}: no answer, mail waits in the own spool").into());
        }
        let outages = self.delivery.outages(N_OUTAGES_NAMED);
        notes.extend(outages.iter().map(outage_note));
        notes.extend(self.unreadable_note());
        let concern = validity.and_then(|validity| concern(validity, self.clock.timestamp()));
        notes.extend(concern.map(|concern| format!("the certificate {concern}").into()));
        InstanceStatus {
            uptime: self.clock.now().since_start(),
            generation: self.generation,
            n_connections: u64::from(self.admission.n_open()),
            n_turned_away: self.admission.totals().1,
            spool_bytes: usage.segment_bytes + usage.content_file_bytes,
            certificate_until: validity.map(|validity| validity.not_after),
            notes,
        }
    }

    fn counts(&self) -> QueueCounts {
        let counts = self.delivery.counts();
        QueueCounts {
            n_messages: counts.n_messages,
            n_active: u64::from(counts.n_under_way),
            n_waiting: u64::from(counts.n_waiting),
        }
    }

    fn briefs(&self, after: Option<MessageId>, limit: usize) -> Vec<Brief> {
        let briefs = self.delivery.briefs(after, limit);
        briefs.into_iter().map(brief).collect()
    }

    fn is_unreadable(&self, id: MessageId) -> bool {
        self.delivery.is_unreadable(id)
    }

    fn browser(&self) -> Browser {
        self.delivery.browser()
    }

    fn page(
        &self,
        browser: &mut Browser,
        after: Option<MessageId>,
        limit: usize,
    ) -> (Vec<PageRow>, Option<MessageId>) {
        let (rows, last) = self.delivery.page(browser, after, limit);
        let rows = rows.into_iter().map(|from| match from {
            delivery::PageRow::Unreadable(from) => PageRow::Unreadable(brief(from)),
            delivery::PageRow::Whole(from) => PageRow::Whole(row(from)),
        });
        (rows.collect(), last)
    }

    async fn steer(
        &self,
        step: Step,
        id: MessageId,
        recipients: Option<&[u32]>,
        by: &str,
    ) -> Result<u32, String> {
        let delivery = &self.delivery;
        let touched = match step {
            Step::Drop => delivery.discard(id, recipients, by).await?,
            Step::Hold => delivery.hold(id, recipients, by).await?,
            Step::Release => delivery.release(id, recipients, by).await?,
            Step::Retry => delivery.retry(id, recipients, by).await?,
        };
        Ok(touched.n_recipients)
    }
}

impl View {
    fn unreadable_note(&self) -> Option<Box<str>> {
        let (ids, n) = self.delivery.unreadable(N_UNREADABLE_NAMED);
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        let more = if n > ids.len() { ", …" } else { "" };
        let ids = ids.join(", ");
        (n > 0).then(|| {
            format!("{n} in the queue cannot be read, see `postern spool verify`: {ids}{more}")
                .into()
        })
    }
}

fn outage_note(outage: &delivery::Outage) -> Box<str> {
    let delivery::Outage {
        destination,
        since,
        cause,
        n_waiting,
    } = outage;
    let waiting = match n_waiting {
        1 => "1 message waits".to_owned(),
        n => format!("{n} messages wait"),
    };
    format!(
        "{destination} takes no mail since {}, {waiting}: {cause}",
        since.rfc3339()
    )
    .into()
}

const fn brief(from: delivery::Brief) -> Brief {
    Brief {
        id: from.id,
        arrived: from.arrived,
        size_bytes: from.size_bytes,
        n_recipients: from.n_recipients,
        n_deferred: from.n_deferred,
        n_held: from.n_held,
    }
}

fn row(from: delivery::QueueRow) -> QueueRow {
    let recipients = from.recipients.into_iter().map(|r| RecipientRow {
        index: r.index,
        address: r.address,
        disposition: r.disposition,
        attempts: r.attempts,
        next_due: r.next_due,
        reply: r.reply,
        waits_for: r.waits_for,
        destination: r.destination,
    });
    QueueRow {
        id: from.id,
        trace: from.trace,
        from: from.from,
        arrived: from.arrived,
        size_bytes: from.size_bytes,
        origin: from.origin,
        recipients: recipients.collect(),
    }
}

#[cfg(test)]
mod tests {
    use mail::Timestamp;

    use super::*;

    #[test]
    fn an_outage_is_noted_with_its_cause_and_how_much_waits() {
        let outage = |n_waiting| delivery::Outage {
            destination: "relay mx.example:25".into(),
            since: Timestamp::from_unix_ms(1_795_477_800_000),
            cause: "mx.example:25 (192.0.2.1) timed out at RCPT".into(),
            n_waiting,
        };
        let note = outage_note(&outage(1));
        let since = "2026-11-23T23:50:00.000Z";
        let begin = format!("relay mx.example:25 takes no mail since {since}, ");
        let end = ": mx.example:25 (192.0.2.1) timed out at RCPT";
        assert_eq!(*note, format!("{begin}1 message waits{end}"));
        let note = outage_note(&outage(20));
        assert_eq!(*note, format!("{begin}20 messages wait{end}"));
    }
}
