//! Answers of the next instance about recipients, remembered for a while.
//!
//! # Limits
//! As many answers as the configuration says; when full, the older half is forgotten.
//!
//! # Failure
//! When the next instance does not answer, an answer that accepted and is no longer fresh still
//! serves for the stated time; after that the caller says `451`.

use std::collections::HashMap;
use std::time::Duration;

use mail::{Moment, Reply};

/// How many answers are kept, and how long they serve.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// The most answers kept, about 200 octets each; with 0 every recipient is asked about.
    pub answers_max: usize,
    /// An answer that accepts is used without asking again while it is this young.
    pub accepted: Duration,
    /// An answer that refuses is used while it is this young.
    pub refused: Duration,
    /// An answer that accepts is used while it is this young when there is no other.
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
        self.serves(
            now,
            question,
            self.lifetimes.accepted,
            self.lifetimes.refused,
        )
    }

    /// An answer young enough to be used when nobody can be asked. A refusal that is not fresh is
    /// none: the recipient may have come to be.
    #[must_use]
    pub fn stale(&self, now: Moment, question: &str) -> Option<Reply> {
        self.serves(now, question, self.lifetimes.stale, self.lifetimes.refused)
    }

    /// Remembers an answer. A temporary one is no knowledge and is not kept.
    pub fn learn(&mut self, now: Moment, question: &str, reply: &Reply) {
        let max = self.lifetimes.answers_max;
        if reply.class() == mail::ReplyClass::Transient || max == 0 {
            return;
        }
        if self.answers.len() >= max && !self.answers.contains_key(question) {
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

    fn serves(
        &self,
        now: Moment,
        question: &str,
        accepted: Duration,
        refused: Duration,
    ) -> Option<Reply> {
        let answer = self.answers.get(question)?;
        let age_max = if answer.reply.is_positive() {
            accepted
        } else {
            refused
        };
        (now.since(answer.at) <= age_max).then(|| answer.reply.clone())
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
        answers_max: 100,
        accepted: Duration::from_secs(60),
        refused: Duration::from_secs(10),
        stale: Duration::from_secs(3600),
    };

    #[test]
    fn an_answer_serves_while_it_is_fresh_and_longer_when_nobody_can_be_asked() {
        let mut questions = Questions::new(LIFETIMES);
        let now = Moment::START;
        questions.learn(now, "a@x", &table::OK.reply());
        assert!(questions.fresh(now + LIFETIMES.accepted, "a@x").is_some());
        let later = now + LIFETIMES.accepted + Duration::from_secs(1);
        assert!(questions.fresh(later, "a@x").is_none());
        assert!(questions.stale(later, "a@x").is_some());
        assert!(questions.stale(now + LIFETIMES.stale * 2, "a@x").is_none());
        questions.forget("a@x");
        assert!(questions.stale(now, "a@x").is_none());
    }

    #[test]
    fn a_refusal_serves_for_its_own_time_and_never_when_it_is_old() {
        let mut questions = Questions::new(LIFETIMES);
        let now = Moment::START;
        questions.learn(now, "a@x", &table::NO_SUCH_USER.reply());
        assert!(questions.fresh(now + LIFETIMES.refused, "a@x").is_some());
        let later = now + LIFETIMES.refused + Duration::from_secs(1);
        assert!(questions.fresh(later, "a@x").is_none());
        assert!(questions.stale(later, "a@x").is_none());
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_to_be() {
        let mut questions = Questions::new(Lifetimes {
            answers_max: 0,
            ..LIFETIMES
        });
        questions.learn(Moment::START, "a@x", &table::OK.reply());
        assert!(questions.stale(Moment::START, "a@x").is_none());
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
        for i in 0..LIFETIMES.answers_max + 10 {
            questions.learn(Moment::START, &format!("{i}@x"), &table::OK.reply());
        }
        assert!(questions.answers.len() <= LIFETIMES.answers_max);
        let last = format!("{}@x", LIFETIMES.answers_max + 9);
        assert!(questions.fresh(Moment::START, &last).is_some());
    }
}
