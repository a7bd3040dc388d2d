//! How to talk to registries: the command line, the configuration file and the environment together.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use distribution_client::{
    ClientCertificate, ClientOptions, Credential, FixedCredential, Profile, Proxies, Registries, Registry,
    RegistryFactory, RegistryWarning, Scheme, Secret, VendorPlace, VendorRepository, WaitObserver,
};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Location, RepositoryName};
use registry_backend::{Backends, Fit};

use crate::credentials::{CredentialPlaces, secret_of_stdin};
use crate::environment::{Environment, ProxyVariables};
use crate::failure::{ExitStatus, Failure};
use crate::files::read_regular;
use crate::output::progress::Screen;
use crate::output::waits::Waits;
use crate::settings::{HostSettings, Settings};
use crate::uploads::UploadFiles;

/// Options of every command that talks to a registry.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RegistryOptions {
    /// Use plain HTTP (the default for localhost); `--plain-http=false` uses TLS.
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
    /// Trust the authorities in this PEM file, besides those of the system.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Registry options")]
    ca_file: Option<PathBuf>,
    /// Identify yourself with the client certificate in this PEM file.
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
    /// Log in with this name for this command alone, instead of the stored login.
    #[arg(short, long, global = true, value_name = "NAME", value_parser = parse_username, help_heading = "Registry options")]
    username: Option<String>,
    /// The password or token for `--username`. Other users of the machine can see it: `--password-stdin` is safer.
    #[arg(
        short,
        long,
        global = true,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin",
        requires = "username",
        help_heading = "Registry options"
    )]
    password: Option<Typed>,
    /// Read the password or token for `--username` from standard input.
    #[arg(long, global = true, requires = "username", help_heading = "Registry options")]
    password_stdin: bool,
    /// File with logins, in the form of Docker's `config.json`; it comes before all others.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Registry options")]
    registry_config: Option<PathBuf>,
    /// How many blobs to transfer at a time, from 1 to 64 [default: as the registry can bear].
    #[arg(
        long,
        global = true,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u8).range(1..=64),
        help_heading = "Registry options"
    )]
    concurrency: Option<u8>,
}

impl RegistryOptions {
    /// Returns whether no option for one registry is set.
    fn is_empty(&self) -> bool {
        self.username.is_none() && self.plain_http.is_none() && self.ca_file.is_none()
    }

    /// Forgets the login, which is not checked yet.
    pub(crate) fn forget_login(&mut self) {
        self.username = None;
        self.password = None;
        self.password_stdin = false;
    }
}

/// The options of one of two registries: `--from-username` and `--to-username` say whose login it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct SideOptions {
    from: RegistryOptions,
    to: RegistryOptions,
}

/// The options of both sides: name and password, whether the password comes from standard input, plain HTTP, authorities.
const SIDES: [[&str; 5]; 2] = [
    ["from-username", "from-password", "from-password-stdin", "from-plain-http", "from-ca-file"],
    ["to-username", "to-password", "to-password-stdin", "to-plain-http", "to-ca-file"],
];

