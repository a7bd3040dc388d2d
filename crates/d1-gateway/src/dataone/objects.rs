//! The calls about objects: bytes, system metadata, checksums, lists, rights and packages.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, Method, StatusCode};
use d1_catalog::{CatalogObject, ObjectFilter, PackageKey};
use d1_model::{Checksum, ChecksumAlgorithm, DateTime, ObjectFormatList, media_type_for};
use jiff::Timestamp;
use jiff::civil::Date;
use multi_digest::Algorithm;

use super::{Answered, Call, Codes, document, documents};
use crate::answer::{self, Kind, Refused, set, set_disposition};
use crate::file_answer::{self, IMMUTABLE, REVALIDATE};
use crate::selection::Selection;
use crate::zip;

const GET: Codes = Codes {
    not_found: "1020",
    not_authorized: "1000",
    invalid: "1030",
    failure: "1030",
    not_implemented: "1001",
    resources: "1002",
};
const META: Codes = Codes {
    not_found: "1060",
    not_authorized: "1040",
    invalid: "1090",
    failure: "1090",
    not_implemented: "1041",
    resources: "1090",
};
const DESCRIBE: Codes = Codes {
    not_found: "1380",
    not_authorized: "1360",
    invalid: "1390",
    failure: "1390",
    not_implemented: "1361",
    resources: "1390",
};
const CHECKSUM: Codes = Codes {
    not_found: "1420",
    not_authorized: "1400",
    invalid: "1402",
    failure: "1410",
    not_implemented: "1401",
    resources: "1410",
};
const LIST: Codes = Codes {
    not_found: "1540",
    not_authorized: "1520",
    invalid: "1540",
    failure: "1580",
    not_implemented: "1560",
    resources: "1580",
};
const REPLICA: Codes = Codes {
    not_found: "2185",
    not_authorized: "2182",
    invalid: "2181",
    failure: "2181",
    not_implemented: "2180",
    resources: "2184",
};
const AUTHORIZED: Codes = Codes {
    not_found: "1800",
    not_authorized: "1820",
    invalid: "1761",
    failure: "1760",
    not_implemented: "1780",
    resources: "1760",
};
const PACKAGE: Codes = Codes {
    not_found: "2875",
    not_authorized: "2872",
    invalid: "2873",
    failure: "2871",
    not_implemented: "2874",
    resources: "2871",
};
const UNKNOWN: Codes = Codes {
    not_found: "0",
    not_authorized: "0",
    invalid: "0",
    failure: "0",
    not_implemented: "0",
    resources: "0",
};

/// Answers a call about objects, and returns the numbers of its failures.
pub(super) async fn answer(call: &Call<'_>) -> (Answered, Codes) {
    let is_head = call.request.method == Method::HEAD;
    match call.segments.as_slice() {
        ["object"] | ["object", ""] => (list(call).await, LIST),
        ["object", ..] => (get(call, false).await, if is_head { DESCRIBE } else { GET }),
        ["replica", ..] => (get(call, true).await, REPLICA),
        ["meta", ..] if is_head => (Err(Refused::new(Kind::NotAllowed, "expected GET")), META),
        ["meta", ..] => (meta(call).await, META),
        ["checksum", ..] => (checksum(call).await, CHECKSUM),
        ["isAuthorized", ..] => (is_authorized(call).await, AUTHORIZED),
        ["packages", ..] => (package(call).await, PACKAGE),
        _ => (Err(Refused::not_found("the interface has no such call")), UNKNOWN),
    }
}

/// Returns the object that the path names. Version 1 does not know series.
async fn object(call: &Call<'_>, from: usize) -> Result<CatalogObject, Refused> {
    let identifier = call.rest(from)?;
    let object = call.app.store.object(&identifier).await?;
    if call.version == 1 && object.pid != identifier {
        return Err(crate::store::no_object(&identifier));
    }
    Ok(object)
}

async fn get(call: &Call<'_>, is_replica: bool) -> Answered {
    let object = object(call, 1).await?;
    let mut headers = describing_headers(&object);
    let facts = object.system_metadata.as_ref();
    let by_format = facts.and_then(|facts| media_type_for(&facts.format_id));
    let stated = facts.and_then(|facts| facts.media_type.as_deref());
    let media_type = stated.or(by_format).filter(|_| !is_replica).unwrap_or("application/octet-stream");
    set(&mut headers, CONTENT_TYPE, media_type);
    set_disposition(&mut headers, "attachment", &file_name(&object));
    let is_pid = call.rest(1).is_ok_and(|identifier| identifier == object.pid);
    set(&mut headers, CACHE_CONTROL, if is_pid { IMMUTABLE } else { REVALIDATE });
    file_answer::send(call.app, call.request, &object.file, object.modified(), headers).await
}

