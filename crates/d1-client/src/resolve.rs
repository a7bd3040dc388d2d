//! Finding the nodes that have an object.

use std::collections::HashMap;

use d1_model::{Identifier, ObjectLocation, ObjectLocationList};
use http_transfer::{Answer, Method, Network, Url, check_destination, header};
use reqwest::header::LOCATION;

use crate::client::{Location, NodeClient};
use crate::error::{ErrorKind, Result};
use crate::exchange::Document;
use crate::get::{GetOptions, ObjectRead, read};
use crate::options::ApiVersion;

/// The largest list of locations, in bytes.
const LARGEST_LIST: u64 = 4 * 1024 * 1024;

/// The nodes that have an object, as far as a Coordinating Node knows them and they can be asked.
#[derive(Clone, Debug)]
pub struct Locations {
    /// The object; where a series was asked for, its head.
    pub identifier: Identifier,
    /// Its nodes, in the order of the Coordinating Node. The caller may remove one that turns out to be bad.
    pub locations: Vec<Location>,
}

impl NodeClient {
    /// Asks a Coordinating Node which nodes have an object (`resolve`). Its redirect is not followed.
    ///
    /// # Errors
    ///
    /// If the node does not know the object or does not answer.
    pub async fn resolve(&self, identifier: &Identifier) -> Result<Document<ObjectLocationList>> {
        let context = self.context("resolve", identifier);
        let path = format!("resolve/{}", identifier.to_path_segment());
        let call = self.call(Method::GET, &path, "", &context).await?.with_redirects_as_answers();
        let answer = self.exchange(&call, LARGEST_LIST, &context).await?;
        match ObjectLocationList::parse(&answer.body) {
            Ok(parsed) => Ok(Document::new(answer.body, parsed)),
            Err(error) => match by_redirect(identifier, &answer) {
                Some(value) => Ok(Document { bytes: answer.body, value, oddities: Vec::new() }),
                None => Err(context.protocol(format!("the answer cannot be read: {error}")).caused_by(error)),
            },
        }
    }

    /// Asks a Coordinating Node which nodes have an object, and returns their clients.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve); [`NotFound`](ErrorKind::NotFound) if no node can be asked.
    ///
    /// ```no_run
    /// use d1_client::{ClientOptions, GetOptions, NodeClient, PRODUCTION_COORDINATING_NODE};
    ///
    /// # async fn read() -> Result<(), Box<dyn std::error::Error>> {
    /// let network = NodeClient::new(PRODUCTION_COORDINATING_NODE, &ClientOptions::default())?;
    /// let locations = network.locate(&"doi:10.18739/A2D795C92".parse()?).await?;
    /// // The second node is asked if the first one fails.
    /// let object = locations.get(&GetOptions::default()).await?;
    /// println!("{:?} bytes", object.size);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn locate(&self, identifier: &Identifier) -> Result<Locations> {
        let context = self.context("resolve", identifier);
        let found = self.resolve(identifier).await?.value;
        let most = self.inner.shared.options.limits.locations;
        let network = self.inner.shared.session.network_of(&self.inner.base).await;
        let mut locations: Vec<Location> = Vec::new();
        for place in found.locations.iter().take(most) {
            match self.location(place, network) {
                Ok(location) if locations.iter().any(|known| is_same(known, &location)) => {}
                Ok(location) => locations.push(location),
                Err(reason) => tracing::debug!(url = place.url, reason, "a location cannot be used"),
            }
        }
        if locations.is_empty() {
            let reason = format!("none of its {} locations can be used", found.locations.len());
            return Err(context.error(ErrorKind::NotFound).because(reason));
        }
        Ok(Locations { identifier: found.identifier, locations })
    }

    /// Returns the clients of these nodes, by the list of nodes of a Coordinating Node. The list is read once.
    ///
    /// Nodes that the list lacks, that are not up, or that cannot be asked are left out. So are all nodes if the list cannot
    /// be read. System metadata name the nodes of an object, so no [`resolve`](Self::resolve) is needed for it.
    pub async fn locations_of(&self, identifier: &Identifier, nodes: &[Box<str>]) -> Locations {
        let known = self.inner.nodes.get_or_init(|| self.read_nodes()).await;
        let mut locations: Vec<Location> = Vec::new();
        let most = self.inner.shared.options.limits.locations;
        for location in nodes.iter().filter_map(|node| known.get(&**node)).take(most) {
            if !locations.iter().any(|other| is_same(other, location)) {
                locations.push(location.clone());
            }
        }
        Locations { identifier: identifier.clone(), locations }
    }

    async fn read_nodes(&self) -> HashMap<String, Location> {
        let listed = match self.list_nodes().await {
            Ok(document) => document.value.nodes,
            Err(error) => {
                tracing::info!(%error, "every object is located by itself");
                return HashMap::new();
            }
        };
        let network = self.inner.shared.session.network_of(&self.inner.base).await;
        let mut nodes = HashMap::new();
        for node in listed.into_iter().filter(|node| node.state.as_deref() != Some("down")) {
            let offers = |version: ApiVersion| {
                let reads = |name: &str| matches!(name, "MNRead" | "CNRead");
                let mut services = node.services.iter().filter(|service| service.available);
                services.any(|service| reads(&service.name) && service.version == version.as_str())
            };
            let version = [ApiVersion::V2, ApiVersion::V1].into_iter().find(|version| offers(*version));
            match self.location_at(&node.base_url, version, Some(node.identifier.clone()), network) {
                Ok(location) => _ = nodes.insert(node.identifier, location),
                Err(reason) => tracing::debug!(url = node.base_url, reason, "a node cannot be used"),
            }
        }
        nodes
    }

    fn location(&self, place: &ObjectLocation, network: Network) -> Result<Location, String> {
        let (base, version) = base_of(place).ok_or("expected a base URL or the URL of an object")?;
        self.location_at(&base, version, place.node.clone(), network)
    }

    fn location_at(
        &self,
        base: &str,
        version: Option<ApiVersion>,
        node: Option<String>,
        network: Network,
    ) -> Result<Location, String> {
        let url = Url::parse(base).map_err(|error| error.to_string())?;
        check_destination(network, &url).map_err(|reason| reason.to_string())?;
        let client = self.sibling(base).map_err(|error| error.to_string())?.with_version(version);
        Ok(Location { node, client })
    }
}

