//! The one table of all settings: key, form, range, default, meaning, and the reason for the
//! default.
//!
//! The reader (`section`) walks it, so a key that is missing here is an unknown key, and
//! `docs/reference/settings.md` is made of it.

mod exchangers;

use exchangers::MX;

/// One setting.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the reference is made of the table by a test")
)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Preset,
    /// What it sets, and why the default is what it is.
    pub(super) meaning: &'static str,
}

/// The form of a setting's value.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the reference is made of the table by a test")
)]
pub(super) enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number in this range.
    Count { min: u32, max: u32 },
    /// A time in this range, in seconds.
    Duration { min: u64, max: u64 },
    /// A name that is known and cannot be used yet; the text says what can be used today.
    Later(&'static str),
    /// A list of texts of this form.
    List(&'static str),
    /// Tables, each under a name of its own.
    Named(&'static [Setting]),
    /// A size in this range, in octets.
    Size { min: u64, max: u64 },
    /// A table.
    Table(&'static [Setting]),
    /// A list of tables.
    Tables(&'static [Setting]),
    /// A text of this form.
    Text(&'static str),
    /// A text of this form, or a list of such.
    Texts(&'static str),
    /// A table that holds exactly one of these.
    Variant(&'static [Setting]),
}

impl Setting {
    /// What stands in it where it is a table: its heading, its path and its settings; `path` is
    /// that of the table that it stands in.
    pub(super) fn table(&self, path: &str) -> Option<(String, String, &'static [Self])> {
        let path = match path {
            "" => self.key.to_owned(),
            _ => format!("{path}.{}", self.key),
        };
        Some(match self.kind {
            Kind::Named(inner) => (format!("[{path}.NAME]"), format!("{path}.NAME"), inner),
            Kind::Table(inner) => (format!("[{path}]"), path, inner),
            Kind::Tables(inner) => (format!("[[{path}]]"), path, inner),
            Kind::Variant(inner) => (format!("{} = {{ … }}", self.key), path, inner),
            Kind::Choice(_)
            | Kind::Count { .. }
            | Kind::Duration { .. }
            | Kind::Later(_)
            | Kind::List(_)
            | Kind::Size { .. }
            | Kind::Text(_)
            | Kind::Texts(_) => return None,
        })
    }
}

/// What holds where a setting is not given. The texts are in the form of the setting itself.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the reference is made of the table by a test")
)]
pub(super) enum Preset {
    /// The same for all.
    Always(&'static str),
    /// By the role of the instance.
    ByRole {
        input: &'static str,
        output: &'static str,
        submission: &'static str,
    },
    /// Nothing; the text says what that means.
    Nothing(&'static str),
    /// It must be given; the text says how, as the end of a sentence.
    Required(&'static str),
}

const DAY: u64 = 86_400;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The most that `message_size` can be, in octets.
pub const MESSAGE_SIZE_MAX: u64 = 16 * GIB;
/// The most that `line_length` can be, in octets.
pub const LINE_LENGTH_MAX: u64 = 16 * MIB;
/// The most that `recipients` can be.
pub const RECIPIENTS_MAX: u32 = 50_000;

const PATH: &str = "absolute path, or one that begins with `{state}/`";
const DOMAIN: &str = "domain name";

/// Where state lies when nothing says so.
pub const STATE_DEFAULT: &str = "/var/lib/postern";

/// The settings at the top of a file.
pub(super) static COMMON: &[Setting] = &[
    Setting {
        key: "hostname",
        kind: Kind::Text(DOMAIN),
        default: Preset::Required("such as `hostname = \"mail.example.org\"`"),
        meaning: "The name this system greets with and writes into its trace fields. Others \
                  check it against DNS, so it is stated and not guessed. An address in its place \
                  is written as a literal, such as `[192.0.2.1]` (RFC 5321 §4.1.3).",
    },
    Setting {
        key: "state",
        kind: Kind::Text("path; a relative one counts from the working directory"),
        default: Preset::Always(STATE_DEFAULT),
        meaning: "The directory of spools, control socket, log and everything else that must \
                  survive a restart. `--state` replaces it. In other paths it is `{state}`.",
    },
    Setting {
        key: "stop_timeout",
        kind: Kind::Duration { min: 1, max: 600 },
        default: Preset::Always("30s"),
        meaning: "How long a stop waits for sessions and deliveries in flight. What is \
                  acknowledged is safe at any time; the wait only spares peers a repetition. \
                  Below the 90 seconds after which service managers lose patience.",
    },
    Setting {
        key: "log",
        kind: Kind::Table(LOG),
        default: Preset::Nothing("the defaults below"),
        meaning: "Where and how the one log of all instances is written.",
    },
    Setting {
        key: "instance",
        kind: Kind::Named(INSTANCE),
        default: Preset::Required("such as `[instance.output]`"),
        meaning: "The instances, each under its name: 1 to 32 of `a`-`z`, `0`-`9` and `-`, \
                  beginning with a letter.",
    },
];

static LOG: &[Setting] = &[
    Setting {
        key: "file",
        kind: Kind::Text("absolute path, one that begins with `{state}/`, or `stderr`"),
        default: Preset::Always("{state}/log/postern.log"),
        meaning: "The file. `stderr` leaves time, rotation and storage to the service manager.",
    },
    Setting {
        key: "format",
        kind: Kind::Choice(&["text", "json"]),
        default: Preset::Always("text"),
        meaning: "The form of a line: `text` for people and grep, `json` for machines. The \
                  content is the same.",
    },
    Setting {
        key: "rotate_size",
        kind: Kind::Size {
            min: MIB,
            max: 1 << 40,
        },
        default: Preset::Always("64 MiB"),
        meaning: "At this size the file is put aside and a new one begun: about 300,000 lines.",
    },
    Setting {
        key: "rotate_keep",
        kind: Kind::Count { min: 1, max: 1_000 },
        default: Preset::Always("8"),
        meaning: "How many files put aside are kept: with the default size, half a gibibyte.",
    },
];

static INSTANCE: &[Setting] = &[
    Setting {
        key: "role",
        kind: Kind::Choice(&["submission", "input", "output"]),
        default: Preset::Required("which is `submission`, `input` or `output`"),
        meaning: "The preset that the instance starts from. `submission` takes mail from \
                  programs of this machine, `input` faces the world, `output` alone delivers.",
    },
    Setting {
        key: "listen",
        kind: Kind::List("`ADDRESS:PORT`, `tls://ADDRESS:PORT` or `unix:PATH`"),
        default: Preset::Nothing("no listener: right for an output, an error elsewhere"),
        meaning: "Where it listens. `tls://` begins with a TLS handshake. `[::]` takes IPv4 as \
                  well.",
    },
    Setting {
        key: "tls",
        kind: Kind::Table(TLS),
        default: Preset::Nothing("no TLS: STARTTLS is not offered"),
        meaning: "The certificate it shows. With one, every listener in the clear offers \
                  STARTTLS. When its files change, the new pair is used within 10 seconds; one \
                  that cannot be used is an alarm, and the one before stays.",
    },
    Setting {
        key: "next",
        kind: Kind::Text("name of an instance, or `smtp://HOST:PORT`"),
        default: Preset::Nothing("only its own routes; required without any"),
        meaning: "Who gets what no route of its own takes. An instance is reached by a private \
                  channel and nothing is lost or doubled between the two; `smtp://` is any other \
                  mail transfer agent, by plain SMTP.",
    },
    Setting {
        key: "route",
        kind: Kind::Tables(ROUTE),
        default: Preset::Nothing("everything goes to `next`; required for an output"),
        meaning: "What becomes of which recipients. The first route that matches a recipient \
                  decides, also by refusing.",
    },
    Setting {
        key: "limits",
        kind: Kind::Table(LIMITS),
        default: Preset::Nothing("the defaults below"),
        meaning: "What a client may ask of it.",
    },
    Setting {
        key: "handoff",
        kind: Kind::Table(HANDOFF),
        default: Preset::Nothing("the defaults below"),
        meaning: "How it hands over to the next instance.",
    },
    Setting {
        key: "queue",
        kind: Kind::Table(QUEUE),
        default: Preset::Nothing("the defaults below"),
        meaning: "When and how often it tries what lies in its spool.",
    },
    Setting {
        key: "peer",
        kind: Kind::Tables(PEER),
        default: Preset::Nothing("no peers: every client is what it seems"),
        meaning: "Mail transfer agents in front of this instance whose word is taken. The first \
                  one that contains the client's address counts.",
    },
    Setting {
        key: "bare_newlines",
        kind: Kind::Choice(&["refuse", "normalize"]),
        default: Preset::Always("refuse"),
        meaning: "What a carriage return or line feed on its own means: the message is refused, \
                  or the line end is completed. It is never passed on as it is, because servers \
                  that disagree about it let one message smuggle another.",
    },
    Setting {
        key: "checks",
        kind: Kind::Table(CHECKS),
        default: Preset::Nothing("the defaults below"),
        meaning: "What is checked of its clients. That a stranger reaches our recipients only is \
                  always checked, and no setting changes it. Of clients that `peer` names only \
                  recipients are checked.",
    },
];

static CHECKS: &[Setting] = &[
    Setting {
        key: "early_talker",
        kind: Kind::Table(EARLY_TALKER),
        default: Preset::Nothing("the defaults below"),
        meaning: "Before the greeting: does the client wait for it? A mail server does.",
    },
    Setting {
        key: "hello_identity",
        kind: Kind::Table(OBSERVED),
        default: Preset::Nothing("the defaults below"),
        meaning: "At HELO: is the name this host's own, or an address that is not the client's? \
                  Programs \
                  of this machine are left alone.",
    },
    Setting {
        key: "own_sender",
        kind: Kind::Table(OBSERVED),
        default: Preset::Nothing("the defaults below"),
        meaning: "At MAIL: does a stranger give a sender in a domain of ours? Forwarders and \
                  mailing \
                  lists that keep the sender do so honestly: observe before you enforce it.",
    },
    Setting {
        key: "recipient_validity",
        kind: Kind::Table(RECIPIENT_VALIDITY),
        default: Preset::Nothing("the defaults below"),
        meaning: "At RCPT: does the recipient exist? Else it is refused, and no bounce is made.",
    },
    Setting {
        key: "bounce_recipients",
        kind: Kind::Table(OBSERVED),
        default: Preset::Nothing("the defaults below"),
        meaning: "At DATA: does mail from the null sender have several recipients? A bounce has \
                  one.",
    },
    Setting {
        key: "repeated_field",
        kind: Kind::Table(OBSERVED),
        default: Preset::Nothing("the defaults below"),
        meaning: "Of the content: does the header have more than one From, or more than one Date? \
                  It should have one of each.",
    },
];

/// What a mode means.
const MODE: &str = "`enforce` carries out what it finds; `observe` changes no reply, and logs what \
                    it would do; `off` does not ask it.";

static OBSERVED: &[Setting] = &[
    Setting {
        key: "mode",
        kind: Kind::Choice(&["enforce", "observe", "off"]),
        default: Preset::Always("observe"),
        meaning: MODE,
    },
    Setting {
        key: "action",
        kind: Kind::Choice(&["refuse", "defer", "hold", "discard"]),
        default: Preset::Always("refuse"),
        meaning: "What is done where it finds something: refuse permanently, or for now; or accept \
                  the message, and hold it for an operator, or drop it.",
    },
];

static EARLY_TALKER: &[Setting] = &[
    Setting {
        key: "mode",
        kind: Kind::Choice(&["enforce", "observe", "off"]),
        default: Preset::Always("off"),
        meaning: "As of the other checks. Off, because every client would wait for it.",
    },
    Setting {
        key: "action",
        kind: Kind::Choice(&["refuse", "defer"]),
        default: Preset::Always("refuse"),
        meaning: "What is done where it finds something: refuse the client permanently, or for \
                  now.",
    },
    Setting {
        key: "wait",
        kind: Kind::Duration { min: 1, max: 60 },
        default: Preset::Always("6s"),
        meaning: "For how long the greeting waits. Mail servers wait five minutes for it \
                  (RFC 5321 §4.5.3.2.1); impatient programs show themselves within seconds.",
    },
];

static RECIPIENT_VALIDITY: &[Setting] = &[Setting {
    key: "mode",
    kind: Kind::Choice(&["enforce", "observe", "off"]),
    default: Preset::Always("enforce"),
    meaning: "As of the other checks. Where it is not enforced, mail to nobody is accepted, and \
              its sender, often a forged one, gets a bounce.",
}];

static TLS: &[Setting] = &[
    Setting {
        key: "certificate",
        kind: Kind::Text(PATH),
        default: Preset::Required("such as `certificate = \"/etc/postern/tls/fullchain.pem\"`"),
        meaning: "PEM file: the certificate, then its chain.",
    },
    Setting {
        key: "key",
        kind: Kind::Text(PATH),
        default: Preset::Required("such as `key = \"/etc/postern/tls/privkey.pem\"`"),
        meaning: "PEM file: the private key.",
    },
    Setting {
        key: "missing",
        kind: Kind::Choice(&["refuse", "self-signed"]),
        default: Preset::Always("refuse"),
        meaning: "What to do where neither file exists: refuse the configuration, or make a \
                  self-signed certificate for `hostname` and keep it there. Mail servers that \
                  do not verify take it; people's mail programs warn.",
    },
];

static ROUTE: &[Setting] = &[
    Setting {
        key: "domain",
        kind: Kind::Texts("domain name, `*.DOMAIN` (all below it) or `*` (all)"),
        default: Preset::Nothing("the route has an `address` instead"),
        meaning: "Which recipients: those in this domain, in Unicode or in A-labels (`xn--…`): \
                  both are one domain.",
    },
    Setting {
        key: "address",
        kind: Kind::Texts("complete address"),
        default: Preset::Nothing("the route has a `domain` instead"),
        meaning: "Which recipients: this one.",
    },
    Setting {
        key: "users",
        kind: Kind::List("local part"),
        default: Preset::Nothing("the transport finds out; a Maildir must exist"),
        meaning: "Who exists in the domain. Anybody else in it is refused as no such user. \
                  The Maildirs of those listed here, or in `address`, are made when they are \
                  needed.",
    },
    Setting {
        key: "to",
        kind: Kind::Variant(TARGET),
        default: Preset::Required("such as `to = { maildir = \"/var/mail/{domain}/{local}\" }`"),
        meaning: "The next step.",
    },
    Setting {
        key: "open_to",
        kind: Kind::Choice(&["anyone", "ours"]),
        default: Preset::Nothing(
            "`anyone`, but `ours` where the route relays or matches every domain",
        ),
        meaning: "Whose mail it takes. `ours` refuses mail from outside, which is what keeps a \
                  relay closed; state `anyone` for a domain of your own that another host serves.",
    },
];

static TARGET: &[Setting] = &[
    Setting {
        key: "maildir",
        kind: Kind::Text("absolute path, or `{state}/…`, with `{domain}` and `{local}` in it"),
        default: Preset::Nothing(""),
        meaning: "Delivers into a Maildir. `{local}` is the local part without its delimiter, \
                  in lower case, and `{domain}` the domain in lower case and A-labels. \
                  The directory before the first placeholder must exist, as must \
                  the one for a `domain` where Maildirs must; while it does not, or is empty as \
                  a mount point is, mail waits and an alarm tells so.",
    },
    Setting {
        key: "relay",
        kind: Kind::Text("`HOST:PORT`; port 25 where none is given"),
        default: Preset::Nothing(""),
        meaning: "Sends to this host, without a lookup of mail exchangers. In a front only the \
                  host of its `next`.",
    },
    Setting {
        key: "mx",
        kind: Kind::Table(MX),
        default: Preset::Nothing(""),
        meaning: "Sends to the mail exchangers of the recipient's domain; `mx = {}` is enough. In \
                  an output only. TLS is used where an exchanger offers it. Mail for a domain \
                  whose best exchanger is this host, and that no route before takes, is held.",
    },
    Setting {
        key: "hold",
        kind: Kind::Text("why, one line"),
        default: Preset::Nothing(""),
        meaning: "Keeps it in the queue until an operator releases it.",
    },
    Setting {
        key: "error",
        kind: Kind::Text("status and text, such as `5.1.1 no such user`"),
        default: Preset::Nothing(""),
        meaning: "Refuses it: for good with a status of class 5, for now with class 4.",
    },
    Setting {
        key: "discard",
        kind: Kind::Text("why, one line"),
        default: Preset::Nothing(""),
        meaning: "Takes it and throws it away; the log says so.",
    },
    Setting {
        key: "lmtp",
        kind: Kind::Later("deliver to a `maildir`"),
        default: Preset::Nothing(""),
        meaning: "Delivers by LMTP.",
    },
    Setting {
        key: "mbox",
        kind: Kind::Later("deliver to a `maildir`"),
        default: Preset::Nothing(""),
        meaning: "Delivers by appending to a file.",
    },
    Setting {
        key: "pipe",
        kind: Kind::Later("deliver to a `maildir`"),
        default: Preset::Nothing(""),
        meaning: "Gives it to a program.",
    },
];

static LIMITS: &[Setting] = &[
    Setting {
        key: "connections",
        kind: Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        default: Preset::ByRole {
            input: "2000",
            output: "500",
            submission: "500",
        },
        meaning: "Connections at a time over all listeners; more are answered 421. An idle one \
                  costs a few KiB, a hostile one up to 18, and under TLS up to 54: with those of \
                  the contents that all share, 2,000 in plaintext stay below 100 MiB.",
    },
    Setting {
        key: "connections_per_client",
        kind: Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        default: Preset::ByRole {
            input: "100",
            output: "500",
            submission: "100",
        },
        meaning: "Connections at a time from one address, so that no single client takes them \
                  all. Programs of this machine share one address.",
    },
    Setting {
        key: "connections_per_user",
        kind: Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        default: Preset::Always("100"),
        meaning: "Connections at a time from the programs of one user of this machine, where the \
                  kernel says which user that is: by a socket file, and at a submission by TCP \
                  over loopback, too. Root and the user that runs the system have no such bound, \
                  and at a submission one in 20 of `connections`, 16 at most, is for them alone.",
    },
    Setting {
        key: "recipients",
        kind: Kind::Count {
            min: 100,
            max: RECIPIENTS_MAX,
        },
        default: Preset::Always("1000"),
        meaning: "Recipients of one transaction; more are answered 452 and the client sends the \
                  rest in another. RFC 5321 §4.5.3.1.8 asks for 100 at least.",
    },
    Setting {
        key: "message_size",
        kind: Kind::Size {
            min: 64 << 10,
            max: MESSAGE_SIZE_MAX,
        },
        default: Preset::ByRole {
            input: "50 MiB",
            output: "51 MiB",
            submission: "50 MiB",
        },
        meaning: "Octets of a message, announced as SIZE. Base64 adds a third: 50 MiB carry an \
                  attachment of 35 MB, the most that big providers take. An output has room for \
                  the trace fields that are added on the way.",
    },
    Setting {
        key: "command_length",
        kind: Kind::Size {
            min: 512,
            max: 64 << 10,
        },
        default: Preset::Always("4 KiB"),
        meaning: "Octets of a command line with its CR LF. RFC 5321 §4.5.3.1.4 asks for 512, \
                  extensions add about 1,500.",
    },
    Setting {
        key: "line_length",
        kind: Kind::Size {
            min: 998,
            max: LINE_LENGTH_MAX,
        },
        default: Preset::Always("64 KiB"),
        meaning: "Octets of a line of content. RFC 5322 §2.1.1 allows 998, but programs send \
                  whole paragraphs of HTML in one line.",
    },
    Setting {
        key: "errors",
        kind: Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        default: Preset::ByRole {
            input: "20",
            output: "100",
            submission: "100",
        },
        meaning: "Refused commands that may pass without a message being accepted; then the \
                  connection ends. Those who guess addresses have to connect again.",
    },
    Setting {
        key: "commands",
        kind: Kind::Count {
            min: 10,
            max: 1_000_000,
        },
        default: Preset::ByRole {
            input: "200",
            output: "1000",
            submission: "1000",
        },
        meaning: "Commands that may pass without a message being accepted; accepted recipients \
                  and full chunks are not counted. Then the connection ends.",
    },
    Setting {
        key: "command_timeout",
        kind: Kind::Duration { min: 1, max: 3_600 },
        default: Preset::Always("5m"),
        meaning: "How long a whole command line may take. RFC 5321 §4.5.3.2.7 asks for five \
                  minutes.",
    },
    Setting {
        key: "data_timeout",
        kind: Kind::Duration { min: 1, max: 3_600 },
        default: Preset::Always("3m"),
        meaning: "How long content may pause, and the credit from which a slow client draws. \
                  RFC 5321 §4.5.3.2.5 gives the client three minutes for a block.",
    },
    Setting {
        key: "data_rate_min",
        kind: Kind::Size { min: 1, max: MIB },
        default: Preset::ByRole {
            input: "128 B",
            output: "1 B",
            submission: "1 B",
        },
        meaning: "Octets a second that content must bring beyond that credit. The slowest \
                  radio links in use bring ten times the default.",
    },
    Setting {
        key: "tls_timeout",
        kind: Kind::Duration { min: 1, max: 600 },
        default: Preset::Always("60s"),
        meaning: "How long a TLS handshake may take: a few round trips, on the worst of links.",
    },
    Setting {
        key: "answer_timeout",
        kind: Kind::Duration { min: 5, max: 540 },
        default: Preset::Always("60s"),
        meaning: "Everything between the end of data and its reply, handoff and commit included; \
                  past it the client is answered 451. Well below the ten minutes after which a \
                  client gives up and sends again (RFC 5321 §4.5.3.2.6).",
    },
];

static HANDOFF: &[Setting] = &[
    Setting {
        key: "patience",
        kind: Kind::Duration { min: 0, max: 300 },
        default: Preset::Always("2s"),
        meaning: "How long the next instance may take, from the end of data to its last reply, \
                  before the own spool is used. A disk that stalls for a second costs a wait and \
                  no second write; docs/decisions/2026-11-27-patience.md has the figures.",
    },
    Setting {
        key: "connections",
        kind: Kind::Count { min: 1, max: 1_000 },
        default: Preset::Always("64"),
        meaning: "Handoffs at a time. More than enough to fill each group commit of the next \
                  instance.",
    },
    Setting {
        key: "questions_kept",
        kind: Kind::Count {
            min: 0,
            max: 10_000_000,
        },
        default: Preset::Always("10000"),
        meaning: "Answers about recipients that are remembered, so that the next instance is \
                  not asked for each message; about 200 octets each.",
    },
    Setting {
        key: "accepted_for",
        kind: Kind::Duration { min: 0, max: DAY },
        default: Preset::Always("60s"),
        meaning: "How long an answer that accepts a recipient is used without asking again.",
    },
    Setting {
        key: "refused_for",
        kind: Kind::Duration { min: 0, max: DAY },
        default: Preset::Always("10s"),
        meaning: "How long an answer that refuses is used. Shorter: a user who was just added \
                  should not wait.",
    },
    Setting {
        key: "stale_for",
        kind: Kind::Duration {
            min: 0,
            max: 7 * DAY,
        },
        default: Preset::Always("12h"),
        meaning: "How old an answer that accepts may be and still serve while the next instance \
                  is away; recipients without one are answered 451. A night without an operator.",
    },
];

static QUEUE: &[Setting] = &[
    Setting {
        key: "retry",
        kind: Kind::List("time"),
        default: Preset::Always("1m 3m 10m 30m"),
        meaning: "The pauses after the first attempts; from then on each is twice the one before \
                  it. The first ones meet greylisting, which mostly ends within minutes.",
    },
    Setting {
        key: "retry_max",
        kind: Kind::Duration { min: 60, max: DAY },
        default: Preset::Always("4h"),
        meaning: "The longest pause. RFC 5321 §4.5.4.1 advises hours for what failed for long.",
    },
    Setting {
        key: "delay_warning",
        kind: Kind::Later("leave it out; `postern queue older=4h` shows what is late"),
        default: Preset::Nothing("nobody is told before `expiry`"),
        meaning: "The age at which the sender is told once that the message is late.",
    },
    Setting {
        key: "expiry",
        kind: Kind::Duration {
            min: 60,
            max: 30 * DAY,
        },
        default: Preset::Always("5d"),
        meaning: "The age at which it is given up and the sender told. RFC 5321 §4.5.4.1 asks \
                  for four to five days, so that a dead host can be mended over a weekend.",
    },
    Setting {
        key: "messages",
        kind: Kind::Count {
            min: 1,
            max: 100_000_000,
        },
        default: Preset::ByRole {
            input: "250000",
            output: "1000000",
            submission: "250000",
        },
        meaning: "Messages from outside that may wait, and as many of our own. From half of it on, \
                  clients from outside wait up to a second before each message; at it who brings \
                  more is answered 452. A waiting message takes about 300 octets of memory; two \
                  hours at 30 a second are 216,000.",
    },
    Setting {
        key: "concurrency",
        kind: Kind::Count {
            min: 1,
            max: 10_000,
        },
        default: Preset::Always("100"),
        meaning: "Attempts at a time over all sites. Half of them at most are at sites that are \
                  down, and a fifth is kept for sites that have answered.",
    },
    Setting {
        key: "concurrency_per_site",
        kind: Kind::Count { min: 1, max: 1_000 },
        default: Preset::Always("20"),
        meaning: "Attempts at a time at one site, so that none takes all and none is flooded. A \
                  site that has some begins another only while more are free than it has (twice as \
                  many, while nothing is known of it), so it never has more than half of \
                  `concurrency`.",
    },
];

static PEER: &[Setting] = &[
    Setting {
        key: "network",
        kind: Kind::Text("address or range, such as `192.0.2.25` or `192.0.2.0/24`"),
        default: Preset::Required("such as `network = \"192.0.2.25\"`"),
        meaning: "Where it connects from.",
    },
    Setting {
        key: "origin",
        kind: Kind::Text("`outside`, `auth:NAME` or `uid:NUMBER`"),
        default: Preset::Always("outside"),
        meaning: "The origin of the mail that it brings. It is stated, never guessed: what is \
                  not `outside` may be relayed.",
    },
    Setting {
        key: "xforward",
        kind: Kind::Choice(&["refused", "allowed"]),
        default: Preset::Always("refused"),
        meaning: "Whether it may say who its client was, by XFORWARD.",
    },
];
