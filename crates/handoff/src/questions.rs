//! Answers of the next instance about recipients, remembered for a while.
//!
//! # Guarantees
//! What a stranger makes up takes nothing from the recipients that bridge an outage: refusals, and
//! recipients elsewhere, have places of their own; of accepted recipients those go first that were
//! asked about once, as with guessed extensions of a real address.
//!
//! # Limits
//! As many answers as the configuration says, a quarter of them for what is not ours. When full,
//! a part of those that were used least recently is forgotten.
//!
//! # Failure
//! When the next instance does not answer, an answer that accepted and is no longer fresh still
//! serves for the stated time; after that the caller says `451`.

use std::collections::HashMap;
use std::time::Duration;

use mail::reply::table;
use mail::{Moment, Reply, ReplyClass};

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
    /// Recipients that are ours.
    ours: Answers,
    /// All others: a stranger can name as many as there are words.
    others: Answers,
}

/// Answers of one kind.
#[derive(Debug)]
struct Answers {
    n_max: usize,
    by_question: HashMap<Box<str>, Answer>,
}

#[derive(Debug)]
struct Answer {
    reply: Reply,
    at: Moment,
    used_at: Moment,
    /// Whether it was asked for more than once.
    is_proven: bool,
}

impl Questions {
    /// Empty.
    #[must_use]
    pub fn new(lifetimes: Lifetimes) -> Self {
        let n_others = lifetimes.answers_max / 4;
        Self {
            lifetimes,
            ours: Answers::at_most(lifetimes.answers_max - n_others),
            others: Answers::at_most(n_others),
        }
    }

    /// An answer young enough to be used as it is.
    pub fn fresh(&mut self, now: Moment, question: &str) -> Option<Reply> {
        let Lifetimes {
            accepted, refused, ..
        } = self.lifetimes;
        self.serves(now, question, accepted, refused)
    }

    /// An answer young enough to be used when nobody can be asked. A refusal that is not fresh is
    /// none: the recipient may have come to be.
    pub fn stale(&mut self, now: Moment, question: &str) -> Option<Reply> {
        let Lifetimes { stale, refused, .. } = self.lifetimes;
        self.serves(now, question, stale, refused)
    }

    /// Remembers an answer. A temporary one is no knowledge and is not kept.
    pub fn learn(&mut self, now: Moment, question: &str, reply: &Reply) {
        if reply.class() == ReplyClass::Transient {
            return;
        }
        let is_ours = reply.is_positive() && reply.code != table::WILL_FORWARD.reply().code;
        let (kind, other_kind) = match is_ours {
            true => (&mut self.ours, &mut self.others),
            false => (&mut self.others, &mut self.ours),
        };
        other_kind.by_question.remove(question);
        kind.learn(now, question, reply);
    }

    /// Forgets one answer, because it proved wrong.
    pub fn forget(&mut self, question: &str) {
        self.ours.by_question.remove(question);
        self.others.by_question.remove(question);
    }

    fn serves(
        &mut self,
        now: Moment,
        question: &str,
        accepted: Duration,
        refused: Duration,
    ) -> Option<Reply> {
        let ours = self.ours.by_question.get_mut(question);
        let answer = match ours {
            Some(answer) => answer,
            None => self.others.by_question.get_mut(question)?,
        };
        let age_max = if answer.reply.is_positive() {
            accepted
        } else {
            refused
        };
        if now.since(answer.at) > age_max {
            return None;
        }
        answer.used_at = now;
        answer.is_proven = true;
        Some(answer.reply.clone())
    }
}

impl Answers {
    fn at_most(n_max: usize) -> Self {
        Self {
            n_max,
            by_question: HashMap::new(),
        }
    }

    fn learn(&mut self, now: Moment, question: &str, reply: &Reply) {
        if let Some(known) = self.by_question.get_mut(question) {
            *known = Answer {
                reply: reply.clone(),
                at: now,
                used_at: now,
                is_proven: true,
            };
            return;
        }
        if self.n_max == 0 {
            return;
        }
        if self.by_question.len() >= self.n_max {
            self.make_room();
        }
        let answer = Answer {
            reply: reply.clone(),
            at: now,
            used_at: now,
            is_proven: false,
        };
        self.by_question.insert(question.into(), answer);
    }

