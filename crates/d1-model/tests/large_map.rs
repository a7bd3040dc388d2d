//! A map of 100,000 members is read in bounded memory, without holding the document.

use std::fs;
use std::io::{self, Read};

use d1_model::ResourceMap;

const MEMBERS: usize = 100_000;
/// The memory that a member may take besides its identifier and URI, in bytes.
const OVERHEAD_PER_MEMBER: usize = 320;
const RESOLVE: &str = "https://cn.dataone.org/cn/v2/resolve/";

/// Makes the parts of a map, one after the other: all statements in both directions, as Metacat's editor writes them.
fn part(number: usize) -> Option<String> {
    let identifier = |member: usize| format!("urn:uuid:00000000-0000-4000-8000-{member:012}");
    let uri = |member: usize| format!("{RESOLVE}{}", identifier(member).replace(':', "%3A"));
    let head = "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:cito='http://purl.org/spar/cito/' \
        xmlns:dcterms='http://purl.org/dc/terms/' xmlns:ore='http://www.openarchives.org/ore/terms/' \
        xmlns:prov='http://www.w3.org/ns/prov#'>";
    let map = format!("{RESOLVE}map");
    let described = number.checked_sub(1 + MEMBERS);
    match (number, described) {
        (0, _) => Some(format!(
            "{head}<rdf:Description rdf:about='{map}'><dcterms:identifier>map</dcterms:identifier>\
            <ore:describes rdf:resource='{map}#aggregation'/></rdf:Description>"
        )),
        (member, None) => Some(format!(
            "<rdf:Description rdf:about='{map}#aggregation'><ore:aggregates rdf:resource='{}'/></rdf:Description>",
            uri(member - 1)
        )),
        (_, Some(member)) if member < MEMBERS => Some(format!(
            "<rdf:Description rdf:about='{about}'><dcterms:identifier>{}</dcterms:identifier></rdf:Description>\
            <rdf:Description rdf:about='{about}'><ore:isAggregatedBy rdf:resource='{map}#aggregation'/></rdf:Description>\
            <rdf:Description rdf:about='{about}'><cito:isDocumentedBy rdf:resource='{metadata}'/></rdf:Description>\
            <rdf:Description rdf:about='{metadata}'><cito:documents rdf:resource='{about}'/></rdf:Description>",
            identifier(member),
            about = uri(member),
            metadata = uri(0),
        )),
        (_, Some(member)) => (member == MEMBERS).then(|| "</rdf:RDF>".to_owned()),
    }
}

/// Reads the parts without ever holding more than one.
#[derive(Default)]
struct Document {
    next: usize,
    current: io::Cursor<Vec<u8>>,
    bytes: u64,
}

impl Read for Document {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(buffer)?;
            if count > 0 {
                self.bytes += count as u64;
                return Ok(count);
            }
            let Some(part) = part(self.next) else { return Ok(0) };
            self.next += 1;
            self.current = io::Cursor::new(part.into_bytes());
        }
    }
}

/// Returns the largest size that this process has had in memory, in bytes.
fn peak_memory() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kilobytes| kilobytes * 1024)
}

#[expect(clippy::print_stdout, reason = "a test that cannot be run must say so")]
fn skipped(reason: &str) {
    println!("skipped: {reason}");
}

#[test]
fn a_map_of_100_000_members() {
    let before = peak_memory();
    let mut document = Document::default();
    let parsed = ResourceMap::read(&mut document).unwrap();
    let after = peak_memory();
    let map = &parsed.value;
    assert_eq!((map.members().len(), map.relations().count()), (MEMBERS, MEMBERS));
    assert!(document.bytes > 60_000_000, "{}", document.bytes);
    assert!(
        map.members()
            .iter()
            .enumerate()
            .skip(1)
            .all(|(position, _)| map.documented_by(position).count() == 1)
    );
    assert_eq!(map.documents(0).count(), MEMBERS);
    let (Some(before), Some(after)) = (before, after) else {
        skipped("this system does not tell how much memory a process has had");
        return;
    };
    let identifiers: usize = map.members().iter().map(|member| member.identifier().as_str().len()).sum();
    let uris: usize = map.members().iter().map(|member| member.uri().len()).sum();
    // While the map is put together, identifiers are there twice.
    let allowed = 2 * identifiers + uris + OVERHEAD_PER_MEMBER * MEMBERS + (4 << 20);
    assert!(after - before <= allowed, "{} bytes for {MEMBERS} members, {allowed} allowed", after - before);
}
