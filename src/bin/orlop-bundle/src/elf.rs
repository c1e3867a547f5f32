//! The kind of a program file, from its first bytes and headers. The file is never executed.

use goblin::container::{Container, Ctx};
use goblin::elf::dynamic::{DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, Dyn};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD};
use goblin::elf::{Elf as Format, ProgramHeader, header};
use scroll::Pread as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// How much of a file's beginning is read, in bytes.
const BEGINNING: usize = 64 << 10;
/// The largest part that is read elsewhere, in bytes.
const PART: u64 = 1 << 20;
/// The most libraries that are looked at.
const MOST: usize = 1024;
/// The longest name of a library or list of directories, in bytes (PATH_MAX).
const LONGEST: usize = 4096;
/// The longest first line of a script, in bytes (execve(2)).
const FIRST_LINE: usize = 255;

/// A program by the rules of execve(2).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Script {
        interpreter: String,
        /// Whether the line ends as on Windows, which makes the carriage return a part of the name.
        carriage_return: bool,
    },
    Elf(Elf),
}

/// An ELF program (elf(5)).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Elf {
    machine: u16,
    /// The program loader that the kernel starts.
    pub(crate) interpreter: Option<String>,
    /// Libraries that the loader needs.
    pub(crate) needed: Vec<String>,
    /// Directories of its own for libraries.
    pub(crate) run_path: Vec<String>,
}

impl Elf {
    /// The name of another architecture than this machine's, which its kernel cannot execute.
    pub(crate) fn foreign(&self) -> Option<&'static str> {
        let native: &[u16] = match std::env::consts::ARCH {
            "x86_64" => &[header::EM_X86_64, header::EM_386],
            "aarch64" => &[header::EM_AARCH64, header::EM_ARM],
            "riscv64" => &[header::EM_RISCV],
            "s390x" => &[header::EM_S390],
            "powerpc64" => &[header::EM_PPC64],
            _ => return None,
        };
        (!native.contains(&self.machine)).then(|| match self.machine {
            header::EM_X86_64 => "x86_64",
            header::EM_386 => "i386",
            header::EM_AARCH64 => "aarch64",
            header::EM_ARM => "arm",
            header::EM_RISCV => "riscv",
            other => header::machine_to_str(other),
        })
    }
}

/// The kind of `file`, or the reason why the kernel cannot execute it.
pub(crate) fn read(file: File) -> Result<Program, String> {
    let beginning = part(&file, 0, BEGINNING as u64)?;
    if beginning.is_empty() {
        return Err("the file is empty".into());
    }
    if let Some(line) = beginning.strip_prefix(b"#!") {
        return script(line);
    }
    if !beginning.starts_with(b"\x7fELF") {
        return Err("neither an ELF program nor a script that begins with #! and an interpreter".into());
    }
    elf(&file, &beginning).map(Program::Elf)
}

fn script(line: &[u8]) -> Result<Program, String> {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(&line[..line.len().min(FIRST_LINE)]).into_owned();
    let carriage_return = text.ends_with('\r');
    let word = text.split([' ', '\t', '\r']).find(|word| !word.is_empty());
    let interpreter = word.ok_or("the first line is #! without an interpreter")?.to_owned();
    // With an argument behind it the interpreter's name is whole, and the carriage return a part of the argument.
    let alone = text.split_ascii_whitespace().count() == 1;
    Ok(Program::Script { interpreter, carriage_return: carriage_return && alone })
}

fn elf(file: &File, beginning: &[u8]) -> Result<Elf, String> {
    let damaged = |error: goblin::error::Error| format!("a damaged ELF program: {error}");
    let head = Format::parse_header(beginning).map_err(damaged)?;
    if !matches!(head.e_type, header::ET_EXEC | header::ET_DYN) {
        return Err("an ELF file that is no program (an object file or a core dump)".into());
    }
    let container = head.container().map_err(damaged)?;
    let context = Ctx::new(container, head.endianness().map_err(damaged)?);
    let headers =
        ProgramHeader::parse(beginning, head.e_phoff as usize, head.e_phnum.into(), context).map_err(damaged)?;
    let mut found = Elf { machine: head.e_machine, interpreter: None, needed: Vec::new(), run_path: Vec::new() };
    for segment in &headers {
        let bytes = || part(file, segment.p_offset, segment.p_filesz);
        match segment.p_type {
            PT_INTERP => {
                let text = bytes()?;
                found.interpreter =
                    Some(String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(&text)).into_owned());
            }
            PT_DYNAMIC if found.needed.is_empty() => {
                libraries(file, &headers, &bytes()?, container, context, &mut found)?
            }
            _ => {}
        }
    }
    Ok(found)
}

