//! The files that all pages load: the style sheet, the script, the coastline, the icon. Their URLs change with their content.

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::response::Response;
use oci_model::Digest;

use crate::answer::{self, Refused, set};
use crate::file_answer::IMMUTABLE;

/// A file that pages load.
struct Asset {
    stem: &'static str,
    extension: &'static str,
    media_type: &'static str,
    content: &'static str,
}

const STYLE: Asset = Asset {
    stem: "style",
    extension: "css",
    media_type: "text/css; charset=utf-8",
    content: include_str!("../../templates/style.css"),
};
const SCRIPT: Asset = Asset {
    stem: "script",
    extension: "js",
    media_type: "text/javascript; charset=utf-8",
    content: include_str!("../../templates/script.js"),
};
/// The land of the world in 0.2 degrees: x is the longitude and y the latitude from the north. It was made of
/// `land-110m.json` of the package `world-atlas` 2.0.2, which holds data of Natural Earth in the public domain.
const LAND: Asset = Asset {
    stem: "land",
    extension: "svg",
    media_type: "image/svg+xml",
    content: include_str!("../../templates/land.svg"),
};
const ICON: Asset = Asset {
    stem: "icon",
    extension: "svg",
    media_type: "image/svg+xml",
    content: include_str!("../../templates/icon.svg"),
};

/// The paths of the assets below the base URL.
pub(super) struct Paths {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) land: String,
    pub(super) icon: String,
}

/// The paths of the assets of this program.
pub(super) static PATHS: LazyLock<Paths> = LazyLock::new(|| Paths {
    style: STYLE.path(),
    script: SCRIPT.path(),
    land: LAND.path(),
    icon: ICON.path(),
});

impl Asset {
    fn path(&self) -> String {
        format!("/assets/{}", self.name())
    }

    fn name(&self) -> String {
        let digest: String = Digest::sha256_of(self.content.as_bytes()).encoded().chars().take(12).collect();
        format!("{}-{digest}.{}", self.stem, self.extension)
    }
}

/// Answers with an asset.
pub(crate) fn asset(name: &str) -> Result<Response, Refused> {
    let found = [STYLE, SCRIPT, LAND, ICON].into_iter().find(|asset| asset.name() == name);
    let asset = found.ok_or_else(|| Refused::not_found("the gateway has no such file"))?;
    let mut response = answer::full(StatusCode::OK, asset.media_type, asset.content);
    set(response.headers_mut(), CACHE_CONTROL, IMMUTABLE);
    set(response.headers_mut(), ETAG, &format!("\"{name}\""));
    Ok(response)
}
