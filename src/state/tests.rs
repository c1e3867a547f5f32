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
    let me = ProcessId::of(process::pid()).unwrap();
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

/// Three changes of every byte, and every length: what is not seen must mean the same.
#[test]
fn a_record_that_was_cut_off_or_changed_is_no_record() {
    let record = Record {
        oci_version: "1.3.0".into(),
        id: "web".into(),
        init: Some(ProcessId { pid: 1234, start: 98_765 }),
        waiting_name: "abcdefghi".into(),
        bundle: "/srv/web".into(),
        rootfs: "/srv/web/rootfs".into(),
        created: now(),
        annotations: Map::from_iter([("a".into(), "b".into())]),
        ..Record::default()
    };
    let bytes = record.to_json().unwrap();
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
    let me = ProcessId::of(process::pid()).unwrap();
    assert!(me.lives());
    assert!(!ProcessId { start: me.start + 1, ..me }.lives());
    assert!(me.open().unwrap().is_some());
}
