//! Every reply that this program can ever send, in one place.
//!
//! `docs/reference/replies.md` is generated from here. A reply's public text never names a path, a
//! rule or a host of ours; what an operator needs to know goes to the log.

use crate::{EnhancedStatus, Reply, ReplyCode};

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name in logs, counters and the reference.
    pub id: &'static str,
    /// The reply code.
    pub code: u16,
    /// The enhanced status code, as class, subject and detail.
    pub enhanced: (u8, u16, u16),
    /// The text; a place that is filled at run time stands in braces.
    pub text: &'static str,
    /// When it is sent.
    pub when: &'static str,
}

impl Row {
    /// The reply with the text of the table.
    #[must_use]
    pub const fn reply(&self) -> Reply {
        let (class, subject, detail) = self.enhanced;
        let enhanced = EnhancedStatus::new(class, subject, detail);
        Reply::fixed(ReplyCode::new(self.code), enhanced, self.text)
    }

    /// The reply with `text` in the place of the table's, for rows that have a place to fill.
    #[must_use]
    pub fn with_text(&self, text: &str) -> Reply {
        self.reply().with_text(text)
    }
}

macro_rules! table {
    ($($name:ident $code:literal ($class:literal, $subject:literal, $detail:literal) $text:literal $when:literal;)*) => {
        $(
            #[doc = $when]
            pub const $name: Row = Row {
                id: stringify!($name),
                code: $code,
                enhanced: ($class, $subject, $detail),
                text: $text,
                when: $when,
            };
        )*

        /// All rows, in the order of the reference.
        pub const ALL: &[Row] = &[$($name),*];

        // A row that is no legal reply stops the build here.
        const _: () = {
            let mut i = 0;
            while i < ALL.len() {
                let row = &ALL[i];
                assert!(row.code / 100 == row.enhanced.0 as u16 || row.code / 100 == 3);
                let _ = EnhancedStatus::new(row.enhanced.0, row.enhanced.1, row.enhanced.2);
                i += 1;
            }
        };
    };
}

