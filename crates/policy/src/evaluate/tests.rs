//! Tables: what each check decides, and what the trail shows.

use mail::reply::table;
use mail::{Mailbox, Origin, Reply, ReversePath};

use super::*;
use crate::{
    Action, BounceRecipients, ClientAddress, Configured, DomainStatus, EarlyTalker, Fact, FactKey,
    Gathered, HeaderField, HelloIdentity, Milliseconds, OwnSender, RecipientStatus,
    RecipientValidity, RelayControl, RepeatedField, Scope,
};

use Gathered::{CannotTell, Known};

const WAIT: Milliseconds = Milliseconds(2000);

fn checks(recipient_validity: Mode) -> Checks {
    Checks::new([Configured::new(RecipientValidity, recipient_validity)])
}

fn facts(list: impl IntoIterator<Item = Fact>) -> Facts {
    let mut facts = Facts::default();
    list.into_iter().for_each(|fact| facts.learn(fact));
    facts
}

fn about_recipient(origin: &Origin, status: &Gathered<RecipientStatus>) -> Facts {
    facts([
        Fact::Origin(Known(origin.clone())),
        Fact::RecipientStatus(status.clone()),
    ])
}

fn decided(step: Step) -> Decision {
    match step {
        Step::Decided(decision) => decision,
        Step::Need(needed) => panic!("{needed:?} was there"),
    }
}

fn needed(step: Step) -> Vec<FactKey> {
    match step {
        Step::Decided(_) => Vec::new(),
        Step::Need(needed) => needed.iter().collect(),
    }
}

fn trail(decision: &Decision) -> Vec<String> {
    decision.trail.iter().map(ToString::to_string).collect()
}

fn no_such_user() -> Reply {
    table::NO_SUCH_USER.reply()
}

fn sender(text: &str) -> Fact {
    Fact::Sender(Known(match text {
        "" => ReversePath::Null,
        address => ReversePath::Mailbox(Mailbox::parse(address).unwrap()),
    }))
}

fn outside() -> Fact {
    Fact::Origin(Known(Origin::Outside))
}

fn from(address: &str) -> Fact {
    Fact::ClientAddress(Known(ClientAddress::Network(address.parse().unwrap())))
}

fn helo(name: &str) -> Fact {
    Fact::HelloName(Known(name.into()))
}

/// Every check with an action that can be set, facts in which it finds something, and what its
/// trail shows.
fn faults() -> Vec<(Configured, Facts, &'static str)> {
    let hello = HelloIdentity {
        hostname: "mx.example.org".into(),
    };
    let repeated = RepeatedField {
        field: HeaderField::From,
    };
    let with = |check: Configured, facts, shown| (check, facts, shown);
    vec![
        with(
            Configured::new(EarlyTalker { wait: WAIT }, Mode::Enforce),
            facts([Fact::EarlyTalk(WAIT, Known(true))]),
            "early-talker rejects (the client sent commands before the greeting): \
             554 5.5.1 wait for the greeting",
        ),
        with(
            Configured::new(hello, Mode::Enforce),
            facts([from("192.0.2.7"), helo("MX.example.org.")]),
            "hello-identity rejects (the name in HELO is this host's own): \
             550 5.7.1 this name in HELO is not yours",
        ),
        with(
            Configured::new(OwnSender, Mode::Enforce),
            facts([
                outside(),
                sender("boss@x.org"),
                Fact::SenderDomain(Known(DomainStatus::Internal)),
            ]),
            "own-sender rejects (the sender's domain is ours and the client proved nothing): \
             550 5.7.1 mail from this domain must come from its own senders",
        ),
        with(
            Configured::new(BounceRecipients, Mode::Enforce),
            facts([outside(), sender(""), Fact::RecipientCount(Known(2))]),
            "bounce-recipients rejects (the null sender has several recipients): \
             550 5.5.3 a bounce has one recipient",
        ),
        with(
            Configured::new(repeated, Mode::Enforce),
            facts([outside(), Fact::FieldCount(HeaderField::From, Known(2))]),
            "repeated-field rejects (the header has more than one From field): \
             550 5.6.0 a field of the header is there more often than it may be",
        ),
    ]
}

#[test]
fn each_check_decides_and_explains() {
    for (check, facts, shown) in faults() {
        let phase = check.check.phase();
        let decision = decided(evaluate(&Checks::new([check]), &facts, phase));
        assert!(matches!(decision.verdict, Verdict::Reject(_)), "{shown}");
        assert_eq!(trail(&decision), [shown]);
        assert!(decision.is_notable());
        assert!(!decision.trail[0].facts.is_empty());
    }
}

