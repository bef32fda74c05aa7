//! BDAT: content in counted chunks.
//!
//! # Failure
//! A chunk that cannot be taken is read over before it is answered (RFC 3030 §2), so that nothing
//! in it is read as a command. Where its size cannot be read, nobody can tell where the next
//! command begins, and the session ends.
//!
//! # Standards
//! RFC 3030.

use mail::Moment;
use mail::reply::table::{self, Row};

use super::event::ResetCause;
use super::pace::Pace;
use super::session::Session;
use super::settings::Offer;
use super::state::{Arrival, Chunk, Fate, State};
use crate::codec::bdat::{ChunkHeader, ChunkPlace};
use crate::limits::CHUNK_LEN_USEFUL;

impl Session {
    pub(super) fn bdat(&mut self, now: Moment, argument: &str) {
        let Some(header) = ChunkHeader::parse(argument) else {
            return self.end_out_of_step();
        };
        let leads_nowhere = header.size < CHUNK_LEN_USEFUL && header.place == ChunkPlace::Inner;
        if leads_nowhere && !self.count_command() {
            return;
        }
        if self.settings.extensions.chunking == Offer::No {
            // Who sends it all the same sends its octets as well.
            return self.refuse_first_chunk(now, header, &table::NOT_IMPLEMENTED);
        }
        let content = self.transaction.as_mut().and_then(|t| t.content.take());
        match content {
            Some(content) if content.has_room(header.size) => {
                self.begin_chunk(now, header, Fate::Keep(content));
            }
            Some(_) => self.begin_over(now, header),
            None => self.begin_content(now, header),
        }
    }

    /// The first chunk of a message, or one that comes at the wrong time.
    fn begin_content(&mut self, now: Moment, header: ChunkHeader) {
        match self.check_content_may_begin() {
            Ok(_) if header.size <= self.settings.limits.content_len_max => {
                self.ask_for_data(Arrival::Chunk(header));
            }
            Ok(_) => {
                self.pace = Pace::start(now, &self.settings.limits);
                self.begin_over(now, header);
            }
            Err(row) => self.refuse_first_chunk(now, header, row),
        }
    }

    /// A chunk that fails ends the transaction (RFC 3030 §2), also one without recipients: those of
    /// the next message must not end up in it.
    fn refuse_first_chunk(&mut self, now: Moment, header: ChunkHeader, row: &'static Row) {
        self.note_refusal(row);
        self.reset(ResetCause::Content(row));
        self.pace = Pace::start(now, &self.settings.limits);
        self.begin_chunk(now, header, Fate::Refuse(row.reply(), 1));
    }

    /// A chunk that says itself that it is too big.
    fn begin_over(&mut self, now: Moment, header: ChunkHeader) {
        let fate = self.refuse_chunk(&table::TOO_BIG, header.place);
        self.begin_chunk(now, header, fate);
    }

    pub(super) fn begin_chunk(&mut self, now: Moment, header: ChunkHeader, fate: Fate) {
        let chunk = Chunk {
            remaining: header.size,
            place: header.place,
            fate,
        };
        self.deadline = Some(self.pace.deadline());
        if chunk.remaining == 0 {
            self.end_chunk(now, chunk);
        } else {
            self.state = State::Chunk(chunk);
        }
    }

    /// Octets of a chunk; says how many it used.
    pub(super) fn chunk(&mut self, now: Moment, input: &[u8]) -> usize {
        let State::Chunk(mut chunk) = std::mem::replace(&mut self.state, State::Command) else {
            return 0;
        };
        let n = usize::try_from(chunk.remaining).map_or(input.len(), |max| input.len().min(max));
        if let Fate::Keep(content) = &mut chunk.fate
            && let Err(row) = content.pass(&input[..n], &mut self.body)
        {
            chunk.fate = self.refuse_chunk(row, chunk.place);
        }
        chunk.remaining -= n as u64;
        self.count_content(now, n, &chunk.fate);
        if !self.is_closed() {
            if chunk.remaining == 0 {
                self.end_chunk(now, chunk);
            } else {
                self.state = State::Chunk(chunk);
            }
        }
        n
    }

    fn end_chunk(&mut self, now: Moment, chunk: Chunk) {
        match (chunk.fate, chunk.place, &mut self.transaction) {
            (Fate::Keep(content), ChunkPlace::Inner, Some(transaction)) => {
                transaction.content = Some(content);
                self.say(&table::CHUNK_OK.reply());
                self.expect_command(now);
            }
            (fate, ..) => self.end_content(now, fate),
        }
    }

    fn refuse_chunk(&mut self, row: &'static Row, place: ChunkPlace) -> Fate {
        let times = self.n_replies(place);
        self.refuse_content(row, times)
    }

    /// How many replies a chunk of the open transaction gets: between instances, the last one of
    /// a message gets one for each accepted recipient (RFC 2033 §4.2).
    pub(super) fn n_replies(&self, place: ChunkPlace) -> usize {
        if self.is_edge() && place == ChunkPlace::Last {
            self.n_recipients()
        } else {
            1
        }
    }

    pub(super) fn end_out_of_step(&mut self) {
        self.refuse(&table::SYNTAX_ARGUMENT);
        self.end(&table::OUT_OF_STEP);
    }
}
