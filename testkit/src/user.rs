//! Doing something as another user of this machine.

use std::thread;

use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

/// Runs `act` in a thread of its own that belongs to the user `uid`, and returns what it returns.
/// What it connects is that user's. Only root can be somebody else.
///
/// # Panics
/// When this is not root, or `act` panics.
pub fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    let acting = || {
        let user = Uid::from_raw(uid);
        // Linux does this for one thread, which ends with the user that it has become.
        set_thread_res_uid(user, user, user).expect("root can be everybody");
        act()
    };
    thread::scope(|scope| {
        let joined = scope.spawn(acting).join();
        joined.expect("the act does not panic")
    })
}