#[test]
fn each_check_that_is_observed_changes_no_verdict() {
    for (mut check, facts, shown) in faults() {
        let phase = check.check.phase();
        check.mode = Mode::Observe;
        let decision = decided(evaluate(&Checks::new([check]), &facts, phase));
        assert_eq!(decision.verdict, Verdict::Accept, "{shown}");
        assert_eq!(
            trail(&decision),
            [shown.replacen(" rejects", " would reject", 1)]
        );
    }
}

#[test]
fn each_check_that_is_off_asks_for_nothing() {
    for (mut check, _, _) in faults() {
        let phase = check.check.phase();
        check.mode = Mode::Off;
        let checks = Checks::new([check]);
        assert!(!checks.asks_in(phase));
        let decision = decided(evaluate(&checks, &Facts::default(), phase));
        assert!(decision.trail.is_empty() && !decision.is_notable());
    }
}

#[test]
fn each_action_becomes_its_verdict() {
    for (check, facts, _) in faults() {
        let (phase, name) = (check.check.phase(), check.check.name());
        let act = |action| {
            let checks = Checks::new([check.clone().with_action(action)]);
            decided(evaluate(&checks, &facts, phase))
        };
        let held = act(Action::Hold).verdict;
        assert!(matches!(&held, Verdict::Hold(why) if why.starts_with(name)));
        assert_eq!(act(Action::Discard).verdict, Verdict::Discard);
        let code = match act(Action::Defer).verdict {
            Verdict::Defer(reply) => reply.code.value(),
            other => panic!("{other:?}"),
        };
        assert_eq!(code, if phase == Phase::Connect { 421 } else { 450 });
        let tagged = act(Action::Tag);
        assert_eq!(tagged.verdict, Verdict::Accept);
        assert_eq!(tagged.tags().collect::<Vec<_>>(), [name]);
    }
}

#[test]
fn the_strongest_verdict_on_a_message_counts_and_a_refusal_above_all() {
    let repeated =
        |field, action| Configured::new(RepeatedField { field }, Mode::Enforce).with_action(action);
    let twice = |field| Fact::FieldCount(field, Known(2));
    let facts = facts([
        outside(),
        twice(HeaderField::From),
        twice(HeaderField::Date),
    ]);
    for (first, second, expected) in [
        (Action::Hold, Action::Discard, "discard"),
        (Action::Discard, Action::Hold, "discard"),
        (Action::Tag, Action::Hold, "hold"),
        (Action::Discard, Action::Refuse, "reject"),
        (Action::Refuse, Action::Discard, "reject"),
    ] {
        let checks = Checks::new([
            repeated(HeaderField::From, first),
            repeated(HeaderField::Date, second),
        ]);
        let decision = decided(evaluate(&checks, &facts, Phase::Content));
        assert_eq!(decision.verdict.name(), expected);
        let n_asked = if first == Action::Refuse { 1 } else { 2 };
        assert_eq!(decision.trail.len(), n_asked);
    }
}

#[test]
fn each_check_lets_pass_what_is_no_fault() {
    let ours = || Fact::Origin(Known(Origin::Local { uid: 1 }));
    let internal = || Fact::SenderDomain(Known(DomainStatus::Internal));
    let from_twice = || Fact::FieldCount(HeaderField::From, Known(2));
    let all = Checks::new(faults().into_iter().map(|(check, _, _)| check));
    for (phase, list) in [
        (Phase::Connect, vec![Fact::EarlyTalk(WAIT, Known(false))]),
        (Phase::Helo, vec![from("192.0.2.7"), helo("a.example")]),
        (Phase::Helo, vec![from("127.0.0.1"), helo("mx.example.org")]),
        (Phase::Helo, vec![from("192.0.2.7"), helo("[192.0.2.7]")]),
        (
            Phase::Helo,
            vec![from("2001:db8::1"), helo("[ipv6:2001:DB8:0::1]")],
        ),
        (
            Phase::Helo,
            vec![
                Fact::ClientAddress(Known(ClientAddress::Local)),
                helo("[192.0.2.7]"),
            ],
        ),
        (Phase::Mail, vec![ours(), sender("boss@x.org"), internal()]),
        (Phase::Mail, vec![outside(), sender("")]),
        (
            Phase::Mail,
            vec![
                outside(),
                sender("a@y.org"),
                Fact::SenderDomain(Known(DomainStatus::External)),
            ],
        ),
        (
            Phase::Data,
            vec![outside(), sender(""), Fact::RecipientCount(Known(1))],
        ),
        (Phase::Data, vec![outside(), sender("a@y.org")]),
        (Phase::Data, vec![ours(), sender("")]),
        (Phase::Content, vec![ours(), from_twice()]),
        (
            Phase::Content,
            vec![outside(), Fact::FieldCount(HeaderField::From, Known(1))],
        ),
    ] {
        let shown = format!("{list:?}");
        let decision = decided(evaluate(&all, &facts(list), phase));
        assert_eq!(decision.verdict, Verdict::Accept, "{shown}");
        assert!(!decision.is_notable(), "{shown}");
    }
    let foreign = facts([from("192.0.2.7"), helo("[192.0.2.8]")]);
    let decision = decided(evaluate(&all, &foreign, Phase::Helo));
    assert!(matches!(decision.verdict, Verdict::Reject(_)));
}

