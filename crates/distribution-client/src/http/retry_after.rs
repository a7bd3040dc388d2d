//! How long a registry asks to wait in words, where it has no `Retry-After`.

use std::time::Duration;

use http_transfer::parse_duration;

/// Returns the wait that an error's message asks for: GHCR writes `retry-after: 35.852µs, allowed: 44000/minute`.
pub(crate) fn find_retry_after(message: &str) -> Option<Duration> {
    const NAME: &str = "retry-after:";
    let place = message.to_ascii_lowercase().find(NAME)?;
    let rest = message.get(place + NAME.len()..)?.trim_start();
    let end = rest.find([',', ' ', '"', '<', '\n', '\r']).unwrap_or(rest.len());
    parse_duration(rest.get(..end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_found_in_messages() {
        for (message, expected) in [
            ("retry-after: 35.852µs, allowed: 44000/minute", Some(Duration::from_nanos(35852))),
            ("toomanyrequests: Retry-After: 2ms", Some(Duration::from_millis(2))),
            ("retry-after: 1m", Some(Duration::from_secs(60))),
            ("retry-after:", None),
            ("slow down", None),
        ] {
            assert_eq!(find_retry_after(message), expected, "{message}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(retry-after:)?[0-9. µsmh]{0,20}|\\PC{0,40}") {
            let _ = find_retry_after(&text);
        }
    }
}
