//! Tests of the configuration file: what it means, and what is said about mistakes.

use std::fs;
use std::time::Duration;

use distribution_client::{Profile, UploadStrategy, VendorInterface};
use registry_backend::{Error, ErrorKind, Fit};

use super::*;

/// Three kinds of registries: any, some on request, and one whose vendor has an interface of its own.
fn profiles() -> Vec<Profile> {
    let mut on_request = Profile::generic();
    on_request.name = "quay";
    on_request.elsewhere = Fit::OnRequest;
    let mut vendor = Profile::generic();
    vendor.name = "ghcr";
    vendor.hosts = &["ghcr.io"];
    vendor.elsewhere = Fit::No;
    vendor.vendor = Some(VendorInterface::new(
        |_, _| None,
        |_| Err(Error::new(ErrorKind::Unsupported, "open", "for tests")),
    ));
    vec![Profile::generic(), on_request, vendor]
}

fn parsed(text: &str) -> Result<Settings, String> {
    Settings::parse(text, Path::new("/etc/d1oci/config.toml"), &profiles())
}

#[test]
fn the_documented_example_says_what_it_documents() {
    let document =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap();
    let (_, rest) = document.split_once("```toml\n").expect("the document has an example");
    let (example, _) = rest.split_once("```").unwrap();
    let settings = parsed(example).unwrap();
    let ours = settings.host("registry.example:5000").unwrap();
    assert_eq!(ours.backend(), Some("generic"));
    assert_eq!(ours.plain_http(), Some(false));
    assert_eq!(settings.resolve(ours.ca_file().unwrap()), Path::new("/etc/d1oci/registry-example-ca.pem"));
    assert!(ours.client_certificate().is_some());
    let mut profile = Profile::generic();
    ours.apply(&mut profile);
    assert_eq!(profile.uploads, [UploadStrategy::Chunks { bytes: 32 << 20 }]);
    assert_eq!(profile.capabilities.part_bytes, Some(2 << 30));
    assert_eq!((profile.capabilities.parallel_blobs, profile.budget.parallel_uploads), (8, 8));
    assert_eq!((profile.budget.requests_per_second, profile.budget.burst), (50.0, 500));
    assert_eq!(profile.budget.requests_per_second_at_first, None);
    assert_eq!(profile.times.connect, Duration::from_secs(10));
    assert_eq!(profile.times.silence, Duration::from_secs(120));
    assert_eq!(profile.times.commit, Duration::from_secs(1800));
    assert_eq!(profile.retry.attempts, 10);
    assert_eq!(settings.host("ghcr.io").unwrap().password_variable(), Some(("GITHUB_TOKEN", None)));
    assert_eq!(settings.host("quay.internal.example").unwrap().backend(), Some("quay"));
    assert!(parsed("[host.\"ghcr.io\"]\nbackend = \"ghcr\"\n").is_ok());
    // Every key of the tables below the example is one.
    let (of_hosts, of_nodes) = rest.split_once("| key of `[dataone]`").unwrap();
    for (table, keys) in [("[host.\"a.example\"]", of_hosts), ("[dataone]", of_nodes)] {
        for line in keys.lines().filter_map(|line| line.strip_prefix("| `")) {
            let key = line.split('`').next().unwrap();
            let error = parsed(&format!("{table}\n{key} = []\n")).unwrap_err();
            assert!(!error.contains("unknown field"), "{error}");
        }
    }
}

#[cfg(feature = "d1-client")]
#[test]
fn the_table_for_nodes_changes_what_it_names_and_nothing_else() {
    let usual = d1_client::ClientOptions::default();
    let mut options = usual.clone();
    let text = "[dataone]\nconnect-timeout = 2\nanswer-timeout = 600\nattempts = 8\n";
    parsed(text).unwrap().dataone().apply(&mut options);
    assert_eq!(
        (options.times.connect, options.times.answer),
        (Duration::from_secs(2), Duration::from_secs(600))
    );
    assert_eq!(options.retry.attempts, 8);
    assert_eq!(options.times.silence, usual.times.silence);
    assert_eq!(options.times.computation, usual.times.computation);
}