table! {
    GREETING 220 (2, 0, 0) "{hostname} ESMTP" "A connection is accepted.";
    CLOSING 221 (2, 0, 0) "closing the connection" "The client said QUIT.";
    OK 250 (2, 0, 0) "OK" "A command succeeded that has no better text.";
    SENDER_OK 250 (2, 1, 0) "sender OK" "MAIL was accepted.";
    RECIPIENT_OK 250 (2, 1, 5) "recipient OK" "RCPT was accepted.";
    ACCEPTED 250 (2, 0, 0) "accepted as {trace id}" "The message is on stable storage, here or at the next instance.";
    CHUNK_OK 250 (2, 0, 0) "chunk received" "A BDAT that is not the last was received.";
    HELP 214 (2, 0, 0) "see RFC 5321" "The client said HELP.";
    WILL_FORWARD 251 (2, 1, 5) "User not local; will forward" "VRFY from another instance about a recipient that a route leads out of the system for.";
    CANNOT_VERIFY 252 (2, 0, 0) "cannot verify, but will try to deliver" "VRFY from anyone but another instance.";
    SEND_DATA 354 (2, 0, 0) "end data with <CR><LF>.<CR><LF>" "DATA was accepted.";
    SHUTTING_DOWN 421 (4, 3, 2) "this service is going down, try again later" "The instance stops.";
    TIMED_OUT 421 (4, 4, 2) "timed out waiting for the client" "The client said nothing for too long.";
    TOO_SLOW 421 (4, 4, 2) "data arrived too slowly" "The client sent less than the minimum rate.";
    TOO_MANY_CONNECTIONS 421 (4, 7, 0) "too many connections, try again later" "A limit on connections is reached.";
    TOO_MANY_ERRORS 421 (4, 7, 0) "too many errors" "The client made more errors than it may.";
    TOO_MANY_COMMANDS 421 (4, 7, 0) "too many commands without a message" "The client sends commands that lead nowhere.";
    OUT_OF_STEP 421 (4, 5, 0) "cannot tell where the next command begins" "A BDAT whose size cannot be read; and where what follows may be content: behind one that was refused or that another server could have ended elsewhere, and behind lines without CR LF.";
    FAR_TOO_BIG 421 (4, 3, 4) "the message goes on far beyond the limit" "Content that was refused for its size goes on without end.";
    NOT_SMTP 421 (4, 7, 0) "this is a mail service" "A first word or octet that only another protocol has, a NUL, or a field of a header in the place of a command.";
    LINE_TOO_LONG_CLOSING 421 (4, 5, 0) "line too long" "A command line passed all bounds.";
    NOT_AVAILABLE 421 (4, 3, 2) "service not available, try again later" "The instance behind a listener is down.";
    CHECK_DEFERRED_CLIENT 421 (4, 7, 1) "try again later" "A check of the connection defers its client.";
    CHECK_DEFERRED 450 (4, 7, 1) "try again later" "A check defers what it found.";
    NEXT_AWAY 451 (4, 4, 1) "the next instance does not answer; the message waits here" "Not sent on the wire: a message that waits in its spool for the next instance.";
    NEXT_UNAVAILABLE 451 (4, 4, 1) "cannot verify this recipient now, try again later" "The next instance did not say whether it knows the recipient, and no cached answer serves.";
    MAILBOX_NOT_SEEN 451 (4, 3, 0) "cannot verify this mailbox now, try again later" "Storage did not say whether the mailbox exists: it failed, was slow, or its base was not there.";
    TRY_AGAIN 451 (4, 3, 0) "try again later" "A fault of ours that will pass.";
    SHUTTING_DOWN_LATE 451 (4, 3, 2) "this service is going down, try again later" "The instance stopped while a message was on its way in; nothing was accepted.";
    STORAGE_FAILED 451 (4, 3, 0) "could not store the message, try again later" "A write or sync failed; nothing was accepted.";
    NEXT_REFUSED_SOME 451 (4, 3, 0) "a recipient was refused late, try again" "The next instance refused a recipient after the data; nothing was accepted.";
    HANDOFF_PENDING 451 (4, 3, 0) "this handoff is in doubt, try again later" "A handoff under the same key has not been settled.";
    STORAGE_FULL 452 (4, 3, 1) "not enough storage, try again later" "The spool is full.";
    QUEUE_FULL 452 (4, 3, 1) "too many messages wait here, try again later" "As many messages wait as may, from outside or of our own.";
    TOO_MANY_RECIPIENTS 452 (4, 5, 3) "too many recipients in this transaction" "One more recipient than a transaction may have.";
    SYNTAX_COMMAND 500 (5, 5, 2) "command not recognised" "A command that does not exist.";
    LINE_TOO_LONG 500 (5, 5, 2) "line too long" "A command line is longer than allowed.";
    BARE_NEWLINE 500 (5, 5, 2) "lines end with <CR><LF> only" "A command line with a bare CR or LF.";
    SYNTAX_ARGUMENT 501 (5, 5, 4) "syntax error in the argument" "An argument that does not follow the grammar.";
    SYNTAX_SENDER 501 (5, 1, 7) "not a valid sender address" "MAIL with an address that does not follow the grammar.";
    SYNTAX_RECIPIENT 501 (5, 1, 3) "not a valid recipient address" "RCPT with an address that does not follow the grammar.";
    NOT_IMPLEMENTED 502 (5, 5, 1) "command not implemented" "A command that exists and is not offered.";
    BAD_SEQUENCE 503 (5, 5, 1) "wrong order of commands" "A command that cannot come here.";
    HELLO_FIRST 503 (5, 5, 1) "say EHLO first" "A mail command before EHLO or HELO.";
    NO_RECIPIENTS 503 (5, 5, 1) "no valid recipients" "DATA or BDAT without an accepted recipient.";
    PARAMETER_UNKNOWN 555 (5, 5, 4) "parameter not recognised" "MAIL or RCPT with a parameter that is not offered.";
    PARAMETER_VALUE 501 (5, 5, 4) "parameter value not valid" "MAIL or RCPT with a parameter whose value is wrong.";
    PARAMETER_TWICE 501 (5, 5, 4) "parameter given twice" "MAIL or RCPT with the same parameter twice.";
    TLS_REQUIRED 530 (5, 7, 0) "say STARTTLS first" "The listener wants TLS.";
    TLS_ARGUMENT 501 (5, 5, 4) "STARTTLS takes no argument" "STARTTLS with an argument.";
    TLS_READY 220 (2, 0, 0) "ready to start TLS" "STARTTLS was accepted.";
    TLS_NOT_NOW 454 (4, 7, 0) "TLS not available now" "STARTTLS, and the certificate cannot be used.";
    NO_SUCH_USER 550 (5, 1, 1) "no such user" "No mailbox or alias of that name.";
    NO_SUCH_DOMAIN 550 (5, 1, 2) "no route to this domain" "No route matches the recipient.";
    RELAY_DENIED 550 (5, 7, 1) "relaying denied" "A recipient elsewhere, from a client that may not relay.";
    NOT_ALLOWED 550 (5, 7, 1) "not allowed" "Refused by configuration.";
    EARLY_TALKER 554 (5, 5, 1) "wait for the greeting" "A client that sent before the greeting, where a check refuses it.";
    HELLO_REFUSED 550 (5, 7, 1) "this name in HELO is not yours" "HELO or EHLO with our own name, or with an address literal that is not the client's.";
    SENDER_UNPROVED 550 (5, 7, 1) "mail from this domain must come from its own senders" "A sender in a domain of ours, from a client that proved nothing.";
    BOUNCE_RECIPIENTS 550 (5, 5, 3) "a bounce has one recipient" "The null sender with several recipients, where a check refuses it.";
    FIELD_REPEATED 550 (5, 6, 0) "a field of the header is there more often than it may be" "A header field that stands once, such as From, stands there again, where a check refuses it.";
    SENDER_NEEDS_UTF8 553 (5, 6, 7) "this address needs SMTPUTF8" "An address that is not ASCII, without SMTPUTF8.";
    TOO_BIG 552 (5, 3, 4) "message bigger than the limit" "SIZE or the data exceed the limit.";
    BAD_DATA_NEWLINE 550 (5, 6, 0) "lines of the message end with <CR><LF> only" "The data holds a bare CR or LF.";
    BAD_DATA_NUL 550 (5, 6, 0) "the message holds a NUL" "The data holds a NUL octet.";
    BAD_DATA_LINE 550 (5, 6, 0) "a line of the message is too long" "A line of the data is longer than allowed.";
    LOOP 554 (5, 4, 6) "this message has been here before" "The message visited this instance already, or has too many Received fields.";
    NO_SERVICE 554 (5, 3, 2) "no mail service here" "A listener that refuses all.";
    TRANSACTION_FAILED 554 (5, 0, 0) "transaction failed" "A failure that has no better name.";
    BODY_NEEDS_CHUNKING 503 (5, 5, 1) "binary content comes by BDAT" "DATA after BODY=BINARYMIME.";
    HELD 250 (2, 0, 0) "held: {why}" "Not sent on the wire: a recipient that a route or an operator holds.";
    EXPIRED 554 (5, 4, 7) "could not be delivered in time" "Not sent on the wire: stands in the notification of an expired message.";
    NO_CONNECTION 451 (4, 4, 1) "no connection to the next host" "Not sent on the wire: an attempt that reached nobody.";
    UNRESOLVED 451 (4, 4, 3) "where the domain's mail goes cannot be found out now" "Not sent on the wire: a destination that could not be resolved.";
    DOMAIN_UNKNOWN 550 (5, 1, 2) "the domain does not exist" "Not sent on the wire: the DNS denies the recipient's domain.";
    DOMAIN_UNUSABLE 550 (5, 1, 2) "not a domain that mail can be sent to" "Not sent on the wire: the recipient's domain cannot be a name of the DNS, or is an address literal.";
    DOMAIN_WITHOUT_MAIL 556 (5, 1, 10) "the domain accepts no mail" "Not sent on the wire: the recipient's domain has a null MX.";
    DNS_SILENT 451 (4, 4, 3) "no resolver answers" "Not sent on the wire: no resolver answers any question; the message does not expire by it.";
    EXCHANGERS_UNUSABLE 451 (4, 4, 4) "no mail exchanger of the domain has an address" "Not sent on the wire: the recipient's domain exists, but nothing there takes mail.";
    CONNECTION_LOST 451 (4, 4, 2) "connection lost" "Not sent on the wire: the connection broke during an attempt.";
    ATTEMPT_TIMED_OUT 451 (4, 4, 2) "the next host took too long" "Not sent on the wire: an attempt that took too long.";
    PEER_PROTOCOL 451 (4, 5, 0) "the next host does not speak SMTP" "Not sent on the wire: a reply that is none.";
    DELIVERY_UNCONFIRMED 451 (4, 4, 2) "no reply after the data; the next attempt may deliver it twice" "Not sent on the wire: a connection that ended after the content and before the reply to it.";
    MAILBOX_FULL 452 (4, 2, 2) "mailbox full, try again later" "Not sent on the wire: a local delivery for which the mailbox owner has no room.";
    PEER_SIZE_EXCEEDED 552 (5, 3, 4) "message bigger than the next host takes" "Not sent on the wire: the next host's SIZE is smaller than the message.";
    PEER_WITHOUT_BODY_TYPE 554 (5, 6, 3) "the next host takes no content with 8-bit or binary octets" "Not sent on the wire: the next host lacks 8BITMIME or BINARYMIME.";
    PEER_WITHOUT_SMTPUTF8 550 (5, 6, 7) "the next host takes no internationalized addresses" "Not sent on the wire: the next host lacks SMTPUTF8.";
    PEER_WITHOUT_TLS 451 (4, 7, 4) "the next host offers no TLS" "Not sent on the wire: TLS is required and the next host has none.";
    DELIVERED_LOCALLY 250 (2, 0, 0) "delivered" "Not sent on the wire: stored in a mailbox.";
    MAILBOX_FAILED 451 (4, 2, 0) "mailbox cannot be written now" "Not sent on the wire: a local delivery that failed for now.";
}
