//! The process that holds a network namespace.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process in a namespace of its own. The namespace lasts as long as the process. The process ends with its standard
/// input: when the value is dropped, and when this process is killed.
#[derive(Debug)]
pub(super) struct Keeper(Child);

/// The script of the process. Without the setting, only the loopback interface routes to 127.0.0.1.
const SCRIPT: &str = "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet && exec cat";

impl Keeper {
    /// Creates a namespace, or returns the reason why this machine cannot have one.
    pub(super) fn start() -> Result<Self, String> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--", "sh", "-c", SCRIPT]);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = Self(unshare.spawn().map_err(|error| format!("`unshare`: {error}"))?);
        if keeper.echoes() {
            return Ok(keeper);
        }
        let mut said = String::new();
        if let Some(errors) = &mut keeper.0.stderr {
            let _ = errors.read_to_string(&mut said);
        }
        Err(said.trim().to_owned())
    }

    /// Waits until the process is in its namespace: then it echoes its input.
    fn echoes(&mut self) -> bool {
        let (Some(input), Some(output)) = (&mut self.0.stdin, &mut self.0.stdout) else { return false };
        input.write_all(b"\n").is_ok() && output.read_exact(&mut [0]).is_ok()
    }

    /// Returns the process number, which names the namespace.
    pub(super) fn process(&self) -> String {
        self.0.id().to_string()
    }

    /// Returns a command that runs a program in the namespace.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.process(), "--"]).arg(program);
        command
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
