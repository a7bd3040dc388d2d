//! Previews of files: text, JSON, Markdown, images, lists of archives, outlines of NetCDF and Parquet, and the first bytes of
//! everything else.
//!
//! The media type and the name decide about the preview. Content never makes a file into something that a browser runs.

mod archive;
mod markdown;
mod netcdf;
mod outline;
mod parquet;
mod text;
mod thrift;

pub(super) use outline::Outline;

use std::ops::Range;

use d1_catalog::CatalogFile;
use d1_transfer::parts::run_blocking;

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
    Outline(Outline),
    /// The first bytes, and perhaps the reason why there is nothing better.
    Hex(Vec<HexRow>, &'static str),
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
            let first = part(app, file, 0..file.size.min(TEXT_BYTES)).await?;
            Preview::Text(text::plain(&first, file.size))
        }
        "application/zip" => archive::zip(app, file).await?,
        _ if name.ends_with(".zip") => archive::zip(app, file).await?,
        _ if name.ends_with(".tar") => archive::tar(app, file, false).await?,
        _ if name.ends_with(".tar.gz") || name.ends_with(".tgz") => archive::tar(app, file, true).await?,
        "application/netcdf" | "application/x-netcdf" => netcdf_header(app, file).await?,
        _ if [".nc", ".nc4", ".cdf"].iter().any(|end| name.ends_with(end)) => {
            netcdf_header(app, file).await?
        }
        "application/vnd.apache.parquet" | "application/x-parquet" => parquet_footer(app, file).await?,
        _ if name.ends_with(".parquet") => parquet_footer(app, file).await?,
        _ => hex(app, file, "").await?,
    })
}

async fn netcdf_header(app: &App, file: &CatalogFile) -> Result<Preview, Refused> {
    let mut first = part(app, file, 0..file.size.min(netcdf::MOST_BYTES)).await?;
    let (outline, read) = run_blocking(move || (netcdf::outline(&first), first)).await;
    first = read;
    Ok(match outline {
        Some(outline) => Preview::Outline(outline),
        None => {
            let reason = match netcdf::is_hdf5(&first) {
                true => "This is NetCDF-4, which is HDF5. This gateway does not read its header.",
                false => "The file does not begin like NetCDF.",
            };
            first.truncate(usize::try_from(HEX_BYTES).unwrap_or_default());
            Preview::Hex(text::hex(&first), reason)
        }
    })
}

async fn parquet_footer(app: &App, file: &CatalogFile) -> Result<Preview, Refused> {
    let end = part(app, file, file.size.saturating_sub(parquet::END)..file.size).await?;
    let length = match parquet::footer_length(&end, file.size) {
        Ok(length) => length,
        Err(reason) => return hex(app, file, reason).await,
    };
    let until = file.size - parquet::END;
    let footer = part(app, file, until - length..until).await?;
    match run_blocking(move || parquet::outline(&footer)).await {
        Some(outline) => Ok(Preview::Outline(outline)),
        None => hex(app, file, "The footer of this Parquet file cannot be read.").await,
    }
}

async fn hex(app: &App, file: &CatalogFile, reason: &'static str) -> Result<Preview, Refused> {
    let first = part(app, file, 0..file.size.min(HEX_BYTES)).await?;
    Ok(Preview::Hex(text::hex(&first), reason))
}

/// Returns whether bytes have the header of a NetCDF file or the footer of a Parquet file, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_outline(bytes: &[u8]) -> Option<usize> {
    let outline = netcdf::outline(bytes).or_else(|| parquet::outline(bytes))?;
    Some(outline.grids.iter().flat_map(|grid| &grid.rows).flatten().map(String::len).sum())
}

fn is_text_name(name: &str) -> bool {
    const ENDS: [&str; 12] =
        [".txt", ".md", ".r", ".py", ".m", ".sh", ".yaml", ".yml", ".sql", ".ini", ".toml", ".log"];
    ENDS.iter().any(|end| name.ends_with(end))
}

/// Returns a part of a file.
async fn part(app: &App, file: &CatalogFile, range: Range<u64>) -> Result<Vec<u8>, Refused> {
    let mut stream = app.store.read(file, range).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.recv().await {
        bytes.extend_from_slice(&chunk.map_err(|error| app.store.content_failed(&error))?);
    }
    Ok(bytes)
}