/// Returns the headers in which DataONE describes an object.
fn describing_headers(object: &CatalogObject) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(facts) = &object.system_metadata else { return headers };
    let checksum = format!("{},{}", facts.checksum_algorithm, facts.checksum);
    let serial = facts.serial_version.unwrap_or_default().to_string();
    for (name, value) in [
        ("dataone-objectformat", Some(facts.format_id.as_str())),
        ("dataone-formatid", Some(&facts.format_id)),
        ("dataone-checksum", Some(&checksum)),
        ("dataone-serialversion", Some(&serial)),
        ("dataone-seriesid", facts.series_id.as_deref()),
        ("dataone-obsoletes", facts.obsoletes.as_deref()),
        ("dataone-obsoletedby", object.obsoleted_by.as_deref()),
    ] {
        if let Some(value) = value {
            set(&mut headers, HeaderName::from_static(name), value);
        }
    }
    headers
}

/// Returns the file name to suggest for an object.
pub(super) fn file_name(object: &CatalogObject) -> String {
    let facts = object.system_metadata.as_ref();
    if let Some(name) = facts.and_then(|facts| facts.file_name.clone()) {
        return name;
    }
    let format = facts.and_then(|facts| ObjectFormatList::builtin().get(&facts.format_id));
    let extension = format.and_then(|format| format.extension.as_deref()).unwrap_or("bin");
    let stem: String =
        object.pid.chars().map(|c| if c.is_alphanumeric() || "-._".contains(c) { c } else { '_' }).collect();
    format!("{stem}.{}", extension.trim_start_matches('.'))
}

async fn meta(call: &Call<'_>) -> Answered {
    let object = object(call, 1).await?;
    let stored = call.app.store.system_metadata(&object).await?;
    let facts = object.system_metadata.as_ref();
    let facts =
        facts.ok_or_else(|| Refused::not_found("the object has no system metadata").about(&object.pid))?;
    // MetacatUI follows `obsoletedBy` from version to version. All other clients get the stored document: it is part of a replica's digest.
    let is_for_pages = call.request.path.starts_with("d1/");
    let successor = object.obsoleted_by.as_deref().filter(|_| is_for_pages);
    let written = documents::system_metadata(&stored, call.version, facts, successor)?;
    let mut response = answer::full(StatusCode::OK, "text/xml", written);
    set(response.headers_mut(), CACHE_CONTROL, REVALIDATE);
    Ok(response)
}

/// The algorithms that a client may ask for.
pub(super) const CHECKSUM_NAMES: [&str; 5] = ["MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512"];

async fn checksum(call: &Call<'_>) -> Answered {
    let asked = call.request.query.get("checksumAlgorithm").unwrap_or("SHA-1");
    let algorithm = match asked.to_ascii_uppercase().replace('-', "").as_str() {
        "MD5" => Algorithm::Md5,
        "SHA1" => Algorithm::Sha1,
        "SHA256" => Algorithm::Sha256,
        "SHA384" => Algorithm::Sha384,
        "SHA512" => Algorithm::Sha512,
        _ => {
            let known = CHECKSUM_NAMES.join(", ");
            return Err(Refused::invalid(format!("expected one of the checksum algorithms {known}")));
        }
    };
    let object = object(call, 1).await?;
    let digest = call.app.checksums.of(&call.app.store, &object.file, algorithm).await?;
    let checksum = Checksum::from_digest(ChecksumAlgorithm::from_name(asked), &digest);
    Ok(document(documents::checksum(asked, checksum.value())))
}

/// The most entries of one page, and the number without a request.
const MOST_LISTED: u64 = 1000;

