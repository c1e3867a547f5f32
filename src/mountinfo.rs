//! Parsing /proc/PID/mountinfo (`proc_pid_mountinfo(5)`).

use crate::error::Result;
use crate::sys::file;

/// The largest table that is read, in bytes. 100,000 mounts take about 20 MiB.
const LONGEST: usize = 256 << 20;

/// Reads the mountinfo of a process (a pid or `self`).
///
/// # Errors
/// The file cannot be read.
pub(crate) fn table(of: &str) -> Result<Vec<u8>> {
    let fd = file::open(format!("/proc/{of}/mountinfo"), libc::O_RDONLY)?;
    Ok(file::read_to_end(fd, LONGEST)?)
}

/// A line of mountinfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mounted<'a> {
    /// The mount id.
    pub id: &'a [u8],
    /// The device number of the filesystem, `major:minor`.
    pub device: &'a [u8],
    root: &'a [u8],
    point: &'a [u8],
    /// The attributes of the mount, separated by commas.
    pub attributes: &'a [u8],
    /// The type of the filesystem.
    pub kind: &'a [u8],
    /// The options of the filesystem (the superblock), separated by commas.
    pub options: &'a [u8],
}

/// The mounts of a table in order. Malformed lines are skipped.
pub(crate) fn mounts(table: &[u8]) -> impl DoubleEndedIterator<Item = Mounted<'_>> {
    table.split(|byte| *byte == b'\n').filter_map(Mounted::parse)
}

impl<'a> Mounted<'a> {
    fn parse(line: &'a [u8]) -> Option<Mounted<'a>> {
        let mut fields = line.split(|byte| *byte == b' ');
        let [id, device, root] = [fields.next()?, fields.nth(1)?, fields.next()?];
        let [point, attributes] = [fields.next()?, fields.next()?];
        let mut after = fields.skip_while(|field| *field != b"-");
        let (kind, options) = (after.nth(1)?, after.nth(1)?);
        Some(Mounted { id, device, root, point, attributes, kind, options })
    }

    /// The path within the filesystem that is visible at the mount point.
    pub(crate) fn root(&self) -> Vec<u8> {
        unescape(self.root)
    }

    /// The mount point.
    pub(crate) fn point(&self) -> Vec<u8> {
        unescape(self.point)
    }
}

/// Decodes the octal escapes of mountinfo (for space, tab, newline and backslash).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_mount() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402\134 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mounted = mounts(line).next().unwrap();
        assert_eq!((mounted.root(), mounted.point()), (b"/mnt1".to_vec(), br"/mnt 2\".to_vec()));
        assert_eq!((mounted.id, mounted.device), (&b"36"[..], &b"98:0"[..]));
        assert_eq!(mounted.attributes, b"rw,noatime");
        assert_eq!((mounted.kind, mounted.options), (&b"ext3"[..], &b"rw,errors=continue"[..]));
        assert_eq!(mounts(b"\n36 35\n").count(), 0);
    }
}
