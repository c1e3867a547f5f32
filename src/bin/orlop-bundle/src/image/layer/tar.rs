//! Entries of a tar archive: ustar, GNU and PAX. The archive may be hostile.

use super::Time;
use super::pax::Records;
use super::sparse;
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{self, Read};
use tar::{EntryType, Header};

const BLOCK: usize = 512;
/// The longest name that the kernel takes (PATH_MAX), in bytes.
const MAX_NAME: usize = 4096;
/// The largest PAX header: the kernel's limit for extended attributes is 64 KiB for each.
const MAX_PAX: u64 = 1 << 20;

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    Directory,
    CharDevice,
    BlockDevice,
    Fifo,
}

/// An entry, of which the data follow in the archive.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// The target of a link.
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    pub(crate) atime: Option<Time>,
    pub(crate) device: (u32, u32),
    /// The size of the file, which is more than the data where it is sparse.
    pub(crate) size: u64,
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// The parts of a sparse file that have data: offsets and lengths.
    pub(crate) sparse: Option<Vec<(u64, u64)>>,
}

/// An archive that is read once, from its beginning to its end. As a [`Read`] it gives the data of the last entry.
pub(crate) struct Archive<R> {
    inner: R,
    /// The rest of the data of the last entry, and the padding behind them.
    data: u64,
    padding: u64,
    global: Records,
}

/// Extensions that stand before an entry's own header.
#[derive(Default)]
struct Prefix {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Records>,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(inner: R) -> Archive<R> {
        Archive { inner, data: 0, padding: 0, global: Records::default() }
    }

