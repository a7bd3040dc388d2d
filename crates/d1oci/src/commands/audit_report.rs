//! The report of an audit, for the files of a repository manager: written object by object, to a file or to standard output.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use d1_transfer::{AuditedObject, ContentFault, ObjectVerdict, VerifiedArtifact, VerifyReport};
use jiff::Timestamp;
use oci_model::{Location, ManifestRef};
use safe_files::{Existing, ResultFile};
use serde::Serialize;

use crate::context::{Context, source_date_epoch};
use crate::failure::Failure;
use crate::output::{Format, Lines, human};

/// A report in progress. Its file appears when it is complete.
pub(crate) struct AuditReport {
    format: Format,
    output: Output,
    totals: Totals,
    artifact_count: u64,
}

/// The place of a report.
enum Output {
    Standard(BufWriter<io::Stdout>),
    File(BufWriter<ResultFile>, PathBuf),
}

/// The part of the report about one artifact.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Audited<'a> {
    reference: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<&'a str>,
    valid: bool,
    faults: Vec<ContentFault>,
    objects: &'a [AuditedObject],
}

#[derive(Debug, Serialize)]
struct Heading<'a> {
    program: &'a str,
    date: String,
    repository: String,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    artifacts: u64,
    valid_artifacts: u64,
    objects: u64,
    bytes: u64,
    verified: u64,
    mismatch: u64,
    damaged: u64,
    unverifiable: u64,
    undeclared: u64,
}

impl<'a> Audited<'a> {
    /// Returns the part about an artifact that was verified alone.
    pub(crate) fn of_one(reference: &'a str, at: &ManifestRef, report: &'a VerifyReport) -> Self {
        let tag = match at {
            ManifestRef::Tag(tag) => Some(tag.to_string()),
            ManifestRef::Digest(_) => None,
        };
        let objects = report.system_metadata.as_ref().map_or(&[][..], |audit| &audit.objects);
        Self { reference, tag, identifier: None, valid: report.valid, faults: faults(report), objects }
    }

    /// Returns the part about an artifact of a repository.
    pub(crate) fn of(reference: &'a str, artifact: &'a VerifiedArtifact) -> Self {
        let report = artifact.report.as_ref();
        let audit = report.and_then(|report| report.system_metadata.as_ref());
        let mut faults = report.map(faults).unwrap_or_default();
        if let Some(message) = &artifact.error {
            let path = artifact.tag.as_ref().map_or_else(|| reference.to_owned(), ToString::to_string);
            faults.push(ContentFault { path, message: message.clone() });
        }
        Self {
            reference,
            tag: artifact.tag.as_ref().map(ToString::to_string),
            identifier: artifact.identifier.as_deref(),
            valid: artifact.is_valid(),
            faults,
            objects: audit.map_or(&[][..], |audit| &audit.objects),
        }
    }
}

/// Returns all faults of an artifact.
fn faults(report: &VerifyReport) -> Vec<ContentFault> {
    let audit = report.system_metadata.iter().flat_map(|audit| &audit.faults);
    let bag = report.bag.iter().flat_map(|bag| bag.errors());
    let bag = bag.map(|fault| ContentFault {
        path: fault.path.clone().unwrap_or_default(),
        message: fault.to_string(),
    });
    report.faults.iter().chain(audit).cloned().chain(bag).collect()
}

impl AuditReport {
    /// Begins a report: to a file, as JSON if its name ends in `.json`; or to standard output for `-`, in the form of all
    /// results.
    pub(crate) fn begin(context: &Context, file: &Path, location: &Location) -> Result<Self, Failure> {
        let date = source_date_epoch()?.unwrap_or_else(Timestamp::now);
        let date = jiff::fmt::temporal::DateTimePrinter::new().precision(Some(0)).timestamp_to_string(&date);
        let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let (format, output) = if file == Path::new("-") {
            (context.printer.format(), Output::Standard(BufWriter::new(io::stdout())))
        } else {
            let created = ResultFile::create(file, Existing::Replace)
                .map_err(|error| Failure::file("write", file, error))?;
            let format = if is_json { Format::Json } else { Format::Text };
            (format, Output::File(BufWriter::new(created), file.to_owned()))
        };
        let mut report = Self { format, output, totals: Totals::default(), artifact_count: 0 };
        let program = concat!("d1oci ", env!("CARGO_PKG_VERSION"));
        let heading = Heading { program, date, repository: location.to_string() };
        report.heading(&heading)?;
        Ok(report)
    }

    /// Tells whether the report takes standard output for itself.
    pub(crate) fn is_on_standard_output(&self) -> bool {
        matches!(self.output, Output::Standard(_))
    }

