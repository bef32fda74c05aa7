//! Parts of a configuration, and what a change of it does.

use super::*;

#[test]
fn a_part_is_read_to_an_equal_instance() {
    let wordy = "limits = { recipients = 500 }\npeer = [{ network = \"192.0.2.1\" }]\n[[instance.output.route]]\n\
                 domain = [\"a.example\", \"b.example\"]\nusers = [\"o'neil\"]\n\
                 to = { error = \"5.1.1 \\\"quoted\\\" ü\" }\n[[instance.output.route]]";
    for config in [
        Config::embedded(Some(Path::new("/tmp/try"))).unwrap(),
        read(PAIR),
        read(&PAIR.replace("[[instance.output.route]]", wordy)),
    ] {
        for instance in &config.instances {
            let text = config.part_for(&instance.name).unwrap();
            let part = read(&text);
            assert_eq!(part.instance(&instance.name), Some(instance), "{text}");
            assert_eq!(part.hostname, config.hostname);
            assert_eq!(part.state, config.state);
        }
    }
    assert_eq!(read(PAIR).part_for(&name("nobody")), None);
}

#[test]
fn the_whole_is_read_to_an_equal_configuration_wherever_it_is_read() {
    let config = Config::embedded(None).unwrap();
    let again = read(&config.whole());
    assert_eq!(again.state, config.state);
    assert_eq!(again.log, config.log);
    for instance in &config.instances {
        assert_eq!(again.instance(&instance.name), Some(instance));
    }
}

#[test]
fn a_part_shows_of_neighbours_only_what_they_offer_and_of_others_nothing() {
    let config = Config::embedded(Some(Path::new("/tmp/try"))).unwrap();
    let part = read(&config.part_for(&name("submission")).unwrap());
    assert!(part.instance(&name("input")).is_none());
    let output = part.instance(&name("output")).unwrap();
    assert!(output.routes.is_empty());
    assert_eq!(
        output.limits,
        config.instance(&name("output")).unwrap().limits
    );

    let part = read(&config.part_for(&name("output")).unwrap());
    let input = part.instance(&name("input")).unwrap();
    assert_eq!((input.role, &input.tls), (Role::Input, &None));
    assert_eq!(input.next, Some(Next::Instance(name("output"))));
    assert!(input.listen.is_empty());
}

fn changes(old: &str, new: &str) -> Vec<(String, Change)> {
    let changes = Config::difference(&read(old), &read(new));
    changes
        .into_iter()
        .map(|(name, change)| (name.to_string(), change))
        .collect()
}

#[test]
fn a_reload_of_the_same_changes_nothing_also_when_the_text_is_written_differently() {
    let rewritten = PAIR.replace("role = \"output\"", "# comment\nrole    = 'output'");
    let unchanged = |name: &str| (name.to_owned(), Change::Unchanged);
    assert_eq!(
        changes(PAIR, &rewritten),
        [unchanged("submission"), unchanged("output")]
    );
}

#[test]
fn what_a_process_may_already_do_is_swapped_and_its_neighbours_learn_what_concerns_them() {
    for (from, to, submission, output) in [
        (
            "role = \"output\"",
            "role = \"output\"\nlimits = { recipients = 2000 }",
            Change::Swappable,
            Change::Swappable,
        ),
        // How many connections it may have over its edge.
        (
            "role = \"submission\"",
            "role = \"submission\"\nhandoff = { connections = 100 }",
            Change::Swappable,
            Change::Swappable,
        ),
        (
            "role = \"output\"",
            "role = \"output\"\nqueue = { expiry = \"4d\" }",
            Change::Unchanged,
            Change::Swappable,
        ),
        (
            "role = \"output\"",
            "role = \"output\"\nqueue = { concurrency = 7 }",
            Change::Unchanged,
            Change::NeedsGeneration("other bounds for deliveries at a time".into()),
        ),
        (
            "mail.example.org",
            "mx.example.org",
            Change::Swappable,
            Change::Swappable,
        ),
        (
            "smtp.example.net",
            "smtp.example.com",
            Change::Unchanged,
            Change::Swappable,
        ),
        (
            "smtp.example.net:587",
            "smtp.example.net:25",
            Change::Unchanged,
            Change::NeedsGeneration("a new remote port, 25".into()),
        ),
        (
            "relay = \"smtp.example.net:587\"",
            "maildir = \"/srv/mail/{local}\"",
            Change::Unchanged,
            Change::NeedsGeneration("a new directory, /srv/mail".into()),
        ),
        (
            "127.0.0.1:587",
            "127.0.0.1:588",
            Change::Swappable,
            Change::Unchanged,
        ),
        (
            "next = \"output\"",
            "next = \"smtp://127.0.0.1:25\"",
            Change::NeedsGeneration("a new remote port, 25".into()),
            Change::Swappable,
        ),
    ] {
        let expected = [
            ("submission".to_owned(), submission),
            ("output".to_owned(), output),
        ];
        assert_eq!(changes(PAIR, &PAIR.replace(from, to)), expected, "{to}");
    }
}

#[test]
fn instances_come_and_go() {
    let more = format!("{PAIR}[instance.extra]\nrole = \"output\"\nnext = \"output\"\n");
    assert_eq!(changes(PAIR, &more)[2], ("extra".to_owned(), Change::Added));
    let removed = changes(&more, PAIR);
    assert_eq!(removed[2], ("extra".to_owned(), Change::Removed));
    assert_eq!(removed.len(), 3);
}
