//! What is looked for, and whether something is it.

use d1_model::Identifier;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::ArtifactSummary;

/// What to look for in a repository; everything that is given has to fit.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Query {
    /// Identifier of the package, its resource map, its series, or an object in it.
    pub identifier: Option<Identifier>,
    /// A part of the title, in whatever case.
    pub title: Option<String>,
    /// Object format identifier of the object, or of one in the package.
    pub format_id: Option<String>,
    /// Artifacts made at this time or later.
    pub from: Option<Timestamp>,
    /// Artifacts made before this time.
    pub to: Option<Timestamp>,
    /// List the objects that fit, not the artifacts that hold them.
    pub objects: bool,
}

impl Query {
    /// Compares what concerns the artifact as a whole: its title and when it was made.
    pub(super) fn fits_whole(&self, artifact: &ArtifactSummary) -> bool {
        let fits_title = self.title.as_ref().is_none_or(|wanted| {
            let title = artifact.title.as_deref().unwrap_or_default();
            title.to_lowercase().contains(&wanted.to_lowercase())
        });
        fits_title && self.fits_time(artifact.created.as_deref())
    }

    fn fits_time(&self, created: Option<&str>) -> bool {
        if self.from.is_none() && self.to.is_none() {
            return true;
        }
        let Some(created) = created.and_then(parse_time) else { return false };
        self.from.is_none_or(|from| created >= from) && self.to.is_none_or(|to| created < to)
    }

    /// Tells whether the identifier is one that the artifact itself states.
    pub(super) fn names(&self, artifact: &ArtifactSummary) -> bool {
        self.identifier
            .as_ref()
            .is_none_or(|wanted| artifact.is_named(wanted.as_str()) || artifact.is_of_series(wanted.as_str()))
    }

    pub(super) fn fits_identifier(&self, identifier: Option<&str>) -> bool {
        self.identifier.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == identifier)
    }

    pub(super) fn fits_format(&self, format_id: Option<&str>) -> bool {
        self.format_id.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == format_id)
    }
}

/// Reads a date and time as annotations have them: RFC 3339, or a date alone, which is its first moment in UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil = if text.contains(['T', 't', ' ']) {
        text.parse::<DateTime>().ok()?
    } else {
        text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight())
    };
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// Orders artifacts by when they were made; what says nothing of it comes first.
pub(crate) fn made(created: Option<&str>) -> Option<SignedDuration> {
    created.and_then(parse_time).map(Timestamp::as_duration)
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn times_are_rfc_3339_or_a_date() {
        for (text, expected) in [
            ("2025-11-07", Some("2025-11-07T00:00:00Z")),
            ("2025-11-07T12:30:00Z", Some("2025-11-07T12:30:00Z")),
            ("2025-11-07T12:30:00.5+02:00", Some("2025-11-07T10:30:00.5Z")),
            ("2025-11-07T12:30:00", Some("2025-11-07T12:30:00Z")),
            ("yesterday", None),
            ("2025-13-01", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text).map(|time| time.to_string()).as_deref(), expected, "{text}");
        }
    }
}
