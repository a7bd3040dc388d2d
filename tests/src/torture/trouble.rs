//! The faults of a round.

use std::time::Duration;

use registry_conformance::scripted::{Action, Answer, Fault, RetryAfter, Route, When};

use super::chance::Chance;

/// The time after which every command is killed: it may wait for a registry that never answers.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// The faults of one round.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The command gets a signal after this time.
    pub(super) kill: Option<Duration>,
    /// The signal.
    pub(super) signal: Stop,
    /// Whether links lie where the command may write.
    pub(super) planted: bool,
    /// The faults of the registry.
    pub(super) faults: Vec<Fault>,
    /// The faults of the node.
    pub(super) node_faults: Vec<d1_testnode::Fault>,
    /// The free bytes of the disk.
    pub(super) room: Option<u64>,
    /// The seconds by which all files look older (or, below zero, newer) before the second run.
    pub(super) clock: Option<i64>,
    /// Whether unfinished files end in zeros before the second run, as after a power cut.
    pub(super) torn: bool,
}

/// A signal that ends a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stop {
    #[default]
    Kill,
    Interrupt,
    Terminate,
}

/// The routes that the commands use.
const ROUTES: [Route; 12] = [
    Route::BlobHead,
    Route::BlobGet,
    Route::BlobGet,
    Route::UploadStart,
    Route::UploadPatch,
    Route::UploadCommit,
    Route::UploadStatus,
    Route::ManifestHead,
    Route::ManifestGet,
    Route::ManifestPut,
    Route::Storage,
    Route::Token,
];

const YEAR: i64 = 365 * 86_400;

impl Trouble {
    pub(super) fn choose(chance: &mut Chance) -> Self {
        let count = chance.one_of(&[0, 0, 1, 1, 2, 3]);
        let faults: Vec<_> = (0..count).map(|_| fault(chance)).collect();
        let room = chance.percent(20).then(|| chance.below(3_000_000));
        let node_faults: Vec<_> = (0..chance.one_of(&[0, 1, 1, 2])).map(|_| node_fault(chance)).collect();
        let waits = format!("{faults:?}{node_faults:?}").contains("Stall");
        let kill = (waits || chance.percent(45)).then(|| {
            let longest = chance.one_of(&[20, 120, 600]);
            let wait = if waits { 300 } else { 0 };
            Duration::from_micros(wait * 1_000 + chance.below(longest * 1_000))
        });
        let clock = chance.percent(25).then(|| chance.one_of(&[YEAR, 7_200, -7_200, -YEAR]));
        let torn = chance.percent(20);
        let signal = chance.one_of(&[Stop::Kill, Stop::Kill, Stop::Interrupt, Stop::Terminate]);
        Self { kill, signal, planted: chance.percent(25), faults, node_faults, room, clock, torn }
    }

    /// Removes the faults that happen while the command runs.
    pub(super) fn leave_alone(&mut self) {
        let Self { clock, torn, planted, .. } = *self;
        *self = Self { clock, torn, planted, ..Self::default() };
    }
}

fn fault(chance: &mut Chance) -> Fault {
    let when = match chance.below(6) {
        0..3 => When::Nth(u32::try_from(1 + chance.below(6)).unwrap_or(1)),
        3 => When::First(u32::try_from(1 + chance.below(3)).unwrap_or(1)),
        4 => When::Every(u32::try_from(2 + chance.below(4)).unwrap_or(2)),
        _ => When::Always,
    };
    let action = action(chance);
    if chance.percent(25) {
        Fault::anywhere(when, action)
    } else {
        Fault::new(chance.one_of(&ROUTES), when, action)
    }
}

fn action(chance: &mut Chance) -> Action {
    let after = chance.one_of(&[0, 1, 100, 70_000, 900_000]);
    match chance.below(19) {
        0 => Action::Answer(Answer::status(chance.one_of(&[500, 502, 503, 504]))),
        1 => Action::Answer(Answer::status(chance.one_of(&[400, 401, 403, 404, 409, 416, 418]))),
        2 => Action::Answer(Answer::html(chance.one_of(&[200, 502, 503]))),
        3 => Action::Answer(Answer::too_many_requests(chance.one_of(&[
            RetryAfter::Absent,
            RetryAfter::Seconds(1),
            RetryAfter::Garbage,
            RetryAfter::MicrosecondsInText(35),
        ]))),
        4 => Action::AnswerAfterwards(Answer::status(chance.one_of(&[500, 502, 504]))),
        5 => Action::Unauthorized,
        6 => Action::Drop { after },
        7 => Action::DropAfterwards,
        8 => Action::StallRequest { after },
        9 => Action::StallAnswer { after },
        10 => Action::CorruptRequest { at: after },
        11 => Action::CorruptAnswer { at: after },
        12 => Action::CutAnswer { after },
        13 => Action::ShortenAnswer { to: after },
        14 => Action::Delay(Duration::from_millis(chance.below(300))),
        15 => Action::IgnoreRange,
        16 => Action::ShiftContent(1 + chance.below(9)),
        17 => Action::ForgetUpload,
        _ => Action::AcceptOnly { bytes: after },
    }
}

/// Returns a fault of the node. Documents without a checksum stay unchanged: no check could find the difference.
fn node_fault(chance: &mut Chance) -> d1_testnode::Fault {
    use d1_testnode::{Action, Answer, Call};
    let after = chance.one_of(&[0, 1, 100, 70_000]);
    let call = chance.one_of(&[Call::Get, Call::Get, Call::Meta, Call::Search]);
    let action = match chance.below(12) {
        0 => Action::Answer(Answer::page(chance.one_of(&[200, 502, 503]), "out of order")),
        1 => Action::Answer(Answer::error("NotFound", 404, "1020")),
        2 => Action::Answer(Answer::error("ServiceFailure", chance.one_of(&[200, 500]), "1030")),
        3 => Action::Drop,
        4 => Action::Delay(Duration::from_millis(chance.below(300))),
        5 => Action::CutAnswer { after },
        6 => Action::StallAnswer { after },
        7 => Action::ShortenAnswer { to: after },
        8 => Action::EndAnswer { after },
        9 if call == Call::Get => Action::CorruptAnswer { at: after },
        10 if call == Call::Get => Action::OtherContent,
        11 if call == Call::Get => Action::IgnoreRange,
        _ => Action::WithoutLength,
    };
    let when = match chance.below(3) {
        0 => d1_testnode::When::Always,
        1 => d1_testnode::When::Nth(u32::try_from(1 + chance.below(8)).unwrap_or(1)),
        _ => d1_testnode::When::First(u32::try_from(1 + chance.below(3)).unwrap_or(1)),
    };
    d1_testnode::Fault::new(call, action).when(when)
}
