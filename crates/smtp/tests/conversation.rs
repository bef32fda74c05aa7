//! Both machines in one conversation: what the client is given is what the server commits, and
//! each recipient gets the reply that is its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mail::reply::table;
use mail::{BodyType, ForwardPath, Mailbox, Moment, Notify, Reply, ReversePath, Security};
use smtp::client::{self, Client, ClientRecipient, Timeouts, TlsWish, Transaction};
use smtp::server::{
    BareNewlines, Committed, Dialect, Event, Extensions, Limits, Offer, Session, Settings, Starttls,
};

const NOW: Moment = Moment::START;

/// A message: its recipients, of whom the server refuses those that begin with `no`, and content.
struct Message {
    recipients: &'static [&'static str],
    content: &'static [u8],
    body: BodyType,
}

/// What became of it: what the server committed, and the codes that the recipients got.
#[derive(Debug, PartialEq, Eq)]
struct Fate {
    committed: Option<Vec<u8>>,
    codes: Vec<u16>,
}

struct Conversation {
    server: Session,
    client: Client,
    dialect: Dialect,
    waiting: VecDeque<Message>,
    n_recipients: usize,
    committed: Option<Vec<u8>>,
    fates: Vec<Fate>,
}

impl Conversation {
    fn run(dialect: Dialect, chunking: Offer, piece: usize, messages: Vec<Message>) -> Vec<Fate> {
        let mut this = Self {
            server: Session::new(
                Arc::new(server_settings(dialect, chunking)),
                Security::Plain,
                NOW,
            ),
            client: Client::new(Arc::new(client_settings(dialect)), Security::Plain, NOW),
            dialect,
            waiting: messages.into(),
            n_recipients: 0,
            committed: None,
            fates: Vec::new(),
        };
        let mut wire = Vec::new();
        for _ in 0..1000 {
            this.client_turn();
            this.client.poll_transmit(&mut wire);
            for bytes in wire.chunks(piece) {
                this.server.handle_input(NOW, bytes);
                this.server_turn();
            }
            wire.clear();
            this.server_turn();
            this.server.poll_transmit(&mut wire);
            this.server.resume(NOW);
            for bytes in wire.chunks(piece) {
                this.client.handle_input(NOW, bytes);
            }
            wire.clear();
        }
        assert!(this.server.is_closed(), "the conversation came to no end");
        this.fates
    }

    fn client_turn(&mut self) {
        while let Some(event) = self.client.poll_event() {
            match event {
                client::Event::Finished(finished) => {
                    let codes = finished
                        .recipients
                        .iter()
                        .map(|r| r.reply.code.value())
                        .collect();
                    let committed = self.committed.take();
                    self.fates.push(Fate { committed, codes });
                    self.waiting.pop_front();
                    self.next_message();
                }
                client::Event::Ready => self.next_message(),
                client::Event::SendContent => {
                    let content = self.waiting.front().map_or(&b""[..], |m| m.content);
                    for bytes in content.chunks(7) {
                        self.client.content(NOW, bytes);
                    }
                    self.client.end_content(NOW);
                }
                client::Event::Closed(closed) => assert_eq!(closed.unfinished, None),
                client::Event::StartTls | client::Event::Verified(_) => panic!("not asked for"),
            }
        }
    }

    fn next_message(&mut self) {
        let Some(message) = self.waiting.front() else {
            return self.client.quit(NOW);
        };
        let recipient = |address: &&str| ClientRecipient {
            address: Mailbox::parse(address).expect("an address"),
            notify: Notify::UNSPECIFIED,
            orcpt: None,
        };
        let transaction = Transaction {
            body: message.body,
            edge: (self.dialect == Dialect::Edge).then(|| "o=outside;t=1".into()),
            envid: None,
            recipients: message.recipients.iter().map(recipient).collect(),
            ret: None,
            sender: ReversePath::Null,
            size: message.content.len() as u64,
            smtputf8: false,
            xforward: None,
        };
        self.client.begin(NOW, transaction);
    }

