//! `d1oci repo`: the repositories of a registry, and one repository as its vendor manages it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use distribution_client::{Deleted, RepositoryFacts, VendorRepository, Visibility};
use futures::TryStreamExt;
use oci_model::{Digest, Location, ManifestRef, Reference, RepositoryName};
use registry_backend::{Error, ErrorKind};
use serde::Serialize;

use super::confirm::ask;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::{Lines, human};

/// List repositories, and manage those of Quay or GitHub beyond what the registry's protocol offers.
///
/// All commands but `ls` and `tags` use the vendor's own interface. Quay's needs the token of an OAuth application, GitHub's a classic personal access
/// token. Where a vendor lacks an operation, the error says how people do it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci repo visibility quay.io/dataone/packages public")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    #[command(visible_alias = "list")]
    Ls(LsArguments),
    Tags(super::tags::Arguments),
    Show(ShowArguments),
    Create(CreateArguments),
    Visibility(VisibilityArguments),
    Expiry(ExpiryArguments),
    Restore(RestoreArguments),
    Delete(DeleteArguments),
}

/// List the repositories of a registry, or those of a namespace.
///
/// Registries list their repositories at `_catalog`, which the distribution specification leaves out: GitHub's and others have no such
/// list. For a namespace of Quay or GitHub, the vendor's interface answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci repo ls localhost:5000\n\
                        Example: d1oci repo ls ghcr.io/owner")]
struct LsArguments {
    /// The registry, or a namespace in it.
    #[arg(value_name = "HOST[/NAMESPACE]", value_parser = parse_namespace)]
    place: Namespace,
}

/// A registry, or a namespace in it.
#[derive(Clone, Debug)]
struct Namespace {
    host: String,
    namespace: Option<RepositoryName>,
}

/// Show who may read a repository, and its page for people.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci repo show ghcr.io/owner/packages")]
struct ShowArguments {
    /// The repository.
    repository: Reference,
}

/// Create a repository.
///
/// GitHub creates a package with its first push.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci repo create quay.io/dataone/packages --public")]
struct CreateArguments {
    /// The repository.
    repository: Reference,
    /// Let everybody read it.
    #[arg(long)]
    public: bool,
    /// A text for people.
    #[arg(long, default_value = "", value_name = "TEXT")]
    description: String,
}

/// Change who may read a repository.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci repo visibility quay.io/dataone/packages public")]
struct VisibilityArguments {
    /// The repository.
    repository: Reference,
    /// `public` lets everybody read it, `private` only accounts that have the right.
    #[arg(value_enum)]
    visibility: Wanted,
}

/// Set when a tag ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci repo expiry quay.io/dataone/packages:nightly 30d\n\
                        Example: d1oci repo expiry quay.io/dataone/packages:v1 never")]
struct ExpiryArguments {
    /// The tag.
    reference: Reference,
    /// A time from now (`12h`, `30d`), a date (`2027-01-31`, the end of that day in UTC), or `never`.
    #[arg(value_parser = parse_end, value_name = "END")]
    end: End,
}

/// Restore a deleted tag (Quay), version or package (GitHub).
///
/// Vendors keep deleted content for a time: Quay as the namespace says, GitHub for 30 days.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci repo restore quay.io/dataone/packages:v1\n\
                        Example: d1oci repo restore ghcr.io/owner/packages@sha256:DIGEST")]
struct RestoreArguments {
    /// The tag, the digest, or the whole repository.
    reference: Reference,
    /// The manifest that the tag should name, instead of the last one.
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
}

/// Delete a repository with all its content.
///
/// The command asks at a terminal; elsewhere it needs `--yes`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci repo delete quay.io/dataone/scratch --yes")]
struct DeleteArguments {
    /// The repository.
    repository: Reference,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Wanted {
    Public,
    Private,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Never,
    At(jiff::Timestamp),
}

#[derive(Debug, Serialize)]
struct Shown {
    repository: String,
    #[serde(flatten)]
    facts: RepositoryFacts,
}

/// One change that was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    repository: String,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip)]
    line: String,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::Ls(arguments) => list(context, &arguments.place).await,
        Action::Tags(arguments) => super::tags::run(context, arguments).await,
        Action::Show(arguments) => show(context, &arguments).await,
        Action::Create(arguments) => create(context, &arguments).await,
        Action::Visibility(arguments) => set_visibility(context, &arguments).await,
        Action::Expiry(arguments) => set_expiry(context, &arguments).await,
        Action::Restore(arguments) => restore(context, &arguments).await,
        Action::Delete(arguments) => delete(context, &arguments).await,
    }
}

