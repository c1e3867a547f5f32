//! `tmpcopyup`: a tmpfs begins with what it covers.

use crate::error::{Context, Error, Result};
use crate::sys::fs::{self, Stat};
use crate::sys::{self, file};
use std::os::fd::OwnedFd;

/// The deepest tree that is copied; each level holds two descriptors.
const DEEPEST: u32 = 200;

/// Copies what is in `from` into `to`: directories, files, links and nodes with their owners, permissions and times.
///
/// No symbolic link is followed, and no mount crossed but by the name of a directory; `to` is not yet visible to anybody.
pub(crate) fn up(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    directory(from, to, 0).at("tmpcopyup")
}

fn directory(from: &OwnedFd, to: &OwnedFd, depth: u32) -> Result<()> {
    if depth > DEEPEST {
        return Err(Error::system(format!("more than {DEEPEST} directories deep")));
    }
    for name in fs::names(from)? {
        entry(from, to, &name, depth).with(|| String::from_utf8_lossy(&name).into_owned())?;
    }
    Ok(())
}

fn entry(from: &OwnedFd, to: &OwnedFd, name: &[u8], depth: u32) -> Result<()> {
    let seen = file::open_at(from, name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
    let stat = fs::stat(&seen)?;
    match stat.kind() {
        libc::S_IFDIR => {
            fs::mkdir_at(to, name, 0o700)?;
            let source = open_same(from, name, libc::O_RDONLY | libc::O_DIRECTORY, &stat)?;
            let copy = file::open_at(to, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)?;
            directory(&source, &copy, depth + 1)?;
        }
        libc::S_IFREG => {
            let source = open_same(from, name, libc::O_RDONLY | libc::O_NONBLOCK, &stat)?;
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
            contents(&source, &file::open_at(to, name, flags, 0o600)?)?;
        }
        libc::S_IFLNK => fs::symlink_at(fs::read_link_at(&seen, "")?, to, name)?,
        _ => fs::mknod_at(to, name, stat.mode, stat.rdev)?,
    }
    let copy = file::open_at(to, name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
    fs::chown(&copy, stat.uid, stat.gid)?;
    match stat.kind() {
        libc::S_IFLNK => {}
        libc::S_IFDIR => fs::chmod(file::open_at(to, name, libc::O_RDONLY | libc::O_NOFOLLOW, 0)?, stat.mode & 0o7777)?,
        libc::S_IFREG => fs::chmod(file::open_at(to, name, libc::O_RDONLY | libc::O_NOFOLLOW, 0)?, stat.mode & 0o7777)?,
        _ => {}
    }
    Ok(fs::set_times_at(to, name, stat.atime, stat.mtime)?)
}

/// Opens what was seen, and not what has taken its place since.
fn open_same(dir: &OwnedFd, name: &[u8], flags: i32, seen: &Stat) -> Result<OwnedFd> {
    let fd = file::open_at(dir, name, flags | libc::O_NOFOLLOW, 0)?;
    if fs::stat(&fd)?.same_file(seen) { Ok(fd) } else { Err(Error::system("was exchanged while it was copied")) }
}

fn contents(from: &OwnedFd, to: &OwnedFd) -> sys::Result<()> {
    let mut buffer = [0; 32 << 10];
    loop {
        match file::read(from, &mut buffer)? {
            0 => return Ok(()),
            n => file::write_all(to, &buffer[..n])?,
        }
    }
}
