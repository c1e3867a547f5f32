//! Wrong configs, each with the message that names its field.

use super::*;

fn refused(json: &str) -> String {
    Rootfs::parse(&config::parse(json).unwrap(), Path::new("/bundle"), false).unwrap_err().to_string()
}

fn refused_mount(mount: &str) -> String {
    parsed(mount, "").unwrap_err().to_string()
}

#[test]
fn a_root_is_needed_with_a_path() {
    assert_eq!(refused("{}"), "root: missing");
    assert_eq!(refused(r#"{"root":{}}"#), "root.path: missing");
    assert_eq!(refused(r#"{"root":{"path":""}}"#), "root.path: missing");
    assert_eq!(refused(r#"{"root":{"path":"a\u0000b"}}"#), "root.path: holds a NUL byte");
}

#[test]
fn a_root_path_is_relative_to_the_bundle_or_absolute() {
    let path = |path: &str| {
        let json = format!(r#"{{"root":{{"path":"{path}"}}}}"#);
        Rootfs::parse(&config::parse(&json).unwrap(), Path::new("/bundle"), false).unwrap().path
    };
    assert_eq!(path("rootfs"), Path::new("/bundle/rootfs"));
    assert_eq!(path("/var/root"), Path::new("/var/root"));
}

#[test]
fn a_destination_that_begins_with_the_roots_host_path_is_a_path_inside_the_container() {
    let mount = r#"{"destination":"/bundle/rootfs/data","type":"tmpfs"}"#;
    let json = format!(r#"{{"root":{{"path":"rootfs"}},"mounts":[{mount}]}}"#);
    let rootfs = Rootfs::parse(&config::parse(&json).unwrap(), Path::new("/bundle"), false).unwrap();
    assert_eq!(rootfs.path, Path::new("/bundle/rootfs"));
    assert_eq!(rootfs.mounts[0].destination.as_str(), "/bundle/rootfs/data");
}

#[test]
fn each_wrong_thing_in_a_mount_is_named() {
    let long = format!(r#"{{"destination":"/{}","type":"tmpfs"}}"#, "x".repeat(5000));
    for (mount, text) in [
        (r#"{}"#, "mounts[0].destination: missing"),
        (r#"{"destination":"/x"}"#, "mounts[0].type: missing"),
        (r#"{"destination":"/x\u0000","type":"tmpfs"}"#, "mounts[0].destination: holds a NUL byte"),
        (&long, "mounts[0].destination: longer than 4095 bytes"),
        (r#"{"destination":"/x","options":["bind"]}"#, "mounts[0].source: missing"),
        (
            r#"{"destination":"/x","type":"tmpfs"},{"destination":"/.//x/..","type":"tmpfs"}"#,
            "mounts[1].destination: only the first mount can be at /, as the root: it would cover the mounts before it",
        ),
        (
            r#"{"destination":"//","type":"proc"}"#,
            "mounts[0].destination: a filesystem of the kernel cannot become the root",
        ),
        (
            r#"{"destination":"/","type":"cgroup"}"#,
            "mounts[0].destination: a filesystem of the kernel cannot become the root",
        ),
        (
            r#"{"destination":"/.","type":"tmpfs","options":["rshared"]}"#,
            "mounts[0].options: the propagation of the root is set by linux.rootfsPropagation",
        ),
        (
            r#"{"destination":"/x","source":"/y","options":["rbind","ro","size=1k"]}"#,
            "mounts[0].options[2]: bind mounts cannot have any filesystem-specific options applied (\"size\" is one)",
        ),
        (
            r#"{"destination":"/x","type":"ext4","source":"/dev/sda","options":["tmpcopyup"]}"#,
            "mounts[0].options: tmpcopyup is for tmpfs only",
        ),
        (r#"{"destination":"/proc","type":"tmpfs"}"#, "mounts[0]: /proc cannot be mounted because it is inside /proc"),
        (
            r#"{"destination":"proc//../proc/kcore","source":"/x","options":["bind"]}"#,
            "mounts[0]: /proc/kcore cannot be mounted because it is inside /proc",
        ),
        (
            r#"{"destination":"/x","source":"/y","options":["bind","idmap"]}"#,
            "mounts[0]: an id-mapped mount needs uidMappings and gidMappings, or a user namespace",
        ),
        (
            r#"{"destination":"/x","source":"/y","options":["bind"],"uidMappings":[{"containerID":0,"hostID":1,"size":1}]}"#,
            "mounts[0].gidMappings: missing beside uidMappings",
        ),
        (
            r#"{"destination":"/x","source":"/y","options":["bind"],"gidMappings":[{"containerID":0,"hostID":1,"size":1}]}"#,
            "mounts[0].uidMappings: missing beside gidMappings",
        ),
        (
            r#"{"destination":"/x","source":"/y","options":["bind"],"uidMappings":[{"containerID":0,"hostID":1,"size":0}]}"#,
            "mounts[0].uidMappings[0].size: must be at least 1",
        ),
        (
            r#"{"destination":"/x","source":"/y","options":["bind"],"uidMappings":[{"hostID":4294967295,"size":2}]}"#,
            "mounts[0].uidMappings[0]: the range goes beyond the last id, 4294967294",
        ),
        (
            r#"{"destination":"/x","source":"/y","options":["bind"],"uidMappings":[{"size":2},{"containerID":1,"hostID":9,"size":1}]}"#,
            "mounts[0].uidMappings[1]: the range overlaps with another one",
        ),
        (
            r#"{"destination":"/x","type":"tmpfs","options":["idmap"]}"#,
            "mounts[0]: id mappings are for bind mounts, and for an overlay at / as first mount",
        ),
    ] {
        assert_eq!(refused_mount(mount), text);
    }
}

#[test]
fn a_bind_source_is_relative_to_the_bundle() {
    let rootfs = parsed(r#"{"destination":"x","source":"data","options":["bind"]}"#, "").unwrap();
    assert_eq!(
        rootfs.mounts[0].kind,
        mount::MountKind::Bind { source: "/mnt/bundle/data".into(), inside: None, idmap: None }
    );
    assert_eq!(rootfs.mounts[0].destination, InRoot::new("/x"));
}

#[test]
fn an_idmap_without_mappings_is_that_of_the_user_namespace() {
    let mount = r#"{"destination":"/x","source":"/y","options":["rbind","ridmap"]}"#;
    let rootfs = parsed(mount, r#""namespaces":[{"type":"user"}]"#).unwrap();
    assert_eq!(rootfs.id_mapped().collect::<Vec<_>>(), [(0, &IdmapOf::Container)]);
}

#[test]
fn single_files_of_proc_may_be_covered() {
    assert!(parsed(r#"{"destination":"/proc/uptime","source":"/x","options":["bind"]}"#, "").is_ok());
}

#[test]
fn each_wrong_path_or_name_of_linux_is_named() {
    for (linux, text) in [
        (r#""maskedPaths":["proc/kcore"]"#, "linux.maskedPaths[0]: must be an absolute path"),
        (r#""maskedPaths":["/x","/"]"#, "linux.maskedPaths[1]: would mask the whole container"),
        (r#""readonlyPaths":[""]"#, "linux.readonlyPaths[0]: must be an absolute path"),
        (
            r#""rootfsPropagation":"public""#,
            "linux.rootfsPropagation: \"public\" is not one of [r]shared, [r]slave, [r]private and [r]unbindable",
        ),
        (
            r#""mountLabel":"system_u:object_r:x:s0""#,
            "linux.mountLabel: selinux label is specified in config, but selinux is disabled or not supported",
        ),
    ] {
        assert_eq!(parsed("", linux).unwrap_err().to_string(), text);
    }
}

#[test]
fn a_second_procfs_or_sysfs_without_masks_is_told_of() {
    let second =
        format!(r#"{USUAL},{{"destination":"/data","type":"proc"}},{{"destination":"/x/sys","type":"sysfs"}}"#);
    let masks = r#""maskedPaths":["/proc/keys"],"readonlyPaths":["/sys/firmware"]"#;
    let told = parsed(&second, masks).unwrap().unprotected();
    let text = |n: usize, at: &str| {
        format!("mounts[{n}]: {at} is not protected: linux.maskedPaths and linux.readonlyPaths name nothing in it")
    };
    assert_eq!(told, [text(6, "/data"), text(7, "/x/sys")]);
    let masked = r#""maskedPaths":["/proc/keys","/data/keys","/x/sys"],"readonlyPaths":["/sys/firmware"]"#;
    assert!(parsed(&second, masked).unwrap().unprotected().is_empty());
    assert!(parsed(&second, "").unwrap().unprotected().is_empty(), "a container that is not to be protected at all");
}
