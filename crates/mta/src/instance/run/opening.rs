//! Opening the spool of an instance, also while an earlier process still has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::Config;
use config::certificate::Certificate;
use mail::InstanceName;
use net::{Clock, Entropy};
use spool::{Options, RealDisk, Recovery, Spool};

use super::own_part;
use crate::errors::with_causes;
use crate::instance::bootstrap::Bootstrap;

/// How long a new process waits for an earlier one to give up the spool.
pub(super) const SPOOL_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it looks: clients wait meanwhile.
const SPOOL_WAIT_INTERVAL: Duration = Duration::from_millis(5);

/// Finds what would keep it from beginning, for as far as that can be seen while an earlier process
/// works; the spool, where there is none.
pub(super) fn try_to_begin(
    bootstrap: &Bootstrap,
    config: &Config,
) -> Result<Option<(Spool, Recovery)>, String> {
    let own = own_part(config, &bootstrap.name)?;
    if let Some(tls) = &own.tls {
        Certificate::read_or_make(tls, &config.hostname)?;
    }
    match open_spool(bootstrap, Duration::ZERO) {
        Ok(opened) => Ok(Some(opened)),
        Err(SpoolError::InUse(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Why there is no spool.
pub(super) enum SpoolError {
    /// Another process has it.
    InUse(String),
    /// It cannot be opened.
    Unusable(String),
}

impl From<SpoolError> for String {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::InUse(text) | SpoolError::Unusable(text) => text,
        }
    }
}

/// Where the spool of an instance lies.
pub(super) fn spool_dir(state: &Path, name: &InstanceName) -> PathBuf {
    state.join("spool").join(name.as_str())
}

/// Opens the spool; waits for an earlier process that is about to give it up.
pub(super) fn open_spool(
    bootstrap: &Bootstrap,
    patience: Duration,
) -> Result<(Spool, Recovery), SpoolError> {
    let path = spool_dir(&bootstrap.state, &bootstrap.name);
    let place = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let unusable = |e: &dyn std::fmt::Display| SpoolError::Unusable(place(e));
    // Opening says better why it is no directory.
    let _ = std::fs::create_dir_all(&path);
    let entropy = Entropy::new();
    let began = Instant::now();
    loop {
        let disk = RealDisk::open(&path).map_err(|e| unusable(&e))?;
        let mut random = [0; 32];
        random[..16].copy_from_slice(&entropy.u128().to_ne_bytes());
        random[16..].copy_from_slice(&entropy.u128().to_ne_bytes());
        let options = Options {
            epoch_floor: Clock::start().timestamp().unix_ms() / 1000,
            ..Options::new(random)
        };
        match Spool::open(Arc::new(disk), options) {
            Ok(opened) => return Ok(opened),
            Err(spool::OpenError::Locked) if began.elapsed() < patience => {
                std::thread::sleep(SPOOL_WAIT_INTERVAL);
            }
            Err(e @ spool::OpenError::Locked) => {
                return Err(SpoolError::InUse(place(&with_causes(&e))));
            }
            Err(e) => return Err(unusable(&with_causes(&e))),
        }
    }
}
