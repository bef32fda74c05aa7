//! Round trips and hostile octets.

use std::net::Ipv6Addr;

use mail::{
    BodyType, Client, Disposition, EnhancedStatus, HandoffKey, MessageId, Notify, Origin, Reply,
    ReplyCode, Return, ReversePath, Security, SpoolId, Timestamp, TraceId,
};

use super::batch::BatchHeader;
use super::keys::{KeyGroup, decode_snapshot, encode_snapshot};
use super::record::{ALIGN, Kind, LEN, MessageMeta, RecordHeader, outcome_len_max};
use super::segment::{SegmentHeader, SegmentState};
use super::state::State;
use super::summary::{Summary, SummaryWriter};
use super::superblock::{Read, Superblock};
use super::{BLOCK, Identity, Position, align, message};
use crate::tests::fixture;
use crate::{IndexSet, Message, RecipientState};

const IDENTITY: Identity = Identity {
    id: SpoolId::from_bytes([1; 16]),
    secret: [2; 16],
};

const POSITION: Position = Position {
    generation: 7,
    offset: 8192,
};

/// Every prefix, and every octet changed: nothing may panic. Returns how many were believed.
fn torment(bytes: &[u8], mut decodes: impl FnMut(&[u8]) -> bool) -> usize {
    assert!(decodes(bytes));
    let prefixes = (0..bytes.len()).filter(|&n| decodes(&bytes[..n])).count();
    let mut changed = bytes.to_vec();
    let mut believed = prefixes;
    for i in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            changed[i] ^= change;
            believed += usize::from(decodes(&changed));
            changed[i] ^= change;
        }
    }
    believed
}

fn full_message() -> Message {
    let mut message = fixture::keyed(9, 70);
    message.handoff = Some(fixture::key(11));
    let provenance = &mut message.provenance;
    provenance.origin = Origin::Authenticated("alice".into());
    provenance.about = Some(TraceId::new(Timestamp::from_unix_ms(5), 6));
    provenance.client = Some(Client {
        address: Some(Ipv6Addr::LOCALHOST.into()),
        port: 4321,
        helo: "client.example".into(),
        name: Some("name.example".into()),
        security: Security::Tls,
        extended: true,
    });
    let envelope = &mut message.envelope;
    envelope.sender = ReversePath::Null;
    envelope.body = BodyType::BinaryMime;
    envelope.smtputf8 = true;
    envelope.ret = Some(Return::Headers);
    envelope.envid = Some("an id".into());
    envelope.recipients[3].notify = Notify::FAILURE.and(Notify::DELAY);
    envelope.recipients[3].orcpt = Some("rfc822;käthe@example".into());
    message
}

fn full_state() -> State {
    let reply = |n, text| {
        let status = EnhancedStatus::new(4, 7, n);
        Some(Reply::new(ReplyCode::new(450), Some(status), text))
    };
    let caused = |cause| reply(3, "busy").map(|reply| reply.with_cause(cause));
    let recipient = |disposition, attempts, reply, key: Option<u64>| RecipientState {
        disposition,
        attempts,
        reply,
        handoff: key.map(fixture::key),
    };
    State {
        cut_short: 3,
        under_way: [0, 70].into_iter().collect(),
        next_due: Some(Timestamp::from_unix_ms(1 << 40)),
        bound_as_accepted: [2].into_iter().collect(),
        recipients: vec![
            recipient(Disposition::Pending, 3, reply(1, "later"), Some(3)),
            recipient(Disposition::Failed, 1, None, None),
            recipient(Disposition::Held, 300, reply(2, "held"), None),
            recipient(Disposition::Delivered, 1, reply(1, "later"), Some(4)),
            recipient(Disposition::Dropped, 0, reply(2, "held"), Some(3)),
            recipient(Disposition::Pending, 1, caused("host a"), None),
            recipient(Disposition::Pending, 1, caused("host b"), None),
        ],
    }
}

