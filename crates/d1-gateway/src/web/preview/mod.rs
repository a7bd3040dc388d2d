//! Previews of files: text, JSON, Markdown, images, lists of archives, and the first bytes of everything else.
//!
//! The media type and the name decide about the preview. Content never makes a file into something that a browser runs.

mod archive;
mod markdown;
mod text;

use d1_catalog::CatalogFile;

use super::page::bytes;
use crate::answer::Refused;
use crate::app::App;

/// How many bytes of a text a preview shows.
const TEXT_BYTES: u64 = 64 << 10;
/// The largest document that is parsed before it is shown: JSON, Markdown.
const LARGEST_PARSED: u64 = 1 << 20;
/// The largest image that a page loads by itself.
const LARGEST_IMAGE: u64 = 20 << 20;
/// How many bytes of other files a preview shows.
const HEX_BYTES: u64 = 256;

/// A preview.
pub(super) enum Preview {
    Text(Text),
    /// HTML made here, without any of the document's own.
    Markdown(String),
    Image,
    Archive(Archive),
    Hex(Vec<HexRow>),
    /// The reason why there is no preview.
    None(String),
}

/// Lines of a text.
pub(super) struct Text {
    pub(super) lines: Vec<String>,
    /// The part of the file that is shown.
    pub(super) note: String,
}

/// The content of an archive.
pub(super) struct Archive {
    pub(super) entries: Vec<ArchiveEntry>,
    pub(super) note: String,
}

/// A file in an archive.
pub(super) struct ArchiveEntry {
    pub(super) name: String,
    pub(super) size: String,
    pub(super) time: String,
}

/// Sixteen bytes.
pub(super) struct HexRow {
    pub(super) offset: String,
    pub(super) hex: String,
    pub(super) text: String,
}

/// Returns the preview of a file that is not a table.
pub(super) async fn of(app: &App, file: &CatalogFile) -> Result<Preview, Refused> {
    if file.size == 0 {
        return Ok(Preview::None("The file is empty.".to_owned()));
    }
    let essence = file.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let name = file.name().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence.ends_with("+json");
    Ok(match essence.as_str() {
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => match file.size <= LARGEST_IMAGE {
            true => Preview::Image,
            false => Preview::None(format!("The image has {}: open it to see it.", bytes(file.size))),
        },
        "text/markdown" if file.size <= LARGEST_PARSED => {
            let read = app.store.read_document(file).await?;
            Preview::Markdown(markdown::as_html(&String::from_utf8_lossy(&read)))
        }
        _ if is_json && file.size <= LARGEST_PARSED => {
            Preview::Text(text::json(&app.store.read_document(file).await?))
        }
        _ if is_json || essence.starts_with("text/") || essence.ends_with("xml") || is_text_name(&name) => {
            let first = first(app, file, TEXT_BYTES).await?;
            Preview::Text(text::plain(&first, file.size))
        }
        "application/zip" => archive::zip(app, file).await?,
        _ if name.ends_with(".zip") => archive::zip(app, file).await?,
        _ if name.ends_with(".tar") => archive::tar(app, file, false).await?,
        _ if name.ends_with(".tar.gz") || name.ends_with(".tgz") => archive::tar(app, file, true).await?,
        _ => Preview::Hex(text::hex(&first(app, file, HEX_BYTES).await?)),
    })
}

fn is_text_name(name: &str) -> bool {
    const ENDS: [&str; 12] =
        [".txt", ".md", ".r", ".py", ".m", ".sh", ".yaml", ".yml", ".sql", ".ini", ".toml", ".log"];
    ENDS.iter().any(|end| name.ends_with(end))
}

/// Returns the first bytes of a file.
async fn first(app: &App, file: &CatalogFile, most: u64) -> Result<Vec<u8>, Refused> {
    let mut stream = app.store.read(file, 0..file.size.min(most)).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.recv().await {
        bytes.extend_from_slice(&chunk.map_err(|error| app.store.content_failed(&error))?);
    }
    Ok(bytes)
}
