//! Device nodes and the symbolic links in /dev (config-linux.md, "Devices"; runtime-linux.md, "Dev
//! symbolic links").

use super::tree::Tree;
use crate::config;
use crate::error::{Context, Error, Result};
use crate::path::{Create, InRoot};
use crate::sys::fs::{self, Stat, device_number};
use crate::sys::mount::{self, OPEN_TREE_CLONE};
use crate::sys::{self, file};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// A device node of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) path: InRoot,
    /// S_IFCHR, S_IFBLK or S_IFIFO.
    pub(crate) kind: u32,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// The permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether the config lists the device; the others are the default devices.
    pub(crate) is_of_config: bool,
    /// Whether the config sets its owner or mode.
    pub(crate) is_special: bool,
}

/// Always a symbolic link to the container's own ptmx, even if the config lists a device there
/// (config-linux.md, "Default Devices").
pub(crate) const PTMX: &str = "/dev/ptmx";

/// The devices of config-linux.md, "Default Devices". /dev/console and /dev/ptmx belong to the
/// terminal and are created elsewhere.
static DEFAULT: [(&str, (u32, u32)); 6] = [
    ("/dev/null", (1, 3)),
    ("/dev/zero", (1, 5)),
    ("/dev/full", (1, 7)),
    ("/dev/random", (1, 8)),
    ("/dev/urandom", (1, 9)),
    ("/dev/tty", (5, 0)),
];

