//! Runs the transcripts of `client_transcripts/` against the client machine, in virtual time.
//!
//! Each is run twice: with what the server says together arriving together, and octet by octet;
//! both must come to the same. `BLESS=1` rewrites the lines that the machine is answerable for.
//!
//! ```text
//! settings dialect=smtp tls=never security=plain    how the client is set up; once, first
//! S: 220 mx.example                                 the server says a line (with \r \n \0 \xHH \\)
//! S| 250-half a li                                  the server says octets without a line end
//! @+5m                                              time passes (s, m)
//! ! begin <a@x> <b@y>,<c@z> size=3 …                the caller acts
//! C: EHLO client.example                            the client said this line
//! C| octets                                         the client said octets without a line end
//! = ready                                           the client told its caller this
//! ```

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on shall say where"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mail::{BodyType, Mailbox, Moment, Notify, Return, ReversePath, Security};
use smtp::client::{
    Client, ClientRecipient, CloseReason, Dialect, Event, Finished, RecipientReply, Settings,
    Timeouts, TlsWish, Transaction,
};
use smtp::codec::xforward::XforwardAttributes;

/// How the server's octets arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reads {
    ByOctet,
    Whole,
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test reads and rewrites its transcripts"
)]
fn the_client_behaves_as_its_transcripts_say_however_the_octets_arrive() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client_transcripts");
    let mut n_run = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let expected = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let whole = run(&expected, Reads::Whole);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &whole).unwrap();
        } else {
            assert_eq!(
                expected, whole,
                "{name}: what is expected, and what happened"
            );
        }
        if !expected.contains("# whole reads only") {
            assert_eq!(
                whole,
                run(&expected, Reads::ByOctet),
                "{name}: octet by octet"
            );
        }
        n_run += 1;
    }
    assert!(n_run > 20, "the transcripts are gone: {n_run}");
}

/// The transcript with the lines that the client makes.
fn run(transcript: &str, reads: Reads) -> String {
    let mut stage = Stage {
        client: None,
        now: Moment::START,
        reads,
        said: Vec::new(),
        told: String::new(),
    };
    let mut out = String::new();
    let mut pending = Vec::new();
    for line in transcript.lines() {
        if let Some(text) = line.strip_prefix("S: ") {
            pending.extend(unescape(text));
            pending.extend(b"\r\n");
        } else if let Some(text) = line.strip_prefix("S| ") {
            pending.extend(unescape(text));
        } else if line.starts_with("C: ") || line.starts_with("C| ") || line.starts_with("= ") {
            continue;
        } else {
            stage.hear(&mut pending);
            stage.flush(&mut out);
            stage.act(line);
        }
        writeln!(out, "{line}").unwrap();
        if !line.starts_with('S') {
            stage.flush(&mut out);
        }
    }
    stage.hear(&mut pending);
    stage.flush(&mut out);
    out
}

struct Stage {
    client: Option<Client>,
    now: Moment,
    reads: Reads,
    said: Vec<u8>,
    told: String,
}

impl Stage {
    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("the first line is `settings`")
    }

    fn hear(&mut self, pending: &mut Vec<u8>) {
        let (now, reads) = (self.now, self.reads);
        match reads {
            Reads::ByOctet => {
                for octet in pending.drain(..) {
                    self.client().handle_input(now, &[octet]);
                    self.collect();
                }
            }
            Reads::Whole if pending.is_empty() => {}
            Reads::Whole => self.client().handle_input(now, &std::mem::take(pending)),
        }
        self.collect();
    }

    fn act(&mut self, line: &str) {
        let now = self.now;
        if line.is_empty() || line.starts_with('#') {
        } else if let Some(words) = line.strip_prefix("settings") {
            let (settings, security) = settings(words);
            self.client = Some(Client::new(Arc::new(settings), security, now));
        } else if let Some(time) = line.strip_prefix("@+") {
            let (number, unit) = time.split_at(time.len() - 1);
            let seconds = number.parse::<u64>().unwrap() * if unit == "m" { 60 } else { 1 };
            self.now = now + Duration::from_secs(seconds);
            let now = self.now;
            if self.client().poll_timeout().is_some_and(|at| at <= now) {
                self.client().handle_timeout(now);
            }
        } else if let Some(action) = line.strip_prefix("! ") {
            let (verb, argument) = action.split_once(' ').unwrap_or((action, ""));
            let client = self.client();
            match verb {
                "abandon" => client.abandon(),
                "begin" => client.begin(now, transaction(argument)),
                "content" => client.content(now, &unescape(argument)),
                "end" => client.end_content(now),
                "fill" => client.content(now, &vec![b'x'; argument.parse().unwrap()]),
                "eof" => client.handle_eof(now),
                "noop" => client.noop(now, argument),
                "quit" => client.quit(now),
                "tls" => client.handle_tls(now),
                "verify" => client.verify(now, argument),
                _ => panic!("no such action: {line}"),
            }
        } else {
            panic!("no such line: {line}");
        }
        self.collect();
    }

    fn collect(&mut self) {
        let Some(client) = &mut self.client else {
            return;
        };
        client.poll_transmit(&mut self.said);
        while let Some(event) = client.poll_event() {
            writeln!(self.told, "= {}", event_text(event)).unwrap();
        }
    }

    fn flush(&mut self, out: &mut String) {
        for line in self.said.split_inclusive(|&b| b == b'\n') {
            let (mark, line) = match line.strip_suffix(b"\r\n") {
                Some(line) => ("C:", line),
                None => ("C|", line),
            };
            // Long content is shown by its length, and what follows it on the same line.
            let filling = line.iter().take_while(|&&b| b == b'x').count();
            if filling > 100 {
                let rest = line[filling..].escape_ascii();
                writeln!(out, "{mark} ({filling} octets){rest}").unwrap();
            } else {
                writeln!(out, "{mark} {}", line.escape_ascii()).unwrap();
            }
        }
        self.said.clear();
        out.push_str(&std::mem::take(&mut self.told));
    }
}