fn libraries(
    file: &File,
    headers: &[ProgramHeader],
    dynamic: &[u8],
    container: Container,
    context: Ctx,
    found: &mut Elf,
) -> Result<(), String> {
    let size = if container.is_big() { 16 } else { 8 };
    let entries: Vec<Dyn> = (0..dynamic.len() / size)
        .map_while(|n| dynamic.pread_with::<Dyn>(n * size, context).ok())
        .take_while(|entry| entry.d_tag != DT_NULL)
        .collect();
    let value = |tag: u64| entries.iter().find(|entry| entry.d_tag == tag).map(|entry| entry.d_val);
    let (Some(address), Some(length)) = (value(DT_STRTAB), value(DT_STRSZ)) else { return Ok(()) };
    let holds = |h: &&ProgramHeader| {
        h.p_type == PT_LOAD && (h.p_vaddr..h.p_vaddr.saturating_add(h.p_filesz)).contains(&address)
    };
    let Some(segment) = headers.iter().find(holds) else { return Ok(()) };
    let strings = part(file, segment.p_offset.saturating_add(address - segment.p_vaddr), length)?;
    let text = |at: u64| -> Option<String> {
        let rest = strings.get(usize::try_from(at).ok()?..)?;
        let name = rest.split(|byte| *byte == 0).next()?;
        (name.len() < LONGEST).then(|| String::from_utf8_lossy(name).into_owned())
    };
    for entry in entries.iter().filter(|entry| matches!(entry.d_tag, DT_NEEDED | DT_RPATH | DT_RUNPATH)).take(MOST) {
        match entry.d_tag {
            DT_NEEDED => found.needed.extend(text(entry.d_val)),
            _ if found.run_path.is_empty() => {
                found.run_path.extend(text(entry.d_val).iter().flat_map(|list| list.split(':')).map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Up to `length` bytes at `offset`, fewer at the file's end.
fn part(file: &File, offset: u64, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; length.min(PART) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("read: {error}")),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_bytes(name: &str, bytes: &[u8]) -> Result<Program, String> {
        let path = std::env::temp_dir().join(format!("orlop-bundle-elf-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let program = read(File::open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        program
    }

    #[test]
    fn this_programs_own_file_is_for_this_machine() {
        let Program::Elf(own) = read(File::open("/proc/self/exe").unwrap()).unwrap() else { panic!("no ELF") };
        assert_eq!(own.foreign(), None);
        assert_eq!(own.needed.is_empty(), own.interpreter.is_none(), "{own:?}");
    }

    #[test]
    fn scripts_name_their_interpreter() {
        for (line, interpreter, carriage_return) in [
            ("#!/bin/sh\necho", "/bin/sh", false),
            ("#! /usr/bin/env python3\n", "/usr/bin/env", false),
            ("#!/bin/sh\r\necho\r\n", "/bin/sh", true),
            ("#!/bin/sh -e\r\n", "/bin/sh", false),
        ] {
            let expected = Program::Script { interpreter: interpreter.into(), carriage_return };
            assert_eq!(of_bytes("script", line.as_bytes()), Ok(expected), "{line:?}");
        }
    }

    #[test]
    fn other_files_say_what_is_wrong_with_them() {
        for (bytes, part) in [
            (&b""[..], "empty"),
            (b"echo x\n", "neither"),
            (b"#!\n", "without an interpreter"),
            (b"\x7fELF", "damaged"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0\x01\0\0\0", "damaged"),
        ] {
            assert!(of_bytes("other", bytes).unwrap_err().contains(part), "{bytes:?}");
        }
    }
}
