//! In what nodes differ from each other.

/// The identifier of the Member Node.
pub(crate) const MEMBER_NODE: &str = "urn:node:SCRIPTED";

/// How the node behaves all the time; what happens now and then is a [`Fault`](crate::Fault).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// The versions of the interface.
    pub versions: Versions,
    /// Whose headers the node sends.
    pub dialect: Dialect,
    /// Whether parts of objects can be had. Most nodes of the network cannot do it.
    pub ranges: bool,
    /// Whether there is a search index.
    pub search: bool,
    /// The most entries of a page of a list.
    pub largest_page: u64,
    /// The places that `resolve` names before the node itself.
    pub locations_first: Vec<LocationEntry>,
    /// Whether `resolve` names the node itself.
    pub lists_itself: bool,
    /// The token that lets its owner read everything.
    pub token: Option<String>,
}

/// The versions of the interface that a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Both.
    Both,
    /// Version 1 alone.
    V1,
    /// Version 2 alone.
    V2,
}

/// Whose headers a node sends with `describe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Those of the specification, which Metacat follows: `DataONE-ObjectFormat`.
    Metacat,
    /// Those of the Generic Member Node: `DataONE-FormatId`, bare exception names and HTTP dates. This dialect also has the node's other
    /// habits. The detail code is always 0. Unknown endpoints are 404 with XML, failures are 500 with HTML. Documents are chunked and
    /// ranges ignored. Objects without bytes are a failure. Version 1 does not know series. A list may start at a day, and lists equal dates in the order of arrival.
    Gmn,
}

/// A place that `resolve` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationEntry {
    /// The node's identifier.
    pub node: String,
    /// The node's base URL.
    pub base_url: String,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            versions: Versions::Both,
            dialect: Dialect::Metacat,
            ranges: true,
            search: true,
            largest_page: 1000,
            locations_first: Vec::new(),
            lists_itself: true,
            token: None,
        }
    }
}

impl Behaviour {
    /// Returns the behaviour of the Generic Member Node 3.5.2, which many nodes run: no search index, no ranges, and its own headers.
    #[must_use]
    pub fn gmn() -> Self {
        Self { dialect: Dialect::Gmn, ranges: false, search: false, ..Self::default() }
    }
}

impl Versions {
    pub(crate) fn has(self, version: u8) -> bool {
        match self {
            Self::Both => matches!(version, 1 | 2),
            Self::V1 => version == 1,
            Self::V2 => version == 2,
        }
    }
}
