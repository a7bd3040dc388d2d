//! How the objects of a package came from each other, as a resource map states it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;

use oxrdf::{NamedOrBlankNode, Term, Triple};

use super::collect::{DOCUMENT, Facts};
use super::identity::Identities;
use super::read::read_statements;
use super::uri::{identifier_in, is_resolve_uri};
use super::vocabulary::PROV;
use crate::error::{Error, ErrorKind, Result};
use crate::identifier::Identifier;

/// The most statements about provenance in a map.
const MAX_STATEMENTS: usize = 1_000_000;

/// The most programs of one run.
const MOST_PROGRAMS: usize = 16;

/// How the objects of a package came from each other, in the terms of PROV and ProvONE (<https://www.w3.org/TR/prov-o/>,
/// <https://purl.dataone.org/provone-v1-dev>). The order is that of the identifiers, so equal statements give equal values.
///
/// ```
/// use d1_model::Provenance;
///
/// let map = br#"<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:prov="http://www.w3.org/ns/prov#">
///   <rdf:Description rdf:about="https://cn.dataone.org/cn/v2/resolve/figure.1">
///     <prov:wasDerivedFrom rdf:resource="https://cn.dataone.org/cn/v2/resolve/table.1"/>
///   </rdf:Description>
/// </rdf:RDF>"#;
/// let provenance = Provenance::read(&map[..])?;
/// let (product, source) = &provenance.derivations[0];
/// assert_eq!((product.as_str(), source.as_str()), ("figure.1", "table.1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenance {
    /// The runs of programs that the map reports.
    pub runs: Vec<ProgramRun>,
    /// Pairs of a product and its source (`prov:wasDerivedFrom`).
    pub derivations: Vec<(Identifier, Identifier)>,
}

/// One run of a program (`provone:Execution`).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ProgramRun {
    /// The program (`prov:hadPlan` of a `prov:qualifiedAssociation`); at most sixteen if a run has several.
    pub programs: Vec<Identifier>,
    /// The objects that the program read (`prov:used`).
    pub used: Vec<Identifier>,
    /// The objects that the program wrote (`prov:wasGeneratedBy`).
    pub generated: Vec<Identifier>,
}

impl Provenance {
    /// Reads the statements about provenance from a resource map in RDF/XML. A map without any gives an empty value.
    ///
    /// # Errors
    ///
    /// Fails when the document is larger than [`MAX_RESOURCE_MAP_BYTES`](super::MAX_RESOURCE_MAP_BYTES), is not RDF/XML in UTF-8,
    /// defines entities, or makes too many statements, or when reading fails.
    pub fn read(reader: impl Read) -> Result<Self> {
        let mut statements = Statements::default();
        let (facts, _) = read_statements(reader, |facts, triple| match statements.take(&triple)? {
            true => Ok(()),
            false => facts.add(triple),
        })?;
        Ok(statements.resolve(&facts))
    }

    /// Returns whether the map states nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.derivations.is_empty()
    }
}

/// A term of PROV that relates two resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Derived,
    Used,
    GeneratedBy,
    Generated,
    Association,
    Plan,
}

/// Resources by their URIs; blank nodes begin with `_:`.
#[derive(Debug, Default)]
struct Statements {
    derived: Vec<(String, String)>,
    used: Vec<(String, String)>,
    generated: Vec<(String, String)>,
    associations: HashMap<String, BTreeSet<String>>,
    plans: HashMap<String, BTreeSet<String>>,
    count: usize,
}

impl Statements {
    /// Takes a statement, and returns whether it is about provenance.
    fn take(&mut self, triple: &Triple) -> Result<bool> {
        let Some(term) = triple.predicate.as_str().strip_prefix(PROV).and_then(term) else {
            return Ok(false);
        };
        let subject = match &triple.subject {
            NamedOrBlankNode::NamedNode(node) => node.as_str().trim().to_owned(),
            NamedOrBlankNode::BlankNode(node) => format!("_:{}", node.as_str()),
        };
        let object = match &triple.object {
            Term::NamedNode(node) => node.as_str().trim().to_owned(),
            Term::BlankNode(node) => format!("_:{}", node.as_str()),
            Term::Literal(literal) => literal.value().trim().to_owned(),
        };
        self.count += 1;
        if self.count > MAX_STATEMENTS {
            return Err(Error::new(ErrorKind::TooLarge, DOCUMENT, "the map makes too many statements"));
        }
        match term {
            Relation::Derived => self.derived.push((subject, object)),
            Relation::Used => self.used.push((subject, object)),
            Relation::GeneratedBy => self.generated.push((object, subject)),
            Relation::Generated => self.generated.push((subject, object)),
            Relation::Association => _ = self.associations.entry(subject).or_default().insert(object),
            Relation::Plan => _ = self.plans.entry(subject).or_default().insert(object),
        }
        Ok(true)
    }

