//! Plays every transcript in `tests/transcripts/*.txt` against the server machine.
//!
//! A line begins with what it is:
//!
//! | line | meaning |
//! |---|---|
//! | `# text` | a comment |
//! | `= key value` | a setting of the session; see `script.rs` for the keys |
//! | `C: text` | the client sends `text` and CR LF; `\r`, `\n`, `\0`, `\\` and `\xFF` are octets |
//! | `C+ text` | the same without CR LF; `C* n text` sends it n times |
//! | `@+5m` | time passes (`s`, `m`, `h`) |
//! | `!what` | something happens at our side, or the next answer; see `script.rs` |
//! | `S: text` | what the server said since the last line of the client |
//! | `* text` | what the machine told or asked its driver meanwhile |
//!
//! Lines of the client that follow each other are sent in one piece. `BLESS=1 cargo test` writes
//! the lines of the server anew; read the difference before it is committed.

#[path = "transcripts/player.rs"]
mod player;
#[path = "transcripts/script.rs"]
mod script;

use std::fs;
use std::path::PathBuf;

use player::Player;
use script::{Script, Step};
use smtp::server::BareNewlines;

fn transcripts() -> Vec<(PathBuf, Script)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .expect("the directory is there")
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    assert!(paths.len() > 10, "the transcripts were not found");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a transcript is UTF-8");
        let script = Script::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, script)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn the_server_says_what_the_transcripts_say() {
    let mut differ = Vec::new();
    for (path, script) in transcripts() {
        let mut player = Player::new(&script);
        let mut played = script.preamble.clone();
        played.extend(player.outcome().iter().map(|line| format!("{line}\n")));
        for block in &script.blocks {
            played.push_str(&block.text);
            played.extend(
                player
                    .play(&block.step)
                    .iter()
                    .map(|line| format!("{line}\n")),
            );
        }
        let written = fs::read_to_string(&path).expect("it was read before");
        if played == written {
            continue;
        }
        if std::env::var_os("BLESS").is_some() {
            bless(&path, &played);
        } else {
            differ.push(format!(
                "{}:\n{}",
                path.display(),
                difference(&written, &played)
            ));
        }
    }
    assert!(differ.is_empty(), "BLESS=1 rewrites\n{}", differ.join("\n"));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test writes the transcripts; the crate does not touch the disk"
)]
fn bless(path: &PathBuf, played: &str) {
    fs::write(path, played).expect("the transcript can be written");
}

fn difference(written: &str, played: &str) -> String {
    let first = written
        .lines()
        .zip(played.lines())
        .take_while(|(a, b)| a == b)
        .count();
    let line = |text: &str| text.lines().nth(first).unwrap_or("(end)").to_owned();
    format!(
        "line {}: written {:?}, played {:?}",
        first + 1,
        line(written),
        line(played)
    )
}

/// What the server says and tells does not depend on how the octets of the client were split.
#[test]
fn splitting_the_input_anywhere_changes_nothing() {
    for (path, script) in transcripts() {
        let steps = joined(&script);
        let whole = run(&script, &steps, usize::MAX, usize::MAX, Writes::AtEnd);
        // Whether a client waited before it went on is seen by whether the reply was written.
        let waited = whole.1.iter().all(|line| !line.contains("OUT_OF_STEP"));
        let writes = match waited {
            true => &[Writes::AtEnd, Writes::Always][..],
            false => &[Writes::AtEnd],
        };
        let longest = steps.iter().map(sent).max().unwrap_or(0);
        // Long ones repeat themselves: not every octet of them is a place of its own.
        let stride = 1 + longest / 500;
        for writes in writes {
            assert_eq!(
                run(&script, &steps, 1, usize::MAX, *writes),
                whole,
                "{}: octet by octet, {writes:?}",
                path.display()
            );
            for cut in (1..longest).step_by(stride) {
                let split = run(&script, &steps, usize::MAX, cut, *writes);
                assert_eq!(
                    split,
                    whole,
                    "{}: split at octet {cut}, {writes:?}",
                    path.display()
                );
            }
        }
    }
}

/// Commands and octets in no order that anybody would send, the same at every run.
#[test]
fn garbage_is_answered_the_same_however_it_is_split() {
    const WORDS: [&str; 24] = [
        "EHLO a\r\n",
        "HELO a\r\n",
        "MAIL FROM:<a@b>\r\n",
        "MAIL FROM:<a@b> BODY=BINARYMIME\r\n",
        "RCPT TO:<c@d>\r\n",
        "RCPT TO:<c@d>\r\n",
        "DATA\r\n",
        "DATA\r\n",
        "BDAT 3\r\n",
        "BDAT 0\r\n",
        "BDAT 5 LAST\r\n",
        "BDAT 0 LAST\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "QUIT\r\n",
        ".\r\n",
        "\r\n.\r\n",
        "\r\n",
        ".",
        "\r",
        "\n",
        "\0",
        "x",
        "text\r\n",
    ];
    let mut script = Script::parse("").expect("an empty transcript is one");
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        // Knuth's MMIX generator; the high bits are the random ones.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 40).expect("24 bits") % below
    };
    for round in 0..1500 {
        script.settings.newlines = match round % 2 {
            0 => BareNewlines::Normalize,
            _ => BareNewlines::Refuse,
        };
        let begin = "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n".to_owned();
        let text = (0..30).fold(begin, |text, _| text + WORDS[random(WORDS.len())]);
        let steps = [Step::Send(text.into_bytes()), Step::Eof];
        let whole = run(&script, &steps, usize::MAX, usize::MAX, Writes::AtEnd);
        for piece in [1, 2 + random(20)] {
            assert_eq!(
                run(&script, &steps, piece, usize::MAX, Writes::AtEnd),
                whole,
                "{:?}",
                steps[0]
            );
        }
    }
}

fn sent(step: &Step) -> usize {
    match step {
        Step::Send(octets) => octets.len(),
        _ => 0,
    }
}

/// All that a client sends until something else happens, in one piece.
fn joined(script: &Script) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in &script.blocks {
        match (steps.last_mut(), &block.step) {
            (Some(Step::Send(before)), Step::Send(octets)) => before.extend_from_slice(octets),
            (_, Step::Nothing) => {}
            (_, step) => steps.push(step.clone()),
        }
    }
    steps
}

/// When what the server says while a client sends is written.
#[derive(Clone, Copy, Debug)]
enum Writes {
    /// After each piece that the client sends.
    Always,
    /// After all that the client sends at a time.
    AtEnd,
}

/// What the server said, and what it told: two lists, because replies that come earlier or later
/// than a question are still the same.
fn run(
    script: &Script,
    steps: &[Step],
    piece: usize,
    cut: usize,
    writes: Writes,
) -> (Vec<String>, Vec<String>) {
    let mut player = Player::new(script);
    let mut lines = player.outcome();
    for step in steps {
        match step {
            Step::Send(octets) => {
                let (begin, end) = octets.split_at(cut.min(octets.len()));
                for part in begin.chunks(piece).chain(end.chunks(piece)) {
                    lines.extend(player.feed(part));
                    if let Writes::Always = writes {
                        lines.extend(player.outcome());
                    }
                }
                lines.extend(player.outcome());
            }
            other => lines.extend(player.play(other)),
        }
    }
    // A driver that sees STARTTLS before what follows it begins a handshake, which then fails.
    lines.retain(|line| line != "* starttls");
    lines.into_iter().partition(|line| line.starts_with("S:"))
}
