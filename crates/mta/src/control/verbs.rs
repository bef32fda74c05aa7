//! What an operator may ask of control, and who answers it.
//!
//! Each answer is a line that names its instance; the last line says whether all have answered.

use std::rc::Rc;
use std::time::{Duration, Instant};

use events::counters::Count;
use operate::filter::Filter;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::asking::{Part, SILENCE_TIME};
use super::members::{Member, Shared};
use super::supervisor_end::SupervisorEnd;

/// How long a reload may take: instances read, check and prepare within it.
const RELOAD_TIME: Duration = Duration::from_secs(60);

/// How often an operator's program is told that an answer is being worked on.
const SIGN_OF_LIFE_TIME: Duration = Duration::from_millis(500);

/// One request of an operator, on its way to an answer.
pub(super) struct Asker {
    /// Everything that control knows.
    pub(super) shared: Rc<Shared>,
    /// The supervisor.
    pub(super) supervisor: SupervisorEnd,
    /// Who asks, as the kernel says: `uid 0`.
    pub(super) by: String,
    /// Where the lines of the answer go.
    pub(super) answers: mpsc::Sender<Value>,
}

impl Asker {
    /// Answers a request. Cancel-safe.
    pub(super) async fn answer(self, request: Value) {
        let verb = request["verb"].as_str().unwrap_or_default();
        let args = &request["args"];
        let last = match verb {
            "processes" => self.pass_on(verb, args, SILENCE_TIME).await,
            "queue.count" | "queue.drop" | "queue.hold" | "queue.list" | "queue.release"
            | "queue.retry" | "queue.show" => self.queue(verb, args).await,
            "reload" => self.pass_on(verb, args, RELOAD_TIME).await,
            "status" => self.status(args).await,
            "stop" => self.pass_on(verb, args, SILENCE_TIME).await,
            _ => json!({"error": format!("no such verb: {verb}")}),
        };
        self.say(last).await;
    }

    /// Who does not listen any more needs no answer.
    async fn say(&self, line: Value) {
        let _ = self.answers.send(line).await;
    }

    async fn pass_on(&self, verb: &str, args: &Value, limit: Duration) -> Value {
        let mut args = args.clone();
        args["by"] = json!(self.by);
        match self.supervisor.ask(verb, &args, limit).await {
            Some(mut answer) => match answer["error"].take() {
                Value::Null => json!({"end": true, "ok": answer["ok"].take()}),
                error => json!({"error": error}),
            },
            None => json!({"error": "the supervisor does not answer"}),
        }
    }

