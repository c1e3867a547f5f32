//! What the files of an image can do as startContainer hooks.

use super::*;
use std::io::Read;
use std::os::unix::net::UnixListener;

/// What the hook's process and a process that it leaves behind see of their filter, for every way to the program.
#[test]
fn a_start_container_hook_and_what_it_leaves_behind_run_under_the_filter() {
    for (no_new_privileges, uid, shim) in
        [(true, 0, false), (false, 0, false), (true, 1000, false), (false, 1000, false), (false, 0, true)]
    {
        for detached in [false, true] {
            let Some(mut scene) = Scene::new() else { return };
            fs::set_permissions(scene.root("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
            scene.config["process"]["noNewPrivileges"] = no_new_privileges.into();
            scene.config["process"]["user"] = json!({"uid": uid, "gid": uid});
            scene.config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]
            });
            if shim {
                scene.config["annotations"] = json!({"orlop.init": "true"});
            }
            let left = "while ! test -e /tmp/started; do sleep 0.01; done; \
                 /bin/busybox mkdir /tmp/left 2> /tmp/left.error; grep Seccomp: /proc/self/status > /tmp/left.status";
            let hook = format!(
                "grep -E 'Seccomp:|Cap(Eff|Prm|Bnd)' /proc/self/status > /tmp/hook.status; \
                 /bin/busybox mkdir /tmp/hook 2> /tmp/hook.error; ({left}) & exit 0"
            );
            scene.config["hooks"] = json!({"startContainer": [
                {"path": "/bin/sh", "args": ["sh", "-c", hook], "env": ["PATH=/bin"]}
            ]});
            scene.script(
                "grep -E 'Seccomp:|Cap(Eff|Prm|Bnd)' /proc/self/status > /tmp/program.status; touch /tmp/started; \
                 while ! test -s /tmp/left.status; do sleep 0.01; done",
            );
            if detached {
                scene.write_config();
                let create = scene.command("create", &[], &[]).stdout(Stdio::null()).stderr(Stdio::null()).status();
                assert!(create.unwrap().success());
                let start = ended(scene.command("start", &[], &[]).output().unwrap());
                assert_eq!(start.code, Some(0), "{start:?}");
                while !fs::read_to_string(scene.root("tmp/left.status")).is_ok_and(|text| text.ends_with('\n')) {
                    std::thread::yield_now();
                }
            } else {
                let run = scene.run();
                assert_eq!(run.code, Some(0), "{run:?}");
            }
            let of = |name: &str| fs::read_to_string(scene.root(&format!("tmp/{name}"))).unwrap();
            let case = format!("noNewPrivileges {no_new_privileges}, uid {uid}, shim {shim}, detached {detached}");
            assert!(of("hook.status").contains("Seccomp:\t2\n"), "{case}: {}", of("hook.status"));
            assert_eq!(of("hook.status"), of("program.status"), "{case}");
            assert_eq!(of("left.status"), "Seccomp:\t2\n", "{case}");
            for name in ["hook", "left"] {
                assert!(!scene.root(&format!("tmp/{name}")).exists(), "{case}: {name} made a directory");
                assert!(of(&format!("{name}.error")).contains("File descriptor in bad state"), "{case}: {name}");
            }
            scene.nothing_outside();
        }
    }
}

/// A filter that refuses `execve` refuses it to the hook, too: nothing of it runs.
#[test]
fn a_start_container_hook_that_the_filter_does_not_let_execute_is_an_error() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
    });
    scene.config["hooks"] = json!({"startContainer": [{"path": "/bin/touch", "args": ["touch", "/tmp/ran"]}]});
    let run = scene.run();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.error.contains("startContainer hook #0") && run.error.contains("EPERM"), "{run:?}");
    assert!(!scene.root("tmp/ran").exists());
}

