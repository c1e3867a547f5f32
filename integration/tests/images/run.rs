//! `orlop run --image` from outside: the program, its surroundings, and that nothing is left.

use crate::layout::{Form, Layout, architecture, base};
use crate::{Scene, says, text};
use serde_json::{Value, json};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A scene with an image, of which this is the configuration.
fn scene(name: &str, config: &Value) -> Option<(Scene, String)> {
    let scene = Scene::new(name)?;
    let layout = Layout::new(&scene.path("layout"));
    layout.tag(&[("one", &layout.image(&[base()], Form::Gzip, config, architecture()))]);
    let image = format!("oci:{}:one", scene.at("layout"));
    Some((scene, image))
}

fn shell(scene: &Scene, image: &str, options: &[&str], script: &str) -> Output {
    scene.run(&[&["--quiet", "--id", scene.id()], options].concat(), image, &["sh", "-c", script]).output().unwrap()
}

/// What a script in a container prints, if it succeeds.
fn prints(scene: &Scene, image: &str, options: &[&str], script: &str) -> String {
    let ended = shell(scene, image, options, script);
    assert!(ended.status.success(), "{script}: {}", text(&ended.stderr));
    text(&ended.stdout)
}

/// What a command that fails prints on standard error.
fn fails(command: &mut Command) -> String {
    let ended = command.output().unwrap();
    assert!(!ended.status.success(), "{command:?} succeeds");
    text(&ended.stderr)
}

/// Starts a container in the background; its pid.
fn detached(scene: &Scene, image: &str, options: &[&str], id: &str, program: &[&str]) -> u32 {
    let pid = scene.at("pid");
    let options = [&["--quiet", "--detach", "--id", id, "--pid-file", &pid], options].concat();
    let log = fs::File::create(scene.path("log")).unwrap();
    let started = scene.run(&options, image, program).stdout(Stdio::null()).stderr(log).status().unwrap();
    assert!(started.success(), "{}", fs::read_to_string(scene.path("log")).unwrap());
    fs::read_to_string(pid).unwrap().parse().unwrap()
}

/// Fails if a container has left something after it was deleted and the store was collected.
fn nothing_is_left(scene: &Scene) {
    says(&mut scene.image(&["gc"]));
    let name = scene.dir.to_str().unwrap();
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(name), "a mount is left");
    assert_eq!(fs::read_dir(scene.path("store/containers")).unwrap().count(), 0, "a writable layer is left");
    assert_eq!(fs::read_dir(scene.path("state")).into_iter().flatten().count(), 0, "a state is left");
    let command = |path: PathBuf| text(&fs::read(path.join("cmdline")).unwrap_or_default());
    let all = fs::read_dir("/proc").unwrap().map(|entry| command(entry.unwrap().path()));
    assert_eq!(all.filter(|line| line.contains(scene.id())).collect::<Vec<_>>(), [""; 0], "processes are left");
    assert_eq!(crate::kills::cgroups(scene.id()), [""; 0], "cgroups are left");
}

