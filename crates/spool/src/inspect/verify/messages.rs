//! Checking what belongs to messages outside of their segments, and what belongs to nobody.

use std::collections::{BTreeMap, HashSet};
use std::io;

use mail::MessageId;

use super::super::contents::{self, ContentPlace, ContentState};
use super::super::finding::Fault;
use super::{Check, Suspect};
use crate::content::{DIR, epoch_of, number_of};
use crate::recover::files::{self, segment_number};

impl Check<'_> {
    pub(super) fn count_live(&mut self) {
        let totals = &mut self.totals;
        totals.live_bytes += self.books.snapshot_len;
        for live in self.books.live() {
            let header = &live.copy.header;
            totals.n_messages += 1;
            totals.n_recipients += u64::from(live.n_open);
            totals.live_bytes += header.record_len() + u64::from(live.state_len);
            totals.content_file_bytes += header.content_len - header.inline_len();
            totals.n_content_files += u64::from(header.file != 0);
        }
        totals.n_keys = self.books.keys.len() as u64;
        let (used, bound) = (
            totals.segment_bytes,
            2 * totals.live_bytes + 4 * self.segment_len,
        );
        if used > bound {
            self.remark(".", 0, Fault::Space { used, bound });
        }
    }

    pub(super) fn judge_suspects(&mut self) {
        for suspect in std::mem::take(&mut self.suspects) {
            let Suspect {
                place,
                content,
                state,
            } = suspect;
            let fault = Fault::Content {
                id: content.id,
                state,
                is_live: self.books.is_read_from(content.id, place),
            };
            self.findings.add(content.file, content.start, fault);
        }
    }

    /// Each content file that a live message names, and those that none names.
    pub(super) fn content_files(&mut self) {
        let wanted: BTreeMap<u64, (MessageId, ContentPlace)> = self
            .books
            .live()
            .filter(|live| live.copy.header.file != 0)
            .map(|live| {
                let content = live.copy.content();
                (live.copy.header.file, (live.id, content))
            })
            .collect();
        for (id, place) in wanted.values() {
            let state = match contents::check(self.disk, place) {
                Ok(ContentState::Whole) => continue,
                Ok(state) => state,
                Err(error) => {
                    self.findings
                        .add(&*place.file, 0, Fault::Io(error.to_string()));
                    continue;
                }
            };
            let fault = Fault::Content {
                id: *id,
                state,
                is_live: true,
            };
            self.findings.add(&*place.file, 0, fault);
        }
        self.strays(&wanted.keys().copied().collect());
    }

    fn strays(&mut self, wanted: &HashSet<u64>) {
        let names = match self.disk.list(DIR) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return self.findings.add(DIR, 0, Fault::Io(error.to_string())),
        };
        for name in names {
            let name = format!("{DIR}/{name}");
            let fault = match number_of(&name) {
                Some(number) if wanted.contains(&number) => continue,
                // It may be arriving.
                Some(number) if self.is_running && epoch_of(number) >= self.epoch => continue,
                Some(_) => Fault::StrayContent,
                None => Fault::Unknown,
            };
            self.findings.add(name, 0, fault);
        }
    }

    pub(super) fn other_files(&mut self, names: &[String]) {
        let is_segment = |name: &str| segment_number(name).is_some();
        for name in names {
            let own = ["lock", files::MAIN, files::COPY];
            if own.contains(&name.as_str()) || is_segment(name) {
                continue;
            }
            let summary_of = name.strip_suffix(".sum").filter(|of| is_segment(of));
            if summary_of.is_some_and(|of| names.iter().any(|name| name == of)) {
                continue;
            }
            let is_unfinished = name.starts_with("new-") || name.ends_with(".new");
            if summary_of.is_some() || is_unfinished {
                self.remark(name, 0, Fault::Leftover);
            } else {
                self.findings.add(name, 0, Fault::Unknown);
            }
        }
    }
}
