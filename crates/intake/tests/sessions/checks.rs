//! Checks in every phase of a client's session: what is enforced, observed, held and dropped.

use mail::Origin;
use mail::event::What;
use policy::{
    Action, BounceRecipients, Check, Checks, Configured, EarlyTalker, HeaderField, HelloIdentity,
    Milliseconds, Mode, OwnSender, RecipientValidity, RepeatedField,
};
use spool::RecipientState;

use crate::world::{Client, Instance};

/// Longer than a test may take: the greeting comes because the client talks, or not at all.
const LONG: Milliseconds = Milliseconds(60_000);

const TWICE: &str = "From: a@y.org\r\nFrom: b@y.org\r\n\r\nx\r\n";

fn with(check: impl Check + 'static, mode: Mode, action: Action) -> Checks {
    let check = Configured::new(check, mode).with_action(action);
    let recipients = Configured::new(RecipientValidity, Mode::Enforce);
    Checks::new([check, recipients])
}

fn hello() -> HelloIdentity {
    HelloIdentity {
        hostname: "mail.x.org".into(),
    }
}

fn repeated() -> RepeatedField {
    RepeatedField {
        field: HeaderField::From,
    }
}

/// The trails that were logged: phase, verdict, checks, facts.
fn trails(instance: &Instance) -> Vec<[String; 4]> {
    let trail = |what: &What| match what {
        What::Checked {
            phase,
            verdict,
            checks,
            facts,
            ..
        } => Some([*phase, &**verdict, &**checks, &**facts].map(str::to_owned)),
        _ => None,
    };
    instance.told().iter().filter_map(trail).collect()
}

/// The phases in which something was refused.
fn refused(instance: &Instance) -> Vec<&'static str> {
    let refused = |what: &What| match what {
        What::Refused { phase, .. } => Some(*phase),
        _ => None,
    };
    instance.told().iter().filter_map(refused).collect()
}

/// A client whose session makes every check of the list find something.
async fn play_all(instance: &Instance) -> String {
    let mut client = instance.silent_client();
    let mut heard = client.reply_to("EHLO mail.x.org").await;
    for line in [
        "",
        "EHLO client.example",
        "MAIL FROM:<boss@x.org>",
        "RSET",
        "MAIL FROM:<>",
        "RCPT TO:<alice@x.org>",
        "RCPT TO:<bob@x.org>",
        "DATA",
        &format!("{TWICE}."),
        "QUIT",
    ] {
        heard += &match line {
            "" => client.next_reply().await,
            line => client.reply_to(line).await,
        };
    }
    heard
}

#[tokio::test]
async fn a_check_that_is_observed_changes_no_reply_and_logs_what_it_would_do() {
    let all = |mode| {
        Checks::new([
            Configured::new(EarlyTalker { wait: LONG }, mode),
            Configured::new(hello(), mode),
            Configured::new(OwnSender, mode),
            Configured::new(BounceRecipients, mode),
            Configured::new(repeated(), mode),
        ])
    };
    let without_trace = |heard: String| {
        let (before, after) = heard.split_once("accepted as ").expect("it is accepted");
        let (_trace, after) = after.split_once("\r\n").expect("a whole line");
        format!("{before}{after}")
    };
    let (observing, without) = (
        Instance::checking(all(Mode::Observe)),
        Instance::checking(all(Mode::Off)),
    );
    let (observed, plain) = (play_all(&observing).await, play_all(&without).await);
    assert_eq!(without_trace(observed), without_trace(plain));
    assert!(trails(&without).is_empty() && refused(&observing).is_empty());
    let logged: Vec<_> = trails(&observing)
        .into_iter()
        .map(|[phase, verdict, checks, _]| {
            assert!(checks.contains(" would reject ("), "{checks}");
            (phase, verdict)
        })
        .collect();
    let phases = ["connect", "helo", "mail", "data", "content"];
    let expected = phases.map(|phase| (phase.to_owned(), "accept".to_owned()));
    assert_eq!(logged, expected);
}

