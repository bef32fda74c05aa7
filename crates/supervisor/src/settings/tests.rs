//! What is stored of an instance, and what is made of it when the file no longer names it.

use config::{Change, Next, Target};
use testkit::Scratch;

use super::*;

const OUTPUT: &str = "[instance.output]\nrole = \"output\"\n\
                      [[instance.output.route]]\ndomain = \"a.example\"\nto = { relay = \"192.0.2.1:26\" }\n";

fn read_config(instances: &str, state: &Path) -> Config {
    let text = format!("hostname = \"h.example\"\n{instances}");
    Config::parse(&text, "postern.toml", Some(state)).unwrap()
}

fn front(next: &str) -> String {
    format!(
        "[instance.front]\nrole = \"input\"\nnext = \"{next}\"\n\
         listen = [\"127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n\
         tls = {{ certificate = \"/gone\", key = \"/gone\" }}\n"
    )
}

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

/// A state directory with the settings and the spools of `instances`.
fn state_of(instances: &str) -> Scratch {
    let scratch = Scratch::new();
    let config = read_config(instances, scratch.path());
    fs::create_dir(scratch.path().join("settings")).unwrap();
    for instance in &config.instances {
        let spool = scratch.path().join("spool").join(instance.name.as_str());
        fs::create_dir_all(spool).unwrap();
    }
    store(&config, scratch.path()).unwrap();
    scratch
}

#[test]
fn an_instance_that_left_has_its_last_routes_and_serves_nobody() {
    let scratch = state_of(&format!("{}{OUTPUT}", front("output")));
    let state = scratch.path();
    let new = OUTPUT.replace("instance.output", "instance.new");
    let mut config = read_config(&new, state);
    assert_eq!(take_in_left(&mut config, state).unwrap(), []);
    for left in ["front", "output"] {
        assert!(config.is_leaving(&name(left)));
    }
    assert!(!config.is_leaving(&name("new")));
    let front = config.instance(&name("front")).unwrap();
    assert!(front.listen.is_empty() && front.tls.is_none());
    assert_eq!(front.next, Some(Next::Instance(name("output"))));
    let output = config.instance(&name("output")).unwrap();
    assert!(matches!(&output.routes[0].to, Target::Relay(host) if host.port == 26));
    // What a process is given is read to the same.
    let part = config.part_for(&name("front")).unwrap();
    let part = Config::parse(&part, "part", None).unwrap();
    assert_eq!(part.instance(&name("front")), Some(front));
    config.remove(&name("front"));
    assert!(!config.whole().contains("front"), "{}", config.whole());
}

#[test]
fn mail_of_an_instance_whose_next_is_unknown_is_held() {
    let scratch = state_of(&front("output"));
    let new = OUTPUT.replace("instance.output", "instance.new");
    let mut config = read_config(&new, scratch.path());
    take_in_left(&mut config, scratch.path()).unwrap();
    let front = config.instance(&name("front")).unwrap();
    assert_eq!(front.next, None);
    assert!(matches!(&front.routes[..], [route]
        if matches!(&route.to, Target::Hold { why } if why.contains("`output`"))));
}

#[test]
fn a_spool_without_usable_settings_is_named_with_the_reason() {
    let scratch = state_of(OUTPUT);
    let state = scratch.path();
    let new = OUTPUT.replace("instance.output", "instance.new");
    let file = path(state, &name("output"));
    let other = "hostname = \"h.example\"\n[instance.x]\nrole = \"output\"";
    for (content, words) in [
        (Some("role = "), "output.toml"),
        (Some(other), "does not describe it"),
        (None, "No such file"),
    ] {
        match content {
            Some(content) => fs::write(&file, content).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let mut config = read_config(&new, state);
        let stranded = take_in_left(&mut config, state).unwrap();
        assert_eq!(stranded.len(), 1);
        assert!(stranded[0].why.contains(words), "{stranded:?}");
        assert_eq!(config.instances.len(), 1);
    }
    fs::remove_dir_all(state.join("spool")).unwrap();
    let mut config = read_config(&new, state);
    assert!(
        take_in_left(&mut config, state).is_err(),
        "cannot tell is never no"
    );
}

#[test]
fn check_names_who_left_until_its_spool_was_found_empty() {
    let scratch = state_of(&format!("{}{OUTPUT}", front("output")));
    let state = scratch.path();
    let new = OUTPUT.replace("instance.output", "instance.new");
    let check = |instances: &str| {
        let found = read_config(instances, state).check_files();
        let found: Vec<_> = found.iter().map(|of| of.text.clone()).collect();
        found.join("\n")
    };
    let found = check(&new);
    assert!(found.contains("no instance `front`"), "{found}");
    assert!(found.contains("no instance `output`"), "{found}");
    mark_emptied(state, &name("front")).unwrap();
    let found = check(&new);
    assert!(!found.contains("`front`") && found.contains("`output`"));
    // A start looks into it all the same.
    let mut config = read_config(&new, state);
    assert_eq!(take_in_left(&mut config, state).unwrap(), []);
    assert!(config.is_leaving(&name("front")));
    // It comes back, and leaves again.
    store(&read_config(&front("new"), state), state).unwrap();
    assert!(check(&new).contains("no instance `front`"));
}

#[test]
fn a_spool_that_is_a_link_is_a_spool() {
    let scratch = state_of(OUTPUT);
    let state = scratch.path();
    let spool = state.join("spool/output");
    fs::rename(&spool, state.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(state.join("elsewhere"), &spool).unwrap();
    let new = OUTPUT.replace("instance.output", "instance.new");
    let mut config = read_config(&new, state);
    assert_eq!(take_in_left(&mut config, state).unwrap(), []);
    assert!(config.is_leaving(&name("output")));
}

#[test]
fn an_instance_leaves_once_and_comes_back_changed() {
    let state = Path::new("/tmp/state");
    let both = read_config(&format!("{}{OUTPUT}", front("output")), state);
    let mut without = read_config(OUTPUT, state);
    without.keep_leaving(&both, std::iter::once(&name("front")));
    let change = |old, new| {
        let changes = Config::difference(old, new);
        let mut changes = changes.into_iter();
        changes.find(|(of, _)| *of == name("front")).unwrap().1
    };
    assert_eq!(change(&both, &without), Change::Leaves);
    assert_eq!(change(&without, &without), Change::Unchanged);
    assert_eq!(change(&without, &both), Change::Swappable);
}
