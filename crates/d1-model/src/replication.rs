//! The replicas of an object: where they may be, and where they are.

use crate::date_time::DateTime;

/// Says whether, how often and where an object may be replicated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicationPolicy {
    /// Whether replicas may be made; the schema leaves the default open.
    pub replication_allowed: Option<bool>,
    /// How many replicas are wanted; Coordinating Nodes take 3 where nothing is said.
    pub number_replicas: Option<i32>,
    /// Member Nodes that should hold replicas, such as `urn:node:KNB`.
    pub preferred_member_nodes: Vec<String>,
    /// Member Nodes that must not.
    pub blocked_member_nodes: Vec<String>,
}

/// Describes one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The Member Node that holds it.
    pub member_node: String,
    /// The state of the replica.
    pub status: ReplicationStatus,
    /// When it was last verified.
    pub verified: DateTime,
}

/// Names the state of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicationStatus {
    /// It is to be made.
    Queued,
    /// The Member Node was asked to make it.
    Requested,
    /// It is there.
    Completed,
    /// It could not be made.
    Failed,
    /// It was found to be damaged or missing.
    Invalidated,
}

impl ReplicationStatus {
    /// Returns the state's name in the schema.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Requested => "requested",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Invalidated => "invalidated",
        }
    }

    /// Finds a state by its name in the schema.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Queued, Self::Requested, Self::Completed, Self::Failed, Self::Invalidated]
            .into_iter()
            .find(|known| known.name() == name)
    }
}
