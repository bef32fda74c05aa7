//! Findings about a configuration as a whole: what no single setting shows.
//!
//! Each file below looks at one thing; none of them changes or stops anything. An error means
//! that the configuration must not be used, a warning that somebody should look at it.

mod exposure;
mod files;
mod left;
mod limits;
mod listeners;
mod next;
mod peers;
mod routes;

use mail::Timestamp;

use super::Config;
use super::model::InstanceConfig;
use super::problem::{Finding, Location, Severity};

/// Looks at the configuration alone.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Findings::new(config);
    next::check(&mut findings);
    listeners::check(&mut findings);
    exposure::check(&mut findings);
    routes::check(&mut findings);
    peers::check(&mut findings);
    limits::check(&mut findings);
    findings.sorted()
}

/// Looks at the files that it names, `now`.
pub(super) fn check_files(config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut findings = Findings::new(config);
    files::check(&mut findings, now);
    left::check(&mut findings);
    findings.sorted()
}

/// What was found so far.
struct Findings<'a> {
    config: &'a Config,
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    const fn new(config: &'a Config) -> Self {
        Self {
            config,
            list: Vec::new(),
        }
    }

    /// Notes an error about a setting of an instance; the path leads to it from the instance.
    fn error(&mut self, instance: &InstanceConfig, path: &[&str], text: String) {
        self.note(Severity::Error, instance, path, text);
    }

    /// Gives the last finding lines that could be written.
    fn add_example(&mut self, example: String) {
        if let Some(last) = self.list.last_mut() {
            last.example = Some(example);
        }
    }

    /// Notes a warning about a setting of an instance.
    fn warning(&mut self, instance: &InstanceConfig, path: &[&str], text: String) {
        self.note(Severity::Warning, instance, path, text);
    }

    /// Notes a warning about what all instances share; the path leads to it from the top.
    fn warning_at(&mut self, path: &[&str], text: String) {
        self.push(Severity::Warning, path, text);
    }

    fn note(&mut self, severity: Severity, on: &InstanceConfig, path: &[&str], text: String) {
        let whole = [&["instance", on.name.as_str()], path].concat();
        self.push(severity, &whole, text);
    }

    fn push(&mut self, severity: Severity, path: &[&str], text: String) {
        let position = self.config.tree.locate(path);
        let at = Location {
            file: self.config.file.clone(),
            position,
        };
        self.list.push(Finding {
            severity,
            at,
            text,
            example: None,
        });
    }

    /// In the order of the file, errors before warnings where both stand at one place.
    fn sorted(mut self) -> Vec<Finding> {
        self.list
            .sort_by_key(|finding| (finding.at.position, finding.severity));
        self.list
    }
}
