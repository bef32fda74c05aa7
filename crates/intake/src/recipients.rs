//! Who is a valid recipient: answered here, or by the next instance.

use std::pin::Pin;
use std::sync::Arc;

use handoff::Next;
use mail::{Mailbox, Origin};
use policy::Standing;

/// Answers for an instance that delivers.
pub trait Recipients: Send + Sync {
    /// Where the recipient stands; `None` when no route is for it. Must not block.
    fn standing(&self, recipient: &Mailbox, origin: &Origin) -> Option<Answer>;
}

/// Where a recipient stands.
pub enum Answer {
    /// As storage will say, within a bound. Owns all that it needs.
    Later(Pin<Box<dyn Future<Output = Standing> + Send>>),
    /// So.
    Now(Standing),
}

impl Answer {
    pub(crate) async fn standing(self) -> Standing {
        match self {
            Self::Later(standing) => standing.await,
            Self::Now(standing) => standing,
        }
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
pub(crate) async fn ask_next(next: &Arc<Next>, recipient: &Mailbox, origin: &Origin) -> Standing {
    match next.ask(&question(recipient, origin)).await {
        None => Standing::NoAnswer,
        Some(reply) => match reply.code.value() {
            250 => Standing::Ours,
            251 => Standing::Elsewhere,
            500..=599 => Standing::Refused(reply),
            _ => Standing::NoAnswer,
        },
    }
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
