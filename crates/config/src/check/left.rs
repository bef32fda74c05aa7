//! Instances that the state directory knows and the configuration does not name.

use std::fs;

use mail::InstanceName;

use super::Findings;

/// As far as this process may look into the state directory.
pub(super) fn check(findings: &mut Findings<'_>) {
    let config = findings.config;
    let settings = config.state.join("settings");
    let entries = fs::read_dir(&settings).into_iter().flatten().flatten();
    let mut left: Vec<InstanceName> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".toml")?.parse().ok()
        })
        .filter(|name| config.instance(name).is_none())
        .filter(|name| config.state.join("spool").join(name.as_str()).exists())
        .collect();
    left.sort_unstable();
    for name in left {
        let text = format!(
            "there is no instance `{name}`, and {} has the spool of one: what is queued there is \
             delivered by its last settings before it ends; to deliver it by others, put the \
             instance back",
            config.state.display()
        );
        findings.warning_at(&["instance"], text);
    }
}
