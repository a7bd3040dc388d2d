//! The answers of the node, call by call.

pub(crate) mod list;
pub(crate) mod object;
pub(crate) mod search;

use d1_model::{ChecksumAlgorithm, FormatType, ObjectFormatList};
use scripted_http::axum::http::header::LOCATION;
use scripted_http::axum::response::Response;
use scripted_http::with_header;

use crate::answer::{Answered, Refused, xml};
use crate::behaviour::MEMBER_NODE;
use crate::call::Role;
use crate::catalog::format_type;
use crate::digest::checksum_of;
use crate::exchange::Exchange;
use crate::object::wrong;
use crate::xml::{self as documents, Place};

/// A Member Node describes itself, a Coordinating Node lists all nodes.
pub(crate) fn node(exchange: &Exchange<'_>) -> Response {
    let (app, version) = (exchange.app, exchange.target.version);
    let describe = |role, root| documents::node(role, &app.base_url(role), app.behaviour.versions, root);
    match exchange.target.role {
        Role::Member => xml(200, describe(Role::Member, Some(version))),
        Role::Coordinating => {
            let nodes = [Role::Coordinating, Role::Member].map(|role| describe(role, None));
            xml(200, documents::node_list(version, &nodes))
        }
    }
}

/// System metadata as they were given or made. A node that has version 1 alone knows nothing of series.
pub(crate) fn meta(exchange: &Exchange<'_>) -> Answered {
    let object = exchange.object("1060", "1040")?;
    if exchange.target.version == 1 && object.document.is_none() {
        let has_wrong_checksum = exchange.lies.has_wrong_checksum;
        let downgraded = crate::object::StoredObject::clone(&object).edited(|meta| {
            meta.schema_version = d1_model::SchemaVersion::V1;
            (meta.series_id, meta.media_type, meta.file_name) = (None, None, None);
        });
        return Ok(xml(200, downgraded.document(has_wrong_checksum)?));
    }
    Ok(xml(200, object.document(exchange.lies.has_wrong_checksum)?))
}

/// Computed from the content each time, as nodes do.
pub(crate) fn checksum(exchange: &Exchange<'_>) -> Answered {
    let object = exchange.object("1420", "1400")?;
    let identifier = exchange.identifier()?;
    if object.identifier() != identifier {
        let description = "a series has no checksum";
        return Err(Refused::new("NotFound", 404, "1420", description).of(identifier));
    }
    let algorithm =
        exchange.parameter("checksumAlgorithm").map_or(ChecksumAlgorithm::Sha1, ChecksumAlgorithm::from_name);
    let unknown = || Refused::new("InvalidRequest", 400, "1402", format!("no checksums by {algorithm}"));
    let checksum = checksum_of(object.content(), &algorithm)?.ok_or_else(unknown)?;
    let checksum = if exchange.lies.has_wrong_checksum { wrong(&checksum) } else { checksum };
    let mut document = Vec::new();
    checksum.write_xml(&mut document)?;
    Ok(xml(200, document))
}

/// A redirect to the first place, and all places in the body.
pub(crate) fn resolve(exchange: &Exchange<'_>) -> Answered {
    let object = exchange.object("4140", "4120")?;
    let behaviour = &exchange.app.behaviour;
    let own = exchange.app.base_url(Role::Member);
    let first = behaviour.locations_first.iter().map(|entry| (entry.node.as_str(), entry.base_url.as_str()));
    let own = behaviour.lists_itself.then_some((MEMBER_NODE, own.as_str()));
    let places: Vec<_> = first
        .chain(own)
        .map(|(node, base_url)| {
            let version = exchange.target.version;
            let url = format!("{base_url}/v{version}/object/{}", object.identifier().to_path_segment());
            Place { node, base_url, url }
        })
        .collect();
    let document =
        documents::location_list(object.identifier().as_str(), &places, exchange.app.behaviour.versions);
    let location = places.first().map(|place| place.url.clone()).unwrap_or_default();
    Ok(with_header(xml(303, document), LOCATION, &location))
}

/// The list of formats that is built into the model.
pub(crate) fn formats(exchange: &Exchange<'_>) -> Answered {
    if exchange.target.role == Role::Member {
        return Err(Refused::new("NotImplemented", 501, "4840", "a Member Node has no formats"));
    }
    let formats = ObjectFormatList::builtin().formats();
    Ok(xml(200, documents::format_list(exchange.target.version, formats)))
}

/// Tells whether a Coordinating Node would have the bytes of an object: it keeps metadata and maps only.
pub(crate) fn is_kept_by(role: Role, object: &crate::object::StoredObject) -> bool {
    role == Role::Member || *format_type(object) != FormatType::Data
}
