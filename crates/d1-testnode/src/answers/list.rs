//! The list of objects.

use d1_model::{Checksum, ChecksumAlgorithm, DateTime};
use jiff::Timestamp;

use crate::answer::{Answered, Refused, xml};
use crate::behaviour::Dialect;
use crate::catalog::instant;
use crate::exchange::Exchange;
use crate::object::{StoredObject, wrong};
use crate::xml::{ListEntry, object_list};

/// Answers `GET /object`: by date, with the filters of the interface. Objects that the caller may not read are not listed.
pub(crate) fn answer(exchange: &Exchange<'_>) -> Answered {
    let start = number(exchange, "start")?.unwrap_or(0);
    let count = number(exchange, "count")?.unwrap_or(1000).min(exchange.app.behaviour.largest_page);
    let lies = exchange.lies;
    if lies.has_endless_pages {
        let entries: Vec<_> = (start..start.saturating_add(count)).map(made_up).collect();
        return Ok(xml(200, object_list(start, start.saturating_add(count).saturating_add(1), &entries)));
    }
    let mut filter = Filter::of(exchange)?;
    // A node that sends its first page for ever ignores the beginning.
    filter.from = filter.from.filter(|_| !lies.repeats_pages);
    let catalog = exchange.app.catalog();
    let mut found: Vec<_> =
        catalog.objects().filter(|object| exchange.may_read(object) && filter.passes(object)).collect();
    if exchange.app.behaviour.dialect == Dialect::Gmn {
        found.sort_by_key(|object| (instant(object), catalog.arrival(object.identifier())));
    }
    let total = found.len() as u64;
    // GMN refuses to begin behind the end.
    if start > 0 && start >= total {
        let description =
            format!("Requested a non-existing slice. start={start} count={count} total={total}");
        return Err(Refused::new("InvalidRequest", 400, "1540", description));
    }
    let skipped = if lies.repeats_pages { 0 } else { start };
    let taken = if lies.has_empty_pages { 0 } else { count };
    let page = found.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
    let entries: Vec<_> = page
        .take(usize::try_from(taken).unwrap_or(usize::MAX))
        .map(|object| {
            let mut entry = ListEntry::of(object);
            if lies.has_wrong_checksum {
                entry.checksum = wrong(&entry.checksum);
            }
            entry
        })
        .collect();
    Ok(xml(200, object_list(start, total, &entries)))
}

struct Filter<'a> {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    format_id: Option<&'a str>,
    identifier: Option<&'a str>,
}

impl<'a> Filter<'a> {
    fn of(exchange: &'a Exchange<'_>) -> Result<Self, Refused> {
        Ok(Self {
            from: date(exchange, "fromDate")?,
            to: date(exchange, "toDate")?,
            format_id: exchange.parameter("formatId"),
            identifier: exchange.parameter("identifier"),
        })
    }

    /// The beginning counts, the end does not; an identifier may be that of a series.
    fn passes(&self, object: &StoredObject) -> bool {
        let (date, meta) = (instant(object), &object.meta);
        let is_it = |identifier: &str| {
            meta.identifier.as_str() == identifier
                || meta.series_id.as_ref().is_some_and(|series| series.as_str() == identifier)
        };
        self.from.is_none_or(|from| date.is_some_and(|date| date >= from))
            && self.to.is_none_or(|to| date.is_some_and(|date| date < to))
            && self.format_id.is_none_or(|format_id| meta.format_id == format_id)
            && self.identifier.is_none_or(is_it)
    }
}

fn number(exchange: &Exchange<'_>, name: &str) -> Result<Option<u64>, Refused> {
    let invalid = || Refused::new("InvalidRequest", 400, "1540", format!("{name} is not a number"));
    exchange.parameter(name).map(|value| value.parse().map_err(|_| invalid())).transpose()
}

fn date(exchange: &Exchange<'_>, name: &str) -> Result<Option<Timestamp>, Refused> {
    let invalid = || Refused::new("InvalidRequest", 400, "1540", format!("{name} is not a date"));
    let is_day = |value: &str| exchange.app.behaviour.dialect == Dialect::Gmn && !value.contains('T');
    let read = |value: &str| {
        let midnight = format!("{value}T00:00:00Z");
        let text = if is_day(value) { &midnight } else { value };
        DateTime::from_text(text).instant().ok_or_else(invalid)
    };
    exchange.parameter(name).map(read).transpose()
}

fn made_up(number: u64) -> ListEntry {
    ListEntry {
        identifier: format!("made-up.{number}"),
        format_id: "text/csv".to_owned(),
        checksum: Checksum::new(ChecksumAlgorithm::Md5, "0".repeat(32)),
        date: "2024-01-01T00:00:00.000+00:00".to_owned(),
        size: 1,
    }
}
