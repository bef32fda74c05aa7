//! The table of facts. One row declares a fact: name, parameter, value, scope, and its tag in
//! records; everything else about it follows.

use mail::{Origin, ReversePath};

use crate::facts::{Missing, Reading};
use crate::record::{Input, Record};
use crate::value::{
    ClientAddress, DomainStatus, Gathered, HeaderField, Milliseconds, RecipientStatus,
};

/// For how long a fact holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Until the client has left, or the fact is learned anew.
    Connection,
    /// Until the transaction is over.
    Transaction,
    /// Until another recipient is named.
    Recipient,
    /// Of the content of one transaction.
    Content,
}

impl Scope {
    /// Whether facts of scope `inner` end with one of this scope.
    #[must_use]
    pub const fn contains(self, inner: Self) -> bool {
        match self {
            Self::Connection => true,
            Self::Transaction => !matches!(inner, Self::Connection),
            Self::Recipient => matches!(inner, Self::Recipient),
            Self::Content => matches!(inner, Self::Content),
        }
    }
}

macro_rules! facts {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $(($parameter:ident: $parameter_type:ty))?: $value:ty,
        $reader:ident, $scope:ident, $tag:literal, $text:literal;
    )*) => {
        /// Names a fact, so that it can be asked for. A parameter is a part of the name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FactKey {
            $($(#[doc = $doc])+ $name $(($parameter_type))?,)*
        }

        /// A fact, as the caller found it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Fact {
            $($(#[doc = $doc])+ $name($($parameter_type,)? Gathered<$value>),)*
        }

        impl Fact {
            /// Its name.
            #[must_use]
            pub const fn key(&self) -> FactKey {
                match self {
                    $(Self::$name($($parameter,)? ..) => FactKey::$name $((*$parameter))?,)*
                }
            }

            pub(crate) fn write_value(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$name($($parameter,)? value) => {
                        $($parameter.write(out);)?
                        value.write(out);
                    })*
                }
            }

            /// `None` where the tag is not known; `Some(None)` where the value is damaged.
            pub(crate) fn read_value(tag: u8, input: &mut Input<'_>) -> Option<Option<Self>> {
                match tag {
                    $($tag => Some((|| {
                        Some(Self::$name(
                            $(<$parameter_type>::read(input)?,)?
                            Record::read(input)?,
                        ))
                    })()),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for Fact {
            /// `name=value`, or `name(parameter)=value`.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$name(.., value) => {
                        write!(f, "{}=", self.key())?;
                        value.show(f)
                    })*
                }
            }
        }

        impl FactKey {
            /// Its name in explanations and records, without its parameter.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $text,)*
                }
            }

            /// For how long it holds.
            #[must_use]
            pub const fn scope(self) -> Scope {
                match self {
                    $(Self::$name { .. } => Scope::$scope,)*
                }
            }

            pub(crate) const fn tag(self) -> u8 {
                match self {
                    $(Self::$name { .. } => $tag,)*
                }
            }
        }

        impl std::fmt::Display for FactKey {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())?;
                match self {
                    $(Self::$name $(($parameter))? => {
                        $(
                            f.write_str("(")?;
                            $parameter.show(f)?;
                            f.write_str(")")?;
                        )?
                    })*
                }
                Ok(())
            }
        }

        impl<'a> Reading<'a> {
            $(
                $(#[doc = $doc])+
                ///
                /// # Errors
                /// When it was not gathered; it is then a part of what the step needs.
                pub fn $reader(
                    &mut self $(, $parameter: $parameter_type)?
                ) -> Result<&'a Gathered<$value>, Missing> {
                    let key = FactKey::$name $(($parameter))?;
                    match self.look_up(key)? {
                        Fact::$name(.., value) => Ok(value),
                        _ => Err(self.lacks(key)),
                    }
                }
            )*
        }
    };
}

facts! {
    /// Whether the client sent something before the greeting, given so much time.
    EarlyTalk(wait: Milliseconds): bool, early_talk, Connection, 1, "early-talk";
    /// The address of the client, as the kernel reports it.
    ClientAddress: ClientAddress, client_address, Connection, 2, "client-address";
    /// The name that the client gave in HELO or EHLO.
    HelloName: Box<str>, hello_name, Connection, 3, "helo-name";
    /// Where the message enters the system: follows from the listener and from what the client
    /// proved, never from an address.
    Origin: Origin, origin, Transaction, 4, "origin";
    /// The envelope sender.
    Sender: ReversePath, sender, Transaction, 5, "sender";
    /// Whether the sender's domain is ours, by the next instance or by the routes here.
    SenderDomain: DomainStatus, sender_domain, Transaction, 6, "sender-domain";
    /// What is known about the recipient, by the next instance or by the routes here.
    RecipientStatus: RecipientStatus, recipient_status, Recipient, 7, "recipient-status";
    /// How many recipients were accepted.
    RecipientCount: u32, recipient_count, Transaction, 8, "recipient-count";
    /// How often a field stands in the header.
    FieldCount(field: HeaderField): u32, field_count, Content, 9, "field-count";
}
