//! Messages that the spool has and cannot read.

use std::time::Duration;

use mail::event::What;
use mail::{HandoffKey, MessageId, Timestamp};
use spool::simulated::{PowerCut, SimulatedDisk};
use spool::{Content, Progress, RecipientState, Spool};

use crate::host::Host;
use crate::world::{Instance, LIMIT, PATIENT, Plan, alarm, delivered, message, open, relay};

const SEGMENT: &str = "seg-00000000";
const SUMMARY: &str = "seg-00000000.sum";
const RECORD_HEADER_LEN: usize = 48;

/// Octets of the messages of a test: enough to keep their segment from being emptied.
const CONTENTS_LEN: usize = 200_000;

/// A disk with a spool whose first segment is sealed and has a summary, and the two messages or more
/// in it.
async fn sealed(to: &[&str]) -> (SimulatedDisk, Vec<MessageId>) {
    sealed_with(to, async |_, _| ()).await
}

/// The same, where something happened to the last message.
async fn sealed_with(
    to: &[&str],
    happened: impl AsyncFnOnce(&Spool, MessageId),
) -> (SimulatedDisk, Vec<MessageId>) {
    let disk = SimulatedDisk::new();
    let (spool, _) = open(&disk);
    let mut ids = Vec::new();
    let content = "\r\n".repeat(CONTENTS_LEN / 2 / to.len());
    for to in to {
        let octets = Content::Bytes(content.clone().into_bytes().into());
        ids.push(spool.accept(&message(&[to]), octets).await.unwrap());
    }
    happened(&spool, *ids.last().unwrap()).await;
    // What lies in the last batch would be copied at the next opening.
    for _ in 0..2 {
        let octets = Content::Bytes(b"\r\n".to_vec().into());
        let last = spool.accept(&message(&["last@y.org"]), octets).await;
        spool.done(last.unwrap()).await.unwrap();
    }
    spool.close();
    // The next opening seals the segment, and the one after that writes its summary.
    for _ in 0..2 {
        open(&disk).0.close();
    }
    assert!(disk.contents(SUMMARY).is_some());
    (disk.after(PowerCut::Kept), ids)
}

/// Changes an octet in what the record of a message says of it.
fn damage(disk: &SimulatedDisk, id: MessageId) {
    let mut segment = disk.contents(SEGMENT).unwrap();
    let is_its = |at: &usize| {
        let record = &segment[*at..];
        record.starts_with(b"PR\x01") && record[16..24] == id.0.to_le_bytes()
    };
    let places = (8192..segment.len() - RECORD_HEADER_LEN).step_by(8);
    let record = places.into_iter().find(is_its).unwrap();
    segment[record + RECORD_HEADER_LEN + 4] ^= 0x20;
    disk.put(SEGMENT, segment);
}

/// The summary goes while the instance starts: what it knew to be there it cannot read then.
fn on_without_summary(disk: &SimulatedDisk, port: u16) -> Instance {
    Instance::on(disk.clone(), &PATIENT, |_, _| {
        disk.put(SUMMARY, Vec::new());
        vec![relay("y.org", port)]
    })
}

fn told_of(id: MessageId) -> impl Fn(&What) -> bool {
    move |what| matches!(what, What::Alarm { text } if text.contains(&format!("message {id} ")))
}

#[tokio::test]
async fn what_is_known_of_a_message_twice_is_not_lost_when_one_place_is_damaged() {
    let host = Host::new(&[]).await;
    let (disk, ids) = sealed(&["a@y.org", "b@y.org"]).await;
    ids.iter().for_each(|id| damage(&disk, *id));
    let routes = vec![relay("y.org", host.port)];
    let instance = Instance::on(disk, &PATIENT, |_, _| routes);
    instance.noted.until(2, delivered).await;
    instance.empty().await;
    assert_eq!(instance.noted.count(alarm), 0);
}

