//! The time and the kind of a lost link.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::chance::Chance;
use crate::{Link, Lost};

/// A loss of the link while the command runs.
#[derive(Debug)]
pub(super) struct Loss {
    /// The lost packets.
    lost: Lost,
    /// The time from the start of the command to the loss.
    after: Duration,
    /// The duration; `None` means until the command ends.
    lasts: Option<Duration>,
    /// Whether the command has short time limits, a second instead of a minute, and only one retry.
    pub(super) is_hasty: bool,
    /// Whether this is the only fault: then the command must end without being killed.
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
        // A command that may be killed could hang without notice.
        let is_alone = lasts.is_none() || chance.percent(60);
        Self { lost, after, lasts: lasts.map(Duration::from_millis), is_hasty, is_alone }
    }

    /// Returns whether the command must succeed: it waits longer than the loss lasts.
    pub(super) fn is_survived(&self) -> bool {
        self.is_alone && !self.is_hasty
    }

    /// Runs an action during the loss. Also returns whether the loss began before the action ended.
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
        // The other side sends nothing: it is dropped at the end.
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
        link.restore().map(|()| true)
    }
}
