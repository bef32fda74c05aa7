//! Picking up what local programs left in the maildrop.
//!
//! # Guarantees
//! A message is in the spool before its file goes, and a crash in between stores it once: the file
//! is first moved, durably, under the key that stands in the message's record. What another user
//! can still change, see or replace is never read: files are looked at after they were moved into a
//! directory of the instance's own, and must be regular, complete, and have one link.
//!
//! # Limits
//! [`EACH_PASS_MAX`] files in a pass, [`EACH_USER_MAX`] of them of one user, one at a time.
//! [`REFUSED_MAX`] files that are no messages are kept.
//!
//! # Failure
//! What cannot be stored now stays where it is, and the next pass begins with it.

mod files;

use std::path::PathBuf;
use std::time::Duration;

use intake::{Intake, Leave, Left, PickupError};
use mail::event::{Event, What};
use mail::{HandoffKey, InstanceName, SpoolId};
use maildrop::Maildrop;
use net::Clock;
use spool::Spool;
use tokio::sync::watch;

use super::doors::Sessions;
use files::{Bounds, Files, Found, Listing, Opened};

/// How often it is looked for new files.
const INTERVAL: Duration = Duration::from_secs(1);

/// A look that takes long, because somebody made many files, comes the later: it takes one part in
/// so many of a processor's time.
const PAUSES: u32 = 10;

/// Files that one pass takes.
const EACH_PASS_MAX: usize = 1000;

/// Of one user.
const EACH_USER_MAX: u32 = 100;

/// Files that are no messages and are kept.
const REFUSED_MAX: usize = 100;

/// After which a file that is not complete is of a program that was killed.
const INCOMPLETE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Picks up for one instance.
pub(crate) struct Pickup {
    files: Files,
    /// Names the maildrop in keys.
    sender: SpoolId,
    epoch: u64,
    next_number: u64,
    /// Whether the keys of earlier epochs are forgotten.
    has_forgotten: bool,
    sessions: watch::Receiver<Sessions>,
    clock: Clock,
    /// What the last pass saw; `None` where there may be more than it took.
    seen: Option<Listing>,
    /// Why a message waits, as it was logged.
    waits: Option<String>,
}

/// What a pass stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// All that is there.
    All,
    /// What was taken before.
    Taken,
}

impl Pickup {
    /// For the instance with this name and spool.
    pub(crate) fn new(
        maildrop: &Maildrop,
        name: &InstanceName,
        spool: &Spool,
        sessions: watch::Receiver<Sessions>,
        clock: Clock,
    ) -> Self {
        let bounds = Bounds {
            each_pass_max: EACH_PASS_MAX,
            each_user_max: EACH_USER_MAX,
            refused_max: REFUSED_MAX,
            incomplete_max: INCOMPLETE_MAX,
        };
        Self {
            files: Files::new(maildrop, name, bounds),
            sender: maildrop_id(spool.id()),
            epoch: spool.epoch(),
            next_number: 1,
            has_forgotten: false,
            sessions,
            clock,
            seen: None,
            waits: None,
        }
    }

    /// Picks up for as long as the process lives. While clients are to leave, because the instance
    /// is emptied or another process takes over, only what was taken before is stored.
    pub(crate) async fn run(mut self, leave: watch::Receiver<Leave>) {
        loop {
            let begun = self.clock.now();
            let scope = match *leave.borrow() {
                Leave::Freely => Scope::All,
                Leave::AfterMessage | Leave::Now => Scope::Taken,
            };
            match self.pass(scope).await {
                Ok(()) => self.waits = None,
                Err(_) if scope == Scope::Taken => {}
                Err(why) => self.log_wait(why),
            }
            let took = self.clock.now().since(begun);
            tokio::time::sleep(INTERVAL.max(took * PAUSES)).await;
        }
    }

