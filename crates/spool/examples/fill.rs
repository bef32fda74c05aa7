//! Fills a spool with messages to many destinations, through the spool's own interface.
//!
//! `cargo run --release -p postern-spool --example fill -- /var/tmp/spool messages=1000000`
//! makes the same messages each time; only what lies where in the segments may differ.
//! `bench/scale` is what it is for.
//!
//! Syncs are left out until the end, which makes it some ten times quicker than mail would be.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, IoSlice, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mail::{
    BodyType, Client, Disposition, EnhancedStatus, Envelope, Mailbox, MessageId, Origin,
    Provenance, Recipient, Reply, ReplyCode, ReversePath, Security, Timestamp, TraceId,
};
use spool::{
    Commit, Content, Disk, DiskFile, Message, Options, Progress, RealDisk, RecipientState, Spool,
};

/// As many messages wait for the committer: several batches.
const IN_FLIGHT_MAX: usize = 2_000;

/// So many messages come between a message and its deferral, so that the two lie in different
/// segments, as they do in a queue that has grown old.
const DEFERRED_AFTER: usize = 20_000;

/// What is made; each can be given as `name=number`.
#[derive(Clone, Copy)]
struct Plan {
    /// How many messages.
    messages: u64,
    /// Octets of content of each.
    size: u64,
    /// Over how many destinations: `d0.test`, `d1.test`, …
    destinations: u64,
    /// How many of 1,000 messages are for `d0.test`; the others share the rest.
    first: u64,
    /// How many of 1,000 were tried before, and deferred.
    deferred: u64,
    /// The time of day, in milliseconds since 1970: all arrived before, and are due by then.
    now: u64,
    seed: u64,
    /// Zero leaves the spool as a killed process would.
    close: u64,
}

impl Plan {
    const DEFAULT: Self = Self {
        messages: 10_000,
        size: 4_096,
        destinations: 1_000,
        first: 900,
        deferred: 500,
        now: 1_795_500_000_000,
        seed: 1,
        close: 1,
    };

    fn set(&mut self, argument: &str) -> Option<()> {
        let (name, number) = argument.split_once('=')?;
        let place = match name {
            "messages" => &mut self.messages,
            "size" => &mut self.size,
            "destinations" => &mut self.destinations,
            "first" => &mut self.first,
            "deferred" => &mut self.deferred,
            "now" => &mut self.now,
            "seed" => &mut self.seed,
            "close" => &mut self.close,
            _ => return None,
        };
        *place = number.parse().ok()?;
        Some(())
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut plan = Plan::DEFAULT;
    let usage = || io::Error::other("fill DIRECTORY [NAME=NUMBER…]; see its source");
    let directory = arguments.next().ok_or_else(usage)?;
    for argument in arguments {
        plan.set(&argument).ok_or_else(usage)?;
    }
    let disk = Arc::new(Unsynced(RealDisk::open(Path::new(&directory))?));
    let mut entropy = [0; 32];
    entropy[..8].copy_from_slice(&plan.seed.to_le_bytes());
    let options = Options {
        outcome_delay: Duration::ZERO,
        ..Options::new(entropy)
    };
    let (spool, _) = Spool::open(disk, options).map_err(io::Error::other)?;
    let n_first = fill(&spool, plan)?;
    let n = spool.usage().n_messages;
    if plan.close == 0 {
        writeln!(
            io::stdout(),
            "{n} messages, {n_first} for d0.test, not closed"
        )?;
        io::stdout().flush()?;
        std::process::exit(0);
    }
    spool.close();
    writeln!(io::stdout(), "{n} messages, {n_first} for d0.test")
}

/// Returns how many are for the first destination.
fn fill(spool: &Spool, plan: Plan) -> io::Result<u64> {
    let mut random = Random(plan.seed);
    let mut accepting = VecDeque::new();
    let mut recording = VecDeque::new();
    let mut to_defer: VecDeque<Option<MessageId>> = VecDeque::new();
    let mut n_first = 0;
    for number in 0..plan.messages {
        let made = Made::draw(number, plan, &mut random);
        n_first += u64::from(made.destination == 0);
        let accepted = spool.accept(
            &made.message(plan),
            Content::Bytes(made.content(plan).into()),
        );
        accepting.push_back((accepted, made.is_deferred));
        if accepting.len() == IN_FLIGHT_MAX {
            to_defer.extend(settle(&mut accepting)?);
        }
        if to_defer.len() > DEFERRED_AFTER
            && let Some(Some(id)) = to_defer.pop_front()
        {
            recording.push_back(spool.progress(id, deferral(plan, &mut random)));
        }
        if recording.len() == IN_FLIGHT_MAX {
            recording
                .pop_front()
                .map_or(Ok(()), Commit::wait)
                .map_err(io::Error::other)?;
        }
    }
    while !accepting.is_empty() {
        to_defer.extend(settle(&mut accepting)?);
    }
    for id in to_defer.into_iter().flatten() {
        recording.push_back(spool.progress(id, deferral(plan, &mut random)));
    }
    for recorded in recording {
        recorded.wait().map_err(io::Error::other)?;
    }
    Ok(n_first)
}

type Accepting = VecDeque<(Commit<MessageId>, bool)>;

/// Waits for the oldest; gives its id where it is to be deferred.
fn settle(accepting: &mut Accepting) -> io::Result<Option<Option<MessageId>>> {
    let Some((accepted, is_deferred)) = accepting.pop_front() else {
        return Ok(None);
    };
    let id = accepted.wait().map_err(io::Error::other)?;
    Ok(Some(is_deferred.then_some(id)))
}

/// One message, as it was drawn.
struct Made {
    number: u64,
    destination: u64,
    is_deferred: bool,
    age_ms: u64,
    client: u64,
    user: u64,
}

impl Made {
    fn draw(number: u64, plan: Plan, random: &mut Random) -> Self {
        let others = plan.destinations.saturating_sub(1);
        let is_first = others == 0 || random.below(1_000) < plan.first;
        Self {
            number,
            destination: if is_first {
                0
            } else {
                1 + random.below(others)
            },
            is_deferred: random.below(1_000) < plan.deferred,
            // The older ones came first, as far as they came the same way.
            age_ms: 3_600_000 + random.below(60_000) + (plan.messages - number) * 20,
            client: random.below(5_000),
            user: random.below(20_000),
        }
    }