#[tokio::test]
async fn one_message_that_cannot_be_read_keeps_no_other_from_its_way() {
    let host = Host::new(&[]).await;
    let (disk, ids) = sealed(&["a@y.org", "b@y.org", "c@y.org"]).await;
    let summary = disk.contents(SUMMARY).unwrap();
    let whole = disk.contents(SEGMENT).unwrap();
    damage(&disk, ids[1]);
    let instance = on_without_summary(&disk, host.port);
    instance.noted.until(2, delivered).await;
    instance.idle().await;
    assert_eq!(instance.noted.count(told_of(ids[1])), 1);
    assert_eq!(instance.noted.count(alarm), 1);
    assert_eq!(instance.delivery.unreadable(10), (vec![ids[1]], 1));
    let counts = instance.delivery.counts();
    assert_eq!((counts.n_messages, instance.n_held()), (1, 1));
    let released = instance.delivery.release(ids[1], None, "uid 0").await;
    assert!(released.unwrap_err().contains("damaged"));
    // It is as it was: where the damage goes away, so does everything else.
    instance.delivery.stop().await;
    instance.spool.close();
    disk.put(SEGMENT, whole);
    disk.put(SUMMARY, summary);
    let routes = vec![relay("y.org", host.port)];
    let again = Instance::on(disk.after(PowerCut::Lost), &PATIENT, |_, _| routes);
    again.noted.until(1, delivered).await;
    again.empty().await;
    assert_eq!(again.noted.count(alarm), 0);
    assert_eq!(host.taken().len(), 3);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_can_be_given_up() {
    let host = Host::new(&[]).await;
    let (disk, ids) = sealed(&["a@y.org", "b@y.org"]).await;
    damage(&disk, ids[0]);
    let instance = on_without_summary(&disk, host.port);
    let given_up = instance.delivery.discard(ids[0], None, "uid 0").await;
    assert_eq!(given_up.unwrap().n_recipients, 1);
    instance.empty().await;
    assert_eq!(instance.delivery.unreadable(10), (vec![], 0));
    let told = |what: &What| matches!(what, What::Instance { text } if text.contains("uid 0"));
    assert_eq!(instance.noted.count(told), 1);
}

#[tokio::test]
async fn the_next_instance_does_not_forget_a_message_that_cannot_be_read() {
    let key = |spool: &Spool| HandoffKey {
        sender: spool.id(),
        epoch: spool.epoch(),
        number: 7,
    };
    let mut bound = None;
    let (disk, ids) = sealed_with(&["a@x.org", "b@y.org"], async |spool, id| {
        bound = Some(key(spool));
        let state = RecipientState {
            handoff: bound,
            ..RecipientState::NEW
        };
        let progress = Progress {
            recipients: vec![(0, state)],
            next_due: Timestamp::from_unix_ms(0),
        };
        spool.progress(id, progress).await.unwrap();
    })
    .await;
    damage(&disk, ids[1]);
    let instance = on_without_summary(&disk, 1);
    assert_eq!(instance.delivery.unreadable(10).0, [ids[1]]);
    assert_eq!(instance.adopted, Vec::from_iter(bound));
}

/// What is damaged after the start is found by an attempt.
#[tokio::test]
async fn a_message_that_an_attempt_cannot_read_is_told_once_however_often_it_is_tried() {
    let host = Host::new(&[]).await;
    let (disk, ids) = sealed(&["a@y.org", "b@y.org"]).await;
    damage(&disk, ids[0]);
    // What has expired is tried again by every sweep.
    let plan = Plan {
        expire_after: Duration::ZERO,
        ..PATIENT
    };
    let routes = vec![relay("y.org", host.port)];
    let instance = Instance::on(disk.clone(), &plan, |_, _| routes);
    let summary = disk.contents(SUMMARY).unwrap();
    disk.put(SUMMARY, Vec::new());
    instance.noted.until(1, told_of(ids[0])).await;
    instance.noted.until(1, delivered).await;
    let n_reads = disk.n_reads();
    let trying = async {
        while disk.n_reads() < n_reads + 10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, trying).await.unwrap();
    assert_eq!(instance.noted.count(alarm), 1);
    let counts = instance.delivery.counts();
    assert_eq!((counts.n_messages, instance.n_held()), (1, 0));
    // It is delivered as soon as it can be read.
    disk.put(SUMMARY, summary);
    instance.noted.until(2, delivered).await;
    instance.empty().await;
    assert_eq!(instance.delivery.unreadable(10).1, 0);
}
