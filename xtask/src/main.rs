//! What the workspace promises about itself, as tests: `cargo test --workspace` runs every check.
//!
//! `cargo run -p xtask` runs the same checks and lists every finding; `cargo run -p xtask -- stats`
//! shows the sizes of the source files. One file a check: each reads a [`Workspace`] and returns
//! what is wrong, and where.

mod architecture;
mod bans;
mod clippy_rules;
mod decisions;
mod layering;
mod layout;
mod names;
mod references;
mod replies;
mod size;
mod standards;
mod stats;
mod terms;
mod workspace;

use std::process::ExitCode;

use workspace::{Finding, Workspace};

/// One check: the sentence that it makes sure of, and how.
struct Check {
    sentence: &'static str,
    run: fn(&Workspace) -> Vec<Finding>,
}

macro_rules! checks {
    ($($sentence:ident: $run:path;)*) => {
        const CHECKS: &[Check] = &[$(Check { sentence: stringify!($sentence), run: $run }),*];

        #[cfg(test)]
        mod of_the_workspace {
            use super::*;

            $(
                #[test]
                fn $sentence() {
                    let workspace = Workspace::read().expect("the workspace can be read");
                    let findings = $run(&workspace);
                    let text: Vec<_> = findings.iter().map(Finding::to_string).collect();
                    assert!(findings.is_empty(), "\n{}\n", text.join("\n"));
                }
            )*
        }
    };
}

checks! {
    a_crate_depends_only_on_what_its_layer_allows: layering::check;
    decisions_are_dated_and_name_what_was_rejected: decisions::check;
    documents_name_only_what_exists: references::check;
    files_are_laid_out_alike: layout::check;
    files_are_small_and_the_session_is_not_the_biggest: size::check;
    nothing_that_is_banned_is_used: bans::check;
    pure_crates_carry_the_clippy_rules_of_the_root: clippy_rules::check;
    the_architecture_describes_every_crate: architecture::check;
    the_reference_of_replies_is_generated: replies::check;
    the_standards_ledger_is_complete: standards::check;
    terms_that_went_do_not_come_back: terms::check;
    things_have_the_names_of_the_glossary: names::check;
}

#[expect(
    clippy::print_stdout,
    reason = "a program for developers, which prints its findings"
)]
fn main() -> ExitCode {
    let workspace = match Workspace::read() {
        Ok(workspace) => workspace,
        Err(error) => {
            println!("cannot read the workspace: {error}");
            return ExitCode::FAILURE;
        }
    };
    match std::env::args().nth(1).as_deref() {
        None | Some("check") => {
            let mut n_findings = 0;
            for check in CHECKS {
                let findings = (check.run)(&workspace);
                let word = if findings.is_empty() { "ok" } else { "NOT" };
                println!("{word:>3}  {}", check.sentence.replace('_', " "));
                for finding in &findings {
                    println!("       {finding}");
                }
                n_findings += findings.len();
            }
            if n_findings == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Some("stats") => {
            print!("{}", stats::report(&workspace));
            ExitCode::SUCCESS
        }
        Some(other) => {
            println!("no such task: {other}; there are `check` (the default) and `stats`");
            ExitCode::FAILURE
        }
    }
}