#[test]
fn a_fact_that_cannot_be_had_is_never_a_no_and_shows_in_the_trail() {
    for (check, mut facts, shown) in faults() {
        let phase = check.check.phase();
        let last = facts.iter().last().cloned().unwrap();
        facts.learn(match last {
            Fact::EarlyTalk(wait, _) => Fact::EarlyTalk(wait, CannotTell),
            Fact::HelloName(_) => Fact::HelloName(CannotTell),
            Fact::SenderDomain(_) => Fact::SenderDomain(CannotTell),
            Fact::RecipientCount(_) => Fact::RecipientCount(CannotTell),
            Fact::FieldCount(field, _) => Fact::FieldCount(field, CannotTell),
            other => panic!("{other:?}"),
        });
        let name = check.check.name();
        let decision = decided(evaluate(&Checks::new([check]), &facts, phase));
        assert_eq!(decision.verdict, Verdict::Accept, "{shown}");
        assert_eq!(trail(&decision), [format!("{name} cannot tell")]);
        assert!(decision.is_notable());
    }
}

#[test]
fn who_may_send_to_whom() {
    use RecipientStatus::{External, Internal};
    let local = Origin::Local { uid: 1000 };
    let known = Origin::Authenticated("alice".into());
    let refused = Known(RecipientStatus::Refused(no_such_user()));
    let deny = || Verdict::Reject(table::RELAY_DENIED.reply());
    let later = || Verdict::Defer(table::NEXT_UNAVAILABLE.reply());
    let unknown = || Verdict::Reject(no_such_user());
    for (origin, status, expected) in [
        (&Origin::Outside, Known(Internal), Verdict::Accept),
        (&Origin::Outside, Known(External), deny()),
        (&Origin::Outside, CannotTell, later()),
        (&Origin::Outside, refused.clone(), unknown()),
        (&local, Known(Internal), Verdict::Accept),
        (&local, Known(External), Verdict::Accept),
        (&local, CannotTell, Verdict::Accept),
        (&local, refused.clone(), unknown()),
        (&known, Known(External), Verdict::Accept),
        (&known, refused, unknown()),
        (&Origin::Generated, Known(External), Verdict::Accept),
    ] {
        let facts = about_recipient(origin, &status);
        let decision = decided(evaluate(&checks(Mode::Enforce), &facts, Phase::Rcpt));
        assert_eq!(decision.verdict, expected, "{origin:?} to {status:?}");
    }
}

#[test]
fn no_setting_makes_a_relay_for_the_world() {
    for mode in [Mode::Enforce, Mode::Observe, Mode::Off] {
        let lax = Checks::new([
            Configured::new(RecipientValidity, mode),
            Configured::new(RelayControl, Mode::Off),
            Configured::new(RelayControl, mode).with_action(Action::Tag),
        ]);
        for status in [Known(RecipientStatus::External), CannotTell] {
            let facts = about_recipient(&Origin::Outside, &status);
            let verdict = decided(evaluate(&lax, &facts, Phase::Rcpt)).verdict;
            assert!(verdict.is_refusal(), "{verdict:?}");
        }
    }
}

