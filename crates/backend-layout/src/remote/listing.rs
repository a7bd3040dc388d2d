//! The parts of uploads that did not end, in S3 and in Google Cloud Storage, whose XML interface is the same here (Google, "XML API
//! multipart uploads").

use std::fmt;
#[cfg(feature = "gcs")]
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use multi_digest::{Algorithm, Digests};
#[cfg(feature = "s3")]
use object_store::aws::AmazonS3;
use object_store::client::{HttpRequest, HttpRequestBody, HttpService as _};
#[cfg(feature = "gcs")]
use object_store::gcp::GoogleCloudStorage;
use object_store::path::Path;
#[cfg(feature = "s3")]
use object_store::signer::{Method, SignedUrlOptions, Signer as _};
use object_store::{Error as StoreError, Result as StoreResult};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::http::Service;
use crate::bucket::{BegunUpload, StoredPart, UploadListing};

const STORE: &str = "object store";

/// How long a signed request for a listing is valid: longer than it may be repeated.
#[cfg(feature = "s3")]
const VALID: Duration = Duration::from_secs(900);

/// The most pages of a listing that are read: a page has 1000 lines.
const MOST_PAGES: usize = 1000;

/// Lists uploads in parts, which the store's own interface does not.
#[derive(Debug)]
pub(super) struct UnfinishedUploads {
    lister: Lister,
    service: Service,
}

/// Signs the requests for listings.
pub(super) enum Lister {
    /// The requests are signed URLs.
    #[cfg(feature = "s3")]
    S3(AmazonS3),
    /// The requests carry a token.
    #[cfg(feature = "gcs")]
    Google {
        /// The URL of the bucket.
        bucket: http_transfer::Url,
        /// Knows the token.
        store: Arc<GoogleCloudStorage>,
    },
}

impl Lister {
    async fn request(&self, path: &Path, query: &[(&str, &str)]) -> StoreResult<HttpRequest> {
        let query = query.iter().filter(|(key, value)| !value.is_empty() || *key == "uploads").copied();
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        let url = match self {
            #[cfg(feature = "s3")]
            Self::S3(store) => {
                let options = SignedUrlOptions::default().with_query(query.collect::<Vec<_>>());
                store.signed_url_opts(Method::GET, path, VALID, &options).await?
            }
            #[cfg(feature = "gcs")]
            Self::Google { bucket, store } => {
                let token = store.credentials().get_credential().await?;
                if !token.bearer.is_empty() {
                    let value = format!("Bearer {}", token.bearer)
                        .parse()
                        .map_err(|error| generic(Box::new(error)))?;
                    request.headers_mut().insert(http::header::AUTHORIZATION, value);
                }
                let mut url = bucket.clone();
                if let Ok(mut segments) = url.path_segments_mut() {
                    segments.extend(path.parts().map(|part| part.as_ref().to_owned()));
                }
                url.query_pairs_mut().extend_pairs(query);
                url
            }
        };
        *request.uri_mut() = url.as_str().parse().map_err(|error| generic(Box::new(error)))?;
        Ok(request)
    }
}

impl Lister {
    /// Returns the request for a copy of another object, `BUCKET/KEY` (S3, "CopyObject"; Google, "Copying objects").
    async fn copy(&self, source: &str, to: &Path) -> StoreResult<HttpRequest> {
        let value: HeaderValue = source.parse().map_err(|error| generic(Box::new(error)))?;
        let (name, mut request) = match self {
            #[cfg(feature = "s3")]
            Self::S3(store) => {
                let name = HeaderName::from_static("x-amz-copy-source");
                let options = SignedUrlOptions::default().with_signed_header(name.clone(), value.clone());
                let url = store.signed_url_opts(Method::PUT, to, VALID, &options).await?;
                let mut request = HttpRequest::new(HttpRequestBody::empty());
                *request.uri_mut() = url.as_str().parse().map_err(|error| generic(Box::new(error)))?;
                (name, request)
            }
            #[cfg(feature = "gcs")]
            Self::Google { .. } => {
                (HeaderName::from_static("x-goog-copy-source"), self.request(to, &[]).await?)
            }
        };
        *request.method_mut() = http::Method::PUT;
        request.headers_mut().insert(name, value);
        Ok(request)
    }
}

