//! A link on which packets can be lost: a network namespace with one way out, which leads to this machine's loopback
//! interface.
//!
//! What runs in the namespace finds the servers under the addresses that they have for everybody, `127.0.0.1` with a port,
//! but what it sends there goes through a pair of virtual interfaces. Only the namespace has the other end of it.

mod keeper;
mod pair;

use std::path::Path;
use std::process::Command;

use self::keeper::Keeper;
use self::pair::{Lead, Pair};

/// A link that stands; it is gone with the value, or with this process if that is killed.
#[derive(Debug)]
pub struct Link {
    // The pair goes before the namespace does.
    pair: Pair,
    keeper: Keeper,
}

/// Which packets vanish. Nobody is told, as on a real network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// All, and the program's interface sees that nobody is at the other end: the cable is pulled.
    Cable,
    /// All, somewhere on the way.
    All,
    /// Those to the servers.
    Requests,
    /// Those from the servers.
    Answers,
}

/// How many links there can be on one machine.
const MOST: u8 = 64;

impl Link {
    /// Lays a link.
    ///
    /// # Errors
    ///
    /// In words, why that is not possible on this machine.
    pub fn lay() -> Result<Self, String> {
        let keeper = Keeper::start()?;
        for number in 0..MOST {
            if let Some(pair) = Pair::make(number, &keeper)? {
                pair.connect(&keeper)?;
                return Ok(Self { pair, keeper });
            }
        }
        Err(format!("there are {MOST} links already"))
    }

    /// Prepares to run a program at the far end.
    pub fn command(&self, program: &Path) -> Command {
        self.keeper.command(program)
    }

    /// Makes packets vanish from now on.
    ///
    /// # Errors
    ///
    /// In words, if the system refuses.
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

    /// Lets all packets pass from now on.
    ///
    /// # Errors
    ///
    /// As [`lose`](Self::lose).
    pub fn mend(&self) -> Result<(), String> {
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
    fn links_do_not_collide_and_are_gone_with_their_values() {
        let links = match (Link::lay(), Link::lay()) {
            (Ok(one), Ok(other)) => [one, other],
            (Err(reason), _) | (_, Err(reason)) => return skipped(&format!("a lost link: {reason}")),
        };
        let names = links.each_ref().map(|link| link.pair.name());
        assert_ne!(names[0], names[1]);
        // The line begins with a number that is never given out again, as the name may be.
        let shown = |name: &String| system(Command::new("ip").args(["-oneline", "link", "show", name]));
        let before = names.each_ref().map(shown);
        assert!(before.iter().all(Result::is_ok), "{before:?}");
        drop(links);
        for (name, before) in names.iter().zip(&before) {
            assert_ne!(shown(name), *before);
        }
    }
}
