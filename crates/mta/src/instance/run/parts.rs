//! What an instance consists of, made from its part of the configuration.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use config::certificate::Certificate;
use config::{Config, InstanceConfig, Listen, Next as NextConfig, Role};
use delivery::{Delivery, Settings};
use handoff::{Change, EdgeReceiver, EdgeSender, Ledger, Next};
use intake::{Capacity, ContentMemory, EdgePeer, Gate, Intake, Onward, Queued, SpoolLease};
use mail::event::{Event, Sink, What};
use mail::{InstanceName, Origin, Reply};
use net::{Clock, Entropy};
use smtp::server::Offer;
use spool::{Fresh, Spool};
use supervisor::channel::Purpose;

use crate::instance::compose::{self, Answering};
use crate::instance::doors::{Door, Sessions};
use crate::instance::unfinished::Inbox;
use crate::role::Composition;

/// What stays the same over reloads.
pub(super) struct Instance {
    pub(super) name: InstanceName,
    pub(super) composition: Composition,
    pub(super) clock: Clock,
    pub(super) entropy: Arc<Entropy>,
    pub(super) events: Arc<dyn Sink>,
    pub(super) spool: Spool,
    /// The numbers of handoffs: of the spool, whoever is next.
    pub(super) ledger: Arc<Mutex<Ledger>>,
    pub(super) next: Option<Onwards>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) spool_lease: Arc<SpoolLease>,
    pub(super) content_memory: Arc<ContentMemory>,
    pub(super) gate: Arc<Gate>,
    pub(super) refused: Arc<Mutex<HashMap<&'static str, u64>>>,
}

/// The next instance, and what it was made of.
#[derive(Clone)]
pub(super) struct Onwards {
    pub(super) next: Arc<Next>,
    pub(super) name: InstanceName,
    pub(super) handoff: config::HandoffSettings,
}

impl Instance {
    /// Takes in what the spool holds; `another` says that it is not the one of the last start.
    pub(super) fn recover(&self, recovery: &spool::Recovery, another: Option<String>) {
        if let Some(text) = another {
            self.tell(What::Alarm { text: text.into() });
        }
        for note in &recovery.notes {
            let look = note
                .quarantine()
                .map(|name| format!("; `postern spool quarantine show {}/{name}`", self.name));
            let text = format!("spool: {note}{}", look.unwrap_or_default()).into();
            // What any crash leaves behind is told; what no crash explains is an alarm.
            self.tell(match note {
                spool::Note::ContentMissing { .. }
                | spool::Note::ContentSetAside { .. }
                | spool::Note::Damage { .. }
                | spool::Note::SegmentsMissing { .. }
                | spool::Note::Superblock { .. }
                | spool::Note::Unread { .. } => What::Alarm { text },
                spool::Note::ContentTakenBack { .. }
                | spool::Note::CopyOnWrite { .. }
                | spool::Note::StrayContent { .. }
                | spool::Note::Torn { .. } => What::Instance { text },
            });
        }
        if recovery.is_new {
            let text = "there was no spool: a new one was made".into();
            self.tell(What::Instance { text });
        }
        let adopt = |key: &mail::HandoffKey| {
            // Nothing that is done under this lock can panic half way through a change.
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.adopt(key);
        };
        let delivery::Recovered {
            n_messages,
            n_unreadable,
        } = self.delivery.recover(recovery, adopt);
        let mut text = format!("started with {n_messages} messages in its spool");
        if n_unreadable > 0 {
            text.push_str(&format!(", of which {n_unreadable} cannot be read"));
        }
        self.tell(What::Instance { text: text.into() });
    }

    /// The attempts that an earlier process still makes. Blocks.
    pub(super) fn find_unfinished(&self, spool_dir: &Path) -> Vec<Inbox> {
        match Inbox::find(spool_dir) {
            Ok(inboxes) => {
                for inbox in &inboxes {
                    self.delivery.expect_outcomes(&inbox.unfinished);
                }
                inboxes
            }
            Err(e) => {
                let text = format!(
                    "which deliveries an earlier process had under way is not known, and they are \
                     repeated: {}: {e}",
                    spool_dir.display()
                );
                self.tell(What::Alarm { text: text.into() });
                Vec::new()
            }
        }
    }

