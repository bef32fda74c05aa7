//! Enhanced mail system status codes, such as `5.1.1`.
//!
//! # Standards
//! RFC 3463; RFC 2034 for their place in replies.

use std::fmt;

/// An enhanced status code: class (2, 4 or 5), subject and detail (0 to 999 each).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedStatus {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedStatus {
    /// A code known when this program is compiled; a wrong one does not compile as a constant.
    ///
    /// # Panics
    /// When the class is not 2, 4 or 5, or a part is over 999.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        assert!(matches!(class, 2 | 4 | 5) && subject <= 999 && detail <= 999);
        Self {
            class,
            subject,
            detail,
        }
    }

    /// Reads `class.subject.detail` and nothing after it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let class = match parts.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let mut number = || -> Option<u16> {
            let part = parts.next()?;
            let plain = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse().ok()).flatten()
        };
        Some(Self {
            class,
            subject: number()?,
            detail: number()?,
        })
    }

    /// 2 for success, 4 for a persistent transient failure, 5 for a permanent one.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.class
    }

    /// The second number: what the status is about (1 addressing, 2 mailbox, 3 system, …).
    #[must_use]
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The third number.
    #[must_use]
    pub const fn detail(self) -> u16 {
        self.detail
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_of_the_standard_is_read() {
        for good in ["2.0.0", "4.7.650", "5.1.10"] {
            assert_eq!(
                EnhancedStatus::parse(good)
                    .map(|s| s.to_string())
                    .as_deref(),
                Some(good)
            );
        }
        for bad in [
            "", "3.0.0", "5.1", "5.1.", "5.1.1000", "5.1.1.1", "5.+1.1", "5.1.1 x",
        ] {
            assert_eq!(EnhancedStatus::parse(bad), None, "{bad}");
        }
    }
}
