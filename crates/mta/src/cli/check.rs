//! `check`: the graph of instances, and every finding about the configuration.

use serde_json::json;

use super::arguments::SystemArguments;
use super::exit::{Exit, Failure};
use super::output::{Page, print_json};
use super::system;
use crate::config::Severity;
use crate::supervisor::Source;

/// Reads and checks; changes nothing.
///
/// # Errors
/// When the configuration cannot be read at all: its problems, a line each.
pub(crate) fn run(arguments: &SystemArguments, source: &Source) -> Result<Exit, Failure> {
    let config = system::config(source)?;
    let findings: Vec<_> = config
        .check()
        .into_iter()
        .chain(config.check_files())
        .collect();
    let has_errors = findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    if arguments.json {
        let findings: Vec<_> = findings
            .iter()
            .map(|finding| {
                let is_error = finding.severity == Severity::Error;
                json!({"error": is_error, "text": finding.to_string()})
            })
            .collect();
        print_json(&json!({
            "configuration": source.file,
            "good": !has_errors,
            "findings": findings,
        }));
    } else {
        let mut page = Page::default();
        page.line(format!("configuration: {}", system::named(source)));
        config.graph().lines().for_each(|line| page.line(line));
        findings.iter().for_each(|finding| page.line(finding));
        page.line(match (has_errors, findings.len()) {
            (true, _) => "the configuration cannot be used",
            (false, 0) => "the configuration is good",
            (false, _) => "the configuration can be used",
        });
        page.print();
    }
    Ok(if has_errors { Exit::Error } else { Exit::Done })
}
