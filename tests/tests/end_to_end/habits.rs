//! The habits of people who come from other tools: spellings, options and commands that work, or are answered.

use std::fs;

use d1_testnode::{Catalog, Config as NodeConfig, Content, Package, ScriptedNode, StoredObject};
use d1oci_tests::{BagBuilder, Preset, RegistryKind, Session, binary, payload, run, samples};
use tokio::runtime::Runtime;

/// Returns a home directory with a bag, stored in `oci:store` under the tag of its identifier.
fn with_package() -> Session {
    let session = Session::new(&[]);
    BagBuilder::new()
        .payload_files(4, 300)
        .file("data/lake/a.csv", payload(1, 2048))
        .file("data/lake/b.csv", payload(2, 1024))
        .write(&session.path("lake"));
    session.line("d1oci push oci:store lake --id doi:10.5072/A2LAKE -q").success();
    session
}

#[test]
fn several_tags_in_one_reference_are_pushed_and_copied() {
    let session = with_package();
    session.line("d1oci push oci:other:v1,v1.0,latest lake/data/lake/a.csv").success();
    assert_eq!(session.line("d1oci tags oci:other").success().text(), "latest\nv1\nv1.0\n");
    session.line("d1oci copy oci:other:v1 oci:third:new,newest").success();
    assert_eq!(session.line("d1oci tags oci:third").success().text(), "new\nnewest\n");
}

#[test]
fn a_name_and_a_password_count_for_one_command() {
    let registry = RegistryKind::Scripted(Preset::Strict).start(Some(("curator", "s3cret"))).unwrap();
    let session = Session::new(&[&registry]);
    fs::write(session.path("a.csv"), "15,7.2\n").unwrap();
    session.line("d1oci push HOST/a/b:v1 a.csv").failure(4);
    let pushed = session.piped("s3cret\n", "d1oci push HOST/a/b:v1 a.csv -u curator --password-stdin");
    pushed.success();
    let tags = session.line("d1oci tags HOST/a/b -u curator -p s3cret --concurrency 2").success();
    assert!(tags.text() == "v1\n" && tags.stderr.contains("`--password-stdin`"), "{tags:?}");
    session.line("d1oci tags HOST/a/b -u curator -p wrong").failure(4);
    assert!(!session.path(".docker").exists());
    // A file of logins by its name, for storing and for reading.
    let login = "d1oci login HOST -u curator --password-stdin --registry-config logins.json";
    session.piped("s3cret\n", login).success();
    session.line("d1oci tags HOST/a/b").failure(4);
    session.line("d1oci tags HOST/a/b --registry-config logins.json --debug").success();
}

