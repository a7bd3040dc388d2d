//! Spellings that people bring from other programs: several tags behind one reference, DOIs, and options that are missing here.

use std::ffi::OsString;
use std::str::FromStr;

use d1_model::Identifier;
use oci_model::{ManifestRef, Reference, Tag};
use registry_backend::RegistryBackend;

/// A reference with any number of tags, as `oras` writes it: `REPOSITORY:v1,latest`.
#[derive(Clone, Debug)]
pub(crate) struct TaggedReference {
    /// The reference with the first tag, if there is one.
    pub(crate) first: Reference,
    /// The further tags.
    pub(crate) more: Vec<Tag>,
}

impl FromStr for TaggedReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let reference = |text: &str| text.parse::<Reference>().map_err(|error| error.to_string());
        let listed = text.rsplit_once(':').filter(|(_, tags)| tags.contains(',') && !tags.contains('/'));
        let Some((before, tags)) = listed else {
            return Ok(Self { first: reference(text)?, more: Vec::new() });
        };
        let mut tags = tags.split(',');
        let first = reference(&format!("{before}:{}", tags.next().unwrap_or_default()))?;
        // In `oci:a,b`, the text behind the colon is a directory.
        if !matches!(first.target, Some(ManifestRef::Tag(_))) {
            return Ok(Self { first: reference(text)?, more: Vec::new() });
        }
        let more = tags.map(|tag| tag.parse::<Tag>().map_err(|error| error.to_string()));
        Ok(Self { first, more: more.collect::<Result<_, _>>()? })
    }
}

/// Returns the identifiers that a person may mean, first the one whose tag the repository has.
pub(crate) async fn meant_in(backend: &dyn RegistryBackend, typed: &Identifier) -> Vec<Identifier> {
    let mut meant = typed.spellings();
    if meant.len() == 1 {
        return meant;
    }
    for at in 0..meant.len() {
        let tag = meant.get(at).and_then(|identifier| identifier.tag().parse::<Tag>().ok());
        let Some(tag) = tag else { continue };
        // A failure will show itself when the identifier is looked up.
        if let Ok(Some(_)) = backend.stat_manifest(&tag.into()).await {
            meant.swap(0, at);
            break;
        }
    }
    meant
}

/// Words of other programs that this one lacks, and the way to do the same here. `{}` stands for the first argument behind the word,
/// `{name}` for its part before a colon, and `{reference}` for the first artifact.
const FOREIGN: &[(&str, &str)] = &[
    ("--oci-layout", "an image layout is a kind of reference: write `oci:{}`"),
    ("--oci-layout-path", "an image layout is a kind of reference: write `oci:{}`"),
    ("--from-oci-layout", "an image layout is a kind of reference: write `oci:{}`"),
    ("--to-oci-layout", "an image layout is a kind of reference: write `oci:{}`"),
    ("--from-oci-layout-path", "an image layout is a kind of reference: write `oci:{}`"),
    ("--to-oci-layout-path", "an image layout is a kind of reference: write `oci:{}`"),
    ("--insecure", "certificates are always checked: `--ca-file` names the file of the registry's authority"),
    (
        "--from-insecure",
        "certificates are always checked: `--from-ca-file` names the file of the registry's authority",
    ),
    (
        "--to-insecure",
        "certificates are always checked: `--to-ca-file` names the file of the registry's authority",
    ),
    (
        "--tls-verify",
        "certificates are always checked: `--ca-file` names the file of their authority, `--plain-http` does without TLS",
    ),
    (
        "--src-tls-verify",
        "certificates are always checked: `--from-ca-file` names the file of their authority, `--from-plain-http` does without TLS",
    ),
    (
        "--dest-tls-verify",
        "certificates are always checked: `--to-ca-file` names the file of their authority, `--to-plain-http` does without TLS",
    ),
    ("--from-registry-config", "`--registry-config {}` counts for both registries"),
    ("--to-registry-config", "`--registry-config {}` counts for both registries"),
    ("--src-creds", "write `--from-username {name} --from-password-stdin`"),
    ("--dest-creds", "write `--to-username {name} --to-password-stdin`"),
    ("--creds", "`-u {name} --password-stdin` gives name and password for one command"),
    ("--authfile", "write `--registry-config {}`"),
    ("--cacert", "write `--ca-file {}`"),
    ("--cert", "write `--cert-file {}`, and `--key-file` for its key"),
    ("--key", "write `--key-file {}`, and `--cert-file` for its certificate"),
    (
        "--config",
        "a package has its index as configuration; `d1oci attach {reference} {}` adds a document beside it",
    ),
    ("--no-tty", "write `--no-progress`"),
    (
        "--keep-old-files",
        "leave it out: a pull replaces no file with other content, unless `--overwrite` says so",
    ),
    ("--allow-path-traversal", "a pull never writes outside its directory"),
    (
        "--disable-path-validation",
        "leave it out: a path outside the current directory becomes the name of the file",
    ),
    ("--include-subject", "pull the subject with its own reference; `d1oci manifest fetch` shows it"),
    ("--image-spec", "leave it out: artifacts have the form of image-spec 1.1"),
    ("--distribution-spec", "leave it out: the program finds out how the registry lists referrers"),
    ("--template", "write `--format json`, and choose fields with `jq`"),
    ("--subject", "`d1oci attach` makes an artifact that refers to another one"),
    (
        "--retry-times",
        "leave it out: requests are repeated for the time that `patience` in the configuration file sets",
    ),
    (
        "blob delete",
        "`d1oci delete` deletes an artifact; `d1oci prune` then removes its blobs from a layout, and registries do it themselves",
    ),
    ("manifest index", "packages need no image index; `d1oci tag` gives an artifact more tags"),
    ("artifact", "write `d1oci push`, `d1oci pull` or `d1oci ls`"),
    ("image", "write `d1oci copy`, `d1oci manifest` or `d1oci export`"),
    ("pack", "write `d1oci push`"),
    ("unpack", "write `d1oci pull`"),
    ("sync", "write `d1oci mirror`"),
    ("search", "write `d1oci find`"),
];

