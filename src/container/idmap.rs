//! Id-mapped mounts with id mappings of their own, or those of an existing user namespace.

use crate::error::{Context, Result};
use crate::rootfs::{self, IdmapOf, Rootfs, Trees};
use crate::sys::process::SingleThreaded;
use std::os::fd::OwnedFd;

/// Creates the mounts that do not need a new user namespace of the container; `joined` is an existing one.
pub(super) fn prepare(
    rootfs: &Rootfs,
    joined: Option<&OwnedFd>,
    trees: &mut Trees,
    proof: &SingleThreaded,
) -> Result<()> {
    for (index, of) in rootfs.id_mapped() {
        let tree = match (of, joined) {
            (IdmapOf::Container, None) => continue,
            (IdmapOf::Container, Some(userns)) => rootfs.map_ids(index, userns)?,
            (IdmapOf::Own(mappings), _) => {
                let userns =
                    rootfs::user_namespace(proof, mappings).with_context(|| format!("mounts[{index}].uidMappings"))?;
                rootfs.map_ids(index, &userns)?
            }
        };
        trees.set(index, tree);
    }
    Ok(())
}
