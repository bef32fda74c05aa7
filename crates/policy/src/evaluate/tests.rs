//! Tables: who may send to whom, and what the trail says.

use mail::reply::table;
use mail::{Origin, Reply};

use super::*;
use crate::{Check, Configured, Fact, FactKey, Standing};

fn checks(recipient_validity: Mode) -> Checks {
    Checks::new([Configured {
        check: Check::RecipientValidity,
        mode: recipient_validity,
    }])
}

fn facts(origin: &Origin, standing: &Standing) -> Facts {
    let mut facts = Facts::default();
    facts.learn(Fact::Origin(origin.clone()));
    facts.learn(Fact::RecipientStanding(standing.clone()));
    facts
}

fn decide(checks: &Checks, origin: &Origin, standing: &Standing) -> Decision {
    match evaluate(checks, &facts(origin, standing), Phase::Rcpt) {
        Step::Decided(decision) => decision,
        Step::Need(key) => panic!("{key:?} was there"),
    }
}

fn trail(decision: &Decision) -> Vec<String> {
    decision.because.iter().map(ToString::to_string).collect()
}

fn no_such_user() -> Reply {
    table::NO_SUCH_USER.reply()
}

#[test]
fn who_may_send_to_whom() {
    let local = Origin::Local { uid: 1000 };
    let known = Origin::Authenticated("alice".into());
    let refused = Standing::Refused(no_such_user());
    let deny = || Verdict::Reject(table::RELAY_DENIED.reply());
    let later = || Verdict::Defer(table::NEXT_UNAVAILABLE.reply());
    let unknown = || Verdict::Reject(no_such_user());
    for (origin, standing, expected) in [
        (&Origin::Outside, Standing::Ours, Verdict::Accept),
        (&Origin::Outside, Standing::Elsewhere, deny()),
        (&Origin::Outside, Standing::NoAnswer, later()),
        (&Origin::Outside, refused.clone(), unknown()),
        (&local, Standing::Ours, Verdict::Accept),
        (&local, Standing::Elsewhere, Verdict::Accept),
        (&local, Standing::NoAnswer, Verdict::Accept),
        (&local, refused.clone(), unknown()),
        (&known, Standing::Elsewhere, Verdict::Accept),
        (&known, refused, unknown()),
        (&Origin::Generated, Standing::Elsewhere, Verdict::Accept),
    ] {
        let decision = decide(&checks(Mode::Enforce), origin, &standing);
        assert_eq!(decision.verdict, expected, "{origin:?} to {standing:?}");
    }
}

#[test]
fn no_setting_makes_a_relay_for_the_world() {
    for mode in [Mode::Enforce, Mode::Observe, Mode::Off] {
        let lax = Checks::new([
            Configured {
                check: Check::RecipientValidity,
                mode,
            },
            Configured {
                check: Check::RelayControl,
                mode: Mode::Off,
            },
            Configured {
                check: Check::RelayControl,
                mode,
            },
        ]);
        for standing in [Standing::Elsewhere, Standing::NoAnswer] {
            let verdict = decide(&lax, &Origin::Outside, &standing).verdict;
            assert!(
                matches!(verdict, Verdict::Reject(_) | Verdict::Defer(_)),
                "{verdict:?}"
            );
        }
    }
}

#[test]
fn a_fact_is_asked_for_only_when_it_is_needed() {
    let need = |facts: &Facts, checks: &Checks| match evaluate(checks, facts, Phase::Rcpt) {
        Step::Need(key) => Some(key),
        Step::Decided(_) => None,
    };
    let mut facts = Facts::default();
    assert_eq!(need(&facts, &checks(Mode::Enforce)), Some(FactKey::Origin));
    facts.learn(Fact::Origin(Origin::Local { uid: 0 }));
    assert_eq!(
        need(&facts, &checks(Mode::Enforce)),
        Some(FactKey::RecipientStanding)
    );
    assert_eq!(need(&facts, &checks(Mode::Off)), None);
    facts.learn(Fact::RecipientStanding(Standing::Ours));
    assert_eq!(need(&facts, &checks(Mode::Enforce)), None);
    facts.begin_recipient();
    assert_eq!(
        need(&facts, &checks(Mode::Enforce)),
        Some(FactKey::RecipientStanding)
    );
}

#[test]
fn the_trail_names_the_checks_that_ran_and_the_one_that_decided() {
    let decision = decide(
        &checks(Mode::Enforce),
        &Origin::Outside,
        &Standing::Elsewhere,
    );
    assert_eq!(
        trail(&decision),
        ["relay-control rejects: 550 5.7.1 relaying denied"]
    );
    let refused = Standing::Refused(no_such_user());
    let decision = decide(&checks(Mode::Enforce), &Origin::Outside, &refused);
    assert_eq!(
        trail(&decision),
        [
            "relay-control passes",
            "recipient-validity rejects: 550 5.1.1 no such user"
        ]
    );
    let facts = decision.because[1].facts;
    assert!(facts.contains(FactKey::RecipientStanding) && !facts.contains(FactKey::Origin));
}

#[test]
fn an_observed_check_only_says_what_it_would_do() {
    let refused = Standing::Refused(no_such_user());
    let decision = decide(&checks(Mode::Observe), &Origin::Outside, &refused);
    assert_eq!(decision.verdict, Verdict::Accept);
    assert_eq!(
        trail(&decision),
        [
            "relay-control passes",
            "recipient-validity would reject: 550 5.1.1 no such user"
        ]
    );
}

#[test]
fn a_phase_without_checks_goes_on() {
    for phase in [
        Phase::Connect,
        Phase::Helo,
        Phase::Mail,
        Phase::Data,
        Phase::Content,
    ] {
        let decision = Decision {
            verdict: Verdict::Accept,
            because: Vec::new(),
        };
        let step = evaluate(&checks(Mode::Enforce), &Facts::default(), phase);
        assert_eq!(step, Step::Decided(decision), "{}", phase.name());
    }
}

#[test]
fn marks_are_collected_from_the_checks_that_count() {
    let mark = |mode, tag: &str| Reason {
        check: "some-check",
        mode,
        finding: Finding::Says(Verdict::Tag(tag.into())),
        facts: crate::FactKeys::default(),
    };
    let because = vec![mark(Mode::Enforce, "bulk"), mark(Mode::Observe, "spam")];
    let decision = Decision {
        verdict: Verdict::Accept,
        because,
    };
    assert_eq!(decision.tags().collect::<Vec<_>>(), ["bulk"]);
    assert_eq!(
        trail(&decision),
        ["some-check tags: bulk", "some-check would tag: spam"]
    );
}
