//! What `run` and `start` say: where each instance listens, where the state lies, what to try.

use std::fmt::Write;
use std::net::SocketAddr;

use config::{Config, Listen, ListenAddress, ListenSecurity, Role, Route, RouteMatch};
use mail::InstanceName;
use supervisor::Source;

use super::system::{self, System};
use super::words;

/// Collects what is to be said.
#[derive(Debug)]
pub(crate) struct Welcome {
    at: System,
    /// Which configuration it is.
    configuration: String,
    /// Where state and log lie.
    kept: String,
    /// What `check` warns of.
    n_warnings: u64,
    /// A mailbox of this system, for what is to be tried.
    local: Option<String>,
    input: Option<InstanceName>,
    listeners: Vec<(InstanceName, Listen)>,
    n_instances: usize,
    /// Whether mail for anywhere else is held, so that trying it out disturbs nobody.
    holds: bool,
}

impl Welcome {
    /// For a system that has not said yet where it listens.
    pub(crate) fn new(source: &Source, config: &Config) -> Self {
        let of_role = |role| {
            config
                .instances
                .iter()
                .find(move |instance| instance.role == role)
        };
        Self {
            at: System::of(source, config),
            configuration: system::named(source),
            kept: kept(config),
            n_warnings: (config.check().len() + config.check_files().len()) as u64,
            local: config
                .instances
                .iter()
                .flat_map(|i| &i.routes)
                .find_map(mailbox_of),
            input: of_role(Role::Input).map(|instance| instance.name.clone()),
            listeners: Vec::new(),
            n_instances: config.instances.len(),
            holds: source.file.is_none(),
        }
    }

    /// It listens there.
    pub(crate) fn listens(&mut self, name: &InstanceName, listen: &Listen) {
        self.listeners.push((name.clone(), listen.clone()));
    }

    /// All of it, for the foreground.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("Postern runs {} instances.\n\n", self.n_instances);
        for (name, listen) in &self.listeners {
            let _infallible =
                writeln!(text, "  {:<12} listens on {}", name.as_str(), shown(listen));
        }
        let _infallible = write!(
            text,
            "\n  configuration: {}\n  {}\n\n",
            self.configuration, self.kept
        );
        if let Some(warnings) = self.warnings() {
            let _infallible = write!(text, "{warnings}\n\n");
        }
        text.push_str("Things to try, in another terminal:\n\n");
        for command in self.commands() {
            let _infallible = writeln!(text, "  {command}");
        }
        text.push_str("\nCtrl-C stops it.\n");
        text
    }

    /// What is left of it when the system runs in the background.
    pub(crate) fn text_for_background(&self, pid: u32) -> String {
        let warnings = self.warnings().map(|warnings| warnings + "\n");
        format!(
            "running as process {pid}\nconfiguration: {}\n{}\n{}",
            self.configuration,
            self.kept,
            warnings.unwrap_or_default()
        )
    }

    /// That there are some. Errors there are none: it would not run.
    fn warnings(&self) -> Option<String> {
        let warnings = words::count(self.n_warnings, "warning");
        let check = self.at.command("check");
        (self.n_warnings > 0).then(|| format!("{warnings}: {check} shows what should be looked at"))
    }

    fn commands(&self) -> Vec<String> {
        let postern = std::env::current_exe()
            .map_or_else(|_| "postern".to_owned(), |path| system::quoted(&path));
        let with = |verb: &str| format!("{postern}{} {verb}", self.at.typed);
        let local = self.local.as_deref().unwrap_or("postmaster");
        let elsewhere = if self.holds {
            " --to somebody@example.com"
        } else {
            ""
        };
        let mut commands = vec![format!(
            "echo 'Good morning.' | {} --from {local} --to {local}{elsewhere} --subject Hello",
            with("send")
        )];
        if let Some(address) = self.input_address() {
            commands.push(format!(
                "printf 'Subject: Hello\\r\\n\\r\\nGood morning.\\r\\n' | curl -sS \
                 smtp://{address} --mail-from alice@example.org --mail-rcpt {local} -T -"
            ));
        }
        commands.push(with("queue"));
        commands
    }

    /// Where a client of this machine finds the input instance without TLS.
    fn input_address(&self) -> Option<SocketAddr> {
        let mut of_input = self
            .listeners
            .iter()
            .filter(|(name, _)| Some(name) == self.input.as_ref());
        of_input.find_map(|(_, listen)| match (&listen.address, listen.security) {
            (ListenAddress::Tcp(address), ListenSecurity::Plain) => {
                let mut address = *address;
                if address.ip().is_unspecified() {
                    address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
                }
                Some(address)
            }
            (ListenAddress::Tcp(_) | ListenAddress::Unix(_), _) => None,
        })
    }
}

