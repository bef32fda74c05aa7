//! What the `XPOSTERN` parameter of MAIL carries: provenance, key and mode of a handoff.
//!
//! The form is `field=value;field=value`, values percent-encoded; see docs/handoff.md.
//!
//! # Failure
//! Whatever does not parse is refused as a whole: input from another process is hostile.
//!
//! # Limits
//! [`VISITED_MAX`] instances; addresses and names within the limits of their types.

use std::fmt::Write as _;
use std::str::FromStr;

use mail::{Client, HandoffKey, InstanceName, Origin, Provenance, Security, Timestamp};

/// The most instances that one message may visit; more is a loop (RFC 5321 §6.3 in spirit).
pub const VISITED_MAX: usize = 25;
/// The longest single value, in octets, before decoding.
const VALUE_LEN_MAX: usize = 1024;

/// Everything that a handoff says beyond the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Where the message came from, and by which way.
    pub provenance: Provenance,
    /// Under which key it is handed off; without one, nothing protects from a duplicate.
    pub key: Option<HandoffKey>,
    /// The lowest number of the key's epoch whose outcome the sender still needs.
    pub lowest_unsettled: u64,
    /// Whether recipients are taken one by one.
    pub mode: Mode,
}

/// How a handoff with some refused recipients ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All recipients or none: the client outside gets one reply.
    All,
    /// Each for itself: the sender is ours, and hears of the rest by notification.
    Each,
}

/// Why parameters were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A field that must be there is missing, or there twice.
    #[error("field `{0}` is missing or given twice")]
    Field(char),
    /// A value that does not parse.
    #[error("field `{0}` has no valid value")]
    Value(char),
}

impl Parameters {
    /// The decoded text of the parameter.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(256);
        let p = &self.provenance;
        put(&mut text, 't', &p.trace.to_string());
        put(&mut text, 'o', &origin_text(&p.origin));
        put(&mut text, 'a', &p.arrived.unix_ms().to_string());
        if let Some(client) = &p.client {
            if let Some(address) = client.address {
                put(&mut text, 'c', &address.to_string());
                put(&mut text, 'p', &client.port.to_string());
            }
            put(&mut text, 'h', &client.helo);
            if let Some(name) = &client.name {
                put(&mut text, 'n', name);
            }
            put(
                &mut text,
                's',
                if client.security == Security::Tls {
                    "tls"
                } else {
                    "plain"
                },
            );
            put(
                &mut text,
                'e',
                if client.extended { "ehlo" } else { "helo" },
            );
        }
        let visited: Vec<_> = p.visited.iter().map(InstanceName::as_str).collect();
        // Instance names need no encoding; the commas between them must stay.
        put_raw(&mut text, 'v', &visited.join(","));
        if let Some(key) = &self.key {
            put(&mut text, 'k', &key.to_string());
            put(&mut text, 'l', &self.lowest_unsettled.to_string());
        }
        if let Some(about) = p.about {
            put(&mut text, 'r', &about.to_string());
        }
        put(
            &mut text,
            'm',
            if self.mode == Mode::All {
                "all"
            } else {
                "each"
            },
        );
        text
    }

    /// Reads the decoded text of the parameter. Fields it does not know are left for later
    /// versions; those it knows must be right.
    ///
    /// # Errors
    /// Names the field that is missing or wrong.
    pub fn parse(text: &str) -> Result<Self, ParameterError> {
        let fields = Fields::parse(text)?;
        let key = fields.optional::<Key>('k')?.map(|k| k.0);
        let provenance = Provenance {
            trace: fields.required('t')?,
            origin: fields.required::<OriginText>('o')?.0,
            arrived: Timestamp::from_unix_ms(fields.required('a')?),
            client: fields.client()?,
            visited: fields.visited()?,
            about: fields.optional('r')?,
        };
        let lowest_unsettled = match key {
            Some(key) => {
                let lowest = fields.required('l')?;
                if lowest > key.number {
                    return Err(ParameterError::Value('l'));
                }
                lowest
            }
            None => 0,
        };
        let mode = match fields
            .text('m')?
            .ok_or(ParameterError::Field('m'))?
            .as_str()
        {
            "all" => Mode::All,
            "each" => Mode::Each,
            _ => return Err(ParameterError::Value('m')),
        };
        Ok(Self {
            provenance,
            key,
            lowest_unsettled,
            mode,
        })
    }
}

fn put(text: &mut String, field: char, value: &str) {
    put_raw(text, field, &encode(value));
}

