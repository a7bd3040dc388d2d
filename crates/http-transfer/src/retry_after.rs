//! How long a server asks to wait: the `Retry-After` header (RFC 9110 section 10.2.3).

use std::time::{Duration, SystemTime};

/// Returns the wait that a `Retry-After` asks for (RFC 9110 section 10.2.3): seconds, or a date, which is compared with `now`
/// and asks for no wait if it has passed. A wait as [`parse_duration`] reads it is understood too.
#[must_use]
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(date) = httpdate::parse_http_date(value) {
        return Some(date.duration_since(now).unwrap_or_default());
    }
    parse_duration(value)
}

/// Reads a number with one of the units of Go's `time.Duration`, in which many servers write waits, or of seconds without a
/// unit.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let seconds = match unit {
        "" | "s" => 1.0,
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_in_the_field_is_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            ("120", Some(Duration::from_secs(120))),
            (" 0 ", Some(Duration::ZERO)),
            ("1.5", Some(Duration::from_millis(1500))),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(Duration::from_secs(30))),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(Duration::ZERO)),
            ("-5", None),
            ("soon", None),
            ("", None),
            (".", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(parse_retry_after(value, now), expected, "{value}");
        }
        for (text, expected) in [
            ("35.852µs", Some(Duration::from_nanos(35852))),
            ("2ms", Some(Duration::from_millis(2))),
            ("1m", Some(Duration::from_secs(60))),
            ("1d", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[0-9. µsmh]{0,30}|\\PC{0,40}") {
            let _ = parse_retry_after(&text, SystemTime::UNIX_EPOCH);
        }

        #[test]
        fn seconds_are_exact(seconds in 0_u32..1_000_000) {
            let read = parse_retry_after(&seconds.to_string(), SystemTime::UNIX_EPOCH);
            proptest::prop_assert_eq!(read, Some(Duration::from_secs(seconds.into())));
        }
    }
}
