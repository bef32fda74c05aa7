//! What is said over one connection to the next instance: a message is handed over, or a question
//! asked.

use std::io;

use mail::Reply;
use net::ClientConnection;
use smtp::client::{self, ClientRecipient, Transaction};

use crate::Handoff;
use crate::content::{Content, PIECE_LEN, read_piece};

/// What a connection is used for.
pub(crate) enum Work<'a> {
    Handoff(&'a Handoff<'a>),
    Question(&'a str),
}

impl Work<'_> {
    /// One for each recipient, or the one to the question.
    pub(crate) async fn replies(
        &self,
        connection: &mut ClientConnection,
    ) -> io::Result<Vec<Reply>> {
        match self {
            Self::Handoff(handoff) => transact(connection, handoff).await,
            Self::Question(question) => Ok(vec![verify(connection, question).await?]),
        }
    }
}

/// Our own content failed, and nobody at the other end.
#[derive(Debug, thiserror::Error)]
#[error("the content cannot be read")]
struct Unreadable(#[source] io::Error);

pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<Unreadable>())
}

pub(crate) fn is_lost(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

pub(crate) fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection lost")
}

pub(crate) async fn verify(connection: &mut ClientConnection, question: &str) -> io::Result<Reply> {
    let now = connection.clock().now();
    connection.machine().verify(now, question);
    loop {
        match connection.next_event().await {
            Some(client::Event::Verified(reply)) => return Ok(reply),
            Some(client::Event::Closed(_)) | None => return Err(lost()),
            Some(_) => {}
        }
    }
}

async fn transact(
    connection: &mut ClientConnection,
    handoff: &Handoff<'_>,
) -> io::Result<Vec<Reply>> {
    let now = connection.clock().now();
    connection.machine().begin(now, transaction(handoff));
    loop {
        match connection.next_event().await {
            Some(client::Event::SendContent) => send(connection, &handoff.content).await?,
            Some(client::Event::Finished(finished)) => {
                if finished.recipients.len() != handoff.recipients.len() {
                    return Err(io::Error::other("as many replies as recipients are due"));
                }
                let replies = finished.recipients.into_iter();
                return Ok(replies.map(|of| of.reply).collect());
            }
            Some(client::Event::Closed(_)) | None => return Err(lost()),
            Some(_) => {}
        }
    }
}

fn transaction(handoff: &Handoff<'_>) -> Transaction {
    let envelope = handoff.envelope;
    let recipients = handoff.recipients.iter().filter_map(|&index| {
        let recipient = envelope.recipients.get(usize::try_from(index).ok()?)?;
        Some(ClientRecipient {
            address: recipient.address.clone(),
            notify: recipient.notify,
            orcpt: recipient.orcpt.clone(),
        })
    });
    Transaction {
        sender: envelope.sender.clone(),
        recipients: recipients.collect(),
        size: handoff.content.len(),
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        ret: envelope.ret,
        envid: envelope.envid.clone(),
        edge: Some(handoff.parameters.to_text().into()),
        xforward: None,
    }
}

async fn send(connection: &mut ClientConnection, content: &Content<'_>) -> io::Result<()> {
    let clock = connection.clock();
    match content {
        Content::Bytes(bytes) if bytes.len() <= PIECE_LEN => {
            connection.machine().content(clock.now(), bytes);
        }
        Content::Bytes(bytes) => {
            for piece in bytes.chunks(PIECE_LEN) {
                connection.machine().content(clock.now(), piece);
                connection.flush().await?;
            }
        }
        Content::Source(source) => {
            let (mut offset, mut buffer) = (0, Vec::new());
            while offset < source.len() {
                let read = read_piece(source, offset, buffer).await;
                buffer = read.map_err(|error| io::Error::other(Unreadable(error)))?;
                connection.machine().content(clock.now(), &buffer);
                connection.flush().await?;
                offset += buffer.len() as u64;
            }
        }
    }
    connection.machine().end_content(clock.now());
    Ok(())
}
