//! What comes of configurations given as texts.

mod encoding;
mod examples;
mod files;
mod findings;
mod mistakes;
mod reload;

use std::time::Duration;

use super::*;

const NAME: &str = "postern.toml";

/// A submission before an output, to which a test adds what it is about.
const PAIR: &str = r#"
hostname = "mail.example.org"
[instance.submission]
role = "submission"
listen = ["127.0.0.1:587"]
next = "output"
[instance.output]
role = "output"
[[instance.output.route]]
domain = "*"
to = { relay = "smtp.example.net:587" }
"#;

/// A front named by its role.
fn front(role: &str, lines: &str) -> String {
    format!("[instance.{role}]\nrole = \"{role}\"\n{lines}\n")
}

const OUTPUT: &str = "[instance.output]\nrole = \"output\"\n[[instance.output.route]]\n\
                      domain = \"*\"\nto = { hold = \"why\" }\n";

fn read(text: &str) -> Config {
    Config::parse(text, NAME, None).unwrap_or_else(|problems| panic!("{problems}"))
}

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

#[test]
fn the_embedded_configuration_is_without_findings_and_holds_mail_for_elsewhere() {
    let config = Config::embedded(Some(Path::new("/tmp/try"))).unwrap();
    assert_eq!(config.check(), []);
    assert_eq!(config.check_files(), []);
    assert_eq!(config.state, Path::new("/tmp/try"));
    assert_eq!(
        config.log.file.as_deref(),
        Some(Path::new("/tmp/try/log/postern.log"))
    );
    let output = config.instance(&name("output")).unwrap();
    let last = output.routes.last().unwrap();
    assert_eq!(last.matches, [RouteMatch::Any]);
    assert!(matches!(last.to, Target::Hold { .. }));
    assert_eq!(last.open_to, OpenTo::Ours);
    let submission = config.instance(&name("submission")).unwrap();
    let socket = ListenAddress::Unix("/tmp/try/submission.sock".into());
    assert_eq!(
        submission.listen[1],
        Listen {
            address: socket,
            security: ListenSecurity::Plain
        }
    );
}

#[test]
fn without_a_state_directory_the_embedded_one_lies_where_it_was_started() {
    let config = Config::embedded(None).unwrap();
    assert_eq!(
        config.state,
        std::env::current_dir().unwrap().join("postern-data")
    );
}

#[test]
fn a_setting_that_is_not_given_has_the_default_of_its_role() {
    let config = read(PAIR);
    assert_eq!(config.state, Path::new("/var/lib/postern"));
    assert_eq!(config.stop_timeout, Duration::from_secs(30));
    let [submission, output] = config.instances.as_slice() else {
        panic!("two instances")
    };
    assert_eq!(submission.limits.connections_per_client, 100);
    assert_eq!(submission.limits.connections_per_user, 100);
    assert_eq!(submission.limits.message_size, 50 << 20);
    assert_eq!(output.limits.message_size, 51 << 20);
    assert_eq!(
        output.queue.retry,
        [1, 3, 10, 30].map(|m| Duration::from_secs(60 * m))
    );
    assert_eq!(output.queue.expiry, Duration::from_secs(5 * 86_400));
    assert_eq!(submission.handoff.patience, Duration::from_secs(2));
    assert_eq!(submission.bare_newlines, BareNewlines::Refuse);
}

/// Something other than the default for every kind of setting.
const FULL: &str = r#"
hostname = "MAIL.example.org"
state = "/srv/postern"
stop_timeout = "90s"
log = { file = "stderr", format = "json", rotate_size = "1 GiB", rotate_keep = 2 }
[instance.in-2]
role = "input"
listen = ["[::]:25", "tls://192.0.2.1:465", "unix:{state}/in.sock"]
next = "smtp://[::1]:10025"
tls = { certificate = "/etc/ssl/mail.pem", key = "{state}/key.pem" }
bare_newlines = "normalize"
limits = { recipients = 200, message_size = "10 MiB", data_timeout = "1m" }
handoff = { patience = "500ms", questions_kept = 0 }
queue = { retry = ["30s"], expiry = "1d" }
peer = [{ network = "192.0.2.0/24", xforward = "allowed" },
        { network = "2001:db8::1", origin = "auth:lists" }]
