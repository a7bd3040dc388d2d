//! `PATCH`: a chunk, or a whole blob as a stream.

use std::sync::atomic::Ordering;

use axum::http::header::{LOCATION, RANGE};

use super::uploads::{Addition, UPLOAD_ID, check_length, find, location, with_range};
use crate::scripted::behaviour::ContentRange;
use crate::scripted::refused::{Answered, Refused};
use crate::scripted::reply;
use crate::scripted::serve::Exchange;
use crate::scripted::spool::Pieces;
use crate::scripted::store::Upload;

/// Answers `PATCH`.
pub(in crate::scripted) async fn answer(exchange: &Exchange<'_>, received: &mut Pieces) -> Answered {
    let behaviour = &exchange.app.config.behaviour.uploads;
    let upload = find(exchange)?;
    check_length(exchange, &exchange.parts.headers)?;
    let mut addition = Addition::begin(&exchange.app.store, &upload, behaviour.cut_patch).await;
    let skip = match place(exchange, &upload, addition.content.size()) {
        Ok(skip) => skip,
        Err(refused) => {
            // Nothing was added: the upload is as it was.
            addition.forget_mark();
            return Err(refused);
        }
    };
    addition.take(exchange, received, skip).await?;
    let size = addition.finish();
    let response = reply::with(reply::empty(202), LOCATION, &location(exchange, &upload));
    Ok(reply::with(with_range(response, size), UPLOAD_ID, &upload.id))
}

/// Where the content belongs: how much of it the upload has already, or why it does not fit.
pub(super) fn place(exchange: &Exchange<'_>, upload: &Upload, size: u64) -> Result<u64, Refused> {
    let behaviour = &exchange.app.config.behaviour.uploads;
    let Some(text) = exchange.header("content-range") else { return Ok(0) };
    if behaviour.content_range == ContentRange::Ignored {
        return Ok(0);
    }
    let misfit = || misfit(exchange, upload, size);
    // `^[0-9]+-[0-9]+$` (distribution-spec, "Pushing a blob in chunks").
    let (first, last) = text.split_once('-').ok_or_else(misfit)?;
    let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else { return Err(misfit()) };
    let length = last.checked_sub(first).and_then(|length| length.checked_add(1)).ok_or_else(misfit)?;
    if exchange.content_length().is_some_and(|stated| stated != length) {
        return Err(misfit());
    }
    let is_small = behaviour.chunk_min_bytes.is_some_and(|smallest| length < smallest);
    if upload.had_small_chunk.fetch_or(is_small, Ordering::Relaxed) {
        return Err(Refused::new(400, "SIZE_INVALID", "a chunk before this one was too small"));
    }
    match behaviour.content_range {
        ContentRange::Overlapping if first == 0 => Ok(0),
        ContentRange::Overlapping if first < size => Ok(size - first),
        _ if first == size => Ok(0),
        _ => Err(misfit()),
    }
}

fn misfit(exchange: &Exchange<'_>, upload: &Upload, size: u64) -> Refused {
    let refused = Refused::new(416, "BLOB_UPLOAD_INVALID", "the content does not continue the upload")
        .with_header(LOCATION, location(exchange, upload));
    let last = match exchange.app.config.behaviour.uploads.content_range {
        ContentRange::Overlapping => Some(size),
        ContentRange::Checked | ContentRange::Ignored => size.checked_sub(1),
    };
    match last {
        Some(last) => refused.with_header(RANGE, format!("0-{last}")),
        None => refused,
    }
}
