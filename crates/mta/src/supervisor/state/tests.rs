//! The locks, taken twice by one process: they belong to open files, not to processes.

use testkit::Scratch;

use super::*;

fn take(path: &Path, waiting: impl FnOnce()) -> Result<StateDirectory, StateError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(StateDirectory::take(path, waiting))
}

#[test]
fn a_second_supervisor_is_refused_and_told_which_process_is_the_first() {
    let scratch = Scratch::new();
    let first = take(scratch.path(), || panic!("nobody to wait for")).unwrap();
    assert_eq!(running(scratch.path()).unwrap(), Some(std::process::id()));
    let error = take(scratch.path(), || panic!("it must not wait")).unwrap_err();
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "{error}"
    );
    drop(first);
    assert_eq!(running(scratch.path()).unwrap(), None);
    take(scratch.path(), || panic!("nobody to wait for")).unwrap();
}

#[test]
fn who_only_looks_whether_a_system_runs_does_not_keep_one_from_starting() {
    let scratch = Scratch::new();
    drop(take(scratch.path(), || ()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let looker = File::open(scratch.path().join("pid")).unwrap();
    flock(&looker, FlockOperation::NonBlockingLockShared).unwrap();
    let (taken, ()) = runtime.block_on(async {
        // The first try is made before the looker lets go.
        tokio::join!(biased; StateDirectory::take(scratch.path(), || ()), async { drop(looker) })
    });
    taken.unwrap();
}

#[test]
fn processes_of_a_dead_supervisor_are_waited_for() {
    let scratch = Scratch::new();
    let dead = take(scratch.path(), || ()).unwrap();
    let orphan = dead.share().unwrap();
    drop(dead);
    assert!(!all_gone(scratch.path()).unwrap());
    let mut orphan = Some(orphan);
    let mut waited = false;
    let next = take(scratch.path(), || {
        waited = true;
        orphan = None;
    });
    assert!(next.is_ok() && waited);
    drop(next);
    assert!(all_gone(scratch.path()).unwrap());
}

#[test]
fn nothing_runs_where_nothing_is() {
    let nowhere = Path::new("/nonexistent/postern");
    assert_eq!(running(nowhere).unwrap(), None);
    assert!(all_gone(nowhere).unwrap());
}
