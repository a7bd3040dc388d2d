//! A scriptable registry on the loopback interface, started by hand: `cargo xtask registry --preset ghcr`.

use std::process::ExitCode;
use std::time::Duration;

use registry_conformance::scripted::{
    Action, Answer, Auth, BearerAuth, Config, Fault, Preset, ScriptedRegistry, User, When,
};
use registry_conformance::{CutAfter, CuttingProxy};

/// The arguments: `PRESET PORT CUT-BYTES REFUSE-EVERY TOKEN-SECONDS`, 0 for nothing of the kind.
struct Arguments {
    preset: Preset,
    port: u16,
    cut_bytes: u64,
    refuse_every: u32,
    token_seconds: u64,
}

/// The name and password where tokens are wanted.
const LOGIN: (&str, &str) = ("curator", "secret");

#[expect(clippy::print_stderr, reason = "it talks to whoever started it")]
fn main() -> ExitCode {
    let arguments = match Arguments::of_process() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!(
                "error: {message}\nusage: registry [PRESET [PORT [CUT-BYTES [REFUSE-EVERY [TOKEN-SECONDS]]]]]"
            );
            return ExitCode::from(2);
        }
    };
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    match runtime.block_on(run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot start on port {}: {error}", arguments.port);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]
async fn run(arguments: &Arguments) -> std::io::Result<()> {
    let registry = ScriptedRegistry::start(arguments.config()).await?;
    eprintln!("a registry like {} is at {}; it ends with Ctrl-C", arguments.preset, registry.url());
    if arguments.token_seconds > 0 {
        eprintln!("it wants the name `{}` and the password `{}`", LOGIN.0, LOGIN.1);
    }
    if arguments.cut_bytes == 0 {
        println!("{}", registry.host());
        return std::future::pending().await;
    }
    let proxy = CuttingProxy::start(registry.host(), CutAfter::AllConnections(arguments.cut_bytes)).await?;
    eprintln!("connections to {} are cut every {} bytes", proxy.host(), arguments.cut_bytes);
    println!("{}", proxy.host());
    let mut passed = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        // Reports the traffic once all is quiet again.
        let new = proxy.take_passed();
        passed += new;
        if new == 0 && passed > 0 {
            eprintln!("{passed} bytes passed, {} cuts", proxy.take_cuts());
            passed = 0;
        }
    }
}

impl Arguments {
    fn of_process() -> Result<Self, String> {
        let mut arguments = std::env::args().skip(1);
        let preset = arguments.next().map_or(Ok(Preset::Strict), |name| name.parse())?;
        let mut number = |what: &str, most: u64| {
            let Some(text) = arguments.next() else { return Ok(0) };
            let number = text.parse().ok().filter(|number| *number <= most);
            number.ok_or_else(|| format!("`{text}` is not {what}"))
        };
        let port = number("a port", u16::MAX.into())?;
        let cut_bytes = number("a number of bytes", u64::MAX)?;
        let refuse_every = number("a number of requests", u32::MAX.into())?;
        let token_seconds = number("a number of seconds", 86_400)?;
        Ok(Self {
            preset,
            port: u16::try_from(port).unwrap_or_default(),
            cut_bytes,
            refuse_every: u32::try_from(refuse_every).unwrap_or_default(),
            token_seconds,
        })
    }

    fn config(&self) -> Config {
        let mut config = Config::new(self.preset);
        config.port = self.port;
        if self.refuse_every > 0 {
            let refused = Action::Answer(Answer::html(503));
            config = config.with_fault(Fault::anywhere(When::Every(self.refuse_every), refused));
        }
        if self.token_seconds > 0 {
            let bearer = BearerAuth::new(vec![User::new(LOGIN.0, LOGIN.1)]);
            let lifetime = Duration::from_secs(self.token_seconds);
            config = config.with_auth(Auth::Bearer(bearer.with_lifetime(lifetime)));
        }
        config
    }
}
