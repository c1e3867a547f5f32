//! Blobs of a registry that are kept while they are read, so that an interrupted pull goes on where it stopped.
//!
//! Nothing in such a file is verified: the next pull reads it from its beginning, with digest, size and `diff_id`, and goes on
//! with the registry behind its end. A blob is what its digest says, so that no validator goes along with the range.

use super::super::source::{Manifest, Platform, Source};
use super::Store;
use super::lock::Guard;
use anyhow::{Context as _, Result, ensure};
use oci_spec::image::Descriptor;
use rustix::fs::{FlockOperation, flock};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// A source of one blob: the bytes of the file, then those of the source, which are added to the file.
pub(super) struct Resumed<'a> {
    source: &'a dyn Source,
    store: &'a Store,
    name: String,
    file: File,
    /// The bytes that an earlier pull has left.
    pub(super) earlier: u64,
    /// Whether the source failed, and not what was made of its bytes.
    is_cut: AtomicBool,
}

impl<'a> Resumed<'a> {
    /// Opens the file of a blob; `None` while another process reads it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn open(
        store: &'a Store,
        source: &'a dyn Source,
        descriptor: &Descriptor,
    ) -> Result<Option<Resumed<'a>>> {
        Resumed::locked(store, source, descriptor, FlockOperation::NonBlockingLockExclusive)
    }

    /// Opens the file of a blob, and waits for another process that reads it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn wait(store: &'a Store, source: &'a dyn Source, descriptor: &Descriptor) -> Result<Resumed<'a>> {
        let resumed = Resumed::locked(store, source, descriptor, FlockOperation::LockExclusive)?;
        resumed.context("flock")
    }

    fn locked(
        store: &'a Store,
        source: &'a dyn Source,
        descriptor: &Descriptor,
        lock: FlockOperation,
    ) -> Result<Option<Resumed<'a>>> {
        let name = descriptor.digest().digest().to_owned();
        ensure!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}: is no digest");
        let path = store.path.join("blobs").join(&name);
        let options = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        loop {
            let file = options.open(&path).with_context(|| path.display().to_string())?;
            match flock(&file, lock) {
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                other => other.with_context(|| format!("flock {}", path.display()))?,
            }
            let status = file.metadata()?;
            if status.nlink() == 0 {
                // It was removed before the lock was there.
                continue;
            }
            let mut earlier = status.len();
            if earlier > descriptor.size() {
                file.set_len(0)?;
                earlier = 0;
            }
            return Ok(Some(Resumed { source, store, name, file, earlier, is_cut: AtomicBool::new(false) }));
        }
    }

    /// Removes the file, unless a failure of the source is why the blob was not read: another pull may go on with it then.
    /// Whether it was removed.
    ///
    /// # Errors
    /// `unlinkat(2)`.
    pub(super) fn end(self) -> Result<bool> {
        let is_over = !self.is_cut.load(Ordering::Relaxed);
        if is_over && self.store.blobs.entry_status(self.name.as_bytes())?.is_some() {
            self.store.blobs.remove_entry(self.name.as_bytes())?;
        }
        Ok(is_over)
    }
}

impl Resumed<'_> {
    /// Checks that the file has the whole blob.
    ///
    /// # Errors
    /// The disk was full, so that it has not.
    pub(super) fn check_whole(&self, descriptor: &Descriptor) -> Result<()> {
        let (length, size) = (self.file.metadata()?.len(), descriptor.size());
        ensure!(length == size, "layer {}: {length} of {size} bytes could be written", descriptor.digest());
        Ok(())
    }
}

impl Source for Resumed<'_> {
    fn manifest(&self, platform: &Platform) -> Result<Manifest> {
        self.source.manifest(platform)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let (descriptor, at) = (descriptor.clone(), offset);
        Ok(Box::new(Bytes { resumed: self, descriptor, at, rest: None, is_saved: true }))
    }
}

/// The bytes of a blob.
struct Bytes<'a> {
    resumed: &'a Resumed<'a>,
    descriptor: Descriptor,
    at: u64,
    /// The source's part, when the end of the file is reached.
    rest: Option<Box<dyn Read + Send + 'a>>,
    is_saved: bool,
}

impl Bytes<'_> {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_none() {
            let opened = self.resumed.source.blob(&self.descriptor, self.at);
            self.rest = Some(opened.map_err(|error| io::Error::other(format!("{error:#}")))?);
        }
        self.rest.as_mut().map_or(Ok(0), |rest| rest.read(buffer))
    }
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.resumed.earlier.saturating_sub(self.at);
        let count = if left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.resumed.file.read_at(&mut buffer[..most], self.at)?
        } else {
            let received = self.receive(buffer);
            if received.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
                self.resumed.is_cut.store(true, Ordering::Relaxed);
            }
            let count = received?;
            if self.is_saved && self.resumed.file.write_all_at(&buffer[..count], self.at).is_err() {
                // The disk may be full: the layer itself is worth more.
                self.is_saved = false;
                let _ = self.resumed.file.set_len(0);
            }
            count
        };
        self.at += count as u64;
        Ok(count)
    }
}

impl Store {
    /// Removes blobs that interrupted pulls have left, and those of images that are gone, but not of pulls that are under
    /// way; `only` those of these names. How many.
    ///
    /// # Errors
    /// `unlinkat(2)`.
    pub(crate) fn remove_blobs(&self, _: &Guard, only: Option<&HashSet<String>>) -> Result<usize> {
        let mut needed = HashSet::new();
        for record in self.records()?.into_iter().filter(|record| record.is_flat) {
            let layers = record.manifest()?.parsed.layers().clone();
            needed.extend(layers.iter().map(|layer| layer.digest().digest().as_bytes().to_vec()));
        }
        let mut removed = 0;
        let is_asked = |name: &[u8]| only.is_none_or(|only| only.contains(&*String::from_utf8_lossy(name)));
        for name in self.blobs.entries()?.into_iter().filter(|name| is_asked(name) && !needed.contains(name)) {
            let file = self.blobs.entry_file(&name)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                self.blobs.remove_entry(&name)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
