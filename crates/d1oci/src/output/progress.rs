//! The progress of a transfer: bars on a terminal, a line from time to time elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use console::Term;
use d1_transfer::{BlobOutcome, Event, Observer, Phase};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle as BarStyle};

use super::human;
use super::{Printer, ProgressStyle};

/// The time between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The lines and bars of a command on standard error. A line does not disturb the bars.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    pub(crate) printer: Printer,
    bars: MultiProgress,
}

impl Screen {
    pub(crate) fn new(printer: Printer) -> Self {
        Self { printer, bars: MultiProgress::new() }
    }

    /// Writes a line without disturbing the bars.
    pub(crate) fn line(&self, write: impl FnOnce(Printer)) {
        self.bars.suspend(|| write(self.printer));
    }
}

/// Shows the events of a transfer.
pub(crate) struct Progress {
    screen: Screen,
    style: ProgressStyle,
    verbose: bool,
    phases: Mutex<HashMap<Phase, Meter>>,
    is_stopped: Arc<AtomicBool>,
}

/// The progress of one phase.
struct Meter {
    bar: Option<ProgressBar>,
    began: Instant,
    last_line: Instant,
    items: u64,
    bytes: u64,
    all_items: u64,
    all_bytes: u64,
}

impl Progress {
    /// Returns a display on the screen; `verbose` adds a line for each blob.
    pub(crate) fn new(screen: Screen, verbose: bool) -> Self {
        let style = screen.printer.progress_style();
        Self { screen, style, verbose, phases: Mutex::default(), is_stopped: Arc::default() }
    }

    /// Returns the display of work that ends when the flag is set.
    pub(crate) fn until(mut self, is_stopped: Arc<AtomicBool>) -> Self {
        self.is_stopped = is_stopped;
        self
    }

    fn began(&self, phase: Phase, items: u64, bytes: u64) {
        let bar = (self.style == ProgressStyle::Bars).then(|| {
            let bar = self.screen.bars.add(ProgressBar::new(bytes));
            bar.set_style(bar_style(Term::stderr().size().1));
            bar.set_prefix(verb(phase));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        let meter =
            Meter { bar, began: now, last_line: now, items: 0, bytes: 0, all_items: items, all_bytes: bytes };
        self.phases().insert(phase, meter);
    }

    fn advanced(&self, phase: Phase, items: u64, bytes: u64) {
        let mut phases = self.phases();
        let Some(meter) = phases.get_mut(&phase) else { return };
        meter.items += items;
        meter.bytes += bytes;
        if let Some(bar) = &meter.bar {
            bar.set_position(meter.bytes);
            bar.set_message(format!("{}/{}", meter.items, meter.all_items));
        } else if self.style == ProgressStyle::Lines && meter.last_line.elapsed() >= LINE_EVERY {
            meter.last_line = Instant::now();
            self.screen.printer.status(meter.line(phase));
        }
    }

    fn ended(&self, phase: Phase) {
        let Some(meter) = self.phases().remove(&phase) else { return };
        if let Some(bar) = &meter.bar {
            bar.finish_and_clear();
        }
        // A short phase is not worth a line.
        if self.style == ProgressStyle::Lines && meter.began.elapsed() >= LINE_EVERY {
            self.screen.printer.status(meter.line(phase));
        }
    }

    fn phases(&self) -> std::sync::MutexGuard<'_, HashMap<Phase, Meter>> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event<'_>) {
        match *event {
            Event::Began { phase, items, bytes } => self.began(phase, items, bytes),
            Event::Advanced { phase, items, bytes } => self.advanced(phase, items, bytes),
            Event::Ended { phase } => self.ended(phase),
            Event::Blob { title, digest, size, outcome } if self.verbose => {
                let size = human::bytes(size);
                self.screen.line(|printer| {
                    printer.status(format_args!("{:<10} {} {title} ({size})", past(outcome), digest.short()))
                });
            }
            Event::Warning(text) => self.screen.line(|printer| printer.warning(text)),
            _ => {}
        }
    }

    fn is_cancelled(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

impl Meter {
    fn line(&self, phase: Phase) -> String {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "for people, three digits are shown")]
        let (done, all) = (self.bytes as f64, self.all_bytes as f64);
        let rate = done / seconds;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive rate for people"
        )]
        let mut line = format!(
            "{} {} of {} ({:.0} %), {} of {}, {}/s",
            verb(phase),
            human::bytes(self.bytes),
            human::bytes(self.all_bytes),
            if all > 0.0 { 100.0 * done / all } else { 100.0 },
            self.items,
            human::count(self.all_items, "item"),
            human::bytes(rate as u64),
        );
        if rate > 0.0 && all > done {
            let left = Duration::try_from_secs_f64((all - done) / rate).unwrap_or(Duration::MAX);
            line += &format!(", {} left", human::duration(left));
        }
        line
    }
}

/// Returns the style of a bar that fits into a terminal of so many columns.
fn bar_style(columns: u16) -> BarStyle {
    let template = match columns {
        0..=49 => "{prefix:<9} {percent:>3}% {bytes}/{total_bytes}",
        50..=69 => "{prefix:<9} {percent:>3}% {bytes}/{total_bytes} {binary_bytes_per_sec} eta {eta}",
        70..=99 => {
            "{prefix:<9} [{wide_bar}] {percent:>3}% {bytes}/{total_bytes} {binary_bytes_per_sec} eta {eta}"
        }
        _ => {
            "{prefix:<9} [{bar:28}] {bytes}/{total_bytes} {percent}% {binary_bytes_per_sec} eta {eta} ({msg})"
        }
    };
    BarStyle::with_template(template).unwrap_or_else(|_| BarStyle::default_bar()).progress_chars("=> ")
}

fn verb(phase: Phase) -> &'static str {
    match phase {
        Phase::Check => "Checking",
        Phase::Pack => "Packing",
        Phase::Upload => "Sending",
        Phase::Download => "Receiving",
        _ => "Working",
    }
}

fn past(outcome: BlobOutcome) -> &'static str {
    match outcome {
        BlobOutcome::AlreadyThere => "Exists",
        BlobOutcome::Mounted => "Mounted",
        BlobOutcome::Uploaded => "Sent",
        BlobOutcome::Downloaded => "Received",
        BlobOutcome::Kept => "Kept",
        _ => "Done",
    }
}
