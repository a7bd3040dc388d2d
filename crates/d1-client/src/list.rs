//! Listing a node's objects, page by page.

use std::collections::VecDeque;

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
            first_total: None,
            is_done: false,
            page: VecDeque::new(),
            last_page: None,
        };
        stream::try_unfold(listing, Listing::step).boxed()
    }

    fn list_context(&self) -> Context {
        self.context("read", "the list of objects")
    }
}

struct Listing {
    client: NodeClient,
    filter: ObjectFilter,
    /// The number of the entry at which the next page begins.
    next: u64,
    first_total: Option<u64>,
    is_done: bool,
    page: VecDeque<ObjectInfo>,
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
        let count = self.filter.page_size.unwrap_or(PAGE_SIZE).max(1);
        let page = self.client.list_page(&self.filter, self.next, count).await?;
        let is_counted_wrong = page.oddities.iter().any(|oddity| oddity.code == OddityCode::WrongCount);
        let ObjectList { count, total, objects, .. } = page.value;
        // Entries without an identifier are left out of `objects`, but have their places in the list.
        let read = objects.len() as u64;
        let entries = if is_counted_wrong { read } else { count.max(read) };
        self.next = self.next.saturating_add(entries);
        self.check_bounds(total, &context)?;
        if entries == 0 && self.next < total {
            let reason = format!("the node lists {} objects and then none, of {total}", self.next);
            return Err(context.error(ErrorKind::Incomplete).because(reason));
        }
        self.check_repetition(&objects, &context)?;
        self.is_done = entries == 0 || self.next >= total;
        self.page = objects.into();
        let progress = &self.client.inner.shared.options.progress;
        progress.note(&Progress::Listed { entries: self.next, total });
        Ok(())
    }

    fn check_bounds(&mut self, total: u64, context: &Context) -> Result<()> {
        let first_total = *self.first_total.get_or_insert(total);
        let most = self.client.inner.shared.options.limits.listed_objects;
        let bound = first_total.saturating_mul(2).saturating_add(MOST_ADDED).min(most);
        if self.next > bound {
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

fn parameters(
    filter: &ObjectFilter,
    start: u64,
    count: u32,
    context: &Context,
) -> Result<Vec<(&'static str, String)>> {
    let mut parameters = Vec::new();
    for (name, date) in [("fromDate", &filter.from), ("toDate", &filter.to)] {
        let Some(date) = date else { continue };
        let instant = date.instant().ok_or_else(|| {
            context.error(ErrorKind::InvalidRequest).because(format!("“{date}” is not a date and time"))
        })?;
        parameters.push((name, DateTime::from_instant(instant).to_string()));
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
