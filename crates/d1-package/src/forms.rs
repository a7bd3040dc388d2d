//! The forms of a directory: detection, validation, and facts.
//!
//! Only this file knows all forms. A new form needs a variant of [`Form`], its document in [`Survey`], and its
//! facts in [`Survey::facts`].

use bagit::{Algorithm, AlgorithmSet, CheckOptions, Inventory, Report, TagFiles};

use crate::dataone::{Documents, KnownRecords, OpenFile, read_documents};
use crate::error::{Error, ErrorKind, Result};
use crate::facts::{Form, FormFacts};
use crate::files::{ObjectFacts, PackageFiles};
use crate::oddity::{OddityList, PackageOddity, PackageOddityCode};
use crate::ro_crate::{METADATA_FILE, RoCrate};

/// The payload directory of a bag.
const PAYLOAD: &str = "data/";

/// The form of a directory and the documents that describe it, read before its files are hashed.
///
/// ```
/// use bagit::{CheckOptions, Inventory, TagFiles};
/// use d1_package::{Form, Survey};
///
/// let document = br#"{ "@context": "https://w3id.org/ro/crate/1.2/context", "@graph": [
///     { "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": { "@id": "./" },
///       "conformsTo": { "@id": "https://w3id.org/ro/crate/1.2" } },
///     { "@id": "./", "@type": "Dataset", "name": "Moorings" } ] }"#;
/// let listed = [("ro-crate-metadata.json", document.len() as u64)];
/// let survey = Survey::read(listed, &mut |_| Ok(Box::new(&document[..])))?;
/// assert_eq!(survey.form(), Form::RoCrate);
///
/// // The crate's root lacks three properties, and its problems are listed.
/// let validation = survey.validate(&Inventory::new(), &TagFiles::default(), &CheckOptions::default());
/// assert!(validation.report.is_none() && validation.oddities.len() == 3);
/// # Ok::<(), d1_package::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    form: Form,
    documents: Documents,
    /// The crate, and the directory of its root: empty, or `data/`.
    ro_crate: Option<(RoCrate, &'static str)>,
    /// Faults of documents that could not be read.
    oddities: Vec<PackageOddity>,
}

/// The result of checking a directory by the rules of its form.
#[derive(Debug)]
pub struct Validation {
    /// The report on a bag.
    pub report: Option<Report>,
    /// The problems of an RO-Crate, ordered by path.
    pub oddities: Vec<PackageOddity>,
}

impl Survey {
    /// Detects the form of a directory from its files, given as path and size, and reads the documents that
    /// describe it.
    ///
    /// A document that cannot be read is an oddity, not an error.
    ///
    /// # Errors
    ///
    /// If a file cannot be opened or read.
    pub fn read<'p>(
        files: impl IntoIterator<Item = (&'p str, u64)>,
        open: &mut OpenFile<'_>,
    ) -> Result<Self> {
        Self::read_unknown(files, &KnownRecords::new(), open)
    }

    /// As [`Survey::read`], for a caller that has read some system metadata already.
    ///
    /// # Errors
    ///
    /// If a file cannot be opened or read.
    pub fn read_unknown<'p>(
        files: impl IntoIterator<Item = (&'p str, u64)>,
        known: &KnownRecords<'_>,
        open: &mut OpenFile<'_>,
    ) -> Result<Self> {
        let files: Vec<(&str, u64)> = files.into_iter().collect();
        let paths = || files.iter().map(|(path, _)| *path);
        let form = Form::of(paths());
        let documents = read_documents(files.iter().copied(), form == Form::Bag, known, open)?;
        let mut survey = Self { form, documents, ro_crate: None, oddities: Vec::new() };
        let root = if form == Form::Bag { PAYLOAD } else { "" };
        let path = format!("{root}{METADATA_FILE}");
        // A resource map describes a DataONE package, and a crate in it is one of its members.
        if survey.documents.resource_maps.is_empty() && paths().any(|listed| listed == path) {
            survey.read_crate(&path, root, open)?;
        }
        Ok(survey)
    }

