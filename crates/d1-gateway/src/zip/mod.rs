//! Packages, directories and selections as zip files: exact length, ranges, a stable entity tag, flat memory.

mod format;

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use d1_catalog::{BlobPiece, CatalogFile, CatalogPackage};
use oci_model::{DigestAlgorithm, DigestHasher};
use tokio::sync::mpsc::{Sender, channel};

use self::format::{BLOCK_BYTES, BLOCK_HEAD, DosTime, Entry, LAYOUT_VERSION};
use crate::answer::{self, Refused, set, set_disposition};
use crate::app::App;
use crate::content::ContentError;
use crate::crc32s::Measure;
use crate::file_answer::{self, REVALIDATE};
use crate::representation::{Selected, Validators, select};
use crate::request::Request;
use crate::selection::{Files, Selection};

/// How many bytes are sent at once.
const CHUNK_BYTES: usize = 64 << 10;
/// The most bytes of earlier files that a range may need to read for their CRC-32.
const MOST_READ_FOR_CRC: u64 = 64 << 20;
/// From this size on, the catalogue keeps the CRC-32 of a content. To read smaller ones again is cheaper.
const CRC_WORTH_KEEPING: u64 = 256 << 10;

/// Answers with a zip of files of a package.
pub(crate) async fn send(
    app: &Arc<App>,
    request: &Request,
    package: &CatalogPackage,
    selection: &Selection,
    name: &str,
) -> Result<Response, Refused> {
    let measure = measure(app, package, selection).await?;
    if measure.entries == 0 {
        return Err(Refused::not_found("no file that everybody may read is selected"));
    }
    let validators = Validators { etag: measure.etag.clone(), modified: None, size: Some(measure.length) };
    let mut headers = HeaderMap::new();
    set(&mut headers, CONTENT_TYPE, "application/zip");
    set(&mut headers, ETAG, &validators.etag);
    set(&mut headers, ACCEPT_RANGES, "bytes");
    set(&mut headers, CACHE_CONTROL, REVALIDATE);
    set_disposition(&mut headers, "attachment", name);
    let mut range = 0..measure.length;
    let mut status = StatusCode::OK;
    match select(request, &validators) {
        Selected::NotModified => return Ok(answer::without_body(StatusCode::NOT_MODIFIED, &headers)),
        Selected::PreconditionFailed => {
            return Ok(answer::without_body(StatusCode::PRECONDITION_FAILED, &headers));
        }
        Selected::Unsatisfiable => return Ok(answer::unsatisfiable(measure.length, &headers)),
        Selected::Part(part) if is_affordable(app, package, selection, &measure, &part).await? => {
            let text = format!("bytes {}-{}/{}", part.start, part.end - 1, measure.length);
            set(&mut headers, CONTENT_RANGE, &text);
            status = StatusCode::PARTIAL_CONTENT;
            range = part;
        }
        Selected::Whole | Selected::Part(_) => {}
    }
    set(&mut headers, CONTENT_LENGTH, &(range.end - range.start).to_string());
    let body = match request.method {
        Method::HEAD => Body::empty(),
        _ => {
            let (sender, receiver) = channel(1);
            let writer = Writer {
                app: Arc::clone(app),
                package: package.clone(),
                selection: selection.clone(),
                output: Output {
                    sender,
                    buffer: BytesMut::new(),
                    skip: range.start,
                    left: range.end - range.start,
                },
                measure,
            };
            tokio::spawn(writer.run());
            file_answer::body(app, receiver)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Returns the name of the directory that the zip unpacks into.
fn root(package: &CatalogPackage) -> String {
    let summary = &package.summary;
    let name = match package.directory.as_str() {
        "" => summary.tag.as_str(),
        directory => directory,
    };
    name.replace('/', "_")
}

fn time(package: &CatalogPackage) -> DosTime {
    DosTime::of(package.summary.created.as_ref().and_then(|created| created.parse().ok()))
}

/// Measures a zip. This lists its files, but reads none.
async fn measure(app: &App, package: &CatalogPackage, selection: &Selection) -> Result<Measure, Refused> {
    let generation = app.store.ask(d1_catalog::Catalog::generation).await?;
    let key =
        format!("{generation}\n{}\n{}\n{}", package.repository, package.summary.digest, selection.name());
    if let Some(kept) = app.crc32s.measure(&key) {
        return Ok(kept);
    }
    let root = root(package);
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    hasher.update(&[LAYOUT_VERSION]);
    hasher.update(package.summary.created.as_deref().unwrap_or_default().as_bytes());
    let (mut entries, mut offset, mut central) = (0, 0_u64, 0_u64);
    let mut files = Files::new(app, package, selection);
    while let Some(page) = files.next().await? {
        for file in page {
            let name = format!("{root}/{}", file.path);
            let entry = Entry { name: &name, size: file.size };
            hasher.update(format!("{}\n{name}\n", file_answer::etag(&file)).as_bytes());
            central += entry.central_length(offset);
            offset += entry.length();
            entries += 1;
        }
    }
    let length = offset + central + format::end(entries, offset, central).len() as u64;
    let etag = format!("\"zip-{}\"", hasher.finish().encoded());
    let measure = Measure { etag, length, entries, central: offset };
    app.crc32s.note_measure(key, measure.clone());
    Ok(measure)
}

/// Returns whether a range can be written without reading too much of earlier files. The central directory states the
/// CRC-32 of all files, and a file that was never read has none yet.
async fn is_affordable(
    app: &App,
    package: &CatalogPackage,
    selection: &Selection,
    measure: &Measure,
    range: &Range<u64>,
) -> Result<bool, Refused> {
    if range.end <= measure.central {
        return Ok(true);
    }
    let root = root(package);
    let (mut offset, mut unknown) = (0, 0_u64);
    let mut files = Files::new(app, package, selection);
    while let Some(page) = files.next().await? {
        for file in page {
            let name = format!("{root}/{}", file.path);
            offset += Entry { name: &name, size: file.size }.length();
            if offset > range.start {
                return Ok(true);
            }
            unknown += if app.crc32s.get(&file).is_some() { 0 } else { file.size };
            if unknown > MOST_READ_FOR_CRC {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The end of a zip that the client has.
struct Output {
    sender: Sender<Result<Bytes, ContentError>>,
    buffer: BytesMut,
    /// Bytes that are not wanted yet.
    skip: u64,
    /// Bytes that are wanted still.
    left: u64,
}

/// The zip ends before its end: the client has all it wanted, is gone, or hears of an error.
struct Ended;

type Written<T = ()> = Result<T, Ended>;

impl Output {
    /// Passes over bytes if all of them come before the range.
    fn passes(&mut self, length: u64) -> bool {
        let is_before = self.skip >= length;
        if is_before {
            self.skip -= length;
        }
        is_before
    }

    async fn write(&mut self, bytes: &[u8]) -> Written {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - skipped);
        self.left -= wanted as u64;
        self.buffer.extend_from_slice(bytes.get(skipped..skipped + wanted).unwrap_or_default());
        if self.left == 0 || self.buffer.len() >= CHUNK_BYTES {
            self.flush().await?;
        }
        if self.left == 0 { Err(Ended) } else { Ok(()) }
    }

    async fn flush(&mut self) -> Written {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = self.buffer.split().freeze();
        self.sender.send(Ok(chunk)).await.map_err(|_| Ended)
    }

    async fn fail(&mut self, error: ContentError) -> Ended {
        let _ = self.sender.send(Err(error)).await;
        Ended
    }
}

/// Writes a range of a zip.
struct Writer {
    app: Arc<App>,
    package: CatalogPackage,
    selection: Selection,
    output: Output,
    measure: Measure,
}

impl Writer {
    async fn run(mut self) {
        // An end before the end is the usual one: all wanted bytes are written.
        let _ = self.all().await;
    }

    async fn all(&mut self) -> Written {
        let (app, package, selection) = (Arc::clone(&self.app), self.package.clone(), self.selection.clone());
        let (root, time) = (root(&package), time(&package));
        let mut crcs = Vec::new();
        let mut offset = 0;
        let mut files = Files::new(&app, &package, &selection);
        while let Some(page) = self.listed(files.next().await).await? {
            let asked = page.clone();
            let pieces = app.store.ask(move |catalog| catalog.pieces_of_all(&asked)).await;
            for (file, pieces) in page.iter().zip(self.listed(pieces).await?) {
                let name = format!("{root}/{}", file.path);
                let entry = Entry { name: &name, size: file.size };
                crcs.push(self.entry((file, pieces), &entry, offset, time).await?);
                offset += entry.length();
            }
        }
        let (mut at, mut central, mut number) = (0, 0, 0);
        let mut files = Files::new(&app, &package, &selection);
        while let Some(page) = self.listed(files.next().await).await? {
            for file in page {
                let name = format!("{root}/{}", file.path);
                let entry = Entry { name: &name, size: file.size };
                let crc32 = crcs.get(number).copied().unwrap_or_default();
                self.output.write(&entry.central_header(crc32, at, time)).await?;
                central += entry.central_length(at);
                at += entry.length();
                number += 1;
            }
        }
        self.output.write(&format::end(number as u64, at, central)).await?;
        // The listing changed while it was read: the length that was promised is wrong.
        let error = ContentError::WrongLength { expected: self.measure.length, actual: at + central };
        Err(self.output.fail(error).await)
    }

    async fn listed<T>(&mut self, page: Result<T, Refused>) -> Written<T> {
        match page {
            Ok(page) => Ok(page),
            Err(refused) => Err(self.refused(&refused).await),
        }
    }

    async fn refused(&mut self, refused: &Refused) -> Ended {
        self.output.fail(ContentError::Unreadable(refused.message.clone())).await
    }

    /// Writes an entry, and returns its CRC-32. If the range ends before the CRC-32 is needed, it may be wrong.
    async fn entry(
        &mut self,
        (file, pieces): (&CatalogFile, Option<Vec<BlobPiece>>),
        entry: &Entry<'_>,
        offset: u64,
        time: DosTime,
    ) -> Written<u32> {
        let known = self.app.crc32s.get(file);
        let is_before = self.output.skip >= entry.length();
        if let (true, Some(crc32)) = (is_before, known) {
            self.output.passes(entry.length());
            return Ok(crc32);
        }
        // The position behind the range.
        let end = offset + self.output.skip + self.output.left;
        if is_before && end <= self.measure.central {
            self.output.passes(entry.length());
            return Ok(0);
        }
        if !self.output.passes(entry.local_length()) {
            self.output.write(&entry.local_header(time)).await?;
        }
        let body_end = offset + entry.local_length() + entry.body_length();
        let crc32 = match known {
            // Without need for the CRC-32, the content is read from where the range begins.
            Some(crc32) => {
                self.body((file, pieces), entry, true).await?;
                crc32
            }
            None => self.body((file, pieces), entry, end <= body_end).await?,
        };
        if !self.output.passes(entry.descriptor_length()) {
            self.output.write(&entry.descriptor(crc32)).await?;
        }
        Ok(crc32)
    }

    /// Writes the content in blocks, and returns its CRC-32 if it was read from the beginning.
    async fn body(
        &mut self,
        (file, pieces): (&CatalogFile, Option<Vec<BlobPiece>>),
        entry: &Entry<'_>,
        may_begin_late: bool,
    ) -> Written<u32> {
        let mut from = 0;
        if may_begin_late {
            if self.output.passes(entry.body_length()) {
                return Ok(0);
            }
            let block = self.output.skip / (BLOCK_BYTES + BLOCK_HEAD);
            self.output.skip -= block * (BLOCK_BYTES + BLOCK_HEAD);
            from = block * BLOCK_BYTES;
        }
        let app = Arc::clone(&self.app);
        let mut stream = match app.store.read_of(file, from..file.size, pieces).await {
            Ok(stream) => stream,
            Err(refused) => return Err(self.refused(&refused).await),
        };
        let mut hasher = crc32fast::Hasher::new();
        let mut left = file.size - from;
        let mut in_block = 0;
        if left == 0 {
            self.output.write(&Entry::block_head(0)).await?;
        }
        while let Some(chunk) = stream.recv().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return Err(self.output.fail(error).await),
            };
            hasher.update(&chunk);
            let mut rest = &*chunk;
            while !rest.is_empty() {
                if in_block == 0 {
                    self.output.write(&Entry::block_head(left)).await?;
                    in_block = left.min(BLOCK_BYTES);
                }
                let count = usize::try_from(in_block).unwrap_or(usize::MAX).min(rest.len());
                let (now, later) = rest.split_at(count);
                self.output.write(now).await?;
                in_block -= count as u64;
                left = left.saturating_sub(count as u64);
                rest = later;
            }
        }
        let crc32 = hasher.finalize();
        if let (0, Some(sha256)) = (from, file.sha256()) {
            self.note(sha256, file.size, crc32);
        }
        Ok(crc32)
    }

    fn note(&self, sha256: [u8; 32], size: u64, crc32: u32) {
        self.app.crc32s.note(sha256, crc32);
        if size >= CRC_WORTH_KEEPING {
            let catalog = Arc::clone(&self.app.store.catalog);
            // If the catalogue is busy, the next reader notes it.
            tokio::task::spawn_blocking(move || catalog.note_crc32(&sha256, crc32));
        }
    }
}
