//! What findings give as an example.

use super::*;

/// What an administrator does who believes what is said.
#[test]
fn what_is_given_as_an_example_can_be_written_and_ends_the_error() {
    let submission = |lines: &str| front("submission", lines) + OUTPUT;
    let tls = "listen = [\"tls://127.0.0.1:465\"]\nnext = \"output\"";
    let large = "listen = [\"127.0.0.1:24\"]\nnext = \"output\"\nlimits = { message_size = \
                 \"51 MiB\", recipients = 1001, line_length = \"65 KiB\" }";
    for text in [
        submission("next = \"output\""),
        submission("listen = [\"127.0.0.1:24\"]"),
        front("input", tls) + OUTPUT,
        submission(large),
        front("output", "listen = [\"127.0.0.1:24\"]"),
    ] {
        let mut whole = format!("hostname = \"h.example\"\n{text}");
        let mut n_errors = 0;
        while let Some(error) = first_error(&whole) {
            n_errors += 1;
            assert!(n_errors < 9, "{error:?} stays in\n{whole}");
            follow(&mut whole, &error);
        }
        assert_ne!(n_errors, 0, "{text}");
    }
}

fn first_error(whole: &str) -> Option<Finding> {
    let findings = read(whole).check();
    let mut errors = findings.into_iter();
    errors.find(|finding| finding.severity == Severity::Error)
}

/// Writes what the finding says: its example, or what stands in its last backquotes, into the
/// table that it names, else into the one where it is.
fn follow(whole: &mut String, error: &Finding) {
    if let Some(example) = &error.example {
        whole.push_str(example);
        return;
    }
    let quoted: Vec<&str> = error.text.split('`').skip(1).step_by(2).collect();
    let line = quoted.last().expect("something to write");
    let table = error.text.rsplit_once(" in [").map(|(_, table)| table);
    match table.and_then(|table| table.strip_suffix("]")) {
        Some(table) if whole.contains(&format!("\n[{table}]\n")) => {
            *whole = whole.replace(&format!("\n[{table}]\n"), &format!("\n[{table}]\n{line}\n"));
        }
        Some(table) => whole.push_str(&format!("[{table}]\n{line}\n")),
        None => {
            let below = error.at.position.expect("a place").line;
            let mut lines: Vec<&str> = whole.lines().collect();
            lines.insert(below, line);
            *whole = lines.join("\n") + "\n";
        }
    }
}