    /// Returns the form.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns the algorithms besides SHA-256 that the comparison with the documents needs.
    #[must_use]
    pub fn algorithms(&self) -> AlgorithmSet {
        let records = self.documents.system_metadata.iter();
        let declared = records.map(|record| self.documents.algorithms_for(record.size));
        let stated = self.ro_crate.iter().map(|(ro_crate, _)| ro_crate.algorithms());
        let wanted = declared.chain(stated).fold(AlgorithmSet::EMPTY, AlgorithmSet::union);
        wanted.iter().filter(|algorithm| *algorithm != Algorithm::Sha256).collect()
    }

    /// Checks the files by the rules of the form. `options` apply to a bag.
    #[must_use]
    pub fn validate(
        &self,
        files: &Inventory,
        tag_files: &TagFiles,
        options: &CheckOptions<'_>,
    ) -> Validation {
        let mut oddities = OddityList::of(&self.oddities);
        if let Some((ro_crate, root)) = &self.ro_crate {
            ro_crate.check(root, files, &mut oddities);
        }
        let report = (self.form == Form::Bag).then(|| bagit::check(files, tag_files, options));
        Validation { report, oddities: oddities.into_vec() }
    }

    /// Returns the survey of a bag that gets the directory as its payload.
    #[must_use]
    pub fn into_payload(mut self) -> Self {
        self.form = Form::Bag;
        self.documents.move_into(PAYLOAD);
        self.ro_crate = self.ro_crate.map(|(ro_crate, _)| (ro_crate, PAYLOAD));
        self
    }

    /// Returns the facts about the package and its files. Facts from DataONE documents override those of an
    /// RO-Crate.
    #[must_use]
    pub fn facts(&self, files: &PackageFiles) -> FormFacts {
        let mut facts = self.documents.recognise(files);
        facts.package.form = self.form;
        if let Some((ro_crate, root)) = &self.ro_crate {
            facts.add_crate(ro_crate, root, files);
        }
        facts
    }

    fn read_crate(&mut self, path: &str, root: &'static str, open: &mut OpenFile<'_>) -> Result<()> {
        let failed = |source: std::io::Error| {
            Error::new(ErrorKind::Read, path, format!("cannot read `{path}`")).because(source)
        };
        match RoCrate::read(open(path).map_err(failed)?) {
            Ok(ro_crate) => self.ro_crate = Some((ro_crate, root)),
            Err(detail) => self.oddities.push(PackageOddity {
                code: PackageOddityCode::CrateUnreadable,
                path: path.into(),
                message: format!("it cannot be read as an RO-Crate: {detail}"),
            }),
        }
        Ok(())
    }
}

impl FormFacts {
    fn add_crate(&mut self, ro_crate: &RoCrate, root: &str, files: &PackageFiles) {
        let package = &mut self.package;
        package.identifier = package.identifier.take().or_else(|| ro_crate.identifier().cloned());
        package.title = package.title.take().or_else(|| ro_crate.title().map(str::to_owned));
        package.spdx_license = ro_crate.spdx_license();
        package.license = ro_crate.license();
        package.authors = ro_crate.authors();
        self.published = ro_crate.published();
        let mut added = Vec::new();
        for (path, media_type) in ro_crate.media_types() {
            let Some(position) = files.position(&format!("{root}{path}")) else { continue };
            match self.objects.binary_search_by_key(&position, |(of, _)| *of) {
                // The format of a DataONE object is more exact than a crate's.
                Ok(at) => {
                    if let Some((_, object)) =
                        self.objects.get_mut(at).filter(|(_, known)| known.format_id.is_none())
                    {
                        object.media_type = Some(media_type.clone());
                    }
                }
                Err(_) => {
                    let object =
                        ObjectFacts { media_type: Some(media_type.clone()), ..ObjectFacts::default() };
                    added.push((position, object));
                }
            }
        }
        self.objects.extend(added);
        self.objects.sort_by_key(|(position, _)| *position);
    }
}
