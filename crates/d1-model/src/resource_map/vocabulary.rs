//! The terms of the RDF vocabularies that resource maps use.

pub(super) const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
pub(super) const ORE: &str = "http://www.openarchives.org/ore/terms/";
pub(super) const CITO: &str = "http://purl.org/spar/cito/";
pub(super) const DC: &str = "http://purl.org/dc/elements/1.1/";
pub(super) const DCTERMS: &str = "http://purl.org/dc/terms/";
pub(super) const FOAF: &str = "http://xmlns.com/foaf/0.1/";
pub(super) const PROV: &str = "http://www.w3.org/ns/prov#";

pub(super) const TYPE_RESOURCE_MAP: &str = "http://www.openarchives.org/ore/terms/ResourceMap";
pub(super) const TYPE_AGGREGATION: &str = "http://www.openarchives.org/ore/terms/Aggregation";
pub(super) const TYPE_AGENT: &str = "http://purl.org/dc/terms/Agent";
pub(super) const DATATYPE_DATE_TIME: &str = "http://www.w3.org/2001/XMLSchema#dateTime";
pub(super) const DATATYPE_STRING: &str = "http://www.w3.org/2001/XMLSchema#string";

/// A property of a package that this crate uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    Type,
    Identifier,
    Describes,
    IsDescribedBy,
    Aggregates,
    IsAggregatedBy,
    Documents,
    IsDocumentedBy,
    AtLocation,
    Title,
    Creator,
    Name,
    Modified,
}

impl Property {
    /// Finds a property by its IRI. Other properties do not concern membership.
    pub(super) fn from_iri(iri: &str) -> Option<Self> {
        let terms: [(&str, &[(&str, Self)]); 7] = [
            (
                ORE,
                &[
                    ("aggregates", Self::Aggregates),
                    ("isAggregatedBy", Self::IsAggregatedBy),
                    ("describes", Self::Describes),
                    ("isDescribedBy", Self::IsDescribedBy),
                ],
            ),
            (CITO, &[("documents", Self::Documents), ("isDocumentedBy", Self::IsDocumentedBy)]),
            (
                DCTERMS,
                &[
                    ("identifier", Self::Identifier),
                    ("title", Self::Title),
                    ("creator", Self::Creator),
                    ("modified", Self::Modified),
                ],
            ),
            (RDF, &[("type", Self::Type)]),
            (DC, &[("title", Self::Title), ("creator", Self::Creator)]),
            (FOAF, &[("name", Self::Name)]),
            (PROV, &[("atLocation", Self::AtLocation)]),
        ];
        terms.into_iter().find_map(|(namespace, terms)| {
            let local = iri.strip_prefix(namespace)?;
            terms.iter().find(|(name, _)| *name == local).map(|(_, property)| *property)
        })
    }

    /// Returns the name with its usual prefix, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Type => "rdf:type",
            Self::Identifier => "dcterms:identifier",
            Self::Describes => "ore:describes",
            Self::IsDescribedBy => "ore:isDescribedBy",
            Self::Aggregates => "ore:aggregates",
            Self::IsAggregatedBy => "ore:isAggregatedBy",
            Self::Documents => "cito:documents",
            Self::IsDocumentedBy => "cito:isDocumentedBy",
            Self::AtLocation => "prov:atLocation",
            Self::Title => "dc:title",
            Self::Creator => "dcterms:creator",
            Self::Name => "foaf:name",
            Self::Modified => "dcterms:modified",
        }
    }
}
