//! The certificate of an instance: read from its files, and what an operator should know of it.
//!
//! # Guarantees
//! No file is written over: a certificate is made only where neither file is there.
//!
//! # Limits
//! A file holds [`PEM_LEN_MAX`] octets at most.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use mail::Timestamp;
use net::tls::{PemPair, TlsAcceptor, TlsError, Validity};

use crate::regular_file;
use crate::{MissingCertificate, Tls};

/// The longest PEM file that is read, in octets.
const PEM_LEN_MAX: u64 = 1 << 20;

/// How long before its end a certificate is spoken of: programs that renew them do so a month
/// before, so one that is so near its end was forgotten.
const SOON: Duration = Duration::from_secs(14 * DAY);

const DAY: u64 = 86_400;

/// A certificate and its key, ready for handshakes.
#[derive(Clone)]
pub struct Certificate {
    /// What shakes hands.
    pub acceptor: TlsAcceptor,
    /// When it is valid, and all that is shown with it.
    pub validity: Validity,
}

/// One of the two files, as the configuration calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `certificate`.
    Certificate,
    /// `key`.
    Key,
}

/// What is wrong with a file, which the text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Which.
    pub part: Part,
    /// In words for the operator.
    pub text: String,
}

impl Certificate {
    /// As [`Self::read`]; makes one before where the configuration says so. Blocks.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn read_or_make(tls: &Tls, hostname: &str) -> Result<Self, String> {
        if tls.will_be_made() {
            make(tls, hostname)?;
        }
        Self::read(tls).map_err(|flaws| {
            let texts: Vec<String> = flaws.into_iter().map(|flaw| flaw.text).collect();
            texts.join("; ")
        })
    }

    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// At least one, in the order of the configuration.
    pub fn read(tls: &Tls) -> Result<Self, Vec<Flaw>> {
        let certificate = pem(&tls.certificate, "CERTIFICATE-----");
        let key = pem(&tls.key, "PRIVATE KEY-----");
        let pair = match (certificate, key) {
            (Ok(certificate), Ok(key)) => PemPair { certificate, key },
            (Err(_), Ok(_)) if is_half_made(tls) => {
                let (certificate, key) = (tls.certificate.display(), tls.key.display());
                let text = format!(
                    "{certificate} is not there, but its key {key} is: put it back, or remove the \
                     key to have both made anew"
                );
                let part = Part::Certificate;
                return Err(vec![Flaw { part, text }]);
            }
            (certificate, key) => {
                let flaw = |part| move |text| Flaw { part, text };
                let certificate = certificate.err().map(flaw(Part::Certificate));
                let key = key.err().map(flaw(Part::Key));
                return Err(certificate.into_iter().chain(key).collect());
            }
        };
        let made = pair.acceptor().and_then(|acceptor| {
            let validity = pair.validity()?;
            Ok(Self { acceptor, validity })
        });
        made.map_err(|error| vec![flaw(tls, &error)])
    }
}

impl Tls {
    /// Whether its files are made when an instance starts.
    pub fn will_be_made(&self) -> bool {
        let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
        match self.missing {
            MissingCertificate::Refuse => false,
            MissingCertificate::SelfSigned => !is_there(&self.certificate) && !is_there(&self.key),
        }
    }
}

/// Whether only the key is there of files that are made where they are missing.
fn is_half_made(tls: &Tls) -> bool {
    tls.missing == MissingCertificate::SelfSigned && fs::symlink_metadata(&tls.certificate).is_err()
}

/// Makes both files. Another instance may do the same at this moment: the first makes them.
fn make(tls: &Tls, hostname: &str) -> Result<(), String> {
    let made = PemPair::self_signed(hostname).map_err(|error| error.to_string())?;
    for (path, text) in [(&tls.key, &made.key), (&tls.certificate, &made.certificate)] {
        match write_new(path, text) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            written => written.map_err(|error| format!("{}: {error}", path.display()))?,
        }
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    // An empty file would keep every later start from being one.
    file.sync_all()
}

