//! DATA, and the question that stands before any content.
//!
//! # Standards
//! RFC 5321 §4.1.1.4; RFC 3030 §3 for what may not come by DATA.

use mail::reply::table::{self, Row};
use mail::{BodyType, Moment, Reply};

use super::content::{Content, refused_len_max};
use super::event::{DataQuestion, Event, ResetCause};
use super::pace::Pace;
use super::session::Session;
use super::state::{Arrival, Asked, Fate, State};
use crate::codec::data::{DataDecoder, DataStep};

impl Session {
    pub(super) fn data_command(&mut self) {
        match self.check_data() {
            Ok(()) => self.ask_for_data(Arrival::Data),
            Err(row) => self.refuse_content_command(row),
        }
    }

    fn check_data(&self) -> Result<(), &'static Row> {
        // Between instances content is counted, so that nothing in it can be taken for its end.
        if self.is_edge() {
            return Err(&table::NOT_IMPLEMENTED);
        }
        let body = self.check_content_may_begin()?;
        if body == BodyType::BinaryMime {
            return Err(&table::BODY_NEEDS_CHUNKING);
        }
        Ok(())
    }

    /// Whether a transaction waits for its first content, and of which kind.
    pub(super) fn check_content_may_begin(&self) -> Result<BodyType, &'static Row> {
        self.check_ready()?;
        match &self.transaction {
            Some(transaction) if transaction.content.is_some() => Err(&table::BAD_SEQUENCE),
            Some(transaction) if transaction.n_recipients == 0 => Err(&table::NO_RECIPIENTS),
            Some(transaction) => Ok(transaction.body),
            None => Err(&table::BAD_SEQUENCE),
        }
    }

    pub(super) fn ask_for_data(&mut self, arrival: Arrival) {
        let serial = self.ask(Asked::Data(arrival));
        self.events.push_back(Event::Data(DataQuestion(serial)));
    }

    /// Answers [`Event::Data`]. A refusal ends the transaction; chunks that come all the same are
    /// read over.
    pub fn answer_data(&mut self, now: Moment, question: DataQuestion, answer: Result<(), Reply>) {
        let (Some(Asked::Data(arrival)), Some(transaction)) =
            (self.answered(question.0), &self.transaction)
        else {
            return;
        };
        self.body = Vec::new();
        self.pace = Pace::start(now, &self.settings.limits);
        let content = Content::new(&self.settings, transaction.body);
        match (answer, arrival) {
            (Ok(()), Arrival::Chunk(header)) => self.begin_chunk(now, header, Fate::Keep(content)),
            (Ok(()), Arrival::Data) => {
                self.say(&table::SEND_DATA.reply());
                self.deadline = Some(self.pace.deadline());
                self.state = State::Data(DataDecoder::default(), Fate::Keep(content));
            }
            (Err(reply), Arrival::Chunk(header)) => {
                let fate = Fate::Refuse(reply, self.n_replies(header.place));
                self.end_transaction();
                self.begin_chunk(now, header, fate);
            }
            (Err(reply), Arrival::Data) => {
                self.end_transaction();
                self.decline(&reply);
                self.content_may_follow = true;
            }
        }
        self.go_on(now);
    }

    /// Octets of content that comes by DATA; says how many it used.
    pub(super) fn data(&mut self, now: Moment, input: &[u8]) -> usize {
        let State::Data(mut decoder, fate) = std::mem::replace(&mut self.state, State::Command)
        else {
            return 0;
        };
        let (step, fate) = self.decode(&mut decoder, fate, input);
        let used = match step {
            DataStep::Ended(used) => used,
            DataStep::More => input.len(),
        };
        self.count_content(now, used, &fate);
        if !self.is_closed() {
            match step {
                DataStep::Ended(_) => {
                    let content_is_ambiguous =
                        matches!(&fate, Fate::Keep(content) if content.is_ambiguous());
                    self.is_out_of_step |= decoder.is_ambiguous() || content_is_ambiguous;
                    self.end_content(now, fate);
                }
                DataStep::More => self.state = State::Data(decoder, fate),
            }
        }
        used
    }

    fn decode(&mut self, decoder: &mut DataDecoder, fate: Fate, input: &[u8]) -> (DataStep, Fate) {
        let Fate::Keep(mut content) = fate else {
            return (decoder.decode(input, |_| ()), fate);
        };
        let mut fault = None;
        let body = &mut self.body;
        let step = decoder.decode(input, |run| {
            if fault.is_none() {
                fault = content.pass(run, body).err();
            }
        });
        let fate = match fault {
            Some(row) => {
                // Other servers take a dot beside one of these for the end of the data.
                self.is_out_of_step =
                    *row == table::BAD_DATA_NEWLINE || *row == table::BAD_DATA_NUL;
                self.refuse_content(row, 1)
            }
            None => Fate::Keep(content),
        };
        (step, fate)
    }

    /// The machine found a fault in the content; what is left of it is read over.
    pub(super) fn refuse_content(&mut self, row: &'static Row, times: usize) -> Fate {
        self.note_refusal(row);
        self.body = Vec::new();
        self.end_transaction();
        self.events
            .push_back(Event::Reset(ResetCause::Content(row)));
        Fate::Refuse(row.reply(), times)
    }

    /// Time and bounds of content that came.
    pub(super) fn count_content(&mut self, now: Moment, n: usize, fate: &Fate) {
        self.pace.received(now, n, &self.settings.limits);
        self.deadline = Some(self.pace.deadline());
        match fate {
            Fate::Keep(_) => self.refused_len = 0,
            Fate::Refuse(reply, times) => {
                self.refused_len = self.refused_len.saturating_add(n as u64);
                if self.refused_len > refused_len_max(&self.settings.limits) {
                    // The refusal first: after a 421 alone the client would send it all again.
                    self.say_times(reply, *times);
                    self.end(&table::FAR_TOO_BIG);
                }
            }
        }
    }
}