#[test]
fn annotations_come_from_a_file_and_manifests_go_to_one() {
    let session = with_package();
    fs::write(session.path("notes.json"), r#"{"$manifest": {"org.example.note": "from a file", "a": "1"}}"#)
        .unwrap();
    let push = "d1oci push oci:store:notes lake/data/lake/a.csv --annotation-file notes.json -a a=2 --export-manifest m.json";
    session.line(push).success();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(session.path("m.json")).unwrap()).unwrap();
    assert_eq!(manifest["annotations"]["org.example.note"], "from a file");
    assert_eq!(manifest["annotations"]["a"], "2");
    let stored = session.line("d1oci manifest fetch oci:store:notes").success();
    assert_eq!(stored.stdout, fs::read(session.path("m.json")).unwrap());
    fs::write(session.path("notes.json"), r#"{"$config": {"a": "1"}}"#).unwrap();
    let refused = session.line(push).failure(2).stderr;
    assert!(refused.contains("`$manifest` alone, found `$config`"), "{refused}");
}

#[test]
fn blobs_and_manifests_are_moved_one_by_one() {
    let session = with_package();
    session.line("d1oci push oci:from:v1 lake/data/lake/a.csv -q").success();
    let manifest = session.line("d1oci manifest fetch oci:from:v1 -o m.json").success();
    assert_eq!(manifest.text(), "");
    let parsed: serde_json::Value =
        serde_json::from_slice(&fs::read(session.path("m.json")).unwrap()).unwrap();
    session.line("d1oci manifest push oci:to:v1 m.json").failure(1);
    for blob in [&parsed["config"], &parsed["layers"][0]] {
        let digest = blob["digest"].as_str().unwrap();
        session.line(&format!("d1oci blob fetch oci:from@{digest} -o blob")).success();
        let pushed = session.line(&format!("d1oci blob push oci:to@{digest} blob")).success().text();
        assert!(pushed.ends_with(&format!("Digest: {digest}\n")), "{pushed}");
    }
    session.line("d1oci manifest push oci:to:v1,v2 m.json").success();
    assert_eq!(session.line("d1oci tags oci:to").success().text(), "v1\nv2\n");
    session.line("d1oci verify --deep oci:to:v1").success();
    let layer = parsed["layers"][0]["digest"].as_str().unwrap();
    let content = session.line(&format!("d1oci blob fetch oci:to@{layer}")).success().stdout;
    assert!(content == payload(1, 2048));
    let descriptor = session.line(&format!("d1oci blob fetch oci:to@{layer} --descriptor")).success().json();
    assert_eq!(descriptor["size"], 2048);
    session.line("d1oci manifest delete oci:to:v1 --force").success();
    assert_eq!(session.line("d1oci tags oci:to").success().text(), "");
}

#[test]
fn a_manifest_is_readable_and_its_index_is_a_note() {
    let session = with_package();
    let reference = "oci:store:doi_10.5072_A2LAKE";
    let pretty = session.line(&format!("d1oci manifest fetch --pretty {reference}")).success();
    let data = pretty.json()["config"]["data"].as_str().unwrap().to_owned();
    assert!(data.contains("d1oci manifest fetch-config"), "{data}");
    assert!(pretty.text().lines().all(|line| line.len() < 200));
    let whole =
        session.line(&format!("d1oci manifest fetch --pretty --with-index {reference}")).success().json();
    let stored = session.line(&format!("d1oci manifest fetch {reference}")).success().json();
    assert_eq!(whole, stored);
    let index = session.line(&format!("d1oci manifest fetch-config {reference}")).success().json();
    assert!(index.to_string().contains("data/lake/a.csv"), "{index}");
}

#[test]
fn a_doi_finds_its_package_in_every_spelling() {
    let session = with_package();
    for typed in [
        "doi:10.5072/A2LAKE",
        "https://doi.org/10.5072/A2LAKE",
        "http://dx.doi.org/10.5072/a2lake",
        "DOI:10.5072/A2lake",
        "10.5072/A2LAKE",
    ] {
        session.line(&format!("d1oci ls oci:store --id {typed}")).success();
        session.line(&format!("d1oci find oci:store --id {typed}")).success();
        session.line(&format!("d1oci inspect oci:store:doi_10.5072_A2LAKE --id {typed}")).success();
    }
    session.line("d1oci ls oci:store --id 10.5072/A2POND").failure(3);
}

#[test]
fn a_part_of_a_package_is_listed_and_pulled() {
    let session = with_package();
    let reference = "oci:store:doi_10.5072_A2LAKE";
    let listed = session.line(&format!("d1oci ls {reference} data/lake/")).success();
    assert_eq!(listed.text(), "2.00 KiB  data/lake/a.csv\n1.00 KiB  data/lake/b.csv\n");
    assert!(listed.stderr.contains("2 files, 3.00 KiB"), "{}", listed.stderr);
    let listed = session.line(&format!("d1oci ls {reference} lake/data/lake --bytes")).success().text();
    assert_eq!(listed, "2048  data/lake/a.csv\n1024  data/lake/b.csv\n");
    let tree = session.line(&format!("d1oci ls {reference} --tree *.csv --bytes")).success().text();
    assert!(tree.contains("  data/  (6 files)\n"), "{tree}");
    assert!(tree.contains("3072    lake/  (2 files)\n2048      a.csv\n1024      b.csv\n"), "{tree}");

    session.line(&format!("d1oci pull {reference} -o part -i data/lake/ -x b.csv -x */b.csv")).success();
    let lake = session.path("part/lake");
    assert!(lake.join("data/lake/a.csv").exists() && !lake.join("data/lake/b.csv").exists());
    assert!(!lake.join("bagit.txt").exists() && !lake.join("data/series-0").exists());
    session.line(&format!("d1oci pull {reference} -o rest --exclude data/")).success();
    assert!(session.path("rest/lake/bagit.txt").exists() && !session.path("rest/lake/data").exists());
    session.line(&format!("d1oci pull {reference} -o none --format-id text/csv")).failure(3);
}

#[test]
fn a_format_selects_objects_of_a_package() {
    let Some(samples) = samples() else { return };
    let session = Session::new(&[]);
    let package = samples.join("dataone/pkg-peggym133");
    session.line(&format!("d1oci push oci:store:v1 {} --include-private -q", package.display())).success();
    let all = session.line("d1oci ls oci:store:v1 --format json").success().json();
    let formats: Vec<_> =
        all["files"].as_array().unwrap().iter().filter_map(|file| file["formatId"].as_str()).collect();
    let format = formats.first().expect("the index states formats");
    let wanted = formats.iter().filter(|other| *other == format).count();
    let pulled = session.line(&format!("d1oci pull oci:store:v1 -o out --format-id {format} --format json"));
    assert_eq!(pulled.success().json()["files"], wanted);
}

#[test]
fn words_of_the_metadata_find_a_package_and_one_screen_shows_it() {
    let session = Session::new(&[]);
    let crate_directory = session.path("crate");
    fs::create_dir(&crate_directory).unwrap();
    let description = serde_json::json!({
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [
            {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
             "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"}},
            {"@id": "./", "@type": "Dataset", "name": "Water temperature of Toolik Lake", "datePublished": "2024-05-01",
             "description": "Ten years of temperatures, measured at three depths.", "license": "CC0",
             "author": {"@id": "#ada"}, "hasPart": [{"@id": "a.csv"}]},
            {"@id": "#ada", "@type": "Person", "name": "Ada Lovelace"},
            {"@id": "a.csv", "@type": "File"},
        ],
    });
    fs::write(crate_directory.join("ro-crate-metadata.json"), description.to_string()).unwrap();
    fs::write(crate_directory.join("a.csv"), "depth,temperature\n3,7.2\n").unwrap();
    session.line("d1oci push oci:store:v1 crate -q").success();
    for words in ["toolik temperature", "--title lake", "lovelace", "depths"] {
        let found = session.line(&format!("d1oci find oci:store {words}")).success().text();
        assert!(found.starts_with("oci:store:v1"), "{words}: {found}");
    }
    session.line("d1oci find oci:store glacier").failure(3);
    let shown = session.line("d1oci show oci:store:v1").success().text();
    for wanted in [
        "Water temperature of Toolik Lake\n",
        "Creators: Ada Lovelace\n",
        "Ten years of temperatures",
        "2 files, ",
        "  a.csv\n",
        "Ada Lovelace (2024). Water temperature of Toolik Lake.",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    assert!(shown.lines().count() <= 24, "{shown}");
    let json = session.line("d1oci show oci:store:v1 --format json").success().json();
    assert_eq!(json["metadata"]["creators"][0]["name"], "Ada Lovelace");
}

#[test]
fn quiet_commands_write_one_line_at_most() {
    let session = with_package();
    for line in [
        "push oci:new:v1 lake",
        "copy oci:new:v1 oci:copy:v1",
        "tag oci:new:v1 v2 v3",
        "pull oci:new:v1 -o out",
        "verify --deep --sysmeta oci:new:v1",
        "mirror oci:new oci:mirrored",
        "export oci:new:v1 -o exported",
        "attach oci:new:v1 lake/bagit.txt --artifact-type text/plain",
        "delete oci:new:v3",
        "prune oci:new",
    ] {
        let outcome = session.line(&format!("d1oci {line} -q")).success();
        assert!(outcome.text().lines().count() <= 1 && outcome.stderr.is_empty(), "{line}: {outcome:?}");
    }
}

#[test]
fn unattended_runs_have_times_in_their_logs() {
    let session = with_package();
    let missing = session.line("d1oci ls oci:store:none --log-format text").failure(3).stderr;
    let is_timed = |line: &str| line.get(10..11) == Some("T") && line.get(19..21) == Some("Z ");
    assert!(missing.lines().all(is_timed) && missing.contains("Z error: "), "{missing}");
    let untagged = session.line("d1oci push oci:other lake/bagit.txt --log-format json").success().stderr;
    let warning: serde_json::Value = serde_json::from_str(untagged.lines().next().unwrap()).unwrap();
    assert_eq!(warning["level"], "warning");
    assert!(warning["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{warning}");
    let failed = session.line("d1oci ls oci:store:none --log-format json");
    let error: serde_json::Value = serde_json::from_str(&failed.stderr).unwrap();
    assert_eq!((&error["level"], &error["error"]["exitCode"]), (&"error".into(), &3.into()), "{error}");
}

#[test]
fn completions_know_tags_and_paths_and_make_their_directory() {
    let session = with_package();
    let installed = session.line("d1oci completions bash --install").success().text();
    let script = session.path(".local/share/bash-completion/completions/d1oci");
    assert!(script.is_file() && installed.contains("bash-completion/completions/d1oci`"), "{installed}");
    let completed = |line: &str| {
        let mut shell = std::process::Command::new("bash");
        let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
        let complete = "source \"$0\"; COMP_WORDBREAKS=$' \\t\\n:'; COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; _d1oci 2>/dev/null; \
                        printf '%s\\n' \"${COMPREPLY[@]}\"";
        shell.env("PATH", path).env("HOME", session.home()).current_dir(session.home());
        run(shell.args(["-c", complete]).arg(&script).arg(line)).text()
    };
    assert_eq!(completed("d1oci comp"), "compare\ncompletions\n");
    assert_eq!(completed("d1oci ls oci:st"), "store:\n");
    assert_eq!(completed("d1oci cat oci:store:doi"), "doi_10.5072_A2LAKE\n");
    assert_eq!(
        completed("d1oci cat oci:store:doi_10.5072_A2LAKE data/lake/"),
        "data/lake/a.csv\ndata/lake/b.csv\n"
    );
    assert!(completed("d1oci push --layout ").contains("archive\n"));
    // Bash puts the words into the line as they are.
    std::fs::create_dir_all(session.path("odd/data")).unwrap();
    std::fs::write(session.path("odd/data/$(touch pwned) *.csv"), "a").unwrap();
    session.line("d1oci push oci:store:odd odd").success();
    assert_eq!(completed("d1oci cat oci:store:odd data/"), "data/\\$\\(touch\\ pwned\\)\\ \\*.csv\n");
    assert!(completed("d1oci login qu").contains("quay.io"));
}

#[test]
fn layouts_are_named_as_in_oras_and_skopeo() {
    let session = with_package();
    session.line("d1oci push --oci-layout saved:v1,v2 lake/data/lake/a.csv -q").success();
    assert_eq!(session.line("d1oci repo tags --oci-layout saved").success().text(), "v1\nv2\n");
    session.line("d1oci pull --oci-layout saved:v1 -o out -q").success();
    assert!(fs::read(session.path("out/lake/data/lake/a.csv")).is_ok_and(|read| read == payload(1, 2048)));
    session.line("d1oci cp --from-oci-layout saved:v1 --to-oci-layout copied:v3 -q").success();
    session.line("d1oci copy oci:copied:v3 ocidir://copied:v4 -q").success();
    assert_eq!(session.line("d1oci tags oci:copied").success().text(), "v3\nv4\n");
    let registry = RegistryKind::Scripted(Preset::Strict).start(None).unwrap();
    let host = registry.host();
    session.line(&format!("d1oci copy oci:copied:v3 docker://{host}/a/b:v3 --plain-http -q")).success();
    assert_eq!(session.line(&format!("d1oci tags docker://{host}/a/b")).success().text(), "v3\n");
}

#[test]
fn a_backup_is_restored() {
    let session = with_package();
    session.line("d1oci push oci:all:v1,v2 lake/data/lake/a.csv -q").success();
    session.line("d1oci push oci:all:v3 lake/data/lake/b.csv -q").success();
    session.line("d1oci attach oci:all:v1 lake/data/lake/b.csv --artifact-type text/csv -q").success();
    session.line("d1oci backup oci:all:v1,v3 --output some").success();
    assert_eq!(session.line("d1oci tags oci:some").success().text(), "v1\nv3\n");
    assert_eq!(session.line("d1oci discover oci:some:v1").success().text().lines().count(), 1);
    session.line("d1oci backup oci:all -o whole --include-referrers").success();
    let missing = session.line("d1oci backup oci:all:v1,v9 --output some").failure(3).stderr;
    assert!(missing.contains("did you mean `oci:all:v"), "{missing}");
    session.line("d1oci restore --input whole oci:again").success();
    assert_eq!(session.line("d1oci tags oci:again").success().text(), "v1\nv2\nv3\n");
    assert!(session.line("d1oci discover oci:again:v1").success().text().lines().count() > 1);
    session.line("d1oci verify --deep oci:again:v3").success();
    // `oras` can also write a tar file.
    if session.other("tar", "-cf whole.tar -C whole .").is_some() {
        session.line("d1oci restore --input whole.tar oci:third:v2 --exclude-referrers").success();
        assert_eq!(session.line("d1oci tags oci:third").success().text(), "v2\n");
    }
}

#[test]
fn each_of_two_registries_has_its_own_login() {
    let start =
        |name, password| RegistryKind::Scripted(Preset::Strict).start(Some((name, password))).unwrap();
    let (from, to) = (start("reader", "s3cret"), start("writer", "t0p"));
    let session = Session::new(&[&from, &to]);
    fs::write(session.path("a.csv"), "15,7.2\n").unwrap();
    session.line("d1oci push HOST/a/b:v1 a.csv -u reader -p s3cret -q").success();
    let (to, copy) = (to.host(), "d1oci copy HOST/a/b:v1");
    let both = format!("{copy} {to}/c/d --from-username reader --from-password s3cret --to-username writer");
    session.piped("t0p\n", &format!("{both} --to-password-stdin")).success();
    assert_eq!(session.line(&format!("d1oci tags {to}/c/d -u writer -p t0p")).success().text(), "v1\n");
    session.line(&format!("{both} --to-password s3cret")).failure(4);
    // A layout has no login, and one registry has one.
    session.line(&format!("{copy} oci:store --to-username writer --to-password t0p")).failure(2);
    session.line(&format!("{copy} HOST/c/d --from-plain-http --to-plain-http")).failure(2);
}

#[test]
fn a_doi_is_withdrawn_in_every_spelling() {
    let session = with_package();
    let listed = session.line("d1oci withdraw oci:store https://doi.org/10.5072/a2lake").success().text();
    assert!(listed.contains("doi:10.5072/A2LAKE"), "{listed}");
}

#[test]
fn a_quiet_fetch_of_packages_in_packages_writes_one_line() {
    let mut catalog = Catalog::default();
    for (name, nested) in [("inner", None), ("outer", Some("inner.map"))] {
        let (eml, data) = ("https://eml.ecoinformatics.org/eml-2.2.0", format!("{name}.csv"));
        for (identifier, format) in [(name, eml), (data.as_str(), "text/csv")] {
            let content = Content::text(&format!("<eml><title>{identifier}</title></eml>\n"));
            catalog.put(StoredObject::new(identifier.parse().unwrap(), format, content).unwrap()).unwrap();
        }
        let map = format!("{name}.map").parse().unwrap();
        let mut package = Package::new(map, name.parse().unwrap(), [data.parse().unwrap()]);
        package.nested.extend(nested.map(|map| map.parse().unwrap()));
        catalog.put_package(&package).unwrap();
    }
    let runtime = Runtime::new().unwrap();
    let config = NodeConfig { catalog, ..NodeConfig::default() };
    let node = runtime.block_on(ScriptedNode::start(config)).unwrap();
    let session = with_package();
    let line = format!("d1oci fetch outer --nested --node {} -o bags -q", node.member_url());
    let outcome = session.line(&line).success();
    assert_eq!((outcome.text(), outcome.stderr), ("Fetched 2 packages\n".to_owned(), String::new()));
    assert_eq!(fs::read_dir(session.path("bags")).unwrap().count(), 2);
}
