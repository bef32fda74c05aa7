//! A handoff's key is claimed before anything is done for it that can take long.
//!
//! # Guarantees
//! While a commit is under way under a claim, every other copy of that handoff waits for it. A
//! claim that is dropped leaves the key as unknown as it was.

use std::sync::Arc;

use mail::{HandoffKey, MessageId};

use crate::format::record::Kind;
use crate::ledger::keys::Unclaimable;
use crate::shared::{Effect, Request, Shared};
use crate::{Commit, CommitError, Content, Message, Spool};

/// What came of the wish to claim a key.
#[derive(Debug)]
pub enum Claimed {
    /// There is no room for another key; temporary.
    Full,
    /// It is claimed.
    Held(KeyClaim),
    /// Its message is here, or its commit is under way: ask [`Spool::lookup_key`].
    Known,
    /// Its sender has settled it: nothing waits for this copy.
    Settled,
}

/// A key that one copy of a handoff has; dropping this gives it back.
pub struct KeyClaim {
    shared: Arc<Shared>,
    key: HandoffKey,
    number: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The content arrives; a newer copy of the handoff may take the claim.
    Arriving,
    /// The commit has begun.
    Confirmed,
    /// The spool has it.
    Given,
}

impl Spool {
    /// Claims a key for a message whose content is still to come, in one step with the look whether
    /// it is known and with taking note of the lowest number that its sender has not settled. The
    /// newest copy of a handoff has the claim: the sender has given up those before.
    #[must_use]
    pub fn claim_key(&self, key: &HandoffKey, lowest_unsettled: u64) -> Claimed {
        let mut state = self.shared().lock();
        let claimed = state.ledger.keys.claim(key, lowest_unsettled);
        drop(state);
        match claimed {
            Ok(number) => Claimed::Held(KeyClaim {
                shared: Arc::clone(self.shared()),
                key: *key,
                number,
                stage: Stage::Arriving,
            }),
            Err(Unclaimable::Full) => Claimed::Full,
            Err(Unclaimable::Known) => Claimed::Known,
            Err(Unclaimable::Settled) => Claimed::Settled,
        }
    }

    /// Takes a message as [`Self::accept`] does, under a claim of its key that is confirmed.
    pub fn accept_claimed(
        &self,
        mut claim: KeyClaim,
        message: &Message,
        content: Content,
    ) -> Commit<MessageId> {
        let is_of_message = message.key.as_ref().is_some_and(|key| key.key == claim.key);
        if !is_of_message || claim.stage != Stage::Confirmed {
            return Commit::failed(CommitError::KeyKnown);
        }
        let (mut draft, promise) = match self.draft(Kind::Accepted, message, content) {
            Ok(both) => both,
            Err(error) => return Commit::failed(error),
        };
        if let Effect::Accepted(acceptance) = &mut draft.effect {
            acceptance.is_key_claimed = true;
        }
        claim.stage = Stage::Given;
        self.shared().push(Request::Accept(draft));
        promise
    }
}

impl KeyClaim {
    /// Whether the commit may begin; from then on every other copy waits for what comes of it.
    /// False where a newer copy has taken the claim, or the sender has settled the key meanwhile.
    #[must_use]
    pub fn confirm(&mut self) -> bool {
        if self.stage == Stage::Arriving
            && self
                .shared
                .lock()
                .ledger
                .keys
                .confirm(&self.key, self.number)
        {
            self.stage = Stage::Confirmed;
        }
        self.stage == Stage::Confirmed
    }
}

impl Drop for KeyClaim {
    fn drop(&mut self) {
        match self.stage {
            Stage::Arriving => {
                let mut state = self.shared.lock();
                state.ledger.keys.abandon(&self.key, self.number);
            }
            Stage::Confirmed => {
                let mut state = self.shared.lock();
                let keys = &mut state.ledger.keys;
                keys.release(&self.key, &CommitError::Unknown);
            }
            Stage::Given => {}
        }
    }
}

impl std::fmt::Debug for KeyClaim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyClaim")
            .field("key", &self.key)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
