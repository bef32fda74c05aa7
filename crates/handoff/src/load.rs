//! How full the next instance is, as it says with each message that it takes.
//!
//! It stands at the end of the reply after the data, so that it costs no reply of its own:
//! `250 2.0.0 accepted as 01JD…; load 40`. Without it there is none.

use mail::Reply;

/// How far an instance's queue is on its way from half full (0) to full (100).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Load(pub u8);

const WORDS: &str = "; load ";

impl Load {
    /// At most half full.
    pub const NONE: Self = Self(0);
    /// Full.
    pub const MAX: Self = Self(100);

    /// Says it in a reply to another instance.
    #[must_use]
    pub fn tell(self, reply: Reply) -> Reply {
        if self == Self::NONE || !reply.is_positive() {
            return reply;
        }
        let text = format!("{}{WORDS}{}", reply.text(), self.0);
        Reply::new(reply.code, reply.enhanced, &text)
    }

    /// What a reply says of it. What cannot be read is none.
    #[must_use]
    pub fn told(reply: &Reply) -> Self {
        let number = reply.text().rsplit_once(WORDS).map(|(_, number)| number);
        let load = number.and_then(|number| number.parse().ok()).map(Self);
        load.unwrap_or(Self::NONE).min(Self::MAX)
    }
}

#[cfg(test)]
mod tests {
    use mail::reply::table;

    use super::*;

    #[test]
    fn a_load_reads_back_as_it_was_told_and_none_is_not_told() {
        let reply = table::ACCEPTED.with_text("accepted as X");
        for load in [Load(1), Load(55), Load::MAX] {
            assert_eq!(Load::told(&load.tell(reply.clone())), load);
        }
        assert_eq!(Load::NONE.tell(reply.clone()), reply);
        assert_eq!(Load::told(&reply), Load::NONE);
        let refusal = table::TRY_AGAIN.reply();
        assert_eq!(Load::MAX.tell(refusal.clone()), refusal);
    }

    #[test]
    fn a_load_that_is_none_or_too_much_harms_nobody() {
        for (text, expected) in [
            ("; load ", Load::NONE),
            ("; load x", Load::NONE),
            ("; load -1", Load::NONE),
            ("; load 200", Load::MAX),
            ("; load 99999", Load::NONE),
        ] {
            assert_eq!(Load::told(&table::ACCEPTED.with_text(text)), expected);
        }
    }
}
