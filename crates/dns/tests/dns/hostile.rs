//! A server that is silent, broken or hostile.

use std::time::{Duration, Instant};

use crate::server::{A, AAAA, CNAME, MX, NS, Query, mx, serve};
use crate::{NOBODY, hasty, lines, patient, short};

/// The code of a server's failure, of a name that is not there, and of a refusal.
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// A resolver that knows `x.test`, and nothing else.
fn honest(query: &Query) -> Vec<Vec<u8>> {
    let answer = match (&*query.name, query.kind) {
        ("x.test", MX) => query.answer(0).record("x.test", MX, &mx(10, "mx.test")),
        ("mx.test", A) => query.answer(0).record("mx.test", A, &[192, 0, 2, 1]),
        ("mx.test", _) => query.answer(0).denial(),
        _ => query.answer(NXDOMAIN).denial(),
    };
    vec![answer.bytes()]
}

const HONEST: &str = "10 mx.test 192.0.2.1";

#[tokio::test]
async fn silent_servers_are_no_resolver_and_say_nothing_of_a_domain() {
    let silent = serve(|_| Vec::new());
    let found = hasty(&[silent]).exchangers("x.test", &NOBODY, 1).await;
    assert!(
        short(&found).starts_with("no resolver: DNS MX x.test: "),
        "{found:?}"
    );
    let none = hasty(&[]).exchangers("x.test", &NOBODY, 1).await;
    assert_eq!(short(&none), "no resolver: no resolver is configured");
}

