//! Programs of a host that send mail, as their packages have them: with the system up, and with the
//! system down and started later.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::peer::{peer, skip};
use testkit::run::run;
use testkit::wait;

use crate::system::{System, succeeds};

/// The autoloader of Debian's php-symfony-mailer.
const SYMFONY: &str = "/usr/share/php/Symfony/Component/Mailer/autoload.php";

/// The command of git that sends patches, where Debian has it.
const GIT_SEND: &str = concat!("/usr/lib/git-core/git-send-e", "mail");

/// A system, and the path of its `sendmail`.
struct Host {
    system: System,
    sendmail: PathBuf,
}

/// Gives a message with a subject and the body `Hello.` to alice, and asserts that the program is
/// content.
type Send<'a> = &'a dyn Fn(&Host, &str);

impl Host {
    fn new() -> Self {
        let system = System::embedded();
        let sendmail = system.postern.command_as("sendmail").get_program().into();
        Self { system, sendmail }
    }

    fn path(&self) -> &str {
        self.sendmail.to_str().expect("UTF-8")
    }

    /// A program with the environment by which `sendmail` finds the system.
    fn program(&self, name: &Path) -> Command {
        let mut command = Command::new(name);
        let sendmail = self.system.postern.command_as("sendmail");
        command.envs(
            sendmail
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        command.env("HOME", self.system.postern.scratch().path());
        command.current_dir(self.system.postern.scratch().path());
        command
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.system.postern.scratch().file(name, text);
        path.display().to_string()
    }

    #[track_caller]
    fn has_arrived_once(&self, subject: &str) {
        let content = self.system.arrived("alice", &format!("Subject: {subject}"));
        for field in ["Date: ", "Message-ID: ", "From: ", "Received: "] {
            let lines = content.lines().take_while(|line| !line.is_empty());
            let prefix = field.to_ascii_lowercase();
            let n = lines
                .filter(|line| line.to_ascii_lowercase().starts_with(&prefix))
                .count();
            assert_eq!(n, 1, "{field}: {content}");
        }
        assert!(content.contains("\nHello."), "{content}");
        let subjects = self.system.subjects("alice");
        assert_eq!(
            subjects.iter().filter(|one| *one == subject).count(),
            1,
            "{subjects:?}"
        );
    }
}

/// With the system up, and down and started later.
#[track_caller]
fn reaches_alice(send: Send<'_>) {
    let mut host = Host::new();
    send(&host, "up");
    host.has_arrived_once("up");
    host.system.postern.stop();
    send(&host, "down");
    host.system.postern.start();
    host.has_arrived_once("down");
    host.system.drained();
    assert_eq!(host.system.subjects("alice"), ["down", "up"]);
}

/// `README.md` has this for its first try.
#[test]
fn curl_as_the_readme_has_it_sends_a_file_that_is_no_message() {
    let Some(curl) = peer("curl") else { return };
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let text = std::fs::read_to_string(readme).expect("it is there");
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with("curl smtp://"));
    let line = line
        .expect("the example")
        .trim()
        .strip_prefix("curl ")
        .expect("curl");
    let host = Host::new();
    let address = format!("127.0.0.1:{}", host.system.ports.input);
    let words = line.split(' ').map(|word| match word {
        "README.md" => readme.to_owned(),
        word => word.replace("127.0.0.1:1025", &address),
    });
    succeeds(host.program(&curl).args(words), "");
    let content = host.system.arrived("alice", "Postern");
    let (header, body) = content.split_once("\n\n").expect("an empty line");
    assert!(
        header.starts_with("Return-Path: ") || header.starts_with("Received: "),
        "{header}"
    );
    assert_eq!(body, text);
}

/// The arguments of Debian's cron, and what it writes.
#[test]
fn cron_sends_what_a_job_printed() {
    reaches_alice(&|host, subject| {
        let message = format!(
            "From: root (Cron Daemon)\nTo: alice@example.test\nSubject: {subject}\n\
             MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n\
             Content-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n\nHello.\n"
        );
        let mut command = host.program(&host.sendmail);
        command.args([
            "-i",
            "-FCronDaemon",
            "-B8BITMIME",
            "-oem",
            "alice@example.test",
        ]);
        succeeds(&mut command, &message);
    });
}

#[test]
fn phps_mail_sends() {
    let Some(php) = peer("php") else { return };
    reaches_alice(&|host, subject| {
        let setting = format!("sendmail_path={} -t -i", host.path());
        let code = "mail('alice@example.test', $argv[1], \"Hello.\\r\\nMore.\\r\\n\", \
                    ['Bcc' => 'bob@example.test'], '-fwww@example.test') or exit(1);";
        let arguments = ["-n", "-d", &setting, "-r", code, "--", subject];
        succeeds(host.program(&php).args(arguments), "");
    });
}

