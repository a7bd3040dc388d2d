//! How to talk to DataONE nodes, and identifiers: options of the command line and variables of the environment.

use std::io::{BufRead, Read};
use std::path::PathBuf;

use d1_client::{ClientOptions, NodeClient, PRODUCTION_COORDINATING_NODE, Proxies, Secret};
use d1_model::Identifier;
use d1_sync::DataOneSource;

use crate::context::Context;
use crate::environment::{Environment, ProxyVariables};
use crate::failure::{ExitStatus, Failure};
use crate::files::{read_regular, while_reading};

/// The variable that holds the token of the DataONE portal.
const TOKEN_VARIABLE: &str = "D1OCI_DATAONE_TOKEN";
/// The longest line with an identifier in bytes. An identifier has at most 800 characters.
const LONGEST_LINE: u64 = 64 << 10;
/// The largest file that can be a token, in bytes.
const LARGEST_TOKEN: u64 = 64 << 10;

/// Options of the commands that read from DataONE.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NodeOptions {
    /// Read everything from this node, instead of from the nodes that a Coordinating Node names.
    #[arg(long, value_name = "URL", help_heading = "DataONE options")]
    pub(crate) node: Option<String>,
    /// Coordinating Node that locates objects [default: `https://cn.dataone.org/cn`]. Together with `--node`, its search
    /// index finds packages, for nodes without one.
    #[arg(long, value_name = "URL", help_heading = "DataONE options")]
    cn: Option<String>,
    /// File with the token of the DataONE portal, for private objects [default: the variable `D1OCI_DATAONE_TOKEN`, if it is
    /// set].
    #[arg(long, value_name = "FILE", help_heading = "DataONE options")]
    token_file: Option<PathBuf>,
    /// Requests per second to one node.
    #[arg(long, value_name = "NUMBER", default_value_t = 50.0, help_heading = "DataONE options")]
    rate: f64,
}

/// The parts of packages to include.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct SelectionOptions {
    /// Include the packages within packages, each by itself.
    #[arg(long)]
    pub(crate) nested: bool,
    /// Include private objects.
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
    pub(crate) fn source(&self, context: &Context) -> Result<DataOneSource, Failure> {
        let network = || self.cn.as_deref().unwrap_or(PRODUCTION_COORDINATING_NODE);
        Ok(match (&self.node, &self.cn) {
            (None, _) => DataOneSource::Network(self.client(context, network())?),
            (Some(node), None) => DataOneSource::Node(self.client(context, node)?),
            (Some(node), Some(index)) => {
                let (node, index) = (self.client(context, node)?, self.client(context, index)?);
                DataOneSource::NodeWithIndex { node, index }
            }
        })
    }

    #[cfg_attr(
        not(feature = "distribution-client"),
        expect(unused_variables, reason = "there is no configuration file")
    )]
    fn client(&self, context: &Context, url: &str) -> Result<NodeClient, Failure> {
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return Err(Failure::usage("expected a number above 0 after `--rate`"));
        }
        let environment = Environment::of_process();
        let user_agent = concat!("d1oci/", env!("CARGO_PKG_VERSION")).to_owned();
        let token = self.token(&environment)?;
        let mut options = ClientOptions { user_agent, token, ..ClientOptions::default() };
        #[cfg(feature = "distribution-client")]
        context.registries.settings()?.dataone().apply(&mut options);
        options.budget.requests_per_second = self.rate;
        let ProxyVariables { http, https, except } = environment.proxies();
        options.proxies = Proxies {
            http: http.map(Secret::new),
            https: https.map(Secret::new),
            except: except.map(str::to_owned),
        };
        NodeClient::new(url, &options).map_err(|error| Failure::new(ExitStatus::Usage, error))
    }

    fn token(&self, environment: &Environment) -> Result<Option<Secret>, Failure> {
        let Some(path) = &self.token_file else {
            return Ok(environment.text(TOKEN_VARIABLE).map(Secret::new));
        };
        let bytes = read_regular(path, LARGEST_TOKEN).map_err(|error| Failure::file("read", path, error))?;
        let token = String::from_utf8(bytes).map_err(|_| {
            Failure::usage(format!("expected a token in `{}`, found bytes that are not text", path.display()))
        })?;
        Ok(Some(Secret::new(token)))
    }
}

/// Reads identifiers from standard input, one on each line. Empty lines and lines that begin with `#` do not count.
///
/// # Errors
///
/// If standard input cannot be read, or a line is not an identifier.
pub(crate) async fn identifiers_on_stdin() -> Result<Vec<Identifier>, Failure> {
    while_reading(|| {
        let mut identifiers = Vec::new();
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = input.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut line);
            if read.map_err(Failure::input)? == 0 {
                break;
            }
            if line.len() as u64 > LONGEST_LINE {
                let message = format!(
                    "expected lines of at most {LONGEST_LINE} bytes on standard input, found a longer one"
                );
                return Err(Failure::usage(message));
            }
            let line = std::str::from_utf8(&line);
            let text = line
                .map_err(|error| Failure::usage(format!("expected identifiers on standard input: {error}")))?
                .trim();
            if !text.is_empty() && !text.starts_with('#') {
                identifiers.push(parse_identifier(text)?);
            }
        }
        Ok(identifiers)
    })
    .await
}

/// Parses an identifier of the command line.
///
/// # Errors
///
/// If the text is not an identifier.
pub(crate) fn parse_identifier(text: &str) -> Result<Identifier, Failure> {
    text.parse().map_err(|error: d1_model::IdentifierError| Failure::usage(format!("`{text}`: {error}")))
}