/// The agent of a profile that notifies gets the listener of every hook and of the program, each with its process.
#[test]
fn the_agent_gets_the_listener_of_each_start_container_hook_before_that_of_the_program() {
    for (detached, shim) in [(false, false), (true, false), (false, true)] {
        let Some(mut scene) = Scene::new() else { return };
        let path = scene.dir.join("agent");
        let agent = UnixListener::bind(&path).unwrap();
        scene.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
            "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]
        });
        if shim {
            scene.config["annotations"] = json!({"orlop.init": "true"});
        }
        let hook = json!({"path": "/bin/grep", "args": ["grep", "Seccomp:\t2", "/proc/self/status"], "timeout": 20});
        scene.config["hooks"] = json!({"startContainer": [hook, hook]});
        scene.script("sleep 0.1");
        let messages = std::thread::spawn(move || {
            (0..3)
                .map(|_| {
                    let mut text = String::new();
                    agent.accept().unwrap().0.read_to_string(&mut text).unwrap();
                    serde_json::from_str::<Value>(&text).unwrap()
                })
                .collect::<Vec<_>>()
        });
        if detached {
            scene.write_config();
            let create = scene.command("create", &[], &[]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            assert!(create.unwrap().success());
            let start = ended(scene.command("start", &[], &[]).output().unwrap());
            assert_eq!(start.code, Some(0), "{start:?}");
        } else {
            let run = scene.run();
            assert_eq!(run.code, Some(0), "{run:?}");
        }
        let messages = messages.join().unwrap();
        let init = &messages[2]["state"]["pid"];
        assert!(messages.iter().all(|message| &message["state"]["pid"] == init), "{messages:?}");
        let mut pids: Vec<i64> = messages.iter().map(|message| message["pid"].as_i64().unwrap()).collect();
        assert_eq!(init == &messages[2]["pid"], !shim, "{messages:?}");
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), 3, "each is of a process of its own: {messages:?}");
    }
}

/// For `exec` the state is that of the container, and the process the one that loaded the filter.
#[test]
fn the_agent_gets_the_state_of_the_running_container_with_the_listener_of_exec() {
    let Some(mut scene) = Scene::new() else { return };
    let path = scene.dir.join("agent");
    let agent = UnixListener::bind(&path).unwrap();
    scene.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
        "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]
    });
    scene.script("sleep 60");
    scene.run_detached();
    let mut messages = Vec::new();
    let mut listen = || {
        let mut text = String::new();
        agent.accept().unwrap().0.read_to_string(&mut text).unwrap();
        messages.push(serde_json::from_str::<Value>(&text).unwrap());
    };
    listen();
    assert!(scene.has_exec());
    listen();
    let [init, exec] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((&init["state"]["status"], &init["state"]["pid"]), (&json!("creating"), &init["pid"]));
    assert_eq!((&exec["state"]["status"], &exec["state"]["pid"]), (&json!("running"), &init["pid"]));
    assert_ne!(exec["pid"], init["pid"]);
    scene.delete();
}

/// `create` does not load the filter yet; that nobody listens is known there all the same.
#[test]
fn create_fails_where_nobody_listens_for_the_filter() {
    for (path, reason) in [("/no/such/agent", "ENOENT"), ("/dev/null", "is no socket")] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
            "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]
        });
        scene.write_config();
        // A container that is made has these files open.
        let said = scene.dir.join("said");
        let mut create = scene.command("create", &[], &[]);
        let status = create.stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap()).status().unwrap();
        let said = fs::read_to_string(said).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("linux.seccomp.listenerPath") && said.contains(reason), "{said}");
    }
}

/// CVE-2025-23266: the environment is the image's, and a library that it names would run with the runtime's rights.
#[test]
fn a_hook_of_the_host_never_has_the_environment_of_the_container() {
    for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["process"]["env"] = json!(["PATH=/bin", "LD_PRELOAD=/evil.so", "EVIL=1"]);
        let log = scene.dir.join("env");
        scene.config["hooks"] =
            json!({kind: [{"path": "/bin/sh", "args": ["sh", "-c", format!("env > {}", log.display())]}]});
        let run = scene.run();
        assert_eq!(run.code, Some(0), "{kind}: {run:?}");
        let env = fs::read_to_string(log).unwrap();
        assert!(!env.contains("EVIL") && !env.contains("evil"), "{kind}: {env}");
    }
}
