//! The filter language, as tables: what is read, what is refused, what is chosen.

use mail::{Mailbox, Reply, ReplyCode, ReversePath};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_795_477_800_000)
}

fn recipient(index: u32, address: &str, disposition: Disposition, reply: &str) -> RecipientRow {
    RecipientRow {
        index,
        address: Mailbox::parse(address).expect("an address"),
        disposition,
        attempts: index,
        next_due: None,
        reply: Some(Reply::new(ReplyCode::new(451), None, reply)),
        waits_for: None,
        destination: "relay".into(),
    }
}

/// Message 12, three hours old, 5,000 octets, by user 1000, to two recipients.
fn row() -> QueueRow {
    QueueRow {
        id: MessageId(12),
        trace: TraceId::new(now(), 7),
        from: ReversePath::parse("Alice@Example.org").expect("a path"),
        arrived: Timestamp::from_unix_ms(now().unix_ms() - 3 * 3_600_000),
        size_bytes: 5000,
        origin: Origin::Local { uid: 1000 },
        recipients: vec![
            recipient(0, "bob@one.example", Disposition::Held, "no relay yet"),
            recipient(
                1,
                "carol@two.example",
                Disposition::Pending,
                "Greylisted, try later",
            ),
        ],
    }
}

/// What memory has of it.
fn brief() -> Brief {
    Brief {
        id: row().id,
        arrived: row().arrived,
        size_bytes: row().size_bytes,
        n_recipients: 2,
        n_deferred: 1,
        n_held: 1,
    }
}

#[track_caller]
fn check(words: &[&str], expected: Selection) {
    let filter = Filter::parse(words).expect("a filter");
    assert_eq!(filter.select(&row(), now()), expected, "{words:?}");
    // What memory has of it is enough for some filters, and leads to the same.
    if filter.is_brief() {
        let n_chosen = match &expected {
            Selection::Message => 2,
            Selection::None => 0,
            Selection::Recipients(chosen) => chosen.len(),
        };
        let n_left = filter
            .restrict(brief(), now())
            .map_or(0, |left| left.n_recipients);
        assert_eq!(usize::try_from(n_left), Ok(n_chosen), "{words:?}");
    }
}

#[test]
fn terms_about_the_message_choose_all_of_it() {
    let trace = row().trace.to_string();
    for words in [
        &[][..],
        &["from=alice@example.org"],
        &["from=<ALICE@*>"],
        &["from=*"],
        &["uid=1000", "size>4999", "size<5001", "age>2h", "age<4h"],
        &["larger=4k", "smaller=1M", "older=179m", "younger=1d"],
        &["12"],
        &["input/12"],
        &[trace.as_str()],
        &["trace=00000000000000000000000000", "from=*"][1..],
    ] {
        check(words, Selection::Message);
    }
}

#[test]
fn terms_about_recipients_choose_recipients() {
    let recipients = |list: &[u32]| Selection::Recipients(list.to_vec());
    check(&["to=*@*.example"], recipients(&[0, 1]));
    check(&["to=bob@one.example"], recipients(&[0]));
    check(&["domain=TWO.example"], recipients(&[1]));
    check(&["state=held"], recipients(&[0]));
    check(&["state=pending"], recipients(&[1]));
    check(&["state=deferred"], recipients(&[1]));
    check(&["reason=greylist"], recipients(&[1]));
    check(&["reason=451*try"], recipients(&[1]));
    check(&["from=alice*", "domain=two.example"], recipients(&[1]));
}

#[test]
fn all_terms_must_hold() {
    for words in [
        &["from=bob*"][..],
        &["from="],
        &["uid=0"],
        &["13"],
        &["age>3h"],
        &["age<3h"],
        &["size>5000"],
        &["domain=one.example", "state=pending"],
        &["domain=example"],
        &["reason=no such reason"],
        &["trace=00000000000000000000000000"],
        &["uid=0", "to=*"],
    ] {
        check(words, Selection::None);
    }
}

#[test]
fn of_several_names_each_names_a_message() {
    let trace = row().trace.to_string();
    for words in [
        &["12", "13"][..],
        &["13", "12"],
        &["id=13", "id=12"],
        &["output/13", "input/12"],
        &["13", trace.as_str()],
        &["13", "trace=00000000000000000000000000", "12"],
    ] {
        check(words, Selection::Message);
    }
    check(&["13", "14"], Selection::None);
    check(&["12", "13", "state=held"], Selection::Recipients(vec![0]));
}

#[test]
fn names_are_meant_for_their_instance() {
    let filter = Filter::parse(&["output/12", "input/13"]).expect("a filter");
    assert!(filter.has_instance("input") && filter.has_instance("output"));
    assert!(!filter.has_instance("submission"));
    let for_input = filter.clone().for_instance("input");
    assert_eq!(for_input.ids(), [MessageId(13)]);
    assert_eq!(for_input.select(&row(), now()), Selection::None);
    let for_output = filter.for_instance("output");
    assert_eq!(for_output.select(&row(), now()), Selection::Message);
}

#[test]
fn of_a_term_that_is_given_several_times_one_must_hold() {
    let recipients = |list: &[u32]| Selection::Recipients(list.to_vec());
    check(
        &["domain=one.example", "domain=two.example"],
        recipients(&[0, 1]),
    );
    check(&["state=held", "state=deferred"], recipients(&[0, 1]));
    check(&["state=held", "state=failed"], recipients(&[0]));
    check(&["from=bob*", "from=alice*"], Selection::Message);
    check(
        &["uid=0", "uid=1000", "domain=two.example"],
        recipients(&[1]),
    );
    check(&["age>2h", "age>4h"], Selection::None);
}

