//! Checking one segment: its batches, its records, their contents, its summary.

use std::collections::HashMap;
use std::io;

use super::super::FINDINGS_MAX;
use super::super::books::Books;
use super::super::contents::{self, ContentPlace, ContentState};
use super::super::finding::Fault;
use super::super::walk::{self, Look};
use super::{Check, Suspect};
use crate::DiskFile;
use crate::engine::{segment_name, summary_name};
use crate::format::batch::BatchHeader;
use crate::format::record::RecordHeader;
use crate::format::segment::SegmentHeader;
use crate::ledger::Place;
use crate::recover::scan::{FoundRecord, Scan, Sink};

/// What is noticed of a segment while it is scanned.
struct Reading<'a> {
    number: u32,
    file: &'a dyn DiskFile,
    /// Who is told of the records, where no summary spoke of them.
    books: Option<&'a mut Books>,
    /// Records of which the summary speaks and that have not been met.
    summarised: HashMap<u32, RecordHeader>,
    /// A record was met that is not in the summary, or not so.
    differs: bool,
    /// Of the last batch.
    sequence: u64,
    /// The first batch that is not after the one before it.
    out_of_order: Option<u32>,
    n_records: u64,
    suspects: Vec<Suspect>,
    /// Contents that cannot be read, and why.
    failures: Vec<(u64, io::Error)>,
}

impl Check<'_> {
    /// Checks a segment. `sequence` is that of the last batch before it.
    pub(super) fn segment(&mut self, header: SegmentHeader, sequence: &mut u64) -> io::Result<()> {
        let number = header.number;
        let file = self.disk.open(&segment_name(number))?;
        let summarised = self.summary(&header);
        let is_summarised = summarised.is_some();
        let mut reading = Reading {
            number,
            file: &*file,
            books: (!is_summarised).then_some(&mut self.books),
            summarised: summarised.unwrap_or_default(),
            differs: false,
            sequence: *sequence,
            out_of_order: None,
            n_records: 0,
            suspects: Vec::new(),
            failures: Vec::new(),
        };
        let found = Scan::new(self.identity, &*file, header).run(&mut reading)?;
        let after = Look::at(self.disk, self.identity, number)?;
        if after.and_then(|look| look.header()) != Some(header) {
            // It was sealed, retired or used again meanwhile: what was read is of two lives.
            return Ok(());
        }
        if found.damage.is_empty() {
            reading.differs |= !reading.summarised.is_empty();
        } else {
            // Their own headers are damaged; their contents may be good.
            reading.check_rest();
        }
        *sequence = reading.sequence;
        let name = segment_name(number);
        self.totals.n_records += reading.n_records;
        for (offset, error) in reading.failures {
            let fault = Fault::Io(error.to_string());
            self.findings.add(&*name, offset, fault);
        }
        for range in &found.unread {
            let fault = Fault::unread(range.len());
            self.findings.add(&*name, range.start.into(), fault);
        }
        let mut add = |offset: u32, fault| self.findings.add(&*name, offset.into(), fault);
        if let Some(offset) = reading.out_of_order {
            add(offset, Fault::Order);
        }
        for range in found.damage {
            add(range.start, Fault::Unreadable { len: range.len() });
        }
        if is_summarised && reading.differs {
            let name = summary_name(number);
            self.findings.add(name, 0, Fault::SummaryDiffers);
        }
        for suspect in reading.suspects {
            self.suspect(suspect);
        }
        for range in found.torn {
            let fault = Fault::Torn { len: range.len() };
            self.remark(&*name, range.start.into(), fault);
        }
        Ok(())
    }

    /// Tells the books what the summary of a sealed segment says, as recovery would, and returns
    /// where the records lie; `None` when there is no good one.
    fn summary(&mut self, header: &SegmentHeader) -> Option<HashMap<u32, RecordHeader>> {
        let segment = header.number;
        let bytes = walk::read_summary(self.disk, header)?;
        let Some(summary) = walk::open_summary(self.identity, header, &bytes) else {
            self.remark(summary_name(segment), 0, Fault::Summary);
            return None;
        };
        let mut records = HashMap::new();
        for record in summary {
            let offset = record.offset;
            let place = Place { segment, offset };
            if self
                .books
                .record(place, &record.header, record.meta)
                .is_none()
            {
                let len = record.header.record_len();
                self.findings.add(
                    segment_name(segment),
                    offset.into(),
                    Fault::Unreadable { len },
                );
            }
            records.insert(offset, record.header);
        }
        Some(records)
    }

    fn suspect(&mut self, suspect: Suspect) {
        if self.suspects.len() < FINDINGS_MAX {
            self.suspects.push(suspect);
        } else {
            self.findings.n_more += 1;
        }
    }
}

impl Reading<'_> {
    fn check_rest(&mut self) {
        let mut rest: Vec<_> = std::mem::take(&mut self.summarised).into_iter().collect();
        rest.sort_unstable_by_key(|&(offset, _)| offset);
        for (offset, header) in rest {
            self.content(offset, &header);
        }
    }

    /// Checks an inline content.
    fn content(&mut self, offset: u32, header: &RecordHeader) {
        if !header.has_message() || header.file != 0 {
            return;
        }
        let content = ContentPlace::of(header, self.number, offset);
        let state = match contents::read(self.file, content.start, content.len, &mut |_| Ok(())) {
            Ok(read) => content.state(read),
            Err(error) => {
                if self.failures.len() < FINDINGS_MAX {
                    self.failures.push((content.start, error));
                }
                return;
            }
        };
        if state != ContentState::Whole {
            let place = Place {
                segment: self.number,
                offset,
            };
            self.suspects.push(Suspect {
                place,
                content,
                state,
            });
        }
    }
}

impl Sink for Reading<'_> {
    fn batch(&mut self, offset: u32, batch: &BatchHeader) {
        if batch.sequence <= self.sequence {
            self.out_of_order.get_or_insert(offset);
        }
        self.sequence = self.sequence.max(batch.sequence);
    }

    fn record(&mut self, record: FoundRecord<'_>) -> bool {
        self.n_records += 1;
        let (offset, header) = (record.offset, &record.header);
        let place = Place {
            segment: self.number,
            offset,
        };
        match &mut self.books {
            Some(books) => {
                if books.record(place, header, record.meta).is_none() {
                    return false;
                }
            }
            None => self.differs |= self.summarised.remove(&offset).as_ref() != Some(header),
        }
        // Those of a tail have been checked on the way here.
        if !record.in_tail {
            self.content(offset, header);
        }
        true
    }
}
