//! From a recipient's address to the path of its Maildir.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use mail::Mailbox;

use super::Domains;

/// The longest name that file systems take, in octets.
const NAME_LEN_MAX: usize = 255;

/// What is wrong with a path template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with a slash.
    #[error("a path must be absolute")]
    NotAbsolute,
    /// A component is `..` or `.`.
    #[error("a path must not hold `.` or `..`")]
    Dots,
    /// A brace that belongs to neither `{domain}` nor `{local}`.
    #[error("the only placeholders are {{domain}} and {{local}}")]
    Placeholder,
}

/// A path with places for the parts of an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// What comes before the first placeholder; the administrator's, links may be in it.
    root: PathBuf,
    /// The components after it, one directory each.
    below: Vec<Box<str>>,
    /// How many of them come before the one that is named for the local part.
    n_base: usize,
    delimiter: Option<char>,
}

/// Where the Maildir of one recipient is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// A directory of the administrator's.
    pub(super) root: PathBuf,
    /// Directories below it, each within the one before. Plain names.
    pub(super) below: Vec<String>,
    /// How many of those hold mailboxes of many, and must be there before one can be missing.
    pub(super) n_base: usize,
}

impl Place {
    pub(super) fn path(&self) -> PathBuf {
        let within = |path: PathBuf, name| path.join(name);
        self.below.iter().fold(self.root.clone(), within)
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())?;
        for name in &self.below {
            // The root may be nothing but a slash.
            write!(f, "/{name}")?;
        }
        Ok(())
    }
}

impl Template {
    /// The directory that is named for a domain must exist where `domains` are named in the
    /// configuration; where anybody can think of one, its absence says only that.
    pub(super) fn parse(
        text: &str,
        delimiter: Option<char>,
        domains: Domains,
    ) -> Result<Self, TemplateError> {
        let path = text.strip_prefix('/').ok_or(TemplateError::NotAbsolute)?;
        let mut root = PathBuf::from("/");
        let mut below: Vec<Box<str>> = Vec::new();
        for component in path.split('/').filter(|component| !component.is_empty()) {
            if matches!(component, "." | "..") {
                return Err(TemplateError::Dots);
            }
            let fixed = component.replace("{domain}", "").replace("{local}", "");
            if fixed.contains(['{', '}', '\0']) {
                return Err(TemplateError::Placeholder);
            }
            if below.is_empty() && fixed == component {
                root.push(Path::new(component));
            } else {
                below.push(component.into());
            }
        }
        // A mailbox that is the same for all is below a directory as well.
        if below.is_empty()
            && let Some(name) = root.file_name().and_then(OsStr::to_str)
        {
            below.push(name.into());
            root.pop();
        }
        let named_for_user = below.iter().position(|name| name.contains("{local}"));
        let n_base = named_for_user.filter(|_| domains == Domains::Named);
        Ok(Self {
            root,
            below,
            n_base: n_base.unwrap_or(0),
            delimiter,
        })
    }

    /// Where this recipient's Maildir is; `None` when its local part can name no directory.
    pub(super) fn place(&self, recipient: &Mailbox) -> Option<Place> {
        let unquoted = recipient.local_part_unquoted();
        let local = match self
            .delimiter
            .and_then(|delimiter| unquoted.split_once(delimiter))
        {
            // A leading delimiter begins no extension: there would be no user left.
            Some((user, _)) if !user.is_empty() => user,
            Some(_) | None => &unquoted,
        };
        // Traversal: a quoted local part may hold anything that a path gives a meaning to, and a
        // leading dot would also reach the subfolders of a Maildir.
        if local.is_empty() || local.starts_with('.') || local.contains(['/', '\0']) {
            return None;
        }
        let (local, domain) = (local.to_lowercase(), recipient.domain_key());
        // One pass: a local part that reads `{domain}` stays what it is.
        let fill = |component: &str| {
            let parts = component.split("{local}");
            let parts: Vec<_> = parts
                .map(|part| part.replace("{domain}", domain.as_str()))
                .collect();
            parts.join(&local)
        };
        let below: Vec<_> = self.below.iter().map(|component| fill(component)).collect();
        let short = below.iter().all(|name| name.len() <= NAME_LEN_MAX);
        short.then(|| Place {
            root: self.root.clone(),
            below,
            n_base: self.n_base,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, recipient: &str) -> Option<String> {
        let template = Template::parse(template, Some('+'), Domains::Named).unwrap();
        let place = template.place(&Mailbox::parse(recipient).unwrap())?;
        Some(place.path().to_str().unwrap().to_owned())
    }

    #[test]
    fn parts_of_the_address_go_where_the_template_says() {
        let template = "/srv/mail/{domain}/{local}/Maildir";
        for (recipient, expected) in [
            ("alice@example.org", "/srv/mail/example.org/alice/Maildir"),
            (
                "Alice+List@EXAMPLE.org",
                "/srv/mail/example.org/alice/Maildir",
            ),
            (
                "\"alice\"@example.org",
                "/srv/mail/example.org/alice/Maildir",
            ),
            ("+x@example.org", "/srv/mail/example.org/+x/Maildir"),
            ("Käthe@example.org", "/srv/mail/example.org/käthe/Maildir"),
            (
                "{domain}@example.org",
                "/srv/mail/example.org/{domain}/Maildir",
            ),
            (
                "a@Bücher.example",
                "/srv/mail/xn--bcher-kva.example/a/Maildir",
            ),
            (
                "a@XN--bcher-kva.example",
                "/srv/mail/xn--bcher-kva.example/a/Maildir",
            ),
            // What is no domain after its mapping is no path of its own either.
            ("a@x／y.example", "/srv/mail/x／y.example/a/Maildir"),
            ("a@．．", "/srv/mail/．．/a/Maildir"),
        ] {
            assert_eq!(
                path(template, recipient).as_deref(),
                Some(expected),
                "{recipient}"
            );
        }
        assert_eq!(
            path("/m/{local}@{domain}", "a@b").as_deref(),
            Some("/m/a@b")
        );
        assert_eq!(path("/m/one", "a@b").as_deref(), Some("/m/one"));
    }

    #[test]
    fn local_parts_that_would_lead_elsewhere_are_no_user() {
        for recipient in [
            "\"../etc\"@x.org",
            "\"a/b\"@x.org",
            "\"a/../../b\"@x.org",
            "\"..\"@x.org",
            "\".hidden\"@x.org",
            "\"..+a\"@x.org",
            "\"/\"@x.org",
        ] {
            assert_eq!(
                path("/srv/{domain}/{local}", recipient),
                None,
                "{recipient}"
            );
        }
    }

    #[test]
    fn a_name_that_is_too_long_for_a_directory_is_no_user() {
        // 64 octets of a letter whose lower case is longer.
        let recipient = format!("{}@x.org", "İ".repeat(32));
        let template = format!("/srv/{{local}}{}", "x".repeat(200));
        assert_eq!(path(&template, &recipient), None);
    }

    #[test]
    fn templates_that_say_too_much_are_refused() {
        for (text, error) in [
            ("srv/{local}", TemplateError::NotAbsolute),
            ("", TemplateError::NotAbsolute),
            ("/srv/../{local}", TemplateError::Dots),
            ("/srv/{user}", TemplateError::Placeholder),
            ("/srv/{local", TemplateError::Placeholder),
        ] {
            assert_eq!(
                Template::parse(text, None, Domains::Named),
                Err(error),
                "{text}"
            );
        }
    }
}
