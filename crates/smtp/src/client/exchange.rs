//! The exchange of commands and replies within transactions.
//!
//! Without PIPELINING one command goes at a time. With it, the envelope and DATA go together.
//! Binary content goes in chunks, when the server has accepted a recipient; to another instance
//! every content does, at once: it is near, it asked for it, and it is meant to say yes.
//!
//! # Standards
//! RFC 5321 §3.3, §4.1.1; RFC 2033 §4.2; RFC 2920 §3.1; RFC 3030 §2, §4.2.

use mail::reply::table;
use mail::{Author, BodyType, EnhancedStatus, Reply, ReplyClass, ReplyCode};

use super::capabilities::Capability;
use super::command::{write_mail, write_rcpt, write_xforward};
use super::content::{CHUNK_LEN_MAX, Chunk, Chunks, Lines};
use super::event::{CloseReason, Event};
use super::phase::Phase;
use super::settings::Dialect;
use super::transaction::{Answer, Framing, Step};
use super::{Awaited, Client, PIPELINE_MAX, Part, Stage};

impl Client {
    /// A whole reply has come; `rest` is what came after it in the same read.
    pub(super) fn handle_reply(&mut self, code: ReplyCode, rest: &[u8]) {
        // RFC 5321 §3.8: 421 answers any command and says that the connection is over.
        let is_over = code.value() == 421 && self.stage != Stage::Quitting;
        let is_answer = self.n_sent > 0 && !is_over;
        let Some(awaited) = self.awaited.pop_front_if(|_| is_answer) else {
            return self.on_unasked(is_over);
        };
        self.n_sent -= 1;
        self.answered = Some(awaited.phase());
        match awaited {
            Awaited::Greeting => self.on_greeting(code),
            Awaited::Ehlo => self.on_ehlo(code),
            Awaited::Helo => self.on_helo(code),
            Awaited::StartTls => self.on_starttls(code, rest),
            Awaited::Noop | Awaited::Reset | Awaited::Xforward
                if code.class() == ReplyClass::Intermediate =>
            {
                self.close(CloseReason::Unexpected(self.reader.reply()));
            }
            // Whether a server wants to know who is behind us, or listens to a NOOP, is its own.
            Awaited::Noop | Awaited::Xforward => {}
            Awaited::Quit => self.close(CloseReason::Quit),
            Awaited::Reset => self.on_reset(code),
            Awaited::Verify => self.events.push_back(Event::Verified(self.reader.reply())),
            Awaited::Transaction(part) => self.handle_transaction_reply(part, code),
        }
    }

    /// A reply came that no command is waiting for, or 421, which needs none.
    fn on_unasked(&mut self, is_over: bool) {
        let (reply, phase) = (self.reader.reply(), self.phase());
        if let Some(running) = self.running.as_mut().filter(|_| is_over) {
            running.refuse_content(&reply, phase);
        }
        let is_refusal = matches!(reply.class(), ReplyClass::Transient | ReplyClass::Permanent);
        let has_place = is_over || self.running.is_none() || self.sends_lines();
        self.close(if is_refusal && has_place {
            CloseReason::Refused(reply)
        } else {
            CloseReason::Unexpected(reply)
        });
    }

    /// The end of a transaction that the server left open. Where it knows no RSET, what it replied
    /// before stands, and the next transaction needs another connection.
    fn on_reset(&mut self, code: ReplyCode) {
        if code.class() != ReplyClass::Positive {
            self.finish();
            self.close(CloseReason::Unexpected(self.reader.reply()));
        }
    }