    /// The next entry; `None` at the end. The rest of the data of the last one is skipped.
    ///
    /// # Errors
    /// The archive is damaged, ends early, or has an entry of an unknown type.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut prefix = Prefix::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                ensure!(prefix.name.is_none() && prefix.pax.is_none(), "the archive ends behind a PAX or GNU header");
                return Ok(None);
            };
            let size = or_zero(&header.as_old().size, header.entry_size()).context("the size of an entry")?;
            match header.entry_type() {
                EntryType::GNULongName => prefix.name = Some(self.long(size)?),
                EntryType::GNULongLink => prefix.link = Some(self.long(size)?),
                EntryType::XHeader => prefix.pax = Some(Records::parse(&self.small(size, MAX_PAX)?)?),
                EntryType::XGlobalHeader => {
                    let records = Records::parse(&self.small(size, MAX_PAX)?)?;
                    self.global.extend(records);
                }
                _ => return self.entry(&header, size, prefix).map(Some),
            }
        }
    }

    /// Reads all that follows the end of the archive, so that the digest is of the whole stream.
    pub(crate) fn finish(mut self) -> Result<()> {
        io::copy(&mut self.inner, &mut io::sink())?;
        Ok(())
    }

    /// The reader, at the first byte of the data of the last entry.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    fn skip(&mut self) -> Result<()> {
        let rest = self.data + self.padding;
        (self.data, self.padding) = (0, 0);
        let skipped = io::copy(&mut (&mut self.inner).take(rest), &mut io::sink())?;
        ensure!(skipped == rest, "the archive ends within the data of an entry");
        Ok(())
    }

    /// The next header; `None` at the end: an empty block, or no block.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => bail!("the archive ends within a header"),
                count => filled += count,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum = |add: fn(u8) -> i64| {
            block.iter().enumerate().map(|(n, byte)| if (148..156).contains(&n) { 32 } else { add(*byte) }).sum::<i64>()
        };
        let expected = i64::from(header.cksum().context("the checksum of a header")?);
        let right = sum(i64::from) == expected || sum(|byte| i64::from(byte as i8)) == expected;
        ensure!(right, "a header has a wrong checksum: this is no tar archive, or it is damaged");
        Ok(Some(header))
    }

    /// The data of an extension header.
    fn small(&mut self, size: u64, most: u64) -> Result<Vec<u8>> {
        ensure!(size <= most, "a PAX or GNU header of {size} bytes is larger than {most}");
        self.expect(size);
        let mut data = vec![0; size as usize];
        self.read_exact(&mut data).context("the archive ends within a PAX or GNU header")?;
        Ok(data)
    }

    fn long(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.small(size, MAX_NAME as u64 + 1)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    /// Says how much data follows.
    fn expect(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn entry(&mut self, header: &Header, size: u64, prefix: Prefix) -> Result<Entry> {
        let mut pax = self.global.clone();
        pax.extend(prefix.pax.unwrap_or_default());
        let name =
            |key, long: Option<Vec<u8>>, short: Vec<u8>| pax.get(key).map(<[u8]>::to_vec).or(long).unwrap_or(short);
        let path = name("path", prefix.name, header.path_bytes().into_owned());
        let path = pax.get("GNU.sparse.name").map_or(path, <[u8]>::to_vec);
        let shown = String::from_utf8_lossy(&path).into_owned();
        let link = header.link_name_bytes().unwrap_or_default().into_owned();
        let old = header.as_old();
        let mut entry = Entry {
            kind: kind(header, &path).with_context(|| shown.clone())?,
            link: name("linkpath", prefix.link, link),
            path,
            mode: or_zero(&old.mode, header.mode())? & 0o7777,
            uid: id(pax.number("uid")?.map_or_else(|| or_zero(&old.uid, header.uid()), Ok)?)?,
            gid: id(pax.number("gid")?.map_or_else(|| or_zero(&old.gid, header.gid()), Ok)?)?,
            mtime: pax
                .time("mtime")?
                .map_or_else(|| or_zero(&old.mtime, header.mtime()).map(|at| (at as i64, 0)), Ok)?,
            atime: pax.time("atime")?,
            device: (0, 0),
            size: pax.number("size")?.unwrap_or(size),
            attributes: pax.attributes(),
            sparse: None,
        };
        for name in [&entry.path, &entry.link] {
            ensure!(!name.contains(&0), "{shown}: a name holds a NUL");
            ensure!(name.len() <= MAX_NAME, "{shown}: a name is longer than {MAX_NAME} bytes");
        }
        if matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice) {
            entry.device = (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
        }
        if entry.kind != Kind::File {
            // As in other readers, nothing but a file has data, whatever its header says.
            entry.size = 0;
            return Ok(entry);
        }
        self.expect(entry.size);
        sparse::read(self, header, &pax, &mut entry).with_context(|| shown.clone())?;
        Ok(entry)
    }

    /// The blocks of an old GNU sparse map stand between the header and the data, and are not counted.
    pub(crate) fn extra_block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.inner.read_exact(&mut block).context("the archive ends within the map of a sparse file")?;
        Ok(block)
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.data).unwrap_or(usize::MAX));
        let count = if most == 0 { 0 } else { self.inner.read(&mut buffer[..most])? };
        if most > 0 && count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within the data of an entry"));
        }
        self.data -= count as u64;
        Ok(count)
    }
}

/// A field of a header, of which an empty one is 0.
fn or_zero<T: Default>(field: &[u8], parsed: io::Result<T>) -> io::Result<T> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(T::default()) } else { parsed }
}

fn id(number: u64) -> Result<u32> {
    u32::try_from(number).ok().filter(|id| *id != u32::MAX).with_context(|| format!("{number} is no user or group id"))
}

fn kind(header: &Header, path: &[u8]) -> Result<Kind> {
    Ok(match header.entry_type() {
        // Before ustar a slash at the end of the name was all that said directory.
        EntryType::Regular if header.as_ustar().is_none() && header.as_gnu().is_none() && path.ends_with(b"/") => {
            Kind::Directory
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Char => Kind::CharDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Directory => Kind::Directory,
        EntryType::Fifo => Kind::Fifo,
        other => bail!("the type {:?} of an entry is not supported", char::from(other.as_byte())),
    })
}
