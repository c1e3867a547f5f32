//! Annotations that restrict a container, or ask for another isolation: honoured, or an error.

use super::*;

/// `mkdir` fails with EBADFD, all else is allowed: four instructions as the kernel reads them, in base64.
fn filter() -> String {
    let number = if cfg!(target_arch = "x86_64") { 83 } else { 34 };
    let instructions =
        [(0x20_u16, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x0005_004d), (0x06, 0, 0, 0x7fff_0000_u32)];
    let mut bytes = Vec::new();
    for (code, jt, jf, k) in instructions {
        bytes.extend(code.to_ne_bytes());
        bytes.extend([jt, jf]);
        bytes.extend(k.to_ne_bytes());
    }
    let output = Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = output.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &bytes).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn a_filter_in_an_annotation_holds_for_the_program_hooks_and_exec_instead_of_the_profile() {
    const LOOK: &str = "grep Seccomp: /proc/self/status; busybox mkdir /tmp/made; busybox rmdir /tmp/none";
    for no_new_privileges in [true, false] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["process"]["noNewPrivileges"] = no_new_privileges.into();
        scene.config["annotations"] = json!({"run.oci.seccomp_bpf_data": filter()});
        // It would refuse rmdir with EDEADLK.
        scene.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["rmdir", "unlinkat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 35}]
        });
        let hook = format!("{{ {LOOK}; }} > /tmp/hook 2>&1; exit 0");
        scene.config["hooks"] = json!({"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", hook]}]});
        scene.script(&format!("{{ {LOOK}; }} > /tmp/program 2>&1; touch /tmp/done; sleep 60"));
        scene.run_detached();
        while !scene.root("tmp/done").exists() {
            std::thread::yield_now();
        }
        let exec = scene.exec(&[], &["/bin/sh", "-c", LOOK]);
        let of = |name: &str| fs::read_to_string(scene.root(&format!("tmp/{name}"))).unwrap();
        for (who, said) in [("hook", of("hook")), ("program", of("program")), ("exec", exec.out + &exec.error)] {
            assert!(said.contains("Seccomp:\t2"), "{who}: {said}");
            assert!(said.contains("made': File descriptor in bad state"), "{who}: {said}");
            assert!(said.contains("none': No such file or directory"), "{who}: {said}");
        }
        scene.delete();
    }
}

#[test]
fn a_filter_in_an_annotation_that_cannot_be_loaded_is_an_error_before_anything_is_made() {
    for (text, problem) in [
        ("", "holds 0 bytes"),
        ("!!!", "is not base64"),
        ("AAAA", "not a positive multiple of 8"),
        // A return that asks an agent (SECCOMP_RET_USER_NOTIF), and a load past the end of seccomp_data.
        ("BgAAAAAAwH8=", "returns SECCOMP_RET_USER_NOTIF, but there is no agent"),
        ("IAAAAEAAAAAGAAAAAAD/fw==", "instruction 0"),
    ] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["annotations"] = json!({"run.oci.seccomp_bpf_data": text});
        scene.script("touch /tmp/ran");
        let run = scene.run();
        assert_eq!(run.code, Some(1), "{text:?}: {run:?}");
        let field = "annotations[\\\"run.oci.seccomp_bpf_data\\\"]: ";
        assert!(run.error.contains(field) && run.error.contains(problem), "{text:?}: {run:?}");
        assert!(!scene.root("tmp/ran").exists());
    }
}

#[test]
fn an_annotation_that_asks_for_another_isolation_is_an_error_and_nothing_runs() {
    for (name, value) in [
        ("run.oci.handler", "krun"),
        ("run.oci.handler", "wasm"),
        ("krun.ram_mib", "512"),
        ("module.wasm.image/variant", "compat"),
        ("run.oci.delegate-cgroup", "below"),
    ] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["annotations"] = json!({name: value});
        scene.script("touch /tmp/ran");
        let run = scene.run();
        assert_eq!(run.code, Some(1), "{name}: {run:?}");
        assert!(run.error.contains(name) && run.error.contains(value), "{name}: {run:?}");
        assert!(!scene.root("tmp/ran").exists(), "{name}");
    }
}

#[test]
fn a_profile_with_a_name_of_no_system_call_is_refused_where_an_annotation_asks_for_it() {
    for (value, code) in [("1", 1), ("0", 0)] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["annotations"] = json!({"run.oci.seccomp_fail_unknown_syscall": value});
        scene.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "no_such_call"], "action": "SCMP_ACT_ERRNO"}]
        });
        let run = scene.run();
        assert_eq!(run.code, Some(code), "{run:?}");
        assert_eq!(run.error.contains("no_such_call"), code == 1, "{run:?}");
    }
}
