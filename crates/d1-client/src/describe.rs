//! Describing an object by the headers that a node sends.

use std::time::SystemTime;

use d1_model::{Checksum, ChecksumAlgorithm, DateTime, Identifier};
use http_transfer::{Method, header, parse_digits};
use jiff::Timestamp;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LAST_MODIFIED};

use crate::client::NodeClient;
use crate::error::Result;
use crate::exchange::LARGEST_ERROR;

/// A node's description of an object. Nodes may leave out any part.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Description {
    /// The object's format.
    pub format_id: Option<String>,
    /// The object's checksum, as its system metadata declare it.
    pub checksum: Option<Checksum>,
    /// The object's size in bytes.
    pub size: Option<u64>,
    /// The time of the last change of the object's system metadata.
    pub last_modified: Option<DateTime>,
    /// The number of changes of the object's system metadata.
    pub serial_version: Option<u64>,
    /// The media type under which the object is sent.
    pub media_type: Option<String>,
    /// The identifier of the chain of versions. Sent by GMN.
    pub series_id: Option<Identifier>,
    /// The version before this object. Sent by GMN.
    pub obsoletes: Option<Identifier>,
    /// The version after this object. Sent by GMN.
    pub obsoleted_by: Option<Identifier>,
}

impl NodeClient {
    /// Asks a node to describe an object (`describe`).
    ///
    /// # Errors
    ///
    /// If the node does not know the object or does not answer.
    pub async fn describe(&self, identifier: &Identifier) -> Result<Description> {
        let context = self.context("describe", identifier);
        let path = format!("object/{}", identifier.to_path_segment());
        let call = self.call(Method::HEAD, &path, "", &context).await?;
        let answer = self.exchange(&call, LARGEST_ERROR, &context).await?;
        Ok(Description::of(&answer.headers))
    }
}

impl Description {
    /// Reads the headers of both dialects: `DataONE-ObjectFormat` of Metacat and the specification,
    /// `DataONE-FormatId` and further ones of GMN.
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| header(headers, name).filter(|text| !text.is_empty());
        let owned = |name| text(name).map(str::to_owned);
        let identifier = |name| text(name).and_then(|text| text.parse().ok());
        Self {
            format_id: owned("dataone-objectformat").or_else(|| owned("dataone-formatid")),
            checksum: text("dataone-checksum").and_then(checksum),
            size: text(CONTENT_LENGTH.as_str()).and_then(parse_digits),
            last_modified: text(LAST_MODIFIED.as_str()).and_then(last_modified),
            serial_version: text("dataone-serialversion").and_then(parse_digits),
            media_type: owned(CONTENT_TYPE.as_str()),
            series_id: identifier("dataone-seriesid"),
            obsoletes: identifier("dataone-obsoletes"),
            obsoleted_by: identifier("dataone-obsoletedby"),
        }
    }
}

/// Reads `SHA-1,2e01e17467891f7c933dbaa00e1459d23db3fe4f`.
fn checksum(text: &str) -> Option<Checksum> {
    let (algorithm, value) = text.split_once(',')?;
    let (algorithm, value) = (algorithm.trim(), value.trim());
    let is_filled = !algorithm.is_empty() && !value.is_empty();
    is_filled.then(|| Checksum::new(ChecksumAlgorithm::from_name(algorithm), value))
}

/// Reads a date of HTTP, or one as Metacat writes it (ISO 8601).
fn last_modified(text: &str) -> Option<DateTime> {
    if let Ok(date) = httpdate::parse_http_date(text) {
        let since = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let seconds = i64::try_from(since.as_secs()).ok()?;
        return Timestamp::from_second(seconds).ok().map(DateTime::from_instant);
    }
    Some(DateTime::from_text(text)).filter(|date| date.instant().is_some())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn description(headers: &[(&'static str, &'static str)]) -> Description {
        let headers = headers.iter();
        Description::of(
            &headers
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect(),
        )
    }

    #[test]
    fn metacat_describes() {
        let found = description(&[
            ("dataone-objectformat", "text/csv"),
            ("dataone-checksum", "MD5,F4EA2D07DB950873462A064937197B0F"),
            ("dataone-serialversion", "3"),
            ("last-modified", "2024-09-18T17:18:33.000+00:00"),
            ("content-length", "12"),
            ("content-type", "application/octet-stream"),
        ]);
        assert_eq!(found.format_id.as_deref(), Some("text/csv"));
        assert_eq!(found.checksum, "md5:f4ea2d07db950873462a064937197b0f".parse().ok());
        assert_eq!((found.serial_version, found.size), (Some(3), Some(12)));
        assert_eq!(found.last_modified.unwrap().text(), "2024-09-18T17:18:33.000+00:00");
    }

    #[test]
    fn gmn_describes() {
        let found = description(&[
            ("dataone-formatid", "eml://ecoinformatics.org/eml-2.1.1"),
            ("dataone-seriesid", "series.1"),
            ("dataone-obsoletes", "a.1"),
            ("dataone-obsoletedby", "a.3"),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ]);
        assert_eq!(found.format_id.as_deref(), Some("eml://ecoinformatics.org/eml-2.1.1"));
        assert_eq!(found.series_id, "series.1".parse().ok());
        assert_eq!((found.obsoletes, found.obsoleted_by), ("a.1".parse().ok(), "a.3".parse().ok()));
        assert_eq!(found.last_modified.unwrap().text(), "1994-11-06T08:49:37.000+00:00");
        assert_eq!(found.checksum, None);
    }

    #[test]
    fn unreadable_headers_are_left_out() {
        let found = description(&[
            ("dataone-checksum", "MD5"),
            ("dataone-serialversion", "many"),
            ("last-modified", "yesterday"),
            ("dataone-seriesid", "a b"),
        ]);
        assert_eq!(found, Description::default());
    }
}
