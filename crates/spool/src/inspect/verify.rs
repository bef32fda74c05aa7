//! Checking a spool against `docs/spool-format.md`, as far as that can be seen from outside.

mod messages;
mod segment;

use std::collections::HashMap;
use std::io;

use super::Inspection;
use super::books::Books;
use super::contents::{ContentPlace, ContentState};
use super::finding::{Fault, Finding, Findings, Grade};
use super::walk::{self, Look};
use crate::engine::segment_name;
use crate::format::segment::{SegmentHeader, SegmentState};
use crate::format::{BLOCK, Identity};
use crate::ledger::Place;
use crate::recover::files::{self, NamedError as _, read_superblock};
use crate::recover::quarantine;
use crate::{Disk, OpenError};

/// What a spool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages for which something is left to do.
    pub n_messages: u64,
    /// Their recipients for whom something is left to do.
    pub n_recipients: u64,
    /// Handoffs that are remembered because their senders may ask for them again.
    pub n_keys: u64,
    /// Records that were read, of messages live and dead.
    pub n_records: u64,
    /// Segments that are written to, or were when the process ended.
    pub n_active: u64,
    /// Segments that wait to be written to.
    pub n_free: u64,
    /// Segments that are full.
    pub n_sealed: u64,
    /// Octets of all segment files.
    pub segment_bytes: u64,
    /// Octets of the records that are needed.
    pub live_bytes: u64,
    /// Content files that live messages name.
    pub n_content_files: u64,
    /// Octets of their contents.
    pub content_file_bytes: u64,
    /// Files in quarantine.
    pub n_quarantined: u64,
}

/// What a check came to.
#[derive(Debug)]
pub struct Verification {
    /// What there is.
    pub totals: Totals,
    /// What is wrong, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub n_more: u64,
    /// A process has the spool: what is being written was left out.
    pub is_running: bool,
}

impl Verification {
    /// Whether nothing was found but what the next start puts right.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let is_damage = |finding: &Finding| finding.fault.grade() == Grade::Damage;
        self.n_more == 0 && !self.findings.iter().any(is_damage)
    }
}

impl Inspection {
    /// Checks every checksum, contents included, and what else can be seen. Blocks for as long as
    /// reading the whole spool takes.
    ///
    /// # Errors
    /// [`OpenError::Io`] when a directory cannot be read. A file that cannot be read is a finding.
    pub fn verify(&self) -> Result<Verification, OpenError> {
        let was_running = self.is_running();
        let mut result = Check::new(self, was_running).run()?;
        result.is_running = was_running || self.is_running();
        if result.is_running && !result.findings.is_empty() {
            // What moved while it was read is somewhere else when it is read again.
            let before = result.findings;
            let n_more = result.n_more;
            result = Check::new(self, true).run()?;
            result.findings.retain(|finding| before.contains(finding));
            result.n_more = result.n_more.min(n_more);
        }
        Ok(result)
    }
}

/// One go through the whole spool.
struct Check<'a> {
    disk: &'a dyn Disk,
    identity: &'a Identity,
    epoch: u64,
    /// So many segments were there when the spool was opened.
    n_segments: u32,
    is_running: bool,
    books: Books,
    findings: Findings,
    totals: Totals,
    /// Contents that are not what was written; whether that matters is known at the end.
    suspects: Vec<Suspect>,
    /// The length of a segment.
    segment_len: u64,
}

/// An inline content that is not what was written.
struct Suspect {
    place: Place,
    content: ContentPlace,
    state: ContentState,
}

impl<'a> Check<'a> {
    fn new(inspection: &'a Inspection, is_running: bool) -> Self {
        Self {
            disk: &*inspection.disk,
            identity: &inspection.superblock.identity,
            epoch: inspection.superblock.epoch,
            n_segments: inspection.superblock.n_segments,
            is_running,
            books: Books::default(),
            findings: Findings::default(),
            totals: Totals::default(),
            suspects: Vec::new(),
            segment_len: 0,
        }
    }

