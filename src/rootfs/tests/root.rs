//! A first mount at `/`, which becomes the root.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

/// Two layers and an upper directory below /mnt/layers; the link `etc` of the lower layer leads out by its text.
fn layers() {
    for dir in ["low/usr", "high", "upper", "work"] {
        fs::create_dir_all(format!("/mnt/layers/{dir}")).unwrap();
    }
    fs::write("/mnt/layers/low/usr/file", "low").unwrap();
    fs::write("/mnt/layers/high/top", "high").unwrap();
    symlink("/mnt/outside/dir", "/mnt/layers/low/etc").unwrap();
}

fn overlay(options: &str) -> String {
    let layers =
        r#""lowerdir=/mnt/layers/high:/mnt/layers/low","upperdir=/mnt/layers/upper","workdir=/mnt/layers/work""#;
    format!(r#"{{"destination":"/","type":"overlay","source":"overlay","options":[{options}{layers}]}}"#)
}

/// Builds it, pivots into it and protects it.
fn entered(rootfs: &Rootfs) {
    let built = built(rootfs).unwrap();
    built.pivot(Enter::Pivot).unwrap();
    built.protect(Some("/made/for/cwd")).unwrap();
}

fn names(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn every_path_of_the_config_begins_at_an_overlay_that_is_the_root() {
    in_namespace(|| {
        layers();
        let mounts = format!(
            r#"{},{USUAL},{{"destination":"/etc/new","type":"tmpfs"}},
            {{"destination":"/copy","source":"/mnt/bundle/rootfs/usr","options":["bind"]}}"#,
            overlay("")
        );
        let linux = r#""maskedPaths":["/top"],"readonlyPaths":["/usr"],"devices":[{"path":"/own","type":"c","major":1,"minor":3}]"#;
        let rootfs = parsed(&mounts, linux).unwrap();
        let directory = fs::File::open("/mnt/bundle/rootfs").unwrap();
        entered(&rootfs);
        assert_eq!(mount_at("/").unwrap()[2], "overlay");
        assert_eq!(fs::read("/top").unwrap(), b"", "masked");
        assert_eq!(fs::write("/usr/new", "").unwrap_err().raw_os_error(), Some(libc::EROFS));
        assert_eq!(fs::read_to_string("/copy/file").unwrap(), "low", "a source below the root is in the new one");
        assert_eq!(
            mount_at("/mnt/outside/dir/new").unwrap()[2],
            "tmpfs",
            "a layer's link leads to a place in the root"
        );
        assert_eq!(fs::metadata("/own").unwrap().rdev(), 0x103);
        assert!(Path::new("/made/for/cwd").is_dir());
        fs::write("/written", "").unwrap();
        // The directory of the host has not changed.
        let mut left = Vec::new();
        list(&directory, "", &mut left);
        assert_eq!(left.len(), 3, "{left:?}");
    });
}

#[test]
fn a_read_only_root_is_filled_first() {
    in_namespace(|| {
        layers();
        let rootfs = parsed(&format!("{},{USUAL}", overlay(r#""ro","nodev","#)), "").unwrap();
        entered(&rootfs);
        assert_eq!(mount_at("/").unwrap()[0], "ro,nodev,relatime");
        assert_eq!(mount_at("/dev").unwrap()[0], "rw,nosuid");
        assert!(Path::new("/made/for/cwd").is_dir());
        assert_eq!(fs::write("/top", "x").unwrap_err().raw_os_error(), Some(libc::EROFS));
    });
}

#[test]
fn a_tmpfs_as_root_may_begin_with_the_files_of_the_root_directory() {
    in_namespace(|| {
        fs::write("/mnt/bundle/rootfs/file", "text").unwrap();
        let root = r#"{"destination":"/.","type":"tmpfs","options":["ro","tmpcopyup"]}"#;
        let rootfs = parsed(&format!("{root},{USUAL}"), "").unwrap();
        entered(&rootfs);
        assert_eq!(mount_at("/").unwrap()[2], "tmpfs");
        assert_eq!(names("/"), ["dev", "file", "made", "proc", "sys"]);
        assert_eq!(mount_at("/").unwrap()[0], "ro,relatime");
    });
}

#[test]
fn a_bind_mount_as_root_brings_the_mounts_beneath_it() {
    for (linux, sources) in [
        ("", Sources::ByChild),
        ("", Sources::ByParent),
        (r#""rootfsPropagation":"rshared""#, Sources::ByChild),
        (r#""rootfsPropagation":"unbindable""#, Sources::ByChild),
    ] {
        in_namespace(move || {
            layers();
            let shared = calls::MountArgs { flags: libc::MS_REC | libc::MS_SHARED, ..Default::default() };
            calls::mount("/mnt", &shared).unwrap();
            let tmpfs = calls::MountArgs { source: Some("x"), kind: Some("tmpfs"), ..Default::default() };
            calls::mount("/mnt/layers/low/usr", &tmpfs).unwrap();
            let root = r#"{"destination":"//","source":"/mnt/layers/low","options":["rbind","nosuid"]}"#;
            let rootfs = parsed(&format!(r#"{root},{USUAL},{{"destination":"/new","type":"tmpfs"}}"#), linux).unwrap();
            namespace::unshare(libc::CLONE_NEWNS).unwrap();
            let built = built_with(&rootfs, sources, &CgroupView::default()).unwrap();
            built.pivot(Enter::Pivot).unwrap();
            built.protect(None).unwrap();
            assert_eq!(mount_at("/").unwrap()[0], "rw,nosuid,relatime");
            assert_eq!(mount_at("/usr").unwrap()[2], "tmpfs");
            assert_eq!(mount_at("/new").unwrap()[2], "tmpfs");
        });
    }
}

#[test]
fn a_source_in_the_root_directory_may_become_the_root() {
    in_namespace(|| {
        fs::create_dir_all("/mnt/bundle/rootfs/system/bin").unwrap();
        let root = r#"{"destination":"/","source":"rootfs/system","options":["bind"]}"#;
        entered(&parsed(root, "").unwrap());
        assert_eq!(names("/"), ["bin", "dev", "made"]);
    });
}

#[test]
fn a_procfs_does_not_become_the_root() {
    in_namespace(|| {
        let root = r#"{"destination":"/","source":"/proc","options":["rbind"]}"#;
        let error = built(&parsed(root, "").unwrap()).unwrap_err().to_string();
        assert!(error.contains("mounts[0]: mount /: the source is a procfs or sysfs"), "{error}");
    });
}

/// `mount(2)` reads a page of options and forgets the rest.
#[test]
fn no_layer_is_lost_however_long_the_list_is() {
    for count in [3, 40, 200] {
        in_namespace(move || {
            layers();
            let dir = |n: usize| format!("/mnt/layers/{n}-of-a-long-list-of-layers");
            (0..count).for_each(|n| fs::create_dir_all(format!("{}/from-{n}", dir(n))).unwrap());
            let list: Vec<String> = (0..count).map(dir).collect();
            let root = format!(
                r#"{{"destination":"/","type":"overlay","options":["lowerdir={}","upperdir=/mnt/layers/upper","workdir=/mnt/layers/work"]}}"#,
                list.join(":")
            );
            let rootfs = parsed(&root, "").unwrap();
            if count == 200 && older_than((6, 8)) {
                let error = built(&rootfs).unwrap_err().to_string();
                assert!(error.contains("more than 4095 bytes"), "{error}");
                return;
            }
            entered(&rootfs);
            assert_eq!(names("/").iter().filter(|name| name.starts_with("from-")).count(), count);
        });
    }
}

#[test]
fn options_that_mount_would_cut_off_are_an_error() {
    in_namespace(|| {
        let long = format!("context={}", "x".repeat(4095));
        let mount = format!(r#"{{"destination":"/x","type":"tmpfs","options":["{long}"]}}"#);
        let error = built(&parsed(&mount, "").unwrap()).unwrap_err().to_string();
        assert_eq!(error, "mounts[0]: mount /x: options: 4103 bytes are too long: mount(2) reads 4095");
    });
}

/// The root directory is another one by the time of the mount: the new root is on the one that was opened.
#[test]
fn the_root_is_attached_where_the_root_directory_was_opened() {
    in_namespace(|| {
        layers();
        fs::create_dir("/mnt/trap").unwrap();
        let rootfs = parsed(&overlay(""), "").unwrap();
        let mut prepared = rootfs.prepare(Sources::ByChild).unwrap();
        crate::sys::fs::change_dir_to(prepared.directory()).unwrap();
        rootfs.propagate().unwrap();
        crate::sys::tests::exchange_at(crate::sys::file::CWD, "/mnt/bundle/rootfs", "/mnt/trap").unwrap();
        let trees = prepared.take_trees();
        rootfs.build(&prepared, trees, &CgroupView::default()).unwrap();
        assert_eq!(mount_at("/mnt/trap").unwrap()[2], "overlay", "where the directory is now");
        assert!(mount_at("/mnt/bundle/rootfs").is_none());
        assert_eq!(names("/mnt/bundle/rootfs"), [""; 0]);
    });
}

#[test]
fn paths_of_an_overlay_begin_at_the_bundle() {
    let options = |root: &str| {
        let root = format!(r#"{{"destination":"/","type":"overlay","options":["{root}"]}}"#);
        let data = parsed(&root, "").unwrap().mounts[0].options.data.clone();
        data.into_iter().map(|p| p.value.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        options(r"lowerdir=a:/b:c\\:d::e,upperdir=u,workdir=/w"),
        [r"/mnt/bundle/a:/b:/mnt/bundle/c\:d::/mnt/bundle/e", "/mnt/bundle/u", "/w"]
    );
    assert_eq!(options("lowerdir+=a,datadir+=/b"), ["/mnt/bundle/a", "/b"]);
}

#[test]
fn a_list_of_layers_is_taken_apart_as_the_kernel_does() {
    let layers = super::super::filesystem::layers(r"/a:/b\:c\\:/d::/e");
    let text: Vec<String> = layers.iter().map(|(key, layer)| format!("{key}={layer}")).collect();
    assert_eq!(text, ["lowerdir+=/a", r"lowerdir+=/b:c\", "lowerdir+=/d", "datadir+=/e"]);
}

#[test]
fn only_an_overlay_at_the_root_has_id_mapped_layers() {
    for mount in [
        r#"{"destination":"/x","type":"overlay","options":["idmap"]}"#,
        r#"{"destination":"/","type":"tmpfs","options":["idmap"]}"#,
    ] {
        let error = parsed(mount, r#""namespaces":[{"type":"user"}]"#).unwrap_err().to_string();
        let why = "id mappings are for bind mounts, and for an overlay at / as first mount";
        assert_eq!(error, format!("mounts[0]: {why}"));
    }
    let error = parsed(r#"{"destination":"/","type":"overlay","options":["idmap"]}"#, "").unwrap_err().to_string();
    assert!(error.contains("needs uidMappings and gidMappings, or a user namespace"), "{error}");
}