    fn handle_transaction_reply(&mut self, part: Part, code: ReplyCode) {
        let positive = code.class() == ReplyClass::Positive;
        let intermediate = code.class() == ReplyClass::Intermediate;
        let means_nothing = if part == Part::Data {
            positive
        } else {
            intermediate
        };
        if means_nothing {
            return self.close(CloseReason::Unexpected(self.reader.reply()));
        }
        let Some(running) = &mut self.running else {
            return;
        };
        // Nobody accepts what is not all there.
        if positive && running.is_premature(part, self.awaited.is_empty()) {
            return self.close(CloseReason::Unexpected(self.reader.reply()));
        }
        match part {
            Part::Mail if positive => running.mail = Answer::Yes,
            Part::Mail => {
                running.mail = Answer::No;
                // What the server will say to each RCPT is that it has no MAIL: this is why.
                running.decide_all(&self.reader.reply(), part.phase());
            }
            Part::Rcpt(index) if positive => running.accept(index),
            Part::Rcpt(index) => running.refuse(index, rcpt_refusal(self.reader.reply())),
            Part::Data if intermediate => self.on_go_ahead(),
            Part::Data => {
                running.decide_all(&self.reader.reply(), part.phase());
                running.step = Step::Nothing;
            }
            Part::Chunk if positive => {}
            Part::Chunk => running.decide_all(&self.reader.reply(), part.phase()),
            Part::Content => self.on_content_reply(),
        }
    }

    /// A reply to the whole content: one for all recipients, or one of several.
    fn on_content_reply(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let reply = self.reader.reply();
        let more = match self.settings.dialect {
            Dialect::Edge | Dialect::Lmtp => running.decide_next(reply),
            Dialect::Smtp => {
                running.decide_all(&reply, Phase::EndOfData);
                false
            }
        };
        if more {
            self.awaited.push_front(Awaited::Transaction(Part::Content));
            self.n_sent += 1;
        } else {
            running.content_answered = true;
        }
    }

    /// 354: the content may come.
    fn on_go_ahead(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        if running.is_hopeful() {
            running.step = Step::Content(Framing::Lines(Lines::new()));
            self.events.push_back(Event::SendContent);
        } else {
            // RFC 2920 §3.1: a server may say this although it refused all recipients. Whatever
            // it says to the empty message goes to nobody.
            self.out.extend_from_slice(b".\r\n");
            self.awaited.push_back(Awaited::Transaction(Part::Content));
            running.step = Step::Nothing;
        }
    }

    /// Sends what can be sent, and finishes what is over.
    pub(super) fn advance(&mut self) {
        while self.send_next() {}
        let Some(running) = &mut self.running else {
            return;
        };
        if !self.awaited.is_empty() || !matches!(running.step, Step::Nothing) {
            return;
        }
        if running.take_left_open() {
            self.out.extend_from_slice(b"RSET\r\n");
            self.awaited.push_back(Awaited::Reset);
        } else {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let phase = self.phase();
        if let Some(running) = self.running.take() {
            // Nobody is without a reply here, but for a message without recipients.
            let finished = running.finish(&table::TRY_AGAIN.reply(), Author::Us, phase);
            self.events.push_back(Event::Finished(finished));
        }
    }

    /// Sends the next command, if there is one that need not wait; whether it did something.
    fn send_next(&mut self) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        let can = &self.capabilities;
        let window = if can.has(Capability::Pipelining) {
            PIPELINE_MAX
        } else {
            1
        };
        if self.awaited.len() >= window {
            return false;
        }
        let hopeful = running.is_hopeful();
        match running.step {
            Step::Mail | Step::Rcpt(_) if !hopeful => running.step = Step::Nothing,
            Step::Mail => {
                if let Some(attributes) = running.transaction.xforward.take() {
                    let n_commands = write_xforward(&mut self.out, &attributes, can);
                    self.awaited
                        .extend(std::iter::repeat_n(Awaited::Xforward, n_commands));
                    // Again, when the window is open.
                    return true;
                }
                write_mail(&mut self.out, &running.transaction, can);
                self.awaited.push_back(Awaited::Transaction(Part::Mail));
                running.step = Step::Rcpt(0);
            }
            Step::Rcpt(index) => match running.transaction.recipients.get(index) {
                Some(recipient) => {
                    write_rcpt(&mut self.out, recipient, can);
                    self.awaited
                        .push_back(Awaited::Transaction(Part::Rcpt(index)));
                    running.step = Step::Rcpt(index + 1);
                }
                None => running.step = Step::Envelope,
            },
            Step::Envelope => return self.ask_for_content(),
            Step::Data | Step::Content(_) | Step::Nothing => return false,
        }
        true
    }

