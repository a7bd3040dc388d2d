//! Listing a node's objects, page by page.

use std::collections::{HashSet, VecDeque};

use d1_model::{DateTime, Identifier, ObjectInfo, ObjectList, OddityCode};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_transfer::Method;

use crate::client::NodeClient;
use crate::error::{Context, ErrorKind, Result};
use crate::exchange::{Document, query};
use crate::options::Progress;

/// The default number of entries of a page; nodes may send fewer.
const PAGE_SIZE: u32 = 1000;
/// The largest page, in bytes.
const LARGEST_PAGE: u64 = 64 * 1024 * 1024;
/// How many objects may be added while a list is read, beyond twice its first size.
const MOST_ADDED: u64 = 100_000;

/// Selects objects of a node; the default selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectFilter {
    /// Only objects whose system metadata changed at this time or later.
    pub from: Option<DateTime>,
    /// Only objects whose system metadata changed before this time. With an end in the past, changes during the listing
    /// do not move entries from one page to another.
    pub to: Option<DateTime>,
    /// Only objects of this format.
    pub format_id: Option<String>,
    /// Only this object, or all of this series.
    pub identifier: Option<Identifier>,
    /// Whether replicas are listed too, or only objects whose origin is the node.
    pub replicas: Option<bool>,
    /// The number of entries of a page; `None` means 1000.
    pub page_size: Option<u32>,
}

impl NodeClient {
    /// Reads one page of the list of objects (`listObjects`): at most `count` entries from the one with the number
    /// `start`, which begins at 0.
    ///
    /// # Errors
    ///
    /// If the node does not give it, or a date of the filter is not a date.
    pub async fn list_page(
        &self,
        filter: &ObjectFilter,
        start: u64,
        count: u32,
    ) -> Result<Document<ObjectList>> {
        let context = self.list_context();
        let asked = parameters(filter, start, count, &context)?;
        let asked = query(asked.iter().map(|(name, value)| (*name, value.as_str())));
        let call = self.call(Method::GET, "object", &asked, &context).await?;
        self.document(&call, LARGEST_PAGE, &context, ObjectList::parse).await
    }

    /// Lists objects. Pages are requested one after the other, as entries are taken.
    ///
    /// Objects that change while the list is read do not hide others. Where a node orders its list by date, each page
    /// begins at the last date of the page before. Elsewhere pages overlap, and the list is read from an earlier entry
    /// where they do not meet. An object that changes meanwhile can be listed twice, or only with its earlier date.
    ///
    /// # Errors
    ///
    /// The stream ends with an error if a page cannot be read, with [`Incomplete`](ErrorKind::Incomplete) if the node stops
    /// before its stated total, and with [`Protocol`](ErrorKind::Protocol) or [`TooLarge`](ErrorKind::TooLarge) if the list
    /// has no end.
    ///
    /// ```no_run
    /// use d1_client::{ClientOptions, NodeClient, ObjectFilter};
    /// use d1_model::DateTime;
    /// use futures::TryStreamExt;
    ///
    /// # async fn list() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = NodeClient::new("https://arcticdata.io/metacat/d1/mn", &ClientOptions::default())?;
    /// let mut filter = ObjectFilter::default();
    /// filter.from = Some(DateTime::from_text("2026-11-01T00:00:00Z"));
    /// filter.format_id = Some("http://www.openarchives.org/ore/terms".to_owned());
    /// let mut objects = node.list_objects(&filter);
    /// while let Some(object) = objects.try_next().await? {
    ///     println!("{}", object.identifier);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_objects(&self, filter: &ObjectFilter) -> BoxStream<'static, Result<ObjectInfo>> {
        let listing = Listing {
            client: self.clone(),
            filter: filter.clone(),
            next: 0,
            listed: 0,
            first_total: None,
            is_done: false,
            page: VecDeque::new(),
            recent: HashSet::new(),
            overlap: 0,
            last_page: None,
        };
        stream::try_unfold(listing, Listing::step).boxed()
    }

    fn list_context(&self) -> Context {
        self.context("read", "the list of objects")
    }
}

/// The most entries by which one page overlaps the page before.
const MOST_OVERLAP: usize = 10;
/// How often a page is read from an earlier entry before the list counts as unreadable.
const MOST_STEPS_BACK: u32 = 32;

