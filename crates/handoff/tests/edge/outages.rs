//! Outages of the next instance of every kind: how long after its end the front goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoff::{Answer, Next, PROBE_INTERVAL};
use tokio::time::Instant;

use crate::world::{Output, PATIENCE, State, envelope, hand_off, pass, settle, verify};

/// How long an answer of a slow instance takes.
const SLOW: Duration = Duration::from_secs(3);

/// How far time goes on at once.
const STEP: Duration = Duration::from_millis(20);

/// How often a client comes.
const CLIENT_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    Stopped,
    Killed,
    ChannelFull,
    Slow,
}

impl Outage {
    const ALL: [Self; 4] = [Self::Stopped, Self::Killed, Self::ChannelFull, Self::Slow];

    const fn state(self) -> State {
        match self {
            Self::ChannelFull | Self::Stopped => State::Stopped,
            Self::Killed => State::Killed,
            Self::Slow => State::Slow(SLOW),
        }
    }

    /// How long after its end a recipient can be verified again, at most: a probe that is under way
    /// takes what is left of its patience, the next one comes an interval after it, and then the
    /// next client.
    fn bound(self) -> Duration {
        let under_way = match self {
            Self::ChannelFull => Duration::ZERO,
            Self::Killed | Self::Slow | Self::Stopped => PATIENCE,
        };
        under_way + PROBE_INTERVAL + CLIENT_INTERVAL + 2 * STEP
    }
}

/// When something first succeeded.
#[derive(Clone, Default)]
struct First(Arc<Mutex<Option<Instant>>>);

impl First {
    fn note(&self) {
        self.0.lock().unwrap().get_or_insert(Instant::now());
    }

    /// How long after `since`.
    fn after(&self, since: Instant) -> Option<Duration> {
        self.0.lock().unwrap().map(|at| at.duration_since(since))
    }
}

/// Clients come with recipients that nobody asked about before, and with messages, as long as this
/// lives. Returns when the first got its answer, from now on.
fn clients(next: &Arc<Next>) -> (First, First, tokio::task::JoinHandle<()>) {
    let (verified, handed) = (First::default(), First::default());
    let (noted, next) = ((verified.clone(), handed.clone()), Arc::clone(next));
    let coming = tokio::spawn(async move {
        for n in 0_u32.. {
            let (noted, next) = (noted.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                if verify(&next, &format!("user{n}@x.org")).await.is_none() {
                    return;
                }
                noted.0.note();
                if matches!(hand_off(&next, &envelope()).await, Answer::Replies(_)) {
                    noted.1.note();
                }
            });
            tokio::time::sleep(CLIENT_INTERVAL).await;
        }
    });
    (verified, handed, coming)
}

/// What a front has seen of an outage that is over.
async fn suffer(output: &Output, next: &Arc<Next>, outage: Outage, time: Duration) {
    output.becomes(outage.state());
    let held = match outage {
        Outage::ChannelFull => output.fill(),
        Outage::Killed | Outage::Slow | Outage::Stopped => Vec::new(),
    };
    // One client finds out, as in the report: there is no other.
    let (found_out, sent) = (Arc::clone(next), envelope());
    let finding = tokio::spawn(async move {
        let verified = verify(&found_out, "unknown@x.org").await;
        let handed = hand_off(&found_out, &sent).await;
        (verified.is_some(), handed)
    });
    let step = if time > Duration::from_secs(60) {
        10 * STEP
    } else {
        STEP
    };
    pass(time, step).await;
    drop((held, finding));
    output.becomes(State::Answering);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_of_any_kind_recipients_are_verified_again_at_once() {
    for outage in Outage::ALL {
        for seconds in [1, 10, 60, 600] {
            let (output, next) = Output::with_front();
            suffer(&output, &next, outage, Duration::from_secs(seconds)).await;
            let over_at = Instant::now();
            let (verified, handed, coming) = clients(&next);
            pass(2 * outage.bound(), STEP).await;
            coming.abort();
            let verified = verified.after(over_at).expect("verified again");
            let handed = handed.after(over_at).expect("handed off again");
            println!(
                "{outage:?} for {seconds} s: recipients after {verified:?}, mail after {handed:?}"
            );
            assert!(
                verified <= outage.bound(),
                "{outage:?}, {seconds} s: {verified:?}"
            );
            assert!(!next.is_away(), "{outage:?}, {seconds} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_nobody_comes_after_is_over_all_the_same() {
    for outage in Outage::ALL {
        let (output, next) = Output::with_front();
        suffer(&output, &next, outage, Duration::from_secs(10)).await;
        pass(outage.bound(), STEP).await;
        assert!(!next.is_away(), "{outage:?}: a probe was answered");
    }
}

#[tokio::test(start_paused = true)]
async fn recipients_that_are_remembered_are_answered_all_through_an_outage() {
    for outage in Outage::ALL {
        let (output, next) = Output::with_front();
        let asking = tokio::spawn({
            let next = Arc::clone(&next);
            async move { verify(&next, "alice@x.org").await }
        });
        settle().await;
        assert!(asking.await.unwrap().is_some());
        output.becomes(outage.state());
        for _ in 0..60 {
            let asking = tokio::spawn({
                let next = Arc::clone(&next);
                async move { verify(&next, "alice@x.org").await }
            });
            pass(PATIENCE + STEP, STEP).await;
            assert!(asking.is_finished(), "{outage:?}");
            assert!(asking.await.unwrap().is_some(), "{outage:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_front_that_begins_during_an_outage_goes_on_after_it() {
    for outage in [Outage::Stopped, Outage::Killed] {
        let (output, next) = Output::with_front();
        output.becomes(outage.state());
        settle().await;
        let asking = tokio::spawn({
            let next = Arc::clone(&next);
            async move { verify(&next, "alice@x.org").await }
        });
        pass(Duration::from_secs(30), STEP).await;
        assert_eq!(asking.await.unwrap(), None);
        output.becomes(State::Answering);
        let over_at = Instant::now();
        let (verified, _, coming) = clients(&next);
        pass(outage.bound(), STEP).await;
        coming.abort();
        assert!(verified.after(over_at).is_some(), "{outage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn recipients_are_verified_while_only_the_disk_is_slow_and_mail_waits_in_the_own_spool() {
    let (output, next) = Output::with_front();
    output.becomes(State::SlowDisk(Duration::from_secs(3600)));
    let (verified, handed, coming) = clients(&next);
    pass(Duration::from_secs(60), STEP).await;
    assert!(verified.after(Instant::now()).is_some());
    assert!(handed.after(Instant::now()).is_none());
    let n_contents = || {
        let spoken = output.spoken();
        spoken
            .iter()
            .filter(|line| line.starts_with("BDAT"))
            .count()
    };
    let before = n_contents();
    pass(Duration::from_secs(60), STEP).await;
    let n = n_contents() - before;
    assert!((2..=6).contains(&n), "{n} messages were tried in a minute");
    output.becomes(State::Answering);
    pass(Duration::from_secs(20), STEP).await;
    coming.abort();
    assert!(handed.after(Instant::now()).is_some());
}
