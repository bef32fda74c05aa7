//! Certificates that begin and end when a test wants.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Writes a self-signed certificate and its key, in PEM, into two files with the modes that such
/// files should have. It is valid from `begin` to `end`, both since 1970 began.
///
/// # Panics
/// When the files cannot be written.
pub fn write(certificate: &Path, key: &Path, begin: Duration, end: Duration) {
    let names = vec!["mail.example.test".to_owned()];
    let mut params = CertificateParams::new(names).expect("a name that can be certified");
    params.not_before = date_time_ymd(1970, 1, 1) + begin;
    params.not_after = date_time_ymd(1970, 1, 1) + end;
    let pair = KeyPair::generate().expect("there is randomness");
    let made = params.self_signed(&pair).expect("it can be signed");
    for (path, text, mode) in [
        (certificate, made.pem(), 0o644),
        (key, pair.serialize_pem(), 0o600),
    ] {
        std::fs::write(path, text).expect("the file can be written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("its mode can be changed");
    }
}

/// The time since 1970 began.
///
/// # Panics
/// When the clock is before that.
pub fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock that is not that wrong")
}
