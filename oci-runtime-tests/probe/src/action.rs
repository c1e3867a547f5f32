//! What the suite can ask the probe to do: one argument, one action, one line of JSON as the answer.

use crate::json::Value;
use crate::{report, sys};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;

type Answer = Result<Value, i32>;

const EINVAL: i32 = 22;

/// Carries out one action, e.g. `open rw /dev/null`. The error is an errno.
pub(crate) fn act(action: &str) -> Answer {
    let words: Vec<&str> = action.split(' ').collect();
    match words.as_slice() {
        ["report"] => Ok(report::everything()),
        ["open", mode, path] => open(mode, path).map(|_| Value::Null),
        ["read", path] => read(path),
        ["write", path, text] => write(path, text),
        ["stat", path] => fs::metadata(path).map(|m| report::facts(&m)).map_err(number),
        ["lstat", path] => fs::symlink_metadata(path).map(|m| report::facts(&m)).map_err(number),
        ["link", path] => fs::read_link(path).map(|p| p.display().to_string().into()).map_err(number),
        ["list", path] => list(path),
        ["create", path] => fs::write(path, "").map(|()| Value::Null).map_err(number),
        ["mkdir", path] => fs::create_dir(path).map(|()| Value::Null).map_err(number),
        ["remove", path] => fs::remove_file(path).map(|()| Value::Null).map_err(number),
        ["symlink", target, path] => std::os::unix::fs::symlink(target, path).map(|()| Value::Null).map_err(number),
        ["chmod", mode, path] => chmod(mode, path),
        ["chown", uid, gid, path] => sys::change_owner(path, parsed(uid)?, parsed(gid)?).map(|()| Value::Null),
        ["mknod", kind, major, minor, path] => node(kind, parsed(major)?, parsed(minor)?, path),
        ["mount", kind, flags, source, target] => {
            sys::mount_filesystem(source, target, kind, parsed(flags)?).map(|()| Value::Null)
        }
        ["sethostname", name] => sys::set_hostname(name).map(|()| Value::Null),
        ["size", path] => open("r", path).and_then(|f| sys::filesystem_size(f.as_raw_fd())).map(Value::from),
        ["syscall", number, args @ ..] => system_call(number, args),
        ["forks", most] => forks(parsed(most)?),
        ["touch", bytes] => Ok(touch(parsed(bytes)?)),
        ["exec", program, args @ ..] => Err(exec(program, args)),
        ["run", program, args @ ..] => run(program, args),
        ["line"] => line(),
        ["wait"] => wait(),
        ["signals"] => signals(),
        ["exit", status] => sys::leave(parsed(status)?),
        ["die", signal] => sys::raw(KILL, [std::process::id().into(), parsed(signal)?, 0, 0, 0, 0]).map(Value::from),
        _ => Err(EINVAL),
    }
}

#[cfg(target_arch = "x86_64")]
const KILL: i64 = 62;
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
const KILL: i64 = 129;

/// `{"do":ACTION,"value":...}`, or `"errno"` in place of the value.
pub(crate) fn answer(action: &str, answer: &Answer) -> Value {
    let entry = match answer {
        Ok(value) => ("value".to_owned(), value.clone()),
        Err(errno) => ("errno".to_owned(), (*errno).into()),
    };
    Value::Map(vec![("do".to_owned(), Value::from(action)), entry])
}

pub(crate) fn say(action: &str, result: &Answer) {
    let mut line = answer(action, result).to_string();
    line.push('\n');
    // A full disk or a closed pipe cannot be reported anywhere.
    let _ = std::io::stdout().write_all(line.as_bytes());
    let _ = std::io::stdout().flush();
}

