//! A host outside of the system, which says to each recipient what the test wants.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::world::LIMIT;

/// Takes mail by SMTP on a port of its own.
pub(crate) struct Host {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// What a recipient is told at its first RCPT, its second, and so on; 250 after that.
    replies: HashMap<&'static str, Vec<&'static str>>,
    /// What it offers after EHLO.
    extensions: &'static [&'static str],
    named: Mutex<HashMap<String, usize>>,
    /// The messages that were acknowledged.
    taken: Mutex<Vec<Taken>>,
    /// One permit for each message that may be acknowledged.
    acknowledgements: Semaphore,
    n_unacknowledged: AtomicUsize,
}

/// A message that the host has.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) recipients: Vec<String>,
    /// MAIL and the RCPTs that it took, as they were sent.
    pub(crate) commands: Vec<String>,
    pub(crate) content: String,
}

impl Host {
    pub(crate) async fn new(replies: &[(&'static str, &[&'static str])]) -> Self {
        Self::with_acknowledgements(replies, Semaphore::MAX_PERMITS).await
    }

    /// A host that takes everything, and offers this.
    pub(crate) async fn that_offers(extensions: &'static [&'static str]) -> Self {
        Self::with(&[], Semaphore::MAX_PERMITS, extensions).await
    }

    /// A host that keeps silent after the data until the test says [`Self::acknowledge`].
    pub(crate) async fn silent() -> Self {
        Self::silent_after(&[]).await
    }

    /// A host that is silent after the data, and says this at RCPT.
    pub(crate) async fn silent_after(replies: &[(&'static str, &[&'static str])]) -> Self {
        Self::with_acknowledgements(replies, 0).await
    }

    /// The port of a host that closes each connection at once, and how many it has closed.
    pub(crate) async fn that_is_down() -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let n = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&n);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counting.fetch_add(1, Ordering::SeqCst);
            }
        });
        (port, n)
    }

    async fn with_acknowledgements(replies: &[(&'static str, &[&'static str])], n: usize) -> Self {
        Self::with(replies, n, &[]).await
    }

    async fn with(
        replies: &[(&'static str, &[&'static str])],
        n: usize,
        extensions: &'static [&'static str],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serving(listener, replies, n, extensions)
    }

    /// A host that takes everything that comes to this listener.
    pub(crate) fn at(listener: TcpListener) -> Self {
        Self::serving(listener, &[], Semaphore::MAX_PERMITS, &[])
    }

    fn serving(
        listener: TcpListener,
        replies: &[(&'static str, &[&'static str])],
        n: usize,
        extensions: &'static [&'static str],
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let replies = replies.iter().map(|(to, said)| (*to, said.to_vec()));
        let shared = Arc::new(Shared {
            replies: replies.collect(),
            extensions,
            named: Mutex::default(),
            taken: Mutex::default(),
            acknowledgements: Semaphore::new(n),
            n_unacknowledged: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.shared
            .taken
            .lock()
            .expect("no test panics under it")
            .clone()
    }

    /// How many RCPTs named this recipient.
    pub(crate) fn n_named(&self, recipient: &str) -> usize {
        let named = self.shared.named.lock().expect("no test panics under it");
        named.get(recipient).copied().unwrap_or(0)
    }

    /// Waits until that many contents came that are not acknowledged.
    pub(crate) async fn has_content(&self, n: usize) {
        let coming = async {
            while self.shared.n_unacknowledged.load(Ordering::SeqCst) < n {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, coming).await.unwrap();
    }

    pub(crate) fn acknowledge(&self) {
        self.shared.acknowledgements.add_permits(1);
    }
}

impl Shared {
    fn reply_to(&self, recipient: &str) -> &'static str {
        let mut named = self.named.lock().unwrap();
        let n = named.entry(recipient.to_owned()).or_default();
        *n += 1;
        let replies = self.replies.get(recipient);
        replies.and_then(|r| r.get(*n - 1)).unwrap_or(&"250 ok")
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let (mut recipients, mut commands) = (Vec::new(), Vec::new());
    say(&mut stream, "220 host.example").await?;
    loop {
        let line = hear(&mut stream).await?;
        let reply = match line.get(..4)? {
            "RCPT" => {
                let (_, rest) = line.split_once('<')?;
                let (recipient, _) = rest.split_once('>')?;
                let reply = shared.reply_to(recipient);
                if reply.starts_with('2') {
                    recipients.push(recipient.to_owned());
                    commands.push(line.trim_end().to_owned());
                }
                reply
            }
            "DATA" if recipients.is_empty() => "503 no recipients",
            "DATA" => {
                say(&mut stream, "354 go").await?;
                let mut content = String::new();
                loop {
                    let line = hear(&mut stream).await?;
                    if line == ".\r\n" {
                        break;
                    }
                    content.push_str(&line);
                }
                shared.n_unacknowledged.fetch_add(1, Ordering::SeqCst);
                shared.acknowledgements.acquire().await.ok()?.forget();
                shared.n_unacknowledged.fetch_sub(1, Ordering::SeqCst);
                let recipients = std::mem::take(&mut recipients);
                let commands = std::mem::take(&mut commands);
                let taken = Taken {
                    recipients,
                    commands,
                    content,
                };
                shared
                    .taken
                    .lock()
                    .expect("no test panics under it")
                    .push(taken);
                "250 2.0.0 taken"
            }
            "QUIT" => return None,
            "EHLO" => {
                say(&mut stream, "250-host.example").await?;
                for extension in shared.extensions {
                    say(&mut stream, &format!("250-{extension}")).await?;
                }
                "250 ok"
            }
            _ => {
                recipients.clear();
                commands.clear();
                commands.push(line.trim_end().to_owned());
                "250 ok"
            }
        };
        say(&mut stream, reply).await?;
    }
}

async fn say(stream: &mut BufReader<TcpStream>, line: &str) -> Option<()> {
    let line = format!("{line}\r\n");
    stream.get_mut().write_all(line.as_bytes()).await.ok()
}

async fn hear(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let n = stream.read_line(&mut line).await.ok()?;
    (n > 0).then_some(line)
}
