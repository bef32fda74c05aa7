//! What keeps storage from giving an answer or taking a letter, in words for operators.
//!
//! Only "not there, below a base that is" says that a mailbox does not exist. Everything else is
//! here, and passes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mail::event::What;
use rustix::io::Errno;
use rustix::process::geteuid;

/// Bases in trouble that are remembered, so that each raises one alarm; of more, none is raised.
const IN_TROUBLE_MAX: usize = 64;

/// Why storage cannot say or take something now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) path: PathBuf,
    pub(super) why: Why,
    pub(super) place: Within,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nothing at all is in it, as in a mount point whose volume is away.
    Empty,
    /// What was to be done, and what the system said.
    Failed(&'static str, Errno),
    /// It does not exist, and should.
    Missing,
    /// It is another directory than before, as when a volume is mounted or goes.
    Replaced,
    /// It takes longer than this.
    Slow(Duration),
}

/// Where trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// The directory below which all mailboxes of a template are.
    Root,
    /// A directory in which mailboxes of many are.
    Base,
    /// One mailbox.
    Mailbox,
}

impl Trouble {
    pub(super) fn failed(doing: &'static str, path: &Path, errno: Errno, place: Within) -> Self {
        Self {
            path: path.to_owned(),
            why: Why::Failed(doing, errno),
            place,
        }
    }

    /// What it is and what to do.
    pub(super) fn text(&self) -> String {
        let path = self.path.display();
        match &self.why {
            Why::Empty => format!("directory {path} is empty: is its volume mounted?"),
            Why::Failed(doing, errno) => {
                let uid = geteuid().as_raw();
                format!("cannot {doing} {path} as uid {uid}: {}", reason(*errno))
            }
            Why::Missing => {
                format!("directory {path} does not exist: mount its volume, or create it")
            }
            Why::Replaced => format!(
                "directory {path} is another one than before: is its volume mounted? If it was \
                 replaced on purpose, reload"
            ),
            Why::Slow(limit) => {
                let seconds = limit.as_secs();
                format!("storage did not answer about {path} within {seconds} seconds")
            }
        }
    }
}

/// As the system names it.
fn reason(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// Something that operators are to know of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It does not work.
    Alarm(Box<str>),
    /// It works again.
    Cleared(Box<str>),
}

impl From<News> for What {
    fn from(news: News) -> Self {
        match news {
            News::Alarm(text) => Self::Alarm { text },
            News::Cleared(text) => Self::Instance { text },
        }
    }
}

/// The bases that are in trouble.
#[derive(Debug, Default)]
pub(super) struct Bases(Mutex<BTreeSet<PathBuf>>);

impl Bases {
    /// What to tell of this trouble, once.
    pub(super) fn note(&self, trouble: &Trouble) -> Option<News> {
        if trouble.place == Within::Mailbox {
            return None;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = known.len() < IN_TROUBLE_MAX && known.insert(trouble.path.clone());
        let text = format!("mail waits: {}", trouble.text());
        is_news.then(|| News::Alarm(text.into()))
    }

    /// A mailbox at `path` was reached: all on the way to it works.
    pub(super) fn clear(&self, path: &Path) -> Option<News> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let base = known.iter().find(|base| path.starts_with(base)).cloned()?;
        known.remove(&base);
        let text = format!("directory {} can be used again", base.display());
        Some(News::Cleared(text.into()))
    }
}