[[instance.in-2.route]]
address = ["Postmaster@example.org"]
to = { error = "4.3.0 come back later" }
[[instance.in-2.route]]
domain = ["Example.ORG", "*.example.net"]
users = ["Alice"]
open_to = "ours"
to = { maildir = "{state}/mail/{domain}/{local}/" }
"#;

#[test]
fn every_setting_that_is_given_counts() {
    let config = read(FULL);
    assert_eq!(&*config.hostname, "mail.example.org");
    assert_eq!(config.log.file, None);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(
        (config.log.rotate_size, config.log.rotate_keep),
        (1 << 30, 2)
    );
    let input = &config.instances[0];
    let listen: Vec<String> = input.listen.iter().map(ToString::to_string).collect();
    assert_eq!(
        listen,
        [
            "[::]:25",
            "tls://192.0.2.1:465",
            "unix:/srv/postern/in.sock"
        ]
    );
    assert_eq!(
        input.next,
        Some(Next::Smtp(HostPort {
            host: "::1".into(),
            port: 10_025
        }))
    );
    assert_eq!(
        input.tls.as_ref().unwrap().key,
        Path::new("/srv/postern/key.pem")
    );
    assert_eq!(input.bare_newlines, BareNewlines::Normalize);
    assert_eq!(
        (input.limits.recipients, input.limits.message_size),
        (200, 10 << 20)
    );
    assert_eq!(input.handoff.patience, Duration::from_millis(500));
    assert_eq!(input.queue.retry, [Duration::from_secs(30)]);
    assert_eq!(input.peers[0].network.to_string(), "192.0.2.0/24");
    assert_eq!(input.peers[0].xforward, Xforward::Allowed);
    assert_eq!(
        input.peers[1].origin,
        mail::Origin::Authenticated("lists".into())
    );
    let [first, second] = input.routes.as_slice() else {
        panic!("two routes")
    };
    assert!(matches!(&first.to, Target::Error { status, .. } if status.class() == 4));
    let domains = ["example.org", "*.example.net"];
    assert_eq!(
        second
            .matches
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        domains
    );
    assert_eq!(second.users.as_deref(), Some(&["alice".into()][..]));
    assert_eq!(second.open_to, OpenTo::Ours);
    let Target::Maildir(template) = &second.to else {
        panic!("a Maildir")
    };
    assert_eq!(template.as_str(), "/srv/postern/mail/{domain}/{local}/");
    assert_eq!(template.root(), Path::new("/srv/postern/mail"));
}

#[test]
fn relays_and_routes_for_everybody_are_for_mail_of_ours_unless_the_file_says_otherwise() {
    let route = |text: &str| {
        let whole = format!(
            "hostname = \"h.example\"\n[instance.o]\nrole = \"output\"\n[[instance.o.route]]\n{text}"
        );
        read(&whole).instances[0].routes[0].open_to
    };
    for (text, expected) in [
        (
            "domain = \"a.example\"\nto = { maildir = \"/m/{local}\" }",
            OpenTo::Anyone,
        ),
        (
            "domain = \"a.example\"\nto = { relay = \"b.example\" }",
            OpenTo::Ours,
        ),
        (
            "domain = \"a.example\"\nopen_to = \"anyone\"\nto = { relay = \"b.example\" }",
            OpenTo::Anyone,
        ),
        (
            "domain = [\"a.example\", \"*\"]\nto = { hold = \"why\" }",
            OpenTo::Ours,
        ),
    ] {
        assert_eq!(route(text), expected, "{text}");
    }
}

#[test]
fn the_names_of_hosts_are_kept_as_a_labels_which_are_sent() {
    assert_eq!(
        value::host_name("Mail.BÜCHER.example").as_deref(),
        Ok("mail.xn--bcher-kva.example")
    );
    let host = |text| value::host_port(text).map(|host| host.to_string());
    assert_eq!(host("bücher.example"), host("XN--bcher-kva.example:25"));
    assert_eq!(
        host("bücher.example:26").as_deref(),
        Ok("xn--bcher-kva.example:26")
    );
    assert_eq!(host("192.0.2.1").as_deref(), Ok("192.0.2.1:25"));
    let wrong = value::host_name("x／y.example").unwrap_err();
    assert!(wrong.contains("A-labels"), "{wrong}");
}

