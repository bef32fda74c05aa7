//! The queue, read page by page through a filter.

use std::sync::Arc;

use mail::{MessageId, Timestamp};

use super::{Brief, PAGE_LEN, PageRow, QueueRow, QueueView};
use crate::filter::{Filter, Selection};

/// Walks the queue in the order of ids, a page at a time, through a filter.
pub(super) struct Pages<'a, V: QueueView> {
    filter: &'a Filter,
    view: Arc<V>,
    /// Away while a page is read.
    browser: Option<V::Browser>,
    after: Option<MessageId>,
    /// The last message that can be chosen, where that is known.
    until: Option<MessageId>,
    is_over: bool,
}

impl<'a, V: QueueView> Pages<'a, V> {
    /// What `filter` chooses of the messages with ids above `after`.
    pub(super) fn new(view: Arc<V>, filter: &'a Filter, after: Option<MessageId>) -> Self {
        Self {
            filter,
            browser: Some(view.browser()),
            view,
            after: after.max(before_first(filter)),
            until: filter.ids().last().copied(),
            is_over: false,
        }
    }

    /// What is chosen of the next page; `None` after the last. The thread of the instance does not
    /// wait for the disk meanwhile.
    pub(super) async fn next(&mut self, now: Timestamp) -> Option<Vec<Chosen>> {
        if self.is_over {
            return None;
        }
        let is_one = self.filter.ids().len() == 1;
        let limit = if is_one { 1 } else { PAGE_LEN };
        let (view, after) = (Arc::clone(&self.view), self.after);
        let mut browser = self.browser.take()?;
        let reading = tokio::task::spawn_blocking(move || {
            let page = view.page(&mut browser, after, limit);
            (page, browser)
        });
        let ((page, last), browser) = reading.await.ok()?;
        self.browser = Some(browser);
        self.is_over = last.is_none() || self.until.is_some_and(|until| last >= Some(until));
        self.after = last;
        let chosen = page
            .into_iter()
            .filter_map(|row| Chosen::by(self.filter, row, now));
        Some(chosen.collect())
    }
}

/// What a filter chose of a page.
pub(super) enum Chosen {
    /// A message that cannot be read, restricted to what counts of it.
    Unreadable(Brief),
    /// This of a message.
    Whole(QueueRow, Selection),
}

impl Chosen {
    fn by(filter: &Filter, row: PageRow, now: Timestamp) -> Option<Self> {
        match row {
            // Of the other terms nobody knows whether they hold.
            PageRow::Unreadable(brief) if filter.is_brief() => {
                filter.restrict(brief, now).map(Self::Unreadable)
            }
            PageRow::Unreadable(_) => None,
            PageRow::Whole(row) => match filter.select(&row, now) {
                Selection::None => None,
                selection => Some(Self::Whole(row, selection)),
            },
        }
    }

    /// Its id.
    pub(super) const fn id(&self) -> MessageId {
        match self {
            Self::Unreadable(brief) => brief.id,
            Self::Whole(row, _) => row.id,
        }
    }
}

/// The id before the first message that can be chosen, where that is known.
pub(super) fn before_first(filter: &Filter) -> Option<MessageId> {
    let before = filter.ids().first()?.0.checked_sub(1)?;
    Some(MessageId(before))
}
