//! What is noticed of files that change.

use testkit::Scratch;

use super::*;

/// Two instances with a certificate each, below `folder`.
fn config(folder: &Scratch, missing: &str) -> Config {
    let instance = |name: &str| {
        let file = |ending: &str| folder.path().join(format!("{name}.{ending}"));
        format!(
            "[instance.{name}]\nrole = \"input\"\nnext = \"output\"\nlisten = [\"127.0.0.1:0\"]\n\
             tls = {{ certificate = {:?}, key = {:?}, missing = \"{missing}\" }}\n",
            file("pem"),
            file("key"),
        )
    };
    let text = format!(
        "hostname = \"h.example\"\n{}{}[instance.output]\nrole = \"output\"\n\
         [[instance.output.route]]\ndomain = \"*\"\nto = {{ hold = \"why\" }}\n",
        instance("a"),
        instance("b"),
    );
    Config::parse(&text, "postern.toml", None).unwrap()
}

/// Files whose looks are as far apart as they are to be.
struct Looks {
    certificates: Certificates,
    now: Moment,
}

impl Looks {
    fn at(config: &Config) -> Self {
        let now = Moment::START;
        let certificates = Certificates::of(config, now);
        Self { certificates, now }
    }

    /// The name of the instance that is to read its files anew.
    fn next(&mut self) -> Option<String> {
        self.now = self.now + LOOK_INTERVAL;
        let found = self.certificates.look(self.now);
        found.map(|name| name.as_str().to_owned())
    }
}

fn both(folder: &Scratch, name: &str, text: &str) {
    folder.file(&format!("{name}.pem"), text);
    folder.file(&format!("{name}.key"), text);
}

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

#[test]
fn a_renewed_certificate_is_told_when_both_files_are_written_and_not_again_once_taken() {
    let folder = Scratch::new();
    both(&folder, "a", "old");
    both(&folder, "b", "old");
    let mut looks = Looks::at(&config(&folder, "refuse"));
    assert_eq!(looks.next(), None);
    folder.file("b.pem", "newer");
    assert_eq!(looks.next(), None, "its key may still be on the way");
    folder.file("b.key", "newer");
    assert_eq!(looks.next(), None);
    assert_eq!(looks.next().as_deref(), Some("b"));
    assert_eq!(looks.next().as_deref(), Some("b"), "nobody took it");
    looks.certificates.take(&name("b"));
    assert_eq!(looks.next(), None);
    assert!(!looks.certificates.have_changed(&name("b")));
    // Replaced by a file of the same length, as by a rename.
    let new = folder.file("new", "newer");
    fs::rename(new, folder.path().join("b.key")).unwrap();
    assert!(looks.certificates.have_changed(&name("b")));
    assert!(!looks.certificates.have_changed(&name("a")));
}

#[test]
fn a_certificate_that_was_refused_is_tried_again_when_it_changes_and_after_an_hour() {
    let folder = Scratch::new();
    both(&folder, "a", "old");
    both(&folder, "b", "old");
    let mut looks = Looks::at(&config(&folder, "refuse"));
    let refuse = |looks: &mut Looks| {
        let now = looks.now;
        looks.certificates.refused(&name("a"), now);
    };
    fs::remove_file(folder.path().join("a.pem")).unwrap();
    assert_eq!((looks.next(), looks.next()), (None, Some("a".into())));
    refuse(&mut looks);
    assert_eq!((looks.next(), looks.next()), (None, None));
    folder.file("a.pem", "wrong");
    assert_eq!((looks.next(), looks.next()), (None, Some("a".into())));
    refuse(&mut looks);
    assert_eq!(looks.next(), None);
    looks.now = looks.now + AGAIN_INTERVAL;
    assert_eq!(looks.next().as_deref(), Some("a"));
}

#[test]
fn a_certificate_that_an_instance_makes_itself_is_no_news() {
    let folder = Scratch::new();
    let mut looks = Looks::at(&config(&folder, "self-signed"));
    for name in ["a", "b"] {
        both(&folder, name, "made");
        looks.certificates.taken(&self::name(name));
    }
    assert!(!looks.certificates.have_changed(&name("a")));
    assert_eq!((looks.next(), looks.next()), (None, None));
    both(&folder, "a", "given");
    assert_eq!((looks.next(), looks.next()), (None, Some("a".into())));
}

#[test]
fn another_configuration_keeps_what_is_known_of_files_that_it_names_too() {
    let folder = Scratch::new();
    both(&folder, "a", "old");
    let before = config(&folder, "refuse");
    let certificates = Certificates::of(&before, Moment::START);
    both(&folder, "a", "newer");
    assert!(certificates.under(&before).have_changed(&name("a")));
    let after = certificates.under(&config(&folder, "self-signed"));
    assert!(
        !after.have_changed(&name("a")),
        "it is read for the first time"
    );
}
