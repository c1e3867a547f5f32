//! POSIX access control lists (acl(5)): the mode of a copy that cannot have the list must not grant
//! more access.

use crate::error::Result;
use crate::path::Handle;
use crate::sys::fs::{self, Stat};
use crate::sys::{file, xattr};
use std::os::fd::AsFd;

/// The extended attribute with the access control list of a file.
pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";

const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;

/// The mode for a copy of a file without its access control list. It grants users and groups in the
/// list, and the file's group, no more than the list does.
///
/// With a list, the middle digit of the mode is the list's mask and not the permissions of the
/// group.
pub(crate) fn without(stat: &Stat, list: Option<Vec<u8>>) -> u32 {
    let mode = stat.mode & 0o7777;
    let Some(list) = list else { return mode };
    let mask = mode >> 3 & 7;
    let (mut group, mut named) = (mask, 7);
    for entry in list.get(4..).unwrap_or_default().chunks_exact(8) {
        let [tag, permissions] = [0, 2].map(|at| u16::from_le_bytes([entry[at], entry[at + 1]]));
        match tag {
            GROUP_OBJ => group &= u32::from(permissions),
            USER | GROUP => named &= u32::from(permissions) & mask,
            _ => {}
        }
    }
    mode & !0o77 | (group & named) << 3 | mode & 7 & named
}

/// The mode for a tmpfs that is mounted over a directory and has no access control list. The list
/// is read only if the group has permissions that others do not have.
pub(crate) fn mode_of(place: &Handle) -> Result<u32> {
    let stat = place.stat()?;
    let mode = stat.mode & 0o7777;
    if mode >> 3 & 7 & !mode == 0 {
        return Ok(mode);
    }
    let directory = file::open_at(place, ".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    Ok(without(&stat, xattr::get(directory, ACCESS)?))
}

/// The access control list of a file that must not be opened, such as a device node or a socket.
pub(crate) fn of_name(dir: impl AsFd, name: &[u8]) -> Result<Option<Vec<u8>>> {
    let here = file::open(".", libc::O_PATH | libc::O_DIRECTORY)?;
    fs::change_dir_to(dir)?;
    let list = xattr::get_of_name(name, ACCESS);
    fs::change_dir_to(&here)?;
    Ok(list?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16)]) -> Option<Vec<u8>> {
        let entries = entries.iter().map(|(tag, bits)| [tag.to_le_bytes(), bits.to_le_bytes(), [255; 2], [255; 2]]);
        Some([vec![2, 0, 0, 0], entries.flatten().flatten().collect()].concat())
    }

    #[test]
    fn a_mode_without_its_list_lets_nobody_in_further() {
        let of = |mode: u32, entries: &[(u16, u16)]| {
            let stat = Stat { mode, ..fs::stat(file::open("/", libc::O_PATH).unwrap()).unwrap() };
            without(&stat, list(entries))
        };
        // user::rwx user:7:rwx group::r-x mask::rwx other::---
        assert_eq!(of(0o770, &[(1, 7), (2, 7), (4, 5), (16, 7), (32, 0)]), 0o750);
        // user::rw- user:7:--- group::r-- mask::r-- other::r--: user 7 is not to read
        assert_eq!(of(0o644, &[(1, 6), (2, 0), (4, 4), (16, 4), (32, 4)]), 0o600);
        // The mask limits the named ones and the group.
        assert_eq!(of(0o2747, &[(1, 7), (8, 7), (4, 7), (16, 4), (32, 7)]), 0o2744);
        assert_eq!(without(&fs::stat(file::open("/", libc::O_PATH).unwrap()).unwrap(), None) & 0o700, 0o700);
    }
}
