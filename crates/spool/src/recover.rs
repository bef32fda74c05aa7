//! Opening: from what is on disk to a running engine.
//!
//! # Failure
//! What cannot be read is copied to the quarantine directory and noted, and the rest is used. A
//! crash during recovery repeats it: old records stay until the new ones are durable.

mod contents;
pub(crate) mod files;
mod messages;
pub(crate) mod quarantine;
mod replay;
pub(crate) mod scan;
mod unread;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use mail::{MessageId, SpoolId};

pub(crate) use files::read_all;
pub(crate) use messages::Messages;

use crate::engine::{Engine, Start, commit_header, segment_name, summary_name, write_summary};
use crate::format::Identity;
use crate::format::segment::{FIRST_BATCH, SegmentHeader, SegmentState};
use crate::format::summary::{Summary, SummaryWriter};
use crate::format::superblock::Superblock;
use crate::ledger::{Place, Segment};
use crate::limits::{SEGMENT_LEN_MAX, SEGMENT_LEN_MIN};
use crate::planted::{Mistake, planted};
use crate::shared::Shared;
use crate::{Disk, Note, OpenError, Options};
use files::{NamedError as _, Superblocks};
use quarantine::CopyOf;
use replay::Replay;
use scan::{Found, Scan};

/// What recovery leaves.
pub(crate) struct Recovered {
    pub(crate) engine: Engine,
    pub(crate) notes: Vec<Note>,
    /// There was none before.
    pub(crate) is_new: bool,
}

/// Opens the spool in `disk`, or makes one.
pub(crate) fn recover(disk: Arc<dyn Disk>, options: Options) -> Result<Recovered, OpenError> {
    let len = options.segment_len;
    if !(SEGMENT_LEN_MIN..=SEGMENT_LEN_MAX).contains(&len)
        || !len.is_multiple_of(crate::format::BLOCK)
    {
        return Err(OpenError::Options);
    }
    let lock = disk.lock("lock").map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked,
        _ => OpenError::io("lock", "lock", error),
    })?;
    let names = disk.list("").named("list", ".")?;
    let superblocks = files::read_superblocks(&*disk, &names)?;
    let is_new = matches!(superblocks, Superblocks::None);
    let base = superblocks.current(&options);
    files::make_directories(&*disk)?;
    let mut recovery = Recovery {
        disk,
        identity: base.identity,
        replay: Replay::default(),
        notes: Vec::new(),
        sequence: 0,
        generation: 0,
        number: 0,
        open_ends: Vec::new(),
        unread: Vec::new(),
    };
    if let Some(file_system) = recovery.disk.copies_on_write() {
        recovery.notes.push(Note::CopyOnWrite { file_system });
    }
    recovery.note_superblock(superblocks.damaged());
    recovery.replay.next_id = base.first_id;
    recovery.remove_unfinished(&names);
    recovery.note_missing(&names, base.n_segments);
    recovery.read_segments(&names)?;
    let (engine, notes) = recovery.finish(base, (&names, superblocks.order()), options, lock)?;
    Ok(Recovered {
        engine,
        notes,
        is_new,
    })
}

struct Recovery {
    disk: Arc<dyn Disk>,
    identity: Identity,
    replay: Replay,
    notes: Vec<Note>,
    /// The highest that were seen.
    sequence: u64,
    generation: u64,
    number: u32,
    /// Segments that are not sealed, and where what is durable in them ends.
    open_ends: Vec<(u32, u32)>,
    /// Segments of which the disk cannot read a part.
    unread: Vec<u32>,
}

impl Recovery {
    /// Files that were being made when it ended.
    fn remove_unfinished(&self, names: &[String]) {
        for name in names {
            if name.starts_with("new-") || name.ends_with(".new") {
                // What cannot be removed is in nobody's way.
                let _ = self.disk.remove(name);
            }
        }
    }

    /// Segments that were removed as a whole: nothing else tells of what they held.
    fn note_missing(&mut self, names: &[String], n_segments: u32) {
        let n = files::n_missing(names, n_segments);
        if n > 0 {
            self.notes.push(Note::SegmentsMissing { n });
        }
    }

