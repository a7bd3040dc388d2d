//! Which of several artifacts is the newest version of the others.

use std::collections::{HashMap, HashSet};

use super::{ArtifactSummary, made};

/// What each version replaces, by identifier.
pub(super) type Obsoletes = HashMap<String, String>;

/// Returns the only artifact that is no earlier version of another one, if all others are earlier versions of it.
pub(super) fn newest<'a>(
    candidates: &[&'a ArtifactSummary],
    obsoletes: &Obsoletes,
) -> Option<&'a ArtifactSummary> {
    let mut older: HashSet<&str> = HashSet::new();
    for candidate in candidates {
        // What was met before was followed to its end before: the walk is linear, and a circle ends it.
        mark_older(candidate, obsoletes, &mut older);
    }
    let is_older = |candidate: &ArtifactSummary| {
        candidate.identifier.as_deref().is_some_and(|identifier| older.contains(identifier))
    };
    let mut heads = candidates.iter().copied().filter(|candidate| !is_older(candidate));
    let (Some(head), None) = (heads.next(), heads.next()) else { return None };
    let mut below_head = HashSet::new();
    mark_older(head, obsoletes, &mut below_head);
    let is_below = |candidate: &ArtifactSummary| {
        candidate.identifier.as_deref().is_some_and(|identifier| below_head.contains(identifier))
    };
    candidates.iter().all(|candidate| candidate.digest == head.digest || is_below(candidate)).then_some(head)
}

/// Returns the head of a series: its newest version, or where that is not clear the one that was made last (DataONE
/// architecture, “Mutability of Content”).
pub(super) fn head_of_series<'a>(
    members: &[&'a ArtifactSummary],
    obsoletes: &Obsoletes,
) -> Option<&'a ArtifactSummary> {
    newest(members, obsoletes).or_else(|| {
        let time = |member: &ArtifactSummary| made(member.created.as_deref());
        let last = members.iter().copied().max_by_key(|member| time(member))?;
        let is_alone = members.iter().filter(|member| time(member) == time(last)).count() == 1;
        is_alone.then_some(last)
    })
}

fn mark_older<'a>(candidate: &'a ArtifactSummary, obsoletes: &'a Obsoletes, older: &mut HashSet<&'a str>) {
    let mut at = candidate.obsoletes.as_deref();
    while let Some(identifier) = at {
        if !older.insert(identifier) {
            return;
        }
        at = obsoletes.get(identifier).map(String::as_str);
    }
}
