//! A client that sends and does not read, over a real connection.

use std::sync::Arc;
use std::time::Duration;

use mail::Security;
use net::{Clock, Connection, Stream};
use smtp::server::{
    BareNewlines, Dialect, Event, Extensions, Limits, Offer, Session, Settings, Starttls,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// No step of the test takes longer, or it fails.
const LIMIT: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    Settings {
        hostname: "mx.example.org".into(),
        dialect: Dialect::Smtp,
        extensions: Extensions {
            binarymime: Offer::No,
            chunking: Offer::Yes,
            dsn: Offer::Yes,
            smtputf8: Offer::Yes,
            starttls: Starttls::NotOffered,
            xforward: Offer::No,
        },
        limits: Limits {
            command_len_max: 512,
            command_timeout: Duration::from_secs(300),
            commands_max: u32::MAX,
            content_len_max: 1000,
            content_line_len_max: 998,
            data_rate_min: 100,
            data_timeout: Duration::from_secs(180),
            errors_max: u32::MAX,
            recipients_max: 100,
            tls_timeout: Duration::from_secs(60),
        },
        newlines: BareNewlines::Refuse,
    }
}

#[tokio::test]
async fn a_client_that_reads_late_is_not_read_from_before_and_misses_nothing() {
    const N: usize = 50_000;
    let clock = Clock::start();
    let session = Session::new(Arc::new(settings()), Security::Plain, clock.now());
    let (ours, theirs) = UnixStream::pair().unwrap();
    let serving = tokio::spawn(async move {
        let mut connection = Connection::new(Stream::Unix(ours), session, clock);
        while let Some(event) = connection.next_event().await {
            match event {
                Event::Hello(question, _) => {
                    let now = clock.now();
                    connection.machine().answer_hello(now, question, Ok(()));
                }
                Event::Closed(_) => break,
                _ => {}
            }
        }
        connection.close().await;
    });
    let (mut reader, mut writer) = theirs.into_split();
    let commands = "EHLO a\r\n".repeat(N) + "QUIT\r\n";
    let mut rest = commands.as_bytes();
    // As much as it takes while nobody reads: what the two sockets hold, and a little.
    let mut n_refused = 0;
    while n_refused < 10 {
        match writer.try_write(rest) {
            Ok(n) => (rest, n_refused) = (&rest[n..], 0),
            Err(_) => n_refused += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(!rest.is_empty(), "it read on and on");
    let mut replies = String::new();
    let reading =
        async { tokio::join!(reader.read_to_string(&mut replies), writer.write_all(rest)) };
    let (read, written) = tokio::time::timeout(LIMIT, reading).await.unwrap();
    read.unwrap();
    written.unwrap();
    serving.await.unwrap();
    assert_eq!(replies.matches("250 ENHANCEDSTATUSCODES\r\n").count(), N);
    assert!(replies.ends_with("221 2.0.0 closing the connection\r\n"));
}
