//! The standard error stream as the log, and as its mirror.

use rustix::pipe::{PipeFlags, pipe_with};

use super::*;

/// More than a pipe holds.
const N_EVENTS: usize = 2_000;

fn pipe(flags: PipeFlags) -> (OwnedFd, OwnedFd) {
    pipe_with(flags).expect("a pipe")
}

fn batch(from: usize) -> Decoded {
    let event = |n: usize| instance(&format!("number {n} {}", "x".repeat(200)));
    Decoded {
        lost: Lost::default(),
        events: (from..from + 100).map(event).collect(),
    }
}

/// A log on the stream, and a mirror that nobody looks at.
fn log_on(stream: OwnedFd, file: Option<PathBuf>, mirror: OwnedFd) -> Log {
    let streams = Some((Stream::new(stream), Stream::new(mirror)));
    Log::start_with(name(), settings(file), Clock::start(), streams).expect("a thread")
}

/// What a reader gets that begins when `begin` says so.
fn read_when(begin: std::sync::mpsc::Receiver<()>, stream: OwnedFd) -> String {
    begin.recv().expect("begun");
    let mut text = String::new();
    std::fs::File::from(stream)
        .read_to_string(&mut text)
        .expect("UTF-8");
    text
}

fn numbers(text: &str) -> Vec<usize> {
    let number = |line: &str| {
        assert!(
            line.ends_with(&format!("{}\"", "x".repeat(200))),
            "torn: {line}"
        );
        let words: Vec<&str> = said(line).split(' ').collect();
        words[2].parse().expect(line)
    };
    text.lines().map(number).collect()
}

/// Writes all events to a stream whose reader begins when the first write is stuck.
fn write_to_slow_reader(flags: PipeFlags) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let (output, input) = pipe(flags);
    // The reader's own end waits.
    rustix::io::ioctl_fionbio(&output, false).expect("blocking");
    let (begin, begun) = channel();
    let reading = thread::spawn(move || read_when(begun, output));
    runtime.block_on(async {
        let (_, unused) = pipe(PipeFlags::CLOEXEC);
        let log = log_on(input, None, unused);
        for from in (0..N_EVENTS).step_by(100) {
            let turn = log.turn().await;
            let name = name();
            let mut writing = std::pin::pin!(turn.write(&name, batch(from)));
            // Two batches fit into a pipe, and the third does not.
            if from == 200 {
                std::future::poll_fn(|context| {
                    assert!(writing.as_mut().poll(context).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
                begin.send(()).expect("a reader");
            }
            writing.await.expect("written");
        }
    });
    reading.join().expect("read")
}

#[test]
fn a_slow_reader_of_a_log_on_a_stream_gets_every_line_whole() {
    let text = write_to_slow_reader(PipeFlags::CLOEXEC);
    assert_eq!(numbers(&text), (0..N_EVENTS).collect::<Vec<_>>());
}

#[test]
fn a_stream_that_others_made_non_blocking_takes_every_line_whole() {
    let text = write_to_slow_reader(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
    assert_eq!(numbers(&text), (0..N_EVENTS).collect::<Vec<_>>());
}

#[test]
fn a_stream_whose_reader_went_away_is_shown_and_its_lines_wait() {
    let dir = Dir::new("closed");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let (output, input) = pipe(PipeFlags::CLOEXEC);
    drop(output);
    runtime.block_on(async {
        let (_, unused) = pipe(PipeFlags::CLOEXEC);
        let log = log_on(input, None, unused);
        let turn = log.turn().await;
        let name = name();
        let writing = turn.write(&name, batch(0));
        let reload = async {
            let now = Timestamp::default();
            while !log.is_stuck(now) {
                tokio::task::yield_now().await;
            }
            let trouble = log.json(now)["trouble"].to_string();
            assert!(
                trouble.contains("standard error stream cannot be written"),
                "{trouble}"
            );
            // A reload names a file: what waits goes there.
            log.set(settings(Some(dir.log())));
        };
        let (written, ()) = tokio::join!(writing, reload);
        written.expect("written");
        assert!(!log.is_stuck(Timestamp::default()));
    });
    assert_eq!(
        numbers(&dir.read("postern.log")),
        (0..100).collect::<Vec<_>>()
    );
}

#[test]
fn what_a_slow_reader_of_the_mirror_misses_is_counted() {
    let dir = Dir::new("mirror");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let (output, input) = pipe(PipeFlags::CLOEXEC);
    let copy = rustix::io::dup(&input).expect("a copy");
    let n_batches = 400;
    runtime.block_on(async {
        let log = log_on(copy, Some(dir.log()), input);
        for number in 0..n_batches {
            let turn = log.turn().await;
            turn.write(&name(), batch(number * 100))
                .await
                .expect("written");
        }
        let (begin, begun) = channel();
        let reading = thread::spawn(move || read_when(begun, output));
        begin.send(()).expect("a reader");
        // Until one finds room again, which comes with the number of those that did not.
        loop {
            let turn = log.turn().await;
            let last = batch(n_batches * 100);
            turn.write(&name(), last).await.expect("written");
            if log.json(Timestamp::default())["mirror_waiting"].as_u64() < Some(1 << 20) {
                break;
            }
        }
        drop(log);
        let text = reading.join().expect("read");
        let (mut n_missing, mut n_lines) = (0, 0);
        for line in text.lines() {
            match said(line).split(' ').collect::<Vec<_>>()[..] {
                ["alarm", first, ..] => {
                    let number = first.trim_start_matches("text=\"");
                    n_missing += number.parse::<usize>().expect(line);
                }
                _ => n_lines += numbers(line).len(),
            }
        }
        assert!(n_missing > 0);
        let file = dir.read("postern.log");
        assert_eq!(n_lines + n_missing, file.lines().count());
    });
}