async fn list(context: &Context, place: &Namespace) -> Result<(), Failure> {
    let Namespace { host, namespace } = place;
    let registry = context.registries.place(host)?;
    let mut names = registry.repositories(namespace.as_ref())?;
    let first = names.try_next().await.map_err(|error| {
        let is_unlisted = error.kind() == ErrorKind::Unsupported && namespace.is_none();
        let failure = Failure::from(error);
        match is_unlisted {
            true => failure.with_hint(format!("Quay and GitHub list a namespace: name it behind `{host}/`")),
            false => failure,
        }
    })?;
    let shown = namespace.as_ref().map_or_else(|| host.clone(), |namespace| format!("{host}/{namespace}"));
    let mut listing = context.printer.list(&[("place", shown.clone())], "repositories")?;
    let mut next = first;
    while let Some(name) = next {
        listing.item(&format!("{host}/{name}"), |name, lines| lines.add(name))?;
        next = names.try_next().await?;
    }
    if listing.end()? == 0 && namespace.is_some() {
        return Err(Failure::new(ExitStatus::NotFound, format!("no repository below {shown}"))
            .with_hint("private repositories are listed only for accounts that may read them"));
    }
    Ok(())
}

async fn show(context: &Context, arguments: &ShowArguments) -> Result<(), Failure> {
    let place = Place::open(context, &arguments.repository, "repo show")?;
    let facts = place.told(place.vendor.show().await)?;
    context.printer.result(&Shown { repository: place.name, facts }, text)
}

fn text(shown: &Shown, lines: &mut Lines<'_>) {
    let Shown { repository, facts } = shown;
    lines.add(repository);
    lines.add(format_args!("Visibility:   {}", facts.visibility));
    if let Some(text) = &facts.description {
        lines.add(format_args!("Description:  {text}"));
    }
    if let Some(page) = &facts.page {
        lines.add(format_args!("Page:         {page}"));
    }
    if let Some(page) = &facts.visibility_page {
        lines.add(format_args!("Settings:     {page}"));
    }
    if let Some(versions) = facts.versions {
        lines.add(format_args!("Versions:     {versions}"));
    }
    if let Some(is_writable) = facts.is_writable {
        lines.add(format_args!("Writable:     {}", if is_writable { "yes" } else { "no" }));
    }
    if let Some(seconds) = facts.restorable_seconds {
        let days = seconds.div_ceil(86_400);
        lines.add(format_args!("Deleted tags: can be restored for {}", human::count(days, "day")));
    }
}

async fn create(context: &Context, arguments: &CreateArguments) -> Result<(), Failure> {
    let place = Place::open(context, &arguments.repository, "repo create")?;
    let visibility = if arguments.public { Visibility::Public } else { Visibility::Private };
    place.told(place.vendor.create(visibility, &arguments.description).await)?;
    let line = format!("Created {}, {}", place.name, visibility.as_str());
    place.changed(context, "created", line)
}

async fn set_visibility(context: &Context, arguments: &VisibilityArguments) -> Result<(), Failure> {
    let place = Place::open(context, &arguments.repository, "repo visibility")?;
    let (visibility, change) = match arguments.visibility {
        Wanted::Public => (Visibility::Public, "public"),
        Wanted::Private => (Visibility::Private, "private"),
    };
    place.told(place.vendor.set_visibility(visibility).await)?;
    let line = format!("{} is {change} now", place.name);
    place.changed(context, change, line)
}

async fn set_expiry(context: &Context, arguments: &ExpiryArguments) -> Result<(), Failure> {
    let ManifestRef::Tag(tag) = context.required_target(&arguments.reference)? else {
        return Err(Failure::usage("expected a tag, found a digest: only tags end"));
    };
    let place = Place::at(context, &arguments.reference.location)?;
    let (end, line) = match arguments.end {
        End::Never => (None, format!("{}:{tag} does not end", place.name)),
        End::At(end) => (Some(system_time(end)), format!("{}:{tag} ends at {end}", place.name)),
    };
    if end.is_some_and(|end| end <= SystemTime::now()) {
        return Err(Failure::usage("expected a time that is still to come"));
    }
    place.told(place.vendor.set_tag_expiry(tag, end).await)?;
    let changed =
        Changed { repository: place.name, change: "expiry", tag: Some(tag.to_string()), digest: None, line };
    report(context, &changed)
}

async fn restore(context: &Context, arguments: &RestoreArguments) -> Result<(), Failure> {
    context.check_scheme(&arguments.reference.location)?;
    let place = Place::at(context, &arguments.reference.location)?;
    let wanted = match (&arguments.reference.target, &arguments.digest) {
        (Some(ManifestRef::Tag(tag)), digest) => Deleted::Tag(tag.clone(), digest.clone()),
        (Some(ManifestRef::Digest(digest)), None) | (None, Some(digest)) => Deleted::Manifest(digest.clone()),
        (Some(ManifestRef::Digest(_)), Some(_)) => {
            return Err(Failure::usage("expected one digest, found two"));
        }
        (None, None) => Deleted::Repository,
    };
    let digest = place.told(place.vendor.restore(&wanted).await)?;
    let tag = match &wanted {
        Deleted::Tag(tag, _) => Some(tag.to_string()),
        _ => None,
    };
    let line = match &digest {
        Some(digest) => format!("Restored {}: {digest}", arguments.reference),
        None => format!("Restored {}", arguments.reference),
    };
    report(context, &Changed { repository: place.name, change: "restored", tag, digest, line })
}

