//! The gateway, as its owner sees it.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;

use d1_catalog::Catalog;
use registry_backend::RegistryBackend;
use tokio::net::TcpListener;

use crate::app::App;
use crate::event::Observer;
use crate::options::GatewayOptions;
use crate::server;

/// A gateway to some repositories.
#[derive(Clone)]
pub struct Gateway(Arc<App>);

/// A repository that a gateway serves.
#[derive(Clone, Debug)]
pub struct Repository {
    name: String,
    backend: Arc<dyn RegistryBackend>,
}

impl Repository {
    /// Returns a repository that has this name in the catalogue.
    pub fn new(name: impl Into<String>, backend: Arc<dyn RegistryBackend>) -> Self {
        Self { name: name.into(), backend }
    }
}

/// The name in the catalogue is the one that the backend displays.
impl From<Arc<dyn RegistryBackend>> for Repository {
    fn from(backend: Arc<dyn RegistryBackend>) -> Self {
        Self::new(backend.to_string(), backend)
    }
}

/// The reason why a gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The catalogue cannot be built or read.
    #[error(transparent)]
    Catalog(#[from] d1_catalog::Error),
    /// The catalogue holds a repository that the gateway does not serve.
    #[error("expected a catalogue of the served repositories alone, found `{repository}` in it")]
    OtherRepository {
        /// The name of the repository in the catalogue.
        repository: String,
    },
    /// The network failed.
    #[error("cannot serve")]
    Io(#[from] io::Error),
}

impl Gateway {
    /// Returns a gateway to these repositories. Their catalogue is read as it is: call [`refresh`](Self::refresh) before
    /// the first request, or let [`serve`](Self::serve) do it.
    ///
    /// # Errors
    ///
    /// [`Error::OtherRepository`] if the catalogue holds more than these repositories, since everything in it would be listed;
    /// [`Error::Catalog`] if it cannot be read; [`Error::Io`] if the header names cannot be learned, which only a lack of
    /// memory causes.
    pub async fn new(
        repositories: impl IntoIterator<Item = impl Into<Repository>>,
        catalog: Catalog,
        options: GatewayOptions,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let repositories = repositories.into_iter().map(Into::into);
        let by_name: HashMap<_, _> =
            repositories.map(|Repository { name, backend }| (name, backend)).collect();
        let app = App::new(by_name, catalog, options, observer).await?;
        match app.other_repository().await? {
            Some(repository) => Err(Error::OtherRepository { repository }),
            None => Ok(Self(Arc::new(app))),
        }
    }

    /// Brings the catalogue up to date with the repositories. Content of a repository that fails stays known.
    ///
    /// # Errors
    ///
    /// The first failure. The other repositories are done.
    pub async fn refresh(&self) -> Result<(), Error> {
        Ok(self.0.refresh().await?)
    }

    /// Serves a socket until `stop` ends, and refreshes the catalogue meanwhile. Running requests may then end within
    /// [`GatewayOptions::stop_timeout`].
    ///
    /// # Errors
    ///
    /// If the socket cannot be used.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let refreshing = tokio::spawn(Arc::clone(&self.0).refresh_for_ever());
        let served = server::serve(Arc::clone(&self.0), listener, stop).await;
        refreshing.abort();
        Ok(served?)
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.0.store.repositories.keys().collect();
        formatter.debug_struct("Gateway").field("repositories", &names).finish_non_exhaustive()
    }
}
