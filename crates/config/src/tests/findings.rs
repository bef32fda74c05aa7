//! What `check` finds about configurations that can be read.

use super::*;

fn findings(text: &str) -> Vec<String> {
    let whole = format!("hostname = \"h.example\"\n{text}");
    read(&whole)
        .check()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// That exactly these findings come up, each given by its place, weight and a piece of its text.
fn assert_found(text: &str, expected: &[(&str, &str)]) {
    let found = findings(text);
    let fits = |line: &String, (start, piece): &(&str, &str)| {
        line.starts_with(&format!("{NAME}:{start}: ")) && line.contains(piece)
    };
    let all = found.len() == expected.len() && found.iter().zip(expected).all(|(l, e)| fits(l, e));
    assert!(all, "{text}\nexpected {expected:#?}\nfound {found:#?}");
}

#[test]
fn a_next_that_does_not_exist_is_found_with_the_nearest_name() {
    let text = front("input", "listen = [\"127.0.0.1:25\"]\nnext = \"outptu\"") + OUTPUT;
    let output = "9:1: warning";
    assert_found(
        &text.replace(
            "role = \"output\"",
            "role = \"output\"\nlisten = [\"127.0.0.1:24\"]",
        ),
        &[(
            "5:8: error",
            "there is no instance `outptu`; did you mean `output`?",
        )],
    );
    assert!(findings(&text).len() == 2 && !findings(&text)[1].contains(output));
}

#[test]
fn a_loop_is_told_once() {
    let text = "[instance.a]\nrole = \"output\"\nnext = \"b\"\n[instance.b]\nrole = \"output\"\n\
                next = \"c\"\n[instance.c]\nrole = \"output\"\nnext = \"b\"\n[instance.d]\n\
                role = \"output\"\nnext = \"d\"\n";
    let found = findings(text);
    let loops: Vec<_> = found
        .iter()
        .filter(|line| line.contains("a loop"))
        .collect();
    assert_eq!(loops.len(), 2, "{found:#?}");
    assert!(loops[0].ends_with("a loop: b -> c -> b"));
    assert!(loops[1].ends_with("a loop: d -> d"));
}

#[test]
fn a_dead_end_and_a_missing_listener_are_errors() {
    assert_found(
        &(front("input", "") + OUTPUT),
        &[
            (
                "2:11: error",
                "goes nowhere; it needs `next`, the instance that delivers, such as `next = \
                 \"output\"`",
            ),
            ("2:11: error", "such as `listen = [\"[::]:25\"]`"),
            ("5:11: warning", "nothing leads to `output`"),
        ],
    );
}

#[test]
fn listeners_that_share_a_port_clash_over_all_instances() {
    for (one, other, clash) in [
        ("127.0.0.1:2525", "127.0.0.1:2525", true),
        ("127.0.0.1:2525", "127.0.0.2:2525", false),
        ("127.0.0.1:2525", "0.0.0.0:2525", true),
        ("0.0.0.0:2525", "127.0.0.1:2525", true),
        ("[::]:2525", "127.0.0.1:2525", true),
        ("[::]:2525", "[::1]:2525", true),
        ("0.0.0.0:2525", "[::1]:2525", false),
        ("[::ffff:127.0.0.1]:2525", "127.0.0.1:2525", true),
        ("127.0.0.1:2525", "127.0.0.1:2526", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
        ("unix:/run/a", "unix:/run/a", true),
        ("unix:/run/a", "unix:/run/b", false),
    ] {
        let text = format!(
            "[instance.a]\nrole = \"output\"\nlisten = [\"{one}\"]\nnext = \"c\"\n[instance.b]\n\
             role = \"output\"\nlisten = [\"{other}\"]\nnext = \"c\"\n{}",
            OUTPUT
                .replace("output]", "c]\nlimits = { message_size = \"52 MiB\" }")
                .replace("output.route", "c.route"),
        );
        let found = findings(&text);
        assert_eq!(found.len(), usize::from(clash), "{one} {other}: {found:?}");
        assert!(
            found
                .iter()
                .all(|line| line.starts_with("postern.toml:8:11: error: "))
        );
    }
}

#[test]
fn a_socket_path_that_the_kernel_would_refuse_is_found() {
    for (length, found) in [(107, 0), (108, 1)] {
        let path = format!("/{}", "a".repeat(length - 1));
        let lines = format!("listen = [\"unix:{path}\"]\nnext = \"output\"");
        assert_eq!(
            findings(&(front("submission", &lines) + OUTPUT)).len(),
            found,
            "{length}"
        );
    }
}

#[test]
fn submission_beyond_this_machine_is_refused_while_there_is_no_authentication() {
    for listen in ["0.0.0.0:587", "[::]:587", "192.0.2.1:587"] {
        assert_found(
            &(front(
                "submission",
                &format!("listen = [\"{listen}\"]\nnext = \"output\""),
            ) + OUTPUT),
            &[("4:11: error", "needs TLS and AUTH")],
        );
    }
    for listen in [
        "127.0.0.1:587",
        "[::1]:587",
        "[::ffff:127.0.0.1]:587",
        "unix:/run/s",
    ] {
        let lines = format!("listen = [\"{listen}\"]\nnext = \"output\"");
        assert_found(&(front("submission", &lines) + OUTPUT), &[]);
    }
}

#[test]
fn tls_listeners_need_a_certificate_and_the_right_port() {
    assert_found(
        &(front(
            "input",
            "listen = [\"tls://127.0.0.1:465\"]\nnext = \"output\"",
        ) + OUTPUT),
        &[(
            "4:11: error",
            "needs a certificate, such as\n    [instance.input.tls]\n    certificate = ",
        )],
    );
    let tls = "tls = { certificate = \"/c\", key = \"/k\" }\nnext = \"output\"\n";
    let listen = "listen = [\"127.0.0.1:465\", \"tls://127.0.0.1:25\"]";
    assert_found(
        &(front("input", &format!("{tls}{listen}")) + OUTPUT),
        &[
            ("6:11: warning", "write `tls://127.0.0.1:465`"),
            ("6:28: warning", "speak in the clear on port 25"),
        ],
    );
    assert_found(
        &(front("input", "listen = [\"[::]:25\"]\nnext = \"output\"") + OUTPUT),
        &[("4:11: warning", "STARTTLS is not offered")],
    );
}

#[test]
fn a_front_reaches_no_mail_server() {
    for port in [25, 465, 587] {
        let next = format!("listen = [\"127.0.0.1:24\"]\nnext = \"smtp://192.0.2.1:{port}\"");
        assert_found(
            &front("submission", &next),
            &[("5:8: error", "a front may not connect to port")],
        );
    }
    let next = "listen = [\"127.0.0.1:24\"]\nnext = \"smtp://192.0.2.1:10025\"";
    assert_found(&front("submission", next), &[]);
    for (relay, expected) in [
        ("192.0.2.1:10025", None),
        (
            "192.0.2.1:10026",
            Some(("9:16: error", "a front reaches no host but its `next`")),
        ),
        (
            "192.0.2.2:10025",
            Some(("9:16: error", "a front reaches no host but its `next`")),
        ),
    ] {
        let route = format!(
            "{next}\n[[instance.input.route]]\ndomain = \"a.example\"\nopen_to = \"anyone\"\n\
             to = {{ relay = \"{relay}\" }}"
        );
        assert_found(&front("input", &route), expected.as_slice());
    }
}

#[test]
fn an_input_that_takes_nothing_from_outside_is_found() {
    let next = "listen = [\"127.0.0.1:24\"]\nnext = \"smtp://192.0.2.1:10025\"";
    let warning = ("5:8: warning", "`to = { relay = \"192.0.2.1:10025\" }`");
    assert_found(&front("input", next), &[warning]);
    for (route, is_open) in [
        ("to = { error = \"5.1.6 moved\" }", false),
        ("to = { relay = \"192.0.2.1:10025\" }", false),
        (
            "open_to = \"anyone\"\nto = { relay = \"192.0.2.1:10025\" }",
            true,
        ),
        ("to = { hold = \"why\" }\nopen_to = \"anyone\"", true),
    ] {
        let lines = format!("{next}\n[[instance.input.route]]\ndomain = \"a.example\"\n{route}");
        let expected = if is_open { &[][..] } else { &[warning] };
        assert_found(&front("input", &lines), expected);
    }
}

#[test]
fn a_way_back_to_a_listener_of_ours_is_a_loop() {
    for (host, is_loop) in [
        ("127.0.0.1:2525", true),
        ("localhost:2525", true),
        ("127.0.0.1:2526", false),
        ("192.0.2.1:2525", false),
    ] {
        let lines = "listen = [\"0.0.0.0:2525\"]\nnext = \"output\"\n\
                     tls = { certificate = \"/c\", key = \"/k\" }";
        let relay = OUTPUT.replace("hold = \"why\"", &format!("relay = \"{host}\""));
        let found = findings(&(front("input", lines) + &relay));
        assert_eq!(found.len(), usize::from(is_loop), "{host} {found:?}");
        assert!(
            found
                .iter()
                .all(|line| line.contains("by `next = \"input\"`")),
            "{found:?}"
        );
    }
}

#[test]
fn limits_that_the_next_instance_does_not_share_are_errors() {
    let lines = "listen = [\"127.0.0.1:24\"]\nnext = \"output\"\nlimits = { message_size = \
                 \"51 MiB\", recipients = 1001, line_length = \"65 KiB\" }";
    assert_found(
        &(front("input", lines) + OUTPUT),
        &[
            (
                "6:27: error",
                "grow by up to 64 KiB, but `output` takes 51 MiB",
            ),
            (
                "6:50: error",
                "1001 recipients are accepted here, but `output` takes 1000",
            ),
            (
                "6:70: error",
                "lines of 65 KiB are accepted here, but `output` takes 64 KiB",
            ),
        ],
    );
}

#[test]
fn limits_that_contradict_each_other_are_found() {
    let lines = "limits = { connections = 5, connections_per_client = 6 }\n\
                 handoff = { patience = \"60s\" }\nqueue = { concurrency = 1 }\n";
    assert_found(
        &OUTPUT.replace("[[", &format!("listen = [\"127.0.0.1:24\"]\n{lines}[[")),
        &[
            ("5:54: warning", "it can shut out all others"),
            ("6:24: error", "`patience` must be below"),
            ("7:1: warning", "one site never has more than half"),
        ],
    );
    let few = "next = \"output\"\nlimits = { connections = 5, connections_per_client = 5 }\n";
    assert_found(
        &PAIR
            .replace("\nhostname = \"mail.example.org\"\n", "")
            .replacen("next = \"output\"\n", few, 1),
        &[(
            "6:1: warning",
            "programs of that user can shut out all others",
        )],
    );
}

fn routes(lines: &str) -> String {
    format!("[instance.output]\nrole = \"output\"\nlisten = [\"127.0.0.1:24\"]\n{lines}")
}

fn route(matches: &str, to: &str) -> String {
    format!("[[instance.output.route]]\n{matches}\nto = {{ {to} }}\n")
}

#[test]
fn a_route_that_can_never_match_is_found() {
    let hold = "hold = \"why\"";
    for (earlier, later, hidden) in [
        ("domain = \"*\"", "domain = \"a.example\"", true),
        ("domain = \"*\"", "address = \"x@a.example\"", true),
        ("domain = \"*.example\"", "domain = \"a.example\"", true),
        ("domain = \"*.example\"", "domain = \"example\"", false),
        ("domain = \"*.example\"", "domain = \"aexample\"", false),
        ("domain = \"*.example\"", "domain = \"*.a.example\"", true),
        ("domain = \"*.a.example\"", "domain = \"*.example\"", false),
        ("domain = \"a.example\"", "domain = \"A.example\"", true),
        ("domain = \"a.example\"", "address = \"x@A.Example\"", true),
        ("address = \"x@a.example\"", "domain = \"a.example\"", false),
        (
            "address = \"x@a.example\"",
            "address = \"X@a.example\"",
            true,
        ),
        ("domain = \"a.example\"", "domain = \"b.example\"", false),
        (
            "domain = \"Ü.example\"",
            "domain = \"xn--tda.example\"",
            true,
        ),
        (
            "domain = \"xn--tda.example\"",
            "address = \"x@Ü.example\"",
            true,
        ),
        (
            "domain = \"*.xn--tda.example\"",
            "domain = \"a.ü.example\"",
            true,
        ),
        (
            "domain = \"*.ü.example\"",
            "domain = \"*.xn--tda.example\"",
            true,
        ),
        (
            "domain = \"*.ü.example\"",
            "address = \"x@a.xn--tda.example\"",
            true,
        ),
        (
            "address = \"x@ü.example\"",
            "address = \"X@XN--TDA.example\"",
            true,
        ),
    ] {
        let found = findings(&routes(&(route(earlier, hold) + &route(later, hold))));
        assert_eq!(
            found.len(),
            usize::from(hidden),
            "{earlier} {later} {found:?}"
        );
        assert!(
            found
                .iter()
                .all(|line| line.contains(": warning: can never match")),
            "{found:?}"
        );
    }
    let both = route(
        "domain = [\"a.example\", \"b.example\", \"a.example\"]",
        hold,
    );
    assert_found(
        &routes(&both),
        &[("6:37: warning", "`a.example` before it")],
    );
}

#[test]
fn a_domain_without_a_postmaster_is_found() {
    let maildir = "maildir = \"/mail/{local}\"";
    let users = "domain = \"a.example\"\nusers = [\"alice\", \"alice\"]";
    assert_found(
        &routes(&route(users, maildir)),
        &[
            ("7:1: warning", "`postmaster@a.example` must exist"),
            ("7:19: warning", "`alice` stands here twice"),
        ],
    );
    let users = "domain = \"a.example\"\nusers = [\"alice\", \"Postmaster\"]";
    assert_found(&routes(&route(users, maildir)), &[]);
    let address = route("address = \"POSTMASTER@a.example\"", maildir);
    let users = route("domain = \"a.example\"\nusers = [\"alice\"]", maildir);
    assert_found(&routes(&(address + &users)), &[]);
}

#[test]
fn an_open_relay_is_an_error() {
    let open = "domain = \"*\"\nopen_to = \"anyone\"";
    assert_found(
        &routes(&route(open, "relay = \"smtp.example.net\"")),
        &[("7:11: error", "an open relay")],
    );
    assert_found(
        &routes(&route(open, "hold = \"why\"")),
        &[("7:11: warning", "mail from anyone for everybody")],
    );
    assert_found(&routes(&route(open, "error = \"5.7.1 no\"")), &[]);
}

#[test]
fn senders_of_ours_without_a_way_to_other_domains_are_found() {
    let submission = front(
        "submission",
        "listen = [\"127.0.0.1:587\"]\nnext = \"output\"",
    );
    assert_found(
        &(submission + &OUTPUT.replace("\"*\"", "\"a.example\"")),
        &[(
            "8:19: warning",
            "what `submission` sends to other domains is refused",
        )],
    );
}

#[test]
fn a_peer_may_not_claim_more_than_its_instance_and_a_range_not_to_be_ours() {
    let peers = |role: &str, peers: &str| {
        let lines = format!("listen = [\"127.0.0.1:24\"]\nnext = \"output\"\npeer = [{peers}]");
        front(role, &lines) + OUTPUT
    };
    let single = "{ network = \"192.0.2.1\", origin = \"auth:a\" }";
    assert_found(&peers("input", single), &[]);
    let uid = "{ network = \"192.0.2.1\", origin = \"uid:8\" }";
    assert_found(
        &peers("input", uid),
        &[("6:43: error", "an input takes no mail of local users")],
    );
    let outside = "{ network = \"192.0.2.1\" }";
    assert_found(
        &peers("submission", outside),
        &[("6:9: error", "takes no mail from outside")],
    );
    let range = "{ network = \"192.0.2.0/24\", origin = \"auth:a\" }";
    assert_found(
        &peers("input", range),
        &[("6:9: error", "everybody in `192.0.2.0/24`")],
    );
    let all = "{ network = \"::/0\", xforward = \"allowed\" }";
    assert_found(
        &peers("input", all),
        &[("6:9: error", "every client could pretend")],
    );
    let twice = "{ network = \"192.0.2.0/24\" }, { network = \"192.0.2.1\" }";
    assert_found(
        &peers("input", twice),
        &[("6:39: warning", "this peer never counts")],
    );
}

#[test]
fn exchangers_at_one_port_are_reached_in_one_way() {
    let routes = |first: &str, second: &str| {
        format!(
            "[instance.output]\nrole = \"output\"\n[[instance.output.route]]\n\
             domain = \"a.example\"\nto = {{ mx = {{ {first} }} }}\n[[instance.output.route]]\n\
             domain = \"*\"\nto = {{ mx = {{ {second} }} }}\n"
        )
    };
    let one_way = |text: &str| -> Vec<String> {
        let found = findings(text).into_iter();
        found
            .filter(|line| line.contains("with other settings"))
            .collect()
    };
    let other = "resolver = \"127.0.0.1\"";
    let found = one_way(&routes("", other));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("9:8: error"), "{found:#?}");
    assert!(one_way(&routes(other, other)).is_empty());
    assert!(one_way(&routes("port = 2525", other)).is_empty());
}
