//! What is left of a few operations after each kind of cut.

use std::path::Path;

use super::super::operation::Data;
use super::*;
use crate::Scratch;

/// What is found below `target` after the cut.
fn found(disk: &Disk, cut: PowerCut) -> BTreeMap<String, Vec<u8>> {
    fn walk(path: &Path, name: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(path).unwrap().flatten() {
            let name = format!("{name}/{}", entry.file_name().display());
            if entry.path().is_dir() {
                walk(&entry.path(), &name, found);
            } else {
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let scratch = Scratch::new();
    disk.lay_out(cut, scratch.path()).unwrap();
    let mut all = BTreeMap::new();
    walk(scratch.path(), "", &mut all);
    all
}

fn names(disk: &Disk, cut: PowerCut) -> Vec<String> {
    found(disk, cut).into_keys().collect()
}

fn write(path: &str, offset: u64, octets: &[u8]) -> Operation {
    Operation::Write {
        path: path.to_owned(),
        offset: Some(offset),
        data: vec![Data::Octets(octets.to_vec())],
        is_durable: false,
    }
}

fn create(path: &str) -> Operation {
    Operation::Create {
        path: path.to_owned(),
        truncates: true,
    }
}

fn sync(path: &str) -> Operation {
    Operation::Sync {
        path: path.to_owned(),
    }
}

fn rename(from: &str, to: &str) -> Operation {
    Operation::Rename {
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

fn directory(path: &str) -> Operation {
    Operation::MakeDirectory {
        path: path.to_owned(),
    }
}

/// A disk after these operations, each of which returned before the next was entered.
fn after(operations: &[Operation]) -> Disk {
    let mut disk = Disk::new("/r");
    for (number, operation) in operations.iter().enumerate() {
        disk.enter(number, operation);
        disk.leave(number, operation, 2 * number, 2 * number + 1);
    }
    disk
}

const TORN: PowerCut = PowerCut::Torn {
    block: 512,
    seed: 3,
};

#[test]
fn what_is_synced_stays_and_nothing_else_needs_to() {
    let disk = after(&[
        create("/r/a"),
        write("/r/a", 0, b"one"),
        sync("/r/a"),
        sync("/r"),
        write("/r/a", 0, b"two"),
        create("/r/b"),
    ]);
    let a = |octets: &[u8]| ("/a".to_owned(), octets.to_vec());
    let b = ("/b".to_owned(), Vec::new());
    assert_eq!(found(&disk, PowerCut::Lost), [a(b"one")].into());
    assert_eq!(found(&disk, PowerCut::NamesLost), [a(b"two")].into());
    assert_eq!(
        found(&disk, PowerCut::NamesKept),
        [a(b"one"), b.clone()].into()
    );
    assert_eq!(found(&disk, PowerCut::Kept), [a(b"two"), b].into());
}

#[test]
fn what_is_left_is_the_same_when_its_digest_is() {
    let mut operations = vec![create("/r/a"), write("/r/a", 0, b"one"), sync("/r/a")];
    operations.push(sync("/r"));
    let quiet = after(&operations);
    let digests = |disk: &Disk| {
        [PowerCut::Lost, PowerCut::Kept, TORN, PowerCut::LastTorn(1)].map(|cut| disk.digest(cut))
    };
    let [lost, rest @ ..] = digests(&quiet);
    assert_eq!(rest, [lost; 3], "all of it is durable");
    operations.push(write("/r/a", 0, b"two"));
    let [still_lost, kept, ..] = digests(&after(&operations));
    assert_eq!(still_lost, lost);
    assert_ne!(kept, lost);
    operations.push(sync("/r/a"));
    assert_eq!(digests(&after(&operations)), [kept; 4]);
    operations.push(rename("/r/a", "/r/b"));
    let [_, renamed, ..] = digests(&after(&operations));
    assert_ne!(renamed, kept);
}

#[test]
fn a_sync_covers_only_what_had_returned_when_it_was_entered() {
    let mut disk = after(&[create("/r/a"), sync("/r")]);
    let (late, sync) = (write("/r/a", 0, b"late"), sync("/r/a"));
    disk.enter(2, &late);
    disk.enter(3, &sync);
    disk.leave(2, &late, 4, 6);
    disk.leave(3, &sync, 5, 7);
    assert_eq!(
        found(&disk, PowerCut::Lost),
        [("/a".to_owned(), Vec::new())].into()
    );
}

#[test]
fn a_directory_that_is_not_synced_takes_all_below_it_with_it() {
    let made = [
        directory("/r/d"),
        create("/r/d/f"),
        write("/r/d/f", 0, b"x"),
        sync("/r/d/f"),
        sync("/r/d"),
    ];
    assert!(names(&after(&made), PowerCut::Lost).is_empty());
    let synced = [&made[..], &[sync("/r")]].concat();
    assert_eq!(names(&after(&synced), PowerCut::Lost), ["/d/f"]);
}

#[test]
fn a_rename_is_lost_or_kept_whole_unless_one_side_of_it_is_synced() {
    let mut operations = vec![
        directory("/r/tmp"),
        directory("/r/new"),
        sync("/r"),
        create("/r/tmp/m"),
        sync("/r/tmp"),
        rename("/r/tmp/m", "/r/new/m"),
    ];
    let disk = after(&operations);
    assert_eq!(names(&disk, PowerCut::Lost), ["/tmp/m"]);
    assert_eq!(names(&disk, PowerCut::Kept), ["/new/m"]);
    assert_eq!(names(&disk, TORN).len(), 1);
    operations.push(sync("/r/new"));
    assert_eq!(
        names(&after(&operations), PowerCut::Lost),
        ["/new/m", "/tmp/m"]
    );
}

#[test]
fn the_last_write_is_torn_at_a_block_and_others_in_any_blocks() {
    let old = vec![b'o'; 2048];
    let new = vec![b'n'; 2048];
    let disk = after(&[
        create("/r/a"),
        sync("/r"),
        write("/r/a", 0, &old),
        sync("/r/a"),
        write("/r/a", 0, &new),
    ]);
    let torn = &found(&disk, PowerCut::LastTorn(512))["/a"];
    assert_eq!(*torn, [&new[..1024], &old[1024..]].concat());
    let torn = &found(&disk, PowerCut::LastTorn(4096))["/a"];
    assert_eq!(*torn, old);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let cut = PowerCut::Torn { block: 512, seed };
        let torn = found(&disk, cut).remove("/a").unwrap();
        let blocks = torn.chunks(512).map(|block| block[0]);
        assert!(
            torn.chunks(512)
                .all(|block| block.iter().all(|octet| *octet == block[0]))
        );
        seen.insert(blocks.collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), 16, "each subset of four blocks");
}

#[test]
fn what_is_found_is_the_durable_begin_of_what_comes_then() {
    let operations = [
        directory("/r/d"),
        create("/r/d/a"),
        write("/r/d/a", 0, &[b'1'; 1500]),
        sync("/r/d/a"),
        sync("/r/d"),
        sync("/r"),
        write("/r/d/a", 1000, &[b'2'; 1000]),
        create("/r/d/b"),
        rename("/r/d/b", "/r/c"),
    ];
    let disk = after(&operations);
    let cuts = [
        PowerCut::Kept,
        PowerCut::LastTorn(512),
        PowerCut::Lost,
        PowerCut::NamesKept,
        PowerCut::NamesLost,
        TORN,
    ];
    for first in cuts {
        let mut next = disk.after(first, "/elsewhere");
        let is = found(&disk, first);
        for second in cuts {
            assert_eq!(found(&next, second), is, "{second:?} after {first:?}");
        }
        let append = Operation::Write {
            path: "/elsewhere/d/a".to_owned(),
            offset: None,
            data: vec![Data::Octets(b"3".to_vec())],
            is_durable: false,
        };
        next.enter(0, &append);
        let longer = [&is["/d/a"][..], b"3"].concat();
        assert_eq!(next.written("d/a"), Some(longer.clone()));
        assert_eq!(found(&next, PowerCut::Lost), is);
        assert_eq!(found(&next, PowerCut::Kept)["/d/a"], longer);
    }
}

#[test]
fn what_is_not_durable_is_counted_without_zeros_and_until_it_is() {
    let mut operations = vec![
        create("/r/a"),
        create("/r/b"),
        write("/r/a", 0, b"one"),
        write("/r/b", 0, b"four"),
        Operation::Write {
            path: "/r/a".to_owned(),
            offset: Some(3),
            data: vec![Data::Zeros(4096)],
            is_durable: false,
        },
    ];
    let n = |operations: &[Operation], what: &str| {
        after(operations).n_not_durable(|path| path.starts_with(what))
    };
    assert_eq!(n(&operations, "/"), 7);
    assert_eq!(n(&operations, "/a"), 3);
    operations.push(sync("/r/a"));
    assert_eq!(n(&operations, "/"), 4);
}

#[test]
fn what_lies_elsewhere_than_the_model_has_it_is_a_difference() {
    let scratch = Scratch::new();
    let root = scratch.path().display().to_string();
    let mut disk = Disk::new(&root);
    let file = format!("{root}/d/a");
    let operations = [directory(&format!("{root}/d")), create(&file)];
    let operations = operations.into_iter().chain([write(&file, 0, b"one")]);
    for (number, operation) in operations.enumerate() {
        disk.enter(number, &operation);
    }
    disk.lay_out(PowerCut::Kept, scratch.path()).unwrap();
    // Beside what is recorded others may have files.
    scratch.file("theirs", "");
    assert_eq!(disk.difference().unwrap(), None);
    scratch.file("d/more", "");
    assert_eq!(disk.difference().unwrap(), Some(format!("{root}/d/more")));
    fs::remove_file(scratch.path().join("d/more")).unwrap();
    scratch.file("d/a", "two");
    assert_eq!(disk.difference().unwrap(), Some(file));
}
