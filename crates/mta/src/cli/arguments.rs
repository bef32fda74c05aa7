//! The arguments of `postern`: `docs/reference/cli.md` is made from here.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A mail transfer agent made of independent instances.
#[derive(Debug, Parser)]
#[command(
    name = "postern",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit status: 0 done; 1 error; 2 wrong arguments; 3 partial: an instance \
                        did not answer; 4 not running; 5 something is damaged."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) system: SystemArguments,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Which system, and how answers look.
#[derive(Clone, Debug, Args)]
pub(crate) struct SystemArguments {
    /// The configuration; without it POSTERN_CONFIG, else (where no state directory is named
    /// either) /etc/postern/postern.toml, else the embedded one for trying it out. A system that
    /// runs by it is found also where the file is broken, unreadable or gone
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The state directory, in place of the configuration's; without it, POSTERN_STATE
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Only these instances (`*` stands for any text); without it, all
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) instance: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Check the configuration: print the graph of instances and every finding
    Check,
    /// Show the queues of all instances, as `queue list` does
    Mailq(ListArguments),
    /// Show and steer the queues of all instances
    Queue(QueueArguments),
    /// Take the changed configuration into use, in all instances or in none
    ///
    /// Answers when the processes that this made necessary are ready. An old one that has to
    /// finish first, with a slow client, is waited for only a few seconds; then the answer says
    /// so, and the exit status is 0 all the same, since the configuration is in force.
    Reload,
    /// Run in the foreground
    Run(RunArguments),
    /// Give a message to submission
    Send(SendArguments),
    /// Give a message to submission, with the arguments of sendmail(8)
    ///
    /// What submission does not take now, because it does not run or is full, is left in the
    /// maildrop and picked up when it runs: that is status 0, too.
    #[command(disable_help_flag = true)]
    #[command(
        after_help = "Exit status, of sysexits.h: 0 accepted, or left in the maildrop; 64 wrong \
                            arguments; 65 a recipient that is no address, while the others were \
                            accepted; 66 the message cannot be read; 67 no such recipient; 69 \
                            refused permanently; 75 not accepted, try again; 78 the configuration \
                            cannot be used."
    )]
    Sendmail(SendmailArguments),
    /// Look into the spools, whether the system runs or not; nothing is changed
    Spool(SpoolArguments),
    /// Start in the background, and wait until it is ready
    Start,
    /// Show each process: pid, uptime, connections, queue, rates
    ///
    /// The exit status is 0 only where every instance answers: 3 where one does not, also because
    /// it is still starting.
    Status,
    /// Stop, and wait until all processes are gone
    Stop,
    /// Show the journey of a message through all instances, from the log and the queues
    Trace(TraceArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Tell readiness on standard output and keep silent after it; for `start`
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct QueueArguments {
    #[command(subcommand)]
    pub(crate) verb: Option<QueueVerb>,
    #[command(flatten)]
    pub(crate) list: ListArguments,
}

/// What to do with the queues.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueVerb {
    /// Count messages and recipients
    Count(FilterArguments),
    /// Take messages or recipients out, without a notification
    Drop(StepArguments),
    /// Keep messages or recipients until they are released
    Hold(StepArguments),
    /// List messages: next attempt, tries so far, last reply, why held
    List(ListArguments),
    /// Let held messages or recipients go on
    Release(StepArguments),
    /// Try now
    Retry(StepArguments),
    /// Show messages with all that is known of them
    Show(FilterArguments),
}

/// Which messages: terms, joined by AND.
#[derive(Debug, Args)]
pub(crate) struct FilterArguments {
    /// Which messages: INSTANCE/NUMBER or trace ids, one or more, and terms: instance= from= to=
    /// domain= uid= reason= state= id= trace= older= younger= larger= smaller= (also age> age<
    /// size> size<). Different terms must all hold, of a term that is given twice one must; `*`
    /// stands for any text
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// At most this many messages of each instance
    #[arg(long, default_value_t = 1000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
}

#[derive(Debug, Args)]
pub(crate) struct StepArguments {
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// All messages
    #[arg(long, conflicts_with = "filter")]
    pub(crate) all: bool,
    /// Only show what would be touched
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArguments {
    /// One or more: a trace id (as in the `250` that the client got), INSTANCE/NUMBER as `queue
    /// list` shows it, a Message-ID, an address, or the address of a client; `*` stands for any
    /// text
    #[arg(
        value_name = "TRACE-ID|INSTANCE/NUMBER|MESSAGE-ID|ADDRESS",
        required_unless_present_any = ["since", "until"]
    )]
    pub(crate) what: Vec<String>,
    /// Only journeys with an event since then: 2h (ago), today, yesterday, 2026-11-30,
    /// 2026-11-30T10:00; in UTC
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only journeys with an event until then
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// At most this many journeys, the newest
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct SpoolArguments {
    #[command(subcommand)]
    pub(crate) verb: SpoolVerb,
}

/// What to do with the spools.
#[derive(Debug, Subcommand)]
pub(crate) enum SpoolVerb {
    /// Print the log in order, or all that it says of one message, or the content of one
    ///
    /// A message that is done is found for as long as its records have not been written over.
    Dump(DumpArguments),
    /// Show what could not be read and was put aside, and get messages back out of it
    Quarantine(QuarantineArguments),
    /// Check every spool: each checksum, contents included, and whether all fits together
    ///
    /// A line for each instance, and below it what was found, where, what it means and what to do.
    /// A remark is what a crash leaves, and what the next start puts right. The exit status is 0
    /// where all is as it was written, 5 where something is damaged, 3 where a spool is not there
    /// or cannot be read. It reads as much as the spools hold.
    Verify,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArguments {
    /// Only this message: INSTANCE/NUMBER, as `queue list` and the log show it
    #[arg(long, value_name = "MESSAGE-ID", conflicts_with = "trace")]
    pub(crate) id: Option<String>,
    /// Only the messages with this trace id
    #[arg(long, value_name = "TRACE-ID")]
    pub(crate) trace: Option<String>,
    /// The content, as it is: for a file or another program
    #[arg(long)]
    pub(crate) content: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineArguments {
    #[command(subcommand)]
    pub(crate) verb: QuarantineVerb,
}

/// What to do with what is in quarantine.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineVerb {
    /// List it: since when, from where, how much of it can be read
    List,
    /// Write the messages that can be read into a folder, and say how to send them again
    ///
    /// Each gets a .eml file with its content and a .json file with what is known of it. Nothing
    /// is removed, and no file is written over. The exit status is 5 where not all of it is whole.
    Recover(RecoverArguments),
    /// Show what can be read of it
    Show {
        /// INSTANCE/NAME, as `list` shows it
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArguments {
    /// INSTANCE/NAME, as `list` shows it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The folder; it is made where it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SendArguments {
    /// The envelope sender; an empty text for the null sender
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: String,
    /// A recipient; may be given more than once
    #[arg(long, required = true, value_name = "ADDRESS")]
    pub(crate) to: Vec<String>,
    /// The subject, where the message has none
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
    /// The message or its body; `-` or nothing is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SendmailArguments {
    /// Those of sendmail(8): -t -i -f -F -bm -bs -bv -bp -bi -q -o… and recipients
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    pub(crate) arguments: Vec<OsString>,
}