impl fmt::Debug for Lister {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Lister")
    }
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Generic { store: STORE, source }
}

impl UnfinishedUploads {
    pub(super) fn new(lister: Lister, service: Service) -> Self {
        Self { lister, service }
    }

    /// Reads one page of a listing.
    async fn page(&self, path: &Path, query: &[(&str, &str)]) -> StoreResult<Page> {
        let request = self.lister.request(path, query).await?;
        let answer = self.service.call(request).await.map_err(|error| generic(Box::new(error)))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| generic(Box::new(error)))?;
        let text = String::from_utf8_lossy(&body);
        match status.as_u16() {
            200 => Page::parse(&text).ok_or_else(|| generic("the listing is not XML".into())),
            404 => Err(StoreError::NotFound { path: path.to_string(), source: text.into_owned().into() }),
            403 => {
                Err(StoreError::PermissionDenied { path: path.to_string(), source: text.into_owned().into() })
            }
            501 => Err(StoreError::NotImplemented {
                operation: "listing uploads".into(),
                implementer: STORE.into(),
            }),
            _ => Err(generic(format!("status {status}: {text}").into())),
        }
    }
}

#[async_trait]
impl UploadListing for UnfinishedUploads {
    async fn begun(&self, prefix: &str) -> StoreResult<Vec<BegunUpload>> {
        let (mut found, mut key, mut id) = (Vec::new(), String::new(), String::new());
        for _ in 0..MOST_PAGES {
            let query =
                [("uploads", ""), ("prefix", prefix), ("key-marker", &*key), ("upload-id-marker", &*id)];
            let page = self.page(&Path::default(), &query).await?;
            found.extend(page.items.iter().filter_map(Item::upload));
            let next = (page.value("NextKeyMarker"), page.value("NextUploadIdMarker"));
            if !page.is_truncated() || next.0.is_empty() || next == (&*key, &*id) {
                break;
            }
            (key, id) = (next.0.to_owned(), next.1.to_owned());
        }
        Ok(found)
    }

    async fn parts(&self, path: &Path, id: &str) -> StoreResult<Vec<StoredPart>> {
        let (mut found, mut marker) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let page = self.page(path, &[("uploadId", id), ("part-number-marker", &*marker)]).await?;
            found.extend(page.items.iter().filter_map(Item::part));
            let next = page.value("NextPartNumberMarker");
            if !page.is_truncated() || next.is_empty() || next == marker {
                break;
            }
            marker = next.to_owned();
        }
        Ok(found)
    }

    /// The tag of a part is the MD5 of its content, unless the store encrypts it with a key of its own: then no part is recognised.
    fn is_stored(&self, part: &StoredPart, content: &[u8]) -> bool {
        let digest = Digests::of([Algorithm::Md5].into_iter().collect(), content).hex(Algorithm::Md5);
        part.size == content.len() as u64 && digest.as_deref() == Some(part.tag.trim_matches('"'))
    }

    async fn copy_from(&self, bucket: &str, from: &Path, to: &Path) -> StoreResult<()> {
        let source = format!("{bucket}/{from}");
        // Servers disagree on the escapes of other characters.
        if !source.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)) {
            return Err(generic("the path has characters that the header would have to escape".into()));
        }
        let request = self.lister.copy(&source, to).await?;
        let answer = self.service.call(request).await.map_err(|error| generic(Box::new(error)))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| generic(Box::new(error)))?;
        let text = String::from_utf8_lossy(&body);
        // An error can come after the status, while the store copies.
        match status.is_success() && !text.contains("<Error>") {
            true => Ok(()),
            false => Err(generic(format!("status {status}: {text}").into())),
        }
    }
}

/// One page of a listing: the values on its top level, and the items in it.
#[derive(Debug, Default)]
struct Page {
    values: Vec<(String, String)>,
    items: Vec<Item>,
}

