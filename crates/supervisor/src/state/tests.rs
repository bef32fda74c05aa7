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

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & MODE_BITS
}

#[test]
fn nobody_else_can_hold_a_lock_or_enter_the_spools() {
    let scratch = Scratch::new();
    let set = |name: &str, mode| {
        let path = scratch.path().join(name);
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    // As an earlier version made them, or an administrator.
    for lock in ["pid", "lock"] {
        std::fs::write(scratch.path().join(lock), "").unwrap();
        set(lock, 0o666);
    }
    for folder in PRIVATE {
        std::fs::create_dir(scratch.path().join(folder)).unwrap();
        set(folder, 0o755);
    }
    drop(take(scratch.path(), || ()).unwrap());
    for lock in ["pid", "lock"] {
        assert_eq!(mode(&scratch.path().join(lock)), 0o600, "{lock}");
    }
    for folder in PRIVATE {
        assert_eq!(
            mode(&scratch.path().join(folder)) & OTHERS_ALL,
            0,
            "{folder}"
        );
    }
}

#[test]
fn a_state_directory_in_which_others_can_make_files_is_refused() {
    let scratch = Scratch::new();
    let state = scratch.path().join("state");
    for folder in [&state, &state.join("log"), &state.join("spool")] {
        drop(take(&state, || ()).unwrap());
        let before = mode(folder);
        std::fs::set_permissions(folder, Permissions::from_mode(0o1777)).unwrap();
        let error = take(&state, || ()).unwrap_err().to_string();
        let place = format!("{} can be written by every user", folder.display());
        assert!(error.starts_with(&place), "{error}");
        std::fs::set_permissions(folder, Permissions::from_mode(before)).unwrap();
    }
}

#[test]
fn a_state_directory_that_another_user_made_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return testkit::peer::skip("only root can give a directory away");
    }
    let scratch = Scratch::new();
    std::os::unix::fs::chown(scratch.path(), Some(65_534), None).unwrap();
    let error = take(scratch.path(), || ()).unwrap_err().to_string();
    assert!(error.contains("belongs to user 65534"), "{error}");
}

#[test]
fn a_link_in_the_place_of_a_lock_is_not_followed() {
    let scratch = Scratch::new();
    let elsewhere = scratch.path().join("elsewhere");
    std::fs::write(&elsewhere, "kept").unwrap();
    std::os::unix::fs::symlink(&elsewhere, scratch.path().join("pid")).unwrap();
    assert!(take(scratch.path(), || ()).is_err());
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "kept");
}
