//! How to talk to DataONE nodes: what the command line and the environment say about it.

use std::path::PathBuf;

use d1_client::{
    ClientOptions, Error, ErrorKind, NodeClient, PRODUCTION_COORDINATING_NODE, Proxies, Retry, Secret,
};
use d1_sync::DataOneSource;

use crate::environment::{Environment, ProxyVariables};
use crate::failure::{ExitStatus, Failure};

/// The variable that holds the token of the DataONE portal.
const TOKEN_VARIABLE: &str = "D1OCI_DATAONE_TOKEN";
/// The largest file that can be a token, in bytes.
const LARGEST_TOKEN: u64 = 64 << 10;

/// Options of the commands that read from DataONE.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NodeOptions {
    /// Read everything from this node, instead of from wherever a Coordinating Node says that it is.
    #[arg(long, value_name = "URL", conflicts_with = "cn", help_heading = "DataONE options")]
    pub(crate) node: Option<String>,
    /// Coordinating Node to ask where things are.
    #[arg(long, value_name = "URL", default_value = PRODUCTION_COORDINATING_NODE, help_heading = "DataONE options")]
    cn: String,
    /// File that holds the token of the DataONE portal, for what is not public [default: `D1OCI_DATAONE_TOKEN` in the
    /// environment, if it is set].
    #[arg(long, value_name = "FILE", help_heading = "DataONE options")]
    token_file: Option<PathBuf>,
    /// Requests per second to one node.
    #[arg(long, value_name = "NUMBER", default_value_t = 50.0, help_heading = "DataONE options")]
    rate: f64,
}

/// What of packages is taken.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct SelectionOptions {
    /// Take also the packages within packages, each by itself.
    #[arg(long)]
    pub(crate) nested: bool,
    /// Take also what is not public.
    #[arg(long)]
    pub(crate) include_private: bool,
    /// Leave out members that no node has.
    #[arg(long)]
    pub(crate) skip_missing: bool,
}

impl NodeOptions {
    /// Returns where to read from.
    ///
    /// # Errors
    ///
    /// If a URL or the token cannot be used.
    pub(crate) fn source(&self) -> Result<DataOneSource, Failure> {
        let client = self.client()?;
        Ok(if self.node.is_some() { DataOneSource::Node(client) } else { DataOneSource::Network(client) })
    }

    /// Returns the client of the node that was named, or of the Coordinating Node.
    ///
    /// # Errors
    ///
    /// As [`source`](Self::source).
    pub(crate) fn client(&self) -> Result<NodeClient, Failure> {
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return Err(Failure::usage("`--rate` wants a number above 0"));
        }
        let environment = Environment::of_process();
        let user_agent = concat!("d1oci/", env!("CARGO_PKG_VERSION")).to_owned();
        let token = self.token(&environment)?;
        let mut options = ClientOptions { user_agent, token, ..ClientOptions::default() };
        #[cfg(feature = "distribution-client")]
        crate::settings::Settings::load(&environment)?.dataone().apply(&mut options);
        options.budget.requests_per_second = self.rate;
        let ProxyVariables { http, https, except } = environment.proxies();
        options.proxies = Proxies {
            http: http.map(Secret::new),
            https: https.map(Secret::new),
            except: except.map(str::to_owned),
        };
        let url = self.node.as_deref().unwrap_or(&self.cn);
        NodeClient::new(url, &options).map_err(|error| Failure::new(ExitStatus::Usage, error))
    }

    fn token(&self, environment: &Environment) -> Result<Option<Secret>, Failure> {
        let Some(path) = &self.token_file else {
            return Ok(environment.text(TOKEN_VARIABLE).map(Secret::new));
        };
        let failed = |error| Failure::file("read", path, error);
        if std::fs::metadata(path).map_err(failed)?.len() > LARGEST_TOKEN {
            return Err(Failure::usage(format!("`{}` is too large to be a token", path.display())));
        }
        Ok(Some(Secret::new(std::fs::read_to_string(path).map_err(failed)?)))
    }
}

/// Returns the exit status for a node's failure.
pub(crate) fn status(error: &Error) -> ExitStatus {
    match error.kind() {
        ErrorKind::NotFound => ExitStatus::NotFound,
        ErrorKind::NotAuthorized | ErrorKind::InvalidToken => ExitStatus::Denied,
        ErrorKind::Settings | ErrorKind::InvalidRequest => ExitStatus::Usage,
        ErrorKind::Content => ExitStatus::Invalid,
        _ => ExitStatus::Network,
    }
}

/// Returns advice on a node's failure.
pub(crate) fn hint(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotAuthorized | ErrorKind::InvalidToken => Some(
            "what is not public needs a token: `--token-file FILE`, or `D1OCI_DATAONE_TOKEN` in the environment",
        ),
        ErrorKind::NotImplemented => Some("name the resource map of the package, or ask another node"),
        ErrorKind::Unavailable | ErrorKind::RateLimited if error.retry() != Retry::No => {
            Some("run the same command again later: only what is missing will be moved")
        }
        _ => None,
    }
}
