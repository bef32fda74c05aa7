//! A field that RFC 5322 §3.6 has once stands there again: mail programs and filters then take
//! another one of them for the true one.

use mail::reply::table;

use crate::check::{Check, Found, Result};
use crate::facts::Reading;
use crate::phase::Phase;
use crate::value::{Gathered, HeaderField};

/// Is a field there more than once?
#[derive(Clone, Copy, Debug)]
pub struct RepeatedField {
    /// The field.
    pub field: HeaderField,
}

impl Check for RepeatedField {
    fn name(&self) -> &'static str {
        "repeated-field"
    }

    fn phase(&self) -> Phase {
        Phase::Content
    }

    fn examine(&self, facts: &mut Reading<'_>) -> Result {
        let (origin, count) = (facts.origin(), facts.field_count(self.field));
        let (Gathered::Known(origin), Gathered::Known(count)) = (origin?, count?) else {
            return Ok(Found::CannotTell);
        };
        if origin.is_ours() || *count <= 1 {
            return Ok(Found::Nothing);
        }
        Ok(Found::fault(
            &table::FIELD_REPEATED,
            match self.field {
                HeaderField::Date => "the header has more than one Date field",
                HeaderField::From => "the header has more than one From field",
            },
        ))
    }
}
