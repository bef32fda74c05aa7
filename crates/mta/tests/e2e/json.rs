//! `--json`: every answer is one value that programs can read.

use serde_json::Value;

use crate::system::{System, give, letter};

#[test]
fn every_answer_has_a_form_for_programs() {
    let system = System::embedded();
    let mut client = system.at_submission();
    give(
        &mut client,
        "alice@example.test",
        &["x@far.example"],
        &letter("kept"),
    );
    system.logged(&["output", "held"]);
    for arguments in [
        &["queue"][..],
        &["mailq"],
        &["queue", "list", "from=alice@*"],
        &["queue", "show", "state=held"],
        &["queue", "count"],
        &["queue", "hold", "--all"],
        &["queue", "retry", "--dry-run", "--all"],
        &["queue", "release", "--dry-run", "--all"],
        &["queue", "drop", "--dry-run", "--all"],
        &["status"],
        &["trace", "x@far.example"],
        &["reload"],
        &["spool", "verify"],
        &["spool", "quarantine", "list"],
    ] {
        let answer: Value = system.postern.json(arguments);
        assert!(answer.is_object(), "{arguments:?}: {answer}");
    }
    let queue = system.postern.json(&["queue", "show", "to=x@far.example"]);
    let mut instances = queue["instances"].as_array().expect("a list").iter();
    let output = instances.find(|instance| instance["instance"] == "output");
    let message = &output.expect("output is one of them")["messages"][0];
    assert_eq!(message["from"], "alice@example.test");
    assert_eq!(message["origin"], "local");
    let recipient = &message["recipients"][0];
    assert_eq!(
        (&recipient["to"], &recipient["state"]),
        (&"x@far.example".into(), &"held".into())
    );
}

#[test]
fn check_has_a_form_for_programs_also_where_the_file_cannot_be_used() {
    let mut system = System::stopped(|config| config);
    let mut check = |change: &dyn Fn(&str) -> String| {
        system.rewrite(change);
        let ran = system.postern.call(&["--json", "check"]);
        let answer: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!(ran.status == Some(0), answer["good"] == true, "{answer}");
        let first = answer["findings"].get(0).cloned().unwrap_or_default();
        (first["line"].clone(), first["column"].clone(), first)
    };
    assert_eq!(check(&str::to_owned).0, Value::Null, "there is no finding");
    let (line, column, first) = check(&|config| format!("hostnmae = 1\n{config}"));
    assert_eq!((line, column), (1.into(), 1.into()), "{first}");
    assert!(
        first["text"]
            .to_string()
            .contains("did you mean `hostname`?")
    );
    let (line, _, first) = check(&|config| config.replace("hostnmae = 1", "hostname = 1 = 2"));
    assert_eq!((line, &first["error"]), (1.into(), &true.into()), "{first}");
    let (_, _, first) = check(&|config| {
        let (front, _) = config
            .split_once("[[instance.output.route]]")
            .expect("routes");
        front.replace("hostname = 1 = 2\n", "")
    });
    let example = first["example"].as_str().unwrap_or_default();
    assert!(
        example.starts_with("[[instance.output.route]]\n"),
        "{first}"
    );
}

#[test]
fn the_log_can_be_json_and_has_the_same_journey() {
    let system = System::with(|config| {
        config.replace(
            "[instance.submission] ",
            "[log]\nformat = \"json\"\n\n[instance.submission] ",
        )
    });
    let mut client = system.at_input();
    let reply = give(
        &mut client,
        "a@example.org",
        &["alice@example.test"],
        &letter("j"),
    );
    let id = testkit::dialogue::trace_id(&reply);
    system.arrived("alice", "Subject: j");
    system.logged(&["delivered", &id]);
    for line in system.postern.log().lines() {
        let event: Value = serde_json::from_str(line).expect("each line is a value");
        assert!(event["event"].is_string(), "{line}");
    }
    let page = system.postern.call(&["trace", &id]).ok();
    assert!(page.starts_with(&format!("{id}  delivered\n")), "{page}");
}
