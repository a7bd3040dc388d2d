//! Reading archives of any origin as a stream and without trust. Every entry is checked before a visitor sees it.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::thread;

use crossbeam_channel::bounded;
use oci_model::Digest;

use crate::compression::Compression;
use crate::error::{ArchiveError, ArchiveErrorKind};
use crate::inflate::{
    CHUNK_COUNT, Chunk, ChunkSource, RatioLimit, check_ratio, hash_spent, inflate, truncated,
};
use crate::names::{ArchiveNames, MOST_TEXT, NameFault, NodeKind};
use crate::pack::join;
use crate::paths::{TitlePrefix, check_link_target, printable};
use crate::tar::{PaxRecords, TarHeader, is_zero, padding, parse_header, parse_pax};

/// The error with which a visitor stops the reading.
pub type VisitError = Box<dyn Error + Send + Sync>;

/// Options for reading an archive.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Title of the layer. Every name must be below it, and the visitor sees paths relative to it. `.` and the
    /// empty title are not a prefix; `dir/.` means `dir`.
    pub title: String,
    /// Limits.
    pub limits: ReadLimits,
    /// How to treat names that some file systems consider equal.
    pub name_clashes: NameClashes,
    /// Whether to compute the digest of the tar archive. It costs a pass of SHA-256 in its own thread.
    pub tar_digest: bool,
}

/// Limits on an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Largest number of entries, including directories without an entry of their own.
    pub entries: u64,
    /// Largest total size of the files in bytes. A hard link counts as a file.
    pub total_size: u64,
    /// Largest size of one file, in bytes.
    pub entry_size: u64,
    /// Largest ratio of content to bytes of the archive, beyond `ratio_floor`. Hard links count as content. A caller that knows
    /// the sizes from a trusted source sets `total_size` and no ratio, because zeros compress 1000 times.
    pub ratio: Option<u64>,
    /// Number of bytes of content up to which any ratio is allowed.
    pub ratio_floor: u64,
    /// Largest extended header in bytes. Names are limited to 4096 bytes in any case.
    pub extended_header: u64,
}

/// How to treat names that differ only by case or Unicode normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameClashes {
    /// Refuse the archive.
    #[default]
    Refuse,
    /// Warn the visitor.
    Warn,
}

/// An oddity that does not stop the reading.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveWarning {
    /// Two names differ only by case or Unicode normalisation.
    NameClash {
        /// The current name.
        path: String,
        /// The earlier name.
        earlier: String,
    },
}

/// Receives the entries of an archive in order.
///
/// Paths are relative, clean (no `.`, `..`, double or trailing slashes) and below the title, and each comes once.
/// The root and directories without an entry are not reported.
pub trait ArchiveVisitor {
    /// Receives a directory. One that has several entries comes several times.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn directory(&mut self, path: &str) -> Result<(), VisitError>;

    /// Receives a file. Content that the visitor does not read is skipped.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError>;

    /// Receives a symbolic link. Its `target`, followed from the link's directory, stays inside the root.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn symbolic_link(&mut self, path: &str, target: &str) -> Result<(), VisitError>;

    /// Receives a hard link to `target`, a path relative to the root. The target came earlier as a file or hard
    /// link of this size.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn hard_link(&mut self, path: &str, target: &str, size: u64) -> Result<(), VisitError>;

    /// Receives a warning, before the entry that it concerns.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError>;
}

/// A summary of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveSummary {
    /// Compression, as found.
    pub compression: Compression,
    /// Digest of the tar archive up to and including its second closing zero block, as
    /// `io.deis.oras.content.digest` holds it. It is absent unless the options ask for it.
    pub tar_digest: Option<Digest>,
    /// Size of the tar archive in bytes, without padding.
    pub tar_size: u64,
    /// Number of entries.
    pub entries: u64,
    /// Total size of the files in bytes.
    pub content_size: u64,
}

