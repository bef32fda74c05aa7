//! What the driver needs to know of an SMTP machine, client or server.

use mail::Moment;

/// A sans-IO machine: bytes and time in; events, bytes and the next deadline out.
pub trait Machine {
    /// What it tells its caller.
    type Event;

    /// Whether what the other end said is still of use when it takes nothing any more.
    const HEARS_LAST_WORDS: bool;

    /// Bytes arrived.
    fn handle_input(&mut self, now: Moment, bytes: &[u8]);
    /// The other end will send nothing more.
    fn handle_eof(&mut self, now: Moment);
    /// The time that [`Self::poll_timeout`] named has come.
    fn handle_timeout(&mut self, now: Moment);
    /// TLS is established.
    fn handle_tls(&mut self, now: Moment);
    /// The next thing for the caller to know or to answer.
    fn poll_event(&mut self) -> Option<Self::Event>;
    /// Appends what is to be written.
    fn poll_transmit(&mut self, out: &mut Vec<u8>);
    /// When [`Self::handle_timeout`] shall be called.
    fn poll_timeout(&self) -> Option<Moment>;
    /// Whether more bytes are welcome now.
    fn wants_input(&self) -> bool;
}

macro_rules! forward {
    ($machine:ty, $event:ty, $hears_last_words:literal) => {
        impl Machine for $machine {
            type Event = $event;
            const HEARS_LAST_WORDS: bool = $hears_last_words;

            fn handle_input(&mut self, now: Moment, bytes: &[u8]) {
                Self::handle_input(self, now, bytes);
            }
            fn handle_eof(&mut self, now: Moment) {
                Self::handle_eof(self, now);
            }
            fn handle_timeout(&mut self, now: Moment) {
                Self::handle_timeout(self, now);
            }
            fn handle_tls(&mut self, now: Moment) {
                Self::handle_tls(self, now);
            }
            fn poll_event(&mut self) -> Option<$event> {
                Self::poll_event(self)
            }
            fn poll_transmit(&mut self, out: &mut Vec<u8>) {
                Self::poll_transmit(self, out);
            }
            fn poll_timeout(&self) -> Option<Moment> {
                Self::poll_timeout(self)
            }
            fn wants_input(&self) -> bool {
                Self::wants_input(self)
            }
        }
    };
}

forward!(smtp::client::Client, smtp::client::Event, true);
forward!(smtp::server::Session, smtp::server::Event, false);
