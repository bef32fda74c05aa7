//! Listeners on ports of the kernel's choice, over a reload.

use std::collections::HashSet;

use testkit::Scratch;

use super::*;

/// Two instances with ports of the kernel's choice, of which the first may have more.
fn config(more: &str) -> Config {
    let text = format!(
        "hostname = \"h.example\"\n\
         [instance.input]\nrole = \"input\"\nnext = \"output\"\n\
         listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"{more}]\n\
         [instance.output]\nrole = \"output\"\nlisten = [\"127.0.0.1:0\"]\n\
         [[instance.output.route]]\ndomain = \"*\"\nto = {{ hold = \"why\" }}\n"
    );
    Config::parse(&text, "postern.toml", None).unwrap()
}

/// Where each listener of the configuration came to be, in its order.
fn addresses(wiring: &Wiring, config: &Config) -> Vec<ListenAddress> {
    let of = |instance| {
        wiring
            .listeners_of(instance)
            .map(|(listen, _)| listen.address)
    };
    config.instances.iter().flat_map(of).collect()
}

#[test]
fn each_listener_with_port_0_has_a_port_of_its_own_and_keeps_it_over_a_reload() {
    let scratch = Scratch::new();
    let before = config("");
    let mut wiring = Wiring::default();
    wiring.add(wiring.missing(&before, scratch.path()).unwrap());
    let first = addresses(&wiring, &before);
    let distinct: HashSet<String> = first.iter().map(|address| format!("{address:?}")).collect();
    assert_eq!((first.len(), distinct.len()), (3, 3), "{first:?}");

    let after = config(", \"127.0.0.1:0\"");
    wiring.add(wiring.missing(&after, scratch.path()).unwrap());
    wiring.retain(&after, scratch.path());
    let second = addresses(&wiring, &after);
    assert_eq!((second.len(), &second[..2]), (4, &first[..2]));
    assert_eq!(second[3], first[2]);

    wiring.retain(&before, scratch.path());
    assert_eq!(addresses(&wiring, &before), first);
    assert!(
        addresses(&wiring, &after).len() == 3,
        "what no configuration names is closed"
    );
}
