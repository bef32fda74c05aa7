//! Sessions of clients with an instance that delivers.

use intake::{CONTENT_IN_MEMORY_MAX, RECEIVED_MAX};
use mail::Origin;
use mail::event::{Source, What};

use crate::world::{Instance, LIMIT};

const OURS: Origin = Origin::Local { uid: 7 };

/// A header section with that many hops before this one.
fn hops(n: u32) -> String {
    let received = "Received: from a by b;\r\n\tMon, 23 Nov 2026 23:50:00 +0000\r\n";
    received.repeat(usize::try_from(n).unwrap()) + "Message-ID: <m@c.example>\r\n\r\n"
}

fn message_ids<'a>(told: &'a [What]) -> Vec<Option<&'a str>> {
    let id = |what: &'a What| match what {
        What::Accepted { message_id, .. } => Some(message_id.as_deref()),
        _ => None,
    };
    told.iter().filter_map(id).collect()
}

#[tokio::test]
async fn the_world_reaches_our_recipients_and_nobody_else() {
    let instance = Instance::last("output");
    let mut client = instance.client(Origin::Outside).await;
    client
        .play(
            "MAIL FROM:<c@c.example> => 250
             RCPT TO:<far@y.org> => 550 5.7.1
             RCPT TO:<stranger@z.org> => 550 5.1.2
             RCPT TO:<nobody@x.org> => 550 5.1.1
             RCPT TO:<mute@x.org> => 451 4.4.1
             RCPT TO:<alice@x.org> => 250",
        )
        .await;
    client
        .data("Subject: x\r\n\r\nHello\r\n", "250 2.0.0")
        .await;
    let [message] = &instance.stored()[..] else {
        panic!("one message");
    };
    assert_eq!(message.provenance.origin, Origin::Outside);
    assert_eq!(message.envelope.recipients.len(), 1);
    let refused = |what: &What| matches!(what, What::Refused { phase: "rcpt", .. });
    assert_eq!(
        instance.told().iter().filter(|what| refused(what)).count(),
        4
    );
}

#[tokio::test]
async fn our_senders_reach_the_world_and_do_not_wait_for_answers() {
    let instance = Instance::last("output");
    let mut client = instance.client(OURS).await;
    client
        .play(
            "MAIL FROM:<alice@x.org> => 250
             RCPT TO:<far@y.org> => 250
             RCPT TO:<mute@x.org> => 250
             RCPT TO:<nobody@x.org> => 550 5.1.1",
        )
        .await;
    client.data("\r\n", "250").await;
    assert_eq!(instance.stored()[0].envelope.recipients.len(), 2);
}

#[tokio::test]
async fn a_message_that_goes_round_in_circles_is_refused() {
    let instance = Instance::last("output");
    let mut client = instance.client(Origin::Outside).await;
    let large = "x".repeat(76) + "\r\n";
    let large = large.repeat(2 * CONTENT_IN_MEMORY_MAX / large.len());
    // With the field that is added here there is one more.
    for (n, body, expected) in [
        (RECEIVED_MAX - 1, "", "250"),
        (RECEIVED_MAX, "", "554 5.4.6"),
        (RECEIVED_MAX - 1, &*large, "250"),
        (RECEIVED_MAX, &*large, "554 5.4.6"),
    ] {
        client
            .play("MAIL FROM:<> => 250\nRCPT TO:<alice@x.org> => 250")
            .await;
        client.data(&(hops(n) + body), expected).await;
    }
    assert_eq!(instance.stored().len(), 2);
    assert_eq!(
        message_ids(&instance.told()),
        [Some("<m@c.example>"); 2],
        "of large ones, too"
    );
}

#[tokio::test]
async fn a_program_over_loopback_is_known_by_its_user() {
    let instance = Instance::last("submission");
    let mut client = instance.local_client().await;
    for _ in 0..2 {
        client
            .play("MAIL FROM:<a@x.org> => 250\nRCPT TO:<far@y.org> => 250")
            .await;
        client.data("\r\n", "250").await;
    }
    let mut origins = instance
        .stored()
        .into_iter()
        .map(|message| message.provenance.origin);
    let own = std::fs::metadata("/proc/self").map(|it| std::os::unix::fs::MetadataExt::uid(&it));
    let own = Origin::Local { uid: own.unwrap() };
    assert_eq!(origins.next(), Some(own.clone()));
    assert_eq!(origins.next(), Some(own));
}

