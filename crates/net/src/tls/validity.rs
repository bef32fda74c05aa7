//! From when to when certificates are valid.
//!
//! Nothing here reads a certificate: the verifier of the TLS library is asked about its first and
//! its last moment, at the beginning and at the end of time, and says in its refusal when they are.
//!
//! # Standards
//! RFC 5280 §4.1.2.5.

use std::time::Duration;

use mail::Timestamp;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};

/// From when to when certificates are valid, both included, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment; the beginning of 1970 where it is earlier.
    pub not_before: Timestamp,
    /// The last moment; the end of time where the verifier does not say.
    pub not_after: Timestamp,
}

impl Validity {
    const ALWAYS: Self = Self {
        not_before: Timestamp::from_unix_ms(0),
        not_after: Timestamp::from_unix_ms(u64::MAX),
    };

    /// When all of them are.
    pub(super) fn of_all(chain: &[CertificateDer<'_>]) -> Self {
        chain
            .iter()
            .map(Self::of)
            .fold(Self::ALWAYS, |all, one| Self {
                not_before: all.not_before.max(one.not_before),
                not_after: all.not_after.min(one.not_after),
            })
    }

    fn of(certificate: &CertificateDer<'_>) -> Self {
        let refusal = |seconds| refusal(certificate, seconds);
        let Self {
            mut not_before,
            mut not_after,
        } = Self::ALWAYS;
        if let Some(CertificateError::NotValidYetContext { not_before: at, .. }) = refusal(0) {
            not_before = timestamp(at);
        }
        if let Some(CertificateError::ExpiredContext { not_after: at, .. }) = refusal(u64::MAX) {
            not_after = timestamp(at);
        }
        Self {
            not_before,
            not_after,
        }
    }
}

/// Why the certificate would not be taken so many seconds after 1970 began. Nobody is trusted, so
/// it never would be; but the time is looked at first.
fn refusal(certificate: &CertificateDer<'_>, seconds: u64) -> Option<CertificateError> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let nobody = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], at, algorithms.all) {
        Err(Error::InvalidCertificate(error)) => Some(error),
        Err(_) | Ok(()) => None,
    }
}

fn timestamp(at: UnixTime) -> Timestamp {
    Timestamp::from_unix_ms(at.as_secs().saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, to: i32, is_ca: IsCa) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["mail.example.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params.is_ca = is_ca;
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        made.der().clone()
    }

    /// The first of January, as a date.
    fn years(validity: Validity) -> [String; 2] {
        [validity.not_before, validity.not_after].map(|at| at.rfc3339().to_string())
    }

    #[test]
    fn the_verifier_says_when_a_certificate_begins_and_ends_whatever_it_is_for() {
        let of_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, of_ca] {
            for (from, to) in [(2020, 2021), (2026, 2027), (2040, 2060), (2019, 3000)] {
                let found = Validity::of(&certificate(from, to, is_ca));
                let expected = [from, to].map(|year| format!("{year}-01-01T00:00:00.000Z"));
                assert_eq!(years(found), expected);
            }
        }
    }

    #[test]
    fn a_chain_is_valid_while_all_of_it_is() {
        let chain = [(2020, 2030), (2022, 2040), (2010, 2025)];
        let chain = chain.map(|(from, to)| certificate(from, to, IsCa::NoCa));
        let expected = ["2022-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"];
        assert_eq!(years(Validity::of_all(&chain)), expected);
    }
}
