//! The list of a layer's files: made when the layer is unpacked, compared with its directory by `image verify`.
//!
//! A line for each file, in the order of a walk: the path, type, mode, owner, size, links, modification time, target or device,
//! a checksum of the content, and extended attributes. The checksum is a CRC-32, which finds each changed byte and costs a
//! tenth of a digest: an attacker who writes to the store could change the list, too.

use anyhow::{Context as _, Result, ensure};
use flate2::Crc;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, openat, readlinkat, seek, statat};
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;
use std::cmp::Ordering;
use std::ffi::CStr;
use std::fs::File;
use std::io::{BufRead, Lines, Write};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;

/// How deep directories are walked: each level holds a file descriptor.
const MAX_DEPTH: u32 = 4096;
/// The unit of checksums: units of zeros do not count, so that holes need not be read.
const UNIT: usize = 4096;
/// The fields of a line are separated by tabs, which are escaped within them.
const SEPARATOR: char = '\t';
/// How many differences of a layer are shown.
const MAX_SHOWN: usize = 20;
/// The largest value of an extended attribute.
const MAX_ATTRIBUTE: usize = 64 << 10;

/// Writes the list of a layer; the number of files.
///
/// # Errors
/// A file cannot be read, or the list cannot be written.
pub(super) fn write(layer: impl AsFd, list: &mut dyn Write) -> Result<u64> {
    let mut count = 0;
    walk(layer, &mut |line| {
        count += 1;
        writeln!(list, "{line}").context("write")
    })?;
    writeln!(list, "{SEPARATOR}{count}").context("write")?;
    list.flush().context("write")?;
    Ok(count)
}

/// A list that is read.
struct List<R> {
    lines: Lines<R>,
    next: Option<String>,
    count: u64,
}

impl<R: BufRead> List<R> {
    fn new(list: R) -> Result<List<R>> {
        let mut list = List { lines: list.lines(), next: None, count: 0 };
        list.advance()?;
        Ok(list)
    }

    /// Reads the next line, and gives the one before.
    fn advance(&mut self) -> Result<Option<String>> {
        let line = self.lines.next().context("the list of its files is not whole")?.context("the list of its files")?;
        if let Some(end) = line.strip_prefix(SEPARATOR) {
            ensure!(end == self.count.to_string(), "the list of its files is not whole");
            return Ok(self.next.take());
        }
        self.count += 1;
        Ok(self.next.replace(line))
    }

    /// The next line, if it is of a path with this order to that of `line`.
    fn take(&mut self, line: &str, wanted: Ordering) -> Result<Option<String>> {
        let is_it = self.next.as_ref().is_some_and(|known| order(known, line) == wanted);
        if is_it { self.advance() } else { Ok(None) }
    }
}

/// What a comparison has found.
#[derive(Default)]
pub(crate) struct Comparison {
    pub(crate) files: u64,
    pub(crate) differences: u64,
    /// The first differences.
    pub(crate) shown: Vec<String>,
}

impl Comparison {
    fn add(&mut self, path: &str, problem: &str) {
        self.differences += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(format!("{path}: {problem}"));
        }
    }
}

/// Compares a layer with its list.
///
/// # Errors
/// The list or a file cannot be read.
pub(super) fn compare(layer: impl AsFd, list: impl BufRead) -> Result<Comparison> {
    let (mut found, mut list) = (Comparison::default(), List::new(list)?);
    walk(layer, &mut |line| {
        found.files += 1;
        while let Some(missing) = list.take(line, Ordering::Less)? {
            found.add(path(&missing), "is missing");
        }
        match list.take(line, Ordering::Equal)? {
            Some(known) => difference(&known, line).iter().for_each(|problem| found.add(path(line), problem)),
            None => found.add(path(line), "is not of the image"),
        }
        Ok(())
    })?;
    while list.next.is_some() {
        list.advance()?.iter().for_each(|missing| found.add(path(missing), "is missing"));
    }
    Ok(found)
}

fn path(line: &str) -> &str {
    line.split(SEPARATOR).next().unwrap_or_default()
}

/// The order of a walk.
fn order(one: &str, other: &str) -> Ordering {
    path(one).split('/').cmp(path(other).split('/'))
}

/// The fields in which two lines of a path differ.
fn difference(known: &str, now: &str) -> Option<String> {
    let fields = |line: &str| -> Vec<String> { line.split(SEPARATOR).skip(1).map(str::to_owned).collect() };
    let (known, now) = (fields(known), fields(now));
    let only = |some: &[String], others: &[String]| -> Vec<String> {
        some.iter().filter(|field| !others.contains(field)).cloned().collect()
    };
    let (was, is) = (only(&known, &now), only(&now, &known));
    let shown = |fields: &[String]| if fields.is_empty() { "nothing".to_owned() } else { fields.join(", ") };
    (known != now).then(|| format!("has {}, not {}", shown(&is), shown(&was)))
}