#[test]
fn no_outcome_without_texts_is_longer_than_what_is_set_aside() {
    for n_recipients in [1_u16, 2, 70, 1000] {
        let status = EnhancedStatus::new(5, 999, 999);
        let recipient = |i: u16| RecipientState {
            disposition: Disposition::Failed,
            attempts: u32::MAX,
            // Different ones, so that none is written once for several.
            reply: Some(Reply::new(ReplyCode::new(400 + i % 100), Some(status), "")),
            handoff: Some(HandoffKey {
                epoch: u64::MAX,
                ..fixture::key(u64::MAX - u64::from(i))
            }),
        };
        let set = IndexSet::all(n_recipients.into());
        let longest = State {
            cut_short: u32::MAX,
            under_way: set.clone(),
            next_due: Some(Timestamp::from_unix_ms(u64::MAX)),
            bound_as_accepted: set,
            recipients: (0..n_recipients).map(recipient).collect(),
        };
        let len = (LEN + longest.encode().len()) as u64;
        let set_aside = outcome_len_max(u32::from(n_recipients));
        assert!(align(len, ALIGN) <= set_aside, "{len} of {set_aside}");
    }
}

#[test]
fn messages_read_back_as_they_were_written_and_hostile_ones_are_refused() {
    for message in [full_message(), fixture::message(1, 1)] {
        let bytes = message::encode(&message, 4);
        assert_eq!(message::decode(&bytes), Some(message.clone()));
        let front = message::decode_front(&bytes).expect("good");
        assert_eq!(front.key, message.key);
        assert_eq!(
            front.n_recipients as usize,
            message.envelope.recipients.len()
        );
        torment(&bytes, |bytes| message::decode(bytes).is_some());
        torment(&bytes, |bytes| message::decode_front(bytes).is_some());
    }
}

#[test]
fn states_read_back_as_they_were_written_and_a_shared_reply_is_written_once() {
    let state = full_state();
    let bytes = state.encode();
    let read = State::decode(&bytes);
    let causes = |state: &State| -> Vec<_> {
        let replies = state.recipients.iter().map(|r| r.reply.as_ref());
        replies
            .map(|reply| Some(reply?.cause()?.to_owned()))
            .collect()
    };
    assert_eq!(read.as_ref().map(causes), Some(causes(&state)));
    assert_eq!(read, Some(state));
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(text.matches("later").count(), 1);
    torment(&bytes, |bytes| State::decode(bytes).is_some());
}

#[test]
fn snapshots_of_keys_read_back_as_they_were_written() {
    let group = |epoch| KeyGroup {
        sender: SpoolId::from_bytes([3; 16]),
        epoch,
        lowest: 5,
        accepted: vec![(6, IndexSet::all(1)), (9, IndexSet::all(200))],
    };
    let groups = vec![group(1), group(2)];
    let bytes = encode_snapshot(&groups);
    assert_eq!(decode_snapshot(&bytes), Some(groups));
    torment(&bytes, |bytes| decode_snapshot(bytes).is_some());
}

#[test]
fn a_superblock_with_any_octet_changed_is_no_superblock() {
    let superblock = Superblock {
        identity: IDENTITY,
        epoch: 5,
        first_id: 6,
        n_segments: 7,
    };
    let bytes = superblock.encode();
    let good = |bytes: &[u8]| !matches!(Superblock::decode(bytes), Read::Bad);
    assert_eq!(torment(&bytes, good), 0);
}