    fn heading(&mut self, heading: &Heading<'_>) -> Result<(), Failure> {
        let Heading { program, date, repository } = heading;
        let text = match self.format {
            Format::Json => {
                let fields = json(heading)?;
                // The object goes on with the list.
                format!("{},\"artifacts\":[", fields.trim_end_matches('}'))
            }
            Format::Text => text_of(|lines| {
                lines.add(format_args!("Fixity audit of {repository}"));
                lines.add(format_args!("Date: {date}"));
                lines.add(format_args!("Program: {program}"));
                lines.add("");
                lines.add("For each object: verdict, size in bytes, algorithm, declared checksum, identifier, path.");
            }),
        };
        self.write(&text)
    }

    /// Writes the part about an artifact.
    pub(crate) fn artifact(&mut self, audited: &Audited<'_>) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => {
                let comma = if self.artifact_count == 0 { "" } else { "," };
                format!("{comma}\n{}", json(audited)?)
            }
            Format::Text => text_of(|lines| artifact_text(audited, lines)),
        };
        self.artifact_count += 1;
        self.totals.add(audited);
        self.write(&text)
    }

    /// Writes the totals, and gives the file its name.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => format!("\n],\"totals\":{}}}\n", json(&self.totals)?),
            Format::Text => self.totals.text(),
        };
        self.write(&text)?;
        match self.output {
            Output::Standard(mut output) => output.flush().map_err(Failure::output),
            Output::File(output, file) => {
                let finished = output.into_inner().map_err(io::IntoInnerError::into_error);
                let finished = finished.and_then(ResultFile::commit);
                finished.map_err(|error| Failure::file("write", &file, error))
            }
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        match &mut self.output {
            Output::Standard(output) => output.write_all(text.as_bytes()).map_err(Failure::output),
            Output::File(output, file) => {
                output.write_all(text.as_bytes()).map_err(|error| Failure::file("write", file, error))
            }
        }
    }
}

impl Totals {
    fn add(&mut self, audited: &Audited<'_>) {
        self.artifacts += 1;
        self.valid_artifacts += u64::from(audited.valid);
        for object in audited.objects {
            self.objects += 1;
            self.bytes = self.bytes.saturating_add(object.size);
            let count = match object.verdict {
                ObjectVerdict::Verified => &mut self.verified,
                ObjectVerdict::Mismatch => &mut self.mismatch,
                ObjectVerdict::Damaged => &mut self.damaged,
                ObjectVerdict::Undeclared => &mut self.undeclared,
                _ => &mut self.unverifiable,
            };
            *count += 1;
        }
    }

    fn text(&self) -> String {
        format!(
            "\nTotals\n{}, {} valid\n{} of {} bytes: {} verified, {} mismatch, {} damaged, {} unverifiable, {} undeclared\n",
            human::count(self.artifacts, "artifact"),
            self.valid_artifacts,
            human::count(self.objects, "object"),
            self.bytes,
            self.verified,
            self.mismatch,
            self.damaged,
            self.unverifiable,
            self.undeclared,
        )
    }
}

fn artifact_text(audited: &Audited<'_>, lines: &mut Lines<'_>) {
    let verdict = if audited.valid { "valid" } else { "NOT VALID" };
    let mut title = format!("{} {verdict}", audited.reference);
    for name in [audited.tag.as_deref(), audited.identifier].into_iter().flatten() {
        title += &format!("  {name}");
    }
    lines.add("");
    lines.add(title);
    for fault in &audited.faults {
        lines.add(format_args!("  fault: {}: {}", fault.path, fault.message));
    }
    for object in audited.objects {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        lines.add(format_args!(
            "  {:<12}  {}  {}  {}  {}  {}",
            verdict_name(object.verdict),
            object.size,
            known(&object.algorithm),
            known(&object.declared),
            known(&object.identifier),
            object.path,
        ));
        if object.verdict == ObjectVerdict::Mismatch {
            let mut computed = format!("    computed {}", known(&object.computed));
            if let Some(size) = object.declared_size {
                computed += &format!(", declared size {size}");
            }
            lines.add(computed);
        }
    }
}

fn verdict_name(verdict: ObjectVerdict) -> &'static str {
    match verdict {
        ObjectVerdict::Verified => "verified",
        ObjectVerdict::Mismatch => "MISMATCH",
        ObjectVerdict::Damaged => "DAMAGED",
        ObjectVerdict::Undeclared => "undeclared",
        _ => "UNVERIFIABLE",
    }
}

fn text_of(add: impl FnOnce(&mut Lines<'_>)) -> String {
    let mut bytes = Vec::new();
    // A vector takes everything, and lines are text.
    let _ = Lines::write(&mut bytes, add);
    String::from_utf8(bytes).unwrap_or_default()
}

fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::output(error.into()))
}
