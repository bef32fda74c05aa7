//! Which command may come now, and whose it is.

use mail::reply::table::{self, Row};
use mail::{Moment, Security};

use super::session::{Phase, Session};
use super::settings::Starttls;
use crate::codec::command::{Command, CommandError};

impl Session {
    /// Takes a line for a command. Leaves the state alone where the command is done with.
    pub(super) fn command(&mut self, now: Moment, line: &[u8]) {
        let content_may_follow = std::mem::take(&mut self.content_may_follow);
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(CommandError::Unknown) if content_may_follow => return self.end_doubtful(),
            Err(error) => return self.refuse_line(error),
        };
        if self.phase == Phase::Refusing && command != Command::Quit {
            return self.refuse(&table::BAD_SEQUENCE);
        }
        // These are bounded otherwise: by the recipients, by the errors, and by the content.
        let is_bounded = matches!(
            command,
            Command::Bdat(_) | Command::Data | Command::Quit | Command::Rcpt(_)
        );
        if !is_bounded && !self.count_command() {
            return;
        }
        match command {
            Command::Auth => self.refuse_content_command(&table::NOT_IMPLEMENTED),
            Command::Bdat(argument) => self.bdat(now, argument),
            Command::Data => self.data_command(),
            Command::Ehlo(name) => self.ehlo(name),
            Command::Expn => self.refuse(&table::NOT_IMPLEMENTED),
            Command::Foreign => self.end_foreign(),
            Command::Helo(name) => self.helo(name),
            Command::Help => self.say(&table::HELP.reply()),
            Command::Mail(argument) => self.mail(argument),
            Command::Noop => self.say(&table::OK.reply()),
            Command::Quit => self.quit(),
            Command::Rcpt(argument) => self.rcpt(argument),
            Command::Rset => self.rset(),
            Command::StartTls => self.starttls(now),
            Command::Vrfy(argument) => self.vrfy(argument),
            Command::Xforward(argument) => self.xforward(argument),
        }
    }

    /// Whether anything but a hello may be said without TLS (RFC 3207 §4).
    pub(super) fn check_tls(&self) -> Result<(), &'static Row> {
        let wants_tls = self.settings.extensions.starttls == Starttls::Required;
        if wants_tls && self.security == Security::Plain {
            return Err(&table::TLS_REQUIRED);
        }
        Ok(())
    }

    /// What a command about mail needs before anything else.
    pub(super) fn check_ready(&self) -> Result<(), &'static Row> {
        self.check_tls()?;
        if self.hello.is_none() {
            return Err(&table::HELLO_FIRST);
        }
        Ok(())
    }

    fn refuse_line(&mut self, error: CommandError) {
        match error {
            CommandError::AddressOctets => self.refuse(&table::SENDER_NEEDS_UTF8),
            CommandError::Argument | CommandError::Octets => self.refuse(&table::SYNTAX_ARGUMENT),
            CommandError::DataArgument => self.refuse_content_command(&table::SYNTAX_ARGUMENT),
            CommandError::OctetsInBdat => self.end_out_of_step(),
            CommandError::StartTlsArgument => self.refuse(&table::TLS_ARGUMENT),
            CommandError::Unknown => self.refuse(&table::SYNTAX_COMMAND),
        }
    }

    /// Refuses a command after which a client that does not wait sends what is no command.
    pub(super) fn refuse_content_command(&mut self, row: &'static Row) {
        self.refuse(row);
        self.content_may_follow = true;
    }

    /// Cross-protocol: what follows is not meant for us, and must not be read as commands.
    pub(super) fn end_foreign(&mut self) {
        self.note_refusal(&table::NOT_SMTP);
        self.end(&table::NOT_SMTP);
    }

    /// What follows may be content, which must not be read as commands.
    pub(super) fn end_doubtful(&mut self) {
        if !self.is_closed() {
            self.note_refusal(&table::OUT_OF_STEP);
            self.end(&table::OUT_OF_STEP);
        }
    }
}
