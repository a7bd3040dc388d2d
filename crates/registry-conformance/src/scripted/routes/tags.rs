//! Listing tags.

use serde_json::json;

use super::with_next_page;
use crate::scripted::refused::{Answered, Refused};
use crate::scripted::reply;
use crate::scripted::serve::Exchange;

/// Answers `GET` of the tags.
pub(in crate::scripted) fn answer(exchange: &Exchange<'_>) -> Answered {
    let repository = &exchange.target.repository;
    let behaviour = &exchange.app.config.behaviour.tags;
    let store = &exchange.app.store;
    if !store.knows(repository) {
        return Err(Refused::new(404, "NAME_UNKNOWN", "repository name not known to registry"));
    }
    let mut tags: Vec<String> =
        store.look(repository, |repository| repository.tags.iter().map(|(tag, _)| tag.to_string()).collect());
    if !behaviour.oldest_first {
        tags.sort();
    }
    let mut rest = tags.as_slice();
    let mut next = None;
    if let Some(most) = behaviour.page {
        if let Some(last) = exchange.query.get("last") {
            let place = tags.iter().position(|tag| tag == last).map_or(0, |place| place + 1);
            rest = tags.get(place..).unwrap_or_default();
        }
        let asked = exchange.query.get("n").and_then(|number| number.parse::<usize>().ok());
        let count = asked.unwrap_or(most).min(most);
        if let Some((page, left)) = rest.split_at_checked(count) {
            rest = page;
            next = page.last().filter(|_| !left.is_empty()).map(|last| format!("n={count}&last={last}"));
        }
    }
    let body = if rest.is_empty() && behaviour.null_when_empty {
        json!({ "name": repository, "tags": null })
    } else {
        json!({ "name": repository, "tags": rest })
    };
    let response = reply::full(200, "application/json", body.to_string());
    Ok(match next {
        Some(query) => with_next_page(exchange, response, &query),
        None => response,
    })
}