    fn server_turn(&mut self) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Mail(question, command) => {
                    self.n_recipients = 0;
                    assert_eq!(command.edge.is_some(), self.dialect == Dialect::Edge);
                    self.server.answer_mail(NOW, question, Ok(()));
                }
                Event::Rcpt(question, command) => {
                    let answer = match command.recipient {
                        ForwardPath::Mailbox(m) if m.as_str().starts_with("no") => {
                            Err(table::NO_SUCH_USER.reply())
                        }
                        _ => Ok(()),
                    };
                    self.n_recipients += usize::from(answer.is_ok());
                    self.server.answer_rcpt(NOW, question, answer);
                }
                Event::Data(question) => self.server.answer_data(NOW, question, Ok(())),
                Event::Commit(question) => {
                    self.committed = Some(self.server.take_body());
                    let committed = self.committed_reply();
                    self.server.answer_commit(NOW, question, committed);
                }
                Event::Hello(question, _) => self.server.answer_hello(NOW, question, Ok(())),
                Event::Connect(_) | Event::EarlyTalk | Event::StartTls | Event::Verify(..) => {
                    panic!("not asked for")
                }
                // The body stays in the machine until the commit.
                Event::Body | Event::Closed(_) | Event::Refused(_) | Event::Reset(_) => {}
            }
        }
    }

    /// Between instances, every second accepted recipient is left to the sender.
    fn committed_reply(&self) -> Committed {
        let reply = |i: usize| -> Reply { [table::ACCEPTED, table::TRY_AGAIN][i % 2].reply() };
        match self.dialect {
            Dialect::Edge => Committed::Each((0..self.n_recipients).map(reply).collect()),
            Dialect::Smtp => Committed::All(reply(0)),
        }
    }
}

fn messages() -> Vec<Message> {
    let message = |recipients, content, body| Message {
        recipients,
        content,
        body,
    };
    vec![
        message(&["a@x.example"], b"plain\r\n", BodyType::SevenBit),
        message(
            &[
                "nobody@x.example",
                "a@x.example",
                "b@x.example",
                "none@x.example",
                "c@x.example",
            ],
            b".\r\n..\r\n.a\r\n\r\n.\r\n",
            BodyType::SevenBit,
        ),
        message(
            &["nobody@x.example", "none@x.example"],
            b"for nobody\r\n",
            BodyType::SevenBit,
        ),
        message(
            &["a@x.example", "b@x.example"],
            b"QUIT\r\n.\r\n",
            BodyType::EightBitMime,
        ),
    ]
}

#[test]
fn content_arrives_as_it_was_given_and_replies_find_their_recipients() {
    for (dialect, chunking) in [
        (Dialect::Edge, Offer::Yes),
        (Dialect::Smtp, Offer::No),
        (Dialect::Smtp, Offer::Yes),
    ] {
        let each = |replies: &[u16], all: &[u16]| match dialect {
            Dialect::Edge => replies.to_vec(),
            Dialect::Smtp => all.to_vec(),
        };
        let expected: Vec<Fate> = messages()
            .iter()
            .zip([
                each(&[250], &[250]),
                each(&[550, 250, 451, 550, 250], &[550, 250, 250, 550, 250]),
                each(&[550, 550], &[550, 550]),
                each(&[250, 451], &[250, 250]),
            ])
            .map(|(message, codes)| Fate {
                committed: codes.contains(&250).then(|| message.content.to_vec()),
                codes,
            })
            .collect();
        for piece in [1, 5, usize::MAX] {
            let fates = Conversation::run(dialect, chunking, piece, messages());
            assert_eq!(
                fates, expected,
                "{dialect:?}, CHUNKING {chunking:?}, by {piece}"
            );
        }
    }
}

fn server_settings(dialect: Dialect, chunking: Offer) -> Settings {
    Settings {
        hostname: "mx.example.org".into(),
        dialect,
        extensions: Extensions {
            binarymime: Offer::Yes,
            chunking,
            dsn: Offer::Yes,
            smtputf8: Offer::Yes,
            starttls: Starttls::NotOffered,
            xforward: Offer::No,
        },
        limits: Limits {
            command_len_max: 8192,
            command_timeout: Duration::from_secs(300),
            commands_max: 100,
            content_len_max: 1000,
            content_line_len_max: 998,
            data_rate_min: 100,
            data_timeout: Duration::from_secs(180),
            errors_max: 20,
            recipients_max: 100,
            tls_timeout: Duration::from_secs(60),
        },
        newlines: BareNewlines::Refuse,
    }
}

fn client_settings(dialect: Dialect) -> client::Settings {
    client::Settings {
        dialect: match dialect {
            Dialect::Edge => client::Dialect::Edge,
            Dialect::Smtp => client::Dialect::Smtp,
        },
        hello_name: "client.example".into(),
        timeouts: Timeouts::LEAST,
        tls: TlsWish::Never,
    }
}
