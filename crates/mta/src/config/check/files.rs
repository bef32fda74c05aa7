//! The files that a configuration names.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use net::tls::PemPair;

use super::Findings;
use crate::config::model::{InstanceConfig, MissingCertificate, Tls};

/// The longest PEM file that is looked at, in octets.
const PEM_LEN_MAX: u64 = 1 << 20;

/// Permissions of others, of which a key must have none.
const OTHERS: u32 = 0o007;

pub(super) fn check(findings: &mut Findings<'_>) {
    for instance in &findings.config.instances {
        if let Some(tls) = &instance.tls {
            certificate(findings, instance, tls);
        }
    }
}

fn certificate(findings: &mut Findings<'_>, on: &InstanceConfig, tls: &Tls) {
    let both_missing = !tls.certificate.exists() && !tls.key.exists();
    match tls.missing {
        // They are made at start.
        MissingCertificate::SelfSigned if both_missing => return,
        MissingCertificate::Refuse | MissingCertificate::SelfSigned => {}
    }
    let chain = pem(&tls.certificate, "CERTIFICATE-----");
    let key = pem(&tls.key, "PRIVATE KEY-----");
    match (chain, key) {
        (Ok(certificate), Ok(key)) => {
            if let Err(error) = (PemPair { certificate, key }).acceptor() {
                let text = format!("{}: {error}", tls.certificate.display());
                findings.error(on, &["tls", "certificate"], text);
            }
        }
        (chain, key) => {
            for (name, text) in [("certificate", chain.err()), ("key", key.err())] {
                if let Some(text) = text {
                    findings.error(on, &["tls", name], text);
                }
            }
        }
    }
    let mode = fs::metadata(&tls.key).map_or(0, |metadata| metadata.permissions().mode());
    if mode & OTHERS != 0 {
        let text = format!(
            "{} can be read by every user; chmod it to 600",
            tls.key.display()
        );
        findings.warning(on, &["tls", "key"], text);
    }
}

/// The text of a file that can be read and holds such a block.
fn pem(path: &Path, label: &str) -> Result<String, String> {
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(PEM_LEN_MAX).read_to_string(&mut text))
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
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
