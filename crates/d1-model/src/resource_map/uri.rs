//! The identifiers in the URIs of a resource map.

use crate::identifier::{Identifier, decode_path_segment, encode_path_segment};

/// The resolve address of the production Coordinating Nodes; an encoded identifier follows.
pub(super) const RESOLVE_BASE: &str = "https://cn.dataone.org/cn/v2/resolve/";
/// The fragment by which the aggregation's URI differs from the map's.
pub(super) const AGGREGATION_FRAGMENT: &str = "#aggregation";

/// Makes the resolve address of an identifier.
pub(super) fn resolve_uri(identifier: &Identifier) -> String {
    format!("{RESOLVE_BASE}{}", encode_path_segment(identifier.as_str()))
}

/// Returns a URI without its fragment.
pub(super) fn without_fragment(uri: &str) -> &str {
    uri.split_once('#').map_or(uri, |(before, _)| before)
}

/// Returns whether a URI is the resolve address of a Coordinating Node: `…/cn/resolve/…`, `…/cn/v1/resolve/…` or
/// v2.
pub(super) fn is_resolve_uri(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://")) else {
        return false;
    };
    let Some((_, path)) = rest.split_once('/') else { return false };
    ["cn/v2/resolve/", "cn/v1/resolve/", "cn/resolve/"]
        .iter()
        .any(|start| path.strip_prefix(start).is_some_and(|tail| !tail.is_empty()))
}

/// Reads the identifier out of a URI: the part after the service's name in a DataONE address, else the last
/// segment.
///
/// Slashes of the identifier may be unencoded. A percent sign that encodes nothing is kept.
pub(super) fn identifier_in(uri: &str) -> Option<Identifier> {
    let uri = without_fragment(uri);
    let tail = ["/resolve/", "/v1/object/", "/v2/object/", "/v1/meta/", "/v2/meta/"]
        .iter()
        .find_map(|service| uri.split_once(service))
        .map(|(_, tail)| tail)
        .or_else(|| {
            let (_, rest) = uri.split_once("://")?;
            let (_, segment) = rest.rsplit_once('/')?;
            Some(segment)
        })?;
    let decoded = decode_path_segment(tail).unwrap_or_else(|_| tail.to_owned());
    decoded.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{identifier_in, is_resolve_uri, resolve_uri};

    #[test]
    fn identifiers_in_uris() {
        for (uri, identifier) in [
            ("https://cn.dataone.org/cn/v1/resolve/doi:10.5063%2FAA%2Fx.61.1", Some("doi:10.5063/AA/x.61.1")),
            ("https://cn.dataone.org/cn/v2/resolve/urn%3Auuid%3A1d23e155", Some("urn:uuid:1d23e155")),
            ("https://cn.dataone.org/cn/v2/resolve/urn%3Auuid%3A1d#aggregation", Some("urn:uuid:1d")),
            (
                "https://cn.dataone.org/cn/v2/resolve/https://pasta.lternet.edu/p/2/3",
                Some("https://pasta.lternet.edu/p/2/3"),
            ),
            ("https://cn.dataone.org/cn/v2/resolve/100%", Some("100%")),
            ("http://129.24.63.115/apps/dataone/v1/object/7f115193", Some("7f115193")),
            ("http://example.org/a/b.csv", Some("b.csv")),
            ("http://store.cdlib.org:35121/content/1001/ark%3A%2F13030%2Fm50000w1/1/", None),
            ("http://example.org", None),
            ("urn:uuid:1d23e155", None),
            ("https://cn.dataone.org/cn/v2/resolve/a%20b", None),
            ("_:b0", None),
            ("", None),
        ] {
            assert_eq!(identifier_in(uri).as_ref().map(|found| found.as_str()), identifier, "{uri}");
        }
    }

    #[test]
    fn resolve_addresses() {
        let identifier = "doi:10.5063/AA/é".parse().unwrap();
        let uri = resolve_uri(&identifier);
        assert_eq!(uri, "https://cn.dataone.org/cn/v2/resolve/doi:10.5063%2FAA%2F%C3%A9");
        assert!(is_resolve_uri(&uri));
        assert_eq!(identifier_in(&uri), Some(identifier));
        for (uri, expected) in [
            ("http://cn-dev.dataone.org/cn/v1/resolve/a", true),
            ("https://cn.dataone.org/cn/resolve/a", true),
            ("https://cn.dataone.org/cn/v2/resolve/", false),
            ("http://129.24.63.115/apps/dataone/v1/object/a", false),
            ("urn:uuid:a", false),
        ] {
            assert_eq!(is_resolve_uri(uri), expected, "{uri}");
        }
    }
}
