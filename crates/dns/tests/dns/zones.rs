//! Real zones.

use testkit::Nsd;

use crate::{NOBODY, Own, hasty, lines, patient, short};

const RECORDS: &str = "\
two.test. MX 20 b.mx.test.
two.test. MX 10 a.mx.test.
a.mx.test. A 192.0.2.1
a.mx.test. AAAA 2001:db8::1
a.mx.test. A 192.0.2.2
b.mx.test. AAAA 2001:db8::2
implicit.test. A 192.0.2.3
v6.test. AAAA 2001:db8::3
null.test. MX 0 .
mixed.test. MX 0 .
mixed.test. MX 5 a.mx.test.
empty.test. TXT \"here\"
gone.test. MX 10 no.such.test.
half.test. MX 10 no.such.test.
half.test. MX 20 b.mx.test.
bare.test. MX 10 empty.test.
alias.test. CNAME two.test.
aliased.test. MX 10 cname.mx.test.
cname.mx.test. CNAME b.mx.test.
dangling.test. CNAME nowhere.test.
loop.test. CNAME pool.test.
pool.test. CNAME loop.test.
looped.test. MX 10 loop.test.
number.test. MX 10 192.0.2.9.
lame.test. NS ns.elsewhere.invalid.
ill.test. MX 10 mx.broken.test.
spare.test. MX 10 mx.broken.test.
spare.test. MX 20 b.mx.test.
xn--bcher-kva.test. MX 10 b.mx.test.
wild.test. MX 1 b.mx.test.
*.wild.test. MX 1 b.mx.test.
";

const B: &str = "b.mx.test 2001:db8::2";

/// Asks for each domain, and compares what came of it; a text that ends in `…` is a beginning.
async fn expect(own: &Own, expected: &[(&str, &str)]) {
    let Some(nsd) = Nsd::start(RECORDS, &["broken.test"]) else {
        return;
    };
    let resolver = patient(&[nsd.address()]);
    for (domain, expected) in expected {
        let found = short(&resolver.exchangers(domain, own, 1).await);
        match expected.strip_suffix('…') {
            Some(begin) => assert!(found.starts_with(begin), "{domain}: {found}"),
            None => assert_eq!(found, *expected, "{domain}"),
        }
    }
}

#[tokio::test]
async fn exchangers_come_by_preference_with_addresses_of_both_families() {
    let two = format!("10 a.mx.test 2001:db8::1 192.0.2.1 192.0.2.2; 20 {B}");
    let Some(nsd) = Nsd::start(RECORDS, &[]) else {
        return;
    };
    let resolver = patient(&[nsd.address()]);
    for domain in ["two.test", "TWO.Test", "two.test.", "alias.test"] {
        let mut found = resolver.exchangers(domain, &NOBODY, 1).await.unwrap();
        // The order of records is the server's.
        found[0].addresses[1..].sort();
        assert_eq!(lines(&found).join("; "), two, "{domain}");
    }
}

#[tokio::test]
async fn what_the_standards_say_of_records_is_followed() {
    let b = |preference: u8| format!("{preference} {B}");
    expect(
        &NOBODY,
        &[
            ("implicit.test", "0 implicit.test 192.0.2.3"),
            ("v6.test", "0 v6.test 2001:db8::3"),
            ("null.test", "null MX"),
            ("mixed.test", "5 a.mx.test 2001:db8::1 192.0.2.…"),
            ("half.test", &b(20)),
            ("aliased.test", "10 cname.mx.test 2001:db8::2"),
            ("bücher.test", &b(10)),
            ("any.sub.wild.test", &b(1)),
        ],
    )
    .await;
}

#[tokio::test]
async fn only_a_domain_that_is_denied_does_not_exist() {
    expect(
        &NOBODY,
        &[
            ("nowhere.test", "no such domain"),
            ("dangling.test", "no such domain"),
            (
                "empty.test",
                "no address: no mail exchanger has an address: empty.test has no address",
            ),
            (
                "gone.test",
                "no address: no mail exchanger has an address: no.such.test does not exist",
            ),
            (
                "bare.test",
                "no address: no mail exchanger has an address: empty.test has no address",
            ),
            (
                "number.test",
                "no address: no mail exchanger has an address: 192.0.2.9 is an address, not a name",
            ),
            (
                "x.broken.test",
                "temporary: DNS MX x.broken.test: server failure (SERVFAIL)…",
            ),
            (
                "ill.test",
                "temporary: DNS AAAA mx.broken.test: server failure (SERVFAIL)…",
            ),
            (
                "x.lame.test",
                "temporary: DNS MX x.lame.test: it refers to other servers (lame)…",
            ),
            ("loop.test", "temporary: DNS …"),
            ("looped.test", "temporary: DNS …"),
            ("spare.test", &format!("20 {B}")),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_no_domain_is_not_asked_for() {
    // Nobody would answer.
    let resolver = hasty(&[]);
    let long = format!("{}.test", "a".repeat(64));
    for domain in ["[192.0.2.1]", "[IPv6:::1]", &long, "a..test", ""] {
        let found = resolver.exchangers(domain, &NOBODY, 1).await;
        assert_eq!(short(&found), "not a domain", "{domain}");
    }
    let literal = resolver.literal("[192.0.2.1]", &NOBODY).unwrap();
    assert_eq!(lines(&[literal]), ["0 192.0.2.1 192.0.2.1"]);
    assert!(resolver.literal("[x]", &NOBODY).is_err());
}

#[tokio::test]
async fn the_list_is_cut_at_the_own_host_by_its_name_and_address() {
    for own in [
        Own {
            names: &["b.mx.test"],
            addresses: &[],
        },
        Own {
            names: &[],
            addresses: &["2001:db8::2"],
        },
    ] {
        expect(
            &own,
            &[
                ("two.test", "10 a.mx.test 2001:db8::1 192.0.2.…"),
                ("half.test", "own host: b.mx.test"),
            ],
        )
        .await;
    }
    let own = Own {
        names: &["a.mx.test"],
        addresses: &["192.0.2.3"],
    };
    expect(
        &own,
        &[
            ("two.test", "own host: a.mx.test"),
            ("implicit.test", "own host: implicit.test"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_answer_too_long_for_udp_comes_by_tcp_and_is_cut_to_the_best() {
    let mut records: String = (0..100)
        .map(|n| format!("many.test. MX {n} mx{n}.a-rather-long-name-of-a-host.test.\n"))
        .collect();
    for n in 0..30 {
        records += &format!("mx{n}.a-rather-long-name-of-a-host.test. A 192.0.2.{n}\n");
        records += &format!("wide.test. A 198.51.100.{n}\n");
    }
    let Some(nsd) = Nsd::start(&records, &[]) else {
        return;
    };
    let resolver = patient(&[nsd.address()]);
    let found = resolver.exchangers("many.test", &NOBODY, 1).await.unwrap();
    assert_eq!(found.len(), dns::limits::EXCHANGERS_MAX);
    let best: Vec<_> = found.iter().map(|e| usize::from(e.preference)).collect();
    assert_eq!(best, (0..dns::limits::EXCHANGERS_MAX).collect::<Vec<_>>());
    let found = resolver.exchangers("wide.test", &NOBODY, 1).await.unwrap();
    assert_eq!(found[0].addresses.len(), dns::limits::ADDRESSES_MAX);
}
