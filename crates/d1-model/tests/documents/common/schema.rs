//! Checks documents against the XML schemas of DataONE with `xmllint`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{samples, skipped};

/// A folder with the schemas, fit to be used without a network.
pub(crate) struct Schemas {
    folder: tempfile::TempDir,
}

impl Schemas {
    /// Prepares the schemas, or returns the reason why it cannot.
    pub(crate) fn prepare() -> Option<Self> {
        let source = samples()?.join("schemas");
        if Command::new("xmllint").arg("--version").output().is_err() {
            skipped("xmllint (Debian package libxml2-utils) is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["dataoneTypes.xsd", "dataoneTypes_v1.1.xsd", "dataoneTypes_v2.0.xsd", "dataoneErrors.xsd"]
        {
            let schema = fs::read_to_string(source.join(name)).unwrap();
            // The schemas import each other by addresses in the network.
            let local = schema
                .replace(
                    "schemaLocation=\"http://ns.dataone.org/service/types/v1.1\"",
                    "schemaLocation=\"dataoneTypes_v1.1.xsd\"",
                )
                .replace(
                    "schemaLocation=\"http://ns.dataone.org/service/types/v1\"",
                    "schemaLocation=\"dataoneTypes.xsd\"",
                );
            fs::write(folder.path().join(name), local).unwrap();
        }
        Some(Self { folder })
    }

    /// Checks documents against one of the schemas. For a document that fails, returns the message and the text.
    pub(crate) fn check<'a>(
        &self,
        schema: &str,
        documents: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), String> {
        let paths: Vec<PathBuf> = documents
            .into_iter()
            .enumerate()
            .map(|(number, document)| {
                let path = self.folder.path().join(format!("document-{number}.xml"));
                fs::write(&path, document).unwrap();
                path
            })
            .collect();
        assert!(!paths.is_empty());
        let mut command = Command::new("xmllint");
        command.args(["--noout", "--nonet", "--schema"]).arg(self.folder.path().join(schema)).args(&paths);
        let output = command.output().unwrap();
        if output.status.success() {
            return Ok(());
        }
        let messages = String::from_utf8_lossy(&output.stderr);
        let failed = messages.lines().find(|line| !line.ends_with(" validates")).unwrap_or(&messages);
        let path = failed.split(':').next().unwrap_or_default();
        Err(format!("{failed}\n{}", fs::read_to_string(Path::new(path)).unwrap_or_default()))
    }
}