/// Calls `each` with the line of each file, parents first.
fn walk(layer: impl AsFd, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let root = open_directory(&layer, c".")?;
    each(&line(&root, c".", ".", &statat(&root, c".", AtFlags::SYMLINK_NOFOLLOW)?)?)?;
    visit(&root, "", each, 0)
}

fn visit(directory: &OwnedFd, prefix: &str, each: &mut dyn FnMut(&str) -> Result<()>, depth: u32) -> Result<()> {
    ensure!(depth < MAX_DEPTH, "directories are too deep");
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).context("getdents64")? {
        let name = entry.context("getdents64")?.file_name().to_owned();
        names.push((escaped(name.to_bytes()), name));
    }
    names.sort();
    for (shown, name) in names.into_iter().filter(|(_, name)| ![c".", c".."].contains(&name.as_c_str())) {
        let path = format!("{prefix}{shown}");
        let status = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW).with_context(|| path.clone())?;
        each(&line(directory, &name, &path, &status).with_context(|| path.clone())?)?;
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            let inner = open_directory(directory, &name).with_context(|| path.clone())?;
            visit(&inner, &format!("{path}/"), each, depth + 1)?;
        }
    }
    Ok(())
}

/// Opens a file without a new access time, where its owner does.
fn open(directory: impl AsFd, name: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(&directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(&directory, name, flags, Mode::empty()),
        other => other,
    }
    .context("openat")
}

fn open_directory(directory: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    open(directory, name, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// The line of a file.
fn line(directory: &OwnedFd, name: &CStr, path: &str, status: &Stat) -> Result<String> {
    let kind = FileType::from_raw_mode(status.st_mode);
    let mut fields = vec![path.to_owned(), word(kind).to_owned()];
    fields.push(format!("mode {:o}", status.st_mode & 0o7777));
    fields.push(format!("owner {}:{}", status.st_uid, status.st_gid));
    fields.push(format!("mtime {}.{:09}", status.st_mtime, status.st_mtime_nsec));
    match kind {
        FileType::Directory => {}
        _ => fields.push(format!("links {}", status.st_nlink)),
    }
    match kind {
        FileType::RegularFile => {
            let file = File::from(open(directory, name, OFlags::RDONLY)?);
            fields.push(format!("size {}", status.st_size));
            fields.push(format!("content {:08x}", checksum(&file)?));
        }
        FileType::Symlink => {
            let target = readlinkat(directory, name, Vec::new()).context("readlinkat")?;
            fields.push(format!("target {}", escaped(target.to_bytes())));
        }
        FileType::CharacterDevice | FileType::BlockDevice => fields.push(format!("device {:x}", status.st_rdev)),
        _ => {}
    }
    fields.extend(attributes(directory, name)?);
    Ok(fields.join("\t"))
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::Fifo => "fifo",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        _ => "file of another type",
    }
}

/// Printable ASCII without tabs and newlines.
fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Extended attributes but for labels, which are the host's.
fn attributes(directory: &OwnedFd, name: &CStr) -> Result<Vec<String>> {
    let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name.to_bytes()].concat();
    let mut names = Vec::with_capacity(MAX_ATTRIBUTE);
    match llistxattr(path.as_slice(), spare_capacity(&mut names)) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other.context("llistxattr")?,
    };
    let is_own = |name: &&[u8]| !name.starts_with(b"security.") || *name == b"security.capability";
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).filter(is_own) {
        let mut value = Vec::with_capacity(MAX_ATTRIBUTE);
        lgetxattr(path.as_slice(), name, spare_capacity(&mut value)).context("lgetxattr")?;
        found.push(format!("{} {}", escaped(name), escaped(&value)));
    }
    found.sort();
    Ok(found)
}

/// The checksum of a file: of all units that are not zeros, each with its number.
fn checksum(file: &File) -> Result<u32> {
    let (mut sum, mut buffer) = (Crc::new(), vec![0; 64 * UNIT]);
    let mut at = 0;
    loop {
        at = match seek(file, SeekFrom::Data(at)) {
            // Behind the last data.
            Err(Errno::NXIO) => return Ok(sum.sum()),
            Ok(next) => next - next % UNIT as u64,
            // A file system without holes.
            Err(Errno::INVAL) => at,
            Err(error) => return Err(error).context("lseek"),
        };
        let length = fill(file, &mut buffer, at)?;
        for unit in buffer[..length].chunks(UNIT) {
            if unit.iter().any(|byte| *byte != 0) {
                sum.update(&at.to_le_bytes());
                sum.update(unit);
            }
            at += unit.len() as u64;
        }
        if length < buffer.len() {
            return Ok(sum.sum());
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], at: u64) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("read"),
        }
    }
    Ok(filled)
}