    /// Replaces resources by the identifiers of objects. Statements about other resources are left out.
    fn resolve(self, facts: &Facts) -> Provenance {
        let identities = Identities::new(facts);
        let object = |uri: &str| {
            let known = facts.find(uri).and_then(|number| identities.of(facts, number));
            let named = || is_resolve_uri(uri).then(|| identifier_in(uri)).flatten();
            known.map(|identity| identity.identifier).or_else(named)
        };
        let derived =
            self.derived.iter().filter_map(|(product, source)| Some((object(product)?, object(source)?)));
        let derivations: BTreeSet<(Identifier, Identifier)> =
            derived.filter(|(product, source)| product != source).collect();
        let mut runs: BTreeMap<&str, [BTreeSet<Identifier>; 3]> = BTreeMap::new();
        for (run, used) in &self.used {
            runs.entry(run).or_default()[1].extend(object(used));
        }
        for (run, generated) in &self.generated {
            runs.entry(run).or_default()[2].extend(object(generated));
        }
        for (run, associations) in &self.associations {
            let plans = associations.iter().filter_map(|association| self.plans.get(association)).flatten();
            if let Some(run) = runs.get_mut(run.as_str()) {
                // Many runs may share an association with many programs.
                run[0].extend(plans.take(MOST_PROGRAMS).filter_map(|plan| object(plan)));
            }
        }
        let mut runs: Vec<ProgramRun> = runs
            .into_values()
            .map(|sets| sets.map(|set| set.into_iter().collect()))
            .map(|[programs, used, generated]| ProgramRun { programs, used, generated })
            .filter(|run| !run.used.is_empty() || !run.generated.is_empty())
            .collect();
        runs.sort_unstable();
        Provenance { runs, derivations: derivations.into_iter().collect() }
    }
}

fn term(name: &str) -> Option<Relation> {
    Some(match name {
        "wasDerivedFrom" => Relation::Derived,
        "used" => Relation::Used,
        "wasGeneratedBy" => Relation::GeneratedBy,
        "generated" => Relation::Generated,
        "qualifiedAssociation" => Relation::Association,
        "hadPlan" => Relation::Plan,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::Provenance;

    const HEAD: &str = r#"<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:dcterms="http://purl.org/dc/terms/" xmlns:prov="http://www.w3.org/ns/prov#">"#;

    fn read(statements: &str) -> Provenance {
        Provenance::read(format!("{HEAD}{statements}</rdf:RDF>").as_bytes()).unwrap()
    }

    fn about(subject: &str, statements: &str) -> String {
        format!("<rdf:Description rdf:about=\"{subject}\">{statements}</rdf:Description>")
    }

    #[test]
    fn a_run_has_its_program_its_sources_and_its_products() {
        let at = |name: &str| format!("https://cn.dataone.org/cn/v2/resolve/{name}");
        let statements = [
            about(&at("figure"), "<prov:wasGeneratedBy rdf:resource=\"urn:uuid:run\"/>"),
            about("urn:uuid:run", &format!("<prov:used rdf:resource=\"{}\"/>", at("b%2Ftable"))),
            about("urn:uuid:run", &format!("<prov:used rdf:resource=\"{}\"/>", at("a"))),
            about("urn:uuid:run", "<prov:qualifiedAssociation rdf:nodeID=\"x\"/>"),
            "<rdf:Description rdf:nodeID=\"x\"><prov:hadPlan rdf:resource=\"http://example.org/s\"/></rdf:Description>"
                .to_owned(),
            about("http://example.org/s", "<dcterms:identifier>script.R</dcterms:identifier>"),
        ];
        let found = read(&statements.concat());
        let names =
            |list: &[crate::Identifier]| list.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
        let [run] = &found.runs[..] else { panic!("{found:?}") };
        assert_eq!(names(&run.programs), ["script.R"]);
        assert_eq!(names(&run.used), ["a", "b/table"]);
        assert_eq!(names(&run.generated), ["figure"]);
        assert_eq!(found.derivations, []);
    }

    #[test]
    fn statements_about_other_things_are_left_out() {
        let derived = |source: &str| {
            about(
                "https://cn.dataone.org/cn/v2/resolve/a",
                &format!("<prov:wasDerivedFrom rdf:resource=\"{source}\"/>"),
            )
        };
        assert!(read(&derived("mailto:somebody@example.org")).is_empty());
        assert!(read(&derived("https://cn.dataone.org/cn/v2/resolve/a")).is_empty());
        assert!(read("").is_empty());
        let twice = derived("https://cn.dataone.org/cn/v1/resolve/b").repeat(2);
        assert_eq!(read(&twice).derivations.len(), 1);
    }
}