fn put_raw(text: &mut String, field: char, encoded: &str) {
    if !text.is_empty() {
        text.push(';');
    }
    text.push(field);
    text.push('=');
    text.push_str(encoded);
}

fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && !b"%;=,".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Authenticated(name) => format!("auth:{name}"),
        Origin::Generated => "generated".into(),
        Origin::Local { uid } => format!("uid:{uid}"),
        Origin::Outside => "outside".into(),
    }
}

/// The fields of the text, still encoded.
struct Fields<'a>(Vec<(char, &'a str)>);

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Self, ParameterError> {
        let mut fields = Vec::with_capacity(12);
        for field in text.split(';') {
            let (name, value) = field.split_once('=').ok_or(ParameterError::Field('?'))?;
            let mut name = name.chars();
            let (Some(letter), None) = (name.next(), name.next()) else {
                continue; // a longer name belongs to a later version
            };
            if value.len() > VALUE_LEN_MAX {
                return Err(ParameterError::Value(letter));
            }
            if fields.iter().any(|&(known, _)| known == letter) {
                return Err(ParameterError::Field(letter));
            }
            fields.push((letter, value));
        }
        Ok(Self(fields))
    }

    fn text(&self, field: char) -> Result<Option<String>, ParameterError> {
        let Some((_, value)) = self.0.iter().find(|(name, _)| *name == field) else {
            return Ok(None);
        };
        let mut parts = value.split('%');
        let mut octets = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (hex, rest) = part
                .split_at_checked(2)
                .ok_or(ParameterError::Value(field))?;
            octets.push(u8::from_str_radix(hex, 16).map_err(|_| ParameterError::Value(field))?);
            octets.extend_from_slice(rest.as_bytes());
        }
        let text = String::from_utf8(octets).map_err(|_| ParameterError::Value(field))?;
        // A control character would end up in header fields and logs.
        if text.chars().any(char::is_control) {
            return Err(ParameterError::Value(field));
        }
        Ok(Some(text))
    }

    fn optional<T: FromStr>(&self, field: char) -> Result<Option<T>, ParameterError> {
        let text = self.text(field)?;
        text.map(|t| t.parse().map_err(|_| ParameterError::Value(field)))
            .transpose()
    }

    fn required<T: FromStr>(&self, field: char) -> Result<T, ParameterError> {
        self.optional(field)?.ok_or(ParameterError::Field(field))
    }

    fn client(&self) -> Result<Option<Client>, ParameterError> {
        let Some(helo) = self.text('h')? else {
            return Ok(None);
        };
        let security = match self.text('s')?.as_deref() {
            Some("tls") => Security::Tls,
            Some("plain") => Security::Plain,
            _ => return Err(ParameterError::Value('s')),
        };
        let extended = match self.text('e')?.as_deref() {
            Some("ehlo") => true,
            Some("helo") => false,
            _ => return Err(ParameterError::Value('e')),
        };
        Ok(Some(Client {
            address: self.optional('c')?,
            port: self.optional('p')?.unwrap_or(0),
            helo: helo.into(),
            name: self.text('n')?.map(Into::into),
            security,
            extended,
        }))
    }

    fn visited(&self) -> Result<Vec<InstanceName>, ParameterError> {
        let text = self.text('v')?.ok_or(ParameterError::Field('v'))?;
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let visited: Result<Vec<_>, _> = text.split(',').map(str::parse).collect();
        let visited = visited.map_err(|_| ParameterError::Value('v'))?;
        if visited.len() > VISITED_MAX {
            Err(ParameterError::Value('v'))
        } else {
            Ok(visited)
        }
    }
}

struct OriginText(Origin);

impl FromStr for OriginText {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let origin = match text {
            "generated" => Origin::Generated,
            "outside" => Origin::Outside,
            _ => match text.split_once(':') {
                Some(("auth", name)) if !name.is_empty() => Origin::Authenticated(name.into()),
                Some(("uid", uid)) => Origin::Local {
                    uid: uid.parse().map_err(|_| ())?,
                },
                _ => return Err(()),
            },
        };
        Ok(Self(origin))
    }
}

struct Key(HandoffKey);

impl FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let (Some(sender), Some(epoch), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        Ok(Self(HandoffKey {
            sender: sender.parse().map_err(|_| ())?,
            epoch: epoch.parse().map_err(|_| ())?,
            number: number.parse().map_err(|_| ())?,
        }))
    }
}

#[cfg(test)]
mod tests;
