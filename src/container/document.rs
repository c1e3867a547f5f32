//! A JSON document that the caller names: `config.json`, `exec --process`, `update --resources`.

use super::LARGEST_CONFIG;
use crate::error::{Error, Kind, Result};
use crate::sys::{Failure, file, fs};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Reads a document from a regular file, or from a descriptor of the runtime such as standard
/// input. A FIFO without a writer, or a device, would block the runtime for ever.
///
/// # Errors
/// It cannot be opened or read, is another kind of file, or has more than [`LARGEST_CONFIG`] bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = file::open(path.as_os_str().as_bytes(), flags);
    let fd = opened.map_err(|e| Failure::new(format!("open {}", path.display()), e.errno()))?;
    let kind = fs::stat(&fd)?.kind();
    if kind == libc::S_IFREG {
        return Ok(file::read_regular(fd, LARGEST_CONFIG)?);
    }
    if !is_own_descriptor(path) {
        let text = format!("{path:?} is {}, not a regular file", word(kind));
        return Err(Error::new(Kind::Config, text).hint("name a file, or /dev/stdin"));
    }
    file::set_nonblocking(&fd, false)?;
    Ok(file::read_to_end(fd, LARGEST_CONFIG)?)
}

fn is_own_descriptor(path: &Path) -> bool {
    path == Path::new("/dev/stdin") || path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

fn word(kind: u32) -> &'static str {
    match kind {
        libc::S_IFIFO => "a FIFO",
        libc::S_IFCHR | libc::S_IFBLK => "a device",
        libc::S_IFDIR => "a directory",
        libc::S_IFSOCK => "a socket",
        _ => "a special file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read_by_its_name_and_nothing_is_waited_for() {
        let place = std::env::temp_dir().join(format!("orlop-document-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir(&place).unwrap();
        let directory = file::open(place.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY).unwrap();
        fs::mknod_at(&directory, "fifo", libc::S_IFIFO | 0o600, 0).unwrap();
        std::fs::write(place.join("file"), "{}").unwrap();
        assert_eq!(read(&place.join("file")).unwrap(), b"{}");
        for (name, word) in
            [("fifo", "a FIFO"), ("", "a directory"), ("/dev/zero", "a device"), ("/dev/null", "a device")]
        {
            let error = read(&place.join(name)).unwrap_err().to_string();
            assert!(error.contains(word), "{name}: {error}");
        }
        std::fs::remove_dir_all(&place).unwrap();
    }
}