/// The default of [`ReadLimits::ratio`]. Text compresses 10 times, and sparse tables 100 times.
pub const MAX_RATIO: u64 = 250;

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            total_size: 1 << 50,
            entry_size: 1 << 50,
            ratio: Some(MAX_RATIO),
            ratio_floor: 64 << 20,
            extended_header: 64 << 10,
        }
    }
}

impl ReadLimits {
    fn ratio_limit(&self) -> RatioLimit {
        RatioLimit { ratio: self.ratio, floor: self.ratio_floor }
    }
}

impl ReadOptions {
    /// Returns the defaults for a layer with this title.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            limits: ReadLimits::default(),
            name_clashes: NameClashes::default(),
            tar_digest: true,
        }
    }
}

/// Reads an archive to its very end and shows its entries to `visitor`.
///
/// The first bytes decide between gzip (with one or many members), zstd and plain tar. A thread of its own reads
/// the stream to its end and inflates it, so a [`HashingReader`](multi_digest::HashingReader) around it sees all
/// bytes. After an error, the call returns as soon as a running read of `reader` does.
///
/// # Errors
///
/// If the archive is damaged, holds an unsafe entry, exceeds a limit, or `visitor` stops the reading.
///
/// ```
/// use std::io::Read;
///
/// use oci_pack::{
///     ArchiveVisitor, ArchiveWarning, EntryContent, PackOptions, ReadOptions, VisitError,
///     entries_with_directories, pack_archive, read_archive,
/// };
///
/// /// Lists the files of an archive.
/// #[derive(Default)]
/// struct Files(Vec<(String, u64)>);
///
/// impl ArchiveVisitor for Files {
///     fn directory(&mut self, _path: &str) -> Result<(), VisitError> {
///         Ok(())
///     }
///     fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError> {
///         self.0.push((path.to_owned(), content.size()));
///         Ok(())
///     }
///     fn symbolic_link(&mut self, path: &str, _target: &str) -> Result<(), VisitError> {
///         Err(format!("`{path}` is a link").into())
///     }
///     fn hard_link(&mut self, path: &str, _target: &str, _size: u64) -> Result<(), VisitError> {
///         Err(format!("`{path}` is a link").into())
///     }
///     fn warning(&mut self, _warning: ArchiveWarning) -> Result<(), VisitError> {
///         Ok(())
///     }
/// }
///
/// let entries = entries_with_directories("dataset", [("a.csv", 7)]);
/// let open = |_: usize| Ok(Box::new(&b"15,7.2\n"[..]) as Box<dyn Read + Send>);
/// let mut blob = Vec::new();
/// pack_archive(&entries, &open, &PackOptions::default(), &mut blob)?;
///
/// let mut files = Files::default();
/// read_archive(&blob[..], &ReadOptions::new("dataset"), &mut files)?;
/// assert_eq!(files.0, [("a.csv".to_owned(), 7)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_archive<R: Read + Send>(
    reader: R,
    options: &ReadOptions,
    visitor: &mut dyn ArchiveVisitor,
) -> Result<ArchiveSummary, ArchiveError> {
    let title = TitlePrefix::new(&options.title)?;
    let (free_sender, free) = bounded(CHUNK_COUNT);
    for _ in 0..CHUNK_COUNT {
        // The channel has room for every chunk.
        let _ = free_sender.try_send(Chunk::new());
    }
    let (inflated_sender, inflated) = bounded(CHUNK_COUNT);
    let (spent_sender, spent) = bounded(CHUNK_COUNT);
    thread::scope(|scope| {
        let ratio = options.limits.ratio_limit();
        let inflater = scope.spawn(move || inflate(reader, ratio, &free, &inflated_sender));
        let hasher = scope.spawn(move || hash_spent(options.tar_digest, &spent, &free_sender));
        let source = ChunkSource::new(inflated, spent_sender);
        // The walk owns the source, so the threads end when it does.
        let walked = ArchiveWalk::new(source, title, options, visitor).run();
        let compression = join(inflater);
        let tar_digest = join(hasher);
        let walked = walked?;
        Ok(ArchiveSummary {
            compression: compression.unwrap_or_default(),
            tar_digest,
            tar_size: walked.tar_size,
            entries: walked.entries,
            content_size: walked.content_size,
        })
    })
}

