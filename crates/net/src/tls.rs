//! TLS for listeners: certificates and keys from PEM, and a self-signed pair for a first try; and
//! to other hosts, where they offer it.
//!
//! # Standards
//! RFC 3207 (STARTTLS), RFC 8314 §3.3 (implicit TLS), RFC 8996 (nothing below TLS 1.2).
//!
//! # Failure
//! A pair that cannot be used is refused when it is loaded, never at a handshake.

use std::sync::Arc;

mod handshake;
mod opportunistic;
mod validity;

use rustls::crypto::aws_lc_rs;
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
pub use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use handshake::{Counted, HANDSHAKE_LEN_MAX, accept};
pub use opportunistic::opportunistic;
pub use validity::Validity;

/// What is wrong with a certificate, a key or the pair.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file holds no certificate that can be read.
    #[error("no certificate in the PEM text: {0}")]
    Certificate(String),
    /// A self-signed certificate could not be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Generate(#[source] rcgen::Error),
    /// The key file holds no private key that can be read.
    #[error("no private key in the PEM text: {0}")]
    Key(String),
    /// The key is not that of the certificate.
    #[error("the key belongs to another certificate")]
    Mismatch,
    /// Certificate or key are of an unsupported kind.
    #[error("certificate and key cannot be used together: {0}")]
    Pair(#[source] rustls::Error),
}

/// A certificate chain and its key, as PEM text.
#[derive(Clone)]
pub struct PemPair {
    /// The chain, the server's own certificate first.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

// Written by hand so that a key cannot reach a log.
impl std::fmt::Debug for PemPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PemPair")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl PemPair {
    /// Makes a self-signed certificate for `hostname`, for trying things out.
    ///
    /// # Errors
    /// When `hostname` cannot stand in a certificate.
    pub fn self_signed(hostname: &str) -> Result<Self, TlsError> {
        let address = mail::parse_address_literal(hostname);
        let name = address.map_or_else(|| hostname.to_owned(), |address| address.to_string());
        let made = rcgen::generate_simple_self_signed(vec![name]).map_err(TlsError::Generate)?;
        Ok(Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        })
    }

    /// Makes the pair ready for handshakes.
    ///
    /// # Errors
    /// When either cannot be read, or they do not belong together.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let chain = self.chain()?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|e| TlsError::Key(e.to_string()))?;
        // The provider is named because a dependency that enables another one would make the
        // default ambiguous, and that ends in a panic at run time.
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    TlsError::Mismatch
                }
                other => TlsError::Pair(other),
            })?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// When all certificates of the chain are valid.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn validity(&self) -> Result<Validity, TlsError> {
        Ok(Validity::of_all(&self.chain()?))
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| TlsError::Certificate(e.to_string()))?;
        if chain.is_empty() {
            return Err(TlsError::Certificate("the file holds none".into()));
        }
        Ok(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_pair_is_usable_at_once() {
        let pair = PemPair::self_signed("mail.example.test").unwrap();
        assert!(pair.acceptor().is_ok());
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_self_signed_pair_for_an_address_names_the_address() {
        for (literal, address) in [
            ("[192.0.2.1]", &[192, 0, 2, 1][..]),
            (
                "[IPv6:::1]",
                &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            ),
        ] {
            let pair = PemPair::self_signed(literal).unwrap();
            let der = pair.chain().unwrap().remove(0);
            // An alternative name of the kind iPAddress (RFC 5280 §4.2.1.6).
            let name = [&[0x87, u8::try_from(address.len()).unwrap()], address].concat();
            assert!(
                der.windows(name.len()).any(|part| part == name),
                "{literal}"
            );
        }
    }

    #[test]
    fn a_pair_that_does_not_belong_together_is_refused_when_loaded() {
        let mut pair = PemPair::self_signed("a.test").unwrap();
        pair.key = PemPair::self_signed("b.test").unwrap().key;
        assert!(matches!(pair.acceptor(), Err(TlsError::Mismatch)));
        pair.key = "no key".into();
        assert!(matches!(pair.acceptor(), Err(TlsError::Key(_))));
        pair.certificate = String::new();
        assert!(matches!(pair.acceptor(), Err(TlsError::Certificate(_))));
    }
}
