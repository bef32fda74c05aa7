//! Who is a valid recipient: answered here, or by the next instance.

use std::pin::Pin;
use std::sync::Arc;

use handoff::Next;
use mail::{Mailbox, Origin};
use policy::{Gathered, RecipientStatus};

/// Answers for an instance that delivers.
pub trait Recipients: Send + Sync {
    /// What is known of the recipient; `None` when no route is for it. Must not block.
    fn status(&self, recipient: &Mailbox, origin: &Origin) -> Option<Answer>;
}

/// What is known of a recipient.
pub enum Answer {
    /// Nothing, for now.
    CannotTell,
    /// What storage will answer, within a bound. Owns all that it needs.
    Later(Pin<Box<dyn Future<Output = RecipientStatus> + Send>>),
    /// This.
    Now(RecipientStatus),
}

impl Answer {
    pub(crate) async fn status(self) -> Gathered<RecipientStatus> {
        Gathered::Known(match self {
            Self::CannotTell => return Gathered::CannotTell,
            Self::Later(status) => status.await,
            Self::Now(status) => status,
        })
    }
}

/// The words in which a front asks about a recipient; see docs/handoff.md section 8.
/// Both forms of a domain make one question, whose answer is remembered once.
pub(crate) fn question(recipient: &Mailbox, origin: &Origin) -> String {
    let origin = match origin {
        Origin::Outside => "outside",
        Origin::Authenticated(_) | Origin::Generated | Origin::Local { .. } => "ours",
    };
    let (local_part, domain) = (recipient.local_part(), recipient.domain_key());
    format!("<{local_part}@{domain}>;o={origin}")
}

/// Reads a question; the origin is only as exact as the answer needs.
pub(crate) fn parse_question(argument: &str) -> Option<(Mailbox, Origin)> {
    let (path, origin) = argument.strip_prefix('<')?.rsplit_once(">;o=")?;
    let origin = match origin {
        "outside" => Origin::Outside,
        "ours" => Origin::Generated,
        _ => return None,
    };
    Some((Mailbox::parse(path).ok()?, origin))
}

/// Asks the next instance.
pub(crate) async fn ask_next(
    next: &Arc<Next>,
    recipient: &Mailbox,
    origin: &Origin,
) -> Gathered<RecipientStatus> {
    let Some(reply) = next.ask(&question(recipient, origin)).await else {
        return Gathered::CannotTell;
    };
    Gathered::Known(match reply.code.value() {
        250 => RecipientStatus::Internal,
        251 => RecipientStatus::External,
        500..=599 => RecipientStatus::Refused(reply),
        _ => return Gathered::CannotTell,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_asked_about_in_one_form_of_its_domain() {
        let asked = |text| question(&Mailbox::parse(text).unwrap(), &Origin::Outside);
        let expected = "<Alice@xn--bcher-kva.example>;o=outside";
        assert_eq!(asked("Alice@xn--bcher-kva.example"), expected);
        assert_eq!(asked("Alice@XN--BCHER-KVA.example"), expected);
        assert_eq!(asked("Alice@BÜCHER.example"), expected);
        let literal = asked("a@[IPv6:0:0::1]");
        assert_eq!(literal, "<a@[ipv6:::1]>;o=outside");
        assert!(parse_question(&literal).is_some());
    }

    #[test]
    fn a_question_reads_back_as_it_was_asked() {
        let strange = Mailbox::parse("\"a>;o=outside\"@x.org").unwrap();
        let asked = question(&strange, &Origin::Local { uid: 7 });
        assert_eq!(parse_question(&asked), Some((strange, Origin::Generated)));
        for bad in ["", "<a@b>", "<a@b>;o=root", "a@b;o=ours", "<a>;o=ours"] {
            assert_eq!(parse_question(bad), None, "{bad}");
        }
    }
}