#[test]
fn a_mistake_is_reported_with_file_line_and_key() {
    for (text, parts) in [
        (
            "[host.\"a.example\"]\nplain-htp = true\n",
            ["line 2, `[host.\"a.example\"]`, `plain-htp`", "unknown field"],
        ),
        (
            "\n[host.\"a.example\"]\n# why\nparallel = \"many\" # so\n",
            ["line 4, `[host.\"a.example\"]`, `parallel`", "invalid type: text, expected"],
        ),
        ("[hosts.\"a.example\"]\n", ["line 1, `[hosts.\"a.example\"]`", "unknown field `hosts`"]),
        (
            "[host.\"https://a.example\"]\n",
            ["line 1, `[host.\"https://a.example\"]`", "expected a registry's host"],
        ),
        ("[host.\"a.example/b\"]\n", ["line 1,", "expected a registry's host"]),
        ("[host.\"a.example\"]\nbackend = \"harbor\"\n", ["line 2,", "unknown backend `harbor`"]),
        ("[host.\"a.example\"]\npart-size = \"big\"\n", ["line 2,", "such as `512 MiB`"]),
        ("[host.\"a.example\"]\npart-size = 1.5\n", ["line 2,", "such as `512 MiB`"]),
        ("[host.\"a.example\"]\npart-size = 100\n", ["line 1,", "`part-size` is at least"]),
        ("[host.\"a.example\"]\nconnect-timeout = 0\n", ["line 2,", "between 1 and 86400"]),
        ("[host.\"a.example\"]\nattempts = 0\n", ["line 2,", "between 1 and 100"]),
        ("[dataone]\nanswer = 5\n", ["line 2, `[dataone]`, `answer`", "unknown field"]),
        ("[host.\"a.example\"]\nclient-key = \"k\"\n", ["line 1,", "go together"]),
        ("[host.\"a.example\"]\nusername = \"u\"\n", ["line 1,", "password-variable"]),
        ("[host.\"a.example\"]\nrequests-per-second = 0\n", ["line 1,", "between 0.01 and"]),
        ("[host.\"a.example\"]\nrequests-per-second = nan\n", ["line 1,", "between 0.01 and"]),
        ("[host.\"a.example\"]\nparallel = 0\n", ["line 1,", "between 1 and 64"]),
        ("[host.\"a.example\"]\nchunk-size = 100000\n", ["line 1,", "goes with `upload"]),
        ("[host.\"a.example\"]\nupload = \"chunks\"\nchunk-size = 1\n", ["line 1,", "at least `64 KiB`"]),
        ("[host.\"a.example\"]\napi = \"https://x\"\n", ["line 2,", "goes with `backend = \"ghcr\"`"]),
        ("[host.\"a.example\"]\nbackend = \"ghcr\"\n", ["line 2, `[host.\"a.example\"]`", "goes with `api`"]),
        ("[host.\"a.example\"]\nparallel = 1\nparallel = 2\n", ["line 3,", "duplicate key"]),
        ("[host.\"a.example\"\n", ["line 1", "`config.toml`"]),
    ] {
        let error = parsed(text).unwrap_err();
        let [place, message] = parts;
        let message = if message == "`config.toml`" { "/etc/d1oci/config.toml" } else { message };
        assert!(error.starts_with("`/etc/d1oci/config.toml`") && error.contains(place), "{text}{error}");
        assert!(error.contains(message) && !error.contains('\n'), "{text}{error}");
    }
}

#[test]
fn a_password_in_the_file_is_not_in_the_error() {
    for line in [
        "password = \"s3cret\"",
        "password = s3cret",
        "password = \"s3cret",
        "parallel = \"s3cret\" # a note",
        "attempts = \"s3cret\"",
        "part-size = \"s3cret\"",
        "plain-http = 's3cret'",
        "password = \"\"\"\ns3cret\n\"\"\"",
    ] {
        let error = parsed(&format!("[host.\"a.example\"]\n{line}\n")).unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn hosts_are_found_whatever_their_case() {
    let settings = parsed("[host.\"Registry.Example:5000\"]\nplain-http = true\n").unwrap();
    assert_eq!(settings.host("registry.example:5000").unwrap().plain_http(), Some(true));
    assert!(settings.host("registry.example").is_none());
}

#[test]
fn a_named_file_must_exist() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("own.toml");
    let named = Environment::made_up([("D1OCI_CONFIG", path.to_str().unwrap())]);
    let error = Settings::load(&named, &profiles()).unwrap_err();
    assert!(error.to_string().contains("own.toml"), "{error}");
    fs::write(&path, "[host.\"a.example\"]\nplain-http = true\n").unwrap();
    assert!(Settings::load(&named, &profiles()).unwrap().host("a.example").is_some());
    let unnamed = Environment::made_up([("XDG_CONFIG_HOME", place.path().to_str().unwrap())]);
    assert!(Settings::load(&unnamed, &profiles()).unwrap().host("a.example").is_none());
    fs::create_dir(place.path().join("d1oci")).unwrap();
    fs::rename(&path, place.path().join("d1oci/config.toml")).unwrap();
    assert!(Settings::load(&unnamed, &profiles()).unwrap().host("a.example").is_some());
}
