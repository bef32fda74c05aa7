//! `check`: the graph of instances, and every finding about the configuration.

use config::{Config, Finding, Location, Problems, Severity};
use serde_json::{Value, json};
use supervisor::Source;

use super::arguments::SystemArguments;
use super::exit::{Exit, Failure};
use super::output::{Page, print_json};
use super::system;

/// Reads and checks; changes nothing.
///
/// # Errors
/// When the configuration cannot be read at all: its problems, a line each. With `--json` they are
/// printed as findings.
pub(crate) fn run(arguments: &SystemArguments, source: &Source) -> Result<Exit, Failure> {
    let config = match source.load() {
        Ok(config) => config,
        Err(problems) if arguments.json => {
            print_json(&answer(source, &of_problems(&problems)));
            return Ok(Exit::Error);
        }
        Err(problems) => return Err(Failure::error(problems.to_string())),
    };
    let mut findings = config.check();
    findings.extend(config.check_files());
    if arguments.json {
        let values: Vec<Value> = findings.iter().map(of_finding).collect();
        print_json(&answer(source, &values));
    } else {
        page(source, &config, &findings).print();
    }
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    Ok(if findings.iter().any(is_error) {
        Exit::Error
    } else {
        Exit::Done
    })
}

fn page(source: &Source, config: &Config, findings: &[Finding]) -> Page {
    let mut page = Page::default();
    page.line(format!("configuration: {}", system::named(source)));
    config.graph().lines().for_each(|line| page.line(line));
    let mut has_errors = false;
    for finding in findings {
        has_errors |= finding.severity == Severity::Error;
        finding.to_string().lines().for_each(|line| page.line(line));
    }
    page.line(match (has_errors, findings.len()) {
        (true, _) => "the configuration cannot be used",
        (false, 0) => "the configuration is good",
        (false, _) => "the configuration can be used",
    });
    page
}

fn answer(source: &Source, findings: &[Value]) -> Value {
    json!({
        "configuration": source.file,
        "good": findings.iter().all(|finding| finding["error"] == json!(false)),
        "findings": findings,
    })
}

fn of_problems(problems: &Problems) -> Vec<Value> {
    let value = |at: &Location, message: &str| value(true, at, message, None);
    let each = problems.iter();
    each.map(|problem| value(&problem.at, &problem.text))
        .collect()
}

fn of_finding(finding: &Finding) -> Value {
    let is_error = finding.severity == Severity::Error;
    let example = finding.example.as_deref();
    value(is_error, &finding.at, &finding.text, example)
}

fn value(is_error: bool, at: &Location, text: &str, example: Option<&str>) -> Value {
    json!({
        "error": is_error,
        "file": at.file,
        "line": at.position.map(|position| position.line),
        "column": at.position.map(|position| position.column),
        "text": text,
        "example": example,
    })
}
