//! What lies in quarantine, and what can still be read of it.
//!
//! A copy's name says where it lay, so that the checksums of whole records in it can be checked
//! as if it still lay there: such a record is *vouched* for. Where only the header of a record is
//! damaged, its meta has a checksum of its own; such a record is shown, too, but a sender could
//! have put it into a content.

use std::collections::{HashMap, HashSet};
use std::io;

use mail::MessageId;

use super::contents::{self, ContentPlace, ContentState};
use super::record::{Record, RecordKind};
use super::walk::{self, Look};
use super::{Inspection, UNVOUCHED_LEN_MAX};
use crate::content::file_name;
use crate::disk::{Unread, read_around};
use crate::engine::segment_name;
use crate::format::batch::{self, BatchHeader};
use crate::format::record::{self, ALIGN, Kind, MessageMeta, RecordHeader};
use crate::format::segment::FIRST_BATCH;
use crate::format::{BLOCK, Identity, Position, crc32c};
use crate::recover::files::NamedError as _;
use crate::recover::quarantine::{DIR, Lay, content_path};
use crate::recover::scan::Window;
use crate::{Disk, DiskFile, OpenError};

/// Generations that are tried for a segment that lost its headers: one is used for each segment
/// that is made or recycled.
const GENERATIONS_TRIED: u64 = 1 << 20;

/// A file in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its name there.
    pub name: String,
    /// How long it is, in octets.
    pub len: u64,
    /// Where it lay; `None` when its name does not say.
    pub lay: Option<Lay>,
}

/// A record that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// Where in the file.
    pub at: u64,
    /// Its own checksum holds, so it is what the spool wrote there.
    pub is_vouched: bool,
    /// What it says.
    pub kind: RecordKind,
    /// Of which message.
    pub id: MessageId,
    /// The record; `None` when its meta is damaged.
    pub record: Option<Record>,
    /// Its content and how that is; `None` for a record that has none.
    pub content: Option<(ContentPlace, ContentState)>,
}

/// How a search through a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Salvage {
    /// All of it was looked through.
    Complete,
    /// So much looked like a record and was none that those that nobody vouches for were no longer
    /// looked for.
    GaveUp,
}

/// What a spool knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has ended.
    Ended,
    /// Something is left to do.
    Live,
    /// Nothing.
    Unknown,
}

impl Inspection {
    /// What lies in quarantine, by name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn quarantine(&self) -> Result<Vec<Quarantined>, OpenError> {
        let mut names = match self.disk.list(DIR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.named("list", DIR)?,
        };
        names.sort_unstable();
        let quarantined = |name: String| {
            let path = format!("{DIR}/{name}");
            let file = self.disk.open(&path).named("open", &path)?;
            Ok(Quarantined {
                len: file.file_len().named("read", &path)?,
                lay: Lay::parse(&name),
                name,
            })
        };
        names.into_iter().map(quarantined).collect()
    }

    /// Gives what can be read of a file in quarantine to `take`, in the order in which it lies.
    ///
    /// # Errors
    /// Those of the disk; that there is no such file.
    pub fn salvage(
        &self,
        quarantined: &Quarantined,
        take: &mut dyn FnMut(Salvaged),
    ) -> Result<Salvage, OpenError> {
        let path = format!("{DIR}/{}", quarantined.name);
        let file = self.disk.open(&path).named("open", &path)?;
        let identity = &self.superblock.identity;
        let (generation, offset, from) = match quarantined.lay {
            Some(Lay::Part {
                generation, start, ..
            }) => (Some(generation), u64::from(start), 0),
            Some(Lay::Whole { .. }) => {
                let generation = find_generation(identity, &*file).named("read", &path)?;
                (generation, 0, u64::from(FIRST_BATCH))
            }
            // It holds no records.
            Some(Lay::Content { .. }) => return Ok(Salvage::Complete),
            None => (None, 0, 0),
        };
        let search = Search {
            disk: &*self.disk,
            identity,
            generation,
            offset,
            path: &path,
            len: quarantined.len,
            file: &*file,
            window: Window::new(&*file),
            unvouched_left: UNVOUCHED_LEN_MAX,
            gave_up: false,
        };
        search.run(from, take).named("read", &path)
    }

    /// What the spool knows of these messages.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn standings(
        &self,
        ids: &HashSet<MessageId>,
    ) -> Result<HashMap<MessageId, Standing>, OpenError> {
        let mut standings: HashMap<_, _> = ids.iter().map(|&id| (id, Standing::Unknown)).collect();
        let mut set = |id: MessageId, to: Standing| {
            if let Some(standing) = standings.get_mut(&id)
                && *standing != Standing::Ended
            {
                *standing = to;
            }
        };
        let (disk, identity) = (&*self.disk, &self.superblock.identity);
        let names = disk.list("").named("list", ".")?;
        let looks = walk::numbers(&names).map(|number| {
            let look = Look::at(disk, identity, number);
            look.named("read", &segment_name(number))
        });
        let looks: Vec<_> = looks.collect::<Result<_, _>>()?;
        let headers = looks.iter().flatten().filter_map(Look::header);
        for header in walk::in_order(headers) {
            let mut take = |header: &RecordHeader, meta: &[u8]| match header.kind {
                Kind::Done => set(header.id, Standing::Ended),
                Kind::Accepted | Kind::Moved => set(header.id, Standing::Live),
                Kind::Notified => {
                    set(header.id, Standing::Live);
                    let parts = MessageMeta::decode(header.kind, meta);
                    if let Some((original, [])) = parts.and_then(|parts| parts.original) {
                        set(original, Standing::Ended);
                    }
                }
                Kind::State | Kind::Keys => {}
            };
            let name = segment_name(header.number);
            walk::each_record(disk, identity, header, &mut take).named("read", &name)?;
        }
        Ok(standings)
    }
}

