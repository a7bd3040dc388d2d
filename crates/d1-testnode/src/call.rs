//! Which call a request is: read off the path as it was sent, before anything is decoded.

use d1_model::Identifier;
use scripted_http::axum::http::Method;

/// The calls that the node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `GET /monitor/ping`.
    Ping,
    /// `GET /node`.
    Node,
    /// `GET /object/{id}`.
    Get,
    /// `HEAD /object/{id}`.
    Describe,
    /// `GET /meta/{id}`.
    Meta,
    /// `GET /checksum/{pid}`.
    Checksum,
    /// `GET /object`.
    List,
    /// `GET /resolve/{id}`.
    Resolve,
    /// `GET /formats`.
    Formats,
    /// `GET /query/solr/`.
    Search,
    /// Anything else.
    Unknown,
}

/// The role of a node. The scripted node has both, at two base URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A Member Node, at `/mn`.
    Member,
    /// A Coordinating Node, at `/cn`.
    Coordinating,
}

/// The call and the object of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) role: Role,
    /// 1 or 2; 0 where the path has none.
    pub(crate) version: u8,
    pub(crate) call: Call,
    pub(crate) identifier: Option<Identifier>,
}

impl Target {
    /// Reads a path. Segments are split before they are decoded: an identifier with an unescaped `/` is nothing here.
    pub(crate) fn of(method: &Method, raw_path: &str) -> Self {
        let unknown = Self { role: Role::Member, version: 0, call: Call::Unknown, identifier: None };
        let mut segments = raw_path.split('/').skip(1);
        let role = match segments.next() {
            Some("mn") => Role::Member,
            Some("cn") => Role::Coordinating,
            _ => return unknown,
        };
        let version = match segments.next() {
            Some("v1") => 1,
            Some("v2") => 2,
            _ => return Self { role, ..unknown },
        };
        let rest: Vec<_> = segments.collect();
        let (call, identifier) = match (method, rest.as_slice()) {
            (&Method::GET, ["monitor", "ping"]) => (Call::Ping, None),
            (&Method::GET, ["" | "node"]) => (Call::Node, None),
            (&Method::GET, ["object"] | ["object", ""]) => (Call::List, None),
            (&Method::GET, ["object", segment]) => (Call::Get, decoded(segment)),
            (&Method::HEAD, ["object", segment]) => (Call::Describe, decoded(segment)),
            (&Method::GET, ["meta", segment]) => (Call::Meta, decoded(segment)),
            (&Method::GET, ["checksum", segment]) => (Call::Checksum, decoded(segment)),
            (&Method::GET, ["resolve", segment]) => (Call::Resolve, decoded(segment)),
            (&Method::GET, ["formats"]) => (Call::Formats, None),
            (&Method::GET, ["query", "solr"] | ["query", "solr", ""]) => (Call::Search, None),
            _ => (Call::Unknown, None),
        };
        Self { role, version, call, identifier }
    }
}

fn decoded(segment: &str) -> Option<Identifier> {
    Identifier::from_path_segment(segment).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_before_they_are_decoded() {
        let target = Target::of(&Method::GET, "/mn/v2/object/doi:10.5063%2FF1");
        assert_eq!((target.call, target.version, target.role), (Call::Get, 2, Role::Member));
        assert_eq!(target.identifier, "doi:10.5063/F1".parse().ok());
        for (method, path, expected) in [
            (Method::GET, "/mn/v2/object/doi:10.5063/F1", Call::Unknown),
            (Method::HEAD, "/cn/v1/object/a", Call::Describe),
            (Method::GET, "/mn/v2/object", Call::List),
            (Method::GET, "/cn/v2/query/solr/", Call::Search),
            (Method::POST, "/mn/v2/object", Call::Unknown),
            (Method::GET, "/mn/v3/object", Call::Unknown),
            (Method::GET, "/", Call::Unknown),
        ] {
            assert_eq!(Target::of(&method, path).call, expected, "{path}");
        }
    }
}
