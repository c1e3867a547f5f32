//! Images in one file: `oci-archive:`, `docker-archive:` and `tar:`, each perhaps compressed.
//!
//! Nothing is unpacked: blobs are read from the file at their offsets, by an index of its entries that is made first.

mod docker;
mod inflate;
mod oci;
mod plain;

pub(super) use docker::DockerArchive;
pub(super) use oci::OciArchive;
pub(super) use plain::PlainTar;

use crate::image::layer::{Archive, Kind};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// How many entries an archive of an image may have.
const MAX_ENTRIES: usize = if cfg!(test) { 1000 } else { 100_000 };
/// How many links are followed to an entry.
const MAX_LINKS: usize = 8;
/// Archives are padded to whole blocks.
const BLOCK: u64 = 512;

/// The entries of an archive.
struct Contents {
    file: File,
    entries: HashMap<String, Place>,
}

enum Place {
    Data {
        offset: u64,
        size: u64,
    },
    /// The name of another entry.
    Link(String),
}

impl Contents {
    /// Opens an archive and reads its headers.
    ///
    /// # Errors
    /// It cannot be read, or has an entry that leads out of it.
    fn open(path: &Path) -> Result<Contents> {
        let context = || format!("archive {}", path.display());
        let file = inflate::seekable(regular(path)?).with_context(context)?;
        let entries = entries(&file).with_context(context)?;
        Ok(Contents { file, entries })
    }

    /// An entry of this name, through links.
    fn find(&self, name: &str) -> Result<Option<Section<'_>>> {
        let mut current = normal(name)?;
        for _ in 0..=MAX_LINKS {
            match self.entries.get(&current) {
                Some(Place::Data { offset, size }) => return Ok(Some(self.section(*offset, *size))),
                Some(Place::Link(target)) => current.clone_from(target),
                None => return Ok(None),
            }
        }
        bail!("{name}: more than {MAX_LINKS} links")
    }

    /// A small entry whole.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(section) = self.find(name)? else { return Ok(None) };
        let most = super::MAX_MANIFEST;
        ensure!(section.left <= most, "{name}: {} bytes are more than {most}", section.left);
        let (mut section, mut bytes) = (section, Vec::new());
        section.read_to_end(&mut bytes).with_context(|| name.to_owned())?;
        Ok(Some(bytes))
    }

    fn section(&self, offset: u64, size: u64) -> Section<'_> {
        Section { file: &self.file, offset, left: size }
    }
}

/// A part of a file. Several threads may read parts of one.
struct Section<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Section<'_> {
    /// Without its beginning.
    fn from(self, offset: u64) -> Self {
        let skipped = offset.min(self.left);
        Section { offset: self.offset + skipped, left: self.left - skipped, ..self }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Opens a regular file.
fn regular(path: &Path) -> Result<File> {
    let context = || format!("archive {}", path.display());
    // A FIFO would wait for a writer.
    ensure!(std::fs::metadata(path).with_context(context)?.is_file(), "{}: not a regular file", context());
    File::open(path).with_context(context)
}

fn entries(mut file: &File) -> Result<HashMap<String, Place>> {
    let length = file.metadata()?.len();
    let (mut entries, mut position, mut count) = (HashMap::new(), 0, 0);
    loop {
        file.seek(SeekFrom::Start(position))?;
        // Data are never read but skipped.
        let mut archive = Archive::new(Counted { inner: BufReader::with_capacity(4096, file), count: 0 });
        let Some(entry) = archive.next()? else { return Ok(entries) };
        let offset = position + archive.into_inner().count;
        count += 1;
        ensure!(count <= MAX_ENTRIES, "more than {MAX_ENTRIES} entries");
        let shown = || orlop::explain::shown(&String::from_utf8_lossy(&entry.path)).to_string();
        let name =
            std::str::from_utf8(&entry.path).ok().with_context(|| format!("{}: the name is not UTF-8", shown()))?;
        ensure!(entry.sparse.is_none(), "{}: a sparse file, which archives of images have not", shown());
        let end = offset.checked_add(entry.size).filter(|end| *end <= length);
        let end = end.with_context(|| format!("{}: the archive ends within the data", shown()))?;
        position = end.next_multiple_of(BLOCK);
        let place = match entry.kind {
            Kind::File => Place::Data { offset, size: entry.size },
            Kind::Symlink | Kind::HardLink => {
                let target = std::str::from_utf8(&entry.link).ok();
                let target = target.with_context(|| format!("{}: the target is not UTF-8", shown()))?;
                // A symbolic link is seen from its directory, a hard link from the root.
                let directory = name.rsplit_once('/').filter(|_| entry.kind == Kind::Symlink);
                let target = directory.map_or_else(|| target.to_owned(), |(parent, _)| join(parent, target));
                Place::Link(normal(&target).with_context(shown)?)
            }
            Kind::Directory => continue,
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
                bail!("{}: neither a file nor a link, which archives of images have alone", shown())
            }
        };
        entries.insert(normal(name)?, place);
    }
}

fn join(parent: &str, target: &str) -> String {
    if target.starts_with('/') { target.to_owned() } else { format!("{parent}/{target}") }
}

/// A name without `.` and `..`.
///
/// # Errors
/// It leads out of the archive.
fn normal(name: &str) -> Result<String> {
    let leads_out = || format!("{}: leads out of the archive", orlop::explain::shown(name));
    ensure!(!name.starts_with('/'), leads_out());
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().with_context(leads_out)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
