//! Certificates that are renewed while the system runs.

use std::fs;

use rustix::process::Signal;
use testkit::certificate::{DAY, now, write};
use testkit::{peer, wait};

use crate::system::{System, succeeds};

/// Prints the certificate that is shown on a port.
const SHOWN: &str = r#"
import ssl, sys
sys.stdout.write(ssl.get_server_certificate(("127.0.0.1", int(sys.argv[1])), timeout=20))
"#;

#[test]
fn a_renewed_certificate_is_shown_without_a_reload_and_one_that_is_useless_is_an_alarm() {
    if peer::python(SHOWN).is_none() {
        return;
    }
    let mut system = System::embedded();
    let pids = system.postern.json(&["status"])["processes"].clone();
    let first = shown(&system);
    assert_eq!(first, certificate(&system));
    let other = System::embedded();
    let second = certificate(&other);
    assert_ne!(first, second);

    // What is in the file of the configuration meanwhile is not taken.
    system.rewrite(|config| config.replace("users  = [", "usres  = ["));
    renew(&system, &other, "certificate.pem");
    let line = system.logged(&["a certificate changed and is not in use", "input"]);
    assert!(line.contains("is not the key of"), "{line}");
    assert_eq!(shown(&system), first, "the one before stays");

    renew(&system, &other, "key.pem");
    system.logged(&["input: the renewed certificate is in use"]);
    assert_eq!(shown(&system), second);
    let after = system.postern.json(&["status"])["processes"].clone();
    let pid = |of: &serde_json::Value| of["pid"].clone();
    let numbers = |of: &serde_json::Value| -> Vec<_> {
        of.as_array().expect("processes").iter().map(pid).collect()
    };
    assert_eq!(numbers(&after), numbers(&pids), "no process is new");
}

#[test]
fn a_reload_takes_a_renewed_certificate_also_where_the_configuration_is_the_same() {
    if peer::python(SHOWN).is_none() {
        return;
    }
    let system = System::embedded();
    let other = System::embedded();
    for name in ["certificate.pem", "key.pem"] {
        renew(&system, &other, name);
    }
    system.postern.call(&["reload"]).ok();
    assert_eq!(shown(&system), certificate(&system));
    assert_eq!(shown(&system), certificate(&other));
}

#[test]
fn a_process_that_begins_with_a_key_of_another_certificate_says_so_and_comes_when_it_is_put_right()
{
    let system = System::embedded();
    let other = System::embedded();
    let key = system.postern.state("tls/key.pem");
    let kept = fs::read(&key).expect("a key");
    fs::copy(other.postern.state("tls/key.pem"), &key).expect("it can be copied");
    system.postern.signal("input", Signal::KILL);
    let words = format!(
        "{} is not the key of {}, but of another certificate",
        key.display(),
        system.postern.state("tls/certificate.pem").display()
    );
    system.logged(&["alarm", "input", &words]);
    let status = system.postern.call(&["status"]);
    assert_eq!(status.status, Some(3), "{status:?}");
    let checked = system.postern.call(&["check"]).fails(1);
    assert!(checked.contains(&format!("error: {words}")), "{checked}");
    fs::write(&key, kept).expect("it can be put back");
    wait::until_true("input is there again", || {
        system.postern.call(&["status"]).status == Some(0)
    });
}

#[test]
fn a_certificate_that_is_about_to_end_is_an_alarm_and_shown_by_status_and_check() {
    let system = System::stopped(|config| config);
    let folder = system.postern.state("tls");
    fs::create_dir_all(&folder).expect("a folder");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let half_a_day = DAY / 2;
    write(
        &certificate,
        &key,
        now() - DAY,
        now() + 3 * DAY + half_a_day,
    );
    let mut system = system;
    system.postern.start();
    system.logged(&["input", "alarm", "the certificate expires on ", "in 3 days"]);
    let page = system.postern.ask(&["status"]);
    assert!(page.contains("the certificate expires on "), "{page}");
    let checked = system.postern.call(&["check"]).ok();
    assert!(
        checked.contains(": warning: ") && checked.contains("in 3 days"),
        "{checked}"
    );
    assert!(
        checked.ends_with("the configuration can be used\n"),
        "{checked}"
    );

    write(&certificate, &key, now() - DAY, now() + 90 * DAY);
    system.postern.call(&["reload"]).ok();
    let status = system.postern.json(&["status"]);
    let instances = status["instances"].as_array().expect("a list");
    let input = instances.iter().find(|line| line["instance"] == "input");
    let ok = &input.expect("input")["ok"];
    assert_eq!(ok["notes"].as_array().map(Vec::len), Some(0), "{ok}");
    assert!(ok["certificate_until"].is_string(), "{ok}");
}

/// The certificate that input shows.
fn shown(system: &System) -> String {
    let mut python = peer::python(SHOWN).expect("it was there a moment ago");
    let port = system.ports.tls.to_string();
    normal(&succeeds(python.arg(port), ""))
}

/// The certificate in its file.
fn certificate(system: &System) -> String {
    let text = fs::read_to_string(system.postern.state("tls/certificate.pem"));
    normal(&text.expect("a certificate"))
}

/// As every program writes it: with other line ends and widths it is the same.
fn normal(pem: &str) -> String {
    pem.split_whitespace().collect()
}

/// Puts a file of another system in its place at once, as programs do that renew certificates.
fn renew(system: &System, other: &System, name: &str) {
    let name = format!("tls/{name}");
    let new = system.postern.state("tls/new");
    fs::copy(other.postern.state(&name), &new).expect("it can be copied");
    fs::rename(new, system.postern.state(&name)).expect("it can be replaced");
}