fn number(error: std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(5)
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, i32> {
    text.parse().map_err(|_| EINVAL)
}

/// `mode` is `r`, `w` or `rw`; nothing is created. A FIFO does not block.
fn open(mode: &str, path: &str) -> Result<fs::File, i32> {
    const O_NONBLOCK_NOCTTY: i32 = 0o4000 | 0o400;
    let (read, write) = (mode.contains('r'), mode.contains('w'));
    OpenOptions::new().read(read).write(write).custom_flags(O_NONBLOCK_NOCTTY).open(path).map_err(number)
}

fn read(path: &str) -> Answer {
    let mut bytes = Vec::new();
    open("r", path)?.take(1 << 16).read_to_end(&mut bytes).map_err(number)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned().into())
}

fn write(path: &str, text: &str) -> Answer {
    open("w", path)?.write_all(text.as_bytes()).map_err(number)?;
    Ok(Value::Null)
}

fn list(path: &str) -> Answer {
    let mut names: Vec<String> = fs::read_dir(path)
        .map_err(number)?
        .map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()
        .map_err(number)?;
    names.sort();
    Ok(names.into_iter().collect())
}

fn chmod(mode: &str, path: &str) -> Answer {
    let mode = u32::from_str_radix(mode, 8).map_err(|_| EINVAL)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(number)?;
    Ok(Value::Null)
}

fn node(kind: &str, major: u64, minor: u64, path: &str) -> Answer {
    let mode = match kind {
        "c" => 0o020_600,
        "b" => 0o060_600,
        "p" => 0o010_600,
        _ => return Err(EINVAL),
    };
    let device = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    sys::make_node(path, mode, device).map(|()| Value::Null)
}

fn system_call(number: &str, args: &[&str]) -> Answer {
    let mut numbers = [0; 6];
    for (slot, text) in numbers.iter_mut().zip(args) {
        *slot = parsed(text)?;
    }
    sys::raw(parsed(number)?, numbers).map(Value::from)
}

/// How many children can be started, and why no more.
fn forks(most: u32) -> Answer {
    for done in 0..most {
        if let Err(errno) = sys::waiting_child() {
            let entries = [("children", Value::from(done)), ("errno", errno.into())];
            return Ok(Value::Map(entries.map(|(key, value)| (key.to_owned(), value)).into()));
        }
    }
    Ok(Value::Map(vec![("children".to_owned(), most.into())]))
}

/// Allocates and touches memory.
fn touch(bytes: u64) -> Value {
    let mut memory = vec![1u8; usize::try_from(bytes).unwrap_or(0)];
    for page in memory.chunks_mut(4096) {
        page[0] = 2;
    }
    u64::from(std::hint::black_box(&memory)[0]).into()
}

/// Runs a program to its end with our standard output; gives its exit status.
fn run(program: &str, args: &[&str]) -> Answer {
    let status = std::process::Command::new(program).args(args).status().map_err(number)?;
    Ok(status.code().into())
}

fn line() -> Answer {
    let mut text = String::new();
    std::io::stdin().read_line(&mut text).map_err(number)?;
    Ok(text.into())
}

/// Until SIGTERM.
fn wait() -> Answer {
    const SIGTERM: i32 = 15;
    sys::receive_signals(|| say("waiting", &Ok(Value::Null)), |signal| signal == SIGTERM);
    Ok(Value::Null)
}

/// Reports every signal, for ever.
fn signals() -> Answer {
    let seen = |signal| {
        say("signal", &Ok(Value::from(signal)));
        false
    };
    sys::receive_signals(|| say("waiting", &Ok(Value::Null)), seen);
    Ok(Value::Null)
}

/// Executes a program, again for a while where somebody still has its file open for writing: a neighbour's fork may hold the
/// descriptor with which the suite wrote it.
fn exec(program: &str, args: &[&str]) -> i32 {
    const TEXT_FILE_BUSY: i32 = 26;
    for _ in 0..100 {
        let errno = number(std::process::Command::new(program).args(args).exec());
        if errno != TEXT_FILE_BUSY {
            return errno;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    TEXT_FILE_BUSY
}