struct Listing {
    client: NodeClient,
    /// The filter. Its `from` moves on where the node orders its list by date.
    filter: ObjectFilter,
    /// The number of the entry at which the next page begins, in the list that `filter` selects.
    next: u64,
    /// How many entries of all pages were read.
    listed: u64,
    first_total: Option<u64>,
    is_done: bool,
    page: VecDeque<ObjectInfo>,
    /// The objects of the page before.
    recent: HashSet<Identifier>,
    /// How many entries of the page before the next page repeats.
    overlap: usize,
    /// The identifiers with which the page before began and ended.
    last_page: Option<(Identifier, Identifier)>,
}

impl Listing {
    async fn step(mut self) -> Result<Option<(ObjectInfo, Self)>> {
        loop {
            if let Some(object) = self.page.pop_front() {
                return Ok(Some((object, self)));
            }
            if self.is_done {
                return Ok(None);
            }
            self.turn().await?;
        }
    }

    /// Reads the next page.
    async fn turn(&mut self) -> Result<()> {
        let context = self.client.list_context();
        let (start, page) = self.read_page(&context).await?;
        let is_counted_wrong = page.oddities.iter().any(|oddity| oddity.code == OddityCode::WrongCount);
        let ObjectList { count, total, objects, .. } = page.value;
        // Entries without an identifier are left out of `objects`, but have their places in the list.
        let read = objects.len() as u64;
        let entries = if is_counted_wrong { read } else { count.max(read) };
        let before = self.listed;
        self.next = start.saturating_add(entries);
        let repeated = objects.iter().filter(|object| self.recent.contains(&object.identifier)).count();
        self.listed = self.listed.saturating_add(entries.saturating_sub(repeated as u64));
        let all = self.listed.saturating_add(total.saturating_sub(self.next));
        self.check_bounds(all, &context)?;
        if entries == 0 && self.next < total {
            let reason = format!("the node lists {before} objects and then none, of {all}");
            return Err(context.error(ErrorKind::Incomplete).because(reason));
        }
        self.check_repetition(&objects, &context)?;
        self.is_done = entries == 0 || self.next >= total;
        let new = |object: &&ObjectInfo| !self.recent.contains(&object.identifier);
        self.page = objects.iter().filter(new).cloned().collect();
        self.prepare_next(&objects, &context);
        let progress = &self.client.inner.shared.options.progress;
        progress.note(&Progress::Listed { entries: self.listed, total: all });
        Ok(())
    }

    /// Reads a page that continues the one before, and returns where it begins. Where objects left the list
    /// meanwhile, it reads from an earlier entry.
    async fn read_page(&self, context: &Context) -> Result<(u64, Document<ObjectList>)> {
        let count = self.filter.page_size.unwrap_or(PAGE_SIZE).max(1);
        let mut back = self.overlap as u64;
        for _ in 0..MOST_STEPS_BACK {
            let start = self.next.saturating_sub(back);
            let more = u32::try_from(self.overlap).unwrap_or(0);
            match self.client.list_page(&self.filter, start, count.saturating_add(more)).await {
                Ok(page) => {
                    let first = page.value.objects.first();
                    let continues = first.is_some_and(|first| self.recent.contains(&first.identifier));
                    if start == 0 || self.overlap == 0 || continues {
                        return Ok((start, page));
                    }
                }
                // The Generic Member Node refuses to begin behind the end of a list that has become shorter.
                Err(error) if start > 0 && error.kind() == ErrorKind::InvalidRequest => {}
                Err(error) => return Err(error),
            }
            back = back.saturating_mul(2).max(u64::from(count));
        }
        Err(context.error(ErrorKind::Incomplete).because("the list changes faster than it can be read"))
    }

    /// Chooses where the next page begins: at the date of the last entry, if the list is ordered by date.
    fn prepare_next(&mut self, objects: &[ObjectInfo], context: &Context) {
        let is_new_list = self.last_date(objects, context).inspect(|(date, _)| {
            self.filter.from = Some(date.clone());
            self.next = 0;
        });
        self.overlap = match is_new_list {
            Some((_, same)) => same,
            None => (objects.len() / 4).min(MOST_OVERLAP),
        };
        self.recent = objects.iter().map(|object| object.identifier.clone()).collect();
    }

