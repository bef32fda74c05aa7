//! XFORWARD: from peers that the configuration names, before MAIL.

use mail::reply::table::{self, Row};

use super::session::Session;
use super::settings::Offer;
use crate::codec::xforward::XforwardAttributes;

impl Session {
    pub(super) fn xforward(&mut self, argument: &str) {
        match self.read_xforward(argument) {
            Ok(attributes) => {
                self.xforward = Some(Box::new(attributes));
                self.say(&table::OK.reply());
            }
            Err(row) => self.refuse(row),
        }
    }

    /// What is in force with the attributes of this command.
    fn read_xforward(&self, argument: &str) -> Result<XforwardAttributes, &'static Row> {
        if self.settings.extensions.xforward == Offer::No {
            return Err(&table::NOT_IMPLEMENTED);
        }
        self.check_ready()?;
        if self.transaction.is_some() {
            return Err(&table::BAD_SEQUENCE);
        }
        let mut attributes = self.xforward.as_deref().cloned().unwrap_or_default();
        attributes
            .read(argument)
            .map(|()| attributes)
            .ok_or(&table::SYNTAX_ARGUMENT)
    }
}
