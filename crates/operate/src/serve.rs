//! Takes requests from the channel and answers them, several at a time.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use mail::{Disposition, MessageId};
use net::Clock;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::answer::{self, Rows};
use super::frame::{self, Channel, Request, Run, Verb};
use super::pages::{Chosen, Pages, before_first};
use super::{
    N_BRIEFS_AT_ONCE, N_REQUESTS_MAX, N_ROWS_SHOWN, QueueRow, QueueView, RecipientRow, Step,
};
use crate::filter::{Filter, Selection};

/// How long a page is waited for in silence: less than control takes for no answer.
const SIGN_OF_LIFE_TIME: Duration = Duration::from_millis(200);

/// The destination of a recipient whose route holds its mail.
const HOLD_DESTINATION: &str = "hold";

/// As many texts of errors as one answer bears.
const N_ERRORS_SHOWN: usize = 8;

/// Serves the channel until it closes. Cancel-safe between requests.
///
/// # Errors
/// When the socket fails.
pub async fn serve<V: QueueView>(view: Arc<V>, socket: OwnedFd, clock: Clock) -> io::Result<()> {
    let channel = Arc::new(Channel::new(socket)?);
    let mut running = JoinSet::new();
    let mut buffer = Vec::new();
    loop {
        tokio::select! {
            received = channel.receive(&mut buffer), if running.len() < N_REQUESTS_MAX => {
                received?;
                if buffer.is_empty() {
                    return Ok(());
                }
                match Request::parse(&buffer) {
                    // Its asker was told long ago that there is no answer.
                    Ok(request) if request.until < clock.timestamp() => {}
                    Ok(request) => {
                        let asked = Asked {
                            view: Arc::clone(&view),
                            channel: Arc::clone(&channel),
                            id: request.id,
                            clock,
                        };
                        running.spawn(asked.answer(request.verb));
                    }
                    Err(answer) => if let Some(answer) = answer {
                        channel.send(&answer).await?;
                    },
                }
            }
            Some(answered) = running.join_next() => {
                // A panic in one answer is that answer's; a broken channel is the instance's.
                if let Ok(result) = answered {
                    result?;
                }
            }
        }
    }
}

/// One request on its way to an answer.
struct Asked<V> {
    view: Arc<V>,
    channel: Arc<Channel>,
    id: u64,
    clock: Clock,
}

impl<V: QueueView> Asked<V> {
    async fn answer(self, verb: Verb) -> io::Result<()> {
        let value = match verb {
            Verb::Count { filter } => self.count(&filter).await?,
            Verb::List {
                filter,
                after,
                limit,
            } => self.list(&filter, after, limit).await?,
            Verb::Status => answer::status(&self.view.status(), self.counts()),
            Verb::Steer {
                step,
                filter,
                by,
                run,
            } => self.steer(step, &filter, &by, run).await?,
        };
        self.channel.send(&frame::ok(self.id, &value)).await
    }

    fn counts(&self) -> Value {
        answer::counts(&self.view.counts())
    }

    async fn count(&self, filter: &Filter) -> io::Result<Value> {
        if filter.is_brief() {
            return self.count_briefs(filter).await;
        }
        let mut tally = answer::Tally::default();
        let mut pages = self.pages(filter, None);
        while let Some(page) = self.next_page(&mut pages).await? {
            for chosen in &page {
                // One that cannot be read is chosen by what memory has, and counted there.
                if let Chosen::Whole(row, selection) = chosen {
                    tally.add(row, selection, self.clock.timestamp());
                }
            }
            self.sign_of_life().await?;
        }
        Ok(tally.value())
    }