    /// Forgets half of those that were asked for once, or where these are few, half of the others;
    /// each time those that were used least recently.
    fn make_room(&mut self) {
        let of = |is_proven: bool| {
            let answers = self.by_question.values();
            let of_kind = answers.filter(move |answer| answer.is_proven == is_proven);
            of_kind.map(|answer| answer.used_at).collect::<Vec<_>>()
        };
        let unproven = of(false);
        // An eighth is enough of a sieve, and few enough to be gone through at each new answer.
        let is_proven = unproven.len() * 8 < self.n_max;
        let mut times = if is_proven { of(true) } else { unproven };
        let n_kept = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(n_kept);
        let mut n_left = n_kept;
        // Answers of the very same moment must go as well, else nothing might.
        self.by_question.retain(|_, answer| {
            if answer.is_proven != is_proven {
                return true;
            }
            let stays = answer.used_at >= median && n_left > 0;
            n_left -= usize::from(stays);
            stays
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
        assert!(questions.ours.by_question.len() <= LIFETIMES.answers_max);
        let last = format!("{}@x", LIFETIMES.answers_max + 9);
        assert!(questions.fresh(Moment::START, &last).is_some());
    }

    /// Ten times as many recipients as there is room for, each answered so.
    fn flood(questions: &mut Questions, now: Moment, reply: &Reply) {
        for n in 0..10 * LIFETIMES.answers_max {
            questions.learn(now, &format!("guess{n}@x"), reply);
        }
        let n_kept = questions.ours.by_question.len() + questions.others.by_question.len();
        assert!(n_kept <= LIFETIMES.answers_max);
    }

    #[test]
    fn recipients_that_are_guessed_push_none_that_is_ours_out_of_memory() {
        let mut questions = Questions::new(LIFETIMES);
        for n in 0..70 {
            questions.learn(Moment::START, &format!("{n}@x"), &table::OK.reply());
        }
        for row in [&table::NO_SUCH_USER, &table::WILL_FORWARD] {
            flood(
                &mut questions,
                Moment::START + LIFETIMES.accepted,
                &row.reply(),
            );
        }
        let later = Moment::START + LIFETIMES.stale;
        for n in 0..70 {
            assert!(questions.stale(later, &format!("{n}@x")).is_some(), "{n}");
        }
    }

    #[test]
    fn guessed_extensions_of_an_address_push_none_out_that_gets_mail() {
        let mut questions = Questions::new(LIFETIMES);
        for n in 0..60 {
            questions.learn(Moment::START, &format!("{n}@x"), &table::OK.reply());
            assert!(questions.fresh(Moment::START, &format!("{n}@x")).is_some());
        }
        let later = Moment::START + LIFETIMES.accepted;
        flood(&mut questions, later, &table::OK.reply());
        for n in 0..60 {
            assert!(questions.stale(later, &format!("{n}@x")).is_some(), "{n}");
        }
    }

    #[test]
    fn a_recipient_is_remembered_as_what_it_was_last() {
        let mut questions = Questions::new(LIFETIMES);
        let now = Moment::START;
        for row in [&table::OK, &table::NO_SUCH_USER, &table::OK] {
            questions.learn(now, "a@x", &row.reply());
            assert_eq!(questions.fresh(now, "a@x"), Some(row.reply()));
        }
        questions.forget("a@x");
        assert_eq!(questions.fresh(now, "a@x"), None);
    }

    #[test]
    fn recipients_that_nobody_asks_for_any_more_make_room() {
        let mut questions = Questions::new(LIFETIMES);
        let mut now = Moment::START;
        for n in 0..500 {
            let question = format!("{n}@x");
            questions.learn(now, &question, &table::OK.reply());
            assert!(questions.fresh(now, &question).is_some());
            now = now + Duration::from_secs(1);
        }
        assert!(questions.ours.by_question.len() <= LIFETIMES.answers_max);
        assert!(questions.stale(now, "499@x").is_some());
    }
}
