//! Systems side by side: hurting one is mostly waiting until somebody is back.

use std::panic::resume_unwind;
use std::thread;

use crate::system::MANY_KILLS;

/// How many systems of one test run at a time when there is much to do.
const SIDE_BY_SIDE: usize = 4;

/// How a number of kills is shared out among systems: one has them all where these are few.
pub(crate) fn shares(n_kills: usize) -> Vec<usize> {
    if n_kills < MANY_KILLS {
        return vec![n_kills];
    }
    let all: Vec<()> = vec![(); n_kills];
    let parts = divided(&all, SIDE_BY_SIDE);
    parts.iter().map(Vec::len).collect()
}

/// Divides `all` into `n` parts of about the same length, and no more than there is; each has its
/// own in the same order.
pub(crate) fn divided<T: Clone>(all: &[T], n: usize) -> Vec<Vec<T>> {
    let chunks = all.chunks(all.len().div_ceil(n).max(1));
    chunks.map(<[T]>::to_vec).collect()
}

/// Does `work` with each of `shares`, and its number, at the same time; what came of them.
///
/// # Panics
/// When one of them does.
pub(crate) fn side_by_side<S: Send, T: Send>(
    shares: Vec<S>,
    work: impl Fn(u64, S) -> T + Sync,
) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let numbered = (0..).zip(shares);
        let workers: Vec<_> = numbered
            .map(|(number, share)| scope.spawn(move || work(number, share)))
            .collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        // All of them end first.
        let ended: Vec<_> = ended.collect();
        ended
            .into_iter()
            .map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}
