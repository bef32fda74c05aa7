//! Attempts that panic: a mistake in the program costs the attempt, and not the message.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mail::event::What;
use spool::simulated::SimulatedDisk;
use spool::{Content, Disk, DiskFile, Fresh};

use crate::host::Host;
use crate::world::{
    Instance, PATIENT, alarm, delivered, held, message, open_on, possible_duplicate, relay,
};

/// A disk on which opening a content panics, for as long as it is told to.
#[derive(Clone)]
struct Treacherous {
    disk: SimulatedDisk,
    panics: Arc<AtomicBool>,
}

impl Disk for Treacherous {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let panics = self.panics.load(Ordering::SeqCst);
        assert!(!panics || !name.starts_with("content/"), "planted");
        self.disk.open(name)
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock(name)
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.disk.create_dir(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn available(&self) -> u64 {
        self.disk.available()
    }
}

/// An instance where every attempt for the message panics, and what stops that.
async fn with_a_message_that_panics(host: &Host) -> (Instance, mail::MessageId, Arc<AtomicBool>) {
    let disk = Treacherous {
        disk: SimulatedDisk::new(),
        panics: Arc::new(AtomicBool::new(true)),
    };
    let panics = Arc::clone(&disk.panics);
    let opened = open_on(Arc::new(disk.clone()));
    let routes = vec![relay("y.org", host.port)];
    let instance = Instance::of(opened, disk.disk, &PATIENT, |_, _| routes);
    let mut file = instance.spool.content_file().unwrap();
    file.write(b"\r\n").unwrap();
    let content = file.commit().unwrap();
    let message = message(&["a@y.org"]);
    let accepting = instance.spool.accept(&message, Content::File(content));
    let id = accepting.await.unwrap();
    instance.delivery.queued(Fresh {
        id,
        message,
        content_len: 2,
        content: None,
    });
    instance.noted.until(1, panicked).await;
    (instance, id, panics)
}

fn panicked(what: &What) -> bool {
    matches!(what, What::Alarm { text } if text.contains("ended in a panic, and"))
}

#[tokio::test]
async fn a_message_whose_attempt_panicked_is_put_off_and_delivered_later() {
    let host = Host::new(&[]).await;
    let (instance, id, panics) = with_a_message_that_panics(&host).await;
    let counts = instance.delivery.counts();
    assert_eq!((counts.n_under_way, counts.n_waiting), (0, 1));
    assert_eq!(instance.noted.count(alarm), 1);
    // The others go on, and so does an orderly stop.
    instance.accept(message(&["b@y.org"]), "\r\n").await;
    instance.noted.until(1, delivered).await;
    panics.store(false, Ordering::SeqCst);
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    instance.noted.until(2, delivered).await;
    instance.empty().await;
    assert_eq!(instance.noted.count(possible_duplicate), 1);
    instance.delivery.stop().await;
}

#[tokio::test]
async fn a_message_whose_attempts_panic_each_time_is_set_aside() {
    let host = Host::new(&[]).await;
    let (instance, id, panics) = with_a_message_that_panics(&host).await;
    for n in 2..=5 {
        instance.delivery.retry(id, None, "uid 0").await.unwrap();
        instance.noted.until(n, panicked).await;
    }
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    instance.noted.until(1, held).await;
    instance.idle().await;
    assert_eq!(instance.noted.count(panicked), 5);
    assert_eq!(instance.n_held(), 1);
    panics.store(false, Ordering::SeqCst);
    instance.delivery.release(id, None, "uid 0").await.unwrap();
    instance.noted.until(1, delivered).await;
    instance.empty().await;
}