    pub(super) fn sessions(
        &self,
        config: &Config,
        own: &InstanceConfig,
        onwards: Option<&Onwards>,
        purpose: Purpose,
    ) -> Result<Sessions, String> {
        let answering = |routes| Answering {
            routes: Arc::new(routes),
            clock: self.clock,
            events: Arc::clone(&self.events),
        };
        let own_routes = Arc::new(answering(compose::own_routes(config, own, self.clock)));
        let onward = match onwards {
            Some(Onwards { next, .. }) => {
                let has_routes = !own.routes.is_empty();
                let own = has_routes.then_some(own_routes as Arc<dyn intake::Recipients>);
                Onward::Next {
                    next: Arc::clone(next),
                    own,
                }
            }
            None => {
                let all = compose::routes(config, own, self.clock, None);
                Onward::Here(Arc::new(answering(all)))
            }
        };
        let certificate = own
            .tls
            .as_ref()
            .map(|tls| Certificate::read_or_make(tls, &config.hostname));
        let certificate = certificate.transpose()?;
        let tls = certificate.as_ref().map(|read| read.acceptor.clone());
        let intake = Intake {
            name: self.name.clone(),
            hostname: config.hostname.clone(),
            clock: self.clock,
            answer_timeout: own.limits.answer_timeout,
            entropy: Arc::clone(&self.entropy),
            spool: self.spool.clone(),
            onward,
            checks: compose::checks(config, own),
            events: Arc::clone(&self.events),
            queued: Arc::new(Queueing(Arc::clone(&self.delivery))),
            capacity: Capacity {
                messages_max: u64::from(own.queue.messages),
            },
            handoff_limits: compose::handoff_limits(&own.limits),
            spool_lease: Arc::clone(&self.spool_lease),
            content_memory: Arc::clone(&self.content_memory),
            gate: Arc::clone(&self.gate),
            refused: Arc::clone(&self.refused),
        };
        Ok(Sessions {
            intake: Arc::new(intake),
            world: Arc::new(compose::world(config, own, Offer::No)),
            trusted: Arc::new(compose::world(config, own, Offer::Yes)),
            edge: Arc::new(compose::edge(own)),
            entry: compose::entry(&self.composition, tls.clone()),
            peers: own.peers.clone().into(),
            bounds: compose::bounds(own, &self.composition),
            edge_places: Arc::new(compose::edge_places(config, own)),
            tls,
            validity: certificate.map(|read| read.validity),
            purpose,
        })
    }

    /// The next instance as a reload has it: the one that is there, with all that is known of it,
    /// where nothing about it changed.
    pub(super) fn next_after(
        &self,
        own: &InstanceConfig,
        edges: Vec<(InstanceName, OwnedFd)>,
    ) -> Option<Onwards> {
        let stays = |here: &&Onwards| {
            own.next == Some(NextConfig::Instance(here.name.clone())) && own.handoff == here.handoff
        };
        self.next
            .as_ref()
            .filter(stays)
            .cloned()
            .or_else(|| make_next(own, edges, &self.ledger, self.clock, &self.events))
    }

    pub(super) fn tell(&self, what: What) {
        self.events.emit(Event {
            at: self.clock.timestamp(),
            trace: None,
            what,
        });
    }
}

pub(super) fn delivery_settings(
    config: &Config,
    own: &InstanceConfig,
    clock: Clock,
    onwards: Option<&Onwards>,
) -> Settings {
    let next = onwards.map(|onwards| &onwards.next);
    let composition = Composition::of(own.role);
    Settings {
        hostname: config.hostname.clone(),
        routes: compose::routes(config, own, clock, next),
        backoff: compose::backoff(own, &composition),
        lifetime: compose::lifetime(own),
    }
}

pub(super) fn make_next(
    own: &InstanceConfig,
    edges: Vec<(InstanceName, OwnedFd)>,
    ledger: &Arc<Mutex<Ledger>>,
    clock: Clock,
    events: &Arc<dyn Sink>,
) -> Option<Onwards> {
    let Some(NextConfig::Instance(wanted)) = &own.next else {
        return None;
    };
    let (name, fd) = edges.into_iter().find(|(name, _)| name == wanted)?;
    let (told, events) = (name.clone(), Arc::clone(events));
    let on_change = move |change, reason: &str| {
        let (open, next) = (change == Change::Opened, told.as_str().into());
        let what = What::Breaker {
            next,
            open,
            reason: reason.into(),
        };
        events.emit(Event {
            at: clock.timestamp(),
            trace: None,
            what,
        });
    };
    let settings = compose::next_settings(own, name.clone());
    let (edge, ledger) = (EdgeSender::new(fd), Arc::clone(ledger));
    Some(Onwards {
        next: Next::new(edge, settings, ledger, clock, Box::new(on_change)),
        name,
        handoff: own.handoff.clone(),
    })
}

/// The listeners that were passed, found to be such.
pub(super) fn make_doors(listeners: Vec<(Listen, OwnedFd)>) -> Result<Vec<Door>, String> {
    let doors = listeners.into_iter().map(|(listen, fd)| {
        let place = format!("{:?}", listen.address);
        Door::new(listen, fd).map_err(|e| format!("cannot accept on {place}: {e}"))
    });
    doors.collect()
}

/// The receiving ends of edges that were passed, and who is at the other end of each.
pub(super) fn make_edges(
    edges: Vec<(InstanceName, Role, OwnedFd)>,
) -> Result<Vec<(EdgePeer, EdgeReceiver)>, String> {
    let edges = edges.into_iter().map(|(name, role, fd)| {
        let receiver = EdgeReceiver::new(fd).map_err(|e| format!("the edge from {name}: {e}"))?;
        let claims = Composition::of(role).claims;
        Ok((EdgePeer { name, claims }, receiver))
    });
    edges.collect()
}

/// Passes on what intake accepts.
pub(super) struct Queueing(Arc<Delivery>);

impl Queued for Queueing {
    fn queued(&self, fresh: Fresh) {
        self.0.queued(fresh);
    }

    fn held(&self, fresh: Fresh, reply: &Reply) {
        self.0.held(fresh, reply);
    }

    fn n_waiting(&self, origin: &Origin) -> u64 {
        self.0.n_messages(origin)
    }
}
