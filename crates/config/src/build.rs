//! From a text to a [`Config`], or to everything that is wrong with it.

mod route;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mail::InstanceName;
use policy::{Action, Mode};

use super::Config;
use super::model::{
    BareNewlines, Check, Checks, HandoffSettings, InstanceConfig, Limits, Log, LogFormat,
    MissingCertificate, Peer, QuestionCache, QueueSettings, Role, Tls, Xforward,
};
use super::problem::{Problem, Problems, Text};
use super::section::{Notes, Section};
use super::settings::{COMMON, STATE_DEFAULT};
use super::tree::{self, Parsed, Table, Value};
use super::value;

/// Reads a text. `state` replaces the directory that it names.
pub(super) fn config(text: &Text<'_>, state: Option<&Path>) -> Result<Config, Problems> {
    let Parsed {
        table: mut tree,
        mut problems,
        whole,
    } = tree::read(text);
    if !whole {
        return Err(Problems::new(problems));
    }
    let state = match state_directory(text, &tree, state) {
        Ok(state) => state,
        Err(problem) => {
            problems.push(problem);
            PathBuf::from(STATE_DEFAULT)
        }
    };
    let notes = Notes::new(text, state.clone(), problems);
    let parts = read(&notes, &tree);
    let problems = notes.into_problems();
    match parts {
        Some(parts) if problems.is_empty() => {
            // From now on the text says what holds, so that a part of it can be handed on.
            tree.set_text("state", &state.to_string_lossy());
            let Parts {
                hostname,
                stop_timeout,
                log,
                instances,
            } = parts;
            let file = text.name.into();
            Ok(Config {
                hostname,
                state,
                stop_timeout,
                log,
                instances,
                leaving: Vec::new(),
                file,
                tree,
            })
        }
        Some(_) | None => Err(Problems::new(problems)),
    }
}

/// The state directory comes first, because the other paths are made of it.
fn state_directory(
    text: &Text<'_>,
    tree: &Table,
    replaced: Option<&Path>,
) -> Result<PathBuf, Problem> {
    let node = tree.find("state");
    let at = node.map(|node| node.at);
    let given = match (replaced, node.map(|node| &node.value)) {
        (Some(path), _) => path.to_path_buf(),
        (None, Some(Value::Text(path))) if !path.is_empty() => PathBuf::from(path),
        // A value of another kind is noted with all the others.
        (None, None | Some(_)) => PathBuf::from(STATE_DEFAULT),
    };
    let path = std::path::absolute(&given)
        .map_err(|error| text.problem(at, format!("`state`: no working directory: {error}")))?;
    match path.to_str() {
        Some(path) if path.contains(['{', '}']) || path.contains(char::is_control) => {
            Err(text.problem(at, "`state` must not contain braces or control characters"))
        }
        Some(_) => Ok(path),
        None => Err(text.problem(at, "`state` must be UTF-8")),
    }
}

struct Parts {
    hostname: Box<str>,
    stop_timeout: Duration,
    log: Log,
    instances: Vec<InstanceConfig>,
}

fn read(notes: &Notes<'_>, tree: &Table) -> Option<Parts> {
    let top = Section::top(notes, tree, COMMON);
    // Read already; here only its kind is looked at.
    top.text("state", |text| {
        if text.is_empty() {
            Err("it is empty".into())
        } else {
            Ok(())
        }
    });
    let hostname = top.text("hostname", value::own_name);
    let stop_timeout = top.duration("stop_timeout");
    let log = log(&top.section("log"), &notes.state);
    let named = top.named_sections("instance");
    let n_named = named.len();
    let instances: Vec<InstanceConfig> = named
        .into_iter()
        .filter_map(|(name, at, section)| {
            let name = name
                .parse::<InstanceName>()
                .map_err(|error| notes.note(at, error.to_string().escape_debug().to_string()))
                .ok();
            instance(section, name, &notes.state)
        })
        .collect();
    if n_named == 0 && top.has("instance") {
        notes.note(top.position("instance"), "there is no instance");
    }
    Some(Parts {
        hostname: hostname?,
        stop_timeout,
        log: log?,
        instances,
    })
}

fn log(section: &Section<'_>, state: &Path) -> Option<Log> {
    let file = section.text("file", |text| match text {
        "stderr" => Ok(None),
        path => value::path(path, state).map(Some),
    });
    let format = section.choice("format", |word| match word {
        "json" => Some(LogFormat::Json),
        "text" => Some(LogFormat::Text),
        _ => None,
    });
    let rotate_size = section.size("rotate_size");
    let rotate_keep = section.count("rotate_keep");
    Some(Log {
        file: file?,
        format: format?,
        rotate_size,
        rotate_keep,
    })
}

