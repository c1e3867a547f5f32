//! Commands of the companion program `orlop-bundle`, which is executed in place of this program.
//!
//! The companion is searched beside this program and in the libexec directory, never by `PATH`, the
//! working directory or the environment. It must be a regular file that root or the caller owns and
//! no other user can write to, in a directory of the same kind.

use crate::error::{Error, IoContext, Kind, Result};
use crate::sys::mount::{RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2_if_there};
use crate::sys::{self, credentials, file, fs, process};
use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The companion's commands, each with a line for the help.
pub const WORDS: &[(&str, &str)] = &[
    ("check", "say everything that is wrong with a bundle"),
    ("completion", "print the completions of a shell"),
    ("doctor", "say what this host offers and lacks for this user"),
    ("explain", "say what happens with a bundle, or has changed in a container"),
    ("image", "pull, look at and unpack container images"),
    ("inspect", "say what a container is, has and uses"),
    ("top", "watch what containers use"),
];

/// The version that both programs must have.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const NAME: &str = "orlop-bundle";
/// The directory of helper programs; `ORLOP_LIBEXEC` names another one at build time.
const LIBEXEC: &str = match option_env!("ORLOP_LIBEXEC") {
    Some(directory) => directory,
    None => "/usr/libexec/orlop",
};

/// Whether the companion has this command.
pub(crate) fn has(word: &str) -> bool {
    WORDS.iter().any(|(known, _)| *known == word)
}

/// Whether the arguments behind the word `run` are of the companion's `run --image`.
pub(crate) fn runs_image(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument.as_bytes().strip_prefix(b"--image").is_some_and(is_end))
}

fn is_end(rest: &[u8]) -> bool {
    rest.is_empty() || rest[0] == b'='
}

/// Executes the companion with this process's arguments, and a descriptor of this program.
///
/// # Errors
/// As of [`execute`].
pub(crate) fn execute_to_run() -> Error {
    /// Above the descriptors that a caller may pass on: the first that the limit of open files allows.
    const LEAST: [i32; 4] = [900, 200, 40, 3];
    let above = |own: OwnedFd| LEAST.iter().find_map(|least| file::duplicate_above(&own, *least).ok()).unwrap_or(own);
    let passed = file::open("/proc/self/exe", libc::O_PATH).map(above);
    match passed.and_then(|own| file::keep_over_exec(own.as_raw_fd()).map(|()| own.into_raw_fd())) {
        Ok(number) => execute_with(Some(number)),
        Err(failure) => failure.into(),
    }
}

/// Executes the companion with this process's arguments.
///
/// # Errors
/// It is not there, is not trusted, or cannot be executed.
pub(crate) fn execute() -> Error {
    execute_with(None)
}

fn execute_with(runtime: Option<i32>) -> Error {
    match find() {
        Ok(Some(program)) => process::execute_fd(&program, &arguments(runtime), &process::environment()).into(),
        Ok(None) => {
            let hint = format!("the package {NAME} has it; it stands beside this program or in {LIBEXEC}");
            Error::system(format!("{NAME} is not installed")).hint(hint)
        }
        Err(error) => error,
    }
}

fn find() -> Result<Option<OwnedFd>> {
    if process::is_secure_execution() {
        return Err(Error::new(Kind::Config, format!("{NAME} is not executed with more rights than its caller has")));
    }
    let own = std::fs::read_link("/proc/self/exe").io_context(|| "readlink(\"/proc/self/exe\")".to_owned())?;
    for directory in own.parent().into_iter().chain([Path::new(LIBEXEC)]) {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let opened = match file::open(directory.as_os_str().as_bytes(), flags) {
            Err(e) if e.is(libc::ENOENT) || e.is(libc::ENOTDIR) => continue,
            opened => opened?,
        };
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
        let Some(program) = openat2_if_there(&opened, NAME, libc::O_PATH | libc::O_NOFOLLOW, 0, resolve)? else {
            continue;
        };
        refuse_untrusted(directory, fs::stat(&opened)?)?;
        let of_program = fs::stat(&program)?;
        if of_program.kind() != libc::S_IFREG {
            return Err(untrusted(&directory.join(NAME), "is not a regular file"));
        }
        refuse_untrusted(&directory.join(NAME), of_program)?;
        return Ok(Some(program));
    }
    Ok(None)
}

fn refuse_untrusted(path: &Path, seen: sys::fs::Stat) -> Result<()> {
    if seen.uid != 0 && seen.uid != credentials::effective_uid() {
        return Err(untrusted(path, &format!("belongs to user {}", seen.uid)));
    }
    if seen.mode & 0o022 != 0 {
        return Err(untrusted(path, &format!("can be written by others (mode {:04o})", seen.mode & 0o7777)));
    }
    Ok(())
}

fn untrusted(path: &Path, problem: &str) -> Error {
    Error::new(Kind::Config, format!("{} {problem}, so it is not executed", path.display()))
        .hint("it must belong to root or to you, and be writable by its owner alone")
}

/// The arguments of this process, preceded by a flag with the version: both programs must be of one
/// release.
fn arguments(runtime: Option<i32>) -> Vec<CString> {
    let version = format!("--runtime-version={VERSION}");
    let own = std::env::args_os().skip(1).map(|argument| argument.into_vec());
    let runtime = runtime.map(|number| format!("--runtime-fd={number}").into_bytes());
    [NAME.to_owned().into_bytes(), version.into_bytes()]
        .into_iter()
        .chain(runtime)
        .chain(own)
        .filter_map(|a| CString::new(a).ok())
        .collect()
}
