//! Mounts whose owners are mapped by ids of their own, or of a user namespace that is there already.

use crate::error::{Context, Result};
use crate::namespaces::{Joined, Kind};
use crate::rootfs::{self, IdmapOf, Prepared, Rootfs};
use crate::sys::process::SingleThreaded;

/// Makes the trees that do not wait for the container's new user namespace.
pub(super) fn prepare(rootfs: &Rootfs, joined: &Joined, prepared: &mut Prepared, proof: &SingleThreaded) -> Result<()> {
    for (index, of) in rootfs.id_mapped() {
        let tree = match (of, joined.fd(Kind::User)) {
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
