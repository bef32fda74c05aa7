//! How long the supervisor waits for what.

use std::time::Duration;

/// A front starts without the instance behind it after this: it can take mail into its own spool.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(10);

/// Clients of an instance that nobody has served for this long are told to come back. Shorter,
/// and a restart that takes a moment would turn them away; longer, and they hang.
pub(super) const DESERTED_PATIENCE: Duration = Duration::from_secs(2);

/// An instance that stays down for longer than this turns its clients away at once.
pub(super) const DOWN_PATIENCE: Duration = Duration::from_secs(1);

/// How long control has to write what is left of the log, after the last instance is gone.
pub(super) const CONTROL_STOP_LIMIT: Duration = Duration::from_secs(3);

/// How long the old process of an instance may take to give up the spool, and the new one to begin
/// with it, before the old one is killed and clients are told to come back. More than attempts and
/// commits are given in the process itself, and than a spool of a million messages needs.
pub(super) const CHANGE_LIMIT: Duration = Duration::from_secs(40);

/// How long the old process may then stay for clients in the middle of a message, as long as a slow
/// line needs for a large one; and for deliveries to hosts that take their time, which is ten
/// minutes at the last reply (RFC 5321 §4.5.3.2.6). Nobody waits for it.
pub(super) const RETIRE_LIMIT: Duration = Duration::from_secs(900);

/// How long a process that was started in vain has to exit.
pub(super) const DISMISS_LIMIT: Duration = Duration::from_secs(3);

/// How long all processes have to say whether they can take a reload.
pub(super) const PREPARE_LIMIT: Duration = Duration::from_secs(5);

/// The same, where processes have to start first, and read the spools of added instances.
pub(super) const PREPARE_STARTS_LIMIT: Duration = Duration::from_secs(30);

/// How long they have to confirm that they took it, before the answer says that they have not.
pub(super) const COMMIT_LIMIT: Duration = Duration::from_secs(5);

/// How long the answer to a reload waits for new processes, before it says that they are not ready.
pub(super) const TAKEOVER_LIMIT: Duration = Duration::from_secs(12);

/// Words of children that wait to be heard.
pub(super) const WORDS_WAITING_MAX: usize = 64;

/// The longest text of a child that is passed on, in octets.
pub(super) const TEXT_LEN_MAX: usize = 1024;

const _: () = assert!(DOWN_PATIENCE.as_millis() < DESERTED_PATIENCE.as_millis());
