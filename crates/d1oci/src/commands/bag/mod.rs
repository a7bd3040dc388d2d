//! `d1oci bag`: bags on disk, without any repository.

pub(crate) mod create;
pub(crate) mod repair;
pub(crate) mod validate;

use bagit::{Accept, Fault, ProgressEvent};
use clap::Subcommand;
use d1_transfer::{Event, Phase};

use crate::context::Context;
use crate::failure::Failure;

/// Make, check and mend bags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci bag validate ./dataset_10.18739_A2D795C92")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(create::Arguments),
    Validate(validate::Arguments),
    Repair(repair::Arguments),
}

/// Whose known faults are tolerated.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum AcceptArgument {
    /// Those of DataONE's own tools: they become warnings.
    Dataone,
}

impl From<AcceptArgument> for Accept {
    fn from(accept: AcceptArgument) -> Self {
        match accept {
            AcceptArgument::Dataone => Self::DataOne,
        }
    }
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::Create(arguments) => create::run(context, arguments),
        Action::Validate(arguments) => validate::run(context, &arguments),
        Action::Repair(arguments) => repair::run(context, &arguments),
    }
}

/// Writes a fault as one line.
pub(crate) fn fault_line(fault: &Fault) -> String {
    fault.to_string()
}

/// Returns a progress that shows itself as the checking phase of a transfer; dropping it ends the display.
fn progress(context: &Context) -> impl Fn(ProgressEvent<'_>) + Sync + use<> {
    let display = Ending(context.observer());
    move |event| {
        let phase = Phase::Check;
        match event {
            ProgressEvent::Planned { files, bytes } => {
                display.0.event(&Event::Began { phase, items: files, bytes })
            }
            ProgressEvent::Advanced { bytes } => display.0.event(&Event::Advanced { phase, items: 0, bytes }),
            ProgressEvent::Finished { .. } => display.0.event(&Event::Advanced { phase, items: 1, bytes: 0 }),
            _ => {}
        }
    }
}

/// Ends the checking phase when the work is over, however it ends.
struct Ending(std::sync::Arc<dyn d1_transfer::Observer>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.event(&Event::Ended { phase: Phase::Check });
    }
}
