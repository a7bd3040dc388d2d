//! A pair of virtual interfaces, one on this machine and one in a namespace.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::keeper::Keeper;
use crate::system::system;

/// The pair, with a network of its own. It ends when the value is dropped.
#[derive(Debug)]
pub(super) struct Pair {
    number: u8,
}

/// The destination of the packets of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// The other end.
    Across,
    /// Nowhere.
    Astray,
}

/// The name of the interface in the namespace.
const INNER: &str = "d1oci";

/// The hardware addresses of the interfaces, and an unused one.
const OUTER_HARDWARE: &str = "02:00:00:00:00:01";
const INNER_HARDWARE: &str = "02:00:00:00:00:02";
const NOBODY: &str = "02:00:00:00:00:03";

impl Pair {
    /// Creates a pair. Returns `None` if the pair of this number exists or this machine uses its network.
    pub(super) fn make(number: u8, keeper: &Keeper) -> Result<Option<Self>, String> {
        let keeper = keeper.process();
        let name = format!("{INNER}-{number}");
        let outer = ["link", "add", &name, "address", OUTER_HARDWARE, "type", "veth"];
        let inner = ["peer", "name", INNER, "address", INNER_HARDWARE, "netns", &keeper];
        // Names are unique: the owner of a name also owns the network of its number.
        if let Err(reason) = system(Command::new("ip").args(outer).args(inner)) {
            return if ip(&["link", "show", &name]).is_ok() { Ok(None) } else { Err(reason) };
        }
        let pair = Self { number };
        Ok(pair.has_free_network()?.then_some(pair))
    }

    /// Gives both ends their addresses, and the namespace a route to this machine's loopback interface.
    pub(super) fn connect(&self, keeper: &Keeper) -> Result<(), String> {
        let (name, outer, inner) = (self.name(), self.outer(), self.inner());
        // Without the setting, the kernel accepts packets for 127.0.0.1 only from the loopback interface.
        let setting = format!("/proc/sys/net/ipv4/conf/{name}/route_localnet");
        fs::write(&setting, "1").map_err(|error| format!("{setting}: {error}"))?;
        ip(&["address", "add", &format!("{outer}/30"), "dev", &name])?;
        ip(&["link", "set", &name, "up"])?;
        ip_in(keeper, &["address", "add", &format!("{inner}/30"), "dev", INNER])?;
        ip_in(keeper, &["link", "set", INNER, "up"])?;
        ip_in(keeper, &["route", "add", "127.0.0.1", "via", &outer])
    }

    /// Pulls the cable at the end that the namespace does not see.
    pub(super) fn pull_out(&self) -> Result<(), String> {
        ip(&["link", "set", &self.name(), "down"])
    }

    /// Undoes [`pull_out`](Self::pull_out).
    pub(super) fn plug_in(&self) -> Result<(), String> {
        ip(&["link", "set", &self.name(), "up"])
    }

    /// Directs the packets from the namespace.
    pub(super) fn lead_requests(&self, keeper: &Keeper, lead: Lead) -> Result<(), String> {
        let hardware = if lead == Lead::Across { OUTER_HARDWARE } else { NOBODY };
        ip_in(keeper, &["neighbour", "replace", &self.outer(), "lladdr", hardware, "dev", INNER])
    }

    /// Directs the packets to the namespace.
    pub(super) fn lead_answers(&self, lead: Lead) -> Result<(), String> {
        let hardware = if lead == Lead::Across { INNER_HARDWARE } else { NOBODY };
        ip(&["neighbour", "replace", &self.inner(), "lladdr", hardware, "dev", &self.name()])
    }

    /// Returns whether this machine has no address in the network and no route into it except the default route.
    fn has_free_network(&self) -> Result<bool, String> {
        let network = format!("{}/30", self.address(0));
        for which in ["root", "match"] {
            let show = ["-4", "route", "show", "table", "all", "to", which, &network];
            let routes = system(Command::new("ip").args(show))?;
            if routes.lines().any(|route| !route.contains("default")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the name of the interface on this machine.
    pub(super) fn name(&self) -> String {
        format!("{INNER}-{}", self.number)
    }

    fn outer(&self) -> String {
        self.address(1)
    }

    fn inner(&self) -> String {
        self.address(2)
    }

    /// Returns an address of the pair's network. RFC 2544 appendix C.2.2 reserves these addresses for network tests.
    fn address(&self, host: u8) -> String {
        format!("198.18.{}.{host}", self.number)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = ip(&["link", "delete", &self.name()]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    system(Command::new("ip").args(arguments)).map(drop)
}

fn ip_in(keeper: &Keeper, arguments: &[&str]) -> Result<(), String> {
    system(keeper.command(Path::new("ip")).args(arguments)).map(drop)
}
