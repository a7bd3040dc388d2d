//! When and how a link is lost.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::chance::Chance;
use crate::{Link, Lost};

/// What happens to the link while the command runs.
#[derive(Debug)]
pub(super) struct Loss {
    /// Which packets vanish.
    lost: Lost,
    /// How long after the start of the command.
    after: Duration,
    /// How long they do; `None` if until the command ends.
    lasts: Option<Duration>,
    /// Whether the command is told to wait for a second only where it would wait for a minute, and to try again but once.
    pub(super) is_hasty: bool,
    /// Whether nothing else goes wrong: then the command has to end by itself.
    pub(super) is_alone: bool,
}

impl Loss {
    pub(super) fn choose(chance: &mut Chance) -> Self {
        let lost =
            chance.one_of(&[Lost::Cable, Lost::All, Lost::All, Lost::Requests, Lost::Answers, Lost::Answers]);
        let longest = chance.one_of(&[25, 60, 200]);
        let after = Duration::from_micros(chance.below(longest * 1_000));
        let (lasts, is_hasty) = match chance.below(3) {
            0 => (Some(50 + chance.below(1_500)), false),
            1 => (Some(800 + chance.below(3_000)), true),
            _ => (None, true),
        };
        // Whether a command gives up cannot be told from whether it hangs if it may be killed meanwhile.
        let is_alone = lasts.is_none() || chance.percent(60);
        Self { lost, after, lasts: lasts.map(Duration::from_millis), is_hasty, is_alone }
    }

    /// Tells whether the command has to succeed: it waits longer than this lasts.
    pub(super) fn is_survived(&self) -> bool {
        self.is_alone && !self.is_hasty
    }

    /// Does something while this happens to a link, and tells also whether it came to that before it was done.
    pub(super) fn during<T>(&self, link: &Link, action: impl FnOnce() -> T) -> (T, Result<bool, String>) {
        let (running, end) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let happening = scope.spawn(move || self.happen(link, &end));
            let result = action();
            drop(running);
            (result, happening.join().expect("the link is watched"))
        })
    }

    fn happen(&self, link: &Link, end: &mpsc::Receiver<()>) -> Result<bool, String> {
        // Nothing is ever sent: the other side is dropped at the end.
        let goes_on = |time| matches!(end.recv_timeout(time), Err(mpsc::RecvTimeoutError::Timeout));
        if !goes_on(self.after) {
            return Ok(false);
        }
        link.lose(self.lost)?;
        match self.lasts {
            Some(time) => {
                goes_on(time);
            }
            None => {
                let _ = end.recv();
            }
        }
        link.mend().map(|()| true)
    }
}
