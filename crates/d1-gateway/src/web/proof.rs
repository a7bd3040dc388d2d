//! Fixity as proof: bytes that are read again from the store on request, hashed, and compared with every declared checksum.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, ORIGIN};
use axum::response::Response;
use d1_catalog::{CatalogFile, CatalogPackage};
use jiff::Timestamp;
use multi_digest::{Algorithm, AlgorithmSet, Digests, MultiHasher};
use serde::Serialize;

use super::page::{bytes, counted};
use crate::answer::{self, Kind, Refused, set};
use crate::app::App;
use crate::content::ContentError;
use crate::packages::{self, encoded_path};
use crate::request::{Request, path_decoded};
use crate::selection::{Files, Selection};

/// The largest file or package that is proven on request, in bytes.
pub(super) const LARGEST_PROVEN: u64 = 1 << 30;
/// The most receipts that are kept, and the most contents whose time of proof is.
const MOST_RECEIPTS: usize = 2000;
const MOST_CONTENTS: usize = 20_000;
/// The most faults that a receipt names.
const MOST_FAULTS: usize = 100;

/// The result of a proof.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    /// The package's manifest, which names the content by digest.
    manifest: String,
    /// The path of the file; absent for a whole package.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    url: String,
    files: u64,
    bytes: u64,
    proven_at: String,
    proven_by: String,
    /// Whether all bytes have all declared checksums.
    matches: bool,
    /// The checksums of a single file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Compared>,
    /// Files whose content is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
}

/// A declared checksum, and the computed one.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compared {
    pub(super) algorithm: &'static str,
    /// The document that declares it.
    pub(super) declared_by: &'static str,
    pub(super) expected: String,
    pub(super) computed: String,
    pub(super) matches: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Fault {
    path: String,
    problem: String,
}

impl Receipt {
    /// Returns the result as a sentence.
    pub(super) fn in_words(&self) -> String {
        let subject = match (&self.path, self.files) {
            (Some(_), _) => "the content has".to_owned(),
            (None, 1) => "the file has".to_owned(),
            (None, files) => format!("{} have", counted(files, "file", "files")),
        };
        let result = match self.matches {
            true => "every declared checksum",
            false => "WRONG checksums, which the receipt names",
        };
        format!(
            "At {}, read again from the store: {subject} {result} ({}).",
            self.proven_at,
            bytes(self.bytes)
        )
    }

    /// Returns the compared checksums.
    pub(super) fn checksums(&self) -> &[Compared] {
        &self.checksums
    }

    /// Returns whether all bytes have all declared checksums.
    pub(super) fn matches(&self) -> bool {
        self.matches
    }
}

/// Notes that a content was read and has the right SHA-256.
pub(super) fn note(app: &App, sha256: &[u8; 32]) {
    app.recent.keep(hex::encode(sha256), Arc::new(Timestamp::now()), MOST_CONTENTS);
}

/// Returns the time when a content was last read and had the right SHA-256.
pub(super) fn last_read(app: &App, sha256: &[u8; 32]) -> Option<String> {
    app.recent.get::<Timestamp>(&hex::encode(sha256)).map(|time| rounded(*time))
}

/// Returns the last receipt of a file, by the digest of the manifest and the path; the empty path is the whole package.
pub(super) fn last_receipt(app: &App, manifest: &str, path: &str) -> Option<Arc<Receipt>> {
    app.recent.get(&format!("{manifest} {path}"))
}

