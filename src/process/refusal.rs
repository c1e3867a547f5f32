//! The error for a program that could not be executed, with the reason as far as its file tells it.

use super::program::Program;
use super::seccomp::{Action, Call, Filter};
use crate::error::{Error, Kind};
use crate::hooks::Hooks;
use crate::sys::Errno;

/// The settings of the program that may be the reason.
pub(crate) struct Around<'a> {
    pub(crate) program: &'a Program,
    pub(crate) hooks: &'a Hooks,
    pub(crate) filter: Option<&'a Filter>,
    /// The number of the entry of `mounts` that has the file at a path.
    pub(crate) mount_of: &'a dyn Fn(&str) -> Option<usize>,
}

/// The file of the program, as the container's process saw it.
pub(crate) struct Seen {
    pub(crate) path: String,
    /// Mode, owner and group of the file, or of `directory`.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// The length of the path of the directory that cannot be searched; 0 where the file was reached.
    pub(crate) directory: usize,
    /// `f_flags` of statfs(2).
    pub(crate) mount_flags: u64,
    /// The first bytes, if they could be read.
    pub(crate) beginning: Option<Vec<u8>>,
}

/// The number of the last of the mounts with these destinations that holds `path`, by its name alone.
pub(crate) fn mount_of<'a>(path: &str, mounts: impl Iterator<Item = (usize, &'a str)>) -> Option<usize> {
    let holds = |at: &str| path.strip_prefix(at.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'));
    mounts.filter(|(_, at)| holds(at)).max_by_key(|(_, at)| at.trim_end_matches('/').len()).map(|(index, _)| index)
}

/// The error, in the words that engines know.
pub(super) fn error(around: &Around<'_>, errno: Errno, executing: bool, seen: Option<&Seen>) -> Error {
    let name = around.program.name();
    let is_path = name.contains('/');
    let text = match errno.0 {
        libc::ENOENT if !is_path && !executing => format!("exec: {name:?}: executable file not found in $PATH"),
        libc::ENOENT if !executing => format!("exec: {name:?}: stat {name}: no such file or directory"),
        libc::ENOENT => format!("exec {name}: no such file or directory"),
        // The words for which engines exit with 126.
        libc::EISDIR => format!("exec: {name:?}: permission denied: it is a directory"),
        _ if executing => format!("exec {name}: {}", errno.words()),
        _ => format!("exec: {name:?}: {}", errno.words()),
    };
    let error = Error::new(Kind::Execute, text);
    match hint(around, errno.0, executing, seen) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(around: &Around<'_>, errno: i32, executing: bool, seen: Option<&Seen>) -> Option<String> {
    if executing && around.filter.is_some_and(|filter| refuses_execve(filter, errno)) {
        return Some("linux.seccomp answers execve with this error: allow it in the profile".to_owned());
    }
    let program = around.program;
    match errno {
        libc::EACCES => denied(around, executing, seen?),
        libc::ENOENT if executing => Some(missing(seen)),
        libc::ENOENT => Some(not_found(program)),
        libc::ENOEXEC => Some(no_program(seen.and_then(|seen| seen.beginning.as_deref()))),
        libc::EISDIR => Some("process.args[0] must name a file".to_owned()),
        libc::ETXTBSY => Some("a process has the file open for writing".to_owned()),
        libc::E2BIG => Some("process.args and process.env are too long together".to_owned()),
        libc::EAGAIN if executing => {
            let uid = program.uid;
            Some(format!("the processes of user {uid}, also outside of the container, exceed its RLIMIT_NPROC"))
        }
        _ => None,
    }
}

/// Whether the filter answers `execve` with this error number.
fn refuses_execve(filter: &Filter, errno: i32) -> bool {
    let answer = filter.answer(&Call::native(libc::SYS_execve as u32, [0; 6]));
    u16::try_from(errno).is_ok_and(|errno| answer == Action::errno(errno))
}

fn not_found(program: &Program) -> String {
    if program.name().contains('/') {
        return "process.args[0] is looked for in the container's root filesystem".to_owned();
    }
    match program.env.iter().find_map(|entry| entry.strip_prefix("PATH=")) {
        Some(path) => format!("process.env has PATH={path}"),
        None => "process.env has no PATH: set it, or give process.args[0] with its path".to_owned(),
    }
}

fn denied(around: &Around<'_>, executing: bool, seen: &Seen) -> Option<String> {
    const TYPE: u32 = 0o170_000;
    const REGULAR: u32 = 0o100_000;
    let (mode, (uid, gid)) = (seen.mode & 0o7777, seen.owner);
    let Program { uid: user, gid: group, .. } = around.program;
    let whose = format!("mode {mode:04o}, owner {uid}:{gid}");
    if let Some(directory) = seen.path.get(..seen.directory).filter(|directory| !directory.is_empty()) {
        let directory = if directory == "/" { directory } else { directory.trim_end_matches('/') };
        return Some(format!("process.user {user}:{group} may not search {directory} ({whose}): chmod +x it"));
    }
    if seen.mode & TYPE != REGULAR {
        return Some(format!("{} is not a regular file", seen.path));
    }
    if seen.mount_flags & libc::ST_NOEXEC != 0 {
        return Some(match (around.mount_of)(&seen.path) {
            Some(index) => format!("mounts[{index}], which has {}, is mounted noexec: mount it with exec", seen.path),
            None => format!("the mount that has {} is noexec", seen.path),
        });
    }
    if mode & 0o111 == 0 {
        return Some(format!("{} has mode {mode:04o}: chmod +x it", seen.path));
    }
    match interpreter(seen.beginning.as_deref().unwrap_or_default()) {
        Some((_, name)) if executing => Some(format!("{name:?}, which executes it, may not be executed")),
        _ if executing => None,
        _ => Some(format!("process.user {user}:{group} may not execute {} ({whose})", seen.path)),
    }
}

/// The file is there, and the kernel misses the one that it names.
fn missing(seen: Option<&Seen>) -> String {
    let named = seen.and_then(|seen| interpreter(seen.beginning.as_deref()?));
    match named {
        Some((Interpreter::Script, name)) if name.ends_with('\r') => {
            format!("the script's first line names {name:?}: its lines end with CRLF (dos2unix changes them)")
        }
        Some((Interpreter::Script, name)) => {
            format!("the script's first line names {name:?}, which is not in the root filesystem")
        }
        Some((Interpreter::Loader, name)) => {
            format!("its ELF loader {name:?} is not in the root filesystem: add the C library, or link statically")
        }
        None => "the file is there: its interpreter (the first line of a script, or the ELF loader) is not".to_owned(),
    }
}

/// The kernel knows no way to execute the file.
fn no_program(beginning: Option<&[u8]>) -> String {
    match beginning {
        None => "the file is for another architecture, or a script without a #! line".to_owned(),
        Some([]) => "the file is empty".to_owned(),
        Some(elf) if elf.starts_with(b"\x7fELF") => {
            let machine = half(elf, 18).unwrap_or_default();
            let own = std::env::consts::ARCH;
            match machine_name(machine) {
                Some(name) if name == own => "the ELF file is damaged, or cannot be executed by this kernel".to_owned(),
                Some(name) => format!("the file is for {name}, this machine is {own}"),
                None => format!("the file is for another machine (e_machine {machine}), this one is {own}"),
            }
        }
        Some(script) if script.starts_with(b"#!") => "the first line of the script names no interpreter".to_owned(),
        Some(_) => "the file is neither ELF nor a script: a script begins with a line such as #!/bin/sh".to_owned(),
    }
}

/// The name of an `e_machine` (elf(5)), as uname(2) has it.
fn machine_name(machine: u64) -> Option<&'static str> {
    const NAMES: [(u64, &str); 9] = [
        (3, "x86"),
        (8, "mips"),
        (21, "powerpc64"),
        (22, "s390x"),
        (40, "arm"),
        (62, "x86_64"),
        (183, "aarch64"),
        (243, "riscv64"),
        (258, "loongarch64"),
    ];
    NAMES.iter().find(|(number, _)| *number == machine).map(|(_, name)| *name)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Interpreter {
    Script,
    Loader,
}

/// The interpreter of a script or the loader of an ELF file, from its first bytes. They may be
/// anyone's: text that is no plain path stays out of messages, in which engines look for phrases.
fn interpreter(file: &[u8]) -> Option<(Interpreter, String)> {
    named(file).filter(|(_, name)| name.len() < 256 && name.starts_with('/') && !name.contains([' ', ':']))
}

fn named(file: &[u8]) -> Option<(Interpreter, String)> {
    if let Some(line) = file.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let line = String::from_utf8_lossy(line);
        let name = line.trim_start_matches([' ', '\t']).split([' ', '\t']).next().filter(|name| !name.is_empty())?;
        return Some((Interpreter::Script, name.to_owned()));
    }
    let is_64 = file.strip_prefix(b"\x7fELF")?.first() == Some(&2);
    // e_phoff, e_phentsize and e_phnum; p_offset and p_filesz.
    let (table, size, count) = if is_64 { (32, 54, 56) } else { (28, 42, 44) };
    let field = |at| if is_64 { elf_number(file, at, 8) } else { elf_number(file, at, 4) };
    let (table, size) = (field(table)?, half(file, size)?);
    for n in 0..half(file, count)?.min(64) {
        let at = usize::try_from(table.checked_add(n * size)?).ok()?;
        if elf_number(file, at, 4)? == u64::from(libc::PT_INTERP) {
            let (offset, length) = if is_64 { (8, 32) } else { (4, 16) };
            let begin = usize::try_from(field(at.checked_add(offset)?)?).ok()?;
            let end = begin.checked_add(usize::try_from(field(at.checked_add(length)?)?).ok()?)?;
            let name = file.get(begin..end)?.split(|byte| *byte == 0).next()?;
            return Some((Interpreter::Loader, String::from_utf8_lossy(name).into_owned()));
        }
    }
    None
}

fn half(file: &[u8], at: usize) -> Option<u64> {
    elf_number(file, at, 2)
}

/// A number in the byte order of the ELF file.
pub(crate) fn elf_number(file: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = file.get(at..at.checked_add(length)?)?;
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    Some(if file.get(5) == Some(&2) { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_with_the_longest_destination_holds_the_path() {
        let mounts = || [(0, "/"), (1, "/data"), (2, "/data/in/"), (3, "/da")].into_iter();
        assert_eq!(mount_of("/data/in/x", mounts()), Some(2));
        assert_eq!(mount_of("/data/x", mounts()), Some(1));
        assert_eq!(mount_of("/datax", mounts()), Some(0));
        assert_eq!(mount_of("/x", mounts().skip(1)), None);
    }

    #[test]
    fn a_file_that_lies_about_its_interpreter_names_none() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let own = &own[..1024];
        let loader = interpreter(own).map(|(_, name)| name);
        assert!(loader.is_none_or(|name| name.starts_with("/lib")), "{}", own.len());
        for at in 0..own.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut damaged = own.to_vec();
                damaged[at] = byte;
                interpreter(&damaged);
                interpreter(&damaged[..at]);
            }
        }
        assert!(interpreter(b"#!").is_none() && interpreter(b"").is_none());
    }
}
