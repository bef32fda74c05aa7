//! Waiting for what must happen: looked for again and again until a limit.

use std::time::{Duration, Instant};

/// How often it is looked for.
const INTERVAL: Duration = Duration::from_millis(5);

/// Generous enough for the busiest machine, on which what takes a second takes a minute: a test
/// says whether something happens, never how fast. One that passes does not wait for so long.
pub const LIMIT: Duration = Duration::from_secs(300);

/// Waits until `look` finds something, at most [`LIMIT`].
///
/// # Panics
/// When it does not, with `what` was waited for.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, look).unwrap_or_else(|| panic!("not within {LIMIT:?}: {what}"))
}

/// Waits until `holds`, at most [`LIMIT`].
///
/// # Panics
/// When it does not, with `what` was waited for.
pub fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}

/// Waits until `look` finds something, at most `limit`; `None` if it does not.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(INTERVAL);
    }
}
