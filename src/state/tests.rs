//! Records and the processes that they name.

use super::*;
use crate::json::Map;
use crate::sys::process;

#[test]
fn a_record_keeps_what_it_does_not_know() {
    let json = r#"{"ociVersion":"1.3.0","id":"x","waitingName":"w","bundle":"/b","rootfs":"/r","created":"t","owner":0,"cgroup":{"branches":[]},"newer": [1], "a \"b\"" :{"c": null } }"#;
    let record = Record::parse(json.as_bytes()).unwrap();
    assert_eq!(
        record.unknown,
        Map::from_iter([("newer".into(), b"[1]".into()), ("a \"b\"".into(), b"{\"c\": null }".into())])
    );
    let written = record.to_json().unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&written).unwrap()["a \"b\""],
        serde_json::json!({"c": null})
    );
    assert_eq!(Record::parse(&written).unwrap(), record);
}

#[test]
fn the_status_needs_the_process_and_no_cgroup() {
    let me = ProcessId::of(process::pid()).unwrap().unwrap();
    let cgroups = [
        r#"{}"#,
        r#"{"path":"/orlop-gone \"x\"","hierarchies":["cpu,cpuacct","freezer",""]}"#,
        r#"{"path":"/orlop-gone","hierarchies":[""]}"#,
        r#"{"branches":[{"controllers":["freezer"],"mount":"/sys/fs/cgroup/freezer","path":"/orlop-gone"}]}"#,
    ];
    for (cgroup, start) in cgroups.into_iter().flat_map(|cgroup| [(cgroup, me.start), (cgroup, me.start + 1)]) {
        let pid = me.pid;
        let json = format!(
            r#"{{"ociVersion":"1.3.0","id":"x","init":{{"pid":{pid},"start":{start}}},"waitingName":"w",
                "bundle":"/b \"q\" \u00e9","rootfs":"/r","created":"t","owner":7,"annotations":{{"a\n":"b"}},
                "cgroup":{cgroup},"newer":[1]}}"#
        );
        let record = Record::parse(json.as_bytes()).unwrap();
        let expected = if start == me.start { Status::Running } else { Status::Stopped };
        assert_eq!(record.status().unwrap(), expected, "{cgroup}");
        assert_eq!(Record::parse(&record.to_json().unwrap()).unwrap(), record);
    }
    assert!(Record::parse(b"{").unwrap_err().to_string().contains("state.json is damaged"));
}

fn web() -> Record {
    Record {
        oci_version: "1.3.0".into(),
        id: "web".into(),
        init: Some(ProcessId { pid: 1234, start: 98_765 }),
        waiting_name: "abcdefghi".into(),
        bundle: "/srv/web".into(),
        rootfs: "/srv/web/rootfs".into(),
        created: "2026-11-30T18:00:00.5Z".into(),
        annotations: Map::from_iter([("a".into(), "b \"c\"".into())]),
        ..Record::default()
    }
}

/// The config of a container with all that runc has to know.
const CONFIG: &str = r#"{"process":{"user":{"umask":18}},"hooks":{"poststop":[{"path":"/x","args":["x","\"y"],"timeout":2}]},
    "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/n"},{"type":"mount"}],"seccomp":{},
    "uidMappings":[{"containerID":0,"hostID":1000,"size":2}]}}"#;

#[test]
fn a_record_has_the_fields_of_runc_which_our_own_commands_do_not_read() {
    let spec = crate::json::document(CONFIG.as_bytes()).ok().unwrap();
    let record = Record { runc: Some(RuncConfig::of(&spec)), ..web() };
    let bytes = record.to_json().unwrap();
    assert_eq!(Record::parse(&bytes).unwrap(), web());
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&json["init_process_pid"], &json["init_process_start"]), (&1234.into(), &98_765.into()));
    let expected = serde_json::json!({
        "version": "1.3.0", "rootfs": "/srv/web/rootfs", "labels": ["a=b \"c\"", "bundle=/srv/web"],
        "cgroups": {"path": "/orlop-without-cgroup", "devices": []},
        "namespaces": [{"type": "NEWPID"}, {"type": "NEWNET", "path": "/n"}, {"type": "NEWNS"}],
        "uid_mappings": [{"container_id": 0, "host_id": 1000, "size": 2}], "seccomp": {}, "umask": 18,
        "Hooks": {"poststop": [{"path": "/x", "args": ["x", "\"y"], "timeout": 2_000_000_000_u64}]},
    });
    assert_eq!(json["config"], expected);
    assert_eq!(json["cgroup_paths"], serde_json::json!({}), "it has no cgroup");
}

/// Three changes of every byte, and every length: what is not seen must mean the same.
#[test]
fn a_record_that_was_cut_off_or_changed_is_no_record() {
    is_proof_against_damage(web());
    is_proof_against_damage(Record { runc: Some(RuncConfig::default()), ..web() });
}

fn is_proof_against_damage(written: Record) {
    let bytes = written.to_json().unwrap();
    let record = web();
    assert_eq!(Record::parse(&bytes).unwrap(), record);
    for at in 0..bytes.len() {
        assert!(Record::parse(&bytes[..at]).is_err(), "cut at {at}");
        for change in [bytes[at] ^ 1, bytes[at] ^ 4, bytes[at] ^ 32, 0, b' '] {
            let mut changed = bytes.clone();
            changed[at] = change;
            // The name of the sum itself: then there is none.
            let same = |found: Record| Record { unknown: Map::default(), ..found } == record;
            assert!(Record::parse(&changed).map_or(true, same), "byte {at} is {change}");
        }
    }
}

#[test]
fn a_record_that_does_not_say_what_it_means_is_damaged() {
    let whole = |init: &str, cgroup: &str| {
        format!(
            r#"{{"ociVersion":"1.3.0","id":"x","init":{init},"waitingName":"w","bundle":"/b","rootfs":"/r","created":"t",
                "owner":0,"cgroup":{cgroup}}}"#
        )
    };
    let process = r#"{"pid":7,"start":9}"#;
    assert!(Record::parse(whole(process, r#"{"path":"/x","hierarchies":["cpu"]}"#).as_bytes()).is_ok());
    for init in ["{}", r#"{"pid":7}"#, r#"{"pid":-1,"start":9}"#] {
        assert!(Record::parse(whole(init, "{}").as_bytes()).is_err(), "{init}");
    }
    for cgroup in [r#"{"hierarchies":["cpu"]}"#, r#"{"branches":[{"mount":"/m"}]}"#, r#"{"branches":[{"path":"/x"}]}"#]
    {
        assert!(Record::parse(whole(process, cgroup).as_bytes()).is_err(), "{cgroup}");
    }
    for missing in ["ociVersion", "id", "waitingName", "bundle", "rootfs", "created"] {
        let json = whole(process, "{}").replace(missing, "other");
        assert!(Record::parse(json.as_bytes()).is_err(), "{missing}");
    }
}

#[test]
fn a_process_is_itself_and_not_another_with_its_pid() {
    let me = ProcessId::of(process::pid()).unwrap().unwrap();
    assert!(me.lives());
    assert!(!ProcessId { start: me.start + 1, ..me }.lives());
    assert!(me.open().unwrap().is_some());
}