#[test]
fn the_program_has_the_images_configuration() {
    let config = json!({ "Entrypoint": ["/bin/busybox"], "Cmd": ["env"], "Env": ["A=image", "B=image"],
        "WorkingDir": "/tmp", "User": "web", "StopSignal": "SIGINT" });
    let Some((scene, image)) = scene("config", &config) else { return };
    let run = |options: &[&str], command: &[&str]| {
        says(scene.run(&[&["--quiet"], options].concat(), &image, command).env("B", "caller"))
    };
    let env = run(&[], &[]);
    assert!(env.contains("A=image") && env.contains("B=image") && env.contains("HOME=/srv"), "{env}");
    let env = run(&["--env", "A=mine", "-e", "B", "--env", "MISSING"], &["env"]);
    assert!(env.contains("A=mine") && env.contains("B=caller") && !env.contains("MISSING"), "{env}");
    assert_eq!(run(&[], &["pwd"]), "/tmp");
    assert_eq!(run(&[], &["id"]), "uid=33(web) gid=34(web) groups=4(log)");
    assert_eq!(run(&["--user", "5:6"], &["id"]), "uid=5 gid=6");
    let behind = ["echo", "--env", "X", "--id=y", "--", "--help", "--image"];
    assert_eq!(run(&[], &behind), behind[1..].join(" "));
    let state = || says(&mut scene.orlop(&["state", scene.id()]));
    detached(&scene, &image, &["--user", "0"], scene.id(), &["sleep", "1000"]);
    assert!(state().contains(r#""org.opencontainers.image.stopSignal": "SIGINT""#), "{}", state());
    says(&mut scene.orlop(&["delete", "--force", scene.id()]));
    nothing_is_left(&scene);
}

#[test]
fn options_of_the_command_line_change_the_container() {
    let Some((scene, image)) = scene("options", &json!({ "Cmd": ["sh"] })) else { return };
    assert_eq!(shell(&scene, &image, &[], "exit 7").status.code(), Some(7));
    assert_eq!(prints(&scene, &image, &[], "hostname"), scene.id().chars().take(63).collect::<String>());
    assert_eq!(prints(&scene, &image, &["--hostname", "mine"], "hostname"), "mine");
    assert_eq!(
        prints(&scene, &image, &["--read-only"], "touch /x 2>&1 || echo no"),
        "touch: /x: Read-only file system\nno"
    );
    fs::create_dir(scene.path("volume")).unwrap();
    fs::write(scene.path("volume/file"), "content").unwrap();
    let volume = format!("{}:/data", scene.at("volume"));
    assert_eq!(prints(&scene, &image, &["--volume", &volume], "cat /data/file; touch /data/new"), "content");
    assert!(scene.path("volume/new").exists());
    let read_only = format!("{volume}:ro");
    assert_eq!(prints(&scene, &image, &["-v", &read_only], "touch /data/x 2> /dev/null || echo no"), "no");
    assert_eq!(prints(&scene, &image, &["--init"], "echo $$"), "2");
    assert_eq!(prints(&scene, &image, &[], "echo $$"), "1");
    let mut handed = Command::new("sh");
    let run = scene.run(&["--quiet", "--preserve-fds", "1"], &image, &["sh", "-c", "cat <&3"]);
    handed.arg("-c").arg(r#"exec "$@" 3< volume/file"#).arg("sh").arg(run.get_program()).args(run.get_args());
    assert_eq!(says(handed.current_dir(&scene.dir)), "content");
    nothing_is_left(&scene);
}

#[test]
fn limits_are_the_cgroups() {
    let Some((scene, image)) = scene("limits", &json!({ "Cmd": ["sh"] })) else { return };
    let pid = detached(&scene, &image, &["--memory", "64m", "--cpus", "0.5"], scene.id(), &["sleep", "1000"]);
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let read = |controller: &str, v1: &str, v2: &str| {
        let of = |line: &&str| line.split(':').nth(1).unwrap().split(',').any(|name| name == controller);
        let path = |line: &str| line.splitn(3, ':').nth(2).unwrap().trim_start_matches('/').to_owned();
        let file = match table.lines().find(of) {
            Some(line) => format!("/sys/fs/cgroup/{controller}/{}/{v1}", path(line)),
            None => format!("/sys/fs/cgroup/{}/{v2}", path(table.lines().find(|line| line.starts_with("0:")).unwrap())),
        };
        text(&fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}")))
    };
    assert_eq!(read("memory", "memory.limit_in_bytes", "memory.max"), (64 << 20).to_string());
    let quota = read("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota.split(' ').next(), Some("50000"), "{quota}");
    says(&mut scene.orlop(&["delete", "--force", scene.id()]));
    nothing_is_left(&scene);
}

#[test]
fn the_network_is_none_or_the_hosts_and_no_port_is_published() {
    let Some((scene, image)) = scene("network", &json!({ "Cmd": ["sh"] })) else { return };
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let of = |options: &[&str]| {
        let pid = detached(&scene, &image, options, scene.id(), &["sleep", "1000"]);
        let network = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        says(&mut scene.orlop(&["delete", "--force", scene.id()]));
        (network == own, fs::read_to_string(scene.path("log")).unwrap())
    };
    assert!(!of(&[]).0);
    let (is_host, log) = of(&["--net", "host"]);
    assert!(is_host && log.contains("abstract sockets"), "{log}");
    assert!(fails(&mut scene.run(&["--publish", "80:80"], &image, &[])).contains("podman run --runtime orlop"));
    assert!(fails(&mut scene.run(&["--net", "bridge"], &image, &[])).contains("neither none nor host"));
    nothing_is_left(&scene);
}

#[test]
fn a_console_socket_gets_the_terminal() {
    let Some((scene, image)) = scene("console", &json!({ "Cmd": ["sh"] })) else { return };
    let socket = scene.at("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    detached(&scene, &image, &["--console-socket", &socket], scene.id(), &["sh", "-c", "tty > /name; sleep 1000"]);
    // The terminal is there as long as its message is not received.
    let (mut connection, _) = listener.accept().unwrap();
    let name = scene.path("store/containers").join(scene.id()).join("upper/name");
    while fs::read_to_string(&name).unwrap_or_default().is_empty() {
        std::thread::yield_now();
    }
    assert!(fs::read_to_string(&name).unwrap().starts_with("/dev/"));
    connection.read_exact(&mut [0]).unwrap();
    says(&mut scene.orlop(&["delete", "--force", scene.id()]));
    nothing_is_left(&scene);
}

#[test]
fn containers_of_one_image_have_writable_layers_of_their_own_which_go_with_them() {
    let Some((scene, image)) = scene("two", &json!({ "Cmd": ["sh"] })) else { return };
    let (one, two) = (format!("{}-1", scene.id()), format!("{}-2", scene.id()));
    let pids =
        [&one, &two].map(|id| detached(&scene, &image, &[], id, &["sh", "-c", "echo $HOSTNAME > /own; sleep 1000"]));
    assert_ne!(fs::metadata(format!("/proc/{}/root", pids[0])).unwrap().permissions().mode(), 0);
    for (id, pid) in [&one, &two].iter().zip(pids) {
        fs::write(format!("/proc/{pid}/root/tmp/{id}"), "").unwrap();
    }
    let seen = |pid: u32| fs::read_dir(format!("/proc/{pid}/root/tmp")).unwrap().count();
    assert_eq!(pids.map(seen), [1, 1]);
    let refused = fails(&mut scene.run(&["--id", &one], &image, &["echo"]));
    assert!(refused.contains("has a writable layer"), "{refused}");
    // A layer of a living container stays.
    says(&mut scene.image(&["gc"]));
    assert_eq!(fs::read_dir(scene.path("store/containers")).unwrap().count(), 2);
    says(&mut scene.orlop(&["delete", "--force", &one]));
    assert_eq!(prints(&scene, &image, &[], "ls /tmp"), "");
    says(&mut scene.orlop(&["delete", "--force", &two]));
    nothing_is_left(&scene);
}

#[test]
fn a_kept_container_stays_until_it_is_removed() {
    let Some((scene, image)) = scene("kept", &json!({ "Cmd": ["sh"] })) else { return };
    prints(&scene, &image, &["--keep"], "echo kept > /file");
    says(&mut scene.orlop(&["delete", scene.id()]));
    says(&mut scene.image(&["gc"]));
    let file = scene.path("store/containers").join(scene.id()).join("upper/file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept\n");
    assert!(says(&mut scene.image(&["list"])).contains(&format!("kept container {}", scene.id())));
    says(&mut scene.image(&["rm", scene.id()]));
    assert!(!file.exists());
    nothing_is_left(&scene);
}

#[test]
fn nothing_is_left_when_the_runtime_is_killed() {
    let Some((scene, image)) = scene("killed", &json!({ "Cmd": ["sh"] })) else { return };
    let pid = scene.path("pid");
    let options = ["--quiet", "--id", scene.id(), "--pid-file", pid.to_str().unwrap()];
    let mut runtime =
        scene.run(&options, &image, &["sleep", "1000"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while fs::read_to_string(&pid).unwrap_or_default().is_empty() {
        std::thread::yield_now();
    }
    runtime.kill().unwrap();
    runtime.wait().unwrap();
    says(&mut scene.orlop(&["delete", "--force", scene.id()]));
    nothing_is_left(&scene);
    assert_eq!(prints(&scene, &image, &[], "echo again"), "again");
    nothing_is_left(&scene);
}

#[test]
fn global_options_reach_the_runtime_whatever_their_values_are() {
    let Some((scene, image)) = scene("global", &json!({ "Cmd": ["sh"] })) else { return };
    let mut run = Command::new(&scene.runtime);
    run.args(["--root", "run", "run", "--detach", "--id", scene.id(), "--store"]).arg(scene.path("store"));
    run.args(["--image", &image, "sleep", "1000"]).current_dir(&scene.dir).stdin(Stdio::null());
    let log = fs::File::create(scene.path("log")).unwrap();
    let started = run.stdout(Stdio::null()).stderr(log).status().unwrap();
    assert!(started.success(), "{}", fs::read_to_string(scene.path("log")).unwrap());
    assert!(scene.path("run").join(scene.id()).exists(), "the state is elsewhere");
    // From another directory, for which the state directory has another name.
    says(scene.image(&["gc"]).current_dir("/"));
    assert_eq!(fs::read_dir(scene.path("store/containers")).unwrap().count(), 1, "a living container has no layer");
    says(Command::new(&scene.runtime).arg("--root").arg(scene.path("run")).args(["delete", "--force", scene.id()]));
    nothing_is_left(&scene);
}
