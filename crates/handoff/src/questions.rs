//! Answers of the next instance about recipients, remembered for a while.
//!
//! # Limits
//! [`ENTRIES_MAX`] answers; when full, the older half is forgotten.
//!
//! # Failure
//! When the next instance does not answer, an answer that is no longer fresh still serves for the
//! stated time; after that the caller says `451`.

use std::collections::HashMap;
use std::time::Duration;

use mail::{Moment, Reply};

/// The most answers kept, about 200 bytes each.
pub(crate) const ENTRIES_MAX: usize = 50_000;

/// How long answers serve.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// An answer this young is used without asking again.
    pub fresh: Duration,
    /// An answer this young is used when there is no other.
    pub stale: Duration,
}

/// A bounded memory of answers.
#[derive(Debug)]
pub struct Questions {
    lifetimes: Lifetimes,
    answers: HashMap<Box<str>, Answer>,
}

#[derive(Debug)]
struct Answer {
    reply: Reply,
    at: Moment,
}

impl Questions {
    /// Empty.
    #[must_use]
    pub fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            answers: HashMap::new(),
        }
    }

    /// An answer young enough to be used as it is.
    #[must_use]
    pub fn fresh(&self, now: Moment, question: &str) -> Option<Reply> {
        self.younger_than(self.lifetimes.fresh, now, question)
    }

    /// An answer young enough to be used when nobody can be asked.
    #[must_use]
    pub fn stale(&self, now: Moment, question: &str) -> Option<Reply> {
        self.younger_than(self.lifetimes.stale, now, question)
    }

    /// Remembers an answer. A temporary one is no knowledge and is not kept.
    pub fn learn(&mut self, now: Moment, question: &str, reply: &Reply) {
        if reply.class() == mail::ReplyClass::Transient {
            return;
        }
        if self.answers.len() >= ENTRIES_MAX && !self.answers.contains_key(question) {
            self.forget_half();
        }
        self.answers.insert(
            question.into(),
            Answer {
                reply: reply.clone(),
                at: now,
            },
        );
    }

    /// Forgets one answer, because it proved wrong.
    pub fn forget(&mut self, question: &str) {
        self.answers.remove(question);
    }

    fn younger_than(&self, age: Duration, now: Moment, question: &str) -> Option<Reply> {
        let answer = self.answers.get(question)?;
        (now.since(answer.at) <= age).then(|| answer.reply.clone())
    }

    fn forget_half(&mut self) {
        let mut times: Vec<_> = self.answers.values().map(|a| a.at).collect();
        let middle = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(middle);
        let mut n_left = middle;
        // Answers of the very same moment must go as well, else nothing might.
        self.answers.retain(|_, answer| {
            let keep = answer.at >= median && n_left > 0;
            n_left -= usize::from(keep);
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use mail::reply::table;

    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes {
        fresh: Duration::from_secs(60),
        stale: Duration::from_secs(3600),
    };

    #[test]
    fn an_answer_serves_while_it_is_fresh_and_longer_when_nobody_can_be_asked() {
        let mut questions = Questions::new(LIFETIMES);
        let now = Moment::START;
        questions.learn(now, "a@x", &table::OK.reply());
        assert!(questions.fresh(now + LIFETIMES.fresh, "a@x").is_some());
        let later = now + LIFETIMES.fresh + Duration::from_secs(1);
        assert!(questions.fresh(later, "a@x").is_none());
        assert!(questions.stale(later, "a@x").is_some());
        assert!(questions.stale(now + LIFETIMES.stale * 2, "a@x").is_none());
        questions.forget("a@x");
        assert!(questions.stale(now, "a@x").is_none());
    }

    #[test]
    fn a_temporary_answer_is_not_kept() {
        let mut questions = Questions::new(LIFETIMES);
        questions.learn(Moment::START, "a@x", &table::TRY_AGAIN.reply());
        assert!(questions.stale(Moment::START, "a@x").is_none());
    }

    #[test]
    fn the_memory_is_bounded_also_when_all_answers_are_of_one_moment() {
        let mut questions = Questions::new(LIFETIMES);
        for i in 0..ENTRIES_MAX + 10 {
            questions.learn(Moment::START, &format!("{i}@x"), &table::OK.reply());
        }
        assert!(questions.answers.len() <= ENTRIES_MAX);
        let last = format!("{}@x", ENTRIES_MAX + 9);
        assert!(questions.fresh(Moment::START, &last).is_some());
    }
}
