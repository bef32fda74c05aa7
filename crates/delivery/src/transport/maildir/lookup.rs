//! Whether a mailbox exists, asked without making anybody wait for another's storage.
//!
//! # Limits
//! An answer takes [`LOOKUP_TIME`] at most; then it is not known. [`LOOKUPS_MAX`] threads look at
//! the storage behind one template at a time, one of them at a mailbox, however many ask about it;
//! [`ASKED_MAX`] mailboxes are asked about at a time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::directories::{Directories, Found};
use super::template::Place;
use super::trouble::{Trouble, Why, Within};

/// How long a look at storage may take before the mailbox counts as not to be seen now.
pub(super) const LOOKUP_TIME: Duration = Duration::from_secs(10);
const LOOKUPS_MAX: usize = 16;
const ASKED_MAX: usize = 1024;

type Answer = Option<Result<Found, Trouble>>;

/// The looks at the storage behind one template that are under way.
#[derive(Debug)]
pub(super) struct Lookups {
    permits: Arc<Semaphore>,
    asked: Mutex<HashMap<PathBuf, watch::Receiver<Answer>>>,
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            asked: Mutex::default(),
        }
    }
}

impl Lookups {
    /// Looks for a mailbox, or waits for the look that is under way.
    pub(super) async fn find(
        self: &Arc<Self>,
        directories: &Arc<Directories>,
        place: &Place,
    ) -> Result<Found, Trouble> {
        let path = place.path();
        let asking = async {
            let (mut answer, asked) = self.ask(&path)?;
            if let Some(asked) = asked {
                let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
                let (directories, place) = (Arc::clone(directories), place.clone());
                tokio::task::spawn_blocking(move || {
                    asked.answer(directories.find(&place));
                    drop(permit);
                });
            }
            let answer = answer.wait_for(Option::is_some).await.ok()?;
            answer.clone()
        };
        let answered = tokio::time::timeout(LOOKUP_TIME, asking).await;
        answered.ok().flatten().unwrap_or_else(|| {
            Err(Trouble {
                path: path.clone(),
                why: Why::Slow(LOOKUP_TIME),
                place: Within::Mailbox,
            })
        })
    }

    /// Where the answer will be, and the duty to give it where nobody has that yet.
    fn ask(self: &Arc<Self>, path: &Path) -> Option<(watch::Receiver<Answer>, Option<Asked>)> {
        let mut asked = self.lock();
        if let Some(answer) = asked.get(path) {
            return Some((answer.clone(), None));
        }
        if asked.len() >= ASKED_MAX {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        asked.insert(path.to_owned(), receiver.clone());
        let duty = Asked {
            lookups: Arc::clone(self),
            path: path.to_owned(),
            sender,
        };
        Some((receiver, Some(duty)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, watch::Receiver<Answer>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody asked, and this will answer; dropped, the next who asks looks anew.
struct Asked {
    lookups: Arc<Lookups>,
    path: PathBuf,
    sender: watch::Sender<Answer>,
}

impl Asked {
    fn answer(self, found: Result<Found, Trouble>) {
        self.sender.send_replace(Some(found));
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.lookups.lock().remove(&self.path);
    }
}
