//! How to talk to a registry: what the command line, the configuration file and the environment say about it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use distribution_client::{
    ClientCertificate, ClientOptions, Profile, Proxies, Registries, RegistryWarning, Scheme, Secret,
};

use crate::credentials::CredentialPlaces;
use crate::environment::{Environment, ProxyVariables};
use crate::failure::Failure;
use crate::output::Printer;
use crate::settings::{BackendKind, HostSettings, Settings};

/// Options of every command that talks to a registry.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RegistryOptions {
    /// Talk to the registry without TLS; on this machine that is usual, and `--plain-http=false` uses TLS.
    #[arg(
        long,
        global = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOLEAN",
        help_heading = "Registry options"
    )]
    plain_http: Option<bool>,
    /// Trust the authorities in this PEM file too.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Registry options")]
    ca_file: Option<PathBuf>,
    /// Show the registry the client certificate in this PEM file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        requires = "key_file",
        help_heading = "Registry options"
    )]
    cert_file: Option<PathBuf>,
    /// Private key of the client certificate, in PEM.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        requires = "cert_file",
        help_heading = "Registry options"
    )]
    key_file: Option<PathBuf>,
}

/// What there is to know about registries before one is named.
#[derive(Debug)]
pub(crate) struct RegistrySetup {
    pub(crate) environment: Environment,
    options: RegistryOptions,
    printer: Printer,
    /// The host that the options of the command line are for.
    host_of_options: OnceLock<String>,
    /// The registries that were named so far: a command that is about two repositories of one has one client.
    places: Mutex<HashMap<String, Arc<RegistryPlace>>>,
}

/// A registry that was named, and how to talk to it.
#[derive(Debug, Default)]
pub(crate) struct RegistryPlace {
    host: String,
    pub(crate) client: ClientOptions,
    /// The client, shared by all repositories.
    pub(crate) registries: Arc<Registries>,
    settings: HostSettings,
}

impl RegistrySetup {
    pub(crate) fn new(options: RegistryOptions, printer: Printer) -> Self {
        Self {
            environment: Environment::of_process(),
            options,
            printer,
            host_of_options: OnceLock::new(),
            places: Mutex::default(),
        }
    }

    /// Puts together how to talk to a registry, once.
    ///
    /// # Errors
    ///
    /// If what the user set cannot be read or understood, or says of two registries what can be true of one.
    pub(crate) fn place(&self, host: &str) -> Result<Arc<RegistryPlace>, Failure> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(host) {
            return Ok(place.clone());
        }
        let place = Arc::new(self.new_place(host)?);
        places.insert(host.to_owned(), place.clone());
        Ok(place)
    }

    fn new_place(&self, host: &str) -> Result<RegistryPlace, Failure> {
        self.check_options(host)?;
        let file = Settings::load(&self.environment)?;
        let settings = file.host(host).cloned().unwrap_or_default();
        let credentials = CredentialPlaces::new(&self.environment, Some(&settings), host, self.printer)?;
        let mut client = ClientOptions::default().with_credentials(credentials);
        client.user_agent = concat!("d1oci/", env!("CARGO_PKG_VERSION")).to_owned();
        let authorities = self.options.ca_file.clone().or(settings.ca_file().map(|path| file.resolve(path)));
        client.extra_authorities = authorities.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        client.client_certificate = self.client_certificate(&file, &settings)?;
        let uses_tls = !client.extra_authorities.is_empty() || client.client_certificate.is_some();
        client.scheme = match self.options.plain_http.or(settings.plain_http()) {
            Some(true) => Scheme::Http,
            Some(false) => Scheme::Https,
            // Who names certificates wants them to be used.
            None if uses_tls => Scheme::Https,
            None => Scheme::Auto,
        };
        // As everywhere in the field, there is no proxy on the way to this machine.
        if !is_this_machine(host) {
            client.proxies = proxies(&self.environment);
        }
        let printer = self.printer;
        client.warnings = Some(Arc::new(move |warning: &RegistryWarning<'_>| {
            printer.warning(format_args!("{} says: {}", warning.host, warning.text));
        }));
        let registries = Arc::new(Registries::new(client.clone()));
        Ok(RegistryPlace { host: host.to_owned(), client, registries, settings })
    }

    /// Plain text and client certificates that are meant for one registry are not for another.
    fn check_options(&self, host: &str) -> Result<(), Failure> {
        if self.options.plain_http.is_none() && self.options.cert_file.is_none() {
            return Ok(());
        }
        let first = self.host_of_options.get_or_init(|| host.to_owned());
        if first == host {
            return Ok(());
        }
        Err(Failure::usage(format!("`--plain-http` and `--cert-file` would be for both {first} and {host}"))
            .with_hint("say in the configuration file what each of them needs (docs/configuration.md)"))
    }

    fn client_certificate(
        &self,
        file: &Settings,
        settings: &HostSettings,
    ) -> Result<Option<ClientCertificate>, Failure> {
        let typed = self.options.cert_file.clone().zip(self.options.key_file.clone());
        let set = settings.client_certificate().map(|(chain, key)| (file.resolve(chain), file.resolve(key)));
        let Some((chain, key)) = typed.or(set) else { return Ok(None) };
        let key_text = String::from_utf8(read(&key)?).map_err(|_| {
            Failure::usage(format!("`{}` is no private key in PEM form: it is not text", key.display()))
        })?;
        Ok(Some(ClientCertificate { chain: read(&chain)?, key: Secret::new(key_text) }))
    }
}

/// The largest certificate or key file that is read, in bytes.
const LARGEST_PEM: u64 = 4 * 1024 * 1024;

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let size = fs::metadata(path).map_err(|error| Failure::file("read", path, error))?.len();
    if size > LARGEST_PEM {
        return Err(Failure::usage(format!("`{}` is too large for a PEM file", path.display())));
    }
    fs::read(path).map_err(|error| Failure::file("read", path, error))
}

/// Tells whether a host is this machine, by the rule by which the client does without TLS.
pub(crate) fn is_this_machine(host: &str) -> bool {
    ClientOptions::default().speaks_plainly_to(host)
}

fn proxies(environment: &Environment) -> Proxies {
    let ProxyVariables { http, https, except } = environment.proxies();
    Proxies { http: http.map(Secret::new), https: https.map(Secret::new), except: except.map(str::to_owned) }
}

impl RegistryPlace {
    /// Returns the name of the backend that the configuration file sets.
    pub(crate) fn backend(&self) -> Option<&'static str> {
        self.settings.backend().map(BackendKind::name)
    }

    /// Returns what is known about the registry if it is of this kind, and what is set.
    pub(crate) fn profile(&self, kind: BackendKind) -> Profile {
        let mut profile = match kind {
            #[cfg(feature = "backend-ghcr")]
            BackendKind::Ghcr => backend_ghcr::profile(),
            #[cfg(feature = "backend-quay")]
            BackendKind::Quay => backend_quay::profile_at(&self.host),
            _ => Profile::generic_at(&self.host),
        };
        self.settings.apply(&mut profile);
        profile
    }

    /// Returns what kind of registry it is: what is set, or else what the host tells.
    pub(crate) fn kind(&self) -> BackendKind {
        self.settings.backend().unwrap_or(match self.host.as_str() {
            "ghcr.io" => BackendKind::Ghcr,
            "quay.io" => BackendKind::Quay,
            _ => BackendKind::Generic,
        })
    }

    /// Returns the host and interface of a GitHub server of one's own.
    #[cfg(feature = "backend-ghcr")]
    pub(crate) fn github_server(&self) -> Option<(&str, &str)> {
        self.settings.api().map(|api| (self.host.as_str(), api))
    }
}
