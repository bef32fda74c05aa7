//! A message without its content.

use std::net::IpAddr;

use mail::{
    BodyType, Client, Envelope, Mailbox, Notify, Origin, Provenance, Recipient, Return,
    ReversePath, Security, Timestamp, TraceId,
};

use super::codec::{Decoder, Encoder};
use super::keys::{put_accepted, put_key, take_accepted, take_key};
use crate::{AcceptedKey, Message};

/// Encodes a message; `lowest` goes with its key, if it has one.
pub(crate) fn encode(message: &Message, lowest: u64) -> Vec<u8> {
    let mut e = Encoder(Vec::with_capacity(256));
    e.number(message.envelope.recipients.len() as u64);
    e.option(message.key.as_ref(), |e, key| put_accepted(e, key, lowest));
    put_provenance(&mut e, &message.provenance);
    put_envelope(&mut e, &message.envelope);
    e.option(message.handoff.as_ref(), put_key);
    e.number(message.next_due.unix_ms());
    e.0
}

/// What replay needs of every message, also of those that are done.
pub(crate) struct Front {
    pub(crate) n_recipients: u32,
    pub(crate) key: Option<AcceptedKey>,
    pub(crate) lowest: u64,
}

pub(crate) fn decode_front(bytes: &[u8]) -> Option<Front> {
    let mut d = Decoder(bytes);
    let n_recipients = d.small()?;
    let (key, lowest) = d.option(take_accepted)?.unzip();
    Some(Front {
        n_recipients,
        key,
        lowest: lowest.unwrap_or(0),
    })
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Message> {
    let mut d = Decoder(bytes);
    let n_recipients = d.number()?;
    let key = d.option(take_accepted)?.map(|(key, _)| key);
    let provenance = take_provenance(&mut d)?;
    let envelope = take_envelope(&mut d)?;
    let handoff = d.option(take_key)?;
    let next_due = Timestamp::from_unix_ms(d.number()?);
    d.end()?;
    if envelope.recipients.len() as u64 != n_recipients {
        return None;
    }
    Some(Message {
        provenance,
        envelope,
        key,
        handoff,
        next_due,
    })
}

fn put_provenance(e: &mut Encoder, p: &Provenance) {
    e.fixed(&p.trace.to_bytes());
    match &p.origin {
        Origin::Authenticated(identity) => {
            e.byte(1);
            e.text(identity);
        }
        Origin::Generated => e.byte(2),
        Origin::Local { uid } => {
            e.byte(3);
            e.number(u64::from(*uid));
        }
        Origin::Outside => e.byte(4),
    }
    e.number(p.arrived.unix_ms());
    e.option(p.client.as_ref(), put_client);
    e.number(p.visited.len() as u64);
    p.visited.iter().for_each(|name| e.text(name.as_str()));
    e.option(p.about, |e, about| e.fixed(&about.to_bytes()));
}

fn take_provenance(d: &mut Decoder<'_>) -> Option<Provenance> {
    Some(Provenance {
        trace: TraceId::from_bytes(d.array()?),
        origin: match d.byte()? {
            1 => Origin::Authenticated(d.text()?.into()),
            2 => Origin::Generated,
            3 => Origin::Local { uid: d.small()? },
            4 => Origin::Outside,
            _ => return None,
        },
        arrived: Timestamp::from_unix_ms(d.number()?),
        client: d.option(take_client)?,
        visited: d.list(|d| d.text()?.parse().ok())?,
        about: d.option(|d| d.array().map(TraceId::from_bytes))?,
    })
}

fn put_client(e: &mut Encoder, client: &Client) {
    match client.address {
        None => e.byte(0),
        Some(IpAddr::V4(address)) => {
            e.byte(4);
            e.fixed(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            e.byte(6);
            e.fixed(&address.octets());
        }
    }
    e.number(u64::from(client.port));
    e.text(&client.helo);
    e.option(client.name.as_deref(), Encoder::text);
    e.flag(client.security == Security::Tls);
    e.flag(client.extended);
}

fn take_client(d: &mut Decoder<'_>) -> Option<Client> {
    Some(Client {
        address: match d.byte()? {
            0 => None,
            4 => Some(d.array::<4>()?.into()),
            6 => Some(d.array::<16>()?.into()),
            _ => return None,
        },
        port: d.small()?.try_into().ok()?,
        helo: d.text()?.into(),
        name: d.option(Decoder::text)?.map(Into::into),
        security: if d.flag()? {
            Security::Tls
        } else {
            Security::Plain
        },
        extended: d.flag()?,
    })
}

fn put_envelope(e: &mut Encoder, envelope: &Envelope) {
    e.text(envelope.sender.as_str());
    e.number(envelope.recipients.len() as u64);
    for recipient in &envelope.recipients {
        e.text(recipient.address.as_str());
        e.byte(recipient.notify.bits());
        e.option(recipient.orcpt.as_deref(), Encoder::text);
    }
    e.byte(match envelope.body {
        BodyType::SevenBit => 1,
        BodyType::EightBitMime => 2,
        BodyType::BinaryMime => 3,
    });
    e.flag(envelope.smtputf8);
    e.byte(match envelope.ret {
        None => 0,
        Some(Return::Full) => 1,
        Some(Return::Headers) => 2,
    });
    e.option(envelope.envid.as_deref(), Encoder::text);
}

fn take_envelope(d: &mut Decoder<'_>) -> Option<Envelope> {
    Some(Envelope {
        sender: ReversePath::parse(d.text()?).ok()?,
        recipients: d.list(|d| {
            Some(Recipient {
                address: Mailbox::parse(d.text()?).ok()?,
                notify: Notify::from_bits(d.byte()?)?,
                orcpt: d.option(Decoder::text)?.map(Into::into),
            })
        })?,
        body: match d.byte()? {
            1 => BodyType::SevenBit,
            2 => BodyType::EightBitMime,
            3 => BodyType::BinaryMime,
            _ => return None,
        },
        smtputf8: d.flag()?,
        ret: match d.byte()? {
            0 => None,
            1 => Some(Return::Full),
            2 => Some(Return::Headers),
            _ => return None,
        },
        envid: d.option(Decoder::text)?.map(Into::into),
    })
}
