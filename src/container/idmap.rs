//! Mounts whose owners are mapped by ids of their own, or of a user namespace that is there already.

use crate::error::{Context, Error, Result};
use crate::namespaces::{IdMaps, Joined, Kind, map};
use crate::rootfs::{IdmapOf, Prepared, Rootfs};
use crate::sys::process::{self, Clone, Cloned, SingleThreaded};
use crate::sys::{file, socket};
use std::os::fd::OwnedFd;

/// Makes the trees that do not wait for the container's new user namespace.
pub(super) fn prepare(rootfs: &Rootfs, joined: &Joined, prepared: &mut Prepared, proof: &SingleThreaded) -> Result<()> {
    for (index, of) in rootfs.id_mapped() {
        let tree = match (of, joined.fd(Kind::User)) {
            (IdmapOf::Container, None) => continue,
            (IdmapOf::Container, Some(userns)) => rootfs.map_ids(index, userns)?,
            (IdmapOf::Own(mappings), _) => {
                let map = |list: &[[u32; 3]]| {
                    list.iter().map(|[inside, outside, count]| (*inside, *outside, *count)).collect()
                };
                let maps = IdMaps { uids: map(&mappings.uids), gids: map(&mappings.gids) };
                let userns = user_namespace(&maps, proof).with(|| format!("mounts[{index}].uidMappings"))?;
                rootfs.map_ids(index, &userns)?
            }
        };
        prepared.set_tree(index, tree);
    }
    Ok(())
}

/// A user namespace with these maps and nobody in it: a child makes it and ends once its descriptor is open.
fn user_namespace(maps: &IdMaps, proof: &SingleThreaded) -> Result<OwnedFd> {
    let (ours, theirs) = socket::pair(libc::SOCK_STREAM)?;
    let how = Clone { flags: libc::CLONE_NEWUSER as u64, into_cgroup: None };
    let (pid, pidfd) = match process::clone3(proof, &how)? {
        Cloned::Child => {
            drop(ours);
            let mut byte = [0];
            let _ = file::read(&theirs, &mut byte);
            process::exit_now(0)
        }
        Cloned::Parent(pid, pidfd) => (pid, pidfd),
    };
    drop(theirs);
    let made = map::write(pid, maps)
        .and_then(|()| file::open(format!("/proc/{pid}/ns/user"), libc::O_RDONLY).map_err(Error::from));
    drop(ours);
    let _ = process::pidfd_send_signal(&pidfd, libc::SIGKILL);
    process::wait(pid)?;
    made
}
