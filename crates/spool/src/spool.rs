//! The spool as its users see it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;

use mail::{HandoffKey, MessageId, SpoolId};

use crate::browser::second_copy;
use crate::commit::commit;
use crate::content::{self, file_name, file_number};
use crate::disk::read_again;
use crate::format::record::{self, Kind, MessageMeta, RecordHeader, outcome_len_max};
use crate::format::state::State as MessageState;
use crate::format::{Crc, crc32c, message};
use crate::limits::{INLINE_CONTENT_LEN_MAX, META_LEN_MAX};
use crate::shared::{Acceptance, Draft, Effect, Phase, Request, Shared};
use crate::{
    Browser, Commit, CommitError, Content, ContentFile, Ending, IndexSet, Message, Outline,
    Progress, ReadError, Reader, Stats, Stored, Usage,
};

/// A handle on an open spool; clones are the same spool.
///
/// When the last clone is gone, the committer commits what waits and ends.
#[derive(Clone)]
pub struct Spool {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What is known of a handoff.
#[derive(Debug)]
pub enum KeyState {
    /// It was accepted, for these recipients of it.
    Accepted(IndexSet),
    /// Its commit is under way; ask again when this resolves, whatever to.
    Pending(Commit<()>),
    /// It is not here.
    Unknown,
}

impl Spool {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            handle: Arc::new(Handle {
                shared,
                committer: Mutex::new(None),
            }),
        }
    }

    pub(crate) fn set_committer(&self, thread: JoinHandle<()>) {
        *self.handle.lock_committer() = Some(thread);
    }

    /// The id of this spool.
    #[must_use]
    pub fn id(&self) -> SpoolId {
        self.shared().identity.id
    }

    /// Which opening of this spool this is: higher than every one before.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared().epoch
    }

    /// Gives the committer another way to wake those who waited for the commits of one batch than
    /// one by one: `waking` is called once a batch, from its thread, and must wake all of them
    /// soon and not block. To be called once, before anything waits; later calls change nothing.
    ///
    /// A runtime that is woken from another thread pays a system call for each waker; told of all
    /// together it pays one.
    pub fn set_waking(&self, waking: impl Fn(Vec<Waker>) + Send + Sync + 'static) {
        self.shared().set_waking(Box::new(waking));
    }

    /// Takes a message. Never blocks on the disk.
    ///
    /// Its acceptance stands for the record of an immediate first attempt: see [`Self::attempt`].
    /// Resolves to [`CommitError::KeyKnown`] when a handoff of this key was accepted or is on its
    /// way in, to [`CommitError::KeySettled`] when its sender has settled it, to
    /// [`CommitError::Full`] when there is no room. Whoever does anything that can take long before
    /// this claims the key before that: [`Self::claim_key`].
    pub fn accept(&self, message: &Message, content: Content) -> Commit<MessageId> {
        let (draft, promise) = match self.draft(Kind::Accepted, message, content) {
            Ok(both) => both,
            Err(error) => return Commit::failed(error),
        };
        self.shared().push(Request::Accept(draft));
        promise
    }

    /// A file for a large content. Blocks shortly.
    ///
    /// # Errors
    /// Those of the operating system; and after a billion of them the spool has to be opened anew.
    pub fn content_file(&self) -> io::Result<ContentFile> {
        let shared = self.shared();
        let mut state = shared.lock();
        let number = file_number(shared.epoch, state.next_file);
        let number = number.ok_or_else(|| io::Error::other("too many content files"))?;
        state.next_file += 1;
        drop(state);
        ContentFile::create(Arc::clone(&shared.disk), number)
    }

    /// Records that an attempt for these recipients begins; it must not begin before this resolves.
    /// Not needed at first, for which the acceptance stands. Where one of them is under way
    /// already, that attempt counts as cut short.
    pub fn attempt(&self, id: MessageId, recipients: IndexSet) -> Commit<()> {
        let (completer, promise) = commit();
        self.shared()
            .push(Request::Attempt(id, recipients, completer));
        promise
    }

    /// Records what an attempt came to. Rides with a later batch within
    /// [`Options::outcome_delay`](crate::Options::outcome_delay).
    pub fn progress(&self, id: MessageId, progress: Progress) -> Commit<()> {
        let (completer, promise) = commit();
        self.shared()
            .push(Request::Progress(id, progress, completer));
        promise
    }

    /// Records that nothing is left to do: the message goes. Rides as [`Self::progress`] does.
    pub fn done(&self, id: MessageId) -> Commit<()> {
        let (completer, promise) = commit();
        self.shared().push(Request::Done(id, completer));
        promise
    }

    /// Takes a notification, and records with it, in one, the end of what it reports on.
    /// Resolves to [`CommitError::Full`] when there is no room, and then records neither.
    pub fn notify(
        &self,
        id: MessageId,
        ending: Ending,
        notification: &Message,
        content: Content,
    ) -> Commit<MessageId> {
        let (draft, promise) = match self.draft(Kind::Notified, notification, content) {
            Ok(both) => both,
            Err(error) => return Commit::failed(error),
        };
        self.shared().push(Request::Notify {
            original: id,
            progress: match ending {
                Ending::Done => None,
                Ending::Progress(progress) => Some(progress),
            },
            notification: draft,
        });
        promise
    }

    /// Reads what is known of a message, without its content. Blocks. Where its record is damaged,
    /// the summary of the segment serves, if that has one.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn message(&self, id: MessageId) -> Result<Stored, ReadError> {
        let state = self.shared().lock();
        let live = state.ledger.get(id).ok_or(ReadError::Unknown(id))?;
        let (header, place, n_recipients) = (live.header(id), live.place, live.n_recipients);
        let state_bytes = live.state.clone();
        let segment = state.ledger.segments.get(&place.segment);
        let file = segment.map(|segment| Arc::clone(&segment.file));
        drop(state);
        let file = file.ok_or(ReadError::Damaged(id))?;
        let mut meta = vec![0; header.meta_len as usize];
        let at = u64::from(place.offset) + record::LEN as u64;
        let error = match read_again(&*file, at, &mut meta) {
            Ok(n) if n == meta.len() && crc32c(&meta) == header.meta_crc => None,
            Ok(_) => Some(ReadError::Damaged(id)),
            Err(error) => Some(ReadError::Io(error)),
        };
        if let Some(error) = error {
            meta = second_copy(self, place, &header).ok_or(error)?;
        }
        stored(id, &header, &meta, &state_bytes, n_recipients).ok_or(ReadError::Damaged(id))
    }

    /// What the books have of a message that cannot be read; `None` where there is no such message.
    #[must_use]
    pub fn outline(&self, id: MessageId) -> Option<Outline> {
        let state = self.shared().lock();
        let live = state.ledger.get(id)?;
        let (n_recipients, header) = (live.n_recipients, live.header(id));
        let encoded = live.state.clone();
        drop(state);
        let recipients = MessageState::decode_or_new(&encoded, n_recipients)
            .map(|state| state.into_recipients(None))
            .unwrap_or_default();
        Some(Outline {
            n_recipients,
            content_len: header.content_len,
            handoffs: recipients.iter().filter_map(|r| r.handoff).collect(),
        })
    }

    /// For reading what is known of many messages.
    #[must_use]
    pub fn browser(&self) -> Browser {
        Browser::new(self.clone())
    }

    /// Opens the content of a message. Blocks shortly.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn reader(&self, id: MessageId) -> Result<Reader, ReadError> {
        let shared = self.shared();
        let state = shared.lock();
        let live = state.ledger.get(id).ok_or(ReadError::Unknown(id))?;
        let (header, place) = (live.header(id), live.place);
        let segment = state.ledger.segments.get(&place.segment);
        let file = segment.map(|segment| Arc::clone(&segment.file));
        drop(state);
        let (file, start) = if header.file == 0 {
            let start = u64::from(place.offset) + (record::LEN as u64) + u64::from(header.meta_len);
            (file.ok_or(ReadError::Damaged(id))?, start)
        } else {
            let opened = shared.disk.open(&file_name(header.file));
            (opened.map_err(ReadError::Io)?, 0)
        };
        let stored = content::Stored {
            file,
            start,
            expected: header.content_crc,
            crc: Crc::new(),
            checked_to: 0,
        };
        Ok(Reader::of_disk(id, header.content_len, stored))
    }

    /// What is known of a handoff to this spool.
    #[must_use]
    pub fn lookup_key(&self, key: &HandoffKey) -> KeyState {
        self.shared().lock().ledger.keys.lookup(key)
    }

    /// Forgets the keys of `(sender, epoch)` with numbers below `below`: the sender has settled
    /// them and will never ask again.
    pub fn forget_keys(&self, sender: SpoolId, epoch: u64, below: u64) {
        let mut state = self.shared().lock();
        state.ledger.keys.forget(sender, epoch, below);
    }

    /// The sender has opened its spool anew, and may ask for numbers again that it had settled:
    /// it may have been restored from a backup.
    pub fn sender_opened(&self, sender: SpoolId) {
        self.shared().lock().ledger.keys.sender_opened(sender);
    }

    /// Forgets the keys of all epochs of `sender` but those in `keep`.
    pub fn forget_epochs(&self, sender: SpoolId, keep: &[u64]) {
        let mut state = self.shared().lock();
        state.ledger.keys.forget_epochs(sender, keep);
    }

    /// What the spool holds now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.shared().lock();
        let segments = state.ledger.segments.values();
        Usage {
            n_messages: state.ledger.n_live() as u64,
            live_bytes: state.ledger.live_bytes(),
            segment_bytes: segments.map(|s| u64::from(s.header.len)).sum(),
            content_file_bytes: state.ledger.content_file_bytes(),
            n_keys: state.ledger.keys.len() as u64,
        }
    }

    /// What the spool did since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared().lock().stats
    }

    /// A content found no room for its file: its message counts in [`Stats::n_refused`], as one
    /// whose record finds none does.
    pub fn note_refused(&self) {
        self.shared().lock().stats.n_refused += 1;
    }

    /// Why nothing is recorded any more, once that is so: storage failed, and the process must end
    /// and recover. Cheap.
    #[must_use]
    pub fn failure(&self) -> Option<CommitError> {
        match self.shared().lock().phase.error() {
            Some(failed @ CommitError::Failed(_)) => Some(failed),
            Some(_) | None => None,
        }
    }

    /// Commits what waits, stops the committer and gives up the lock. Blocks. Later calls of any
    /// clone fail with [`CommitError::Closed`].
    pub fn close(&self) {
        self.handle.begin_close();
        let thread = self.handle.lock_committer().take();
        if let Some(thread) = thread {
            // A committer that panicked has failed every commit already.
            let _ = thread.join();
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    pub(crate) fn draft(
        &self,
        kind: Kind,
        message: &Message,
        content: Content,
    ) -> Result<(Draft, Commit<MessageId>), CommitError> {
        let shared = self.shared();
        let lowest = message.key.as_ref().map_or(0, |key| {
            let state = shared.lock();
            state.ledger.keys.lowest(key.key.sender, key.key.epoch)
        });
        let n_recipients =
            u32::try_from(message.envelope.recipients.len()).map_err(|_| CommitError::TooLarge)?;
        let parts = MessageMeta {
            message: &message::encode(message, lowest),
            state: &[],
            original: None,
        };
        let meta = parts.encode();
        let (bytes, file) = match content {
            Content::Bytes(bytes) => (bytes, None),
            Content::File(file) => (Arc::default(), Some(file)),
        };
        let len_max = shared.options.record_len_max();
        if meta.len() > META_LEN_MAX
            || bytes.len() > INLINE_CONTENT_LEN_MAX
            || meta.len() + bytes.len() > len_max
            || outcome_len_max(n_recipients) > len_max as u64
        {
            return Err(CommitError::TooLarge);
        }
        let id = {
            let mut state = shared.lock();
            state.next_id += 1;
            MessageId(state.next_id - 1)
        };
        let header = RecordHeader {
            kind,
            meta_len: u32::try_from(meta.len()).map_err(|_| CommitError::TooLarge)?,
            content_len: file.as_ref().map_or(bytes.len() as u64, |file| file.len),
            id,
            file: file.as_ref().map_or(0, |file| file.number),
            meta_crc: crc32c(&meta),
            content_crc: file
                .as_ref()
                .map_or_else(|| crc32c(&bytes), |file| file.crc),
        };
        let (completer, promise) = commit();
        let acceptance = Acceptance {
            n_recipients,
            key: message.key.clone(),
            is_key_claimed: false,
            content: file,
            completer,
        };
        let draft = Draft {
            header,
            meta,
            content: bytes,
            effect: Effect::Accepted(acceptance),
        };
        Ok((draft, promise))
    }
}

/// Puts together what a record and the latest state say of a message.
pub(crate) fn stored(
    id: MessageId,
    header: &RecordHeader,
    meta: &[u8],
    state: &[u8],
    n_recipients: u32,
) -> Option<Stored> {
    let parts = MessageMeta::decode(header.kind, meta)?;
    let mut message = message::decode(parts.message)?;
    let state = MessageState::decode_or_new(state, n_recipients)?;
    message.next_due = state.next_due.unwrap_or(message.next_due);
    let (under_way, cut_short) = (state.under_way.clone(), state.cut_short);
    Some(Stored {
        id,
        recipients: state.into_recipients(message.handoff),
        message,
        under_way,
        cut_short,
        content_len: header.content_len,
    })
}

impl Handle {
    fn lock_committer(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_close(&self) {
        let mut state = self.shared.lock();
        if matches!(state.phase, Phase::Open) {
            state.phase = Phase::Closing;
        }
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.begin_close();
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spool({}, epoch {})", self.id(), self.epoch())
    }
}
