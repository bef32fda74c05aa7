//! What `sendmail` needs to know of the system: its name, its door and its maildrop.

use std::path::{Path, PathBuf};

use config::{Config, Role, STATE_DEFAULT};
use maildrop::Maildrop;

use super::super::arguments::SystemArguments;
use super::super::exit::Failure;
use super::super::submission::{Door, SubmitError};
use super::super::system::{self, System};
use super::{failure, sysexits};

/// What this machine is called, where the configuration does not say it.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// A system as a local program sees it.
pub(super) struct Site {
    /// What completes addresses.
    pub(super) hostname: Box<str>,
    /// Where submission listens.
    pub(super) door: Result<Door, SubmitError>,
    /// The largest message that submission takes, in octets.
    pub(super) message_size: Option<u64>,
    /// With the maildrop.
    pub(super) state: PathBuf,
    /// As it is named in texts.
    pub(super) system: Option<System>,
}

impl Site {
    /// Finds it. Where the configuration cannot be read, the usual maildrop serves: a mistake in a
    /// file keeps no program from sending.
    ///
    /// # Errors
    /// When there is no such system, or one without submission.
    pub(super) fn find(arguments: &SystemArguments) -> Result<Self, Failure> {
        let source = system::source(arguments);
        let config = match system::config(&source) {
            Ok(config) => config,
            Err(Failure { text, .. }) => {
                let state = source.state.clone().or_else(|| {
                    let is_usual = source.file.as_deref() == Some(Path::new(system::USUAL_FILE));
                    is_usual.then(|| PathBuf::from(STATE_DEFAULT))
                });
                return Self::without_config(state.as_deref())
                    .ok_or_else(|| failure(sysexits::CONFIG, text));
            }
        };
        let door = Door::of(&config, arguments.instance.as_deref());
        if let Err(error @ SubmitError::Unknown(_)) = door {
            return Err(failure(sysexits::CONFIG, error.to_string()));
        }
        let submission = |config: &Config| {
            let mut instances = config.instances.iter();
            let found = instances.find(|instance| instance.role == Role::Submission)?;
            Some(found.limits.message_size)
        };
        let message_size = submission(&config);
        if message_size.is_none() {
            let text = "the configuration has no submission instance".to_owned();
            return Err(failure(sysexits::CONFIG, text));
        }
        Ok(Self {
            hostname: config.hostname.clone(),
            door,
            message_size,
            state: config.state.clone(),
            system: Some(System::of(&source, &config)),
        })
    }

    fn without_config(state: Option<&Path>) -> Option<Self> {
        let state = state?;
        if !Maildrop::of(state).new_folder().exists() {
            return None;
        }
        let name = std::fs::read_to_string(HOSTNAME_FILE).unwrap_or_default();
        let name = name.trim();
        let is_domain = mail::Mailbox::parse(&format!("postmaster@{name}")).is_ok();
        let hostname = if is_domain { name } else { "localhost" };
        Some(Self {
            hostname: hostname.into(),
            door: Err(SubmitError::NoDoor),
            message_size: None,
            state: state.to_owned(),
            system: None,
        })
    }

    /// Why submission did not take a message.
    pub(super) fn explain(&self, error: &SubmitError) -> String {
        match &self.system {
            Some(system) => error.failure(system).text,
            None => error.to_string(),
        }
    }
}
