//! How much memory contents may take: less where the process has little.
//!
//! # Failure
//! Where no limit can be read, there is none.

use std::fs;
use std::path::{Path, PathBuf};

use intake::CONTENTS_IN_MEMORY_MAX;

/// Contents take so much of what the control group allows: three instances share it, each with its
/// connections, and what a process frees is not all given back.
const PART_OF_LIMIT: u64 = 8;
/// However little there is, a few contents of usual size find room.
const CONTENTS_MIN: usize = 2 * 1024 * 1024;
/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// How much memory contents may take in this process.
pub(crate) fn for_contents() -> usize {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    part_of(limit(&groups, |path| fs::read_to_string(path).ok()))
}

fn part_of(limit: Option<u64>) -> usize {
    let part = limit.map(|octets| octets / PART_OF_LIMIT);
    part.and_then(|octets| usize::try_from(octets).ok())
        .unwrap_or(usize::MAX)
        .clamp(CONTENTS_MIN, CONTENTS_IN_MEMORY_MAX)
}

/// The smallest limit of the process's control groups and of those above them. `groups` is the text
/// of `/proc/self/cgroup`.
fn limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut words = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (words.next(), words.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => (PathBuf::from(ROOT), "memory.max"),
            v1 if v1.split(',').any(|controller| controller == "memory") => {
                (Path::new(ROOT).join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container, the path is that of the host and the files are those of the root.
        let below = Path::new(group.trim_start_matches('/'));
        for group in below.ancestors() {
            let text = read(&root.join(group).join(file));
            limits.extend(text.and_then(|text| text.trim().parse::<u64>().ok()));
        }
    }
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read where these files are there.
    fn found(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        limit(groups, |path| {
            let is_it = |(name, _): &&(&str, &str)| Path::new(name) == path;
            let found = files.iter().find(is_it);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_smallest_limit_of_a_control_group_and_those_above_counts() {
        let v2 = "0::/system.slice/postern.service\n";
        let service = "/sys/fs/cgroup/system.slice/postern.service/memory.max";
        let slice = "/sys/fs/cgroup/system.slice/memory.max";
        assert_eq!(found(v2, &[]), None);
        assert_eq!(found(v2, &[(service, "max\n")]), None);
        assert_eq!(
            found(v2, &[(service, "max\n"), (slice, "1000\n")]),
            Some(1000)
        );
        assert_eq!(found(v2, &[(service, "64\n"), (slice, "1000\n")]), Some(64));
        let v1 = "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n";
        let x = "/sys/fs/cgroup/memory/x/memory.limit_in_bytes";
        assert_eq!(found(v1, &[(x, "64\n")]), Some(64));
        let of_container = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        assert_eq!(found(v1, &[(of_container, "32\n")]), Some(32));
    }

    #[test]
    fn contents_take_a_part_of_the_limit_within_bounds() {
        assert_eq!(part_of(None), CONTENTS_IN_MEMORY_MAX);
        assert_eq!(part_of(Some(1 << 40)), CONTENTS_IN_MEMORY_MAX);
        assert_eq!(part_of(Some(64 << 20)), 8 << 20);
        assert_eq!(part_of(Some(1 << 20)), CONTENTS_MIN);
    }
}