    /// Without the disk: a queue of a million is counted in a blink.
    async fn count_briefs(&self, filter: &Filter) -> io::Result<Value> {
        let mut tally = answer::Tally::default();
        let (mut after, until) = (before_first(filter), filter.ids().last().copied());
        loop {
            let briefs = self.view.briefs(after, N_BRIEFS_AT_ONCE);
            let now = self.clock.timestamp();
            for brief in &briefs {
                if let Some(chosen) = filter.restrict(*brief, now) {
                    tally.add_brief(&chosen, now);
                }
            }
            after = briefs.last().map(|brief| brief.id);
            if briefs.len() < N_BRIEFS_AT_ONCE || until.is_some_and(|until| after >= Some(until)) {
                return Ok(tally.value());
            }
            self.sign_of_life().await?;
        }
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<MessageId>,
        limit: u64,
    ) -> io::Result<Value> {
        let (mut n_listed, mut is_cut, mut last) = (0_u64, false, after);
        let mut rows = Rows::new(self.id);
        let mut pages = self.pages(filter, after);
        'pages: while let Some(page) = self.next_page(&mut pages).await? {
            for chosen in &page {
                if n_listed == limit {
                    is_cut = true;
                    break 'pages;
                }
                n_listed += 1;
                last = Some(chosen.id());
                let full = match chosen {
                    Chosen::Unreadable(brief) => rows.push_unreadable(brief).into_iter().collect(),
                    Chosen::Whole(row, selection) => {
                        rows.push(row, selection, self.clock.timestamp())
                    }
                };
                for frame in full {
                    self.channel.send(&frame).await?;
                }
            }
            if let Some(frame) = rows.take() {
                self.channel.send(&frame).await?;
            }
        }
        if let Some(frame) = rows.take() {
            self.channel.send(&frame).await?;
        }
        Ok(json!({
            "messages": n_listed,
            "cut": is_cut,
            "last": last.map(|id| id.0),
            "queue": self.counts(),
        }))
    }

    async fn steer(&self, step: Step, filter: &Filter, by: &str, run: Run) -> io::Result<Value> {
        let mut tally = Steered::default();
        let mut rows = Rows::new(self.id);
        let mut pages = self.pages(filter, None);
        while let Some(page) = self.next_page(&mut pages).await? {
            let mut steps = JoinSet::new();
            for chosen in &page {
                // One that cannot be read is touched only by its number.
                let Chosen::Whole(row, selection) = chosen else {
                    continue;
                };
                let selection = tally.without_what_the_route_holds(step, row, selection);
                if run == Run::Dry {
                    tally.add(Ok(n_chosen(row, &selection)));
                    if selection == Selection::None || tally.n_messages > N_ROWS_SHOWN {
                        continue;
                    }
                    for frame in rows.push(row, &selection, self.clock.timestamp()) {
                        self.channel.send(&frame).await?;
                    }
                } else {
                    let view = Arc::clone(&self.view);
                    steps.spawn(steer_one(view, step, row.id, selection, by.into()));
                }
            }
            // All of a page at once: their records share one sync.
            while let Some(done) = self.while_it_lasts(steps.join_next()).await? {
                let broke = |_| Err("the step was not carried out".to_owned());
                tally.add(done.unwrap_or_else(broke).map(u64::from));
            }
            if let Some(frame) = rows.take() {
                self.channel.send(&frame).await?;
            }
        }
        self.steer_unreadable(step, filter, by, run, &mut tally)
            .await?;
        Ok(tally.value(run))
    }

    /// Does a step to messages of which no more is known than their ids.
    async fn steer_unreadable(
        &self,
        step: Step,
        filter: &Filter,
        by: &str,
        run: Run,
        tally: &mut Steered,
    ) -> io::Result<()> {
        if !filter.is_brief() {
            return Ok(());
        }
        let ids = filter.ids();
        for id in ids.into_iter().filter(|id| self.view.is_unreadable(*id)) {
            let done = match run {
                Run::Dry => Ok(0),
                Run::Real => {
                    let step = self.view.steer(step, id, None, by);
                    self.while_it_lasts(step).await?
                }
            };
            tally.n_messages += u64::from(done == Ok(0));
            tally.add(done.map(u64::from));
        }
        Ok(())
    }

    fn pages<'a>(&self, filter: &'a Filter, after: Option<MessageId>) -> Pages<'a, V> {
        Pages::new(Arc::clone(&self.view), filter, after)
    }

    /// The next page.
    async fn next_page(&self, pages: &mut Pages<'_, V>) -> io::Result<Option<Vec<Chosen>>> {
        self.while_it_lasts(pages.next(self.clock.timestamp()))
            .await
    }

    /// Waits for something that needs the disk. Control is told that this goes on.
    async fn while_it_lasts<T>(&self, work: impl Future<Output = T>) -> io::Result<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(SIGN_OF_LIFE_TIME) => self.sign_of_life().await?,
            }
        }
    }

    /// Shows control that the answer is being worked on, and gives the runtime back.
    async fn sign_of_life(&self) -> io::Result<()> {
        if let Some(frame) = Rows::new(self.id).take() {
            self.channel.send(&frame).await?;
        }
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// What a step came to.
#[derive(Default)]
struct Steered {
    n_messages: u64,
    n_recipients: u64,
    errors: Vec<String>,
    n_errors: u64,
}

impl Steered {
    /// Counts what came of one message: the recipients that were touched, or what went wrong.
    fn add(&mut self, done: Result<u64, String>) {
        match done {
            Ok(0) => {}
            Ok(n) => {
                self.n_messages += 1;
                self.n_recipients += n;
            }
            Err(text) => {
                self.n_errors += 1;
                if self.errors.len() < N_ERRORS_SHOWN {
                    self.errors.push(text);
                }
            }
        }
    }

    /// What is chosen but for held recipients that a release would not help, because their route
    /// holds them again; these are errors.
    fn without_what_the_route_holds(
        &mut self,
        step: Step,
        row: &QueueRow,
        selection: &Selection,
    ) -> Selection {
        let is_chosen = |r: &&RecipientRow| match selection {
            Selection::Message => true,
            Selection::None => false,
            Selection::Recipients(chosen) => chosen.contains(&r.index),
        };
        let is_held_again = |r: &&RecipientRow| {
            step == Step::Release
                && r.disposition == Disposition::Held
                && &*r.destination == HOLD_DESTINATION
        };
        let (held, rest): (Vec<_>, Vec<_>) = row
            .recipients
            .iter()
            .filter(is_chosen)
            .partition(is_held_again);
        if held.is_empty() {
            return selection.clone();
        }
        for recipient in held {
            self.add(Err(format!(
                "message {}: the route of <{}> holds its mail, so that it would be held again: \
                 change the route and reload first",
                row.id, recipient.address
            )));
        }
        match &rest[..] {
            [] => Selection::None,
            rest => Selection::Recipients(rest.iter().map(|r| r.index).collect()),
        }
    }

    fn value(&self, run: Run) -> Value {
        json!({
            "messages": self.n_messages,
            "recipients": self.n_recipients,
            "dry_run": run == Run::Dry,
            "n_errors": self.n_errors,
            "errors": self.errors,
        })
    }
}

/// Does a step to what was chosen of one message.
async fn steer_one<V: QueueView>(
    view: Arc<V>,
    step: Step,
    id: MessageId,
    selection: Selection,
    by: Box<str>,
) -> Result<u32, String> {
    match selection {
        Selection::None => Ok(0),
        Selection::Message => view.steer(step, id, None, &by).await,
        // Together: one that is let go before the others would be tried without them.
        Selection::Recipients(chosen) => view.steer(step, id, Some(&chosen), &by).await,
    }
}

fn n_chosen(row: &QueueRow, selection: &Selection) -> u64 {
    match selection {
        Selection::Message => row.recipients.len() as u64,
        Selection::None => 0,
        Selection::Recipients(chosen) => chosen.len() as u64,
    }
}

#[cfg(test)]
mod tests;
