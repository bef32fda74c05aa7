//! Facts read back as they were recorded, and any bytes are survived.

use mail::reply::table;

use super::*;
use crate::fact::Fact;

/// One of each kind, with what peers can put into it.
fn all() -> Facts {
    let mut facts = Facts::default();
    let sender = ReversePath::Mailbox(Mailbox::parse("a@b.example").unwrap());
    for fact in [
        Fact::EarlyTalk(Milliseconds(0), Gathered::Known(true)),
        Fact::EarlyTalk(Milliseconds(7), Gathered::Known(false)),
        Fact::ClientAddress(Gathered::Known(ClientAddress::Network(
            "2001:db8::1".parse().unwrap(),
        ))),
        Fact::HelloName(Gathered::Known("x\n=é".into())),
        Fact::Origin(Gathered::Known(Origin::Authenticated("alice".into()))),
        Fact::Sender(Gathered::Known(sender)),
        Fact::SenderDomain(Gathered::CannotTell),
        Fact::RecipientStatus(Gathered::Known(RecipientStatus::Refused(
            table::NO_SUCH_USER.reply(),
        ))),
        Fact::RecipientCount(Gathered::Known(2)),
        Fact::FieldCount(HeaderField::From, Gathered::Known(2)),
        Fact::FieldCount(HeaderField::Date, Gathered::CannotTell),
    ] {
        facts.learn(fact);
    }
    facts
}

#[test]
fn facts_read_back_as_they_were_recorded() {
    let facts = all();
    assert_eq!(Facts::from_record(&facts.to_record()), Ok(facts));
    for origin in [Origin::Generated, Origin::Local { uid: 7 }, Origin::Outside] {
        let mut facts = Facts::default();
        facts.learn(Fact::Origin(Gathered::Known(origin)));
        facts.learn(Fact::Sender(Gathered::Known(ReversePath::Null)));
        facts.learn(Fact::ClientAddress(Gathered::Known(ClientAddress::Local)));
        assert_eq!(Facts::from_record(&facts.to_record()), Ok(facts));
    }
}

#[test]
fn a_record_holds_nothing_that_only_operators_are_to_read() {
    let reply = table::NO_SUCH_USER.reply().with_cause("/var/mail/secret");
    let mut facts = Facts::default();
    facts.learn(Fact::RecipientStatus(Gathered::Known(
        RecipientStatus::Refused(reply),
    )));
    let record = facts.to_record();
    assert!(!record.windows(6).any(|bytes| bytes == b"secret"));
}

#[test]
fn a_record_of_another_version_is_named_and_an_unknown_fact_is_left_out() {
    let mut record = Facts::default().to_record();
    record.extend_from_slice(&[200, 0, 0, 0, 2, 9, 9]);
    assert_eq!(Facts::from_record(&record), Ok(Facts::default()));
    record[0] = 2;
    assert_eq!(Facts::from_record(&record), Err(RecordError::Version(2)));
    assert_eq!(Facts::from_record(&[]), Err(RecordError::Damaged));
    let too_long = vec![1; RECORD_LEN_MAX + 1];
    assert_eq!(Facts::from_record(&too_long), Err(RecordError::Damaged));
}

#[test]
fn no_changed_or_missing_byte_makes_the_reader_panic_or_guess() {
    let whole = all().to_record();
    let n_facts = all().iter().count();
    for len in 0..whole.len() {
        if let Ok(facts) = Facts::from_record(&whole[..len]) {
            assert!(facts.iter().count() < n_facts);
        }
    }
    for at in 0..whole.len() {
        for value in [0, 1, 2, 0x7f, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            let _ = Facts::from_record(&changed);
        }
    }
}
