//! The gateway, as its owner sees it.

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

/// The reason why a gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The catalogue cannot be built or read.
    #[error(transparent)]
    Catalog(#[from] d1_catalog::Error),
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
    /// If the header names cannot be learned, which only a lack of memory causes.
    pub async fn new(
        repositories: Vec<Arc<dyn RegistryBackend>>,
        catalog: Catalog,
        options: GatewayOptions,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        Ok(Self(Arc::new(App::new(repositories, catalog, options, observer).await?)))
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
