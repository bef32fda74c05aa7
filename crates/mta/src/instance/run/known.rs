//! Which spool an instance had at its last start, kept outside of the spool: a volume that is not
//! mounted, or a directory that was removed, looks like the first start of all otherwise.

use std::fs;
use std::io;
use std::path::Path;

use config::regular_file;
use mail::{InstanceName, SpoolId};

use supervisor::SPOOL_IDS as DIR;

/// Keeps the id of the spool for the next start; returns that of the one before, if it was another.
///
/// # Errors
/// When it is not known which one was before, or will not be at the next start. Names the file.
pub(super) fn compare(
    state: &Path,
    name: &InstanceName,
    id: SpoolId,
) -> Result<Option<String>, String> {
    let path = state.join(DIR).join(name.as_str());
    let at_path = |e: io::Error| format!("{}: {e}", path.display());
    let before = match fs::read_to_string(&path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(at_path(e)),
    };
    let now = id.to_string();
    if before.as_ref() == Some(&now) {
        return Ok(None);
    }
    regular_file::replace(&path, format!("{now}\n").as_bytes()).map_err(at_path)?;
    Ok(before)
}

/// What an operator should know of it.
pub(super) fn alarm(compared: Result<Option<String>, String>, is_new: bool) -> Option<String> {
    match compared {
        Ok(None) => None,
        Ok(Some(before)) => {
            let what = if is_new {
                "new and empty"
            } else {
                "another one"
            };
            Some(format!(
                "the spool is {what}, in place of spool {before} of the last start: the messages \
                 in that one are not here. Was its directory removed, or is its volume not \
                 mounted? To get them back stop the system, put the directory back and start again"
            ))
        }
        Err(why) => Some(format!(
            "whether this is the spool of the last start is not known: {why}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_spool_than_at_the_last_start_is_an_alarm_and_the_first_is_none() {
        let scratch = testkit::Scratch::new();
        let state = scratch.path();
        let name: InstanceName = "output".parse().expect("good");
        let id = |n| SpoolId::from_bytes([n; 16]);
        let compare = |n| compare(state, &name, id(n));
        assert!(compare(1).is_err(), "there is no directory");
        fs::create_dir(state.join(DIR)).expect("made");
        for n in [1, 1] {
            assert_eq!(compare(n), Ok(None));
        }
        let other = compare(2);
        assert_eq!(other, Ok(Some(id(1).to_string())));
        let text = alarm(other, true).expect("an alarm");
        assert!(text.contains(&id(1).to_string()), "{text}");
        assert_eq!(alarm(compare(2), true), None);
        assert!(alarm(Err("no".into()), false).is_some());
    }
}
