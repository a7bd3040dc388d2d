//! The options of a gateway.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The options of a gateway. The default serves everybody on a small machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayOptions {
    /// The URL under which clients reach the gateway, without a slash at its end. Without one, the `Host` header of each
    /// request decides.
    pub base_url: Option<String>,
    /// The proxies whose `X-Forwarded-*` headers count.
    pub trusted_proxies: Vec<Network>,
    /// The facts that the node document states.
    pub node: NodeFacts,
    /// Whether to answer as a Coordinating Node too, below `/cn`.
    pub coordinating_node: bool,
    /// The most connections at a time.
    pub max_connections: usize,
    /// The most connections at a time from one address, except trusted proxies.
    pub max_connections_per_client: usize,
    /// How long a client may take to send a request's head, and to begin the next request of a connection.
    pub header_timeout: Duration,
    /// How long a client may take to receive the next bytes.
    pub stall_timeout: Duration,
    /// How long requests may take to end when the gateway stops.
    pub stop_timeout: Duration,
    /// The most bytes of content to keep in memory.
    pub cache_bytes: u64,
    /// The most bytes of remote stores to keep on the disk; 0 is none. Small values are raised to 32 MiB.
    pub disk_cache_bytes: u64,
    /// The directory of the file that keeps them. The file has no name.
    pub disk_cache_directory: PathBuf,
    /// How often to look for changes in the repositories; `None` is never.
    pub refresh: Option<Duration>,
}

/// The facts that a node document states about the gateway.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeFacts {
    /// The identifier: `urn:node:` and a name of at most 25 characters altogether.
    pub identifier: String,
    /// The name for people.
    pub name: String,
    /// One sentence about the content.
    pub description: String,
    /// The subject of the node and of its contact.
    pub subject: String,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            base_url: None,
            trusted_proxies: Vec::new(),
            node: NodeFacts::default(),
            coordinating_node: false,
            max_connections: 1024,
            max_connections_per_client: 128,
            header_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(15),
            cache_bytes: 64 << 20,
            disk_cache_bytes: 1 << 30,
            disk_cache_directory: std::env::temp_dir(),
            refresh: Some(Duration::from_secs(60)),
        }
    }
}

impl Default for NodeFacts {
    fn default() -> Self {
        Self {
            identifier: "urn:node:D1OCI".to_owned(),
            name: "d1oci gateway".to_owned(),
            description: "Data packages in OCI repositories".to_owned(),
            subject: "CN=urn:node:D1OCI,DC=dataone,DC=org".to_owned(),
        }
    }
}

/// A range of addresses: `10.0.0.0/8`, `::1`.
///
/// ```
/// let network: d1_gateway::Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?) && !network.contains("11.0.0.1".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The reason why a text is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address or a range such as 10.0.0.0/8, found `{0}`")]
pub struct NetworkError(String);

impl Network {
    /// Returns whether the range contains an address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                u32::from(own) & mask == u32::from(other) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                u128::from(own) & mask == u128::from(other) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NetworkError(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn ranges_of_addresses() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.9.9.9", true),
            ("10.0.0.0/8", "::ffff:10.9.9.9", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("fe80::/10", "fe80::1", true),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "proxy"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
