//! Accepts every message and prints it: the smallest driver of the server machine.
//!
//! `cargo run -p postern-smtp --example sink -- 127.0.0.1:2525`; one client at a time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail::reply::table;
use mail::{Moment, Security};
use smtp::server::{
    BareNewlines, Committed, Dialect, Event, Extensions, Limits, Offer, Session, Settings, Starttls,
};

#[expect(
    clippy::disallowed_methods,
    reason = "a driver is where the sockets are"
)]
fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:2525".to_owned());
    let listener = TcpListener::bind(address)?;
    for stream in listener.incoming() {
        if let Err(error) = serve(stream?) {
            writeln!(io::stderr(), "a client was lost: {error}")?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a driver is where the clock is")]
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let start = Instant::now();
    let now = || Moment::from_start(start.elapsed());
    let mut session = Session::new(Arc::new(settings()), Security::Plain, now());
    let mut input = [0; 16 * 1024];
    let mut output = Vec::new();
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    loop {
        while let Some(event) = session.poll_event() {
            answer(&mut session, now(), event)?;
        }
        session.poll_transmit(&mut output);
        stream.write_all(&output)?;
        output.clear();
        if session.is_closed() {
            return Ok(());
        }
        if session.resume(now()) {
            continue;
        }
        let patience = session.poll_timeout().map(|at| at.since(now()));
        stream.set_read_timeout(patience.map(|time| time.max(Duration::from_millis(1))))?;
        let room = session.input_room().min(input.len());
        match stream.read(&mut input[..room]) {
            Ok(0) => session.handle_eof(now()),
            Ok(n) => session.handle_input(now(), &input[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                session.handle_timeout(now());
            }
            Err(error) => return Err(error),
        }
    }
}

fn answer(session: &mut Session, now: Moment, event: Event) -> io::Result<()> {
    match event {
        Event::Connect(question) => session.answer_connect(now, question, Ok(())),
        Event::Hello(question, _) => session.answer_hello(now, question, Ok(())),
        Event::Mail(question, _) => session.answer_mail(now, question, Ok(())),
        Event::Rcpt(question, _) => session.answer_rcpt(now, question, Ok(())),
        Event::Data(question) => session.answer_data(now, question, Ok(())),
        Event::Verify(question, _) => session.answer_verify(now, question, table::OK.reply()),
        Event::Body => print_body(session)?,
        Event::Commit(question) => {
            // Printed is as durable as this program gets; a mail server would sync a disk here.
            print_body(session)?;
            session.answer_commit(now, question, Committed::All(table::OK.reply()));
        }
        // Told, not asked; STARTTLS is not offered.
        Event::Closed(_)
        | Event::EarlyTalk
        | Event::Refused(_)
        | Event::Reset(_)
        | Event::StartTls => {}
    }
    Ok(())
}

fn print_body(session: &mut Session) -> io::Result<()> {
    io::stdout().write_all(&session.take_body())
}

fn settings() -> Settings {
    Settings {
        hostname: "localhost".into(),
        dialect: Dialect::Smtp,
        extensions: Extensions {
            binarymime: Offer::Yes,
            chunking: Offer::Yes,
            dsn: Offer::No,
            smtputf8: Offer::Yes,
            starttls: Starttls::NotOffered,
            xforward: Offer::No,
        },
        limits: Limits {
            command_len_max: 2048,
            command_timeout: Duration::from_secs(300),
            commands_max: 100,
            content_len_max: 25 << 20,
            content_line_len_max: 64 * 1024,
            data_rate_min: 100,
            data_timeout: Duration::from_secs(180),
            errors_max: 20,
            recipients_max: 1000,
            tls_timeout: Duration::from_secs(60),
        },
        newlines: BareNewlines::Refuse,
    }
}
