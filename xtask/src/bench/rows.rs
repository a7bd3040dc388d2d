//! What a row of the table consists of; the rows themselves are in [`table`].

mod table;

pub(super) use self::table::ROWS;
use crate::sample::Kind;

/// The name of the program that all rows are about.
pub(super) const OURS: &str = "d1oci";

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: &'static str,
    /// What is done, in the words of the table.
    pub(super) work: &'static str,
    pub(super) sample: SampleSize,
    pub(super) network: Network,
    pub(super) ours: Contender,
    pub(super) peer: Contender,
    pub(super) target: Target,
}

/// Says which bag a row works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SampleSize {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) files: u64,
}

/// Where the registry of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// There is none.
    None,
    /// On the loopback interface.
    Loopback,
    /// Behind a link with 50 ms of delay each way and 100 Mbit/s.
    Slow,
}

/// What one side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contender {
    /// The program that the table names.
    pub(super) name: &'static str,
    /// What is done once, before all runs.
    pub(super) setup: Option<Call>,
    /// The file or directory that is removed before every run; empty if there is none.
    pub(super) fresh: &'static str,
    /// What is measured.
    pub(super) call: Call,
    pub(super) check: Check,
}

/// A program with its arguments.
///
/// In arguments, `{bag}` is the bag, named as seen from the directory that the command runs in, and `{member}` its payload
/// file whose size is nearest to 10 MiB; `{store}` and `{out}` are places that each side has for itself. `{registry}` is the
/// address of the side's own registry over the row's network, `{direct}` past it, and `{data}` where it keeps its blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) program: &'static str,
    pub(super) arguments: &'static [&'static str],
}

/// How it is made sure that a side did the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// `oras pull` of `{store}` gives the bag.
    StoreHoldsBag,
    /// `{store}` has the content that it had before, and `oras pull` of it gives the bag.
    StoreUnchanged,
    /// `oras pull` of the registry gives the bag.
    RegistryHoldsBag,
    /// The registry has every blob of the layout `{store}`.
    RegistryHoldsStore,
    /// `{out}` holds the bag.
    OutHoldsBag,
    /// `{out}` has the digest of every payload file.
    OutHasDigests,
    /// `{out}` is `{member}`.
    OutIsMember,
    /// `{out}` is `{member}`, compressed.
    OutUnpacksToMember,
    /// With one byte of the payload changed, the command fails.
    RefusesDamage,
}

/// What the ratio of d1oci to its peer should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) of: Quantity,
    pub(super) at_most: f64,
    /// The same for an oras that was built with Go 1.27 or newer, which compresses several times faster.
    pub(super) with_newer_go: f64,
    /// The most requests of d1oci.
    pub(super) requests: Option<u64>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// The time on the clock.
    Wall,
    /// The time of all processors.
    Cpu,
    /// The bytes that were received, and for a command without a network those of `{out}`.
    Received,
}

impl Row {
    /// Describes the row in the words of a command line.
    pub(super) fn description(&self) -> String {
        let side = |side: &Contender| format!("{} {}", side.call.program, side.call.arguments.join(" "));
        let of = match self.target.of {
            Quantity::Wall => "wall time",
            Quantity::Cpu => "CPU time",
            Quantity::Received => "bytes",
        };
        format!(
            "{}: {}\n    {}\n    {}\n    at most {} of the {of}",
            self.id,
            self.work,
            side(&self.ours),
            side(&self.peer),
            self.target.at_most
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Check, Network, OURS, ROWS};
    use crate::peers;

    #[test]
    fn rows_have_names_of_their_own_and_known_programs() {
        let ids: HashSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), ROWS.len());
        for row in ROWS {
            assert_eq!(row.ours.name, OURS);
            assert!(peers::by_name(row.peer.name).is_some(), "{}", row.id);
            assert!(row.target.at_most > 0.0 && row.target.with_newer_go >= row.target.at_most);
            assert!(row.description().contains(row.work));
        }
    }

    #[test]
    fn checks_look_at_what_the_commands_write() {
        for row in ROWS {
            for side in [row.ours, row.peer] {
                let words = side.call.arguments.concat();
                let place = match side.check {
                    Check::StoreHoldsBag | Check::StoreUnchanged => "{store}",
                    Check::RegistryHoldsBag | Check::RegistryHoldsStore => "{registry}",
                    Check::OutHoldsBag
                    | Check::OutHasDigests
                    | Check::OutIsMember
                    | Check::OutUnpacksToMember => "{out}",
                    Check::RefusesDamage => "{bag}",
                };
                assert!(words.contains(place), "{}: {words}", row.id);
                if side.check == Check::StoreUnchanged {
                    assert!(side.setup.is_some() && side.fresh.is_empty());
                }
            }
        }
    }

    #[test]
    fn rows_with_a_registry_use_it() {
        for row in ROWS {
            let uses = row.ours.call.arguments.concat().contains("{registry}");
            assert_eq!(uses, row.network != Network::None, "{}", row.id);
        }
    }
}