async fn delete(context: &Context, arguments: &DeleteArguments) -> Result<(), Failure> {
    let place = Place::open(context, &arguments.repository, "repo delete")?;
    let question = format!("type `{}` to delete it with all its content:", place.name);
    if !arguments.yes && ask(context, &question).await?.as_ref() != Some(&place.name) {
        return Err(Failure::usage("nothing is deleted")
            .with_hint("`--yes` deletes the repository with all its content"));
    }
    place.told(place.vendor.delete().await)?;
    let line = format!("Deleted {} with all its content", place.name);
    place.changed(context, "deleted", line)
}

/// A repository, and the interface of its vendor.
struct Place {
    name: String,
    vendor: Arc<dyn VendorRepository>,
    login_hint: Option<&'static str>,
}

impl Place {
    fn open(context: &Context, reference: &Reference, command: &str) -> Result<Self, Failure> {
        Self::at(context, context.repository_only(reference, command)?)
    }

    fn at(context: &Context, location: &Location) -> Result<Self, Failure> {
        let unsupported = |reason: &str| Error::new(ErrorKind::Unsupported, "open", location).because(reason);
        let Location::Registry { host, repository } = location else {
            return Err(
                unsupported("only registries have vendors: a layout is a directory or a bucket").into()
            );
        };
        let place = context.registries.place(host)?;
        let Some((vendor, login_hint)) = place.vendor(repository)? else {
            return Err(unsupported(
                "the registry has no interface that this program knows; Quay and GitHub have one (`backend` in the \
                 configuration file says that a host runs Quay)",
            )
            .into());
        };
        Ok(Self { name: location.to_string(), vendor, login_hint })
    }

    /// Returns the answer, or a failure with advice on the login.
    fn told<T>(&self, answer: registry_backend::Result<T>) -> Result<T, Failure> {
        answer.map_err(|error| {
            let is_denied = error.kind() == ErrorKind::Denied;
            let failure = Failure::from(error);
            match self.login_hint.filter(|_| is_denied) {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            }
        })
    }

    fn changed(self, context: &Context, change: &'static str, line: String) -> Result<(), Failure> {
        report(context, &Changed { repository: self.name, change, tag: None, digest: None, line })
    }
}

fn report(context: &Context, changed: &Changed) -> Result<(), Failure> {
    context.printer.result(changed, |changed, lines| lines.add(&changed.line))
}

fn system_time(time: jiff::Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.as_second().try_into().unwrap_or_default())
}

/// Reads `HOST` or `HOST/NAMESPACE`.
fn parse_namespace(text: &str) -> Result<Namespace, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let is_host = !text.contains('/');
    // A registry without a repository is not a reference.
    let whole = if is_host { format!("{text}/any") } else { text.to_owned() };
    match whole.parse::<Reference>() {
        Ok(Reference { location: Location::Registry { host, repository }, target: None }) => {
            Ok(Namespace { host, namespace: (!is_host).then_some(repository) })
        }
        _ => Err("expected HOST or HOST/NAMESPACE".to_owned()),
    }
}

/// Reads `never`, a time from now, or a date.
fn parse_end(text: &str) -> Result<End, String> {
    if text == "never" {
        return Ok(End::Never);
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let end = date.tomorrow().and_then(|day| jiff::tz::Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)));
        return end.map(End::At).map_err(|error| error.to_string());
    }
    let length: Duration = super::prune::parse_duration(text)
        .map_err(|error| format!("expected `never`, a date or a time such as `30d`: {error}"))?;
    let end = jiff::Timestamp::now().checked_add(length).map_err(|error| error.to_string())?;
    Ok(End::At(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_registry_or_a_namespace() {
        for (text, host, namespace) in [
            ("ghcr.io", "ghcr.io", None),
            ("localhost:5000/", "localhost:5000", None),
            ("[::1]:5000", "[::1]:5000", None),
            ("quay.io/owner", "quay.io", Some("owner")),
            ("registry.example/a/b", "registry.example", Some("a/b")),
        ] {
            let place = parse_namespace(text).unwrap();
            let found = place.namespace.as_ref().map(RepositoryName::as_str);
            assert_eq!((place.host.as_str(), found), (host, namespace), "{text}");
        }
        for text in ["", "oci:store", "s3://bucket/prefix", "ghcr.io/owner:v1", "no host"] {
            assert!(parse_namespace(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ends_are_times_dates_or_never() {
        assert!(matches!(parse_end("never"), Ok(End::Never)));
        let Ok(End::At(end)) = parse_end("2027-01-31") else { panic!("a date is an end") };
        assert_eq!(end.to_string(), "2027-02-01T00:00:00Z");
        let Ok(End::At(end)) = parse_end("1h") else { panic!("a time is an end") };
        assert!(end > jiff::Timestamp::now());
        for text in ["", "soon", "2027-13-01", "-1d"] {
            assert!(parse_end(text).is_err(), "{text}");
        }
    }
}
