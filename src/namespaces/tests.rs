use super::recipe::{Fork, User, recipe};
use super::*;

const P: i32 = libc::CLONE_NEWPID;
const M: i32 = libc::CLONE_NEWNS;
const N: i32 = libc::CLONE_NEWNET;
const U: i32 = libc::CLONE_NEWUSER;
const C: i32 = libc::CLONE_NEWCGROUP;
const T: i32 = 0x80;

/// `+pid` is new, `pid` is joined and the runtime's, `pid*` is joined and owned by the joined user namespace.
fn namespaces(words: &str) -> (Namespaces, Vec<NamespaceKind>) {
    let mut all = Namespaces::default();
    let mut owned = Vec::new();
    for word in words.split_whitespace() {
        let kind = NamespaceKind::from_word(word.trim_matches(['+', '*'])).unwrap();
        let place = if word.starts_with('+') { Place::New } else { Place::Join("/x".into()) };
        all.places[kind as usize] = place;
        if word.ends_with('*') {
            owned.push(kind);
        }
    }
    (all, owned)
}

fn of(words: &str, born_in_cgroup: bool) -> Recipe {
    let (all, owned) = namespaces(words);
    recipe(&all, |kind| if owned.contains(&kind) { Owner::JoinedUser } else { Owner::Runtime }, born_in_cgroup)
}

#[test]
fn everything_new_comes_in_one_clone() {
    let r = of("+pid +mount +network", false);
    assert_eq!(r, Recipe { clone: P | M | N, ..Recipe::default() });
    let r = of("+user +pid +mount", false);
    assert_eq!(r, Recipe { clone: U | P | M, user: User::Cloned, ..Recipe::default() });
}

#[test]
fn a_new_ipc_namespace_waits_for_root_of_a_new_user_namespace() {
    let ipc = libc::CLONE_NEWIPC;
    assert_eq!((of("+user +ipc +mount", false).clone, of("+user +ipc +mount", false).unshare), (U | M, ipc));
    assert_eq!(of("+ipc +mount", false).clone, M | ipc);
    assert_eq!(of("+user +ipc uts", false).unshare & recipe::LATE, ipc);
}

#[test]
fn the_runtimes_namespaces_are_joined_before_a_new_user_namespace_owns_the_rest() {
    let r = of("+user network +pid +mount", false);
    assert_eq!(r.clone, 0);
    assert_eq!(r.join_first, [NamespaceKind::Network]);
    assert_eq!((r.user, r.unshare, r.fork), (User::Unshared, M, Fork::Early(P)));
}

#[test]
fn what_a_joined_user_namespace_owns_is_joined_after_it() {
    let r = of("user network* uts +mount +pid", false);
    assert_eq!((r.join_first, r.join_then), (vec![NamespaceKind::Uts], vec![NamespaceKind::Network]));
    assert_eq!((r.clone, r.user, r.unshare, r.fork), (0, User::Joined, M, Fork::Early(P)));
}

#[test]
fn a_joined_pid_namespace_is_entered_by_the_image() {
    let r = of("pid +mount", false);
    assert_eq!((r.clone, r.join_first, r.fork), (M, vec![NamespaceKind::Pid], Fork::Late));
    assert_eq!(of("user* pid* +mount", false).fork, Fork::Late);
}

#[test]
fn a_new_time_namespace_is_unshared_and_its_children_are_born_in_it() {
    let r = of("+time +pid +mount", false);
    assert_eq!((r.clone, r.unshare, r.fork), (M, T, Fork::Early(P)));
    let r = of("+time pid", false);
    assert_eq!((r.clone, r.unshare, r.fork), (0, T, Fork::Late));
    assert_eq!(of("+time", false).fork, Fork::Late);
    assert_eq!(of("time +pid", false).fork, Fork::None);
}

#[test]
fn a_cgroup_namespace_comes_after_its_cgroup_is_joined() {
    assert!(of("+cgroup +pid", false).late_cgroup);
    let r = of("+cgroup +pid", true);
    assert_eq!((r.clone, r.late_cgroup), (C | P, false));
    assert!(of("+user +cgroup network", true).late_cgroup);
}

fn parse(json: &str) -> Result<Namespaces> {
    Namespaces::parse(&crate::config::parse(json.as_bytes()).unwrap())
}

#[test]
fn every_wrong_thing_about_namespaces_names_its_field() {
    for (json, begins) in [
        (r#"{"linux":{"namespaces":[{"type":"pod"}]}}"#, "linux.namespaces[0].type: unknown"),
        (r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"pid"}]}}"#, "linux.namespaces[1].type: duplicated ns"),
        (r#"{"linux":{"namespaces":[{"type":"pid","path":"x"}]}}"#, "linux.namespaces[0].path: "),
        (r#"{"linux":{"namespaces":[{"type":"user"}]}}"#, "linux.uidMappings: user namespaces enabled"),
        (r#"{"linux":{"uidMappings":[{"size":1}]}}"#, "linux.uidMappings: ids can be mapped only"),
        (
            r#"{"linux":{"namespaces":[{"type":"user"}],"uidMappings":[{"size":0}]}}"#,
            "linux.uidMappings[0].size: must be",
        ),
        (
            r#"{"linux":{"namespaces":[{"type":"user"}],"uidMappings":[{"size":9},{"containerID":8,"hostID":99,"size":9}]}}"#,
            "linux.uidMappings[1]: the range overlaps",
        ),
        (r#"{"linux":{"timeOffsets":{"monotonic":{"secs":1}}}}"#, "linux.timeOffsets.monotonic: a clock can be"),
        (r#"{"linux":{"namespaces":[{"type":"time"}],"timeOffsets":{"x":{}}}}"#, "linux.timeOffsets.x: no such"),
        (r#"{"hostname":"x"}"#, "hostname: unable to set hostname without"),
        (r#"{"linux":{"sysctl":{"net.core.somaxconn":"1"}}}"#, "linux.sysctl[\"net.core.somaxconn\"]: "),
        (r#"{"linux":{"sysctl":{"vm.swappiness":"1"}}}"#, "linux.sysctl[\"vm.swappiness\"]: "),
        (
            r#"{"linux":{"namespaces":[{"type":"network"}],"sysctl":{"net/../vm/swappiness":"1"}}}"#,
            "linux.sysctl[\"net/../vm/swappiness\"]: is not the name",
        ),
        (
            r#"{"linux":{"namespaces":[{"type":"network"}],"sysctl":{"net.ipv4.x":"1","net/ipv4/x":"2"}}}"#,
            "linux.sysctl[\"net/ipv4/x\"]: is set to another value as \"net.ipv4.x\"",
        ),
    ] {
        let error = parse(json).expect_err(json).to_string();
        assert!(error.starts_with(begins), "{json}: {error}");
    }
}

#[test]
fn a_sysctl_names_its_path_with_dots_or_slashes() {
    let all = parse(
        r#"{"linux":{"namespaces":[{"type":"network"}],"sysctl":{"net.ipv4.conf.eth0/1.x":"1","net/a.b/c":"2"}}}"#,
    );
    let list: Vec<_> = all.unwrap().sysctls.iter().map(|s| (s.path.clone(), s.value.clone())).collect();
    let expected = [("net/ipv4/conf/eth0.1/x", "1"), ("net/a.b/c", "2")].map(|(p, v)| (p.to_owned(), v.to_owned()));
    assert_eq!(list, expected);
}