#[test]
fn a_fact_is_asked_for_only_when_it_is_needed() {
    let need = |facts: &Facts, mode| needed(evaluate(&checks(mode), facts, Phase::Rcpt));
    let mut facts = Facts::default();
    assert_eq!(need(&facts, Mode::Off), [FactKey::Origin]);
    facts.learn(Fact::Origin(Known(Origin::Local { uid: 0 })));
    assert_eq!(need(&facts, Mode::Enforce), [FactKey::RecipientStatus]);
    assert_eq!(need(&facts, Mode::Off), []);
    facts.learn(Fact::RecipientStatus(Known(RecipientStatus::Internal)));
    assert_eq!(need(&facts, Mode::Enforce), []);
    facts.begin(Scope::Recipient);
    assert_eq!(need(&facts, Mode::Enforce), [FactKey::RecipientStatus]);
    // Whose domain it is, is looked up for strangers with a sender only.
    let all = Checks::new(faults().into_iter().map(|(check, _, _)| check));
    let ours = self::facts([Fact::Origin(Known(Origin::Generated)), sender("a@x.org")]);
    assert_eq!(needed(evaluate(&all, &ours, Phase::Mail)), []);
}

#[test]
fn a_step_names_all_facts_that_its_checks_lack() {
    let names = needed(evaluate(
        &checks(Mode::Enforce),
        &Facts::default(),
        Phase::Rcpt,
    ));
    assert_eq!(names, [FactKey::Origin, FactKey::RecipientStatus]);
    let counts = [HeaderField::From, HeaderField::Date, HeaderField::From];
    let fields =
        Checks::new(counts.map(|field| Configured::new(RepeatedField { field }, Mode::Enforce)));
    let names = needed(evaluate(&fields, &Facts::default(), Phase::Content));
    let expected = [
        FactKey::Origin,
        FactKey::FieldCount(HeaderField::From),
        FactKey::FieldCount(HeaderField::Date),
    ];
    assert_eq!(names, expected, "a parameter is a part of the name");
}

#[test]
fn a_check_behind_one_that_refuses_asks_for_nothing() {
    let denied = facts([outside(), Fact::FieldCount(HeaderField::From, Known(2))]);
    let fields = [HeaderField::From, HeaderField::Date];
    let checks =
        Checks::new(fields.map(|field| Configured::new(RepeatedField { field }, Mode::Enforce)));
    let decision = decided(evaluate(&checks, &denied, Phase::Content));
    assert_eq!(decision.trail.len(), 1);
}

#[test]
fn a_fact_holds_for_its_scope() {
    let every = || {
        facts([
            from("192.0.2.7"),
            outside(),
            Fact::RecipientStatus(Known(RecipientStatus::Internal)),
            Fact::FieldCount(HeaderField::From, Known(1)),
        ])
    };
    for (scope, n_left) in [
        (Scope::Connection, 0),
        (Scope::Transaction, 1),
        (Scope::Recipient, 3),
        (Scope::Content, 3),
    ] {
        let mut facts = every();
        facts.begin(scope);
        assert_eq!(facts.iter().count(), n_left, "{scope:?}");
    }
}

#[test]
fn the_trail_names_the_checks_that_ran_and_the_one_that_decided() {
    let external = Known(RecipientStatus::External);
    let facts = about_recipient(&Origin::Outside, &external);
    let decision = decided(evaluate(&checks(Mode::Enforce), &facts, Phase::Rcpt));
    assert_eq!(
        trail(&decision),
        [
            "relay-control rejects (the recipient is external and the client may not relay): \
          550 5.7.1 relaying denied"
        ]
    );
    let refused = Known(RecipientStatus::Refused(no_such_user()));
    let facts = about_recipient(&Origin::Outside, &refused);
    let decision = decided(evaluate(&checks(Mode::Enforce), &facts, Phase::Rcpt));
    assert_eq!(
        trail(&decision),
        [
            "relay-control passes",
            "recipient-validity rejects (the recipient is refused where it would be delivered): \
             550 5.1.1 no such user"
        ]
    );
    let read = &decision.trail[1].facts;
    assert!(read.contains(FactKey::RecipientStatus) && !read.contains(FactKey::Origin));
}

#[test]
fn a_set_holds_more_than_a_few_facts() {
    let mut set = FactSet::default();
    let keys = (0..10).map(|n| FactKey::EarlyTalk(Milliseconds(n)));
    for key in keys.clone() {
        assert!(set.insert(key) && !set.insert(key));
    }
    assert_eq!(set.iter().collect::<Vec<_>>(), keys.collect::<Vec<_>>());
    assert!(!set.contains(FactKey::Origin) && !set.is_empty());
}
