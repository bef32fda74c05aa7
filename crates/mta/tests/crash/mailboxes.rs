//! A mailbox that is found is as durable as one that was made.

use std::fs;

use testkit::load::send_one;
use testkit::oracle::Fate;
use testkit::peer::{is_root, peer};
use testkit::tracer::{Threads, Tracer};
use testkit::{maildir, wait};

use crate::system::System;
use crate::victims::processes;

/// Found by a power cut while the first three letters to one mailbox were stored at a time: two of
/// them were done before the first one had synced the name of what it had made.
#[test]
fn who_finds_a_mailbox_syncs_its_name_as_its_maker_may_not_have_come_to_that() {
    let Some(strace) = is_root().then(|| peer("strace")).flatten() else {
        return;
    };
    let system = System::start();
    let state = system.postern.state_folder();
    let mailbox = system.postern.state("mail/example.test/alice");
    // As one leaves it who is killed at once, or has not gone on yet.
    for name in ["cur", "new", "tmp"] {
        fs::create_dir_all(mailbox.join(name)).expect("the state directory can be written");
    }
    let output = processes(system.postern.supervisor())["output"];
    let file = system.postern.scratch().path().join("syncs");
    let options = ["-y", "-e", "trace=fsync"];
    let mut tracer = Tracer::attach(&strace, &options, Threads::AllOf(output), &file);
    let (oracle, door) = (&system.oracle, system.input());
    let to = ["alice@example.test"];
    let fate = send_one(oracle, &door, "found", "sender@example.test", &to, 500);
    assert_eq!(fate, Some(Fate::Acknowledged));
    wait::until_true("the letter is there", || {
        maildir::messages(&mailbox).len() == 1
    });
    tracer.detach();
    let text = tracer.text();
    let on_the_way = mailbox
        .ancestors()
        .take_while(|path| path.starts_with(&state));
    for directory in on_the_way {
        let name = format!("<{}>", directory.display());
        assert!(text.contains(&name), "{name} is not synced:\n{text}");
    }
}