/// The most extended headers before one entry.
const MOST_EXTENDED_HEADERS: u32 = 8;

/// The most names, whatever the options say: nodes are counted in 32 bits.
const MOST_ENTRIES: u64 = 1 << 31;

/// A walk through one archive.
pub(crate) struct ArchiveWalk<'a> {
    source: ChunkSource,
    title: TitlePrefix,
    options: &'a ReadOptions,
    visitor: &'a mut dyn ArchiveVisitor,
    names: ArchiveNames,
    entries: u64,
    content_size: u64,
}

/// The totals of a whole walk.
pub(crate) struct Walked {
    pub(crate) tar_size: u64,
    pub(crate) entries: u64,
    pub(crate) content_size: u64,
}

/// The fields that extended headers set for the entry after them.
#[derive(Default)]
struct Extended {
    count: u32,
    pax: PaxRecords,
    gnu_name: Option<Vec<u8>>,
    gnu_link_name: Option<Vec<u8>>,
}

/// The content of a file in an archive.
pub struct EntryContent<'a> {
    source: &'a mut ChunkSource,
    size: u64,
    left: u64,
    failure: Option<ArchiveError>,
}

impl<'a> ArchiveWalk<'a> {
    pub(crate) fn new(
        source: ChunkSource,
        title: TitlePrefix,
        options: &'a ReadOptions,
        visitor: &'a mut dyn ArchiveVisitor,
    ) -> Self {
        Self { source, title, options, visitor, names: ArchiveNames::new(), entries: 0, content_size: 0 }
    }

    /// Visits all entries and reads the stream to its end.
    pub(crate) fn run(mut self) -> Result<Walked, ArchiveError> {
        let mut extended = Extended::default();
        while let Some(header) = self.next_header()? {
            match header.type_flag {
                b'x' | b'g' | b'L' | b'K' => self.take_extended(&header, &mut extended)?,
                _ => {
                    let name = extended.name(&header);
                    let entry = std::mem::take(&mut extended);
                    self.entry(&header, &entry, &name).map_err(|error| error.at(printable(&name)))?;
                }
            }
        }
        if extended.count > 0 {
            return Err(corrupt("an extended header has no entry after it"));
        }
        let tar_size = self.source.consumed();
        self.source.finish()?;
        Ok(Walked { tar_size, entries: self.entries, content_size: self.content_size })
    }

    /// Returns the next header, or `None` after the zero blocks that end the archive.
    fn next_header(&mut self) -> Result<Option<TarHeader>, ArchiveError> {
        let Some(block) = self.source.block()? else {
            return Err(truncated("the archive ends without its closing zero blocks"));
        };
        if is_zero(&block) {
            // Like Go and others: one zero block is enough if nothing follows it.
            return match self.source.block()? {
                Some(second) if !is_zero(&second) => Err(corrupt("found a zero block between entries")),
                _ => Ok(None),
            };
        }
        parse_header(&block).map(Some).ok_or_else(|| corrupt("a tar header has a wrong checksum"))
    }