impl clap::Args for SideOptions {
    fn augment_args(command: Command) -> Command {
        let option = |name: &'static str| Arg::new(name).long(name).help_heading("Options for one registry");
        SIDES.into_iter().zip(["source", "target"]).fold(command, |command, (names, side)| {
            let [username, password, stdin, plain_http, ca_file] = names;
            command.args([
                option(username)
                    .value_name("NAME")
                    .value_parser(parse_username)
                    .help(format!("As `--username`, for the registry of the {side} alone")),
                option(password)
                    .value_name("PASSWORD")
                    .requires(username)
                    .conflicts_with(stdin)
                    .help(format!("As `--password`, for the registry of the {side} alone")),
                option(stdin)
                    .action(ArgAction::SetTrue)
                    .requires(username)
                    .help(format!("As `--password-stdin`, for the registry of the {side} alone")),
                option(plain_http)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_name("BOOLEAN")
                    .value_parser(clap::value_parser!(bool))
                    .help(format!("As `--plain-http`, for the registry of the {side} alone")),
                option(ca_file)
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help(format!("As `--ca-file`, for the registry of the {side} alone")),
            ])
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SideOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let side = |[username, password, stdin, plain_http, ca_file]: [&str; 5]| RegistryOptions {
            username: matches.get_one(username).cloned(),
            password: matches.get_one::<String>(password).cloned().map(Typed::from),
            password_stdin: matches.get_flag(stdin),
            plain_http: matches.get_one(plain_http).copied(),
            ca_file: matches.get_one(ca_file).cloned(),
            ..RegistryOptions::default()
        };
        let [from, to] = SIDES.map(side);
        Ok(Self { from, to })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A secret on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Typed(pub(crate) Secret);

impl From<String> for Typed {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

/// Reads a user name. A colon would end the name in the header that carries it (RFC 7617 section 2).
pub(crate) fn parse_username(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(':') || text.chars().any(char::is_control) {
        return Err("expected a user name without a colon".to_owned());
    }
    Ok(text.to_owned())
}

/// The registries of a command: how to talk to each, put together when it is named first.
#[derive(Debug)]
pub(crate) struct RegistrySetup {
    pub(crate) environment: Environment,
    profiles: Vec<Profile>,
    options: RegistryOptions,
    screen: Screen,
    waits: Arc<Waits>,
    settings: OnceLock<Settings>,
    /// The options for one of two registries alone, by host.
    sides: OnceLock<HashMap<String, RegistryOptions>>,
    /// The host that the options of the command line are for.
    host_of_options: OnceLock<String>,
    /// The password that standard input had.
    password_of_stdin: OnceLock<Secret>,
    /// For how long failed requests are repeated, if the command wants another time than usual.
    usual_patience: OnceLock<Duration>,
    /// The registries that were named so far: a command about two repositories of one registry has one client.
    places: Mutex<HashMap<String, Arc<RegistryPlace>>>,
}

/// One registry, and how to talk to it.
#[derive(Debug)]
pub(crate) struct RegistryPlace {
    host: String,
    pub(crate) client: ClientOptions,
    /// The client, shared by all repositories.
    registries: Arc<Registries>,
    settings: HostSettings,
    profiles: Vec<Profile>,
}

impl RegistrySetup {
    pub(crate) fn new(profiles: Vec<Profile>, options: RegistryOptions, screen: Screen) -> Self {
        let mut environment = Environment::of_process();
        if let Some(path) = &options.registry_config {
            environment.set_path("REGISTRY_AUTH_FILE", path);
        }
        Self {
            environment,
            profiles,
            options,
            password_of_stdin: OnceLock::new(),
            waits: Arc::new(Waits::new(screen.clone())),
            screen,
            settings: OnceLock::new(),
            sides: OnceLock::new(),
            host_of_options: OnceLock::new(),
            usual_patience: OnceLock::new(),
            places: Mutex::default(),
        }
    }

    /// Sets for how long failed requests are repeated, where the configuration says nothing. Places that were put together before keep
    /// their patience.
    #[cfg(feature = "d1-gateway")]
    pub(crate) fn wait_at_most(&self, patience: Duration) {
        // A second call would be a mistake of the caller without consequences.
        let _ = self.usual_patience.set(patience);
    }

    /// Sets the options of the source and of the target of a command, before it opens either.
    ///
    /// # Errors
    ///
    /// If they are for a place that is not a registry, or both for one registry.
    pub(crate) fn set_sides(
        &self,
        options: SideOptions,
        from: &Location,
        to: &Location,
    ) -> Result<(), Failure> {
        let mut sides = HashMap::new();
        for (side, options, location) in [("from", options.from, from), ("to", options.to, to)] {
            if options.is_empty() {
                continue;
            }
            let Location::Registry { host, .. } = location else {
                let message =
                    format!("expected a registry for the options with `--{side}-`, found `{location}`");
                return Err(Failure::usage(message).with_hint("leave these options out"));
            };
            if sides.insert(host.clone(), options).is_some() {
                let message =
                    format!("the options with `--from-` and with `--to-` would both apply to {host}");
                return Err(Failure::usage(message).with_hint("give them once, without `from-` and `to-`"));
            }
        }
        if sides.values().filter(|options| options.password_stdin).count() > 1 {
            let message = "expected one password on standard input, found options for two";
            return Err(Failure::usage(message).with_hint("`d1oci login` stores the other one"));
        }
        // A command sets them once.
        let _ = self.sides.set(sides);
        Ok(())
    }

    /// Returns the options for a registry.
    fn options_of(&self, host: &str) -> RegistryOptions {
        let mut options = self.options.clone();
        if let Some(side) = self.sides.get().and_then(|sides| sides.get(host)).cloned() {
            options.plain_http = side.plain_http.or(options.plain_http);
            options.ca_file = side.ca_file.or(options.ca_file);
            if side.username.is_some() {
                options.username = side.username;
                options.password = side.password;
                options.password_stdin = side.password_stdin;
            }
        }
        options
    }

    /// Returns the configuration file, read once.
    ///
    /// # Errors
    ///
    /// If it cannot be read or understood.
    pub(crate) fn settings(&self) -> Result<&Settings, Failure> {
        if let Some(settings) = self.settings.get() {
            return Ok(settings);
        }
        let settings = Settings::load(&self.environment, &self.profiles)?;
        Ok(self.settings.get_or_init(|| settings))
    }

    /// Adds a factory for each kind of registry, for listing them.
    pub(crate) fn add_to(&self, backends: Backends) -> Backends {
        let registries = Arc::<Registries>::default();
        self.profiles.iter().fold(backends, |backends, profile| {
            backends.with(RegistryFactory::new(registries.clone(), profile.clone()))
        })
    }

    /// Puts together how to talk to a registry, once.
    ///
    /// # Errors
    ///
    /// If the configuration or a file that it names cannot be read or used, or if one option would apply to two
    /// registries.
    pub(crate) fn place(&self, host: &str) -> Result<Arc<RegistryPlace>, Failure> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(host) {
            return Ok(place.clone());
        }
        let place = Arc::new(self.new_place(host)?);
        places.insert(host.to_owned(), place.clone());
        Ok(place)
    }

    /// Cancels all upload sessions that are open, after the command that uses them was interrupted.
    pub(crate) async fn cancel_uploads(&self) {
        let places: Vec<_> =
            self.places.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        futures::future::join_all(places.iter().map(|place| place.registries.cancel_uploads())).await;
    }

    fn new_place(&self, host: &str) -> Result<RegistryPlace, Failure> {
        self.check_options(host)?;
        let options = self.options_of(host);
        let file = self.settings()?;
        let mut settings = file.host(host).cloned().unwrap_or_default();
        if let Some(patience) = self.usual_patience.get() {
            settings.set_usual_patience(*patience);
        }
        if let Some(parallel) = self.options.concurrency {
            settings.set_parallel(parallel.into());
        }
        let mut place = RegistryPlace {
            host: host.to_owned(),
            client: ClientOptions::default(),
            registries: Arc::default(),
            settings,
            profiles: self.profiles.clone(),
        };
        let login = place.profile().login;
        let settings = &place.settings;
        let mut client = ClientOptions::default();
        client = match self.typed_credential(&options)? {
            Some(credential) => client.with_credentials(FixedCredential::new(host, credential)),
            None => {
                let printer = self.screen.printer;
                let places = CredentialPlaces::new(&self.environment, Some(settings), &login, host, printer)?;
                client.with_credentials(places)
            }
        };
        client.user_agent = concat!("d1oci/", env!("CARGO_PKG_VERSION")).to_owned();
        let authorities = options.ca_file.clone().or(settings.ca_file().map(|path| file.resolve(path)));
        client.extra_authorities = authorities.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        client.client_certificate = self.client_certificate(file, settings)?;
        let uses_tls = !client.extra_authorities.is_empty() || client.client_certificate.is_some();
        client.scheme = match options.plain_http.or(settings.plain_http()) {
            Some(true) => Scheme::Http,
            Some(false) => Scheme::Https,
            // A user who names certificates wants to use them.
            None if uses_tls => Scheme::Https,
            None => Scheme::Auto,
        };
        // As everywhere in the field, no proxy stands before this machine.
        if !is_this_machine(host) {
            client.proxies = proxies(&self.environment);
        }
        if let Some(path) = &authorities {
            check_authorities(host, path, &client)?;
        }
        self.observe(&mut client);
        place.registries = Arc::new(Registries::new(client.clone()));
        place.client = client;
        Ok(place)
    }

    /// Returns the login that the command line gives. `d1oci login` has its own, and asks for a password at the terminal.
    fn typed_credential(&self, options: &RegistryOptions) -> Result<Option<Credential>, Failure> {
        let Some(username) = options.username.clone() else { return Ok(None) };
        let password = match (&options.password, self.password_of_stdin.get()) {
            (Some(Typed(password)), _) => {
                self.screen
                    .printer
                    .warning("other users can see a password on the command line: use `--password-stdin`");
                password.clone()
            }
            (None, Some(password)) => password.clone(),
            (None, None) if options.password_stdin => {
                let password = secret_of_stdin()?;
                self.password_of_stdin.get_or_init(|| password).clone()
            }
            (None, None) => {
                return Err(Failure::usage("expected a password for `--username`, found none").with_hint(
                    format!("pass it on standard input: `… | d1oci … -u {username} --password-stdin`"),
                ));
            }
        };
        Ok(Some(Credential::Password { username, password }))
    }

    /// Puts the settings of the configuration file, the proxies and the display of waits into the options of a bucket.
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    pub(crate) fn apply_to_bucket(
        &self,
        url: &str,
        options: &mut backend_layout::BucketOptions,
    ) -> Result<(), Failure> {
        let file = self.settings()?;
        let settings = file.bucket(url);
        if let Some(patience) = self.usual_patience.get() {
            options.retry.patience = *patience;
        }
        if let Some(settings) = settings {
            settings.apply(url, options);
        }
        let set = settings.and_then(|settings| settings.ca_file()).map(|path| file.resolve(path));
        let authorities = self.options.ca_file.clone().or(set);
        options.extra_authorities = authorities.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        options.proxies = proxies(&self.environment);
        let screen = self.screen.clone();
        options.warnings = backend_layout::Warnings::new(move |text| {
            screen.line(|printer| printer.warning(format_args!("{text}")));
        });
        let waits = self.waits.clone();
        options.waits = WaitObserver::new(move |wait| {
            waits.note(wait.server, &wait.reason, wait.length, wait.is_stated);
        });
        Ok(())
    }

    /// Lets the program show warnings and waits, and remember the sessions of large uploads.
    fn observe(&self, client: &mut ClientOptions) {
        let screen = self.screen.clone();
        client.warnings = Some(Arc::new(move |warning: &RegistryWarning<'_>| {
            let text = format_args!("{} says: {}", warning.host, warning.text);
            screen.line(|printer| printer.warning(text));
        }));
        let waits = self.waits.clone();
        client.waits = WaitObserver::new(move |wait| {
            waits.note(wait.server, &wait.reason, wait.length, wait.is_stated);
        });
        let directory = self.environment.below_state_home("d1oci/uploads");
        client.uploads = directory.map(|directory| Arc::new(UploadFiles::new(directory)) as _);
    }

    /// Refuses to use `--plain-http`, a client certificate and a login, which are meant for one registry, for a second one.
    fn check_options(&self, host: &str) -> Result<(), Failure> {
        let RegistryOptions { plain_http, cert_file, username, .. } = &self.options;
        if plain_http.is_none() && cert_file.is_none() && username.is_none() {
            return Ok(());
        }
        let first = self.host_of_options.get_or_init(|| host.to_owned());
        if first == host {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "`--plain-http`, `--cert-file` and `--username` would apply to both {first} and {host}"
        ))
        .with_hint(
            "`--from-plain-http`, `--to-username` and the like are for one of them; the configuration file has the settings of each \
             registry (docs/configuration.md)",
        ))
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
            Failure::usage(format!(
                "expected a private key in PEM form in `{}`, found binary data",
                key.display()
            ))
        })?;
        let certificate = ClientCertificate { chain: read(&chain)?, key: Secret::new(key_text) };
        // An unusable file is refused while its name is still known.
        let mut alone = ClientOptions::default().with_scheme(Scheme::Https);
        alone.client_certificate = Some(certificate.clone());
        Registry::new("localhost", Profile::generic(), &alone).map_err(|error| {
            let places =
                format!("the certificate is in `{}`, its key in `{}`", chain.display(), key.display());
            Failure::new(ExitStatus::Usage, error).with_details([places])
        })?;
        Ok(Some(certificate))
    }
}

