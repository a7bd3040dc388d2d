//! The program: arguments in, exit code out.

use std::ffi::OsString;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
#[cfg(feature = "distribution-client")]
use distribution_client::Profile;
use multi_digest::UnknownVectors;
use registry_backend::{BackendFactory, Backends};

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::{
    Format, Level, LogFormat, escaped, hostile_as_json, now, to_log, to_stderr, trace_writer,
};
use crate::spellings::advice;
use crate::translation::translated;

/// The program, to which a third party adds backends of its own.
///
/// ```
/// use std::process::ExitCode;
///
/// let code = d1oci::Program::new().run_with(["d1oci", "backends"]);
/// assert_eq!(code, ExitCode::SUCCESS);
/// ```
#[derive(Debug)]
pub struct Program {
    backends: Backends,
    #[cfg(feature = "distribution-client")]
    profiles: Vec<Profile>,
}

/// How long an interrupted command may take to clean up.
const CLEAN_UP: Duration = Duration::from_secs(10);

impl Program {
    /// Returns the program with the backends that its features name.
    pub fn new() -> Self {
        Self {
            backends: crate::backends::backends(),
            #[cfg(feature = "distribution-client")]
            profiles: crate::backends::profiles(),
        }
    }

    /// Returns the program with another backend. It comes before the program's own where both fit equally well.
    #[must_use]
    pub fn with_backend(mut self, factory: impl BackendFactory + 'static) -> Self {
        self.backends = self.backends.with(factory);
        self
    }

    /// Returns the program with another kind of registry. The configuration file knows it by the profile's name.
    #[cfg(feature = "distribution-client")]
    #[must_use]
    pub fn with_registry(mut self, profile: Profile) -> Self {
        self.profiles.push(profile);
        self
    }

    /// Runs the command on the command line of the process, and returns its exit code.
    pub fn run(self) -> ExitCode {
        self.run_with(std::env::args_os())
    }

    /// Runs a command, and returns its exit code. The first argument is the name of the program.
    pub fn run_with(self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> ExitCode {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let arguments = translated(arguments);
        let (cli, typed) = match Cli::read(&arguments) {
            Ok(read) => read,
            Err(error) => return not_parsed(&error, &arguments),
        };
        let forms = Forms { is_json: cli.global.format == Format::Json, log: cli.global.log_format };
        start_tracing(cli.global.verbose, forms.log);
        if let Err(failure) = limit_vectors() {
            return report(&failure, forms);
        }
        let Self { backends, .. } = self;
        let context = Context::new(
            &cli.global,
            backends,
            #[cfg(feature = "distribution-client")]
            self.profiles,
        );
        match in_runtime(&context, cli) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) if failure.is_closed_stdout() => ExitCode::SUCCESS,
            Err(failure) => report(&failure.in_words_of(&typed), forms),
        }
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

/// The forms in which the user wants errors.
#[derive(Clone, Copy, Debug, Default)]
struct Forms {
    is_json: bool,
    log: Option<LogFormat>,
}

fn report(failure: &Failure, forms: Forms) -> ExitCode {
    match forms {
        Forms { log: Some(LogFormat::Json), .. } => {
            to_stderr(&hostile_as_json(&failure.json_at(Some(now()))));
        }
        Forms { is_json: true, .. } => to_stderr(&hostile_as_json(&failure.json_at(None))),
        Forms { log, .. } => failure.lines().iter().for_each(|line| to_log(log, Level::Error, line)),
    }
    failure.status().into()
}

/// Limits the vector instructions for checksums to those that the environment variable `D1OCI_VECTORS` names.
fn limit_vectors() -> Result<(), Failure> {
    let text = std::env::var_os("D1OCI_VECTORS").unwrap_or_default();
    if !text.is_empty() {
        let limit = text.to_string_lossy().parse();
        let limit =
            limit.map_err(|error: UnknownVectors| Failure::usage(format!("D1OCI_VECTORS: {error}")))?;
        multi_digest::limit_vectors(limit);
    }
    Ok(())
}

/// Answers a command line that is not a command: with help, the version, or a usage error.
fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                report(&Failure::output(error), Forms::default())
            }
            _ => ExitCode::SUCCESS,
        };
    }
    if let Some(failure) = foreign_word(error, arguments) {
        return report(&failure, Forms { is_json: wants_json(arguments), log: None });
    }
    let text = error.render().to_string();
    if wants_json(arguments) {
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        return report(&Failure::usage(message), Forms { is_json: true, log: None });
    }
    // The parser quotes arguments, which a script may have from strangers: a line break in one must not forge a line.
    let broken = arguments.iter().filter_map(|argument| argument.to_str()).filter(|text| text.contains('\n'));
    let safe =
        broken.fold(text.clone(), |safe, argument| safe.replace(argument, &escaped(argument).to_string()));
    if safe == text && text.lines().all(|line| escaped(line).to_string() == line) {
        // In colour, if this is a terminal.
        let _ = error.print();
    } else {
        safe.lines().for_each(|line| to_stderr(&line));
    }
    ExitStatus::Usage.into()
}

/// Returns the failure for a word of another program, with the way to do the same here.
fn foreign_word(error: &clap::Error, arguments: &[OsString]) -> Option<Failure> {
    let (kind, name) = match error.kind() {
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, "option"),
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, "command"),
        _ => return None,
    };
    let Some(ContextValue::String(word)) = error.get(kind) else { return None };
    let advice = advice(word, arguments)?;
    Some(Failure::usage(format!("there is no {name} `{word}`")).with_hint(advice))
}