impl Locations {
    /// Reads the object from the first node that has it. If that node fails, the next one goes on from the same place,
    /// and overlapping bytes are compared. The caller checks the checksum.
    ///
    /// # Errors
    ///
    /// As [`NodeClient::get`], once all nodes have failed.
    pub async fn get(&self, options: &GetOptions) -> Result<ObjectRead> {
        let nodes = self.locations.iter().map(|location| location.client.clone()).collect();
        read(nodes, &self.identifier, options).await
    }
}

/// Returns the base URL of a location, and the version to use if it says.
fn base_of(place: &ObjectLocation) -> Option<(String, Option<ApiVersion>)> {
    let offers = |version: ApiVersion| place.versions.iter().any(|offered| offered == version.as_str());
    let version = [ApiVersion::V2, ApiVersion::V1].into_iter().find(|version| offers(*version));
    let of_url = [ApiVersion::V2, ApiVersion::V1].into_iter().find_map(|version| {
        let (base, _) = place.url.split_once(&format!("/{}/object/", version.as_str()))?;
        Some((base, version))
    });
    match (&place.base_url, of_url) {
        (Some(base), of_url) => Some((base.clone(), version.or(of_url.map(|(_, version)| version)))),
        (None, Some((base, own))) => Some((base.to_owned(), version.or(Some(own)))),
        (None, None) => None,
    }
}

/// Returns the place to which a Coordinating Node redirects without a list.
fn by_redirect(identifier: &Identifier, answer: &Answer) -> Option<ObjectLocationList> {
    let url = answer.status.is_redirection().then(|| header(&answer.headers, LOCATION.as_str()))??.to_owned();
    let location = ObjectLocation { node: None, base_url: None, versions: Vec::new(), url, preference: None };
    Some(ObjectLocationList { identifier: identifier.clone(), locations: vec![location] })
}

fn is_same(left: &Location, right: &Location) -> bool {
    left.client.base_url() == right.client.base_url()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_stated_or_read_off_the_object() {
        let place = |base: Option<&str>, versions: &[&str], url: &str| ObjectLocation {
            node: None,
            base_url: base.map(str::to_owned),
            versions: versions.iter().map(|version| (*version).to_owned()).collect(),
            url: url.to_owned(),
            preference: None,
        };
        let (v1, v2) = (Some(ApiVersion::V1), Some(ApiVersion::V2));
        for (place, expected) in [
            (
                place(Some("https://a/mn"), &["v1", "v2"], "https://a/mn/v1/object/x"),
                Some(("https://a/mn", v2)),
            ),
            (place(Some("https://a/mn"), &["v1"], "https://a/mn/v2/object/x"), Some(("https://a/mn", v1))),
            (place(Some("https://a/mn"), &[], "https://a/mn/v1/object/x"), Some(("https://a/mn", v1))),
            (place(Some("https://a/mn"), &[], "https://a/x"), Some(("https://a/mn", None))),
            (place(None, &[], "https://a/mn/v2/object/x%2Fy"), Some(("https://a/mn", v2))),
            (place(None, &["v2"], "https://a/files/x"), None),
        ] {
            let expected = expected.map(|(base, version)| (base.to_owned(), version));
            assert_eq!(base_of(&place), expected, "{place:?}");
        }
    }
}