#[test]
fn an_address_can_be_written_as_people_do() {
    let recipients = |list: &[u32]| Selection::Recipients(list.to_vec());
    check(&["to=<bob@one.example>"], recipients(&[0]));
    check(&["to=bob"], recipients(&[0]));
    check(&["domain=@two.example"], recipients(&[1]));
    check(&["state=HELD"], recipients(&[0]));
    check(&["from=alice"], Selection::Message);
    check(&["to=bo"], Selection::None);
}

#[test]
fn a_domain_is_found_in_unicode_and_as_a_label() {
    for written in ["Bücher.example", "XN--bcher-kva.example"] {
        let address = format!("Bob@mail.{written}");
        let mut row = row();
        row.from = ReversePath::parse(&address).expect("a path");
        row.recipients = vec![recipient(0, &address, Disposition::Pending, "later")];
        for (chosen, words) in [
            (true, "domain=mail.bücher.example"),
            (true, "domain=@mail.BÜCHER.example"),
            (true, "domain=mail.xn--bcher-kva.example"),
            (true, "domain=*.bücher.example"),
            (true, "domain=*.xn--bcher-kva.example"),
            (true, "domain=*BÜCHER*"),
            (true, "to=bob@mail.bücher.example"),
            (true, "to=<*@mail.xn--bcher-kva.example>"),
            (true, "to=*@*.BÜCHER.example"),
            (true, "from=bob@mail.BÜCHER.example"),
            (true, "from=*@mail.xn--bcher-kva.*"),
            (false, "domain=bücher.example"),
            (false, "domain=*.bucher.example"),
            (false, "to=bob@mail.bucher.example"),
            (false, "from=böb@mail.bücher.example"),
        ] {
            let filter = Filter::parse(&[words]).expect("a filter");
            let selection = filter.select(&row, now());
            assert_eq!(selection != Selection::None, chosen, "{words} {address}");
        }
    }
}

#[test]
fn the_null_sender_can_be_asked_for() {
    let bounce = QueueRow {
        from: ReversePath::Null,
        ..row()
    };
    for (word, selection) in [
        ("from=", Selection::Message),
        ("from=<>", Selection::Message),
        ("from=*", Selection::Message),
        ("from=a*", Selection::None),
    ] {
        let filter = Filter::parse(&[word]).expect("a filter");
        assert_eq!(filter.select(&bounce, now()), selection, "{word}");
    }
}

#[test]
fn what_is_no_filter_is_refused_with_what_it_should_be() {
    for (word, part) in [
        ("form=a@b", "the filters are instance= from="),
        ("alice@example.org", "write name=value"),
        ("age=2h", "age>2h"),
        ("age>2", "such as 90s"),
        ("age>h", "such as 90s"),
        ("age>99999999999999999999d", "such as 90s"),
        ("age>18446744073709551615w", "such as 90s"),
        ("size>", "such as 500"),
        ("size>5x", "such as 500"),
        ("size=5", "size>5M"),
        ("to=", "wants a text"),
        ("from>a", "the filters are"),
        ("state=bounced", "pending, deferred"),
        ("uid=bob", "the number of a user"),
        ("trace=xyz", "a trace id"),
        ("id=x", "a number"),
        ("/12", "write name=value"),
        ("input/", "write name=value"),
        ("", "write name=value"),
        ("é", "write name=value"),
    ] {
        let error = Filter::parse(&[word]).expect_err(word).to_string();
        assert!(error.contains(part), "{word}: {error}");
    }
    let many = vec!["from=a"; N_TERMS_MAX + 1];
    assert_eq!(Filter::parse(&many), Err(FilterError::TooMany));
}

#[test]
fn a_number_alone_is_ambiguous_and_an_instance_makes_it_clear() {
    for (words, ambiguous, is_input, is_output) in [
        (&["12"][..], true, true, true),
        (&["input/12"], false, true, false),
        (&["id=12", "instance=out*"], false, false, true),
        (&["instance=*"], false, true, true),
        (&["from=a"], false, true, true),
        (&["input/12", "12"], true, true, true),
        (&["input/12", "output/13"], false, true, true),
        (&["instance=input", "instance=output"], false, true, true),
    ] {
        let filter = Filter::parse(words).expect("a filter");
        let found = (
            filter.is_ambiguous(),
            filter.has_instance("input"),
            filter.has_instance("output"),
        );
        assert_eq!(found, (ambiguous, is_input, is_output), "{words:?}");
    }
}

#[test]
fn stars_stand_for_any_text_and_never_take_long() {
    for (pattern, text, expected) in [
        ("a*c", "abbc", true),
        ("a*c", "abbcd", false),
        ("*b*", "abc", true),
        ("**", "", true),
        ("a*b*c", "axbxbxc", true),
        ("a*b*c", "axbxb", false),
        ("*.example", "x.example.example", true),
    ] {
        assert_eq!(
            matches_glob(pattern.as_bytes(), text.as_bytes()),
            expected,
            "{pattern}"
        );
    }
    let (pattern, text) = ("a*".repeat(500) + "b", "a".repeat(5000));
    assert!(!matches_glob(pattern.as_bytes(), text.as_bytes()));
}