fn event_text(event: Event) -> String {
    match event {
        Event::Closed(closed) => {
            let reason = match closed.reason {
                CloseReason::Protocol(e) => format!("protocol: {e}"),
                CloseReason::Refused(reply) => format!("refused: {reply}"),
                CloseReason::Unexpected(reply) => format!("unexpected: {reply}"),
                CloseReason::Unsendable(reply) => format!("unsendable: {reply}"),
                other => format!("{other:?}").to_lowercase(),
            };
            let unfinished = closed
                .unfinished
                .map(|f| format!("; {}", finished_text(&f)));
            let unfinished = unfinished.unwrap_or_default();
            format!("closed at {}: {reason}{unfinished}", closed.phase)
        }
        Event::Finished(finished) => finished_text(&finished),
        Event::Ready => "ready".into(),
        Event::SendContent => "send content".into(),
        Event::StartTls => "start tls".into(),
        Event::Verified(reply) => format!("verified: {reply}"),
    }
}

fn finished_text(finished: &Finished) -> String {
    let groups: Vec<_> = finished
        .recipients
        .chunk_by(|a, b| a == b)
        .map(|group| match group {
            [only] => reply_text(only),
            [first, ..] => format!("{} x {}", group.len(), reply_text(first)),
            [] => String::new(),
        })
        .collect();
    let sent = format!("{:?}", finished.data_sent).to_lowercase();
    format!("finished, data sent {sent}: {}", groups.join(" | "))
}

fn reply_text(RecipientReply { reply, phase, .. }: &RecipientReply) -> String {
    match reply.is_positive() {
        true => reply.to_string(),
        false => format!("{reply} (at {phase})"),
    }
}

fn settings(words: &str) -> (Settings, Security) {
    let mut security = Security::Plain;
    let mut settings = Settings {
        dialect: Dialect::Smtp,
        hello_name: "client.example".into(),
        timeouts: Timeouts::LEAST,
        tls: TlsWish::Never,
    };
    for word in words.split_whitespace() {
        match word {
            "dialect=edge" => settings.dialect = Dialect::Edge,
            "dialect=lmtp" => settings.dialect = Dialect::Lmtp,
            "security=tls" => security = Security::Tls,
            "tls=offered" => settings.tls = TlsWish::IfOffered,
            "tls=required" => settings.tls = TlsWish::Required,
            _ => panic!("no such setting: {word}"),
        }
    }
    (settings, security)
}

fn transaction(words: &str) -> Transaction {
    let mut words = words.split_whitespace();
    let mut path = || words.next().unwrap().replace(['<', '>'], "");
    let sender = ReversePath::parse(&path()).unwrap();
    let recipient = |address: &str| ClientRecipient {
        address: Mailbox::parse(address).unwrap(),
        notify: Notify::UNSPECIFIED,
        orcpt: None,
    };
    // `N@many` stands for as many recipients.
    let list = path();
    let recipients = match list.strip_suffix("@many") {
        Some(n) => (0..n.parse().unwrap())
            .map(|i| recipient(&format!("r{i}@y.example")))
            .collect(),
        None => list.split(',').map(recipient).collect(),
    };
    let mut transaction = Transaction {
        body: BodyType::SevenBit,
        edge: None,
        envid: None,
        recipients,
        ret: None,
        sender,
        size: 0,
        smtputf8: false,
        xforward: None,
    };
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "body" if value == "binary" => transaction.body = BodyType::BinaryMime,
            "body" => transaction.body = BodyType::EightBitMime,
            "edge" => transaction.edge = Some(value.into()),
            "envid" => transaction.envid = Some(value.into()),
            "notify" => transaction.recipients[0].notify = Notify::FAILURE.and(Notify::DELAY),
            "orcpt" => transaction.recipients[0].orcpt = Some(value.into()),
            "ret" => transaction.ret = Some(Return::Headers),
            "size" => transaction.size = value.parse().unwrap(),
            "smtputf8" => transaction.smtputf8 = true,
            "xforward" => transaction.xforward = Some(Box::new(xforward())),
            _ => panic!("no such parameter: {word}"),
        }
    }
    transaction
}

fn xforward() -> XforwardAttributes {
    XforwardAttributes {
        addr: Some("2001:db8::1".parse().unwrap()),
        helo: Some("he lo".into()),
        port: Some(25),
        ..XforwardAttributes::default()
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        octets.push(match byte {
            b'\\' => match bytes.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b'0' => 0,
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            other => other,
        });
    }
    octets
}
