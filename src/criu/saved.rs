//! What images say of the mounts that were saved. An image is two numbers that tell its kind, and then messages, each with its
//! length in front.

use super::message::{Field, fields, number};
use crate::error::{Context, Error, Result};
use crate::sys::file;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A mount as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedMount {
    id: u64,
    parent: u64,
    /// Where, in the container.
    pub point: String,
    /// MS_* flags (`mount(2)`).
    pub flags: u64,
    /// The filesystem and the directory in it.
    what: (u64, Vec<u8>),
    is_external: bool,
}

/// The mounts of the first process, whose images are in `directory`; where another one was mounted on the same place later,
/// only that one.
///
/// # Errors
/// An image is missing or damaged.
pub fn mounts(directory: &Path) -> Result<Vec<SavedMount>> {
    let first = |name: &str, field: u64| -> Result<u64> {
        let image = read(&directory.join(name))?;
        let found = entries(&image).and_then(|list| number(list.first().ok_or_else(damaged)?, field));
        found.and_then(|number| number.ok_or_else(damaged)).with(|| format!("{:?}", directory.join(name)))
    };
    // Of pstree.img field 1 is the pid, of ids-PID.img field 9 the mount namespace.
    let pid = first("pstree.img", 1)?;
    let namespace = first(&format!("ids-{pid}.img"), 9)?;
    let path = directory.join(format!("mountpoints-{namespace}.img"));
    let image = read(&path)?;
    let list = entries(&image).and_then(|list| list.into_iter().map(mount).collect::<Result<Vec<_>>>());
    let list = list.with(|| format!("{path:?}"))?;
    // CRIU finds what is outside by the mount point alone, and would bind one of them twice.
    let confused = |one: &&SavedMount| {
        let other = |other: &SavedMount| other.point == one.point && other.what != one.what;
        one.is_external && list.iter().any(other)
    };
    if let Some(one) = list.iter().find(confused) {
        return Err(Error::state(format!("two mounts at {} cannot be restored", one.point)));
    }
    let covered = |mount: &SavedMount| list.iter().any(|on| on.parent == mount.id && on.point == mount.point);
    Ok(list.iter().filter(|mount| !covered(mount)).cloned().collect())
}

fn mount(entry: &[u8]) -> Result<SavedMount> {
    let mut mount = SavedMount::default();
    for field in fields(entry)? {
        match field {
            (2, Field::Number(n)) => mount.id = n,
            (4, Field::Number(n)) => mount.parent = n,
            (5, Field::Number(n)) => mount.flags = n,
            (3, Field::Number(n)) => mount.what.0 = n,
            (6, Field::Bytes(root)) => mount.what.1 = root.to_vec(),
            (13, Field::Number(n)) => mount.is_external |= n != 0,
            (18, Field::Bytes(_)) => mount.is_external = true,
            (7, Field::Bytes(path)) => mount.point = String::from_utf8_lossy(path).into_owned(),
            _ => {}
        }
    }
    Ok(mount)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let fd = file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_NONBLOCK)?;
    Ok(file::read_regular(fd, 64 << 20)?)
}

/// The messages of an image.
fn entries(image: &[u8]) -> Result<Vec<&[u8]>> {
    let mut rest = image.get(8..).ok_or_else(damaged)?;
    let mut list = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (entry, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
        list.push(entry);
        rest = after;
    }
    Ok(list)
}

fn damaged() -> Error {
    Error::system("the image is cut short or damaged")
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::*;

    fn image(messages: &[Message]) -> Vec<u8> {
        let mut bytes = vec![7; 8];
        for message in messages {
            bytes.extend((message.0.len() as u32).to_le_bytes());
            bytes.extend(&message.0);
        }
        bytes
    }

    fn numbers(list: &[(u64, u64)]) -> Message {
        let mut message = Message::default();
        list.iter().for_each(|(field, value)| message.number(*field, *value));
        message
    }

    #[test]
    fn the_uppermost_mount_of_each_place_is_found() {
        let directory = std::env::temp_dir().join(format!("orlop-saved-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let write = |name: &str, messages: &[Message]| std::fs::write(directory.join(name), image(messages)).unwrap();
        let mount = |id: u64, parent: u64, flags: u64, point: &str| {
            let mut message = numbers(&[(2, id), (4, parent), (5, flags)]);
            message.bytes(7, point);
            message
        };
        write("pstree.img", &[numbers(&[(1, 1)]), numbers(&[(1, 9)])]);
        write("ids-1.img", &[numbers(&[(1, 4), (9, 13)])]);
        write(
            "mountpoints-13.img",
            &[mount(5, 4, 3, "/proc/keys"), mount(4, 1, 0, "/proc"), mount(6, 5, 1, "/proc/keys")],
        );
        let found: Vec<_> = mounts(&directory).unwrap().into_iter().map(|m| (m.point, m.flags)).collect();
        assert_eq!(found, [("/proc".into(), 0), ("/proc/keys".into(), 1)]);
        std::fs::write(directory.join("mountpoints-13.img"), &image(&[mount(5, 4, 3, "/x")])[..14]).unwrap();
        assert!(mounts(&directory).unwrap_err().to_string().contains("cut short"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
