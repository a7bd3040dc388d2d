//! The replicas of an object: the allowed ones, and the existing ones.

use crate::date_time::DateTime;

/// The rules for replicas: whether, how many and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicationPolicy {
    /// Whether replicas are allowed. The schema leaves the default open.
    pub replication_allowed: Option<bool>,
    /// The wanted number of replicas. Coordinating Nodes use 3 as the default.
    pub number_replicas: Option<i32>,
    /// Member Nodes that should hold replicas, such as `urn:node:KNB`.
    pub preferred_member_nodes: Vec<String>,
    /// Member Nodes that must not hold replicas.
    pub blocked_member_nodes: Vec<String>,
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The Member Node that holds it.
    pub member_node: String,
    /// The state of the replica.
    pub status: ReplicationStatus,
    /// When it was last verified.
    pub verified: DateTime,
}

/// The state of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReplicationStatus {
    /// The replica will be made.
    Queued,
    /// The Member Node was asked to make it.
    Requested,
    /// The replica exists.
    Completed,
    /// The replica could not be made.
    Failed,
    /// The replica was found to be damaged or missing.
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