fn flaw(tls: &Tls, error: &TlsError) -> Flaw {
    let (certificate, key) = (tls.certificate.display(), tls.key.display());
    let (part, text) = match error {
        TlsError::Key(_) => (Part::Key, format!("{key}: {error}")),
        TlsError::Mismatch => {
            let text = format!("{key} is not the key of {certificate}, but of another certificate");
            (Part::Key, text)
        }
        TlsError::Certificate(_) | TlsError::Generate(_) | TlsError::Pair(_) => {
            (Part::Certificate, format!("{certificate}: {error}"))
        }
    };
    Flaw { part, text }
}

/// The text of a file that can be read and holds such a block.
fn pem(path: &Path, label: &str) -> Result<String, String> {
    let mut text = String::new();
    regular_file::open(path)
        .and_then(|file| file.take(PEM_LEN_MAX).read_to_string(&mut text))
        .map_err(|error: io::Error| format!("{} cannot be read: {error}", path.display()))?;
    let found = text
        .lines()
        .any(|line| line.starts_with("-----BEGIN ") && line.ends_with(label));
    if found {
        Ok(text)
    } else {
        let kind = label.trim_end_matches('-').to_lowercase();
        Err(format!("{} holds no {kind} in PEM form", path.display()))
    }
}

/// What an operator should know of when a certificate is valid, as the rest of a sentence about it.
pub fn concern(validity: Validity, now: Timestamp) -> Option<String> {
    let Validity {
        not_before,
        not_after,
    } = validity;
    if now > not_after {
        let ago = days(now.since(not_after));
        Some(format!("expired on {}, {ago} ago", day(not_after)))
    } else if now < not_before {
        Some(format!("is not valid before {}", day(not_before)))
    } else if now.after(SOON) > not_after {
        let left = days(not_after.since(now));
        Some(format!("expires on {}, in {left}", day(not_after)))
    } else {
        None
    }
}

/// Its day, in UTC.
fn day(at: Timestamp) -> String {
    at.rfc3339().to_string().chars().take(10).collect()
}

fn days(time: Duration) -> String {
    match time.as_secs() / DAY {
        0 => "less than a day".to_owned(),
        1 => "a day".to_owned(),
        n => format!("{n} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_whose_certificate_is_gone_is_not_written_over() {
        let folder = testkit::Scratch::new();
        let file = |name: &str| folder.path().join("tls").join(name);
        let tls = Tls {
            certificate: file("certificate.pem"),
            key: file("key.pem"),
            missing: MissingCertificate::SelfSigned,
        };
        Certificate::read_or_make(&tls, "mail.example.test")
            .map(|_| ())
            .unwrap();
        let key = fs::read(&tls.key).unwrap();
        fs::rename(&tls.certificate, file("aside")).unwrap();
        let again = Certificate::read_or_make(&tls, "mail.example.test").map(|_| ());
        let text = again.unwrap_err();
        assert!(
            text.contains("remove the key to have both made anew"),
            "{text}"
        );
        assert_eq!(fs::read(&tls.key).unwrap(), key);
        fs::rename(file("aside"), &tls.certificate).unwrap();
        Certificate::read_or_make(&tls, "mail.example.test")
            .map(|_| ())
            .unwrap();
    }

    /// As where two instances show the same certificate and start at once.
    #[test]
    fn of_two_that_make_the_same_pair_at_once_one_does() {
        let folder = testkit::Scratch::new();
        let file = |name: &str| folder.path().join(name);
        let tls = Tls {
            certificate: file("certificate.pem"),
            key: file("key.pem"),
            missing: MissingCertificate::SelfSigned,
        };
        make(&tls, "mail.example.test").unwrap();
        make(&tls, "mail.example.test").unwrap();
        Certificate::read(&tls).map(|_| ()).unwrap();
    }

    #[test]
    fn two_weeks_before_its_end_a_certificate_is_spoken_of() {
        let at = |day: u64| Timestamp::from_unix_ms(day * DAY * 1000);
        let validity = Validity {
            not_before: at(10_000),
            not_after: at(10_100),
        };
        for (now, words) in [
            (9_999, Some("is not valid before 1997-05-19")),
            (10_000, None),
            (10_086, None),
            (10_087, Some("expires on 1997-08-27, in 13 days")),
            (10_099, Some("expires on 1997-08-27, in a day")),
            (10_100, Some("expires on 1997-08-27, in less than a day")),
            (10_102, Some("expired on 1997-08-27, 2 days ago")),
        ] {
            assert_eq!(concern(validity, at(now)).as_deref(), words, "{now}");
        }
    }
}
