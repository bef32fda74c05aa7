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
    /// How many bytes are welcome now; none at all while the other end is not to be read from.
    fn input_room(&self) -> usize;
    /// How many bytes that arrived are kept, because they cannot be used yet.
    fn n_waiting(&self) -> usize;
    /// Everything is written: goes on with input that waited for this. Whether there was any.
    fn resume(&mut self, now: Moment) -> bool;
    /// Whether what can be read before the machine's next words are written was sent unasked, and
    /// must be read before them.
    fn begins_exchange(&self) -> bool;
}

macro_rules! forward {
    () => {
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
        fn poll_event(&mut self) -> Option<Self::Event> {
            Self::poll_event(self)
        }
        fn poll_transmit(&mut self, out: &mut Vec<u8>) {
            Self::poll_transmit(self, out);
        }
        fn poll_timeout(&self) -> Option<Moment> {
            Self::poll_timeout(self)
        }
    };
}

impl Machine for smtp::server::Session {
    type Event = smtp::server::Event;
    const HEARS_LAST_WORDS: bool = false;

    forward!();

    fn input_room(&self) -> usize {
        Self::input_room(self)
    }
    fn n_waiting(&self) -> usize {
        Self::n_waiting(self)
    }
    fn resume(&mut self, now: Moment) -> bool {
        Self::resume(self, now)
    }
    // A client may speak whenever it likes.
    fn begins_exchange(&self) -> bool {
        false
    }
}

impl Machine for smtp::client::Client {
    type Event = smtp::client::Event;
    const HEARS_LAST_WORDS: bool = true;

    forward!();

    fn input_room(&self) -> usize {
        if self.wants_input() { usize::MAX } else { 0 }
    }
    // What a server sends before it is asked ends the session: nothing is kept, or held back.
    fn n_waiting(&self) -> usize {
        0
    }
    fn resume(&mut self, _: Moment) -> bool {
        false
    }
    fn begins_exchange(&self) -> bool {
        Self::begins_exchange(self)
    }
}
