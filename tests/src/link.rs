//! A link that can lose packets: a network namespace with one route, which leads to this machine's loopback interface.
//!
//! Programs in the namespace reach servers at their usual addresses, `127.0.0.1` with a port. Their packets pass through a
//! pair of virtual interfaces. One end of the pair is in the namespace.

mod keeper;
mod pair;

use std::path::Path;
use std::process::Command;

use self::keeper::Keeper;
use self::pair::{Lead, Pair};

/// A working link. It ends when the value is dropped or this process is killed.
#[derive(Debug)]
pub struct Link {
    // Drop the pair before the namespace.
    pair: Pair,
    keeper: Keeper,
}

/// The lost packets. As on a real network, neither side is notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// All packets, and the interface reports that its peer is gone: the cable is pulled.
    Cable,
    /// All packets, silently.
    All,
    /// Packets to the servers.
    Requests,
    /// Packets from the servers.
    Answers,
}

/// The most links on one machine.
const MOST: u8 = 64;

impl Link {
    /// Creates a link.
    ///
    /// # Errors
    ///
    /// A message that says why this machine cannot have one.
    pub fn lay() -> Result<Self, String> {
        let keeper = Keeper::start()?;
        for number in 0..MOST {
            if let Some(pair) = Pair::make(number, &keeper)? {
                pair.connect(&keeper)?;
                return Ok(Self { pair, keeper });
            }
        }
        Err(format!("all {MOST} links are in use"))
    }

    /// Returns a command that runs a program at the far end.
    pub fn command(&self, program: &Path) -> Command {
        self.keeper.command(program)
    }

    /// Loses packets from now on.
    ///
    /// # Errors
    ///
    /// A message, if the system refuses.
    pub fn lose(&self, lost: Lost) -> Result<(), String> {
        if lost == Lost::Cable {
            return self.pair.pull_out();
        }
        if lost != Lost::Answers {
            self.pair.lead_requests(&self.keeper, Lead::Astray)?;
        }
        if lost != Lost::Requests {
            self.pair.lead_answers(Lead::Astray)?;
        }
        Ok(())
    }

    /// Passes all packets from now on.
    ///
    /// # Errors
    ///
    /// As [`lose`](Self::lose).
    pub fn restore(&self) -> Result<(), String> {
        self.pair.plug_in()?;
        self.pair.lead_requests(&self.keeper, Lead::Across)?;
        self.pair.lead_answers(Lead::Across)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Link;
    use crate::skipped;
    use crate::system::system;

    #[test]
    fn links_do_not_collide_and_end_with_their_values() {
        let links = match (Link::lay(), Link::lay()) {
            (Ok(one), Ok(other)) => [one, other],
            (Err(reason), _) | (_, Err(reason)) => return skipped(&format!("a lost link: {reason}")),
        };
        let names = links.each_ref().map(|link| link.pair.name());
        assert_ne!(names[0], names[1]);
        // The line begins with an interface number, which the kernel does not use again. It may use the name again.
        let shown = |name: &String| system(Command::new("ip").args(["-oneline", "link", "show", name]));
        let before = names.each_ref().map(shown);
        assert!(before.iter().all(Result::is_ok), "{before:?}");
        drop(links);
        for (name, before) in names.iter().zip(&before) {
            assert_ne!(shown(name), *before);
        }
    }
}
