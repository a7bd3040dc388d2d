//! Lists of files for tools: `sha256sums.txt` for sha256sum, `files.meta4` for aria2c, `urls.txt` for wget.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bytes::Bytes;
use d1_catalog::{CatalogFile, CatalogPackage};
use tokio::sync::mpsc::{Sender, channel};

use crate::answer::{Refused, set, set_disposition};
use crate::app::App;
use crate::content::ContentError;
use crate::file_answer::{self, REVALIDATE};
use crate::packages::file_url;
use crate::request::Request;
use crate::selection::{Files, Selection};
use crate::xml::{DECLARATION, element, escaped};

/// The form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines that `sha256sum --check` reads.
    Sha256Sums,
    /// Metalink 4 (RFC 5854).
    Metalink,
    /// One URL in each line.
    Urls,
}

impl Form {
    fn facts(self) -> (&'static str, &'static str) {
        match self {
            Self::Sha256Sums => ("text/plain; charset=utf-8", "sha256sums.txt"),
            Self::Metalink => ("application/metalink4+xml", "files.meta4"),
            Self::Urls => ("text/plain; charset=utf-8", "urls.txt"),
        }
    }
}

/// Answers with a list of files of a package. Its length is not known before it is written.
pub(crate) async fn send(
    app: &Arc<App>,
    request: &Request,
    package: &CatalogPackage,
    key: &str,
    selection: Selection,
    form: Form,
) -> Result<Response, Refused> {
    let (content_type, name) = form.facts();
    let mut headers = HeaderMap::new();
    set(&mut headers, CONTENT_TYPE, content_type);
    set(&mut headers, CACHE_CONTROL, REVALIDATE);
    set_disposition(&mut headers, "inline", name);
    let body = match request.method {
        Method::HEAD => Body::empty(),
        _ => {
            let (sender, receiver) = channel(1);
            let list = List {
                app: Arc::clone(app),
                package: package.clone(),
                selection,
                form,
                base_url: request.base_url.clone(),
                key: key.to_owned(),
            };
            tokio::spawn(list.write(sender));
            file_answer::body(app, receiver)
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

struct List {
    app: Arc<App>,
    package: CatalogPackage,
    selection: Selection,
    form: Form,
    base_url: String,
    key: String,
}

impl List {
    async fn write(self, sender: Sender<Result<Bytes, ContentError>>) {
        let mut text = match self.form {
            Form::Metalink => {
                format!("{DECLARATION}<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\n")
            }
            _ => String::new(),
        };
        let mut files = Files::new(&self.app, &self.package, &self.selection);
        loop {
            match files.next().await {
                Err(refused) => {
                    let _ = sender.send(Err(ContentError::Unreadable(refused.message))).await;
                    return;
                }
                Ok(None) => break,
                Ok(Some(page)) => {
                    text.extend(page.iter().map(|file| self.line(file)));
                    let chunk = Bytes::from(std::mem::take(&mut text));
                    if !chunk.is_empty() && sender.send(Ok(chunk)).await.is_err() {
                        return;
                    }
                }
            }
        }
        if self.form == Form::Metalink {
            let _ = sender.send(Ok(Bytes::from_static(b"</metalink>\n"))).await;
        }
    }

    fn line(&self, file: &CatalogFile) -> String {
        let url = file_url(&self.base_url, &self.key, &file.path);
        let sha256 = file.sha256().map(hex::encode);
        match self.form {
            Form::Urls => format!("{url}\n"),
            Form::Sha256Sums => sha256.map(|sha256| checksum_line(&sha256, &file.path)).unwrap_or_default(),
            Form::Metalink => {
                let hash = sha256.map(|sha256| format!("<hash type=\"sha-256\">{sha256}</hash>"));
                format!(
                    "<file name=\"{}\"><size>{}</size>{}{}</file>\n",
                    escaped(&file.path),
                    file.size,
                    hash.unwrap_or_default(),
                    element("url", &url)
                )
            }
        }
    }
}

/// Returns a line as GNU coreutils writes it: a backslash at its beginning says that the name is escaped.
fn checksum_line(sha256: &str, path: &str) -> String {
    if path.contains(['\\', '\n', '\r']) {
        let path = path.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        return format!("\\{sha256}  {path}\n");
    }
    format!("{sha256}  {path}\n")
}

#[cfg(test)]
mod tests {
    use super::checksum_line;

    #[test]
    fn a_path_with_a_line_break_stays_in_its_line() {
        assert_eq!(checksum_line("ab", "a b.csv"), "ab  a b.csv\n");
        assert_eq!(checksum_line("ab", "a\nb\\c"), "\\ab  a\\nb\\\\c\n");
    }
}
