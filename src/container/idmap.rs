//! Id-mapped mounts with id mappings of their own, or those of an existing user namespace.

use crate::error::{Context, Result};
use crate::namespaces::{Joined, NamespaceKind};
use crate::rootfs::{self, IdmapOf, Prepared, Rootfs};
use crate::sys::process::SingleThreaded;

/// Creates the mounts that do not need the container's new user namespace.
pub(super) fn prepare(rootfs: &Rootfs, joined: &Joined, prepared: &mut Prepared, proof: &SingleThreaded) -> Result<()> {
    for (index, of) in rootfs.id_mapped() {
        let tree = match (of, joined.fd(NamespaceKind::User)) {
            (IdmapOf::Container, None) => continue,
            (IdmapOf::Container, Some(userns)) => rootfs.map_ids(index, userns)?,
            (IdmapOf::Own(mappings), _) => {
                let userns =
                    rootfs::user_namespace(proof, mappings).with_context(|| format!("mounts[{index}].uidMappings"))?;
                rootfs.map_ids(index, &userns)?
            }
        };
        prepared.set_tree(index, tree);
    }
    Ok(())
}