    fn read_segments(&mut self, names: &[String]) -> Result<(), OpenError> {
        let mut order: Vec<SegmentHeader> = Vec::new();
        for name in names {
            let Some(number) = files::segment_number(name) else {
                continue;
            };
            self.number = self.number.max(number + 1);
            let (file, headers) = match self.read_headers(name) {
                Ok(both) => both,
                Err(error) if error.is_unreadable() => {
                    self.leave_unread(number, None);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let header = headers.current();
            match header.filter(|header| header.number == number) {
                Some(header) => {
                    if headers.is_unread() {
                        self.note_unread(name, &[scan::Range::new(0, FIRST_BATCH.into())]);
                    }
                    self.generation = self.generation.max(header.generation + 1);
                    self.replay.next_id = self.replay.next_id.max(header.next_id);
                    order.push(header);
                    // A guess that is wrong costs time only.
                    let written = file.written_len().unwrap_or(0).min(header.len.into());
                    let written = u32::try_from(written).unwrap_or(header.len);
                    let segment = Segment::new(file, header, written);
                    self.replay.ledger.segments.insert(number, segment);
                }
                None if headers.is_unread() => self.leave_unread(number, Some(&*file)),
                None => {
                    let note = quarantine::move_file(&*self.disk, name);
                    self.notes.push(note);
                }
            }
        }
        order.sort_unstable_by_key(|header| header.first_sequence);
        for header in order {
            match header.state {
                SegmentState::Free => {}
                SegmentState::Active => self.scan(header)?,
                SegmentState::Sealed(end) => {
                    if !self.read_summary(&header, end) {
                        self.scan(header)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Replays a sealed segment from its summary; `false` when there is no good one.
    fn read_summary(&mut self, header: &SegmentHeader, end: u32) -> bool {
        let Some(bytes) = read_all(&*self.disk, &summary_name(header.number)) else {
            return false;
        };
        let Some(summary) = Summary::open(&self.identity, header.generation, end, &bytes) else {
            return false;
        };
        self.sequence = self.sequence.max(summary.last_sequence() + 1);
        for record in summary {
            let place = Place {
                segment: header.number,
                offset: record.offset,
            };
            self.replay
                .record(place, &record.header, record.meta, false);
        }
        true
    }

    fn scan(&mut self, header: SegmentHeader) -> Result<(), OpenError> {
        let number = header.number;
        let Some(segment) = self.replay.ledger.segments.get(&number) else {
            return Ok(());
        };
        let file = Arc::clone(&segment.file);
        let replay = &mut self.replay;
        let mut summary = SummaryWriter::new();
        let mut sink = |record: scan::FoundRecord<'_>| {
            let place = Place {
                segment: number,
                offset: record.offset,
            };
            if !record.in_tail {
                summary.add(record.offset, &record.raw, record.meta);
            }
            replay.record(place, &record.header, record.meta, record.in_tail)
        };
        let found = Scan::new(&self.identity, &*file, header)
            .run(&mut sink)
            .named("read", &segment_name(number))?;
        self.replay.next_id = self.replay.next_id.max(found.next_id);
        if found.sequence > 0 {
            self.sequence = self.sequence.max(found.sequence + 1);
        }
        self.sequence = self.sequence.max(header.first_sequence + 1);
        self.note_found(number, &found);
        if !found.unread.is_empty() {
            self.keep_unread(number, &found.unread);
        }
        match header.state {
            SegmentState::Active => self.open_ends.push((number, found.durable)),
            SegmentState::Sealed(end) if found.damage.is_empty() && found.unread.is_empty() => {
                let bytes = summary.finish(&self.identity, header.generation, end, found.sequence);
                // Derived data: without it, the next opening takes longer.
                let _ = write_summary(&*self.disk, number, &bytes);
            }
            SegmentState::Sealed(_) | SegmentState::Free => {}
        }
        Ok(())
    }

    /// Puts what could not be read into quarantine.
    fn note_found(&mut self, number: u32, found: &Found) {
        for &range in &found.damage {
            let note = Note::Damage {
                file: segment_name(number),
                offset: range.start.into(),
                quarantine: self.quarantine(number, range, CopyOf::Damage),
            };
            self.notes.push(note);
        }
        for &range in &found.torn {
            let note = Note::Torn {
                file: segment_name(number),
                offset: range.start.into(),
                quarantine: self.quarantine(number, range, CopyOf::Torn),
            };
            self.notes.push(note);
        }
    }

    /// Copies a part of a segment; the segment is kept for ever where that fails.
    fn quarantine(&mut self, number: u32, range: scan::Range, kind: CopyOf) -> Option<String> {
        let segment = self.replay.ledger.segments.get_mut(&number)?;
        let copied = quarantine::copy(&*self.disk, &*segment.file, &segment.header, range, kind);
        segment.keep |= copied.is_none();
        copied
    }

    fn finish(
        mut self,
        base: Superblock,
        (names, order): (&[String], [&'static str; 2]),
        options: Options,
        lock: Box<dyn std::any::Any + Send + Sync>,
    ) -> Result<(Engine, Vec<Note>), OpenError> {
        let strays = self.check_contents()?;
        if planted(Mistake::ContentsRemovedTooEarly) {
            self.clear_away(&strays);
        }
        if self.has_damage() {
            // Ids that stood in what could not be read are not used again.
            self.replay.next_id += 1 << 32;
        }
        let superblock = Superblock {
            first_id: self.replay.next_id.max(1),
            ..base
        };
        self.skip_unread(superblock.first_id);
        let failed = files::commit_superblocks(&*self.disk, names, order, &superblock)?;
        self.note_superblock(failed);
        let free = self.refresh_free(options.segment_len);
        let in_tail = std::mem::take(&mut self.replay.in_tail);
        let mut ledger = std::mem::take(&mut self.replay.ledger);
        ledger.compact();
        let states = ledger.states_in_tail();
        let ends = ledger.ends_in_tail();
        let has_keys = ledger.keys.len() > 0;
        let shared = Arc::new(Shared::new(
            Arc::clone(&self.disk),
            self.identity,
            superblock.epoch,
            options,
            ledger,
            superblock.first_id,
        ));
        let start = Start {
            shared,
            lock,
            superblock,
            free,
            sequence: self.sequence.max(1),
            generation: self.generation.max(1),
            number: self.number,
        };
        let mut engine = Engine::start(start).named("write", "segments")?;
        if has_keys && planted(Mistake::KeysBeforeMessages) {
            engine.write_keys();
        }
        for id in in_tail {
            self.carry_forward(&mut engine, id)?;
        }
        states.iter().for_each(|&id| engine.repeat_state(id));
        ends.iter().for_each(|&id| engine.repeat_end(id));
        if has_keys {
            // Behind the messages that they came with: of a batch that is torn, what is left is
            // what comes first.
            engine.write_keys_last();
        }
        if !engine.commit_own() {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(OpenError::io("write", "segments", full));
        }
        // From here on what recovery went by is durable: before, a kill may have left it in the
        // page cache only, and without it these contents are needed.
        self.clear_away(&strays);
        engine.settle(&self.read_ends());
        engine.begin_census();
        Ok((engine, self.notes))
    }

    /// Copies forward a message that lies in a tail, unless it is dead. What cannot be read now was
    /// read whole a moment ago, and is lost when its segment is sealed: then the spool is not
    /// opened.
    fn carry_forward(&self, engine: &mut Engine, id: MessageId) -> Result<(), OpenError> {
        if planted(Mistake::TailLeftBehind) {
            return Ok(());
        }
        if engine.lies_in_tail(id, &self.open_ends) && engine.move_forward(id).is_none() {
            let unreadable = io::Error::other("what was read before cannot be read again");
            return Err(OpenError::io("read", &format!("message {id}"), unreadable));
        }
        Ok(())
    }

    /// Writes the headers of free segments again: what a killed process wrote may be in the page
    /// cache only, and a segment that comes back to life would bring its dead with it.
    /// Segments of another length, left from other options, are not used again.
    fn refresh_free(&mut self, segment_len: u32) -> VecDeque<u32> {
        let mut free = VecDeque::new();
        for (&number, segment) in &mut self.replay.ledger.segments {
            if segment.header.state != SegmentState::Free {
                continue;
            }
            segment.header.counter += 1;
            let fits = segment.header.len == segment_len;
            if fits && commit_header(&*segment.file, &self.identity, &segment.header).is_ok() {
                free.push_back(number);
            } else {
                segment.failed = true;
            }
        }
        free
    }

    fn has_damage(&self) -> bool {
        let is_damage = |note: &Note| {
            matches!(
                note,
                Note::Damage { .. } | Note::SegmentsMissing { .. } | Note::Unread { .. }
            )
        };
        self.notes.iter().any(is_damage)
    }
}

/// A new spool's identity.
fn new_identity(entropy: &[u8; 32]) -> Identity {
    let half = |from: usize| std::array::from_fn(|i| entropy[from + i]);
    Identity {
        id: SpoolId::from_bytes(half(0)),
        secret: half(16),
    }
}
