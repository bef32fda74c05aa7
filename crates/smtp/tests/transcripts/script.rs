//! Reads a transcript.

use std::time::Duration;

use mail::{EnhancedStatus, Reply, ReplyCode, Security};
use smtp::limits::Limits;
use smtp::server::{BareNewlines, Dialect, Extensions, Offer, Settings, Starttls};

/// A transcript: settings, and what happens.
pub(crate) struct Script {
    pub(crate) settings: Settings,
    pub(crate) security: Security,
    /// Whether the greeting waits for an answer.
    pub(crate) checks_connection: bool,
    /// The greeting of a session that gets no service.
    pub(crate) refusal: Option<Reply>,
    /// Comments and settings before the greeting.
    pub(crate) preamble: String,
    pub(crate) blocks: Vec<Block>,
}

/// Lines of the file that are kept as they are, and the step that they make.
pub(crate) struct Block {
    pub(crate) text: String,
    pub(crate) step: Step,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// `!answer`: the commit that was made to wait succeeds, or the greeting goes on.
    Answer,
    /// `!commit …`, `!connect …`, `!data …`, `!hello …`, `!mail …`, `!rcpt …`, `!verify …`: how the next one is answered;
    /// replies are separated by `|`.
    Answers(String, Vec<Reply>),
    /// `!eof`: the client closes its side.
    Eof,
    /// A comment or an empty line.
    Nothing,
    /// Lines of the client.
    Send(Vec<u8>),
    /// `!shutdown`: the instance stops.
    ShutDown,
    /// `@+…`.
    Time(Duration),
    /// `!tls`: the handshake is done.
    Tls,
    /// `!wait`: the next commit waits for `!answer`.
    Wait,
}

impl Script {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self {
            settings: settings(),
            security: Security::Plain,
            checks_connection: false,
            refusal: None,
            preamble: String::new(),
            blocks: Vec::new(),
        };
        let mut after_server = false;
        for line in text.lines() {
            if line.starts_with("S:") || line.starts_with("* ") {
                after_server = true;
                continue;
            }
            let step = script
                .step(line)
                .ok_or_else(|| format!("cannot read `{line}`"))?;
            script.add(line, step, after_server);
            after_server = false;
        }
        Ok(script)
    }

    fn add(&mut self, line: &str, step: Step, after_server: bool) {
        let is_preamble = self.blocks.is_empty() && !after_server && matches!(step, Step::Nothing);
        let text = match (self.blocks.last_mut(), step) {
            _ if is_preamble => &mut self.preamble,
            (
                Some(Block {
                    text,
                    step: Step::Send(before),
                }),
                Step::Send(octets),
            ) if !after_server => {
                before.extend_from_slice(&octets);
                text
            }
            (_, step) => {
                let text = String::new();
                &mut self.blocks.push_mut(Block { text, step }).text
            }
        };
        text.push_str(line);
        text.push('\n');
    }

    fn step(&mut self, line: &str) -> Option<Step> {
        if line.is_empty() || line.starts_with('#') {
            return Some(Step::Nothing);
        }
        if let Some(setting) = line.strip_prefix("= ") {
            self.set(setting)?;
            return Some(Step::Nothing);
        }
        if let Some(text) = line.strip_prefix("C:") {
            let mut octets = unescape(text.strip_prefix(' ').unwrap_or(text))?;
            octets.extend_from_slice(b"\r\n");
            return Some(Step::Send(octets));
        }
        if let Some(text) = line.strip_prefix("C+ ") {
            return unescape(text).map(Step::Send);
        }
        if let Some(text) = line.strip_prefix("C* ") {
            let (n, text) = text.split_once(' ')?;
            return Some(Step::Send(unescape(text)?.repeat(n.parse().ok()?)));
        }
        if let Some(time) = line.strip_prefix("@+") {
            return duration(time).map(Step::Time);
        }
        match line.strip_prefix('!')? {
            "answer" => Some(Step::Answer),
            "commit fails" => answers(
                "commit",
                "451 4.3.0 could not store the message, try again later",
            ),
            "eof" => Some(Step::Eof),
            "shutdown" => Some(Step::ShutDown),
            "tls" => Some(Step::Tls),
            "wait" => Some(Step::Wait),
            other => other
                .split_once(' ')
                .and_then(|(what, replies)| answers(what, replies)),
        }
    }

    fn set(&mut self, setting: &str) -> Option<()> {
        let settings = &mut self.settings;
        let limits = &mut settings.limits;
        let (key, value) = setting.split_once(' ')?;
        match (key, value) {
            ("dialect", "edge") => settings.dialect = Dialect::Edge,
            ("newlines", "normalize") => settings.newlines = BareNewlines::Normalize,
            ("tls", "implicit") => self.security = Security::Tls,
            ("tls", "offered") => settings.extensions.starttls = Starttls::Offered,
            ("tls", "required") => settings.extensions.starttls = Starttls::Required,
            ("offer", "xforward") => settings.extensions.xforward = Offer::Yes,
            ("withhold", "binarymime") => settings.extensions.binarymime = Offer::No,
            ("withhold", "chunking") => settings.extensions.chunking = Offer::No,
            ("withhold", "dsn") => settings.extensions.dsn = Offer::No,
            ("withhold", "smtputf8") => settings.extensions.smtputf8 = Offer::No,
            ("greeting", "waits") => self.checks_connection = true,
            ("refuse", reply) => self.refusal = Some(parse_reply(reply)?),
            ("commands_max", n) => limits.commands_max = n.parse().ok()?,
            ("content_len_max", n) => limits.content_len_max = n.parse().ok()?,
            ("content_line_len_max", n) => limits.content_line_len_max = n.parse().ok()?,
            ("errors_max", n) => limits.errors_max = n.parse().ok()?,
            ("recipients_max", n) => limits.recipients_max = n.parse().ok()?,
            _ => return None,
        }
        Some(())
    }
}

fn settings() -> Settings {
    Settings {
        hostname: "mx.example.org".into(),
        dialect: Dialect::Smtp,
        extensions: Extensions {
            binarymime: Offer::Yes,
            chunking: Offer::Yes,
            dsn: Offer::Yes,
            smtputf8: Offer::Yes,
            starttls: Starttls::NotOffered,
            xforward: Offer::No,
        },
        limits: Limits {
            command_len_max: 512,
            command_timeout: Duration::from_secs(300),
            commands_max: 30,
            content_len_max: 1000,
            content_line_len_max: 998,
            data_rate_min: 10,
            data_timeout: Duration::from_secs(180),
            errors_max: 10,
            recipients_max: 100,
            tls_timeout: Duration::from_secs(60),
        },
        newlines: BareNewlines::Refuse,
    }
}

fn answers(what: &str, replies: &str) -> Option<Step> {
    let replies: Option<_> = replies.split(" | ").map(parse_reply).collect();
    Some(Step::Answers(what.to_owned(), replies?))
}

fn parse_reply(text: &str) -> Option<Reply> {
    let (code, rest) = text.split_once(' ')?;
    let (enhanced, text) = rest.split_once(' ')?;
    let code = ReplyCode::from_peer(code.parse().ok()?)?;
    Some(Reply::new(
        code,
        Some(EnhancedStatus::parse(enhanced)?),
        text,
    ))
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()? * seconds))
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            octets.push(*first);
            continue;
        }
        let [escaped, tail @ ..] = rest else {
            return None;
        };
        rest = tail;
        octets.push(match escaped {
            b'0' => 0,
            b'\\' => b'\\',
            b'n' => b'\n',
            b'r' => b'\r',
            b'x' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                rest = tail;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(octets)
}
