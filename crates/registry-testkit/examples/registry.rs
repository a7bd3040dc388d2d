//! A scriptable registry on the loopback interface, started by hand: `cargo xtask registry --preset ghcr`.

use std::process::ExitCode;

use registry_testkit::scripted::{Config, Preset, ScriptedRegistry};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]
fn main() -> ExitCode {
    let (preset, port) = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("error: {message}\nusage: registry [PRESET [PORT]]");
            return ExitCode::from(2);
        }
    };
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let mut config = Config::new(preset);
        config.port = port;
        match ScriptedRegistry::start(config).await {
            Ok(registry) => {
                println!("{}", registry.host());
                eprintln!("a registry like {} is at {}; it ends with Ctrl-C", preset.name(), registry.url());
                std::future::pending().await
            }
            Err(error) => {
                eprintln!("error: cannot start on port {port}: {error}");
                ExitCode::FAILURE
            }
        }
    })
}

fn arguments() -> Result<(Preset, u16), String> {
    let mut arguments = std::env::args().skip(1);
    let preset = arguments.next().map_or(Ok(Preset::Strict), |name| {
        name.parse().map_err(|_| {
            let known: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
            format!("`{name}` is not one of {}", known.join(", "))
        })
    })?;
    let port =
        arguments.next().map_or(Ok(0), |port| port.parse().map_err(|_| format!("`{port}` is not a port")))?;
    Ok((preset, port))
}