fn rounded(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The thing to prove.
struct Subject {
    package: CatalogPackage,
    file: Option<CatalogFile>,
    raw_key: String,
}

impl Subject {
    async fn of(app: &App, raw_key: &str, rest: &[&str]) -> Result<Self, Refused> {
        let wrong = || Refused::invalid("expected UTF-8, percent-encoded, in the path");
        let key = path_decoded(raw_key).ok_or_else(wrong)?;
        let package = packages::package(app, &key).await?;
        let decoded: Option<Vec<String>> = rest.iter().map(|segment| path_decoded(segment)).collect();
        let path = decoded.ok_or_else(wrong)?.join("/");
        let file = match path.as_str() {
            "" => None,
            path => {
                let (id, path) = (package.id, path.to_owned());
                let found = app.store.ask(move |catalog| catalog.file(id, &path)).await?;
                Some(found.ok_or_else(|| Refused::not_found("the package has no such file"))?)
            }
        };
        let may_read = match &file {
            Some(file) => app.store.may_read(&package, file).await?,
            None => packages::is_readable(&package),
        };
        if !may_read {
            return Err(packages::not_public());
        }
        Ok(Self { package, file, raw_key: raw_key.to_owned() })
    }

    fn path(&self) -> &str {
        self.file.as_ref().map_or("", |file| file.path.as_str())
    }

    /// Returns the URL of its page.
    fn page(&self, base_url: &str) -> String {
        format!("{base_url}/p/{}/{}", self.raw_key, encoded_path(self.path()))
    }
}

/// Answers with the last receipt of a file or package.
pub(crate) async fn receipt(
    app: &Arc<App>,
    _: &Request,
    raw_key: &str,
    rest: &[&str],
) -> Result<Response, Refused> {
    let subject = Subject::of(app, raw_key, rest).await?;
    let known = last_receipt(app, subject.package.summary.digest.as_str(), subject.path());
    let known = known.ok_or_else(|| Refused::not_found("nothing was proven yet; send a POST to prove it"))?;
    Ok(json(&known))
}

fn json(receipt: &Receipt) -> Response {
    let text = serde_json::to_string_pretty(receipt).unwrap_or_default();
    let mut response = answer::full(StatusCode::OK, "application/json", text + "\n");
    set(response.headers_mut(), CACHE_CONTROL, "no-store");
    response
}

/// Answers a POST below `/prove`: reads a file or package again and compares its checksums.
pub(crate) async fn prove(app: &Arc<App>, request: &Request, below: &str) -> Result<Response, Refused> {
    // A page of another origin must not use up the quota.
    if request.header(ORIGIN).is_some_and(|origin| origin != request.base_url) {
        return Err(Refused::new(Kind::NotAuthorized, "expected a request from a page of this gateway"));
    }
    let (raw_key, rest) = below.split_once('/').unwrap_or((below, ""));
    let rest: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    let subject = Subject::of(app, raw_key, &rest).await?;
    let size = subject.file.as_ref().map_or(subject.package.bytes, |file| file.size);
    if size > LARGEST_PROVEN {
        let text = format!("expected at most {}; sha256sum can check a download", bytes(LARGEST_PROVEN));
        return Err(Refused::new(Kind::TooLarge, text));
    }
    app.limits.take_proof(size)?;
    let _place = app.limits.proofs.acquire().await;
    let page = subject.page(&request.base_url);
    let receipt = match &subject.file {
        Some(file) => of_file(app, &subject, file, &page).await?,
        None => of_package(app, &subject, &page).await?,
    };
    let kept = format!("{} {}", receipt.manifest, subject.path());
    app.recent.keep(kept, Arc::new(receipt.clone()), MOST_RECEIPTS);
    if request.wants_page() {
        let view = if subject.file.is_some() { "?view" } else { "" };
        return Ok(answer::redirect(StatusCode::SEE_OTHER, &format!("{page}{view}#fixity")));
    }
    Ok(json(&receipt))
}

fn blank(app: &App, subject: &Subject, page: &str) -> Receipt {
    Receipt {
        manifest: subject.package.summary.digest.to_string(),
        path: None,
        url: page.to_owned(),
        files: 0,
        bytes: 0,
        proven_at: rounded(Timestamp::now()),
        proven_by: format!("{}, d1-gateway {}", app.options.node.identifier, env!("CARGO_PKG_VERSION")),
        matches: true,
        checksums: Vec::new(),
        faults: Vec::new(),
    }
}

async fn of_file(app: &App, subject: &Subject, file: &CatalogFile, page: &str) -> Result<Receipt, Refused> {
    let mut receipt = blank(app, subject, page);
    receipt.path = Some(file.path.clone());
    (receipt.files, receipt.bytes) = (1, file.size);
    match hashed(app, file).await? {
        Ok(digests) => {
            receipt.checksums = compared(app, file, &digests).await?;
            receipt.matches = receipt.checksums.iter().all(|compared| compared.matches);
        }
        Err(problem) => receipt.add(&file.path, problem),
    }
    receipt.proven_at = rounded(Timestamp::now());
    Ok(receipt)
}

async fn of_package(app: &App, subject: &Subject, page: &str) -> Result<Receipt, Refused> {
    let mut receipt = blank(app, subject, page);
    let selection = Selection::default();
    let mut files = Files::new(app, &subject.package, &selection);
    while let Some(page) = files.next().await? {
        for file in page {
            receipt.files += 1;
            receipt.bytes += file.size;
            match hashed(app, &file).await? {
                Err(problem) => receipt.add(&file.path, problem),
                Ok(digests) => {
                    let all = compared(app, &file, &digests).await?;
                    if let Some(wrong) = all.iter().find(|compared| !compared.matches) {
                        let problem = format!(
                            "expected the {} {}, found {}",
                            wrong.algorithm, wrong.expected, wrong.computed
                        );
                        receipt.add(&file.path, problem);
                    }
                }
            }
        }
    }
    receipt.proven_at = rounded(Timestamp::now());
    Ok(receipt)
}

impl Receipt {
    fn add(&mut self, path: &str, problem: String) {
        self.matches = false;
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(Fault { path: path.to_owned(), problem });
        }
    }
}