    fn take_extended(&mut self, header: &TarHeader, extended: &mut Extended) -> Result<(), ArchiveError> {
        let limit = self.options.limits.extended_header;
        let size = header.size.ok_or_else(|| corrupt("an extended header has no size"))?;
        extended.count += 1;
        if size > limit || extended.count > MOST_EXTENDED_HEADERS {
            let detail = format!("an entry has extended headers of more than {limit} bytes, or too many");
            return Err(ArchiveError::new(ArchiveErrorKind::HeaderTooLarge, detail));
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.source.fill(&mut data)?;
        self.source.skip(padding(size) as u64)?;
        let malformed = || corrupt("an extended header is malformed");
        let until_nul = |data: Vec<u8>| data.split(|&byte| byte == 0).next().map(<[u8]>::to_vec);
        match header.type_flag {
            b'L' => extended.gnu_name = until_nul(data),
            b'K' => extended.gnu_link_name = until_nul(data),
            b'x' => extended.pax = parse_pax(&data).ok_or_else(malformed)?,
            _ => {
                // A global header may hold comments. Nobody means one name or size for all entries.
                if parse_pax(&data).ok_or_else(malformed)? != PaxRecords::default() {
                    return Err(unsupported("a global header sets names or sizes"));
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, header: &TarHeader, extended: &Extended, name: &[u8]) -> Result<(), ArchiveError> {
        self.entries += 1;
        if extended.pax.sparse {
            return Err(unsupported("sparse files are not supported"));
        }
        let path = self.title.relative(name)?;
        let link_name = extended.link_name(header);
        let ends_in_slash = name.last() == Some(&b'/');
        match header.type_flag {
            b'5' => self.directory(&path),
            // The old form of a directory.
            b'\0' if ends_in_slash => self.directory(&path),
            b'0' | b'\0' | b'7' if ends_in_slash => Err(unsupported("a file's name ends in a slash")),
            b'0' | b'\0' | b'7' => {
                let size = extended.pax.size.or(header.size);
                self.file(&path, size.ok_or_else(|| corrupt("the size is not a number"))?)
            }
            b'2' => self.symbolic_link(&path, link_name),
            b'1' => self.hard_link(&path, link_name),
            b'3' | b'4' => Err(unsupported("it is a device")),
            b'6' => Err(unsupported("it is a FIFO")),
            other => {
                let detail = format!("entries of type `{}` are not supported", other.escape_ascii());
                Err(unsupported(&detail))
            }
        }
    }

    fn directory(&mut self, path: &str) -> Result<(), ArchiveError> {
        if path.is_empty() {
            return Ok(());
        }
        self.enter(path, NodeKind::Directory, 0)?;
        self.visitor.directory(path).map_err(stopped)
    }

    fn file(&mut self, path: &str, size: u64) -> Result<(), ArchiveError> {
        self.enter(path, NodeKind::File, size)?;
        let limits = &self.options.limits;
        if size > limits.entry_size {
            let detail = format!("the file has {size} bytes, more than the limit of {}", limits.entry_size);
            return Err(ArchiveError::new(ArchiveErrorKind::EntryTooLarge, detail));
        }
        self.count_content(size)?;
        let mut content = EntryContent { source: &mut self.source, size, left: size, failure: None };
        let visited = self.visitor.file(path, &mut content);
        let EntryContent { left, failure, .. } = content;
        // A fault of the archive reaches the visitor as a read error. The stored fault says more.
        if let Some(failure) = failure {
            return Err(failure);
        }
        visited.map_err(stopped)?;
        self.source.skip(left)?;
        self.source.skip(padding(size) as u64)
    }

    /// Counts the content of a file, or of one more name of it.
    fn count_content(&mut self, size: u64) -> Result<(), ArchiveError> {
        let limit = self.options.limits.total_size;
        self.content_size = self.content_size.saturating_add(size);
        if self.content_size > limit {
            let detail = format!("the files have more than the limit of {limit} bytes");
            return Err(ArchiveError::new(ArchiveErrorKind::TotalTooLarge, detail));
        }
        Ok(())
    }

    fn symbolic_link(&mut self, path: &str, target: &[u8]) -> Result<(), ArchiveError> {
        self.enter(path, NodeKind::SymbolicLink, 0)?;
        let target = check_link_target(path, target)?;
        self.visitor.symbolic_link(path, target).map_err(stopped)
    }

    fn hard_link(&mut self, path: &str, target: &[u8]) -> Result<(), ArchiveError> {
        let refuse = || {
            let detail = format!(
                "it is a hard link to `{}`, which is not an earlier file of the archive",
                printable(target)
            );
            ArchiveError::new(ArchiveErrorKind::LinkTarget, detail)
        };
        let target = self.title.relative(target).map_err(|error| refuse().because(error))?;
        let size = self.names.file_size(&target).ok_or_else(refuse)?;
        self.enter(path, NodeKind::File, size)?;
        self.count_content(size)?;
        // The inflater does not see this content.
        check_ratio(self.options.limits.ratio_limit(), self.source.read(), self.content_size)?;
        self.visitor.hard_link(path, &target, size).map_err(stopped)
    }

    /// Records the path, unless it repeats or contradicts an earlier one.
    fn enter(&mut self, path: &str, kind: NodeKind, size: u64) -> Result<(), ArchiveError> {
        if path.is_empty() {
            let detail = "the layer's title is not a directory in the archive";
            return Err(ArchiveError::new(ArchiveErrorKind::ThroughNonDirectory, detail));
        }
        let inserted = match kind {
            NodeKind::File => self.names.insert_file(path, size),
            kind => self.names.insert(path, kind),
        };
        let clash = inserted.map_err(name_fault)?;
        let limit = self.options.limits.entries.min(MOST_ENTRIES);
        if self.entries.max(self.names.len()) > limit {
            let detail = format!("the archive has more than {limit} entries");
            return Err(ArchiveError::new(ArchiveErrorKind::TooManyEntries, detail));
        }
        let Some(earlier) = clash else { return Ok(()) };
        match self.options.name_clashes {
            NameClashes::Refuse => {
                let detail = format!("differs from `{earlier}` only by case or Unicode normalisation");
                Err(ArchiveError::new(ArchiveErrorKind::NameClash, detail))
            }
            NameClashes::Warn => {
                let warning = ArchiveWarning::NameClash { path: path.to_owned(), earlier };
                self.visitor.warning(warning).map_err(stopped)
            }
        }
    }
}

impl Extended {
    /// GNU's long name wins over PAX, as in Go.
    fn name(&self, header: &TarHeader) -> Vec<u8> {
        self.gnu_name.as_ref().or(self.pax.path.as_ref()).unwrap_or(&header.name).clone()
    }

    fn link_name<'a>(&'a self, header: &'a TarHeader) -> &'a [u8] {
        self.gnu_link_name.as_ref().or(self.pax.link_path.as_ref()).unwrap_or(&header.link_name)
    }
}

impl EntryContent<'_> {
    /// Returns the size of the whole content in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn wait(&mut self) -> Result<(), ArchiveError> {
        if self.left > 0 && self.source.wait()? == 0 {
            return Err(truncated("the archive ends within the file"));
        }
        Ok(())
    }
}

impl BufRead for EntryContent<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(failure) = self.wait() {
            let error = io::Error::new(io::ErrorKind::InvalidData, failure.to_string());
            self.failure = Some(failure);
            return Err(error);
        }
        let bytes = self.source.available();
        let length = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        Ok(bytes.get(..length).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.left = self.left.saturating_sub(count as u64);
    }
}

impl Read for EntryContent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl fmt::Debug for EntryContent<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("EntryContent");
        debug.field("size", &self.size).field("left", &self.left).finish_non_exhaustive()
    }
}

fn corrupt(detail: &str) -> ArchiveError {
    ArchiveError::new(ArchiveErrorKind::Corrupt, detail)
}

fn unsupported(detail: &str) -> ArchiveError {
    ArchiveError::new(ArchiveErrorKind::UnsupportedType, detail)
}

fn stopped(error: VisitError) -> ArchiveError {
    ArchiveError::new(ArchiveErrorKind::Visitor, "the reading was stopped").because(error)
}

fn name_fault(fault: NameFault) -> ArchiveError {
    match fault {
        NameFault::Duplicate => ArchiveError::new(ArchiveErrorKind::Duplicate, "the name comes twice"),
        NameFault::Through(path) => {
            let detail = format!("the path leads through `{path}`, which is not a directory");
            ArchiveError::new(ArchiveErrorKind::ThroughNonDirectory, detail)
        }
        NameFault::TooMuchText => {
            let detail = format!("all names together have more than {MOST_TEXT} bytes");
            ArchiveError::new(ArchiveErrorKind::TooManyEntries, detail)
        }
        NameFault::TooManyAlike => {
            let detail = "too many names differ only by case or Unicode normalisation";
            ArchiveError::new(ArchiveErrorKind::NameClash, detail)
        }
    }
}