#[test]
fn an_address_in_place_of_our_own_name_is_kept_as_a_literal() {
    for (text, expected) in [
        ("192.0.2.1", "[192.0.2.1]"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
        ("[ipv6:2001:DB8::1]", "[IPv6:2001:db8::1]"),
        ("Mail.Example", "mail.example"),
    ] {
        assert_eq!(value::own_name(text).as_deref(), Ok(expected));
    }
    assert!(value::own_name("[192.0.2]").is_err());
}

#[test]
fn a_peer_range_contains_what_its_prefix_says() {
    let network = |text: &str| value::network(text).unwrap();
    for (range, address, inside) in [
        ("192.0.2.0/24", "192.0.2.255", true),
        ("192.0.2.0/24", "192.0.3.0", false),
        ("192.0.2.0/24", "::ffff:192.0.2.7", true),
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.0", false),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("2001:db8::/33", "2001:db8:8000::", false),
    ] {
        let contains = network(range).contains(address.parse().unwrap());
        assert_eq!(contains, inside, "{range} {address}");
    }
}

#[test]
fn a_long_list_of_users_in_one_line_is_read_and_checked_in_one_go() {
    let users: Vec<String> = (0..50_000).map(|i| format!("user{i}")).collect();
    let list = format!("{:?}", [users, vec!["postmaster".into()]].concat());
    let route = format!("domain = \"a.example\"\nusers = {list}\nto = {{ hold = \"why\" }}\n");
    let text = format!("{PAIR}[[instance.output.route]]\n{route}");
    let config = read(&text.replace("\"*\"", "\"*.example.org\""));
    assert_eq!(
        config.instances[1].routes[1].users.as_ref().unwrap().len(),
        50_001
    );
    assert_eq!(config.check().len(), 1, "no route for other domains");
}

#[test]
fn the_graph_shows_every_instance_with_its_listeners_and_steps() {
    assert_eq!(
        read(PAIR).graph(),
        "submission (submission): listens on 127.0.0.1:587\n  \
           `-- everything else --> output\n\
         output (output): no listener of its own\n  \
           `-- * from ours --> relay smtp.example.net:587\n"
    );
}

#[test]
fn the_graph_says_that_only_mail_of_ours_goes_on_over_plain_smtp() {
    let text = "hostname = \"mail.example.org\"\n\
                [instance.input]\nrole = \"input\"\nlisten = [\"127.0.0.1:2525\"]\n\
                next = \"smtp://127.0.0.1:10025\"\n";
    let graph = read(text).graph();
    let step = "`-- everything else from ours --> smtp://127.0.0.1:10025\n";
    assert!(graph.ends_with(step), "{graph}");
}

#[test]
fn every_example_is_read_and_has_no_finding() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut n_examples = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let config = Config::load(&path, None).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(config.check(), [], "{}", path.display());
            n_examples += 1;
        }
    }
    assert!(n_examples >= 5, "only {n_examples} examples");
}

/// Each block of TOML in these pages that is a whole configuration, with the certificate left out
/// that only its reader has.
#[test]
fn configurations_in_the_pages_for_operators_have_no_finding() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators");
    let mut n_read = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let page = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for block in page.split("```toml\n").skip(1) {
            let text = block.split("```").next().unwrap();
            if !text.starts_with("hostname") {
                continue;
            }
            let without_files: String = text
                .split_inclusive('\n')
                .filter(|line| !line.starts_with("certificate") && !line.starts_with("key "))
                .collect();
            let missing = "[instance.input.tls]\nmissing = \"self-signed\"\ncertificate = \
                           \"{state}/c.pem\"\nkey = \"{state}/k.pem\"\n";
            let whole = without_files.replace("[instance.input.tls]\n", missing);
            assert_eq!(read(&whole).check(), [], "{text}");
            n_read += 1;
        }
    }
    assert_ne!(n_read, 0, "no page has a configuration");
}
