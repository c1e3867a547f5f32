//! Mounts with mappings of their own.

use crate::bench::prelude::*;

/// A directory with a file of root's and one of uid 1000's.
fn source(t: &Trial) -> Result<String> {
    t.needs_root()?;
    t.needs_version(1)?;
    t.needs_enabled("/linux/mountExtensions/idmap/enabled")?;
    let path = t.path("source");
    std::fs::create_dir(&path)?;
    for (name, id) in [("of-root", 0), ("of-1000", 1000)] {
        std::fs::write(format!("{path}/{name}"), "x")?;
        std::os::unix::fs::chown(format!("{path}/{name}"), Some(id), Some(id))?;
    }
    Ok(path)
}

fn entry(source: &str, options: &[&str], shift: Option<u32>) -> Value {
    let mut entry = json!({"destination": "/data", "type": "none", "source": source, "options": options});
    if let Some(shift) = shift {
        // In a mount's mapping the filesystem's ids stand at containerID, as in a user namespace.
        let map = json!([{"containerID": 0, "hostID": shift, "size": 65536}]);
        entry["uidMappings"] = map.clone();
        entry["gidMappings"] = map;
    }
    entry
}

cases! {
    /// A mapping of the mount's own, which the files inside show.
    ["mounts.options.idmap", "mounts.options.idmap.own-mappings"]
    fn a_mount_has_the_mapping_of_its_own(t) {
        let b = t.bundle()?.set("/mounts/-", entry(&source(t)?, &["bind", "idmap"], Some(5000)));
        let seen = b.does(&["stat /data/of-root", "stat /data/of-1000"]).observe()?;
        same("owner of root's file", &seen.value("stat /data/of-root")?["uid"], 5000)?;
        same("group of root's file", &seen.value("stat /data/of-root")?["gid"], 5000)?;
        same("owner of the other", &seen.value("stat /data/of-1000")?["uid"], 6000)?;
    }

    /// The owner outside does not change.
    ["mounts.options.idmap", "idmap.no-chown"]
    fn an_idmapped_mount_does_not_change_owners_outside(t) {
        let source = source(t)?;
        t.bundle()?.set("/mounts/-", entry(&source, &["bind", "idmap"], Some(5000))).observe()?;
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("{source}/of-1000"))?);
        equal("owner", owner, 1000)?;
    }

    /// Mappings with `idmap` in a container with a user namespace: root inside owns root's files.
    ["mounts.options.idmap.own-mappings", "ns.user"]
    fn a_mount_with_the_mapping_of_the_user_namespace_shows_the_ids_inside(t) {
        let b = t.bundle()?.user_namespace(200_000)?;
        let b = b.set("/mounts/-", entry(&source(t)?, &["bind", "idmap"], Some(200_000)));
        let seen = b.does(&["stat /data/of-root", "stat /data/of-1000"]).observe()?;
        same("owner of root's file", &seen.value("stat /data/of-root")?["uid"], 0)?;
        same("owner of the other", &seen.value("stat /data/of-1000")?["uid"], 1000)?;
    }

    /// `ridmap` reaches an inner mount, of the same filesystem: not every one has id-mapped mounts.
    ["mounts.options.ridmap"]
    fn ridmap_reaches_an_inner_mount(t) {
        let source = source(t)?;
        let (other, inner) = (t.path("other"), std::path::Path::new(&source).join("inner"));
        std::fs::create_dir(&other)?;
        std::fs::create_dir(&inner)?;
        std::fs::write(format!("{other}/file"), "x")?;
        crate::bench::mounts::bind(other.as_ref(), &inner)?;
        let b = t.bundle()?.set("/mounts/-", entry(&source, &["rbind", "ridmap"], Some(5000)));
        let seen = b.does(&["stat /data/inner/file", "stat /data/of-root"]).observe()?;
        same("owner of the outer file", &seen.value("stat /data/of-root")?["uid"], 5000)?;
        same("owner of the inner file", &seen.value("stat /data/inner/file")?["uid"], 5000)?;
    }

    /// `idmap` leaves an inner mount as it is.
    ["mounts.options.idmap"]
    fn idmap_leaves_an_inner_mount_alone(t) {
        let source = source(t)?;
        let inner = std::path::Path::new(&source).join("inner");
        crate::bench::mounts::tmpfs(&inner, "size=64k")?;
        std::fs::write(inner.join("file"), "x")?;
        let b = t.bundle()?.set("/mounts/-", entry(&source, &["rbind", "idmap"], Some(5000)));
        let seen = b.does(&["stat /data/inner/file", "stat /data/of-root"]).observe()?;
        same("owner of the outer file", &seen.value("stat /data/of-root")?["uid"], 5000)?;
        same("owner of the inner file", &seen.value("stat /data/inner/file")?["uid"], 0)?;
    }

    /// `idmap` without mappings and without a user namespace.
    ["mounts.options.idmap.none", "mounts.options.idmap.not-data"]
    fn idmap_without_any_mapping_is_refused(t) {
        t.bundle()?.set("/mounts/-", entry(&source(t)?, &["bind", "idmap"], None)).refused()?;
    }

    /// `ridmap` without mappings and without a user namespace.
    ["mounts.options.idmap.none", "mounts.options.ridmap"]
    fn ridmap_without_any_mapping_is_refused(t) {
        t.bundle()?.set("/mounts/-", entry(&source(t)?, &["rbind", "ridmap"], None)).refused()?;
    }

    /// uidMappings without gidMappings.
    ["mounts.idmap.both", "valid-values"]
    fn uid_mappings_without_gid_mappings_are_refused(t) {
        let mut entry = entry(&source(t)?, &["bind", "idmap"], Some(5000));
        entry.as_object_mut().context("entry")?.remove("gidMappings");
        t.bundle()?.set("/mounts/-", entry).refused()?;
    }

    /// gidMappings without uidMappings.
    ["mounts.idmap.both", "valid-values"]
    fn gid_mappings_without_uid_mappings_are_refused(t) {
        let mut entry = entry(&source(t)?, &["bind", "idmap"], Some(5000));
        entry.as_object_mut().context("entry")?.remove("uidMappings");
        t.bundle()?.set("/mounts/-", entry).refused()?;
    }
}
