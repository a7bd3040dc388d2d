//! The built-in list of object formats.

use std::sync::LazyLock;

use super::{FormatType, ObjectFormat, ObjectFormatList};

/// The facts of list 1.28 (`DataONEorg/object-formats`, tag v1.28): one line per format with `formatId`, type, media type,
/// extension and name, separated by tabs, in the order of the list.
const TABLE: &str = include_str!("../../data/object-formats-1.28.tsv");

static LIST: LazyLock<ObjectFormatList> =
    LazyLock::new(|| ObjectFormatList::from_formats(TABLE.lines().filter_map(format_of_line).collect()));

pub(super) fn list() -> &'static ObjectFormatList {
    &LIST
}

fn format_of_line(line: &str) -> Option<ObjectFormat> {
    let mut columns = line.split('\t');
    let mut next = || columns.next();
    let (format_id, format_type, media_type, extension) = (next()?, next()?, next()?, next()?);
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(ObjectFormat {
        format_id: format_id.to_owned(),
        name: next()?.to_owned(),
        format_type: FormatType::from_name(format_type),
        media_type: filled(media_type),
        extension: filled(extension),
    })
}

#[cfg(test)]
mod tests {
    use super::{TABLE, list};
    use crate::object_format::{FormatType, media_type_for};

    #[test]
    fn every_line_is_a_format() {
        assert_eq!(TABLE.lines().count(), 160);
        assert_eq!(list().formats().len(), 160);
        let count = |wanted| list().formats().iter().filter(|format| format.format_type == wanted).count();
        assert_eq!(
            (count(FormatType::Data), count(FormatType::Metadata), count(FormatType::Resource)),
            (97, 61, 2)
        );
        for format in list().formats() {
            assert_eq!(list().get(&format.format_id), Some(format));
        }
    }

    #[test]
    fn media_types() {
        for (format_id, media_type) in [
            ("eml://ecoinformatics.org/eml-2.1.1", Some("text/xml")),
            ("https://eml.ecoinformatics.org/eml-2.2.0", Some("text/xml")),
            ("http://www.openarchives.org/ore/terms", Some("application/rdf+xml")),
            ("text/csv", Some("text/csv")),
            ("netCDF-4", Some("application/netcdf")),
            ("application/bagit-097", None),
            ("application/bagit-1.0", None),
            ("NA", None),
            ("", None),
        ] {
            assert_eq!(media_type_for(format_id), media_type, "{format_id}");
        }
    }
}