/// Reads a file again from its repository. The inner error says that the content is wrong.
async fn hashed(app: &App, file: &CatalogFile) -> Result<Result<Digests, String>, Refused> {
    let mut hasher = MultiHasher::new(AlgorithmSet::all());
    let mut stream = app.store.read_again(file).await?;
    while let Some(chunk) = stream.recv().await {
        match chunk {
            Ok(chunk) => hasher.update(&chunk),
            Err(error @ (ContentError::WrongDigest { .. } | ContentError::WrongLength { .. })) => {
                app.store.content_failed(&error);
                return Ok(Err(error.to_string()));
            }
            Err(error) => return Err(app.store.content_failed(&error)),
        }
    }
    let digests = hasher.finish();
    if let Some(sha256) = file.sha256()
        && digests.get(Algorithm::Sha256) == Some(sha256.as_slice())
    {
        note(app, &sha256);
    }
    Ok(Ok(digests))
}

/// Compares computed digests with those that the package and the system metadata declare.
async fn compared(app: &App, file: &CatalogFile, digests: &Digests) -> Result<Vec<Compared>, Refused> {
    let mut all: Vec<Compared> = file
        .digests
        .iter()
        .filter_map(|(algorithm, expected)| {
            let computed = digests.get(algorithm)?;
            Some(compare(algorithm, "package", hex::encode(expected), computed))
        })
        .collect();
    if let Some(pid) = file.pid.clone() {
        let object = app.store.ask(move |catalog| catalog.object_by_pid(&pid)).await?;
        let facts = object.and_then(|object| object.system_metadata);
        let declared = facts.and_then(|facts| {
            let algorithm: Algorithm = facts.checksum_algorithm.parse().ok()?;
            Some((algorithm, facts.checksum.to_ascii_lowercase()))
        });
        if let Some((algorithm, expected)) = declared
            && let Some(computed) = digests.get(algorithm)
        {
            all.push(compare(algorithm, "system metadata", expected, computed));
        }
    }
    Ok(all)
}

fn compare(algorithm: Algorithm, declared_by: &'static str, expected: String, computed: &[u8]) -> Compared {
    let computed = hex::encode(computed);
    Compared { algorithm: name(algorithm), declared_by, matches: expected == computed, expected, computed }
}

/// Returns the name of an algorithm for people.
pub(super) fn name(algorithm: Algorithm) -> &'static str {
    match algorithm.name() {
        "md5" => "MD5",
        "sha1" => "SHA-1",
        "sha256" => "SHA-256",
        "sha384" => "SHA-384",
        "sha512" => "SHA-512",
        other => other,
    }
}
