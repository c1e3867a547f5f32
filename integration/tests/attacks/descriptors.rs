//! Descriptors of the host, and the runtime's own program, as a container may try to reach them.

use super::{Scene, ended};
use serde_json::json;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The numbers that a program of a container has open, but for the directory that is read.
const OPEN: &str = "ls /proc/self/fd";

#[test]
fn no_descriptor_of_the_host_is_open_in_a_container() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script(OPEN);
    assert_eq!(scene.run().out, "0\n1\n2\n3\n");
    scene.script("sleep 100");
    scene.run_detached();
    if !scene.has_exec() {
        return;
    }
    assert_eq!(scene.exec(&[], &["/bin/ls", "/proc/self/fd"]).out, "0\n1\n2\n3\n");
}

/// A caller that leaks a directory of the host, as file descriptor 10.
fn leaking(mut command: Command) -> std::process::Output {
    let dir = fs::File::open("/").unwrap();
    let script = format!("exec 10</proc/{}/fd/{}; exec \"$@\"", std::process::id(), dir.as_raw_fd());
    let program = command.get_program().to_owned();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let cwd = command.get_current_dir().unwrap().to_owned();
    command = Command::new("sh");
    command.arg("-c").arg(script).arg0("sh").arg("sh").arg(program).args(args);
    command.current_dir(cwd).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn no_working_directory_leads_to_a_descriptor_of_the_host() {
    let Some(mut scene) = Scene::new() else { return };
    for number in 3..64 {
        scene.config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        scene.script("cat /proc/self/mountinfo | grep -c . ; ls ../../../..");
        scene.write_config();
        let ended = ended(leaking(scene.command("run", &[], &[])));
        assert_ne!(ended.code, Some(0), "{number}: {ended:?}");
        assert_eq!(ended.out, "", "{number}");
    }
}

#[test]
fn no_working_directory_of_exec_leads_to_a_descriptor_of_the_host() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("sleep 100");
    scene.run_detached();
    if !scene.has_exec() {
        return;
    }
    symlink("/proc/self/fd", scene.root("fds")).unwrap();
    for number in 3..40 {
        for dir in [format!("/proc/self/fd/{number}"), format!("/fds/{number}"), format!("/proc/1/fd/{number}")] {
            let ended = ended(leaking(scene.command("exec", &["--cwd", &dir], &["/bin/ls", "../../../.."])));
            assert_ne!(ended.code, Some(0), "{dir}: {ended:?}");
        }
    }
}

#[test]
fn a_container_cannot_reach_the_runtimes_program() {
    let Some(mut scene) = Scene::new() else { return };
    let before = fs::read(scene.runtime()).unwrap();
    fs::write(scene.root("bin/script"), "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(scene.root("bin/script"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for args in [json!(["/proc/self/exe"]), json!(["/bin/script"]), json!(["/proc/self/exe", "--version"])] {
        scene.config["process"]["args"] = args;
        let ended = scene.run();
        assert!(!ended.out.contains("version"), "{ended:?}");
    }
    scene.script("sleep 100");
    scene.run_detached();
    if !scene.has_exec() {
        return;
    }
    for program in ["/proc/self/exe", "/bin/script"] {
        let ended = scene.exec(&[], &[program, "--version"]);
        assert!(!ended.out.contains("version"), "{ended:?}");
    }
    assert!(before == fs::read(scene.runtime()).unwrap(), "the runtime's program has changed");
}

/// While exec after exec passes by, a process inside tries to open what they are.
#[test]
fn a_process_that_lies_in_wait_finds_neither_program_nor_descriptors() {
    let Some(mut scene) = Scene::new() else { return };
    let before = fs::read(scene.runtime()).unwrap();
    for set in ["bounding", "effective", "permitted"] {
        scene.config["process"]["capabilities"][set] = json!(["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]);
    }
    scene.script(
        "while :; do for p in /proc/[0-9]*; do
            [ $p = /proc/1 ] || [ $p = /proc/$$ ] && continue
            (echo overwritten >> $p/exe) 2>/dev/null && echo wrote >> /tmp/found
            for f in 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                [ -e $p/fd/$f/etc/hostname ] && readlink $p/fd/$f >> /tmp/found
            done
        done; done",
    );
    scene.run_detached();
    if !scene.has_exec() {
        return;
    }
    for _ in 0..60 {
        let _ = scene.exec(&[], &["/bin/true"]);
    }
    assert!(before == fs::read(scene.runtime()).unwrap(), "the runtime's program has changed");
    let found = fs::read_to_string(scene.root("tmp/found")).unwrap_or_default();
    assert!(!found.contains('/'), "{found}");
}