async fn list(call: &Call<'_>) -> Answered {
    let query = &call.request.query;
    let number = |name: &str, default: u64| match query.get(name) {
        None | Some("") => Ok(default),
        Some(text) => {
            let wrong = |_| Refused::invalid(format!("expected a number that is not negative in `{name}`"));
            text.parse::<u64>().map_err(wrong)
        }
    };
    let (start, count) = (number("start", 0)?, number("count", MOST_LISTED)?.min(MOST_LISTED));
    // The catalogue counts in signed numbers.
    let start = start.min(i64::MAX as u64);
    let mut filter = ObjectFilter::default();
    filter.from = query.get("fromDate").map(date).transpose()?;
    filter.to = query.get("toDate").map(date).transpose()?;
    filter.format_id = query.get("formatId").or_else(|| query.get("objectFormat")).map(str::to_owned);
    filter.identifier = query.get("identifier").map(str::to_owned);
    // All objects here are at this node.
    filter.public_only = true;
    let page = call.app.paging.page(&call.app.store, call.request.client, filter, start, count).await?;
    Ok(document(documents::object_list(start, page.total, &page.items)))
}

/// Reads a date of a query. A `+` that was not encoded has become a space.
fn date(text: &str) -> Result<Timestamp, Refused> {
    let text = text.trim().replace(' ', "+");
    let time = DateTime::from_text(text.as_str()).instant().or_else(|| {
        let date: Date = text.parse().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()
    });
    time.ok_or_else(|| Refused::invalid("expected a date and time such as 2024-09-18T17:18:33.000+00:00"))
}

async fn is_authorized(call: &Call<'_>) -> Answered {
    let identifier = call.rest(1)?;
    let action = call.request.query.get("action").unwrap_or_default();
    if !["read", "write", "changePermission"].contains(&action) {
        return Err(Refused::invalid("expected one of the actions read, write, changePermission"));
    }
    let object = call.app.store.object(&identifier).await?;
    if action != "read" {
        return Err(Refused::new(Kind::NotAuthorized, "this node is for reading only").about(&object.pid));
    }
    Ok(answer::full(StatusCode::OK, "text/plain; charset=utf-8", ""))
}

/// The types of packages that the zip satisfies.
const PACKAGE_TYPES: [&str; 3] = ["application/bagit-097", "application/bagit-1.0", "application/zip"];

async fn package(call: &Call<'_>) -> Answered {
    let first = call.segments.get(1).copied().unwrap_or_default();
    let package_type = crate::request::path_decoded(first).unwrap_or_default();
    // Some clients send the slash of the type as it is, others leave the type out.
    let raw_pair = format!("{package_type}/{}", call.segments.get(2).copied().unwrap_or_default());
    let from = match () {
        () if PACKAGE_TYPES.contains(&package_type.as_str()) => 2,
        () if PACKAGE_TYPES.contains(&raw_pair.as_str()) => 3,
        () if package_type.starts_with("application/") => {
            let known = PACKAGE_TYPES.join(", ");
            return Err(Refused::invalid(format!("expected one of the package types {known}")));
        }
        () => 1,
    };
    let identifier = call.rest(from)?;
    let wanted = identifier.clone();
    let found = call.app.store.ask(move |catalog| {
        let package = catalog.package(&PackageKey::Identifier(&wanted))?;
        match package {
            Some(package) => Ok(vec![package]),
            None => {
                let object = catalog.object(&wanted)?;
                object.map_or(Ok(Vec::new()), |object| catalog.packages_of_object(&object.pid))
            }
        }
    });
    let mut found = found.await?;
    if found.len() > 1 {
        let message = "the object is in several packages: name the resource map of one";
        return Err(Refused::invalid(message).about(&identifier));
    }
    let package = found.pop().ok_or_else(|| {
        Refused::not_found("no package here has this identifier or contains this object").about(&identifier)
    })?;
    let name: String = identifier.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    zip::send(call.app, call.request, &package, &Selection::default(), &format!("{name}.zip")).await
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_as_clients_send_them() {
        for (text, expected) in [
            ("2024-01-02T03:04:05.006+00:00", "2024-01-02T03:04:05.006Z"),
            ("2024-01-02T03:04:05 02:00", "2024-01-02T01:04:05Z"),
            ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
            ("2024-01-02T03:04:05", "2024-01-02T03:04:05Z"),
            ("2024-01-02", "2024-01-02T00:00:00Z"),
        ] {
            assert_eq!(date(text).unwrap().to_string(), expected, "{text}");
        }
        for wrong in ["", "yesterday", "2024-13-01", "2024"] {
            assert!(date(wrong).is_err(), "{wrong}");
        }
    }
}
