//! Compressed archives.

use anyhow::{Context as _, Result, ensure};
use flate2::bufread::MultiGzDecoder;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, BufRead, Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// An archive may be as much larger than its file, or as large in any case.
const MAX_RATIO: u64 = 250;
const ANY_RATIO: u64 = if cfg!(test) { 16 << 20 } else { 1 << 30 };

/// The compression of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By its first bytes.
    pub(super) fn of(beginning: &[u8]) -> Compression {
        match beginning {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// A layer's media type.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// The content of a compressed stream, up to a bound by the stream's size.
    pub(super) fn inflate<'a>(self, stream: impl BufRead + 'a, size: u64) -> io::Result<Box<dyn Read + 'a>> {
        let most = ANY_RATIO.max(size.saturating_mul(MAX_RATIO));
        let inflated: Box<dyn Read + 'a> = match self {
            Compression::None => return Ok(Box::new(stream)),
            Compression::Gzip => Box::new(MultiGzDecoder::new(stream)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(stream)?),
        };
        Ok(Box::new(Bounded { inflated, left: most, most }))
    }
}

struct Bounded<'a> {
    inflated: Box<dyn Read + 'a>,
    left: u64,
    most: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inflated.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let most = self.most;
            io::Error::other(format!("inflates to more than {most} bytes, {MAX_RATIO} times its size"))
        })?;
        Ok(count)
    }
}

/// The first bytes of a file.
pub(super) fn beginning(file: &File, offset: u64) -> Result<[u8; 4]> {
    let mut bytes = [0; 4];
    let _ = file.read_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// The file, or a nameless one with its inflated content.
///
/// # Errors
/// It is damaged, inflates to too much, or there is no space.
pub(super) fn seekable(file: File) -> Result<File> {
    let compression = Compression::of(&beginning(&file, 0)?);
    if compression == Compression::None {
        return Ok(file);
    }
    let size = file.metadata()?.len();
    let mut inflated = compression.inflate(io::BufReader::with_capacity(256 << 10, file), size)?;
    let mut spool = nameless()?;
    io::copy(&mut inflated, &mut spool).context("inflate the archive")?;
    spool.flush()?;
    spool.rewind()?;
    Ok(spool)
}

/// A file that has no name and is gone with this process.
fn nameless() -> Result<File> {
    // As for other programs with images, whose archives do not fit into a /tmp in memory.
    let directory = std::env::var_os("TMPDIR").filter(|value| !value.is_empty());
    let directory = directory.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let context = || format!("temporary file in {} (another directory is named by TMPDIR)", directory.display());
    ensure!(directory.is_absolute(), "{}: not an absolute path", context());
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR);
    Ok(File::from(opened.with_context(context)?))
}