    fn run(mut self) -> Result<Verification, OpenError> {
        let names = self.disk.list("").named("list", ".")?;
        self.superblocks(&names);
        let headers = self.headers(&names);
        let mut sequence = 0;
        for header in walk::in_order(headers.into_iter()) {
            let name = segment_name(header.number);
            match self.segment(header, &mut sequence) {
                Ok(()) => {}
                // It was deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.findings.add(name, 0, Fault::Io(error.to_string())),
            }
        }
        self.count_live();
        self.judge_suspects();
        self.content_files();
        self.other_files(&names);
        let quarantined = self.disk.list(quarantine::DIR).unwrap_or_default();
        self.totals.n_quarantined = quarantined.len() as u64;
        let Findings { mut kept, n_more } = self.findings;
        let in_books = self.books.findings;
        kept.extend(in_books.kept);
        Ok(Verification {
            totals: self.totals,
            findings: kept,
            n_more: n_more + in_books.n_more,
            is_running: self.is_running,
        })
    }

    /// What an instance that has not finished writing leaves is told only when none is running.
    fn remark(&mut self, file: impl Into<String>, offset: u64, fault: Fault) {
        if !self.is_running {
            self.findings.add(file, offset, fault);
        }
    }

    fn superblocks(&mut self, names: &[String]) {
        let is_new = walk::numbers(names).next().is_none();
        let mut good = Vec::new();
        for name in [files::MAIN, files::COPY] {
            match read_superblock(self.disk, names, name) {
                Ok(Some(superblock)) => good.push(superblock),
                // A spool that was being made when the power went.
                Ok(None) if !names.iter().any(|n| n == name) && is_new => {}
                Ok(None) => self.findings.add(name, 0, Fault::Superblock),
                Err(error) => self.findings.add(name, 0, Fault::Io(error.to_string())),
            }
        }
        // Between this and when the names were listed, segments may come and go.
        let n_segments = good.iter().map(|superblock| superblock.n_segments).min();
        let n_segments = n_segments.unwrap_or(0).min(self.n_segments);
        match files::n_missing(names, n_segments) {
            0 => {}
            n => self.findings.add(".", 0, Fault::SegmentsMissing { n }),
        }
        if let [main, copy] = &good[..] {
            // Between one and the other, the power may have failed: their epochs may differ.
            if main.identity != copy.identity {
                self.findings.add(files::COPY, 0, Fault::SuperblocksDiffer);
            }
        }
    }

    /// Reads the headers of all segments.
    fn headers(&mut self, names: &[String]) -> Vec<SegmentHeader> {
        let mut headers = Vec::new();
        let mut generations = HashMap::new();
        for number in walk::numbers(names) {
            let name = segment_name(number);
            let look = match Look::at(self.disk, self.identity, number) {
                Ok(Some(look)) => look,
                Ok(None) => continue,
                Err(error) => {
                    self.findings.add(name, 0, Fault::Io(error.to_string()));
                    continue;
                }
            };
            self.totals.segment_bytes += look.len;
            for (is_unread, at) in look.unread.iter().zip([0, u64::from(BLOCK)]) {
                if *is_unread {
                    self.findings.add(&*name, at, Fault::unread(BLOCK.into()));
                }
            }
            let Some(header) = look.header() else {
                self.findings.add(name, 0, Fault::Header { len: look.len });
                continue;
            };
            for (slot, at) in look.slots.iter().zip([0, u64::from(BLOCK)]) {
                if slot.is_none() {
                    self.findings.add(&*name, at, Fault::HeaderSlot);
                }
            }
            let generation = header.generation;
            if let Some(other) = generations.insert(generation, number) {
                let fault = Fault::GenerationTwice { generation, other };
                self.findings.add(name, 0, fault);
            }
            self.segment_len = self.segment_len.max(look.len);
            match header.state {
                SegmentState::Free => self.totals.n_free += 1,
                SegmentState::Active => self.totals.n_active += 1,
                SegmentState::Sealed(_) => self.totals.n_sealed += 1,
            }
            headers.push(header);
        }
        headers
    }
}