#[tokio::test]
async fn a_server_that_is_silent_about_one_domain_is_still_a_resolver() {
    let server = serve(|query| match (&*query.name, query.kind) {
        ("", NS) => vec![query.answer(REFUSED).bytes()],
        _ => Vec::new(),
    });
    let found = hasty(&[server]).exchangers("x.test", &NOBODY, 1).await;
    assert!(
        short(&found).starts_with("temporary: DNS MX x.test: "),
        "{found:?}"
    );
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_fails_or_is_silent() {
    let good = serve(honest);
    let bad = [
        serve(|_| Vec::new()),
        serve(|query| vec![query.answer(SERVFAIL).bytes()]),
        serve(|query| vec![query.answer(REFUSED).bytes()]),
        serve(|query| vec![query.answer(0).truncated().bytes()]),
        serve(|_| vec![vec![0xff; 700]]),
        serve(|query| {
            vec![
                query
                    .answer(0)
                    .record_in(1, "test", NS, b"\x02ns\x00")
                    .bytes(),
            ]
        }),
    ];
    for (n, bad) in bad.into_iter().enumerate() {
        let found = hasty(&[bad, good]).exchangers("x.test", &NOBODY, 1).await;
        assert_eq!(short(&found), HONEST, "bad server {n}");
    }
}

#[tokio::test]
async fn what_a_failing_server_answers_is_temporary_and_named() {
    for (code, name) in [
        (SERVFAIL, "server failure (SERVFAIL)"),
        (REFUSED, "query refused (REFUSED)"),
    ] {
        let server = serve(move |query| vec![query.answer(code).bytes()]);
        let found = hasty(&[server]).exchangers("x.test", &NOBODY, 1).await;
        let expected = format!("temporary: DNS MX x.test: {name}, resolver {server}");
        assert_eq!(short(&found), expected);
    }
}

#[tokio::test]
async fn an_answer_to_another_question_is_no_answer() {
    let server = serve(|query| {
        let bad = query.answer(0).record("x.test", MX, &mx(0, "evil.test"));
        let wrong_id = bad.with_id(query.id.wrapping_add(1)).bytes();
        let mut other = honest(query);
        if query.by_tcp {
            return other;
        }
        other.insert(0, wrong_id);
        other.insert(0, b"no message at all".to_vec());
        other
    });
    let found = patient(&[server]).exchangers("x.test", &NOBODY, 1).await;
    assert_eq!(short(&found), HONEST);
}

#[tokio::test]
async fn records_of_other_names_and_sections_are_ignored() {
    let server = serve(|query| {
        let answer = match (&*query.name, query.kind) {
            ("x.test", MX) => query
                .answer(0)
                .record("evil.test", MX, &mx(0, "evil.test"))
                .record("x.test", MX, &mx(10, "mx.test"))
                .record_in(2, "mx.test", A, &[203, 0, 113, 1])
                .record_in(2, "x.test", MX, &mx(0, "evil.test")),
            ("mx.test", A) => query
                .answer(0)
                .record("evil.test", A, &[203, 0, 113, 1])
                .record("mx.test", A, &[192, 0, 2, 1]),
            ("mx.test", _) => query.answer(0).denial(),
            ("only.test", MX) => query
                .answer(0)
                .record_in(2, "only.test", MX, &mx(0, "evil.test")),
            _ => query.answer(NXDOMAIN).denial(),
        };
        vec![answer.bytes()]
    });
    let resolver = patient(&[server]);
    let found = resolver.exchangers("x.test", &NOBODY, 1).await;
    assert_eq!(short(&found), HONEST);
    let found = resolver.exchangers("only.test", &NOBODY, 1).await;
    assert!(short(&found).starts_with("temporary: "), "{found:?}");
}

#[tokio::test]
async fn a_chain_of_aliases_without_end_is_given_up_and_is_no_denial() {
    let server = serve(|query| {
        let next = format!("n{}.test", query.name.len());
        let next = format!("{next}.{}", "x.".repeat(query.name.len() % 60 + 1));
        let target = crate::server::name(&next);
        vec![query.answer(0).record(&query.name, CNAME, &target).bytes()]
    });
    let found = patient(&[server]).exchangers("x.test", &NOBODY, 1).await;
    assert!(short(&found).starts_with("temporary: "), "{found:?}");
}

#[tokio::test]
async fn a_thousand_exchangers_are_cut_to_the_best() {
    let server = serve(|query| {
        let answer = match (query.kind, query.by_tcp) {
            (MX, false) => query.answer(0).truncated(),
            (MX, true) => (0..1_000).fold(query.answer(0), |answer, n| {
                answer.record(&query.name, MX, &mx(1_000 - n, &format!("mx{n}.test")))
            }),
            (A, _) => query.answer(0).record(&query.name, A, &[192, 0, 2, 1]),
            _ => query.answer(0).denial(),
        };
        vec![answer.bytes()]
    });
    let resolver = patient(&[server]);
    let found = resolver.exchangers("x.test", &NOBODY, 1).await.unwrap();
    assert_eq!(found.len(), dns::limits::EXCHANGERS_MAX);
    assert_eq!(lines(&found[..1]), ["1 mx999.test 192.0.2.1"]);
}

#[tokio::test]
async fn a_family_whose_questions_are_swallowed_costs_only_its_grace() {
    for swallowed in [A, AAAA] {
        let server = serve(move |query| {
            let answer = match (&*query.name, query.kind) {
                ("x.test", MX) => query.answer(0).record("x.test", MX, &mx(10, "mx.test")),
                (_, kind) if kind == swallowed => return Vec::new(),
                (_, A) => query.answer(0).record("mx.test", A, &[192, 0, 2, 1]),
                (_, AAAA) => query.answer(0).record("mx.test", AAAA, &[0x20; 16]),
                _ => query.answer(NXDOMAIN).denial(),
            };
            vec![answer.bytes()]
        });
        // Its patience is minutes: only the grace ends this in time.
        let began = Instant::now();
        let found = patient(&[server]).exchangers("x.test", &NOBODY, 1).await;
        assert_eq!(found.unwrap()[0].addresses.len(), 1);
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}

#[tokio::test]
async fn what_is_known_is_not_asked_for_again() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = serve(move |query| {
        counted.fetch_add(1, Ordering::Relaxed);
        honest(query)
    });
    let resolver = patient(&[server]);
    for domain in ["x.test", "none.test"] {
        let first = resolver.exchangers(domain, &NOBODY, 1).await;
        let n_asked = asked.load(Ordering::Relaxed);
        let second = resolver.exchangers(domain, &NOBODY, 1).await;
        assert_eq!(first, second);
        assert_eq!(asked.load(Ordering::Relaxed), n_asked, "{domain}");
    }
}
