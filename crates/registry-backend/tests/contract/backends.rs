//! Choosing the backend for a location.

use async_trait::async_trait;
use futures::executor::block_on;
use oci_model::{Location, Reference};
use registry_backend::{
    Access, BackendFactory, Backends, Error, ErrorKind, Fit, MemoryBackend, OpenOptions, RegistryBackend,
    Result,
};

/// A backend for locations that begin with a text, which fails by name so that a test sees who was asked.
#[derive(Debug)]
struct Named {
    name: &'static str,
    prefix: &'static str,
    fit: Fit,
}

#[async_trait]
impl BackendFactory for Named {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        "for tests"
    }

    fn fit(&self, location: &Location) -> Fit {
        if location.to_string().starts_with(self.prefix) { self.fit } else { Fit::No }
    }

    async fn open(&self, _: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        match options.access {
            Access::Read => Ok(Box::new(MemoryBackend::new())),
            Access::Modify | Access::Create => Err(Error::new(ErrorKind::Denied, "open", self.name)),
        }
    }
}

fn backends() -> Backends {
    Backends::default()
        .with(Named { name: "generic", prefix: "", fit: Fit::General })
        .with(Named { name: "ghcr", prefix: "ghcr.io/", fit: Fit::Exact })
        .with(Named { name: "ghcr-again", prefix: "ghcr.io/", fit: Fit::Exact })
        .with(Named { name: "quay", prefix: "", fit: Fit::OnRequest })
}

fn location(text: &str) -> Location {
    text.parse::<Reference>().unwrap().location
}

/// Returns the name of the backend that is asked to open a location.
fn asked(backends: &Backends, text: &str) -> String {
    let opened = block_on(backends.open(&location(text), &OpenOptions::new(Access::Create)));
    opened.err().unwrap().target().to_owned()
}

#[test]
fn the_best_fit_is_opened_and_the_first_among_equals() {
    assert_eq!(asked(&backends(), "ghcr.io/owner/name"), "ghcr");
    assert_eq!(asked(&backends(), "quay.io/owner/name"), "generic");
    let reversed = Backends::default()
        .with(Named { name: "ghcr", prefix: "ghcr.io/", fit: Fit::Exact })
        .with(Named { name: "generic", prefix: "", fit: Fit::General });
    assert_eq!(asked(&reversed, "ghcr.io/owner/name"), "ghcr");
}

#[test]
fn the_backend_gets_the_options_and_is_returned() {
    let opened = block_on(backends().open(&location("oci:a"), &OpenOptions::new(Access::Read)));
    assert_eq!(opened.unwrap().to_string(), "memory");
}

#[test]
fn a_named_backend_is_opened_whatever_fits_best() {
    let options = OpenOptions::new(Access::Create);
    let open = |name, text| block_on(backends().open_with(name, &location(text), &options)).err().unwrap();
    assert_eq!(open("generic", "ghcr.io/owner/name").target(), "generic");
    assert_eq!(open("ghcr-again", "ghcr.io/owner/name").target(), "ghcr-again");
    assert_eq!(open("quay", "registry.example/owner/name").target(), "quay");
    assert_eq!(open("ghcr", "quay.io/owner/name").kind(), ErrorKind::Unsupported);
    assert_eq!(open("none", "quay.io/owner/name").kind(), ErrorKind::Unsupported);
}

#[test]
fn without_a_backend_the_error_names_those_there_are_and_the_feature() {
    let few = Backends::default()
        .with(Named { name: "layout", prefix: "oci:", fit: Fit::Exact })
        .with(Named { name: "bucket", prefix: "s3:", fit: Fit::Exact })
        .without("backend-quay", |location| location.to_string().starts_with("quay.io/"))
        .without("backend-generic", |location| matches!(location, Location::Registry { .. }));
    let error = |text| {
        let opened = block_on(few.open(&location(text), &OpenOptions::new(Access::Read)));
        let error = opened.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        error.to_string()
    };
    assert_eq!(
        error("quay.io/owner/name"),
        "cannot open quay.io/owner/name: no backend of this program serves it (it has layout, bucket); \
         build with `--features backend-quay` to add one"
    );
    assert!(error("ghcr.io/owner/name").ends_with("build with `--features backend-generic` to add one"));
    assert!(error("gs://bucket").ends_with("(it has layout, bucket)"));
}

#[test]
fn a_backend_that_was_chosen_for_another_host_is_told_from_one_that_is_not_there() {
    let options = OpenOptions::new(Access::Read);
    let error = |name| {
        let opened = block_on(backends().open_with(name, &location("quay.io/owner/name"), &options));
        opened.err().unwrap().to_string()
    };
    assert!(
        error("ghcr").ends_with("the backend ghcr does not serve it; choose generic or quay"),
        "{}",
        error("ghcr")
    );
    assert!(error("none").contains("no backend of this program serves it"));
}

#[test]
fn a_backend_on_request_is_never_the_best() {
    let asked_only = Backends::default().with(Named { name: "quay", prefix: "", fit: Fit::OnRequest });
    let opened = block_on(asked_only.open(&location("quay.io/a/b"), &OpenOptions::new(Access::Read)));
    assert_eq!(opened.err().unwrap().kind(), ErrorKind::Unsupported);
    assert!(!asked_only.serves(&location("quay.io/a/b")) && backends().serves(&location("quay.io/a/b")));
}

#[test]
fn the_backends_of_a_program_and_the_missing_ones_are_listed() {
    let few = backends().without("backend-quay", |_| false);
    let names: Vec<_> = few.iter().map(BackendFactory::name).collect();
    assert_eq!(names, ["generic", "ghcr", "ghcr-again", "quay"]);
    assert_eq!(few.absent_features().collect::<Vec<_>>(), ["backend-quay"]);
}

#[test]
fn without_any_backend_the_error_is_still_a_sentence() {
    let opened = block_on(Backends::default().open(&location("oci:a"), &OpenOptions::new(Access::Read)));
    assert_eq!(
        opened.err().unwrap().to_string(),
        "cannot open oci:a: no backend of this program serves it (it has none)"
    );
}
