//! `d1oci serve`: a gateway that makes repositories readable by DataONE clients, browsers and `curl`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use d1_catalog::Catalog;
use d1_gateway::{Event, Gateway, GatewayOptions, Network, Observer, Repository};
use oci_model::Reference;
use registry_backend::{Access, RegistryBackend};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::catalogs::repository_name;
use crate::context::{Context, temporary_directory};
use crate::failure::{ExitStatus, Failure};
use crate::output::{Format, Printer};

/// Serve repositories over HTTP: DataONE's read interface, plain files, zips and web pages.
///
/// Everybody may read the served content: objects whose system metadata allow it, and packages without system metadata. The catalogue is
/// brought up to date first and then regularly. The first SIGINT or SIGTERM lets running requests end; the exit code is then 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci serve oci:store --open")]
pub(crate) struct Arguments {
    /// The repositories.
    #[arg(required = true)]
    repositories: Vec<Reference>,
    /// The address and port to listen at.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The URL by which clients reach the gateway, such as `https://data.example.org`; without it, the Host header of each request.
    #[arg(long, value_name = "URL", value_parser = base_url)]
    base_url: Option<String>,
    /// Proxy, or range such as `10.0.0.0/8`, whose X-Forwarded headers count; may be repeated.
    #[arg(long = "trusted-proxy", value_name = "NETWORK")]
    trusted_proxies: Vec<Network>,
    /// File of the catalogue, kept between runs; without it, a temporary one is built at every start.
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Answer as a DataONE Coordinating Node too, below /cn.
    #[arg(long)]
    cn: bool,
    /// Identifier of the node in DataONE.
    #[arg(long, value_name = "URN", default_value = "urn:node:D1OCI")]
    node_id: String,
    /// Name of the node for people.
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// One sentence about the content.
    #[arg(long, value_name = "TEXT")]
    node_description: Option<String>,
    /// How often to look for changes, in seconds; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    refresh: u64,
    /// How much content to keep in memory, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(0..=1_048_576))]
    cache_memory: u64,
    /// How much content of registries and buckets to keep in a temporary file, in MiB; 0 is none.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(0..=1_048_576))]
    cache_disk: u64,
    /// The most connections at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_connections: u32,
    /// The most connections at a time from one address, except trusted proxies.
    #[arg(long, value_name = "NUMBER", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_connections_per_client: u32,
    /// Show the start page in the web browser of this machine.
    #[arg(long)]
    open: bool,
    /// Write no access log. Otherwise each request is a line of JSON on standard output.
    #[arg(long)]
    no_access_log: bool,
}

/// For how long requests to a store are repeated, unless the configuration says so. A client of the gateway waits as long, and then gets 503.
#[cfg(feature = "distribution-client")]
const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Listening {
    listening: String,
    repositories: Vec<String>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    #[cfg(feature = "distribution-client")]
    context.registries.wait_at_most(LONGEST_WAIT);
    let (mut repositories, mut names) = (Vec::new(), Vec::new());
    for repository in &arguments.repositories {
        let location = context.repository_only(repository, "serve")?;
        let backend: Arc<dyn RegistryBackend> = context.open_current(location, Access::Read).await?.into();
        names.push(backend.to_string());
        repositories.push(Repository::new(repository_name(location), backend));
    }
    // A file lives as long as the value.
    let (_folder, catalog) = open_catalog(arguments.catalog.as_ref())?;
    let log = Log { printer: context.printer, has_accesses: !arguments.no_access_log };
    let options = options(&arguments);
    let gateway = Gateway::new(repositories, catalog, options, Arc::new(log)).await.map_err(failure)?;
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        Failure::new(ExitStatus::LocalIo, error).with_hint("choose another address with `--listen`")
    })?;
    let address = listener.local_addr().map_err(|error| Failure::new(ExitStatus::LocalIo, error))?;
    // The first catalogue comes before the first request. A repository that is away now may answer later.
    let refreshed = gateway.refresh().await;
    if let (Err(error), 1) = (refreshed, names.len()) {
        context.printer.warning(format!("the repository does not answer yet: {error}"));
    }
    let listening = Listening { listening: format!("http://{address}"), repositories: names };
    match context.printer.format() {
        Format::Json => context.printer.item(&listening, |_, _| ())?,
        _ => context.printer.status(format!("listening at {}", listening.listening)),
    }
    if arguments.open {
        open(context.printer, &listening.listening);
    }
    gateway.serve(listener, context.stop.notified()).await.map_err(failure)
}

