//! Exchangers at addresses of the loopback, found by a real DNS server.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mail::{DomainKey, Envelope, Mailbox, Recipient, ReversePath};
use net::Stream;
use net::tls::PemPair;
use smtp::client::{Dialect, Settings, Timeouts};
use testkit::Nsd;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;

/// What an exchanger does.
#[derive(Clone, Copy)]
enum Does {
    /// Takes mail, but for recipients that a reply is given for.
    Take(&'static [(&'static str, &'static str)]),
    /// Greets with this, and closes.
    Greet(&'static str),
    /// Says nothing.
    Silence,
    /// Takes mail under TLS, and in the clear.
    TakeByTls,
    /// Offers TLS, and closes instead of a handshake.
    BreakTls,
    /// Leaves with this in place of an answer to MAIL.
    Leave(&'static str),
}

use Does::{BreakTls, Greet, Leave, Silence, Take, TakeByTls};

/// Takes everything.
const ALL: Does = Take(&[]);

/// Exchangers, and a DNS server that knows them.
struct World {
    mx: Mx,
    /// Which exchanger heard what, in order.
    heard: UnboundedReceiver<(String, String)>,
    nsd: Nsd,
    port: u16,
}

impl World {
    /// `records` are those of the DNS, and `mxN.test` has the address `127.0.1.N`, where somebody
    /// answers if `hosts` says so.
    async fn new(records: &str, hosts: &[(u8, Does)]) -> Option<Self> {
        let port = testkit::port::free_port();
        let mut text = format!("{records}\n");
        for n in 1..10 {
            text += &format!("mx{n}.test. A 127.0.1.{n}\n");
        }
        let nsd = Nsd::start(&text, &["broken.test"])?;
        let (tell, heard) = unbounded_channel();
        for &(n, does) in hosts {
            let address = SocketAddr::from(([127, 0, 1, n], port));
            let listener = TcpListener::bind(address).await.unwrap();
            tokio::spawn(listen(listener, format!("mx{n}"), does, tell.clone()));
        }
        let mx = Mx::new(settings(port, vec![nsd.address()]), Clock::start()).unwrap();
        Some(Self {
            mx,
            heard,
            nsd,
            port,
        })
    }

    async fn send(&self, recipients: &[&str]) -> Carried {
        send(&self.mx, recipients).await
    }

    /// What the exchangers have heard until now.
    fn heard(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok((host, line)) = self.heard.try_recv() {
            all.push(format!("{host} {line}"));
        }
        all
    }
}

fn settings(port: u16, servers: Vec<SocketAddr>) -> MxSettings {
    MxSettings {
        port,
        literals: false,
        client: Arc::new(Settings {
            dialect: Dialect::Smtp,
            hello_name: "client.example".into(),
            timeouts: Timeouts::LEAST,
            tls: TlsWish::Never,
        }),
        attempt_timeout: Duration::from_secs(240),
        connections_max: 2,
        idle_max: Duration::from_secs(60),
        own: OwnAddresses {
            names: vec![DomainKey::from("own.test")],
            addresses: vec!["127.0.1.9".parse().unwrap()],
            port,
        },
        resolver: ResolverSettings {
            timeout: Duration::from_secs(60),
            deadline: Duration::from_secs(200),
            ..ResolverSettings::of(servers)
        },
    }
}

async fn send(mx: &Mx, recipients: &[&str]) -> Carried {
    let recipient = |text: &&str| Recipient::new(Mailbox::parse(text).unwrap());
    let envelope = Envelope {
        sender: ReversePath::Mailbox(Mailbox::parse("s@x.test").unwrap()),
        recipients: recipients.iter().map(recipient).collect(),
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
    };
    let indexes: Vec<u32> = (0..).take(recipients.len()).collect();
    let letter = Letter {
        envelope: &envelope,
        indexes: &indexes,
        content_begun: Arc::default(),
        xforward: None,
    };
    let n_recipients = recipients.len();
    let domain = envelope.recipients[0].address.domain();
    match mx.find(domain).await {
        Ok(hop) => match &*hop.transport {
            Transport::Mx(exchangers) => {
                let content = b"Subject: x\r\n\r\nhello\r\n".to_vec();
                exchangers.send(&letter, content).await
            }
            Transport::Hold { why } => {
                let held = table::HELD.with_text(&format!("held: {why}"));
                Carried::all(n_recipients, &Outcome::held(held))
            }
            other => panic!("{other}"),
        },
        Err(Unresolved::Refused(reply)) => Carried::all(n_recipients, &Outcome::failed(reply)),
        Err(Unresolved::NotNow(reply)) => Carried::down(n_recipients, &Outcome::deferred(reply)),
        Err(Unresolved::NoResolver(reply)) => Carried {
            by: By::Nothing,
            ..Carried::down(n_recipients, &Outcome::deferred(reply))
        },
    }
}

async fn listen(
    listener: TcpListener,
    name: String,
    does: Does,
    tell: UnboundedSender<(String, String)>,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (name, tell) = (name.clone(), tell.clone());
        tokio::spawn(async move {
            // A client may leave at any time.
            let _ = serve(Stream::Tcp(tcp), &name, does, &tell).await;
        });
    }
}

async fn serve(
    stream: Stream,
    name: &str,
    does: Does,
    tell: &UnboundedSender<(String, String)>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut say = String::from("220 here");
    let mut offer = matches!(does, TakeByTls | BreakTls);
    if let Silence = does {
        std::future::pending::<()>().await;
    }
    if let Greet(reply) = does {
        say = reply.to_owned();
    }
    let refused: BTreeMap<_, _> = match does {
        Take(refused) => refused.iter().copied().collect(),
        _ => BTreeMap::new(),
    };
    loop {
        if !say.is_empty() {
            stream.write_all(format!("{say}\r\n").as_bytes()).await?;
            stream.flush().await?;
        }
        if matches!(does, Greet(_)) || say.starts_with("421") {
            return Ok(());
        }
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        let _ = tell.send((name.to_owned(), line.clone()));
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        say = match (verb, does) {
            ("EHLO", _) if offer => "250-here\r\n250 STARTTLS".to_owned(),
            ("MAIL", Leave(reply)) => reply.to_owned(),
            ("RCPT", _) => {
                let address = line.trim_start_matches("RCPT TO:<").trim_end_matches('>');
                refused
                    .get(address)
                    .map_or("250 ok", |reply| reply)
                    .to_owned()
            }
            ("DATA", _) => "354 go".to_owned(),
            (".", _) => "250 2.0.0 queued".to_owned(),
            ("STARTTLS", BreakTls) => {
                stream.write_all(b"220 go\r\nno").await?;
                return Ok(());
            }
            ("STARTTLS", _) => {
                stream.write_all(b"220 go\r\n").await?;
                stream.flush().await?;
                let acceptor = PemPair::self_signed("other.example").unwrap();
                let acceptor = acceptor.acceptor().unwrap();
                let secured = net::tls::accept(&acceptor, stream.into_inner()).await?;
                stream = BufReader::new(secured);
                offer = false;
                let _ = tell.send((name.to_owned(), "TLS".to_owned()));
                String::new()
            }
            ("EHLO" | "HELO" | "MAIL" | "RSET", _) => "250 ok".to_owned(),
            ("QUIT", _) => "221 bye".to_owned(),
            // The content.
            _ => String::new(),
        };
    }
}

/// What came of each recipient, for operators.
fn outcomes(carried: &Carried) -> Vec<String> {
    let line = |outcome: &Outcome| {
        let what = match outcome.kind {
            OutcomeKind::Delivered => "delivered",
            OutcomeKind::Deferred => "deferred",
            OutcomeKind::Failed => "failed",
            OutcomeKind::Held => "held",
        };
        format!("{what} {}", outcome.reply)
    };
    carried.outcomes.iter().map(line).collect()
}

fn cause(carried: &Carried) -> &str {
    carried.outcomes[0].reply.cause().unwrap_or_default()
}

fn by(host: &str) -> By {
    By::Exchanger(host.into())
}

const QUEUED: &str = "delivered 250 2.0.0 queued";
const TWO: &str = "y.test. MX 10 mx1.test.\ny.test. MX 20 mx2.test.";

#[tokio::test]
async fn the_best_exchanger_gets_all_recipients_of_a_domain_at_once() {
    let Some(mut world) = World::new(TWO, &[(1, ALL), (2, ALL)]).await else {
        return;
    };
    let carried = world.send(&["a@y.test", "b@y.test"]).await;
    assert_eq!(outcomes(&carried), [QUEUED, QUEUED]);
    assert_eq!(carried.by, by("mx1.test"));
    let heard = world.heard();
    assert!(
        heard.iter().all(|line| line.starts_with("mx1 ")),
        "{heard:?}"
    );
    let rcpt = heard.iter().filter(|line| line.contains("RCPT")).count();
    let mail = heard.iter().filter(|line| line.contains("MAIL")).count();
    assert_eq!((mail, rcpt), (1, 2));
    // The connection is kept for the next message.
    world.send(&["c@y.test"]).await;
    assert!(!world.heard().iter().any(|line| line.contains("EHLO")));
}

#[tokio::test]
async fn an_exchanger_that_is_away_or_unwilling_is_followed_by_the_next() {
    for first in [
        None,
        Some(Greet("421 4.3.2 busy")),
        Some(Greet("554 5.7.1 not you")),
        Some(Greet("no SMTP at all")),
        Some(Leave("421 4.3.2 shutting down")),
    ] {
        let hosts: Vec<_> = first
            .map(|does| (1, does))
            .into_iter()
            .chain([(2, ALL)])
            .collect();
        let Some(world) = World::new(TWO, &hosts).await else {
            return;
        };
        let carried = world.send(&["a@y.test"]).await;
        assert_eq!(outcomes(&carried), [QUEUED]);
        assert_eq!(carried.by, by("mx2.test"));
    }
}

#[tokio::test]
async fn a_silent_exchanger_costs_its_share_of_the_time_and_no_more() {
    let Some(mut world) = World::new(TWO, &[(1, Silence), (2, ALL)]).await else {
        return;
    };
    // Real time: half of it is the second's, which needs no more than a moment of that.
    let mut settings = settings(world.port, vec![world.nsd.address()]);
    settings.attempt_timeout = Duration::from_secs(4);
    world.mx = Mx::new(settings, Clock::start()).unwrap();
    let carried = world.send(&["a@y.test"]).await;
    assert_eq!(carried.by, by("mx2.test"), "{:?}", outcomes(&carried));
}

#[tokio::test]
async fn only_where_all_exchangers_refuse_for_good_the_message_fails() {
    let no = Greet("554 5.7.1 not you");
    let busy = Greet("421 4.3.2 busy");
    for (hosts, expected, site) in [
        (
            vec![(1, no), (2, no)],
            "failed 554 5.7.1 not you",
            SiteSeen::Answering,
        ),
        (
            vec![(1, no), (2, busy)],
            "deferred 451 4.4.1",
            SiteSeen::Down,
        ),
        (vec![(1, no)], "deferred 451 4.4.1", SiteSeen::Down),
        (vec![], "deferred 451 4.4.1", SiteSeen::Down),
    ] {
        let Some(world) = World::new(TWO, &hosts).await else {
            return;
        };
        let carried = world.send(&["a@y.test"]).await;
        let found = &outcomes(&carried)[0];
        assert!(found.starts_with(expected), "{found}");
        assert_eq!(carried.site, site);
    }
}

#[tokio::test]
async fn a_deferral_names_each_host_with_its_address_and_what_happened() {
    let hosts = [(2, Greet("421 4.3.2 busy"))];
    let Some(world) = World::new(TWO, &hosts).await else {
        return;
    };
    let port = world.port;
    let carried = world.send(&["a@y.test"]).await;
    let expected = format!(
        "cannot connect to mx1.test:{port} (127.0.1.1): connection refused; mx2.test:{port} \
         (127.0.1.2) replied at greeting: 421 4.3.2 busy"
    );
    assert_eq!(cause(&carried), expected);
}

#[tokio::test]
async fn each_recipient_has_the_reply_that_its_exchanger_gave() {
    let replies = &[
        ("b@y.test", "550 5.1.1 no such user"),
        ("c@y.test", "450 4.2.1 later"),
    ];
    let Some(world) = World::new(TWO, &[(1, Take(replies)), (2, ALL)]).await else {
        return;
    };
    let carried = world.send(&["a@y.test", "b@y.test", "c@y.test"]).await;
    let expected = [
        QUEUED,
        "failed 550 5.1.1 no such user",
        "deferred 450 4.2.1 later",
    ];
    assert_eq!(outcomes(&carried), expected);
}

#[tokio::test]
async fn tls_is_used_where_it_is_offered_whatever_the_certificate() {
    let Some(mut world) = World::new(TWO, &[(1, TakeByTls)]).await else {
        return;
    };
    let carried = world.send(&["a@y.test"]).await;
    assert_eq!(outcomes(&carried), [QUEUED]);
    let heard = world.heard();
    let at = |what: &str| heard.iter().position(|line| line.contains(what));
    assert!(at("TLS") < at("MAIL") && at("TLS").is_some(), "{heard:?}");
}

#[tokio::test]
async fn where_no_tls_comes_about_mail_goes_in_the_clear_and_that_is_remembered() {
    let Some(mut world) = World::new(TWO, &[(1, BreakTls)]).await else {
        return;
    };
    for n_tls in [1, 0] {
        let carried = world.send(&["a@y.test"]).await;
        assert_eq!(outcomes(&carried), [QUEUED]);
        assert_eq!(carried.by, by("mx1.test"));
        let heard = world.heard();
        let tls = heard
            .iter()
            .filter(|line| line.contains("STARTTLS"))
            .count();
        assert_eq!(tls, n_tls, "{heard:?}");
        // The next message needs a new connection.
        world.mx.0.known.lock().unwrap().pools.clear();
    }
}

#[tokio::test]
async fn what_the_dns_says_decides_between_failure_delay_and_hold() {
    let records = "null.test. MX 0 .\nmine.test. MX 10 own.test.\nmine.test. MX 20 mx1.test.\n\
                   nat.test. MX 10 mx9.test.\nbare.test. TXT x\n";
    let Some(world) = World::new(records, &[(1, ALL)]).await else {
        return;
    };
    for (recipient, expected) in [
        ("a@none.test", "failed 550 5.1.2 the domain does not exist"),
        (
            "a@null.test",
            "failed 556 5.1.10 the domain accepts no mail",
        ),
        (
            "a@[127.0.1.1]",
            "failed 550 5.1.2 not a domain that mail can be sent to",
        ),
        (
            "a@x.broken.test",
            "deferred 451 4.4.3 where the domain's mail goes cannot be found out",
        ),
        (
            "a@bare.test",
            "deferred 451 4.4.4 no mail exchanger of the domain has an address",
        ),
        (
            "a@mine.test",
            "held 250 2.0.0 held: own.test is the best mail exchanger",
        ),
        (
            "a@nat.test",
            "held 250 2.0.0 held: mx9.test is the best mail exchanger",
        ),
    ] {
        let carried = world.send(&[recipient]).await;
        let found = &outcomes(&carried)[0];
        assert!(found.starts_with(expected), "{recipient}: {found}");
        assert_eq!(carried.by, By::Transport);
        assert!(world.mx.news().is_none());
    }
    let broken = world.send(&["a@x.broken.test"]).await;
    assert!(cause(&broken).contains("SERVFAIL"), "{}", cause(&broken));
}

#[tokio::test]
async fn a_dead_resolver_is_one_alarm_and_lets_nobody_expire() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(25, vec![silent.local_addr().unwrap()]);
    settings.resolver.timeout = Duration::from_millis(50);
    settings.resolver.tries = 1;
    let mx = Mx::new(settings, Clock::start()).unwrap();
    for n_alarms in [1, 0] {
        let carried = send(&mx, &["a@y.test"]).await;
        assert_eq!(
            outcomes(&carried),
            ["deferred 451 4.4.3 no resolver answers"]
        );
        assert_eq!(carried.by, By::Nothing);
        assert_eq!(usize::from(mx.news().is_some()), n_alarms);
    }
}
