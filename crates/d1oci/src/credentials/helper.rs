//! Credential helpers: programs that keep logins in a safer place (docker/docker-credential-helpers, README,
//! "Development").

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use distribution_client::Credential;
use registry_backend::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::auth_file::{IDENTITY_TOKEN_NAME, named};
use super::key::stored_key;

/// A helper by its name, `pass` for the program `docker-credential-pass`.
#[derive(Clone, Debug)]
pub(crate) struct Helper {
    program: OsString,
    patience: Duration,
}

/// How long a helper may take: it may wait for a person to unlock something.
const PATIENCE: Duration = Duration::from_secs(180);

/// The largest answer in bytes.
const LARGEST_ANSWER: u64 = 256 * 1024;

/// The answer of a helper that has nothing for a registry (docker-credential-helpers credentials/error.go).
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize)]
struct Found {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

#[derive(Serialize)]
struct Login<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    #[serde(rename = "Username")]
    username: &'a str,
    #[serde(rename = "Secret")]
    secret: &'a str,
}

struct Answer {
    status: ExitStatus,
    output: Vec<u8>,
}

impl Helper {
    /// Names the helper.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) if that is not a name: a file must not make this program run just any other.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_name {
            return Err(Error::new(ErrorKind::Io, "use", format_args!("the credential helper `{name}`"))
                .because("expected letters, digits, `-`, `_` and `.`"));
        }
        Ok(Self { program: format!("docker-credential-{name}").into(), patience: PATIENCE })
    }

    /// Returns the login for a registry, if the helper has one.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) if the program does not exist or fails.
    pub(crate) async fn get(&self, host: &str) -> Result<Option<Credential>> {
        let answer = self.run("get", stored_key(host).as_bytes()).await?;
        if !answer.status.success() {
            let is_not_found = String::from_utf8_lossy(&answer.output).trim() == NOT_FOUND;
            return if is_not_found { Ok(None) } else { Err(self.refusal("get", &answer)) };
        }
        // The error of the parser might show a part of the answer.
        let found: Found = serde_json::from_slice(&answer.output)
            .map_err(|_| self.failure("get", ErrorKind::Io).because("expected a login in JSON"))?;
        let is_empty = found.secret.is_empty();
        Ok((!is_empty).then(|| named(&found.username, &found.secret)))
    }

    /// Stores the login for a registry.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); [`Unsupported`](ErrorKind::Unsupported) for a credential that helpers cannot store.
    pub(crate) async fn store(&self, host: &str, credential: &Credential) -> Result<()> {
        let (username, secret) = match credential {
            Credential::Password { username, password } => (username.as_str(), password),
            Credential::IdentityToken(token) => (IDENTITY_TOKEN_NAME, token),
            _ => return Err(self.failure("store", ErrorKind::Unsupported)),
        };
        let server = stored_key(host);
        let login = Login { server: &server, username, secret: secret.reveal() };
        let input = serde_json::to_vec(&login)
            .map_err(|error| self.failure("store", ErrorKind::Io).caused_by(error))?;
        self.succeed("store", &input).await
    }

    /// Forgets the login for a registry.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) async fn erase(&self, host: &str) -> Result<()> {
        self.succeed("erase", stored_key(host).as_bytes()).await
    }

    async fn succeed(&self, action: &'static str, input: &[u8]) -> Result<()> {
        let answer = self.run(action, input).await?;
        if answer.status.success() { Ok(()) } else { Err(self.refusal(action, &answer)) }
    }

    async fn run(&self, action: &'static str, input: &[u8]) -> Result<Answer> {
        let spawned = Command::new(&self.program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn();
        let child = spawned.map_err(|error| {
            self.failure(action, ErrorKind::Io).because("it cannot be run").caused_by(error)
        })?;
        match tokio::time::timeout(self.patience, talk(child, input)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                Err(self.failure(action, ErrorKind::Io).because("it ended early").caused_by(error))
            }
            Err(_) => {
                let reason = format!("no answer within {} s", self.patience.as_secs());
                Err(self.failure(action, ErrorKind::Io).because(reason))
            }
        }
    }

    fn failure(&self, action: &'static str, kind: ErrorKind) -> Error {
        let program = Path::new(&self.program).display();
        let operation = match action {
            "get" => "get credentials from",
            "store" => "store credentials with",
            _ => "erase credentials with",
        };
        Error::new(kind, operation, format_args!("the helper `{program}`"))
    }

    /// Returns the failure that a helper reports. By the protocol its message is on standard output, but an answer in JSON
    /// there could hold a secret.
    fn refusal(&self, action: &'static str, answer: &Answer) -> Error {
        let text = String::from_utf8_lossy(&answer.output);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let reason = match line {
            "" => format!("it fails ({})", answer.status),
            line if line.contains(['{', '"']) => {
                format!("it fails ({}) with an answer all the same", answer.status)
            }
            line => line.chars().filter(|character| !character.is_control()).take(200).collect(),
        };
        self.failure(action, ErrorKind::Io).because(reason)
    }
}

/// Gives a helper its input and reads what it answers.
async fn talk(mut child: Child, input: &[u8]) -> io::Result<Answer> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let writing = async {
        if let Some(mut stdin) = stdin {
            // A helper may end without reading its input.
            let _ = stdin.write_all(input).await;
        }
    };
    let reading = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(LARGEST_ANSWER + 1).read_to_end(&mut output).await?;
        }
        Ok::<_, io::Error>(output)
    };
    let ((), output) = futures::future::join(writing, reading).await;
    let output = output?;
    if output.len() as u64 > LARGEST_ANSWER {
        return Err(io::Error::other(format!("its answer has more than {LARGEST_ANSWER} bytes")));
    }
    Ok(Answer { status: child.wait().await?, output })
}

#[cfg(all(test, unix))]
mod tests;