/// An upload or a part, as names and values.
#[derive(Debug, Default)]
struct Item(Vec<(String, String)>);

impl Page {
    fn parse(text: &str) -> Option<Self> {
        let (mut page, mut open, mut value) = (Self::default(), Vec::<String>::new(), String::new());
        let mut reader = Reader::from_str(text);
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    open.push(start.local_name().as_ref().to_owned());
                    if open.len() == 2 && is_item(&open[1]) {
                        page.items.push(Item::default());
                    }
                    value.clear();
                }
                Event::Text(piece) => value.push_str(&piece),
                Event::GeneralRef(name) => value.push_str(entity(&name)),
                Event::End(_) => {
                    let name = open.pop()?;
                    let target = match open.as_slice() {
                        [_] if !is_item(&name) => Some(&mut page.values),
                        [_, item] if is_item(item) => page.items.last_mut().map(|item| &mut item.0),
                        _ => None,
                    };
                    if let Some(target) = target {
                        target.push((name, std::mem::take(&mut value)));
                    }
                    value.clear();
                }
                Event::Eof => return open.is_empty().then_some(page),
                _ => {}
            }
        }
    }

    fn value(&self, name: &str) -> &str {
        find(&self.values, name)
    }

    fn is_truncated(&self) -> bool {
        self.value("IsTruncated") == "true"
    }
}

impl Item {
    fn upload(&self) -> Option<BegunUpload> {
        let (key, id) = (find(&self.0, "Key"), find(&self.0, "UploadId"));
        let begun = find(&self.0, "Initiated").parse::<jiff::Timestamp>().ok();
        let begun = begun.and_then(|begun| u64::try_from(begun.as_second()).ok());
        let begun =
            begun.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        (!id.is_empty())
            .then(|| Some(BegunUpload { path: Path::parse(key).ok()?, id: id.to_owned(), begun }))?
    }

    fn part(&self) -> Option<StoredPart> {
        let number: usize = find(&self.0, "PartNumber").parse().ok()?;
        Some(StoredPart {
            index: number.checked_sub(1)?,
            size: find(&self.0, "Size").parse().ok()?,
            tag: find(&self.0, "ETag").to_owned(),
        })
    }
}

fn is_item(name: &str) -> bool {
    name == "Upload" || name == "Part"
}

fn find<'a>(values: &'a [(String, String)], name: &str) -> &'a str {
    values.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn entity(name: &str) -> &str {
    match name {
        "quot" | "#34" => "\"",
        "amp" | "#38" => "&",
        "lt" | "#60" => "<",
        "gt" | "#62" => ">",
        "apos" | "#39" => "'",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read() {
        let text = r#"<?xml version="1.0"?><ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Bucket>b</Bucket><NextKeyMarker>k</NextKeyMarker><IsTruncated>true</IsTruncated>
            <Upload><Key>a/blobs/sha256/x</Key><UploadId>id&amp;1</UploadId><Initiator><ID>me</ID></Initiator>
            <Initiated>2026-11-30T12:00:01.000Z</Initiated></Upload></ListMultipartUploadsResult>"#;
        let page = Page::parse(text).unwrap();
        assert!(page.is_truncated() && page.value("NextKeyMarker") == "k");
        let upload = page.items[0].upload().unwrap();
        assert_eq!((upload.path.as_ref(), &*upload.id), ("a/blobs/sha256/x", "id&1"));
        let seconds = upload.begun.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds, 1_796_040_001);
        let text = "<R><Part><PartNumber>3</PartNumber><ETag>&quot;900150983cd24fb0d6963f7d28e17f72&quot;</ETag><Size>3</Size></Part></R>";
        let part = Page::parse(text).unwrap().items[0].part().unwrap();
        assert_eq!((part.index, part.size), (2, 3));
        assert_eq!(part.tag.trim_matches('"'), "900150983cd24fb0d6963f7d28e17f72");
        for bad in ["<R><Part>", "<R></Part>", "</R>"] {
            assert!(Page::parse(bad).is_none(), "{bad}");
        }
    }
}
