//! The metadata of the bag: the form of its elements, and `Payload-Oxum` against the payload.

use super::listing::Missing;
use super::{Checker, tolerated};
use crate::bag_info::{BagInfo, OXUM_LABEL, is_date};
use crate::fault::{Fault, FaultCode};
use crate::report::{Faults, Level};

/// The numbers of bytes and of files in a payload.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Oxum {
    octets: u64,
    streams: u64,
}

impl Checker<'_> {
    pub(super) fn info(&mut self, missing: &Missing) {
        let right = self.version.info_file_name();
        let wrong = if right == "bag-info.txt" { "package-info.txt" } else { "bag-info.txt" };
        let name = if self.tags.get(right).is_none() && self.tags.get(wrong).is_some() {
            let message = format!("version {} calls the file {right}", self.version);
            self.fault(FaultCode::InfoFileName, Some(wrong), message);
            wrong
        } else {
            right
        };
        let Some(bytes) = self.tags.get(name) else { return self.oxum_missing(None) };
        if bytes.len() > MOST_INFO_BYTES {
            let message = format!("the file has {} bytes, over the limit of {MOST_INFO_BYTES}", bytes.len());
            return self.fault(FaultCode::TagFileTooLarge, Some(name), message);
        }
        let Some(text) = self.decode(name, bytes) else { return };
        let (info, mut faults) = BagInfo::parse(&text, self.version);
        check_elements(&info, &mut faults);
        match info.get(OXUM_LABEL) {
            Some(value) => faults.extend(self.check_oxum(value.trim(), missing)),
            None => self.oxum_missing(Some(name)),
        }
        let tolerates = self.options.tolerates;
        self.faults.append(&faults, |mut fault| {
            fault.path = Some(name.to_owned());
            tolerated(fault, tolerates)
        });
    }

    /// Reports that a fast check has nothing to compare.
    fn oxum_missing(&mut self, path: Option<&str>) {
        if self.options.level == Level::Fast {
            let message = "the bag has no Payload-Oxum, so a fast check proves nothing";
            self.fault(FaultCode::OxumMissing, path, message);
        }
    }

    fn check_oxum(&self, value: &str, missing: &Missing) -> Option<Fault> {
        let (files, bytes) = self.payload_size();
        let streams = files + missing.files;
        let octets = missing.bytes.map(|missing| bytes.saturating_add(missing));
        let fault = |code, message: String| Some(Fault::new(code, None, message));
        let overflown = octets.and_then(|octets| overflow(octets, streams));
        if overflown.is_some_and(|text| text == value) {
            return fault(
                FaultCode::OxumIntOverflow,
                format!("Payload-Oxum {value} is an overflow of 32 bits"),
            );
        }
        let Some(said) = parse_oxum(value) else {
            return fault(
                FaultCode::OxumMalformed,
                format!("expected OCTETS.STREAMS in Payload-Oxum, found {value:?}"),
            );
        };
        if said.streams == streams && octets.is_none_or(|octets| octets == said.octets) {
            return None;
        }
        if missing.files == 0 && !missing.others_missing && self.counts_top_level(said) {
            return fault(
                FaultCode::OxumCountsTopLevel,
                format!("Payload-Oxum {value} counts the entries at the top; the payload is {bytes}.{files}"),
            );
        }
        let octets = octets.map_or_else(|| "an unknown number".to_owned(), |octets| octets.to_string());
        fault(
            FaultCode::OxumMismatch,
            format!("Payload-Oxum says {value}; the payload is {octets}.{streams}"),
        )
    }

    /// Says whether the numbers count the entries at the top of `data/` or of the bag instead of all files, and perhaps the bytes of tag
    /// files. The R package datapack writes such numbers.
    fn counts_top_level(&self, said: Oxum) -> bool {
        let (files, payload) = self.payload_size();
        let all = self.inventory.files().map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
        let top_of_payload = self.entries_directly_under("data/");
        let top_of_bag = self.entries_directly_under("");
        // datapack counts before it writes the last tag files, so it may count fewer.
        let plausible = said.streams == top_of_payload || (1..=top_of_bag).contains(&said.streams);
        let differs = said.streams != files || said.octets > payload;
        plausible && differs && (payload..=all).contains(&said.octets)
    }

    fn entries_directly_under(&self, prefix: &str) -> u64 {
        let direct = |path: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        };
        let files = self.inventory.under(prefix).filter(|(path, _)| direct(path)).count();
        let directories = self.inventory.directories().filter(|path| direct(path)).count();
        (files + directories) as u64
    }
}

/// The largest metadata file that is parsed, in bytes. Real ones have a few kilobytes, and each element takes memory.
const MOST_INFO_BYTES: usize = 4 << 20;

fn parse_oxum(value: &str) -> Option<Oxum> {
    let number =
        |digits: &str| digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let (octets, streams) = value.split_once('.')?;
    Some(Oxum { octets: number(octets)?, streams: number(streams)? })
}

/// Returns the Oxum of a 32-bit counter for a payload that is too large for it. SpeedBagIt writes such numbers.
fn overflow(octets: u64, streams: u64) -> Option<String> {
    let low = u32::try_from(octets & u64::from(u32::MAX)).ok()?;
    let shown = i32::from_ne_bytes(low.to_ne_bytes());
    i32::try_from(octets).is_err().then(|| format!("{shown}.{streams}"))
}

/// Adds the faults of elements that repeat or are not of their form.
fn check_elements(info: &BagInfo, faults: &mut Faults) {
    for label in ["Bagging-Date", "Bag-Size", "Bag-Group-Identifier", "Bag-Count"] {
        if info.all(label).count() > 1 {
            faults.push(Fault::new(FaultCode::InfoRepeated, None, format!("{label} should not repeat")));
        }
    }
    for date in info.all("Bagging-Date").filter(|date| !is_date(date)) {
        let message = format!("expected YYYY-MM-DD in Bagging-Date, found `{}`", date.escape_debug());
        faults.push(Fault::new(FaultCode::BaggingDateMalformed, None, message));
    }
    for count in info.all("Bag-Count").filter(|count| !is_count(count)) {
        let message = format!("expected `N of T` in Bag-Count, found `{}`", count.escape_debug());
        faults.push(Fault::new(FaultCode::BagCountMalformed, None, message));
    }
    if info.all(OXUM_LABEL).count() > 1 {
        faults.push(Fault::new(FaultCode::OxumRepeated, None, "Payload-Oxum must not repeat"));
    }
}

fn is_count(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let [number, of, total] = parts.as_slice() else { return false };
    is_number(number) && of.eq_ignore_ascii_case("of") && (is_number(total) || *total == "?")
}