/// Where state and log lie, for people.
fn kept(config: &Config) -> String {
    let state = config.state.display();
    match &config.log.file {
        None => format!("state in {state}, log on standard error"),
        Some(file) if file.starts_with(&config.state) => format!("state and log in {state}"),
        Some(file) => format!("state in {state}, log in {}", file.display()),
    }
}

/// As the configuration writes it.
fn shown(listen: &Listen) -> String {
    match (&listen.address, listen.security) {
        (ListenAddress::Tcp(address), ListenSecurity::ImplicitTls) => format!("tls://{address}"),
        (ListenAddress::Tcp(address), ListenSecurity::Plain) => address.to_string(),
        (ListenAddress::Unix(path), _) => format!("unix:{}", path.display()),
    }
}

/// An address that a route is for, where one can be told from it alone.
fn mailbox_of(route: &Route) -> Option<String> {
    let user = route.users.as_ref().and_then(|users| users.first())?;
    route.matches.iter().find_map(|matched| match matched {
        RouteMatch::Domain(domain) => Some(format!("{user}@{domain}")),
        RouteMatch::Address(_) | RouteMatch::Any | RouteMatch::Subdomains(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_counted_where_the_system_says_that_it_runs() {
        let source = Source {
            file: Some("/etc/p.toml".into()),
            state: None,
        };
        let text = "hostname = \"h.example\"\n[instance.output]\nrole = \"output\"\n\
                    [[instance.output.route]]\ndomain = \"a.example\"\nusers = [\"bob\"]\n\
                    to = { maildir = \"/m/{local}\" }\n";
        let config = Config::parse(text, "p.toml", None).expect("a configuration");
        let welcome = Welcome::new(&source, &config);
        let words = "2 warnings: `postern --config /etc/p.toml check` shows";
        for text in [welcome.text(), welcome.text_for_background(7)] {
            assert!(text.contains(words), "{text}");
        }
        let config = Config::embedded(Some("/tmp/s".as_ref())).expect("embedded");
        let text = Welcome::new(&source, &config).text();
        assert!(!text.contains("warning"), "{text}");
    }

    #[test]
    fn a_log_that_lies_elsewhere_is_said_to() {
        let mut config = Config::embedded(Some("/tmp/s".as_ref())).expect("embedded");
        assert_eq!(kept(&config), "state and log in /tmp/s");
        config.log.file = Some("/var/log/postern.log".into());
        assert_eq!(
            kept(&config),
            "state in /tmp/s, log in /var/log/postern.log"
        );
        config.log.file = None;
        assert_eq!(kept(&config), "state in /tmp/s, log on standard error");
    }

    #[test]
    fn what_is_printed_names_every_listener_and_commands_that_reach_this_system() {
        let source = Source {
            file: None,
            state: Some("/tmp/s".into()),
        };
        let config = Config::embedded(source.state.as_deref()).expect("the embedded configuration");
        let mut welcome = Welcome::new(&source, &config);
        for instance in &config.instances {
            for listen in &instance.listen {
                welcome.listens(&instance.name, listen);
            }
        }
        let text = welcome.text();
        for part in [
            "  submission   listens on unix:/tmp/s/submission.sock\n",
            "  input        listens on tls://127.0.0.1:1465\n",
            "configuration: embedded, for trying it out\n  state and log in /tmp/s\n",
            " --state /tmp/s send --from alice@example.test --to alice@example.test --to somebody@",
            "curl -sS smtp://127.0.0.1:1025 --mail-from",
            " --state /tmp/s queue\n",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }
}