/// Its socket has no owner any more when its commands are read.
#[tokio::test]
async fn a_program_that_gives_all_in_one_write_and_leaves_is_served() {
    let instance = Instance::last("submission");
    let client = instance.local_client().await;
    let all =
        "MAIL FROM:<a@x.org>\r\nRCPT TO:<far@y.org>\r\nDATA\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n";
    client.send_and_leave(all).await;
    let stored = async {
        while instance.stored().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let is_stored = tokio::time::timeout(LIMIT, stored).await.is_ok();
    assert!(is_stored, "{:?}", instance.told());
    let own = std::fs::metadata("/proc/self").map(|it| std::os::unix::fs::MetadataExt::uid(&it));
    let uid = own.unwrap();
    assert_eq!(
        instance.stored()[0].provenance.origin,
        Origin::Local { uid }
    );
}

#[tokio::test]
async fn who_is_not_on_this_machine_brings_no_mail_where_programs_are_known_by_user() {
    let instance = Instance::last("submission");
    let mut client = instance.remote_client().await;
    client.say("MAIL FROM:<a@x.org>", "550 5.7.1").await;
    let refused = |what: &What| matches!(what, What::Refused { phase: "mail", .. });
    assert!(instance.told().iter().any(refused));
}

/// Who the events are about, by their kinds.
fn sources(told: &[What]) -> Vec<(&'static str, Source)> {
    let source = |what: &What| match what {
        What::Disconnected { source, .. } => Some(("disconnected", (**source).clone())),
        What::ProtocolError { source, .. } => Some(("protocol-error", (**source).clone())),
        What::Refused { phase, source, .. } => Some((*phase, (**source).clone())),
        _ => None,
    };
    told.iter().filter_map(source).collect()
}

#[tokio::test]
async fn a_name_that_a_client_gives_stands_apart_from_its_address() {
    let instance = Instance::last("output");
    let mut client = instance.client(Origin::Outside).await;
    client
        .play(
            "EHLO [203.0.113.9] => 250
             MAIL FROM:<c@c.example> => 250
             RCPT TO:<nobody@x.org> => 550 5.1.1",
        )
        .await;
    let [("rcpt", source)] = &sources(&instance.told())[..] else {
        panic!("one refusal");
    };
    assert_eq!(source.client, Some([192, 0, 2, 7].into()));
    assert_eq!(source.helo.as_deref(), Some("[203.0.113.9]"));
    assert_eq!(source.tls, Some(false));
}

#[tokio::test]
async fn scans_and_garbage_leave_events_with_the_address() {
    let instance = Instance::last("output");
    let mut client = instance.client(Origin::Outside).await;
    client
        .play(
            "XYZZY => 500
             MAIL FROM:<c@c.example> NONSENSE=1 => 555
             MAIL FROM:c@@ => 501
             RCPT TO:<a@x.org> => 503
             MAIL FROM:<c@c.example> SIZE=999999999999 => 552
             QUIT => 221",
        )
        .await;
    client.is_left().await;
    let told = instance.told();
    let sources = sources(&told);
    let kinds: Vec<_> = sources.iter().map(|(kind, _)| *kind).collect();
    let error = "protocol-error";
    assert_eq!(kinds, [error, error, error, error, "mail", "disconnected"]);
    let is_its = |(_, source): &(_, Source)| source.client == Some([192, 0, 2, 7].into());
    assert!(sources.iter().all(is_its), "{sources:?}");
    let Some(What::Disconnected {
        reason,
        n_messages,
        n_refused,
        ..
    }) = told.last()
    else {
        panic!("an end");
    };
    assert_eq!((&**reason, *n_messages, *n_refused), ("QUIT", 0, 5));
}
