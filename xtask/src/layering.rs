//! Which crate may depend on which: the architecture, as far as a compiler can see it.

use std::process::Command;

use serde_json::Value;

use crate::workspace::{Finding, Workspace};

/// What one crate of the workspace may depend on.
struct Rule {
    name: &'static str,
    layer: u8,
    may: &'static [&'static str],
    outside: Outside,
}

/// Which crates from elsewhere may be named.
#[derive(Clone, Copy, PartialEq)]
enum Outside {
    /// Those that do no input or output.
    Pure,
    /// Files, but neither sockets nor a runtime.
    Blocking,
    /// Whatever the workspace declares.
    Any,
}

/// The layers, lowest first. An edge that is not here is an error, and so is one that is here and
/// does not lead to a lower layer.
const RULES: &[Rule] = &[
    rule("mail", 0, &[], Outside::Pure),
    rule("smtp", 1, &["mail"], Outside::Pure),
    rule("policy", 1, &["mail"], Outside::Pure),
    rule("queue", 1, &["mail"], Outside::Pure),
    rule("spool", 1, &["mail"], Outside::Blocking),
    rule("events", 2, &["mail"], Outside::Any),
    rule("operate", 3, &["events", "mail", "net"], Outside::Any),
    rule("maildrop", 3, &["mail"], Outside::Blocking),
    rule("net", 2, &["mail", "smtp"], Outside::Any),
    rule("config", 3, &["mail", "net", "policy"], Outside::Any),
    rule("handoff", 3, &["mail", "net", "smtp"], Outside::Any),
    rule("dns", 3, &["mail"], Outside::Any),
    rule(
        "supervisor",
        4,
        &["config", "mail", "maildrop", "net"],
        Outside::Any,
    ),
    rule(
        "intake",
        4,
        &["handoff", "mail", "net", "policy", "smtp", "spool"],
        Outside::Any,
    ),
    rule(
        "delivery",
        4,
        &["dns", "handoff", "mail", "net", "queue", "smtp", "spool"],
        Outside::Any,
    ),
    rule(
        "mta",
        5,
        &[
            "config",
            "delivery",
            "dns",
            "events",
            "handoff",
            "intake",
            "mail",
            "maildrop",
            "net",
            "operate",
            "policy",
            "queue",
            "smtp",
            "spool",
            "supervisor",
        ],
        Outside::Any,
    ),
    rule("testkit", 1, &["mail"], Outside::Any),
    rule("xtask", 1, &["mail"], Outside::Any),
];

const PURE: &[&str] = &["idna", "memchr", "thiserror"];
const BLOCKING: &[&str] = &["crc-fast", "memchr", "rustix", "thiserror"];

/// From this layer up, tests may use `testkit`; lower crates test themselves with tables and
/// simulation, which keeps the graph free of cycles.
const TESTKIT_LAYER_MIN: u8 = 3;

const fn rule(
    name: &'static str,
    layer: u8,
    may: &'static [&'static str],
    outside: Outside,
) -> Rule {
    Rule {
        name,
        layer,
        may,
        outside,
    }
}

/// The folder of a crate, which is its name in the rules.
pub(crate) fn crate_names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.name)
}

/// Compares the manifests with the rules.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let metadata = match metadata(workspace) {
        Ok(metadata) => metadata,
        Err(text) => return vec![Finding::new("Cargo.toml", text)],
    };
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        check_package(workspace, package, &mut findings);
    }
    findings
}

fn check_package(workspace: &Workspace, package: &Value, findings: &mut Vec<Finding>) {
    let manifest = text(package, "manifest_path");
    let folder = manifest
        .trim_end_matches("/Cargo.toml")
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let path = manifest
        .strip_prefix(&*workspace.root.to_string_lossy())
        .unwrap_or(manifest);
    let path = path.trim_start_matches('/');
    let Some(rule) = find(folder) else {
        findings.push(Finding::new(
            path,
            "a crate without a rule in xtask/src/layering.rs",
        ));
        return;
    };
    if !inherits_lints(workspace, path) {
        findings.push(Finding::new(
            path,
            "lacks `[lints]` with `workspace = true`",
        ));
    }
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        if let Some(wrong) = judge(rule, dependency) {
            findings.push(Finding::new(path, wrong));
        }
    }
}

/// What is wrong with a dependency of the crate that `rule` is about.
fn judge(rule: &Rule, dependency: &Value) -> Option<String> {
    let (name, is_dev) = (text(dependency, "name"), dependency["kind"] == "dev");
    let ours = dependency["path"]
        .as_str()
        .and_then(|p| p.rsplit('/').next());
    let allowed = match ours {
        Some("testkit") => is_dev && rule.layer >= TESTKIT_LAYER_MIN,
        Some(lower) => {
            rule.may.contains(&lower) && find(lower).is_some_and(|l| l.layer < rule.layer)
        }
        None => match rule.outside {
            _ if is_dev => true,
            Outside::Pure => PURE.contains(&name),
            Outside::Blocking => BLOCKING.contains(&name),
            Outside::Any => true,
        },
    };
    (!allowed).then(|| format!("`{}` may not depend on `{name}`", rule.name))
}

fn inherits_lints(workspace: &Workspace, manifest: &str) -> bool {
    let Some(file) = workspace.file(manifest) else {
        return false;
    };
    let mut lines = file
        .text
        .lines()
        .skip_while(|line| *line != "[lints]")
        .skip(1);
    lines.next() == Some("workspace = true")
}

fn find(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn metadata(workspace: &Workspace) -> Result<Value, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(&workspace.root)
        .output()
        .map_err(|error| format!("cargo metadata does not run: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata says no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_leads_to_a_lower_layer() {
        for rule in RULES {
            for lower in rule.may {
                let layer = find(lower).map(|r| r.layer);
                assert!(
                    layer.is_some_and(|l| l < rule.layer),
                    "{} -> {lower}",
                    rule.name
                );
            }
        }
    }

    #[test]
    fn an_edge_upwards_sideways_or_to_a_runtime_is_refused() {
        let on = |name: &str, path: Option<&str>| serde_json::json!({"name": name, "path": path});
        let policy = find("policy").expect("there is a rule");
        assert!(judge(policy, &on("postern-mail", Some("/x/crates/mail"))).is_none());
        assert!(judge(policy, &on("postern-smtp", Some("/x/crates/smtp"))).is_some());
        assert!(judge(policy, &on("postern-net", Some("/x/crates/net"))).is_some());
        assert!(judge(policy, &on("tokio", None)).is_some());
    }

    #[test]
    fn testkit_is_for_the_tests_of_the_upper_layers() {
        let dev = serde_json::json!({"name": "t", "path": "/x/testkit", "kind": "dev"});
        let normal = serde_json::json!({"name": "t", "path": "/x/testkit", "kind": null});
        assert!(judge(find("mta").expect("there is a rule"), &dev).is_none());
        assert!(judge(find("mta").expect("there is a rule"), &normal).is_some());
        assert!(judge(find("net").expect("there is a rule"), &dev).is_some());
    }
}
