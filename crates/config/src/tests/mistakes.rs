//! What is said about a text that cannot be used.

use super::*;

/// The problems of a text, without the name of the file.
fn mistakes(text: &str) -> Vec<String> {
    let problems = Config::parse(text, NAME, None).expect_err("a text with mistakes");
    let shown = problems.iter().map(ToString::to_string);
    shown
        .map(|line| line.strip_prefix("postern.toml:").unwrap().to_owned())
        .collect()
}

/// What is said about some lines below the head of an output; they begin in line 4.
fn in_output(lines: &str) -> Vec<String> {
    mistakes(&format!(
        "hostname = \"h.example\"\n[instance.output]\nrole = \"output\"\n{lines}"
    ))
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_name() {
    assert_eq!(
        mistakes("hostname = \"h.example\"\n[instance.input]\nrole = \"input\"\n  lsten = []\n"),
        ["4:3: unknown key `lsten` in [instance.input]; did you mean `listen`?"]
    );
    assert_eq!(
        in_output("milter = {}"),
        [
            "4:1: unknown key `milter` in [instance.output]; known are `role`, `listen`, `tls`, \
          `next`, `route`, `limits`, `handoff`, `queue`, `peer`, `bare_newlines` and `checks`"
        ]
    );
}

#[test]
fn what_stands_under_a_misspelt_key_is_read_as_what_was_meant() {
    assert_eq!(
        mistakes(
            "hostnam = \"h.example\"\n[loog]\nfil = \"x\"\n[instanc.input]\nrle = \"input\"\n\
             [instance.output]\nrolee = \"output\"\n[instance.output.tsl]\nkey = \"/k\"\n\
             certificat = \"/c\"\n[[instance.output.rout]]\ndomian = \"*\"\n\
             to = { mailder = \"/x\" }\n[[instance.output.route]]\naddres = \"a@b.example\"\n"
        ),
        [
            "1:1: unknown key `hostnam`; did you mean `hostname`?",
            "2:2: unknown key `loog`; did you mean `log`?",
            "3:1: unknown key `fil` in [log]; did you mean `file`?",
            "3:7: `file` in [log]: `x` is not an absolute path; begin it with `/` or `{state}/`",
            "4:2: unknown key `instanc`; did you mean `instance`?",
            "5:1: unknown key `rle` in [instance.input]; did you mean `role`?",
            "7:1: unknown key `rolee` in [instance.output]; did you mean `role`?",
            "8:18: unknown key `tsl` in [instance.output]; did you mean `tls`?",
            "10:1: unknown key `certificat` in [instance.output.tls]; did you mean `certificate`?",
            "11:19: unknown key `rout` in [instance.output]; did you mean `route`?",
            "12:1: unknown key `domian` in [instance.output.route]; did you mean `domain`?",
            "13:8: unknown key `mailder` in [instance.output.route.to]; did you mean `maildir`?",
            "14:1: [instance.output.route] needs `to`, such as `to = { maildir = \
             \"/var/mail/{domain}/{local}\" }`",
            "15:1: unknown key `addres` in [instance.output.route]; did you mean `address`?",
        ]
    );
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    for (lines, hint) in [
        (
            "log = {}",
            "at the top of the file, before the first [table]",
        ),
        ("message_size = \"1 MiB\"", "in [instance.NAME.limits]"),
        ("maildir = \"/m\"", "in `to = { … }`"),
        (
            "connections = 5",
            "in [instance.NAME.limits] or in [instance.NAME.handoff]",
        ),
        ("users = []", "in [[instance.NAME.route]]"),
    ] {
        let key = lines.split(' ').next().unwrap();
        let told = format!("4:1: unknown key `{key}` in [instance.output]; it belongs {hint}");
        assert_eq!(in_output(lines), [told]);
    }
}

#[test]
fn all_mistakes_are_told_in_one_run_in_the_order_of_the_file() {
    assert_eq!(
        mistakes(
            "hostname = \"a b\"\nstop_timeout = 30\n[instance.input]\nrole = \"inputt\"\n\
             listen = [\"*:25\"]\n[instance.Input]\n"
        ),
        [
            "1:12: `hostname`: `a b` is not a domain name: a character that an address cannot hold",
            "2:16: `stop_timeout` must be a time in quotes, such as \"30s\", not a number",
            "4:8: `role` in [instance.input]: `inputt` is none of `submission`, `input` and \
             `output`; did you mean `input`?",
            "5:11: `listen` in [instance.input]: `*:25` is not a listener such as \
             `127.0.0.1:587`, `[::]:25`, `tls://[::]:465` or `unix:{state}/submission.sock`",
            "6:1: [instance.Input] needs `role`, which is `submission`, `input` or `output`",
            "6:11: an instance name is 1 to 32 of a-z, 0-9 and -, beginning with a letter, not \
             `Input`",
        ]
    );
}

#[test]
fn a_key_that_stands_twice_is_told_together_with_the_other_mistakes() {
    assert_eq!(
        in_output(
            "bare_newlines = \"refuse\"\nbare_newlines = \"keep\"\nnxt = \"a\"\n[instance.output]\n"
        ),
        [
            "5:1: duplicate key `bare_newlines`",
            "6:1: unknown key `nxt` in [instance.output]; did you mean `next`?",
            "7:11: duplicate key `output`",
        ]
    );
}

#[test]
fn of_a_text_that_is_not_toml_only_the_first_place_is_told() {
    let told = mistakes("hostname = \"h.example\"\nlisten = [1,\n[instance.input]\nx = 1\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("3:2: not TOML: "), "{told:?}");
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    assert_eq!(
        mistakes(""),
        [
            "1:1: the file needs `hostname`, such as `hostname = \"mail.example.org\"`",
            "1:1: the file needs `instance`, such as `[instance.output]`"
        ]
    );
}

#[test]
fn what_is_missing_is_told_with_an_example() {
    assert_eq!(
        in_output("tls = { key = \"/k\" }"),
        [
            "4:7: [instance.output.tls] needs `certificate`, such as `certificate = \
             \"/etc/postern/tls/fullchain.pem\"`"
        ]
    );
}

#[test]
fn values_of_another_kind_or_out_of_range_are_refused() {
    for (lines, told) in [
        (
            "limits = { recipients = 99 }",
            "4:25: `recipients` in [instance.output.limits] must be from 100 to 50000, not 99",
        ),
        (
            "limits = { errors = \"5\" }",
            "4:21: `errors` in [instance.output.limits] must be a whole number without quotes, \
             not a text",
        ),
        (
            "limits = { errors = -1 }",
            "4:21: `errors` in [instance.output.limits] must be from 1 to 1000000, not -1",
        ),
        (
            "limits = { message_size = \"1 KiB\" }",
            "4:27: `message_size` in [instance.output.limits]: `1 KiB` is out of range; it must \
             be from 64 KiB to 16 GiB",
        ),
        (
            "queue = { expiry = \"5 weeks\" }",
            "4:20: `expiry` in [instance.output.queue]: `5 weeks` is not a time such as `500ms`, \
             `30s`, `5m`, `4h` or `5d`",
        ),
        (
            "queue = { expiry = \"99999999999999999999d\" }",
            "4:20: `expiry` in [instance.output.queue]: `99999999999999999999d` is not a time \
             such as `500ms`, `30s`, `5m`, `4h` or `5d`",
        ),
        (
            "queue = { retry = [] }",
            "4:19: `retry` needs at least one pause",
        ),
        (
            "queue = 5",
            "4:9: `queue` in [instance.output] must be a table, not a number",
        ),
        (
            "listen = true",
            "4:10: `listen` in [instance.output] must be a list of texts in \
          brackets, not a truth value",
        ),
        (
            "next = \"smtp://a.example:0\"",
            "4:8: `next` in [instance.output]: `a.example:0` is \
          not `HOST:PORT` (an IPv6 address stands in brackets)",
        ),
        (
            "route = {}",
            "4:9: `route` in [instance.output] must be a list of tables, each under \
          [[route]], not a table",
        ),
        (
            "tls = { key = \"key.pem\", certificate = \"/c\" }",
            "4:15: `key` in \
          [instance.output.tls]: `key.pem` is not an absolute path; begin it with `/` or \
          `{state}/`",
        ),
        (
            "peer = [{ network = \"192.0.2.1/24\" }]",
            "4:21: `network` in [instance.output.peer]: \
          `192.0.2.1/24` has bits set beyond its prefix; the range is `192.0.2.0/24`",
        ),
    ] {
        assert_eq!(in_output(lines), [told], "{lines}");
    }
}

#[test]
fn what_is_known_but_not_built_says_what_can_be_used_today() {
    for (to, today) in [
        (
            "lmtp = \"unix:/run/lmtp\"",
            "`lmtp` in [instance.output.route.to] is known but not built yet; today: deliver to a `maildir`",
        ),
        (
            "pipe = \"x\"",
            "`pipe` in [instance.output.route.to] is known but not built yet; today: deliver to a `maildir`",
        ),
    ] {
        let lines = format!("[[instance.output.route]]\ndomain = \"*\"\nto = {{ {to} }}");
        assert_eq!(in_output(&lines), [format!("6:8: {today}")]);
    }
    assert_eq!(
        in_output("[instance.output.checks]\ndnsbl = 1"),
        [
            "5:1: unknown key `dnsbl` in [instance.output.checks]; known are `early_talker`, \
             `hello_identity`, `own_sender`, `recipient_validity`, `bounce_recipients` and \
             `repeated_field`"
        ]
    );
    assert_eq!(
        in_output("queue = { delay_warning = \"4h\" }"),
        [
            "4:11: `delay_warning` in [instance.output.queue] is known but not built yet; today: \
          leave it out; `postern queue older=4h` shows what is late"
        ]
    );
}

#[test]
fn a_route_needs_recipients_and_one_target() {
    for (lines, told) in [
        (
            "to = { hold = \"x\" }",
            "4:1: a route needs `domain` or `address`",
        ),
        (
            "domain = \"*\"",
            "4:1: [instance.output.route] needs `to`, such as `to = { maildir = \
          \"/var/mail/{domain}/{local}\" }`",
        ),
        (
            "domain = []\nto = { hold = \"x\" }",
            "5:10: a route that matches nobody",
        ),
        (
            "domain = \"*\"\naddress = \"a@b.example\"\nto = { hold = \"x\" }",
            "4:1: a route has either `domain` or `address`, not both",
        ),
        (
            "domain = \"*\"\nto = { hold = \"x\", error = \"5.1.1 y\" }",
            "6:6: [instance.output.route.to] needs exactly one of `maildir`, `relay`, `mx`, `hold`, \
             `error` and `discard`",
        ),
        (
            "address = \"a@b.example\"\nusers = [\"a\"]\nto = { hold = \"x\" }",
            "6:9: `users` goes with `domain`, not with `address`",
        ),
        (
            "domain = \"*\"\nto = { maildir = \"/mail/{user}\" }",
            "6:18: `maildir` in [instance.output.route.to]: `{user}` is no placeholder; known \
             are `{state}` at its beginning, `{domain}` and `{local}`",
        ),
        (
            "domain = \"*\"\nto = { maildir = \"/mail/../{local}\" }",
            "6:18: `maildir` in [instance.output.route.to]: `/mail/../{local}` must not contain \
             `..`",
        ),
        (
            "domain = \"*\"\nto = { error = \"2.0.0 fine\" }",
            "6:16: `error` in [instance.output.route.to]: `2.0.0 fine` is not a status and a \
             text such as `5.1.1 no such user`",
        ),
        (
            "domain = \"*\"\nto = { hold = \"a\\nb\" }",
            "6:15: `hold` in [instance.output.route.to]: one line of text is expected",
        ),
    ] {
        assert_eq!(
            in_output(&format!("[[instance.output.route]]\n{lines}")),
            [told],
            "{lines}"
        );
    }
}

#[test]
fn text_of_the_file_cannot_forge_a_line_of_the_report() {
    let told = in_output("\"a\\nb\" = 1\nnext = \"x\\ny\"");
    assert_eq!(told.len(), 2);
    assert!(
        told.iter().all(|line| !line.contains(char::is_control)),
        "{told:?}"
    );
}

#[test]
fn a_column_counts_characters_and_not_octets() {
    assert_eq!(
        in_output("queue = { \"ä\" = 1, xpiry = \"1d\" }")[1][..5],
        *"4:20:"
    );
}

#[test]
fn a_state_directory_that_would_break_paths_is_refused() {
    let told = mistakes(&format!("state = \"/a{{b\"\n{}", PAIR.trim_start()));
    assert_eq!(
        told,
        ["1:9: `state` must not contain braces or control characters"]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let problems = Config::load(Path::new("/nonexistent/postern.toml"), None).unwrap_err();
    assert!(
        problems
            .to_string()
            .starts_with("/nonexistent/postern.toml: cannot be read: ")
    );
}
