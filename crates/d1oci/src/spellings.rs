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

/// The addresses that resolve a DOI, and the scheme of DataONE's identifiers.
const DOI_PREFIXES: [&str; 6] =
    ["https://doi.org/", "http://doi.org/", "https://dx.doi.org/", "http://dx.doi.org/", "doi.org/", "doi:"];

/// Returns the identifiers that a person may mean, the typed one first. DataONE compares identifiers exactly, but people copy a DOI
/// as an address, without its scheme, or in another case, which the DOI Handbook calls equal (section 2.4).
pub(crate) fn meant(typed: &Identifier) -> Vec<Identifier> {
    let text = typed.as_str();
    let prefix = DOI_PREFIXES
        .iter()
        .find(|prefix| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)));
    let doi = prefix.and_then(|prefix| text.get(prefix.len()..)).unwrap_or(text);
    let mut meant = vec![typed.clone()];
    if !is_doi(doi) {
        return meant;
    }
    let (upper, lower) = (doi.to_ascii_uppercase(), doi.to_ascii_lowercase());
    let spellings = [doi, &upper, &lower].map(|doi| format!("doi:{doi}"));
    for spelling in spellings.into_iter().chain([format!("https://doi.org/{doi}"), doi.to_owned()]) {
        if let Ok(identifier) = spelling.parse::<Identifier>()
            && !meant.contains(&identifier)
        {
            meant.push(identifier);
        }
    }
    meant
}

/// Tells whether a text is the name of a DOI, such as `10.18739/A2D795C92`.
fn is_doi(text: &str) -> bool {
    let Some((prefix, suffix)) = text.strip_prefix("10.").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    prefix.split('.').all(is_number) && !suffix.is_empty()
}

/// Returns the identifiers that a person may mean, first the one whose tag the repository has.
pub(crate) async fn meant_in(backend: &dyn RegistryBackend, typed: &Identifier) -> Vec<Identifier> {
    let mut meant = meant(typed);
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

/// Words of other programs that this one lacks, and the way to do the same here. `{}` stands for the first argument behind the word.
const FOREIGN: &[(&str, &str)] = &[
    ("--oci-layout", "an image layout is a kind of reference: write `oci:{}`"),
    ("--oci-layout-path", "an image layout is a kind of reference: write `oci:{}`"),
    ("--from-oci-layout", "an image layout is a kind of reference: write `oci:{}`"),
    ("--to-oci-layout", "an image layout is a kind of reference: write `oci:{}`"),
    ("--insecure", "certificates are always checked: `--ca-file FILE` names the authority of the registry"),
    (
        "--from-insecure",
        "certificates are always checked: `--ca-file FILE` names the authority of the registry",
    ),
    (
        "--to-insecure",
        "certificates are always checked: `--ca-file FILE` names the authority of the registry",
    ),
    (
        "--tls-verify",
        "certificates are always checked: `--ca-file FILE` names their authority, `--plain-http` does without TLS",
    ),
    (
        "--src-tls-verify",
        "set `ca-file` or `plain-http` for the host in the configuration file (docs/configuration.md)",
    ),
    (
        "--dest-tls-verify",
        "set `ca-file` or `plain-http` for the host in the configuration file (docs/configuration.md)",
    ),
    (
        "--from-plain-http",
        "set `plain-http = true` for the host in the configuration file (docs/configuration.md)",
    ),
    (
        "--to-plain-http",
        "set `plain-http = true` for the host in the configuration file (docs/configuration.md)",
    ),
    (
        "--from-ca-file",
        "`--ca-file` counts for both registries; the configuration file has a `ca-file` for each host",
    ),
    (
        "--to-ca-file",
        "`--ca-file` counts for both registries; the configuration file has a `ca-file` for each host",
    ),
    ("--from-username", "log in to each registry first: `d1oci login HOST -u {}`"),
    ("--to-username", "log in to each registry first: `d1oci login HOST -u {}`"),
    ("--from-password", "log in to each registry first: `d1oci login HOST -u NAME --password-stdin`"),
    ("--to-password", "log in to each registry first: `d1oci login HOST -u NAME --password-stdin`"),
    ("--from-registry-config", "`--registry-config {}` counts for both registries"),
    ("--to-registry-config", "`--registry-config {}` counts for both registries"),
    ("--src-creds", "log in to each registry first: `d1oci login HOST -u NAME --password-stdin`"),
    ("--dest-creds", "log in to each registry first: `d1oci login HOST -u NAME --password-stdin`"),
    ("--creds", "`-u NAME --password-stdin` gives name and password for one command"),
    ("--authfile", "write `--registry-config {}`"),
    ("--cacert", "write `--ca-file {}`"),
    ("--cert", "write `--cert-file {}`, and `--key-file` for its key"),
    ("--key", "write `--key-file {}`, and `--cert-file` for its certificate"),
    (
        "--config",
        "a package has its index as configuration; `d1oci attach REFERENCE {}` adds a document beside it",
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
    match word {
        "backup" => return Some(backup(words.get(at + 1..)?)),
        "restore" => return Some(restore(words.get(at + 1..)?)),
        _ => {}
    }
    let before = words.get(..at)?.iter().rfind(|typed| !typed.starts_with('-'));
    let below = before.map(|before| format!("{before} {word}"));
    let is_meant = |foreign: &str| foreign == word || below.as_deref() == Some(foreign);
    let (_, text) = FOREIGN.iter().find(|(foreign, _)| is_meant(foreign))?;
    let stated = words.get(at)?.split_once('=').map(|(_, value)| value);
    let value = stated.or_else(|| words.get(at + 1..)?.iter().find(|next| !next.starts_with('-')).copied());
    Some(text.replace("{}", value.unwrap_or("…")))
}

/// Returns the value of an option, and the arguments that belong to no option.
fn option_and_rest<'a>(words: &[&'a str], names: [&str; 2]) -> (Option<&'a str>, Vec<&'a str>) {
    let (mut value, mut rest) = (None, Vec::new());
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some((name, stated)) if names.contains(&name) => value = Some(stated),
            _ if names.contains(&word) => value = words.next(),
            _ if word.starts_with('-') => {}
            _ => rest.push(word),
        }
    }
    (value, rest)
}