    async fn queue(&self, verb: &str, args: &Value) -> Value {
        let words = args["filter"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        let filter = match Filter::parse(&words) {
            Ok(filter) => filter,
            Err(error) => return json!({"error": error.to_string()}),
        };
        let only = match only(args) {
            Ok(only) => only,
            Err(refusal) => return refusal,
        };
        let is_change = !matches!(verb, "queue.count" | "queue.list" | "queue.show");
        if is_change && filter.is_ambiguous() && only == Filter::default() {
            let text = "each instance has numbers of its own: name the message as INSTANCE/NUMBER";
            return json!({"error": text});
        }
        let is_chosen = |name: &str| filter.has_instance(name) && only.has_instance(name);
        let members = match self.chosen(is_chosen) {
            Ok(members) => members,
            Err(refusal) => return refusal,
        };
        let mut args = args.clone();
        args["by"] = json!(self.by);
        let n_asked = members.len();
        let mut asked = JoinSet::new();
        for member in members {
            args["to"] = json!(member.name.as_str());
            let (verb, args, answers) = (verb.to_owned(), args.clone(), self.answers.clone());
            asked.spawn_local(async move { ask_member(&member, &verb, &args, &answers).await });
        }
        let mut n_answered = 0;
        while let Some(answered) = asked.join_next().await {
            n_answered += usize::from(matches!(answered, Ok(true)));
        }
        json!({"end": true, "asked": n_asked, "answered": n_answered})
    }

    fn chosen(&self, is_chosen: impl Fn(&str) -> bool) -> Result<Vec<Rc<Member>>, Value> {
        let members = self.shared.members();
        let names: Vec<String> = members.iter().map(|m| m.name.to_string()).collect();
        let chosen: Vec<_> = members
            .into_iter()
            .filter(|m| is_chosen(m.name.as_str()))
            .collect();
        if chosen.is_empty() {
            let text = format!("no such instance; there are {}", names.join(", "));
            return Err(json!({"error": text}));
        }
        Ok(chosen)
    }

    async fn status(&self, args: &Value) -> Value {
        let filter = match only(args) {
            Ok(filter) => filter,
            Err(refusal) => return refusal,
        };
        let members = match self.chosen(|name| filter.has_instance(name)) {
            Ok(members) => members,
            Err(refusal) => return refusal,
        };
        let n_asked = members.len();
        // All are asked before the first answer is waited for.
        let answers: Vec<_> = members
            .iter()
            .map(|member| tokio::task::spawn_local(member.asking.ask("status", &json!({})).last()))
            .collect();
        let processes = self
            .supervisor
            .ask("processes", &json!({}), SILENCE_TIME)
            .await;
        let processes = processes.unwrap_or_default()["ok"]["processes"].take();
        let mut n_answered = 0;
        for (member, answer) in members.iter().zip(answers) {
            let part = answer.await.unwrap_or(Part::NoAnswer);
            n_answered += usize::from(matches!(part, Part::Last(_)));
            let mut line = line_of(member, part);
            line.insert("process".to_owned(), process_of(member, &processes));
            line.insert("counters".to_owned(), self.counters(member));
            self.say(Value::Object(line)).await;
        }
        json!({
            "end": true,
            "asked": n_asked,
            "answered": n_answered,
            "log": self.shared.log.json(self.shared.now()),
            "processes": processes,
        })
    }

    fn counters(&self, member: &Member) -> Value {
        let now = self.shared.clock.now();
        let mut counters = member.counters.borrow_mut();
        let each = Count::ALL.into_iter().map(|count| {
            let total = counters.total(count);
            let last_minute = counters.last_minute(now, count);
            (
                count.name().to_owned(),
                json!({"total": total, "last_minute": last_minute}),
            )
        });
        Value::Object(each.collect())
    }
}

/// Which instances alone are to be asked.
fn only(args: &Value) -> Result<Filter, Value> {
    let words: Vec<String> = args["instance"]
        .as_str()
        .map(|name| format!("instance={name}"))
        .into_iter()
        .collect();
    Filter::parse(&words).map_err(|error| json!({"error": error.to_string()}))
}

/// What the supervisor says about the process of an instance.
fn process_of(member: &Member, processes: &Value) -> Value {
    let is_its = |process: &&Value| {
        process["name"] == member.name.as_str() && process["role"] == member.role.as_str()
    };
    processes
        .as_array()
        .into_iter()
        .flatten()
        .find(is_its)
        .cloned()
        .unwrap_or_default()
}

/// Passes on what an instance answers; whether it answered.
async fn ask_member(
    member: &Member,
    verb: &str,
    args: &Value,
    answers: &mpsc::Sender<Value>,
) -> bool {
    let mut answer = member.asking.ask(verb, args);
    // The first is due only when the answer takes long.
    let mut said_at = Instant::now();
    loop {
        let part = answer.next().await;
        let goes_on = matches!(&part, Part::Rows(_));
        let is_answer = matches!(&part, Part::Last(_));
        let is_sign_of_life = matches!(&part, Part::Rows(rows) if rows.is_empty());
        if !is_sign_of_life || said_at.elapsed() >= SIGN_OF_LIFE_TIME {
            said_at = Instant::now();
            let line = Value::Object(line_of(member, part));
            if answers.send(line).await.is_err() {
                return false;
            }
        }
        if !goes_on {
            return is_answer;
        }
    }
}

fn line_of(member: &Member, part: Part) -> Map<String, Value> {
    let (key, value) = match part {
        Part::Failed(text) => ("error", json!(text)),
        Part::Last(value) => ("ok", value),
        Part::NoAnswer => ("no_answer", json!(true)),
        Part::Rows(rows) => ("rows", Value::Array(rows)),
    };
    let mut line = Map::new();
    line.insert("instance".to_owned(), json!(member.name.as_str()));
    line.insert("role".to_owned(), json!(member.role.as_str()));
    line.insert(key.to_owned(), value);
    line
}
