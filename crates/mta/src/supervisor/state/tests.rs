//! The locks, taken twice by one process: they belong to open files, not to processes.

use super::*;

/// A directory that is removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("postern-state-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn take(path: &Path, waiting: impl FnOnce()) -> Result<StateDirectory, StateError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(StateDirectory::take(path, waiting))
}

#[test]
fn a_second_supervisor_is_refused_and_told_which_process_is_the_first() {
    let scratch = Scratch::new("second");
    let first = take(&scratch.0, || panic!("nobody to wait for")).unwrap();
    assert_eq!(running(&scratch.0).unwrap(), Some(std::process::id()));
    let error = take(&scratch.0, || panic!("it must not wait")).unwrap_err();
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "{error}"
    );
    drop(first);
    assert_eq!(running(&scratch.0).unwrap(), None);
    take(&scratch.0, || panic!("nobody to wait for")).unwrap();
}

#[test]
fn who_only_looks_whether_a_system_runs_does_not_keep_one_from_starting() {
    let scratch = Scratch::new("look");
    drop(take(&scratch.0, || ()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let looker = File::open(scratch.0.join("pid")).unwrap();
    flock(&looker, FlockOperation::NonBlockingLockShared).unwrap();
    let (taken, ()) = runtime.block_on(async {
        // The first try is made before the looker lets go.
        tokio::join!(biased; StateDirectory::take(&scratch.0, || ()), async { drop(looker) })
    });
    taken.unwrap();
}

#[test]
fn processes_of_a_dead_supervisor_are_waited_for() {
    let scratch = Scratch::new("orphan");
    let dead = take(&scratch.0, || ()).unwrap();
    let orphan = dead.share().unwrap();
    drop(dead);
    assert!(!all_gone(&scratch.0).unwrap());
    let mut orphan = Some(orphan);
    let mut waited = false;
    let next = take(&scratch.0, || {
        waited = true;
        orphan = None;
    });
    assert!(next.is_ok() && waited);
    drop(next);
    assert!(all_gone(&scratch.0).unwrap());
}

#[test]
fn nothing_runs_where_nothing_is() {
    let nowhere = Path::new("/nonexistent/postern");
    assert_eq!(running(nowhere).unwrap(), None);
    assert!(all_gone(nowhere).unwrap());
}
