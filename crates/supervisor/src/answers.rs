//! What control may ask of the supervisor: `processes`, `reload` and `stop`.
//!
//! A request is `{"id":7,"verb":"processes"}`; its answer `{"id":7,"ok":{…}}` or
//! `{"id":7,"error":"…"}`.

use std::time::Duration;

use mail::Moment;
use serde_json::{Value, json};

use super::member::{Member, Who};
use super::watch::Watch;
use crate::channel::ToChild;

impl Watch<'_> {
    /// Does what control asks.
    pub(super) fn answer_request(&mut self, text: &str, now: Moment) {
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return;
        };
        let Some(id) = request["id"].as_u64() else {
            return;
        };
        match request["verb"].as_str() {
            Some("processes") => {
                let processes = self.processes(now);
                self.answer(&json!({"id": id, "ok": {"processes": processes}}));
            }
            Some("reload") => self.reload(Some(id), now),
            Some("stop") => {
                let limit = milliseconds(self.config.stop_timeout);
                self.answer(&json!({"id": id, "ok": {"limit_ms": limit}}));
                // A second stop is for the terminal of who runs the supervisor: it kills.
                if self.stopping.is_none() {
                    self.stop(now);
                }
            }
            Some(_) | None => {
                self.answer(&json!({"id": id, "error": "no such request"}));
            }
        }
    }

    /// Tells what came of a reload, a line an instance.
    pub(super) fn answer_reload(&self, id: u64, lines: Result<Vec<Value>, String>) {
        self.answer(&match lines {
            Ok(lines) => json!({"id": id, "ok": {"instances": lines}}),
            Err(why) => json!({"id": id, "error": why}),
        });
    }

    fn answer(&self, answer: &Value) {
        if let Some(control) = self.control() {
            // One that does not listen has nobody waiting for this.
            let _ = control.tell(ToChild::Answer(answer.to_string().into()));
        }
    }

    /// All processes, control first.
    fn processes(&self, now: Moment) -> Vec<Value> {
        let supervisor = json!({
            "name": "supervisor", "role": "supervisor", "pid": std::process::id(),
            "generation": 1, "state": "ready", "restarts": 0,
            "started_unix_ms": self.started_at.unix_ms(),
        });
        let members = self.members.iter().map(|member| self.process(member, now));
        let stranded = self.stranded.iter().map(|of| {
            json!({
                "name": of.name.as_str(), "role": "stranded", "state": "not running",
                "last_exit": of.why,
            })
        });
        let processes = std::iter::once(supervisor).chain(members);
        processes.chain(stranded).collect()
    }

    fn process(&self, member: &Member, now: Moment) -> Value {
        let role = match &member.who {
            Who::Control => "control",
            Who::Instance(name) => self.config.instance(name).map_or("", |of| of.role.as_str()),
        };
        let child = member.child();
        let silent = child.and_then(|child| child.heartbeat?.silent_for(now));
        json!({
            "name": member.who.to_string(),
            "role": role,
            "state": self.state_of(member),
            "generation": member.generation,
            "restarts": member.restarts,
            "last_exit": member.last_exit,
            "pid": child.map(|child| child.pid),
            "started_unix_ms": child.map(|child| child.started_at.unix_ms()),
            "not_answering_ms": silent.map(milliseconds),
            "retiring_pids": member.retiring.iter().map(|child| child.pid).collect::<Vec<_>>(),
        })
    }
}

impl Watch<'_> {
    fn state_of(&self, member: &Member) -> &'static str {
        let name = member.who.instance();
        match member.state() {
            "ready" if name.is_some_and(|name| self.config.is_leaving(name)) => "draining",
            state => state,
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