/// Advice for `oras backup --output DIRECTORY REFERENCE`.
fn backup(words: &[&str]) -> String {
    let (output, rest) = option_and_rest(words, ["--output", "-o"]);
    let directory = layout(output.unwrap_or("backup"));
    let source = rest.first().copied().unwrap_or("REPOSITORY");
    match source.parse::<TaggedReference>() {
        Ok(TaggedReference { first, more }) if first.target.is_some() => {
            let again = if more.is_empty() { "" } else { ", and the same for each further tag" };
            format!("write `d1oci copy --referrers {first} oci:{directory}`{again}")
        }
        _ => format!("write `d1oci mirror {source} oci:{directory}`"),
    }
}

/// Advice for `oras restore --input DIRECTORY REFERENCE`.
fn restore(words: &[&str]) -> String {
    let (input, rest) = option_and_rest(words, ["--input", "-i"]);
    let directory = layout(input.unwrap_or("backup"));
    let target = rest.first().copied().unwrap_or("REPOSITORY");
    match target.parse::<Reference>() {
        Ok(Reference { target: Some(ManifestRef::Tag(tag)), .. }) => {
            format!("write `d1oci copy --referrers oci:{directory}:{tag} {target}`")
        }
        _ => format!("write `d1oci mirror oci:{directory} {target}`"),
    }
}

/// Returns the directory of a layout for a path that may be a tar archive.
fn layout(path: &str) -> &str {
    path.strip_suffix(".tar").unwrap_or(path)
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
    fn a_doi_is_understood_in_its_spellings() {
        let meant = |text: &str| meant(&text.parse().unwrap());
        let stored: Identifier = "doi:10.18739/A2D795C92".parse().unwrap();
        for typed in [
            "doi:10.18739/A2D795C92",
            "DOI:10.18739/a2d795c92",
            "https://doi.org/10.18739/A2D795C92",
            "http://dx.doi.org/10.18739/a2d795c92",
            "10.18739/A2D795C92",
        ] {
            assert!(meant(typed).contains(&stored), "{typed}");
            assert_eq!(meant(typed)[0].as_str(), typed);
        }
        for other in ["urn:uuid:1", "10.18739", "10.x/y", "https://example.org/10.1/x"] {
            assert_eq!(meant(other).len(), 1, "{other}");
        }
    }

    #[test]
    fn words_of_other_programs_are_answered_with_what_was_typed() {
        let advice = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let word = arguments
                .iter()
                .filter_map(|word| word.to_str())
                .find(|word| word.starts_with("--oci") || ["backup", "restore", "delete"].contains(word));
            let word = word.unwrap().split('=').next().unwrap();
            super::advice(word, &arguments).unwrap()
        };
        assert!(advice("d1oci push --oci-layout store:v1 a.csv").contains("`oci:store:v1`"));
        assert!(advice("d1oci push --oci-layout-path=store a:v1").contains("`oci:store`"));
        assert!(advice("d1oci blob delete ghcr.io/a/b@x").contains("d1oci prune"));
        assert!(advice("d1oci backup -o s.tar ghcr.io/a/b").contains("`d1oci mirror ghcr.io/a/b oci:s`"));
        let copied = advice("d1oci backup --output s ghcr.io/a/b:v1,v2");
        assert!(copied.contains("`d1oci copy --referrers ghcr.io/a/b:v1 oci:s`, and"), "{copied}");
        assert!(advice("d1oci restore --input s ghcr.io/a/b:v1").contains("oci:s:v1 ghcr.io/a/b:v1`"));
    }
}
