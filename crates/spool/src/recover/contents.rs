//! Content files against the books: those that are missing, and those that no message names.
//!
//! # Guarantees
//! A message whose content file is missing stays: it can be read again once the file is back.
//! Nothing is removed or moved away before [`Recovery::clear_away`], which is to be called when
//! everything that recovery went by is durable.

use std::collections::HashSet;

use super::files::NamedError as _;
use super::{Recovery, quarantine, scan};
use crate::content::{self, file_name};
use crate::disk::is_unreadable;
use crate::{Note, OpenError};

impl Recovery {
    /// Notes the contents that are missing; returns the files that no live message names.
    pub(super) fn check_contents(&mut self) -> Result<Vec<String>, OpenError> {
        let names = match self.disk.list(content::DIR) {
            // Which contents are there is found out when they are read.
            Err(error) if is_unreadable(&error) => {
                self.note_unread(content::DIR, &[scan::Range::new(0, 0)]);
                return Ok(Vec::new());
            }
            names => names.named("list", content::DIR)?,
        };
        let present: HashSet<String> = names
            .into_iter()
            .map(|name| format!("{}/{name}", content::DIR))
            .collect();
        let mut wanted = HashSet::new();
        let mut missing = Vec::new();
        for (id, live) in self.replay.ledger.live() {
            let Some(number) = live.file() else {
                continue;
            };
            let name = file_name(number);
            if !present.contains(&name) {
                missing.push((id, number));
            }
            wanted.insert(name);
        }
        for (id, number) in missing {
            let file = file_name(number);
            let note = if quarantine::take_back_content(&*self.disk, number) {
                Note::ContentTakenBack { file, id }
            } else {
                Note::ContentMissing { file, id }
            };
            self.notes.push(note);
        }
        let mut strays: Vec<String> = present.difference(&wanted).cloned().collect();
        strays.sort_unstable();
        Ok(strays)
    }

    /// A content that no live message names was not acknowledged, or its message is done. Where
    /// records could not be read it can be that of one of them, and is kept.
    pub(super) fn clear_away(&mut self, strays: &[String]) {
        let is_kept = self.has_damage();
        for name in strays {
            let note = if is_kept {
                let number = content::number_of(name);
                Note::ContentSetAside {
                    file: name.clone(),
                    quarantine: number
                        .and_then(|number| quarantine::move_content(&*self.disk, number)),
                }
            } else {
                // What cannot be removed is found again at the next opening.
                let _ = self.disk.remove(name);
                Note::StrayContent { file: name.clone() }
            };
            self.notes.push(note);
        }
    }
}