/// A search for records in a file.
struct Search<'a> {
    disk: &'a dyn Disk,
    identity: &'a Identity,
    generation: Option<u64>,
    /// Where in the segment the file began.
    offset: u64,
    path: &'a str,
    len: u64,
    file: &'a dyn DiskFile,
    window: Window<'a>,
    /// Octets that may still be tried without anybody to vouch for them.
    unvouched_left: u64,
    /// They are used up.
    gave_up: bool,
}

impl Search<'_> {
    fn run(mut self, from: u64, take: &mut dyn FnMut(Salvaged)) -> io::Result<Salvage> {
        let mut at = from;
        while at + record::LEN as u64 <= self.len {
            let Some((header, is_vouched)) = self.header_at(at)? else {
                at += ALIGN;
                continue;
            };
            let Some(salvaged) = self.record_at(at, &header, is_vouched)? else {
                at += ALIGN;
                continue;
            };
            // A length that nobody vouches for must not hide what follows.
            let is_whole = matches!(&salvaged.content, Some((_, ContentState::Whole)));
            at += if is_vouched || is_whole {
                header.record_len()
            } else {
                ALIGN
            };
            take(salvaged);
        }
        Ok(if self.gave_up {
            Salvage::GaveUp
        } else {
            Salvage::Complete
        })
    }

    fn header_at(&mut self, at: u64) -> io::Result<Option<(RecordHeader, bool)>> {
        let (Ok(within), Ok(offset)) = (u32::try_from(at), u32::try_from(self.offset + at)) else {
            return Ok(None);
        };
        let bytes = self.window.get(within, record::LEN)?;
        let vouched = self.generation.and_then(|generation| {
            let position = Position { generation, offset };
            RecordHeader::decode(self.identity, position, bytes)
        });
        if let Some(header) = vouched {
            return Ok(Some((header, true)));
        }
        let header = RecordHeader::decode_fields(bytes);
        Ok(header
            .filter(RecordHeader::has_message)
            .map(|header| (header, false)))
    }

    /// The record with this header, if there is enough of it to be worth showing.
    fn record_at(
        &mut self,
        at: u64,
        header: &RecordHeader,
        is_vouched: bool,
    ) -> io::Result<Option<Salvaged>> {
        let meta_len = u64::from(header.meta_len);
        let start = at + record::LEN as u64 + meta_len;
        if !is_vouched {
            if start > self.len {
                return Ok(None);
            }
            self.gave_up |= self.unvouched_left < meta_len;
            if self.gave_up {
                return Ok(None);
            }
            self.unvouched_left -= meta_len;
        }
        let Ok(meta_at) = u32::try_from(at + record::LEN as u64) else {
            return Ok(None);
        };
        let meta = self.window.get(meta_at, header.meta_len as usize)?;
        let is_good = meta.len() as u64 == meta_len && crc32c(meta) == header.meta_crc;
        let place = ContentPlace::within(header, self.path.to_owned(), start);
        let record = is_good
            .then(|| Record::decode(narrow(self.offset + at), header, meta, place.clone()))
            .flatten();
        if record.is_none() && !is_vouched {
            return Ok(None);
        }
        let content = if header.has_message() {
            Some(self.content(header, place)?)
        } else {
            None
        };
        Ok(Some(Salvaged {
            at,
            is_vouched,
            kind: header.kind.into(),
            id: header.id,
            record,
            content,
        }))
    }

    fn content(
        &self,
        header: &RecordHeader,
        mut place: ContentPlace,
    ) -> io::Result<(ContentPlace, ContentState)> {
        if header.file == 0 {
            let read = contents::read(self.file, place.start, place.len, &mut |_| Ok(()))?;
            let state = place.state(read);
            return Ok((place, state));
        }
        let mut state = contents::check(self.disk, &place)?;
        if state == ContentState::Missing {
            place.file = content_path(header.file);
            state = contents::check(self.disk, &place)?;
            if state == ContentState::Missing {
                place.file = file_name(header.file);
            }
        }
        Ok((place, state))
    }
}

/// In which generation the batches of a segment that lost its headers were written: what is left
/// of a header says it, else it is tried.
fn find_generation(identity: &Identity, file: &dyn DiskFile) -> io::Result<Option<u64>> {
    let mut blocks = vec![0; FIRST_BATCH as usize + batch::LEN];
    let n = read_around(file, 0, &mut blocks, &mut Unread::default())?;
    let Some(first) = blocks[..n].get(FIRST_BATCH as usize..) else {
        return Ok(None);
    };
    let holds = |generation: &u64| {
        let position = Position {
            generation: *generation,
            offset: FIRST_BATCH,
        };
        BatchHeader::decode(identity, position, first).is_some()
    };
    let said = [0, BLOCK as usize].map(|slot| {
        let bytes = blocks.get(slot + 32..slot + 40);
        bytes.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)))
    });
    let tried = said.into_iter().flatten().chain(1..=GENERATIONS_TRIED);
    Ok(tried.into_iter().find(holds))
}

fn narrow(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
