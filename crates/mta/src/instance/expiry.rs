//! A certificate that ends soon or has ended, or is not valid yet: an alarm, and again each day.

use mail::Timestamp;
use net::tls::Validity;

use config::certificate::concern;

/// What was said last.
#[derive(Debug, Default)]
pub(crate) struct Expiry(Option<String>);

impl Expiry {
    /// What is to be said of the certificate in use; it is looked at as often as somebody likes.
    pub(crate) fn look(&mut self, validity: Option<Validity>, now: Timestamp) -> Option<String> {
        // It counts days, so it changes with them.
        let concern = validity.and_then(|validity| concern(validity, now));
        let is_news = concern != self.0;
        self.0.clone_from(&concern);
        concern.filter(|_| is_news)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_end_that_is_near_is_told_once_a_day_until_the_certificate_is_another() {
        let hour = |n: u64| Timestamp::from_unix_ms(n * 3_600_000);
        let until = |not_after| {
            let not_before = hour(0);
            Some(Validity {
                not_before,
                not_after,
            })
        };
        let mut expiry = Expiry::default();
        let end = hour(24 * 100);
        let mut told = Vec::new();
        for n in 0..24 * 103 {
            let said = expiry.look(until(end), hour(n));
            told.extend(said.map(|said| (n / 24, said)));
            assert_eq!(expiry.look(until(end), hour(n)), None);
        }
        let days: Vec<u64> = told.iter().map(|(day, _)| *day).collect();
        assert_eq!(days, (86..103).collect::<Vec<_>>(), "{told:?}");
        let renewed = until(end.after(Duration::from_secs(90 * 86_400)));
        assert_eq!(expiry.look(renewed, hour(24 * 103)), None);
        assert_eq!(expiry.look(None, hour(24 * 104)), None);
    }
}
