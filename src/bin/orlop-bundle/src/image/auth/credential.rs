//! Credential helpers: `docker-credential-NAME get`.

use super::{Credentials, Secret};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The most that a helper may print, in bytes.
const MAX_OUTPUT: u64 = 64 << 10;
/// A helper may ask the user for a passphrase.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How often it is looked whether a helper has ended.
const INTERVAL: Duration = Duration::from_millis(10);
/// The user name of a refresh token.
const TOKEN: &str = "<token>";
/// The answers of helpers that have no credentials for a server.
const NONE: &[&str] = &["credentials not found", "no credentials server URL", "no credentials username"];

/// The credentials that a helper has for a server.
///
/// # Errors
/// The helper is missing, fails, takes too long, or prints something else.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Credentials>> {
    get_from(std::env::var_os("PATH").unwrap_or_default(), name, server, TIMEOUT)
}

pub(super) fn get_from(
    path: impl AsRef<OsStr>,
    name: &str,
    server: &str,
    timeout: Duration,
) -> Result<Option<Credentials>> {
    let wrong = name.is_empty() || name.contains('/') || name.chars().any(char::is_control);
    ensure!(!wrong, "credential helper {name:?}: a name has no slash");
    let program = format!("docker-credential-{name}");
    let child = Command::new(&program)
        .arg("get")
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A helper's messages could hold secrets.
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("credential helper {program} (is it in PATH?)"))?;
    let (succeeded, output) = run(child, server, timeout).with_context(|| format!("credential helper {program}"))?;
    if !succeeded {
        let text = String::from_utf8_lossy(&output);
        if NONE.iter().any(|answer| text.contains(answer)) {
            return Ok(None);
        }
        bail!("credential helper {program} failed; see what `echo {server} | {program} get` prints");
    }
    parse(&output).with_context(|| format!("credential helper {program}"))
}

/// Runs a helper to its end. Its output and its time are bounded.
fn run(mut child: Child, server: &str, timeout: Duration) -> Result<(bool, Vec<u8>)> {
    let deadline = Instant::now() + timeout;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    // A helper may end without reading.
    let _ = stdin.context("no standard input")?.write_all(server.as_bytes());
    let stdout = stdout.context("no standard output")?;
    let (sender, receiver) = mpsc::channel();
    // The thread outlives this function where a process that the helper left keeps the pipe.
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(MAX_OUTPUT + 1).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    let output = receiver.recv_timeout(timeout);
    let result = match output {
        Ok(Ok(bytes)) if bytes.len() as u64 > MAX_OUTPUT => {
            Err(anyhow::anyhow!("printed more than {MAX_OUTPUT} bytes"))
        }
        Ok(Ok(bytes)) => ended(&mut child, deadline).map(|succeeded| (succeeded, bytes)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(anyhow::anyhow!("did not end within {} s", timeout.as_secs())),
    };
    if result.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    result
}

fn ended(child: &mut Child, deadline: Instant) -> Result<bool> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        ensure!(Instant::now() < deadline, "did not end after its answer");
        thread::sleep(INTERVAL);
    }
}

pub(super) fn parse(output: &[u8]) -> Result<Option<Credentials>> {
    // The parser's own error could quote the secret.
    let answer: Value = serde_json::from_slice(output).ok().context("printed no JSON")?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let user = text("Username").context("printed no Username")?;
    let secret = Secret::new(text("Secret").context("printed no Secret")?.to_owned());
    Ok(Some(match user {
        TOKEN => Credentials::Identity(secret),
        user => Credentials::Password { user: user.to_owned(), password: secret },
    }))
}