    /// One look at all that is there. Fails with why a message waits.
    async fn pass(&mut self, scope: Scope) -> Result<(), String> {
        let taken = self.files.call(Files::taken).await?;
        for (key, path) in taken.keyed {
            self.store(key, path).await?;
        }
        if scope == Scope::Taken {
            return Ok(());
        }
        if !self.has_forgotten {
            // Of the processes before this one nothing is left.
            let intake = self.sessions.borrow().intake.clone();
            intake.forget_others_keys(self.sender, self.epoch);
            self.has_forgotten = true;
        }
        let before = self.seen.take();
        let (listing, removed) = self.files.call(move |files| files.list(before)).await?;
        for text in removed {
            self.log(text);
        }
        for from in taken.waiting.iter().chain(&listing.complete) {
            let from = from.clone();
            let key = HandoffKey {
                sender: self.sender,
                epoch: self.epoch,
                number: self.next_number,
            };
            self.next_number += 1;
            let taken = self
                .files
                .call(move |files| files.take(&from, &key))
                .await?;
            // Its owner may have removed it meanwhile.
            if let Some(path) = taken {
                self.store(key, path).await?;
            }
        }
        self.seen = Some(listing);
        Ok(())
    }

    /// Stores what was taken, and removes its file.
    async fn store(&self, key: HandoffKey, path: PathBuf) -> Result<(), String> {
        let (intake, world) = {
            let sessions = self.sessions.borrow();
            (sessions.intake.clone(), sessions.world.clone())
        };
        let (at, limits) = (path.clone(), &world.limits);
        let len_max = limits.content_len_max;
        let opened = self.files.call(move |files| files.open(&at, len_max));
        let Found {
            file,
            uid,
            envelope,
        } = match opened.await? {
            Opened::Message(found) => found,
            Opened::NotYet => {
                return self.files.call(move |files| files.let_wait(&path)).await;
            }
            Opened::NoMessage(why) => return self.refuse(path, why).await,
        };
        let left = Left {
            key,
            uid,
            arrived: self.clock.timestamp(),
            sender: envelope.sender,
            recipients: envelope.recipients,
            content_len: envelope.content_len,
            line_len_max: limits.content_line_len_max,
        };
        match intake.pick_up(left, file).await {
            Ok(()) => self.remove(&intake, &key, path).await,
            Err(PickupError::Later(reply)) => Err(reply.to_string()),
            Err(PickupError::Refused(why)) => {
                let why = format!("uid {uid}: {why}");
                self.refuse(path, why).await
            }
        }
    }

    async fn remove(&self, intake: &Intake, key: &HandoffKey, path: PathBuf) -> Result<(), String> {
        self.files.call(move |files| files.remove(&path)).await?;
        // Only now can nobody ask for the key again.
        intake.picked_up(key);
        Ok(())
    }

    async fn refuse(&self, path: PathBuf, why: String) -> Result<(), String> {
        let kept = self.files.call(move |files| files.refuse(&path)).await?;
        let kept = match kept {
            Some(path) => format!("kept as {}", path.display()),
            None => "removed: too many such files are kept".to_owned(),
        };
        self.log(format!(
            "the maildrop has a file that is no message ({why}); {kept}"
        ));
        Ok(())
    }

    fn log(&self, text: String) {
        self.emit(What::Instance { text: text.into() });
    }

    fn emit(&self, what: What) {
        self.sessions.borrow().intake.events.emit(Event {
            at: self.clock.timestamp(),
            trace: None,
            what,
        });
    }

    fn log_wait(&mut self, why: String) {
        if self.waits.as_ref() == Some(&why) {
            return;
        }
        let text = format!("a message waits in the maildrop: {why}").into();
        self.emit(What::Alarm { text });
        self.waits = Some(why);
    }
}

/// What stands for a maildrop where a handoff has the sender's spool: it is no spool, and follows
/// from the one that it is stored in.
fn maildrop_id(spool: SpoolId) -> SpoolId {
    SpoolId::from_bytes(spool.to_bytes().map(|byte| !byte))
}