    /// Returns the date of the last entry, and how many entries have it. Returns `None` if the page is not ordered by
    /// date, begins before the filter, or has too many entries of that date.
    fn last_date(&self, objects: &[ObjectInfo], context: &Context) -> Option<(DateTime, usize)> {
        let instant = |object: &ObjectInfo| object.date_modified.as_ref().and_then(DateTime::instant);
        let dates: Vec<_> = objects.iter().map(instant).collect::<Option<_>>()?;
        let begins_later = |from: &DateTime| from.instant().is_none_or(|from| dates.first() >= Some(&from));
        if !dates.is_sorted() || !self.filter.from.as_ref().is_none_or(begins_later) {
            return None;
        }
        // Written as a parameter, a date can lose digits. All entries that it may mean count.
        let written = |date: &DateTime| written_date(date, context).ok();
        let last = objects.last()?.date_modified.as_ref()?;
        let text = written(last)?;
        let is_same = |object: &&ObjectInfo| {
            object.date_modified.as_ref().and_then(written).is_some_and(|date| date == text)
        };
        let same = objects.iter().rev().take_while(is_same).count();
        (2 * same <= objects.len()).then(|| (DateTime::from_text(text), same))
    }

    fn check_bounds(&mut self, total: u64, context: &Context) -> Result<()> {
        let first_total = *self.first_total.get_or_insert(total);
        let most = self.client.inner.shared.options.limits.listed_objects;
        let bound = first_total.saturating_mul(2).saturating_add(MOST_ADDED).min(most);
        if self.listed > bound {
            let reason = format!("the list of {first_total} objects does not end after {bound}");
            return Err(context.error(ErrorKind::TooLarge).because(reason));
        }
        Ok(())
    }

    fn check_repetition(&mut self, objects: &[ObjectInfo], context: &Context) -> Result<()> {
        let (Some(first), Some(last)) = (objects.first(), objects.last()) else { return Ok(()) };
        let ends = (first.identifier.clone(), last.identifier.clone());
        if self.last_page.as_ref() == Some(&ends) {
            return Err(context.protocol("the node sends the same page of the list again and again"));
        }
        self.last_page = Some(ends);
        Ok(())
    }
}

/// Writes a date as the interface expects it.
fn written_date(date: &DateTime, context: &Context) -> Result<String> {
    let instant = date.instant().ok_or_else(|| {
        context.error(ErrorKind::InvalidRequest).because(format!("“{date}” is not a date and time"))
    })?;
    Ok(DateTime::from_instant(instant).to_string())
}

fn parameters(
    filter: &ObjectFilter,
    start: u64,
    count: u32,
    context: &Context,
) -> Result<Vec<(&'static str, String)>> {
    let mut parameters = Vec::new();
    for (name, date) in [("fromDate", &filter.from), ("toDate", &filter.to)] {
        let Some(date) = date else { continue };
        parameters.push((name, written_date(date, context)?));
    }
    parameters.extend(filter.format_id.clone().map(|format_id| ("formatId", format_id)));
    parameters.extend(filter.identifier.as_ref().map(|identifier| ("identifier", identifier.to_string())));
    parameters.extend(filter.replicas.map(|replicas| ("replicaStatus", replicas.to_string())));
    parameters.push(("start", start.to_string()));
    parameters.push(("count", count.to_string()));
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_written_as_the_interface_expects_it() {
        let context = Context::new("read", "x", "node".into());
        let filter = ObjectFilter {
            from: Some(DateTime::from_text("2024-09-18T19:18:33+02:00")),
            format_id: Some("text/csv".to_owned()),
            identifier: "series.1".parse().ok(),
            replicas: Some(false),
            ..ObjectFilter::default()
        };
        let written: Vec<_> = parameters(&filter, 7, 9, &context)
            .unwrap()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            written,
            [
                "fromDate=2024-09-18T17:18:33.000+00:00",
                "formatId=text/csv",
                "identifier=series.1",
                "replicaStatus=false",
                "start=7",
                "count=9"
            ]
        );
        let bad = ObjectFilter { to: Some(DateTime::from_text("tomorrow")), ..ObjectFilter::default() };
        assert_eq!(parameters(&bad, 0, 1, &context).unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
}