#[test]
fn of_two_header_slots_the_newer_good_one_counts() {
    let header = SegmentHeader {
        number: 3,
        generation: 8,
        counter: 4,
        len: 65_536,
        state: SegmentState::Sealed(12_288),
        next_id: 10,
        first_sequence: 11,
    };
    let newer = SegmentHeader {
        counter: 5,
        state: SegmentState::Free,
        generation: 9,
        ..header
    };
    let mut blocks = vec![0; 2 * BLOCK as usize];
    for header in [header, newer] {
        let bytes = header.encode(&IDENTITY);
        let at = usize::try_from(header.slot_offsets()[0]).expect("small");
        blocks[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    let decode = |blocks: &[u8]| SegmentHeader::decode(&IDENTITY, blocks);
    assert_eq!(decode(&blocks), Some(newer));
    blocks[4096 + 20] ^= 1;
    assert_eq!(decode(&blocks), Some(header));
    blocks[20] ^= 1;
    assert_eq!(decode(&blocks), None);
}

#[test]
fn a_header_counts_only_where_it_was_written_in_that_life_of_that_spool() {
    let record = RecordHeader {
        kind: Kind::Moved,
        meta_len: 100,
        content_len: 4_096,
        id: MessageId(77),
        file: 0,
        meta_crc: 1,
        content_crc: 2,
    };
    let batch = BatchHeader {
        len: 5_000,
        sequence: 9,
        durable: 8_192,
        n_records: 1,
        next_id: 78,
    };
    let record_bytes = record.encode(&IDENTITY, POSITION);
    let batch_bytes = batch.encode(&IDENTITY, POSITION);
    let decode = |identity: &Identity, position| {
        let record = RecordHeader::decode(identity, position, &record_bytes);
        let batch = BatchHeader::decode(identity, position, &batch_bytes);
        assert_eq!(record.is_some(), batch.is_some());
        record.zip(batch)
    };
    assert_eq!(decode(&IDENTITY, POSITION), Some((record, batch)));
    let elsewhere = Position {
        offset: POSITION.offset + 8,
        ..POSITION
    };
    let stale = Position {
        generation: 8,
        ..POSITION
    };
    let other = Identity {
        secret: [3; 16],
        ..IDENTITY
    };
    assert_eq!(decode(&IDENTITY, elsewhere), None);
    assert_eq!(decode(&IDENTITY, stale), None);
    assert_eq!(decode(&other, POSITION), None);
    let record_is_good = |bytes: &[u8]| RecordHeader::decode(&IDENTITY, POSITION, bytes).is_some();
    let batch_is_good = |bytes: &[u8]| BatchHeader::decode(&IDENTITY, POSITION, bytes).is_some();
    assert_eq!(torment(&record_bytes, record_is_good), 0);
    assert_eq!(torment(&batch_bytes, batch_is_good), 0);
}

#[test]
fn the_parts_of_a_meta_are_told_apart() {
    let meta = MessageMeta {
        message: b"message",
        state: b"state",
        original: Some((MessageId(5), b"left")),
    };
    let bytes = meta.encode();
    assert_eq!(MessageMeta::decode(Kind::Notified, &bytes), Some(meta));
    assert_eq!(MessageMeta::decode(Kind::Accepted, &bytes), None);
    torment(&bytes, |bytes| {
        MessageMeta::decode(Kind::Notified, bytes).is_some()
    });
}

#[test]
fn a_summary_with_any_octet_changed_is_no_summary() {
    let record = RecordHeader {
        kind: Kind::State,
        meta_len: 5,
        content_len: 0,
        id: MessageId(7),
        file: 0,
        meta_crc: super::crc32c(b"state"),
        content_crc: 0,
    };
    let mut writer = SummaryWriter::new();
    writer.add(8_232, &record.encode(&IDENTITY, POSITION), b"state");
    let bytes = writer.finish(&IDENTITY, 7, 12_288, 3);
    let open = |bytes: &[u8]| {
        let summary = Summary::open(&IDENTITY, 7, 12_288, bytes)?;
        Some(
            summary
                .map(|r| (r.offset, r.header, r.meta.to_vec()))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(open(&bytes), Some(vec![(8_232, record, b"state".to_vec())]));
    assert!(Summary::open(&IDENTITY, 8, 12_288, &bytes).is_none());
    assert_eq!(torment(&bytes, |bytes| open(bytes).is_some()), 0);
}