    /// The envelope is sent: the content is next.
    fn ask_for_content(&mut self) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        let can = &self.capabilities;
        let answered = self.awaited.is_empty();
        // 354 shows that the replies to the envelope are in step, as no other command has it; a
        // chunk would be taken for accepted by the reply to a recipient, were there one too many.
        let by_chunks = self.settings.dialect == Dialect::Edge
            || running.transaction.body == BodyType::BinaryMime;
        if answered && !running.is_hopeful() {
            running.step = Step::Nothing;
        } else if !by_chunks {
            self.out.extend_from_slice(b"DATA\r\n");
            self.awaited.push_back(Awaited::Transaction(Part::Data));
            running.step = Step::Data;
        } else if answered || self.settings.dialect == Dialect::Edge {
            // RFC 3030 §4.2: without PIPELINING each chunk waits for its reply; so there is one.
            let pipelining = can.has(Capability::Pipelining);
            let len_max = if pipelining { CHUNK_LEN_MAX } else { u64::MAX };
            let chunks = Chunks::new(running.transaction.size, len_max);
            running.step = Step::Content(Framing::Chunks(chunks));
            self.events.push_back(Event::SendContent);
        } else {
            return false;
        }
        true
    }

    pub(super) fn write_content(&mut self, bytes: &[u8]) {
        let Some(running) = &mut self.running else {
            return;
        };
        let hopeful = running.is_hopeful();
        let Step::Content(framing) = &mut running.step else {
            return;
        };
        match framing {
            Framing::Lines(lines) => {
                if lines.write(bytes, &mut self.out).is_err() {
                    self.close(unsendable());
                }
            }
            Framing::Chunks(chunks) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    if chunks.is_at_boundary() {
                        if !hopeful {
                            running.step = Step::Nothing;
                            return;
                        }
                        match chunks.begin(&mut self.out) {
                            Some(chunk) => self.awaited.push_back(awaited_for(chunk)),
                            None => return self.close(CloseReason::Abandoned),
                        }
                    }
                    rest = chunks.write(rest, &mut self.out);
                }
            }
        }
    }

    pub(super) fn write_content_end(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let Step::Content(framing) = &mut running.step else {
            return;
        };
        let complete = match framing {
            Framing::Lines(lines) => {
                if lines.end(&mut self.out).is_err() {
                    return self.close(unsendable());
                }
                self.awaited.push_back(Awaited::Transaction(Part::Content));
                true
            }
            Framing::Chunks(chunks) => {
                if running.transaction.size == 0 {
                    self.awaited
                        .extend(chunks.begin(&mut self.out).map(awaited_for));
                }
                chunks.is_complete()
            }
        };
        if !complete {
            return self.close(CloseReason::Abandoned);
        }
        running.content_given = true;
        running.step = Step::Nothing;
    }
}

const fn awaited_for(chunk: Chunk) -> Awaited {
    match chunk {
        Chunk::Last => Awaited::Transaction(Part::Content),
        Chunk::More => Awaited::Transaction(Part::Chunk),
    }
}

fn unsendable() -> CloseReason {
    CloseReason::Unsendable(table::BAD_DATA_NEWLINE.reply())
}

/// RFC 5321 §4.5.3.1.10: servers say 552 for too many recipients, and mean 452. Other things that
/// they say 552 for have an enhanced code that tells them apart.
fn rcpt_refusal(reply: Reply) -> Reply {
    const TOO_MANY: EnhancedStatus = EnhancedStatus::new(5, 5, 3);
    if reply.code.value() == 552 && reply.enhanced.is_none_or(|enhanced| enhanced == TOO_MANY) {
        let enhanced = EnhancedStatus::new(4, 5, 3);
        return Reply::new(ReplyCode::new(452), Some(enhanced), reply.text());
    }
    reply
}
