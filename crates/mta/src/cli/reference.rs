//! `docs/reference/cli.md`, made from the arguments and compared with the file.

use clap::CommandFactory;

use super::arguments::Arguments;

#[test]
fn the_reference_of_commands_is_up_to_date() {
    let mut text = String::from(
        "# Commands\n\nMade from `crates/mta/src/cli/arguments.rs` by a test; not to be changed \
         here.\n\nCalled as `mailq`, postern is `postern mailq`; called as `sendmail`, \
         `postern sendmail`.\n",
    );
    let mut command = Arguments::command().term_width(100);
    command.build();
    describe(&mut command, "postern", &mut text);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");
    let found = std::fs::read_to_string(path).unwrap_or_default();
    if found != text {
        std::fs::write(path, &text).expect("written");
        panic!("docs/reference/cli.md was stale and is rewritten: look at it and commit it");
    }
}

fn describe(command: &mut clap::Command, name: &str, text: &mut String) {
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    *text += &format!(
        "\n## {name}\n\n```text\n{}\n```\n",
        help.join("\n").trim_end()
    );
    let is_told = |sub: &&mut clap::Command| sub.get_name() != "help";
    for sub in command.get_subcommands_mut().filter(is_told) {
        let name = format!("{name} {}", sub.get_name());
        describe(sub, &name, text);
    }
}

#[test]
fn the_arguments_are_sound() {
    Arguments::command().debug_assert();
}