/// Tells whether errors are to be JSON, where the command line cannot be parsed.
fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument == "--format=json")
        || arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// Runs a command until it ends or a signal interrupts it. Then it stops, unfinished uploads are cancelled and temporary
/// files deleted. A second signal ends the process at once.
fn in_runtime(context: &Context, cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(ExitStatus::LocalIo, error))?;
    let resume_hint = cli.command.resume_hint();
    let ends_by_itself = cli.command.ends_by_itself();
    let signalled = signals::first();
    let ended = runtime.block_on(async {
        let mut running = pin!(cli.command.run(context));
        tokio::select! {
            biased;
            status = signalled => {
                if !ends_by_itself {
                    return Err(status);
                }
                context.stop.notify_one();
                Ok(running.await)
            }
            result = &mut running => Ok(result),
        }
    });
    let status = match ended {
        Ok(result) => {
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            if result.is_err() {
                // A store that does not answer must not keep the program.
                let cancelling = context.buckets.cancel_uploads();
                let _ = runtime.block_on(async { tokio::time::timeout(CLEAN_UP, cancelling).await });
            }
            // Threads that read for a failed transfer end by themselves: nobody waits for them.
            runtime.shutdown_background();
            return result;
        }
        Err(status) => status,
    };
    context.is_stopped.store(true, Ordering::Relaxed);
    #[cfg(feature = "distribution-client")]
    // A registry that does not answer must not keep the program. It removes old sessions by itself.
    let _ =
        runtime.block_on(async { tokio::time::timeout(CLEAN_UP, context.registries.cancel_uploads()).await });
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    let _ =
        runtime.block_on(async { tokio::time::timeout(CLEAN_UP, context.buckets.cancel_uploads()).await });
    // Threads see that nobody waits for their results, and delete their temporary files.
    runtime.shutdown_timeout(CLEAN_UP);
    let failure = Failure::new(status, "interrupted by a signal");
    Err(match resume_hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    })
}

#[cfg(unix)]
mod signals {
    //! The signals that end the program: SIGINT and SIGTERM.

    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use tokio::signal::unix::{Signal, SignalKind, signal};
    use tokio::sync::oneshot;

    use super::CLEAN_UP;
    use crate::failure::ExitStatus;

    /// How long a command may take to end: for cancelling uploads, and for its threads.
    const LONGEST_END: Duration = CLEAN_UP.saturating_mul(2).saturating_add(Duration::from_secs(1));

    /// How long the command may take to notice a signal. One that waits longer is stuck in a system call, such as a write into a pipe
    /// that nobody reads.
    const LONGEST_NOTICE: Duration = Duration::from_secs(1);

    /// Returns a future that ends at the first signal. The second signal ends the process, and so does the first one if the future is
    /// not polled soon.
    ///
    /// A thread of its own waits for both, since the runtime of the command may be about to stop.
    pub(super) fn first() -> impl Future<Output = ExitStatus> {
        let (sender, receiver) = oneshot::channel();
        let noticed = Arc::new(AtomicBool::new(false));
        let sets_noticed = Arc::clone(&noticed);
        std::thread::spawn(move || wait(sender, &noticed));
        async move {
            match receiver.await {
                Ok(status) => {
                    sets_noticed.store(true, Ordering::Relaxed);
                    status
                }
                // Signals cannot be received: they end the process as usual.
                Err(_) => std::future::pending().await,
            }
        }
    }

    fn wait(sender: oneshot::Sender<ExitStatus>, noticed: &AtomicBool) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async move {
            let (Ok(mut interrupts), Ok(mut terminations)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            let status = next(&mut interrupts, &mut terminations).await;
            // The command may have ended meanwhile.
            let _ = sender.send(status);
            let mut second = std::pin::pin!(next(&mut interrupts, &mut terminations));
            if let Ok(second) = tokio::time::timeout(LONGEST_NOTICE, &mut second).await {
                exit(second);
            }
            if !noticed.load(Ordering::Relaxed) {
                exit(status);
            }
            // A command that does not stop, such as one that asks for a password, is ended too.
            exit(tokio::time::timeout(LONGEST_END, second).await.unwrap_or(status));
        });
    }

    async fn next(interrupts: &mut Signal, terminations: &mut Signal) -> ExitStatus {
        tokio::select! {
            _ = interrupts.recv() => ExitStatus::Interrupted,
            _ = terminations.recv() => ExitStatus::Terminated,
        }
    }

    #[expect(clippy::exit, reason = "a second signal leaves no time to clean up")]
    fn exit(status: ExitStatus) -> ! {
        std::process::exit(status as i32)
    }
}

#[cfg(not(unix))]
mod signals {
    //! The signal that ends the program: Ctrl-C.

    use crate::failure::ExitStatus;

    /// Returns a future that ends at Ctrl-C.
    pub(super) async fn first() -> ExitStatus {
        match tokio::signal::ctrl_c().await {
            Ok(()) => ExitStatus::Interrupted,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Sends the logs of our own crates to standard error, if the user wants to read them. Logs of the HTTP library and the
/// crates below it stay out: they may hold secrets.
fn start_tracing(verbosity: u8, log: Option<LogFormat>) {
    let level = match verbosity {
        0 => return,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // The beginnings of the names of our crates.
    let own = ["backend_", "bagit", "d1", "distribution_client", "http_transfer", "oci_", "registry_"];
    let filter = own.map(|name| format!("{name}={level}")).join(",");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_ansi(false)
        .with_writer(move || trace_writer(log))
        .with_target(verbosity > 1);
    // A program that runs a second command keeps the first subscriber.
    let _ = subscriber.without_time().try_init();
}
