//! `d1oci prune`: removes unreferenced content.

use std::time::Duration;

use oci_model::{Digest, Reference};
use registry_backend::{Access, Error, ErrorKind, PruneOptions};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Lines, human};

/// Remove blobs that no artifact refers to.
///
/// It is safe beside a running push: content that a push stored or used within the grace period stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci prune oci:store --dry-run")]
pub(crate) struct Arguments {
    /// The repository.
    reference: Reference,
    /// Only list the blobs.
    #[arg(long)]
    dry_run: bool,
    /// Also remove artifacts without a tag, unless they refer to one that stays or are part of one.
    #[arg(long)]
    untagged: bool,
    /// Keep younger content; in seconds or with a unit: `90s`, `30m`, `2h`, `1d`.
    #[arg(long, default_value = "1h", value_parser = parse_duration, value_name = "TIME")]
    grace: Duration,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    dry_run: bool,
    removed: Vec<Removed>,
    removed_bytes: u64,
    kept_young: u64,
    partial_files: u64,
}

#[derive(Debug, Serialize)]
struct Removed {
    digest: Digest,
    size: u64,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = context.repository_only(&arguments.reference, "prune")?;
    let access = if arguments.dry_run { Access::Read } else { Access::Modify };
    let backend = context.open_current(location, access).await?;
    let pruner = backend.admin().and_then(|admin| admin.pruner()).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "prune", location)
            .because("the registry removes unreferenced blobs itself")
    })?;
    let mut options = PruneOptions::default();
    options.dry_run = arguments.dry_run;
    options.untagged = arguments.untagged;
    options.grace = arguments.grace;
    let report = pruner.prune(&options).await?;
    let outcome = Outcome {
        dry_run: arguments.dry_run,
        removed_bytes: report.removed.iter().map(|pruned| pruned.size).sum(),
        removed: report
            .removed
            .into_iter()
            .map(|pruned| Removed { digest: pruned.digest, size: pruned.size })
            .collect(),
        kept_young: report.kept_young,
        partial_files: report.partial_files,
    };
    context.printer.result(&outcome, |outcome, lines| {
        if !context.printer.is_quiet() {
            blobs(outcome, lines);
        }
        sum(outcome, lines);
    })
}

fn blobs(outcome: &Outcome, lines: &mut Lines<'_>) {
    for removed in &outcome.removed {
        lines.add(format_args!("{} {}", removed.digest, human::bytes(removed.size)));
    }
}

fn sum(outcome: &Outcome, lines: &mut Lines<'_>) {
    let verb = if outcome.dry_run { "Would remove" } else { "Removed" };
    let blobs = human::count(outcome.removed.len() as u64, "blob");
    let mut sum = format!("{verb} {blobs}, {}", human::bytes(outcome.removed_bytes));
    if outcome.partial_files > 0 {
        sum += &format!("; {} of interrupted writes", human::count(outcome.partial_files, "left-over"));
    }
    if outcome.kept_young > 0 {
        let kept = human::count(outcome.kept_young, "unreferenced blob");
        sum += &format!("; kept {kept} within the grace period");
    }
    lines.add(sum);
}

/// Reads `90`, `90s`, `30m`, `2h`, `1d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        unit => return Err(format!("expected a unit `s`, `m`, `h` or `d`, found `{unit}`")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("expected a whole number, found `{digits}`"))?;
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| "the time is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in
            [("0", 0), ("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86_400)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "h", "-1h", "1.5h", "1w", "99999999999999999999h", "18446744073709551615d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
