//! What users and crashes leave in a maildrop.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use mail::{Mailbox, ReversePath, SpoolId};
use testkit::Scratch;

use super::*;

struct World {
    scratch: Scratch,
    files: Files,
}

impl World {
    fn new(incomplete_max: Duration) -> Self {
        let scratch = Scratch::new();
        let maildrop = Maildrop::of(scratch.path());
        for (path, mode) in maildrop.folders() {
            std::fs::create_dir_all(&path).expect("made");
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        }
        let bounds = Bounds {
            each_pass_max: 10,
            each_user_max: 3,
            refused_max: 2,
            incomplete_max,
        };
        let name = "submission".parse().expect("a name");
        let files = Files::new(&maildrop, &name, bounds);
        assert!(files.taken().expect("made").keyed.is_empty());
        Self { scratch, files }
    }

    fn leave(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.files.0.new.join(name);
        let envelope = Envelope {
            sender: ReversePath::Null,
            recipients: vec![Mailbox::parse("a@x").expect("an address")],
            content_len: 1,
        };
        std::fs::write(&path, [&envelope.to_bytes()[..], b"x"].concat()).expect("written");
        complete(&path, mode);
        path
    }

    fn list(&self) -> Listing {
        self.files.list(None).expect("listed").0
    }

    fn is_taken(&self) -> usize {
        std::fs::read_dir(&self.files.0.taken)
            .expect("listed")
            .count()
    }
}

fn complete(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
}

fn key(number: u64) -> HandoffKey {
    HandoffKey {
        sender: SpoolId::from_bytes([7; 16]),
        epoch: 3,
        number,
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn what_was_taken_is_found_under_its_key_after_a_crash() {
    let world = World::new(DAY);
    for number in [10, 9] {
        let path = world.leave(&number.to_string(), COMPLETE_MODE);
        world
            .files
            .take(&path, &key(number))
            .expect("taken")
            .expect("there");
        assert!(!path.exists());
        assert_eq!(world.files.take(&path, &key(11)), Ok(None), "it is gone");
    }
    let taken = world.files.taken().expect("listed").keyed;
    let keys: Vec<_> = taken.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [key(9), key(10)]);
    let opened = world.files.open(&taken[0].1, 1).expect("opened");
    assert!(matches!(opened, Opened::Message(_)), "{opened:?}");
    let large = world.files.open(&taken[0].1, 0).expect("opened");
    assert!(matches!(large, Opened::NoMessage(_)), "{large:?}");
    for (_, path) in taken {
        world.files.remove(&path).expect("removed");
        world
            .files
            .remove(&path)
            .expect("the process before may have done it");
    }
    assert_eq!(world.is_taken(), 0);
}

/// A user can put a file that is not complete in the place of one that was listed as complete.
#[test]
fn a_file_that_is_taken_before_it_is_complete_waits_without_a_key() {
    let world = World::new(DAY);
    let path = world.leave("a", 0o600);
    let taken = world
        .files
        .take(&path, &key(1))
        .expect("taken")
        .expect("there");
    let opened = world.files.open(&taken, 1).expect("opened");
    assert!(matches!(opened, Opened::NotYet), "{opened:?}");
    world.files.let_wait(&taken).expect("renamed");
    let found = world.files.taken().expect("listed");
    assert!(
        found.keyed.is_empty() && found.waiting.is_empty(),
        "{found:?}"
    );
    let [waiting] = &std::fs::read_dir(&world.files.0.taken)
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .collect::<Vec<_>>()[..]
    else {
        panic!("one file");
    };
    complete(waiting, COMPLETE_MODE);
    let found = world.files.taken().expect("listed");
    let taken = world.files.take(&found.waiting[0], &key(2)).expect("taken");
    let opened = world.files.open(&taken.expect("there"), 1).expect("opened");
    assert!(matches!(opened, Opened::Message(_)), "{opened:?}");
}

#[test]
fn one_user_takes_a_part_of_a_pass_and_the_next_pass_takes_the_rest() {
    let world = World::new(DAY);
    for number in 0..5 {
        world.leave(&number.to_string(), COMPLETE_MODE);
    }
    let listing = world.list();
    assert_eq!((listing.complete.len(), listing.is_partial), (3, true));
    let again = world.files.list(Some(listing)).expect("listed").0;
    assert_eq!(again.complete.len(), 3);
}

#[test]
fn links_and_what_is_incomplete_are_not_listed_and_go_after_a_day() {
    let young = World::new(DAY);
    let old = World::new(Duration::ZERO);
    for (world, n_left, n_removed) in [(&young, 3, 0), (&old, 0, 3)] {
        let secret = world.scratch.file("secret", "x");
        symlink(&secret, world.files.0.new.join("link")).expect("a link");
        world.leave("incomplete", 0o600);
        let linked = world.leave("linked", COMPLETE_MODE);
        std::fs::hard_link(linked, world.scratch.path().join("other")).expect("a link");
        let (listing, removed) = world.files.list(None).expect("listed");
        assert!(listing.complete.is_empty() && listing.is_partial);
        assert_eq!(removed.len(), n_removed, "{removed:?}");
        let left = std::fs::read_dir(&world.files.0.new)
            .expect("listed")
            .count();
        assert_eq!(left, n_left);
        assert!(secret.exists());
    }
}

#[test]
fn of_what_is_no_message_so_much_is_kept() {
    let world = World::new(DAY);
    for (number, is_kept) in [(1, true), (2, true), (3, false)] {
        let path = world.leave("x", COMPLETE_MODE);
        let taken = world
            .files
            .take(&path, &key(number))
            .expect("taken")
            .expect("there");
        let kept = world.files.refuse(&taken).expect("moved");
        assert_eq!(kept.is_some(), is_kept, "{kept:?}");
        assert!(!taken.exists());
    }
}