#[test]
fn symfonys_mailer_sends_by_sendmail_bs_and_by_sendmail_t() {
    let Some(php) = peer("php") else { return };
    if !Path::new(SYMFONY).is_file() {
        return skip("php-symfony-mailer is not installed");
    }
    for mode in ["-bs", "-t -i"] {
        reaches_alice(&|host, subject| {
            let code = format!(
                "require '{SYMFONY}';
                 require '/usr/share/php/Symfony/Component/Mime/autoload.php';
                 $t = new Symfony\\Component\\Mailer\\Transport\\SendmailTransport('{} {mode}');
                 $e = (new Symfony\\Component\\Mime\\Email())->from('www@example.test')
                     ->to('alice@example.test')->bcc('bob@example.test')
                     ->subject($argv[1])->text('Hello.');
                 $t->send($e);",
                host.path()
            );
            succeeds(host.program(&php).args(["-r", &code, "--", subject]), "");
        });
    }
}

#[test]
fn git_sends_a_patch() {
    let git = Path::new(GIT_SEND);
    if !git.is_file() {
        return skip(&format!("{GIT_SEND} is not installed"));
    }
    reaches_alice(&|host, subject| {
        let patch = format!(
            "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n\
             From: A <a@example.test>\nDate: Mon, 23 Nov 2026 23:50:00 +0000\n\
             Subject: {subject}\n\nHello.\n---\n"
        );
        let patch = host.file("0001.patch", &patch);
        let mut command = host.program(git);
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "A");
            command.env(format!("GIT_{role}_EMAIL"), "a@example.test");
        }
        command.arg(format!("--smtp-server={}", host.path()));
        command.args([
            "--from=A <a@example.test>",
            "--to=alice@example.test",
            "--confirm=never",
        ]);
        command.args(["--suppress-cc=all", "--no-thread", "--quiet", &patch]);
        succeeds(&mut command, "");
    });
}

#[test]
fn mutt_sends() {
    let Some(mutt) = peer("mutt") else { return };
    reaches_alice(&|host, subject| {
        let sendmail = format!("set sendmail=\"{} -oem -oi\"", host.path());
        let mut command = host.program(&mutt);
        command.args(["-n", "-F", "/dev/null", "-e", &sendmail]);
        command.args([
            "-e",
            "set from=a@example.test use_envelope_from=yes record=\"\"",
        ]);
        command.args(["-s", subject, "alice@example.test"]);
        succeeds(&mut command, "Hello.\n");
    });
}

#[test]
fn s_nail_sends() {
    let Some(nail) = peer("s-nail") else { return };
    reaches_alice(&|host, subject| {
        let mut command = host.program(&nail);
        command.args(["-:/", "-S", &format!("mta={}", host.path())]);
        command.args(["-S", "sendwait", "-r", "a@example.test", "-s", subject]);
        command.arg("alice@example.test");
        succeeds(&mut command, "Hello.\n");
    });
}

/// A client that gives all its commands in one write and leaves.
#[test]
fn a_client_of_sendmail_bs_that_waits_for_nothing_is_served() {
    reaches_alice(&|host, subject| {
        let session = format!(
            "EHLO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n\
             Subject: {subject}\r\nBcc: b@example.test\r\n\r\nHello.\r\n.\r\nQUIT\r\n"
        );
        let out = succeeds(host.program(&host.sendmail).arg("-bs"), &session);
        let codes: Vec<_> = out.lines().filter_map(|line| line.get(..4)).collect();
        let ends: Vec<_> = codes.iter().filter(|code| code.ends_with(' ')).collect();
        assert_eq!(
            ends,
            [
                &"220 ", &"250 ", &"250 ", &"250 ", &"354 ", &"250 ", &"221 "
            ]
        );
    });
}

#[test]
fn sendmail_bv_says_who_would_be_taken_and_sends_nothing() {
    let mut host = Host::new();
    let mut command = host.program(&host.sendmail);
    command.args(["-bv", "alice@example.test", "nobody@example.test"]);
    let ran = run(&mut command, "", wait::LIMIT);
    assert_eq!(ran.status, Some(67), "{ran:?}");
    assert!(
        ran.out.contains("alice@example.test: deliverable"),
        "{ran:?}"
    );
    assert!(
        ran.err.contains("nobody@example.test: undeliverable: 550"),
        "{ran:?}"
    );
    host.system.postern.stop();
    let mut command = host.program(&host.sendmail);
    let ran = run(command.args(["-bv", "alice@example.test"]), "", wait::LIMIT);
    assert_eq!(ran.status, Some(75), "{ran:?}");
    for arguments in [&["-q"][..], &["-bi"]] {
        succeeds(host.program(&host.sendmail).args(arguments), "");
    }
    succeeds(&mut host.system.postern.command_as("newaliases"), "");
    host.system.postern.start();
    host.system.drained();
    assert!(host.system.subjects("alice").is_empty());
}

#[test]
fn sendmail_t_with_a_bad_address_sends_to_the_others_and_says_so() {
    let mut host = Host::new();
    let message = "To: a b@example.test, alice@example.test\nSubject: some\n\nHello.\n";
    for is_up in [true, false] {
        let mut command = host.program(&host.sendmail);
        let ran = run(command.args(["-t", "-i"]), message, wait::LIMIT);
        assert_eq!(ran.status, Some(65), "{ran:?}");
        assert!(ran.err.contains("not sent to a b@example.test"), "{ran:?}");
        if is_up {
            host.has_arrived_once("some");
            host.system.postern.stop();
        }
    }
    host.system.postern.start();
    wait::until_true("both came", || {
        host.system.subjects("alice") == ["some", "some"]
    });
}