/// Shows a page in the web browser of this machine. A machine without one gets a warning: the gateway serves anyway.
fn open(printer: Printer, url: &str) {
    let program = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ => "xdg-open",
    };
    let mut command = std::process::Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(mut child) => {
            // The program ends when the browser has the page.
            std::thread::spawn(move || child.wait());
        }
        Err(error) => printer.warning(format!("cannot run `{program}`: {error}; open {url} in a browser")),
    }
}

/// Opens the catalogue in a file, or a new one in a temporary directory.
fn open_catalog(file: Option<&PathBuf>) -> Result<(Option<tempfile::TempDir>, Catalog), Failure> {
    if let Some(file) = file {
        return Ok((None, Catalog::open(file)?));
    }
    let made = tempfile::Builder::new().prefix("d1oci-serve-").tempdir_in(temporary_directory());
    let folder =
        made.map_err(|error| Failure::file("create a directory in", &temporary_directory(), error))?;
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite"))?;
    Ok((Some(folder), catalog))
}

fn options(arguments: &Arguments) -> GatewayOptions {
    let mut options = GatewayOptions::default();
    options.base_url.clone_from(&arguments.base_url);
    options.trusted_proxies.clone_from(&arguments.trusted_proxies);
    options.coordinating_node = arguments.cn;
    options.node.identifier.clone_from(&arguments.node_id);
    options.node.subject = format!("CN={},DC=dataone,DC=org", arguments.node_id);
    if let Some(name) = &arguments.node_name {
        options.node.name.clone_from(name);
    }
    if let Some(description) = &arguments.node_description {
        options.node.description.clone_from(description);
    }
    options.refresh = (arguments.refresh > 0).then(|| Duration::from_secs(arguments.refresh));
    options.cache_bytes = arguments.cache_memory << 20;
    options.disk_cache_bytes = arguments.cache_disk << 20;
    options.disk_cache_directory = temporary_directory();
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    options.max_connections = number(arguments.max_connections);
    options.max_connections_per_client = number(arguments.max_connections_per_client);
    options
}

fn failure(error: d1_gateway::Error) -> Failure {
    match error {
        d1_gateway::Error::Catalog(error) => error.into(),
        error @ d1_gateway::Error::OtherRepository { .. } => Failure::new(ExitStatus::Usage, error)
            .with_hint("name another file, or remove the repository from this one with `d1oci catalog drop`"),
        error => Failure::new(ExitStatus::LocalIo, error),
    }
}

fn base_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:/[]%".contains(&byte);
    match rest {
        Some(rest) if !rest.is_empty() && rest.bytes().all(is_plain) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("expected a URL such as https://data.example.org, without a query".to_owned()),
    }
}

/// Writes the access log to standard output, and warnings to standard error.
struct Log {
    printer: Printer,
    has_accesses: bool,
}

impl Observer for Log {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Access(access) if self.has_accesses => {
                if let Ok(line) = serde_json::to_string(access) {
                    // Nobody can be told that the log's reader is gone.
                    let _ = self.printer.raw(format!("{line}\n").as_bytes());
                }
            }
            Event::Warning(text) => self.printer.warning(text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::base_url;

    #[test]
    fn a_base_url_has_no_slash_at_its_end_and_no_query() {
        assert_eq!(base_url("https://data.example.org/d1/").as_deref(), Ok("https://data.example.org/d1"));
        for wrong in ["", "data.example.org", "https://", "https://a/?x=1", "https://a b", "ftp://a"] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }
}