/// Returns advice for a word of another program, with the words of the command line.
pub(crate) fn advice(word: &str, arguments: &[OsString]) -> Option<String> {
    let words: Vec<&str> = arguments.iter().skip(1).filter_map(|argument| argument.to_str()).collect();
    let at = words.iter().position(|typed| *typed == word || typed.split('=').next() == Some(word))?;
    let before = words.get(..at)?.iter().rfind(|typed| !typed.starts_with('-'));
    let below = before.map(|before| format!("{before} {word}"));
    let is_meant = |foreign: &str| foreign == word || below.as_deref() == Some(foreign);
    let (_, text) = FOREIGN.iter().find(|(foreign, _)| is_meant(foreign))?;
    let stated = words.get(at)?.split_once('=').map(|(_, value)| value);
    let value = stated.or_else(|| words.get(at + 1..)?.iter().find(|next| !next.starts_with('-')).copied());
    let value = value.unwrap_or("…");
    let name = value.split(':').next().unwrap_or(value);
    let reference = words.iter().find(|typed| {
        typed.parse::<TaggedReference>().is_ok_and(|reference| reference.first.target.is_some())
    });
    let text = text.replace("{name}", name).replace("{reference}", reference.unwrap_or(&"…"));
    Some(text.replace("{}", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_tags_stand_behind_one_reference() {
        let read = |text: &str| {
            let TaggedReference { first, more } = text.parse().unwrap();
            (first.to_string(), more.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read("ghcr.io/a/b:v1"), ("ghcr.io/a/b:v1".to_owned(), vec![]));
        assert_eq!(
            read("oci:a,b/c:v1,v2,latest"),
            ("oci:a,b/c:v1".to_owned(), vec!["v2".to_owned(), "latest".to_owned()])
        );
        assert_eq!(read("oci:a,b"), ("oci:a,b".to_owned(), vec![]));
        assert!("ghcr.io/a/b:v1,".parse::<TaggedReference>().is_err());
    }

    #[test]
    fn words_of_other_programs_are_answered_with_what_was_typed() {
        let advice = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let foreign = |word: &&str| word.starts_with("--") || *word == "delete";
            let word = arguments.iter().filter_map(|word| word.to_str()).find(foreign);
            let word = word.unwrap().split('=').next().unwrap();
            super::advice(word, &arguments).unwrap()
        };
        assert!(advice("d1oci push --oci-layout-path=store a:v1").contains("`oci:store`"));
        assert!(advice("d1oci blob delete ghcr.io/a/b@x").contains("d1oci prune"));
        assert!(
            advice("d1oci push ghcr.io/a/b:v1 --config c.json x")
                .contains("`d1oci attach ghcr.io/a/b:v1 c.json`")
        );
        let login = advice("d1oci copy --src-creds curator:s3cret ghcr.io/a/b:v1 oci:store");
        assert_eq!(login, "write `--from-username curator --from-password-stdin`");
    }
}