/// A vendor's interface for a repository, and advice for a user whom it refuses.
type Vendor = (Arc<dyn VendorRepository>, Option<&'static str>);

/// The largest certificate or key file in bytes.
const LARGEST_PEM: u64 = 4 * 1024 * 1024;

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_regular(path, LARGEST_PEM).map_err(|error| Failure::file("read", path, error))
}

/// Refuses a file without usable certificates while its name is still known.
fn check_authorities(host: &str, path: &Path, client: &ClientOptions) -> Result<(), Failure> {
    let mut alone = ClientOptions::default().with_scheme(Scheme::Https);
    alone.extra_authorities.clone_from(&client.extra_authorities);
    let names_none = !alone.extra_authorities.iter().any(|pem| contains(pem, b"-----BEGIN CERTIFICATE-----"));
    match Registry::new(host, Profile::generic(), &alone) {
        Ok(_) if !names_none => Ok(()),
        Ok(_) => Err(Failure::usage(format!(
            "expected certificates in PEM form in `{}`, found none",
            path.display()
        ))),
        Err(error) => Err(Failure::new(ExitStatus::Usage, error)
            .with_details([format!("the certificates are those in `{}`", path.display())])),
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Tells whether a host is this machine, by the rule by which the client uses plain HTTP.
pub(crate) fn is_this_machine(host: &str) -> bool {
    ClientOptions::default().speaks_plainly_to(host)
}

fn proxies(environment: &Environment) -> Proxies {
    let ProxyVariables { http, https, except } = environment.proxies();
    Proxies { http: http.map(Secret::new), https: https.map(Secret::new), except: except.map(str::to_owned) }
}

impl RegistryPlace {
    /// Returns the name of the backend that the configuration file sets.
    pub(crate) fn backend(&self) -> Option<&str> {
        self.settings.backend()
    }

    /// Returns the profile of the registry: the one that the configuration names, or the one that fits the host best.
    pub(crate) fn profile(&self) -> Profile {
        let named = self.backend().and_then(|name| self.profiles.iter().find(|profile| profile.name == name));
        let by_fit = || {
            // `max_by_key` prefers the last among equals, hence the reversal.
            let best = self.profiles.iter().rev().max_by_key(|profile| profile.fit(&self.host));
            best.filter(|best| best.fit(&self.host) > Fit::OnRequest)
        };
        self.set(named.or_else(by_fit).cloned().unwrap_or_else(Profile::generic))
    }

    /// Tells whether a push that creates a repository creates a private one.
    pub(crate) fn creates_private_repositories(&self) -> bool {
        self.profile().vendor.is_some_and(|vendor| vendor.new_repositories_are_private)
    }

    /// Returns the vendor's interface for a repository, and advice for a user whom it refuses; `None` if the registry has no
    /// interface that this program knows.
    pub(crate) fn vendor(&self, repository: &RepositoryName) -> Result<Option<Vendor>, Failure> {
        let profile = self.profile();
        let Some(vendor) = &profile.vendor else { return Ok(None) };
        let interface = &vendor.url_for(self.settings.api(), &self.host, &profile, &self.client)?;
        let place = VendorPlace {
            interface,
            host: &self.host,
            repository: &profile.whole_name(repository)?,
            profile: &profile,
            options: &self.client,
        };
        Ok(Some(((vendor.open)(&place)?, vendor.login_hint)))
    }

    /// Lists the repositories of the registry, or those below a namespace. For a namespace, the vendor's interface answers if there is
    /// one.
    pub(crate) fn repositories<'a>(
        &'a self,
        namespace: Option<&'a RepositoryName>,
    ) -> Result<BoxStream<'a, registry_backend::Result<RepositoryName>>, Failure> {
        let profile = self.profile();
        if let (Some(namespace), Some(vendor)) = (namespace, &profile.vendor)
            && let Some(open) = vendor.repositories
        {
            let interface = &vendor.url_for(self.settings.api(), &self.host, &profile, &self.client)?;
            let (host, options) = (&self.host, &self.client);
            let lister =
                open(&VendorPlace { interface, host, repository: namespace, profile: &profile, options })?;
            let listed = async move { lister.repositories().await.map(|found| stream::iter(found).map(Ok)) };
            return Ok(stream::once(listed).try_flatten().boxed());
        }
        let below = namespace.map(|namespace| format!("{namespace}/"));
        let is_below = move |name: &RepositoryName| {
            let found = below.as_ref().is_none_or(|below| name.as_str().starts_with(below.as_str()));
            std::future::ready(found)
        };
        Ok(self.registries.open(&self.host, profile)?.repositories().try_filter(is_below).boxed())
    }

    /// Returns the backends with a factory for each profile, for this registry alone.
    pub(crate) fn add_to(&self, backends: Backends) -> Backends {
        self.profiles.iter().fold(backends, |backends, profile| {
            let name = profile.name;
            let factory = RegistryFactory::new(self.registries.clone(), self.set(profile.clone()));
            backends.with(match (self.settings.backend(), self.settings.api()) {
                (Some(set), Some(api)) if set == name => factory.with_interface(&self.host, api),
                (Some(set), None) if set == name => factory.with_host(&self.host),
                _ => factory,
            })
        })
    }

    /// Returns a profile for this host, with the settings of the configuration file.
    fn set(&self, profile: Profile) -> Profile {
        let mut profile = profile.at(&self.host);
        self.settings.apply(&mut profile);
        profile
    }
}
