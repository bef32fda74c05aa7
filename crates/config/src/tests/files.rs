//! What is found about the files that a configuration names.

use testkit::Scratch;
use testkit::certificate::{DAY, write};

use super::*;

/// The day on which the tests look, since 1970 began.
const TODAY: u32 = 20_000;

/// What is found today where these files, in `folder`, are an output's; its `tls` is in line 5.
fn found(folder: &Scratch, certificate: &str, key: &str, missing: &str) -> Vec<String> {
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (file(certificate), file(key));
    let whole = format!(
        "hostname = \"h.example\"\n[instance.output]\nrole = \"output\"\n\
         listen = [\"127.0.0.1:24\"]\n\
         tls = {{ certificate = \"{certificate}\", key = \"{key}\", missing = \"{missing}\" }}"
    );
    let now = mail::Timestamp::from_unix_ms((DAY * TODAY).as_millis().try_into().unwrap());
    let found = check::check_files(&read(&whole), now);
    found.iter().map(ToString::to_string).collect()
}

/// A certificate and its key that are valid for these days around today.
fn pair(folder: &Scratch, name: &str, begin: i32, end: i32) {
    let [certificate, key] = ["pem", "key"].map(|end| folder.path().join(format!("{name}.{end}")));
    let at = |days: i32| DAY * TODAY.checked_add_signed(days).unwrap();
    write(&certificate, &key, at(begin), at(end));
}

/// That one thing is found, at this column of the line, with these words.
#[track_caller]
fn assert_one(found: &[String], start: &str, words: &str) {
    let [one] = found else {
        panic!("{found:#?}");
    };
    assert!(one.starts_with(&format!("{NAME}:5:{start}: ")), "{one}");
    assert!(one.contains(words), "{one}");
}

#[test]
fn files_that_hold_no_certificate_or_key_are_found_where_they_are_named() {
    let folder = Scratch::new();
    folder.file("certificate.pem", "-----BEGIN CERTIFICATE-----\n");
    folder.file("empty.pem", "");
    let none = found(&folder, "absent.pem", "absent.key", "refuse");
    assert_eq!(none.len(), 2, "{none:?}");
    assert_one(&none[..1], "23: error", "absent.pem cannot be read");
    assert!(none[1].contains("absent.key cannot be read"), "{none:?}");
    let made = found(&folder, "absent.pem", "absent.key", "self-signed");
    assert_eq!(made, [""; 0]);
    let half = found(&folder, "certificate.pem", "absent.key", "self-signed");
    assert!(half.len() == 1 && half[0].contains("absent.key cannot be read"));
    let empty = found(&folder, "certificate.pem", "empty.pem", "refuse");
    assert!(
        empty[0].contains("empty.pem holds no private key in PEM form"),
        "{empty:?}"
    );
    assert!(empty[1].contains("can be read by every user"), "{empty:?}");
}

#[test]
fn a_key_of_another_certificate_is_found_with_both_files() {
    let folder = Scratch::new();
    pair(&folder, "one", -10, 80);
    pair(&folder, "other", -10, 80);
    assert_eq!(found(&folder, "one.pem", "one.key", "refuse"), [""; 0]);
    let mixed = found(&folder, "one.pem", "other.key", "refuse");
    let one = format!("other.key is not the key of {}", folder.path().display());
    let column = 23 + "\"\", key = ".len() + folder.path().join("one.pem").as_os_str().len();
    assert_one(&mixed, &format!("{column}: error"), &one);
}

#[test]
fn a_certificate_that_has_ended_or_soon_does_is_a_warning_that_keeps_nothing_from_starting() {
    let folder = Scratch::new();
    for (begin, end, words) in [
        (-90, -2, Some("expired on")),
        (-80, 10, Some("expires on")),
        (3, 90, Some("is not valid before")),
        (-80, 15, None),
    ] {
        pair(&folder, "one", begin, end);
        let found = found(&folder, "one.pem", "one.key", "refuse");
        match words {
            Some(words) => assert_one(&found, "23: warning", &format!("one.pem {words}")),
            None => assert_eq!(found, [""; 0]),
        }
    }
    // Of a chain, the first certificate to end counts.
    pair(&folder, "short", -80, 10);
    let path = |name: &str| folder.path().join(name);
    let chain = ["one.pem", "short.pem"].map(|name| std::fs::read_to_string(path(name)).unwrap());
    folder.file("chain.pem", chain.concat());
    let found = found(&folder, "chain.pem", "one.key", "refuse");
    assert_one(&found, "23: warning", "in 10 days");
}

#[test]
fn a_pipe_in_the_place_of_a_key_is_found_and_not_waited_for() {
    let folder = Scratch::new();
    pair(&folder, "one", -80, 10);
    let pipe = folder.path().join("pipe.key");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    let found = found(&folder, "one.pem", "pipe.key", "refuse");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("pipe.key cannot be read: it is a pipe"));
}

#[test]
fn a_log_whose_folder_is_not_there_is_a_warning() {
    let folder = Scratch::new();
    let log = folder.path().join("logs/postern.log").display().to_string();
    let text = PAIR.replace(
        "[instance.submission]",
        &format!("[log]\nfile = \"{log}\"\n[instance.submission]"),
    );
    let look = || check::check_files(&read(&text), mail::Timestamp::from_unix_ms(0));
    let found = look();
    assert_eq!(found.len(), 1, "{found:?}");
    let line = found[0].to_string();
    assert!(
        line.starts_with("postern.toml:4:8: warning: the log cannot be"),
        "{line}"
    );
    std::fs::create_dir(folder.path().join("logs")).unwrap();
    assert_eq!(look(), []);
}
