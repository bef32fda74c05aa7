//! The files that a configuration names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mail::Timestamp;

use super::Findings;
use crate::certificate::{Certificate, Flaw, Part, concern};
use crate::model::{InstanceConfig, Tls};

/// Permissions of others, of which a key must have none.
const OTHERS: u32 = 0o007;

pub(super) fn check(findings: &mut Findings<'_>, now: Timestamp) {
    log(findings);
    for instance in &findings.config.instances {
        if let Some(tls) = &instance.tls {
            certificate(findings, instance, tls, now);
        }
    }
}

/// Mail does not wait for the log, so that it cannot be written keeps nothing from starting.
fn log(findings: &mut Findings<'_>) {
    let config = findings.config;
    let folder = config.log.file.as_deref().and_then(Path::parent);
    // Below the state directory it is made at start.
    let folder = folder.filter(|folder| !folder.starts_with(&config.state) && !folder.is_dir());
    if let Some(folder) = folder {
        let text = format!(
            "the log cannot be written: directory {} does not exist; create it, writable by \
             Postern's user",
            folder.display()
        );
        findings.warning_at(&["log", "file"], text);
    }
}

fn certificate(findings: &mut Findings<'_>, on: &InstanceConfig, tls: &Tls, now: Timestamp) {
    if tls.will_be_made() {
        return;
    }
    match Certificate::read(tls) {
        // That it is late is no reason not to start: who does not verify takes mail all the same.
        Ok(read) => {
            if let Some(concern) = concern(read.validity, now) {
                let text = format!(
                    "{} {concern}; once it is renewed, a running system takes it up by itself",
                    tls.certificate.display()
                );
                findings.warning(on, &["tls", "certificate"], text);
            }
        }
        Err(flaws) => {
            for Flaw { part, text } in flaws {
                let key = match part {
                    Part::Certificate => "certificate",
                    Part::Key => "key",
                };
                findings.error(on, &["tls", key], text);
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