/// Checks `linux.devices`. Default devices that it does not list come first.
pub(crate) fn parse(devices: &[config::Device<'_>]) -> Result<Vec<Device>> {
    let own = devices.iter().enumerate().map(|(n, device)| Device::parse(device, &format!("linux.devices[{n}]")));
    let own = own.collect::<Result<Vec<_>>>()?;
    let default = DEFAULT.iter().map(|&(path, (major, minor))| Device {
        path: InRoot::new(path),
        kind: libc::S_IFCHR,
        major,
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
        is_of_config: false,
        is_special: false,
    });
    Ok(default.filter(|device| !own.iter().any(|other| other.path == device.path)).chain(own.clone()).collect())
}

impl Device {
    fn parse(device: &config::Device<'_>, at: &str) -> Result<Device> {
        let wrong = |field: &str, problem: &str| Err(Error::config(format!("{at}.{field}"), problem));
        let path = device.path.as_deref().unwrap_or_default();
        let path = match path {
            "" => return wrong("path", "missing"),
            _ if path.contains('\0') => return wrong("path", "holds a NUL byte"),
            _ => InRoot::new(path),
        };
        if path.is_root() {
            return wrong("path", "is the root directory");
        }
        let kind = match device.type_.as_deref() {
            Some("c" | "u") => libc::S_IFCHR,
            Some("b") => libc::S_IFBLK,
            Some("p") => libc::S_IFIFO,
            Some(other) => return wrong("type", &format!("{other:?} is not one of c, b, u and p")),
            None => return wrong("type", "missing"),
        };
        let number = |value: Option<i64>, field: &str, limit: u32| match value {
            _ if kind == libc::S_IFIFO => Ok(0),
            None => Err(Error::config(format!("{at}.{field}"), "missing (optional for devices of type p only)")),
            Some(n) => u32::try_from(n).ok().filter(|n| *n < limit).ok_or_else(|| {
                Error::config(format!("{at}.{field}"), format!("{n} is out of range (0 to {})", limit - 1))
            }),
        };
        Ok(Device {
            kind,
            major: number(device.major, "major", 1 << 12)?,
            minor: number(device.minor, "minor", 1 << 20)?,
            mode: device.file_mode.unwrap_or(0o666) & 0o7777,
            uid: device.uid.unwrap_or(0),
            gid: device.gid.unwrap_or(0),
            is_of_config: true,
            is_special: device.file_mode.is_some() || device.uid.is_some() || device.gid.is_some(),
            path,
        })
    }

    fn is(&self, stat: &Stat) -> bool {
        let device = self.kind != libc::S_IFIFO;
        stat.kind() == self.kind && (!device || stat.rdev == device_number(self.major, self.minor))
    }

    fn letter(&self) -> char {
        match self.kind {
            libc::S_IFCHR => 'c',
            libc::S_IFBLK => 'b',
            _ => 'p',
        }
    }

    /// Creates the node in `dir`, or accepts an existing one. `None` if the process lacks the
    /// privilege to create it.
    fn make(&self, dir: impl AsFd, name: &str) -> Result<Option<()>> {
        let dir = dir.as_fd();
        match fs::mknod_at(dir, name, self.kind | self.mode, device_number(self.major, self.minor)) {
            Ok(()) => {}
            Err(e) if e.is(libc::EPERM) => return Ok(None),
            Err(e) if e.is(libc::EEXIST) => return self.found(dir, name).map(Some),
            Err(e) => return Err(e.into()),
        }
        if self.uid != 0 || self.gid != 0 {
            let node = file::open_at(dir, name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
            // Another process with access to the directory could have replaced the node.
            if !self.is(&fs::stat(&node)?) {
                return Err(Error::system("the new node was replaced"));
            }
            fs::chown(&node, self.uid, self.gid)?;
        }
        Ok(Some(()))
    }

    /// Checks that an existing file is the device (config-linux.md, "Devices"). Symbolic links are
    /// not followed.
    fn found(&self, dir: impl AsFd, name: &str) -> Result<()> {
        let there = file::open_at(dir, name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
        if self.is(&fs::stat(&there)?) { Ok(()) } else { Err(self.mismatch()) }
    }

    fn mismatch(&self) -> Error {
        let Device { major, minor, .. } = self;
        Error::system(format!("an existing file is not the device {} {major}:{minor}", self.letter()))
    }

    /// The host's node as a detached mount of that file.
    fn of_host(&self) -> Result<OwnedFd> {
        self.look(|path| mount::open_tree(file::CWD, path, OPEN_TREE_CLONE)).map(|(_, node)| node)
    }

    /// The path of the host's node.
    pub(crate) fn on_host(&self) -> Result<PathBuf> {
        self.look(|path| file::open(path, libc::O_PATH | libc::O_NOFOLLOW)).map(|(path, _)| path.into())
    }

    /// Finds the device on the host by its path in the container, or by its number in /dev/char or
    /// /dev/block.
    fn look(&self, open: impl Fn(&str) -> sys::Result<OwnedFd>) -> Result<(String, OwnedFd)> {
        let class = if self.kind == libc::S_IFBLK { "block" } else { "char" };
        let by_number = format!("/dev/{class}/{}:{}", self.major, self.minor);
        let mut missing = None;
        for path in [self.path.as_str(), &by_number] {
            match open(path) {
                Ok(node) if self.is(&fs::stat(&node)?) => return Ok((path.to_owned(), node)),
                Ok(_) => {}
                Err(e) => missing = missing.or(Some(e)),
            }
        }
        let Device { major, minor, .. } = self;
        Err(missing.map_or_else(
            || Error::system(format!("the host's file at this path is not {} {major}:{minor}", self.letter())),
            Error::from,
        ))
    }

    /// Bind-mounts `node`, or the host's node, over an empty file: in a user namespace nodes cannot
    /// be created.
    fn bind(&self, tree: &Tree, node: Option<OwnedFd>) -> Result<()> {
        let node = match node {
            Some(node) => node,
            None => self.of_host().context("bind the host's device")?,
        };
        let target = tree.find_or_create(&self.path, Create::File)?.handle;
        let there = fs::stat(&target)?;
        // An earlier container may have left the empty file that was its mount point.
        let empty = there.kind() == libc::S_IFREG && there.size == 0;
        if !empty && !self.is(&there) {
            return Err(self.mismatch());
        }
        Ok(mount::move_mount(&node, &target)?)
    }
}

/// The way to create device nodes.
pub(crate) enum Nodes<'a> {
    /// Create the nodes at their paths.
    Own,
    /// Bind-mount nodes, since a user namespace cannot create any: the function returns the node
    /// that the parent created for the device of this index; without one the host's node is used.
    Bound(&'a mut dyn FnMut(usize) -> Option<OwnedFd>),
    /// Create only empty files as mount points for later bind mounts.
    Places,
}

/// Creates all device nodes.
pub(crate) fn create(tree: &Tree, devices: &[Device], mut nodes: Nodes<'_>) -> Result<()> {
    let mut last: Option<(InRoot, crate::path::Handle)> = None;
    for (n, device) in devices.iter().enumerate() {
        // `link` creates /dev/ptmx as a symbolic link into the container's devpts.
        if device.path.as_str() == PTMX {
            continue;
        }
        let name = || format!("device {}", device.path);
        let Some((parent, file)) = device.path.split() else { continue };
        if last.as_ref().is_none_or(|(path, _)| *path != parent) {
            last = Some((parent.clone(), tree.find_or_create(&parent, Create::Directory).with_context(name)?.handle));
        }
        let Some((_, dir)) = &last else { continue };
        match &mut nodes {
            Nodes::Places if device.kind != libc::S_IFIFO => {
                tree.find_or_create(&device.path, Create::File).with_context(name)?;
            }
            Nodes::Bound(take) if device.kind != libc::S_IFIFO => device.bind(tree, take(n)).with_context(name)?,
            _ => {
                if device.make(dir, file).with_context(name)?.is_none() {
                    device.bind(tree, None).with_context(name)?;
                }
            }
        }
    }
    Ok(())
}

/// Creates the symbolic links in /dev. Existing files stay, except `ptmx`, which must be the
/// container's own.
pub(crate) fn link(tree: &Tree) -> Result<()> {
    static LINKS: [(&str, &str); 4] = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ];
    let dir = tree.find_or_create(&InRoot::new("/dev"), Create::Directory)?.handle;
    let kcore = matches!(tree.find(&InRoot::new("/proc/kcore")), Ok(Some(_)));
    let kcore = kcore.then_some(("/proc/kcore", "core"));
    for (target, name) in LINKS.iter().copied().chain(kcore) {
        match fs::symlink_at(target, &dir, name) {
            Err(e) if e.is(libc::EEXIST) => {}
            made => made.with_context(|| format!("link /dev/{name}"))?,
        }
    }
    let ptmx = || fs::symlink_at("pts/ptmx", &dir, "ptmx");
    match ptmx() {
        Err(e) if e.is(libc::EEXIST) => {
            file::unlink_at(&dir, "ptmx", 0).context("replace /dev/ptmx")?;
            Ok(ptmx().context("link /dev/ptmx")?)
        }
        other => other.context("link /dev/ptmx"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(json: &str) -> Result<Vec<Device>> {
        let text = format!("{{\"linux\":{{\"devices\":[{json}]}}}}");
        let spec = config::parse(&text).unwrap();
        parse(&spec.linux.unwrap().devices.unwrap())
    }

    #[test]
    fn a_device_of_the_config_takes_the_place_of_the_default_one() {
        let devices = device(r#"{"path":"/dev/null","type":"c","major":1,"minor":3,"fileMode":384,"uid":7}"#).unwrap();
        assert_eq!(devices.len(), DEFAULT.len());
        let null = devices.iter().find(|d| d.path.as_str() == "/dev/null").unwrap();
        assert_eq!((null.mode, null.uid), (0o600, 7));
    }

    #[test]
    fn each_wrong_thing_in_a_device_is_named() {
        for (json, text) in [
            (r#"{"type":"c","major":1,"minor":3}"#, "linux.devices[0].path: missing"),
            (r#"{"path":"/","type":"c","major":1,"minor":3}"#, "linux.devices[0].path: is the root directory"),
            (r#"{"path":"/dev/x","major":1,"minor":3}"#, "linux.devices[0].type: missing"),
            (r#"{"path":"/dev/x","type":"q"}"#, "linux.devices[0].type: \"q\" is not one of c, b, u and p"),
            (
                r#"{"path":"/dev/x","type":"c","minor":3}"#,
                "linux.devices[0].major: missing (optional for devices of type p only)",
            ),
            (
                r#"{"path":"/dev/x","type":"b","major":1,"minor":-3}"#,
                "linux.devices[0].minor: -3 is out of range (0 to 1048575)",
            ),
        ] {
            assert_eq!(device(json).unwrap_err().to_string(), text);
        }
        assert!(device(r#"{"path":"/run/fifo","type":"p"}"#).is_ok());
    }
}
