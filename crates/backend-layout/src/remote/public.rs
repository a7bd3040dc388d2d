//! The `https:` URLs at which vendors publish buckets.

use http_transfer::Url;

/// A public bucket: its URL with the vendor's scheme, and the settings for reading it without credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublicBucket {
    pub(super) url: String,
    pub(super) settings: Vec<(&'static str, String)>,
}

/// Returns the public bucket at a URL of S3 (by host or by path), Google Cloud Storage or Azure Blob Storage.
pub(super) fn bucket(url: &str) -> Option<PublicBucket> {
    let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
    let host = parsed.host_str()?;
    let path = parsed.path().trim_matches('/');
    let yes = || "true".to_owned();
    if let Some(place) = host.strip_suffix(".amazonaws.com") {
        return s3(place, path);
    }
    if let Some(account) = host.strip_suffix(".blob.core.windows.net") {
        let settings =
            vec![("azure_storage_account_name", account.to_owned()), ("azure_skip_signature", yes())];
        return (!path.is_empty()).then(|| PublicBucket { url: format!("az://{path}"), settings });
    }
    let is_google = host == "storage.googleapis.com" && !path.is_empty();
    let settings = vec![("google_skip_signature", yes())];
    is_google.then(|| PublicBucket { url: format!("gs://{path}"), settings })
}

/// Reads the part of the host before `.amazonaws.com`: `BUCKET.s3.REGION`, `BUCKET.s3`, `s3.REGION` or `s3`.
fn s3(place: &str, path: &str) -> Option<PublicBucket> {
    let (bucket, rest) = match place.strip_prefix("s3") {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => ("", rest),
        _ => {
            let start = place.rfind(".s3.").or_else(|| place.strip_suffix(".s3").map(str::len))?;
            (place.get(..start)?, place.get(start + ".s3".len()..)?)
        }
    };
    let region = rest.trim_start_matches('.').trim_start_matches("dualstack.");
    let region = if region.is_empty() { "us-east-1" } else { region };
    let whole = if bucket.is_empty() { path.to_owned() } else { format!("{bucket}/{path}") };
    let whole = whole.trim_end_matches('/');
    let settings = vec![("aws_region", region.to_owned()), ("aws_skip_signature", "true".to_owned())];
    (!whole.is_empty()).then(|| PublicBucket { url: format!("s3://{whole}"), settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_public_buckets_are_understood() {
        for (url, expected, setting) in [
            ("https://b.s3.us-west-2.amazonaws.com/p/q", "s3://b/p/q", ("aws_region", "us-west-2")),
            ("https://b.c.s3.amazonaws.com/p", "s3://b.c/p", ("aws_region", "us-east-1")),
            ("https://b.s3.amazonaws.com", "s3://b", ("aws_skip_signature", "true")),
            ("https://s3.eu-west-1.amazonaws.com/b/p", "s3://b/p", ("aws_region", "eu-west-1")),
            ("https://b.s3.dualstack.eu-west-1.amazonaws.com/p", "s3://b/p", ("aws_region", "eu-west-1")),
            ("https://storage.googleapis.com/b/p", "gs://b/p", ("google_skip_signature", "true")),
            ("https://a.blob.core.windows.net/c/p", "az://c/p", ("azure_storage_account_name", "a")),
        ] {
            let found = bucket(url).unwrap_or_else(|| panic!("{url}"));
            assert_eq!(found.url, expected);
            assert!(
                found.settings.iter().any(|(key, value)| (*key, &**value) == setting),
                "{url}: {found:?}"
            );
        }
        for url in [
            "https://ghcr.io/a/b",
            "http://b.s3.amazonaws.com/p",
            "https://storage.googleapis.com/",
            "https://ec2.amazonaws.com/x",
            "s3://b/p",
        ] {
            assert_eq!(bucket(url), None, "{url}");
        }
    }
}