/// Reads everything, also when something is missing, so that every mistake is noted.
fn instance(
    section: Section<'_>,
    name: Option<InstanceName>,
    state: &Path,
) -> Option<InstanceConfig> {
    let role = section.choice("role", |word| match word {
        "input" => Some(Role::Input),
        "output" => Some(Role::Output),
        "submission" => Some(Role::Submission),
        _ => None,
    });
    let section = section.with_role(role.unwrap_or(Role::Output));
    let listen = section
        .list("listen", |text| value::listen(text, state))
        .unwrap_or_default();
    let tls = section
        .has("tls")
        .then(|| tls(&section.section("tls"), state));
    let next = section.text("next", value::next);
    let routes = section
        .sections("route")
        .iter()
        .map(|inner| route::route(inner, state))
        .collect();
    let limits = limits(&section.section("limits"));
    let handoff = handoff(&section.section("handoff"));
    let queue = queue(&section.section("queue"));
    let peers = section.sections("peer").iter().map(peer).collect();
    let bare_newlines = section.choice("bare_newlines", |word| match word {
        "normalize" => Some(BareNewlines::Normalize),
        "refuse" => Some(BareNewlines::Refuse),
        _ => None,
    });
    let checks = checks(&section.section("checks"));
    let tls = match tls {
        Some(tls) => Some(tls?),
        None => None,
    };
    Some(InstanceConfig {
        name: name?,
        role: role?,
        listen,
        tls,
        next,
        routes: every(routes)?,
        limits,
        handoff,
        queue,
        peers: every(peers)?,
        bare_newlines: bare_newlines?,
        checks: checks?,
    })
}

fn checks(section: &Section<'_>) -> Option<Checks> {
    let [
        early_talker,
        hello_identity,
        own_sender,
        bounce_recipients,
        repeated_field,
    ] = [
        "early_talker",
        "hello_identity",
        "own_sender",
        "bounce_recipients",
        "repeated_field",
    ]
    .map(|name| check(&section.section(name)));
    let early_talker_wait = section.section("early_talker").duration("wait");
    let recipient_validity = mode(&section.section("recipient_validity"));
    Some(Checks {
        early_talker: early_talker?,
        early_talker_wait,
        hello_identity: hello_identity?,
        own_sender: own_sender?,
        recipient_validity: recipient_validity?,
        bounce_recipients: bounce_recipients?,
        repeated_field: repeated_field?,
    })
}

fn check(section: &Section<'_>) -> Option<Check> {
    let mode = mode(section);
    let action = section.choice("action", |word| match word {
        "defer" => Some(Action::Defer),
        "discard" => Some(Action::Discard),
        "hold" => Some(Action::Hold),
        "refuse" => Some(Action::Refuse),
        _ => None,
    });
    Some(Check {
        mode: mode?,
        action: action?,
    })
}

fn mode(section: &Section<'_>) -> Option<Mode> {
    section.choice("mode", |word| match word {
        "enforce" => Some(Mode::Enforce),
        "observe" => Some(Mode::Observe),
        "off" => Some(Mode::Off),
        _ => None,
    })
}

/// All, or none where one is missing.
fn every<T>(parts: Vec<Option<T>>) -> Option<Vec<T>> {
    parts.into_iter().collect()
}

fn tls(section: &Section<'_>, state: &Path) -> Option<Tls> {
    let certificate = section.text("certificate", |text| value::path(text, state));
    let key = section.text("key", |text| value::path(text, state));
    let missing = section.choice("missing", |word| match word {
        "refuse" => Some(MissingCertificate::Refuse),
        "self-signed" => Some(MissingCertificate::SelfSigned),
        _ => None,
    });
    Some(Tls {
        certificate: certificate?,
        key: key?,
        missing: missing?,
    })
}

fn limits(section: &Section<'_>) -> Limits {
    Limits {
        connections: section.count("connections"),
        connections_per_client: section.count("connections_per_client"),
        connections_per_user: section.count("connections_per_user"),
        recipients: section.count("recipients"),
        message_size: section.size("message_size"),
        command_length: section.size_u32("command_length"),
        line_length: section.size_u32("line_length"),
        errors: section.count("errors"),
        commands: section.count("commands"),
        command_timeout: section.duration("command_timeout"),
        data_timeout: section.duration("data_timeout"),
        data_rate_min: section.size_u32("data_rate_min"),
        tls_timeout: section.duration("tls_timeout"),
        answer_timeout: section.duration("answer_timeout"),
    }
}

fn handoff(section: &Section<'_>) -> HandoffSettings {
    HandoffSettings {
        patience: section.duration("patience"),
        connections: section.count("connections"),
        question_cache: QuestionCache {
            entries: section.count("questions_kept"),
            accepted_for: section.duration("accepted_for"),
            refused_for: section.duration("refused_for"),
            stale_for: section.duration("stale_for"),
        },
    }
}

fn queue(section: &Section<'_>) -> QueueSettings {
    QueueSettings {
        retry: retry(section),
        retry_max: section.duration("retry_max"),
        expiry: section.duration("expiry"),
        messages: section.count("messages"),
        concurrency: section.count("concurrency"),
        concurrency_per_site: section.count("concurrency_per_site"),
    }
}

fn retry(section: &Section<'_>) -> Vec<Duration> {
    let pauses = section.list("retry", |text| {
        let pause = value::duration(text)?;
        if pause < RETRY_LEAST {
            return Err(format!("`{text}` is shorter than a second"));
        }
        Ok(pause)
    });
    if section.is_empty_list("retry") {
        section.note(
            section.position("retry"),
            "`retry` needs at least one pause",
        );
    }
    pauses.unwrap_or_default()
}

/// Shorter pauses would be a busy loop.
const RETRY_LEAST: Duration = Duration::from_secs(1);

fn peer(section: &Section<'_>) -> Option<Peer> {
    let network = section.text("network", value::network);
    let origin = section.text("origin", value::origin);
    let xforward = section.choice("xforward", |word| match word {
        "allowed" => Some(Xforward::Allowed),
        "refused" => Some(Xforward::Refused),
        _ => None,
    });
    Some(Peer {
        network: network?,
        origin: origin?,
        xforward: xforward?,
    })
}
