//! The process for which a network namespace is there.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process in a namespace of its own, which is there as long as the process is. It ends with its standard input: when
/// the value is dropped, and also when this process is killed.
#[derive(Debug)]
pub(super) struct Keeper(Child);

/// What the process does: without the setting, no interface but the loopback interface is a way to 127.0.0.1.
const SCRIPT: &str = "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet && exec cat";

impl Keeper {
    /// Makes a namespace, or says why that is not possible.
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

    /// Waits until the process is in its namespace: then it gives back what it is given.
    fn echoes(&mut self) -> bool {
        let (Some(input), Some(output)) = (&mut self.0.stdin, &mut self.0.stdout) else { return false };
        input.write_all(b"\n").is_ok() && output.read_exact(&mut [0]).is_ok()
    }

    /// Returns the number by which the namespace is named.
    pub(super) fn process(&self) -> String {
        self.0.id().to_string()
    }

    /// Prepares to run a program in the namespace.
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