#[tokio::test]
async fn an_early_talker_is_refused_before_the_greeting() {
    let instance = Instance::checking(with(
        EarlyTalker { wait: LONG },
        Mode::Enforce,
        Action::Refuse,
    ));
    let mut client = instance.silent_client();
    client.say("EHLO client.example", "554 5.5.1").await;
    client.hears("503").await;
    client.say("QUIT", "221").await;
    assert_eq!(refused(&instance)[0], "connect");
    let [[phase, verdict, checks, facts]] = &trails(&instance)[..] else {
        panic!("{:?}", trails(&instance))
    };
    assert_eq!((&**phase, &**verdict), ("connect", "reject"));
    assert!(checks.starts_with("early-talker rejects ("), "{checks}");
    assert_eq!(facts, "early-talk(60000 ms)=yes");
}

#[tokio::test]
async fn a_client_that_waits_is_greeted_after_the_wait() {
    let wait = Milliseconds(1);
    let check = with(EarlyTalker { wait }, Mode::Enforce, Action::Refuse);
    let instance = Instance::checking(check);
    let mut client = instance.client(Origin::Outside).await;
    client.say("QUIT", "221").await;
    assert!(trails(&instance).is_empty());
}

#[tokio::test]
async fn a_client_that_is_deferred_at_connect_is_closed() {
    let check = EarlyTalker { wait: LONG };
    let instance = Instance::checking(with(check, Mode::Enforce, Action::Defer));
    let mut client = instance.silent_client();
    client.say("EHLO client.example", "421 4.7.1").await;
    client.is_left().await;
}

#[tokio::test]
async fn a_hello_with_our_name_is_refused_and_another_one_is_taken() {
    let instance = Instance::checking(with(hello(), Mode::Enforce, Action::Refuse));
    let mut client = instance.client(Origin::Outside).await;
    client
        .play(
            "EHLO mail.x.org => 550 5.7.1
            EHLO [192.0.2.8] => 550 5.7.1
            EHLO [192.0.2.7] => 250
            MAIL FROM:<c@c.example> => 250",
        )
        .await;
    assert_eq!(refused(&instance), ["helo", "helo"]);
}

#[tokio::test]
async fn a_stranger_with_a_sender_of_ours_is_refused_at_mail() {
    let instance = Instance::checking(with(OwnSender, Mode::Enforce, Action::Refuse));
    let mut stranger = instance.client(Origin::Outside).await;
    stranger
        .play(
            "MAIL FROM:<boss@x.org> => 550 5.7.1
            RCPT TO:<alice@x.org> => 503
            MAIL FROM:<c@c.example> => 250
            RCPT TO:<alice@x.org> => 250",
        )
        .await;
    let mut ours = instance.client(Origin::Authenticated("boss".into())).await;
    ours.say("MAIL FROM:<boss@x.org>", "250").await;
    let [_, _, _, facts] = &trails(&instance)[0];
    assert_eq!(
        facts,
        "origin=outside sender=<boss@x.org> sender-domain=internal"
    );
}

#[tokio::test]
async fn a_recipient_that_does_not_exist_leaves_one_line_and_no_trail() {
    let instance = Instance::checking(with(hello(), Mode::Observe, Action::Refuse));
    let mut client = instance.client(Origin::Outside).await;
    client
        .play(
            "MAIL FROM:<c@c.example> => 250
            RCPT TO:<nobody@x.org> => 550 5.1.1",
        )
        .await;
    assert_eq!(refused(&instance), ["rcpt"]);
    assert!(trails(&instance).is_empty(), "{:?}", trails(&instance));
}