    fn message(&self, plan: Plan) -> Message {
        let arrived = Timestamp::from_unix_ms(plan.now.saturating_sub(self.age_ms));
        let address = |text: String| Mailbox::parse(&text).expect("invariant: it is made well");
        let to = address(format!("user{}@d{}.test", self.user, self.destination));
        let from = address(format!("sender{}@c{}.example.net", self.user, self.client));
        let [.., a, b] = self.client.to_be_bytes();
        Message {
            provenance: Provenance {
                trace: TraceId::new(arrived, u128::from(self.number)),
                origin: Origin::Outside,
                arrived,
                client: Some(Client {
                    address: Some(IpAddr::V4(Ipv4Addr::new(198, 18, a, b))),
                    port: 40_000,
                    helo: format!("mail.c{}.example.net", self.client).into(),
                    name: None,
                    security: Security::Plain,
                    extended: true,
                }),
                visited: vec!["input".parse().expect("invariant: it is a name")],
                about: None,
            },
            envelope: Envelope {
                sender: ReversePath::Mailbox(from),
                recipients: vec![Recipient::new(to)],
                body: BodyType::SevenBit,
                smtputf8: false,
                ret: None,
                envid: None,
            },
            key: None,
            handoff: None,
            next_due: arrived,
        }
    }

    fn content(&self, plan: Plan) -> Vec<u8> {
        const LINE: &str = "Whatever is said here is said again, until it is as long as asked.\r\n";
        let len = usize::try_from(plan.size).unwrap_or(0);
        let mut text = String::with_capacity(len + LINE.len());
        let _ = write!(text, "Message-ID: <{}@fill.test>\r\n\r\n", self.number);
        while text.len() + LINE.len() <= len {
            text.push_str(LINE);
        }
        text.into_bytes()
    }
}

/// An attempt that came to nothing; the next one is due by now.
fn deferral(plan: Plan, random: &mut Random) -> Progress {
    let reply = match random.below(3) {
        0 => Reply::new(
            ReplyCode::new(450),
            Some(EnhancedStatus::new(4, 4, 1)),
            "no connection to the destination could be made",
        ),
        1 => Reply::new(
            ReplyCode::new(451),
            Some(EnhancedStatus::new(4, 7, 1)),
            &format!(
                "greylisted, try again in {} seconds",
                60 + random.below(900)
            ),
        ),
        _ => Reply::new(
            ReplyCode::new(421),
            Some(EnhancedStatus::new(4, 3, 2)),
            "too many connections from your network; see https://postmaster.example.net/limits",
        ),
    };
    let state = RecipientState {
        disposition: Disposition::Pending,
        attempts: 1 + u32::try_from(random.below(8)).unwrap_or(0),
        reply: Some(reply),
        handoff: None,
    };
    Progress {
        recipients: vec![(0, state)],
        next_due: Timestamp::from_unix_ms(plan.now.saturating_sub(random.below(3_600_000))),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n.max(1)
    }
}

/// A disk that is in no hurry: whoever started this syncs at the end.
struct Unsynced(RealDisk);

struct UnsyncedFile(Arc<dyn DiskFile>);

impl Disk for Unsynced {
    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.0.lock(name)
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.0.create_dir(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(UnsyncedFile(self.0.create(name)?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(UnsyncedFile(self.0.open(name)?)))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn available(&self) -> u64 {
        self.0.available()
    }
}

impl DiskFile for UnsyncedFile {
    fn file_len(&self) -> io::Result<u64> {
        self.0.file_len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }

    fn written_len(&self) -> io::Result<u64> {
        self.0.written_len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.0.write_at(offset, parts)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