#[tokio::test]
async fn a_bounce_to_several_is_refused_at_data_and_the_session_goes_on() {
    let instance = Instance::checking(with(BounceRecipients, Mode::Enforce, Action::Refuse));
    let mut client = instance.client(Origin::Outside).await;
    client
        .play(
            "MAIL FROM:<> => 250
            RCPT TO:<alice@x.org> => 250
            RCPT TO:<bob@x.org> => 250
            DATA => 550 5.5.3
            MAIL FROM:<> => 250
            RCPT TO:<alice@x.org> => 250",
        )
        .await;
    client.data("Subject: x\r\n\r\nx\r\n", "250").await;
    assert_eq!(instance.stored().len(), 1);
}

async fn send_twice(client: &mut Client<tokio::net::UnixStream>, expected: &str) {
    client.say("MAIL FROM:<c@c.example>", "250").await;
    client.say("RCPT TO:<alice@x.org>", "250").await;
    client.data(TWICE, expected).await;
}

#[tokio::test]
async fn content_that_is_refused_is_stored_nowhere() {
    for (action, expected) in [(Action::Refuse, "550 5.6.0"), (Action::Defer, "450 4.7.1")] {
        let instance = Instance::checking(with(repeated(), Mode::Enforce, action));
        let mut client = instance.client(Origin::Outside).await;
        send_twice(&mut client, expected).await;
        assert!(instance.stored().is_empty() && instance.held().is_empty());
        assert_eq!(refused(&instance), ["data"]);
    }
}

#[tokio::test]
async fn content_that_is_discarded_is_accepted_and_stored_nowhere() {
    let instance = Instance::checking(with(repeated(), Mode::Enforce, Action::Discard));
    let mut client = instance.client(Origin::Outside).await;
    send_twice(&mut client, "250 2.0.0 accepted as ").await;
    assert!(instance.stored().is_empty() && instance.held().is_empty());
    assert_eq!(trails(&instance)[0][1], "discard");
    // The next message is another one.
    client.say("MAIL FROM:<c@c.example>", "250").await;
    client.say("RCPT TO:<alice@x.org>", "250").await;
    client.data("Subject: x\r\n\r\nx\r\n", "250").await;
    assert_eq!(instance.stored().len(), 1);
}

#[tokio::test]
async fn a_message_that_is_held_is_so_in_the_spool_before_its_250() {
    let instance = Instance::checking(with(repeated(), Mode::Enforce, Action::Hold));
    let mut client = instance.client(Origin::Outside).await;
    send_twice(&mut client, "250").await;
    assert!(instance.stored().is_empty(), "nothing delivers it");
    let [(id, why)] = &instance.held()[..] else {
        panic!("{:?}", instance.held())
    };
    let reason = "repeated-field: the header has more than one From field";
    assert_eq!(why, reason);
    let stored = instance.intake.spool.message(*id).unwrap();
    let [
        RecipientState {
            disposition, reply, ..
        },
    ] = &stored.recipients[..]
    else {
        panic!("{stored:?}")
    };
    assert_eq!(*disposition, mail::Disposition::Held);
    assert_eq!(reply.as_ref().map(mail::Reply::text), Some(reason));
}

#[tokio::test]
async fn what_is_held_at_helo_holds_each_message_of_the_connection() {
    let instance = Instance::checking(with(hello(), Mode::Enforce, Action::Hold));
    let mut client = instance.client(Origin::Outside).await;
    client.say("EHLO mail.x.org", "250").await;
    for _ in 0..2 {
        send_twice(&mut client, "250").await;
    }
    assert_eq!(instance.held().len(), 2);
}

#[tokio::test]
async fn an_edge_repeats_none_of_the_checks_of_clients() {
    let list = Checks::default();
    for phase in policy::Phase::ALL {
        let asks = phase == policy::Phase::Rcpt;
        assert_eq!(list.asks_in(phase), asks, "{phase:?}");
    }
    assert!(
        intake::EntryChecks::default()
            .edges
            .asks_in(policy::Phase::Rcpt)
    );
}
