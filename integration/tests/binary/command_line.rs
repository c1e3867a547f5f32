//! The command line from outside: exit codes, messages and outputs, as they stand here and, where it is installed, as runc
//! gives them for the same arguments.

// Tests may unwrap; clippy knows that only of functions marked as tests.
#![allow(clippy::unwrap_used)]
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory that is gone when the test is.
/// Reports the test as skipped, on a line that libtest does not capture.
fn skip(reason: &str) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIP {}: {reason}", thread.name().unwrap_or("a test"));
}

struct Scene(PathBuf);

impl Scene {
    fn new(name: &str) -> Scene {
        let path = std::env::temp_dir().join(format!("orlop-cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("state")).unwrap();
        symlink(env!("CARGO_BIN_EXE_orlop"), path.join("runc")).unwrap();
        symlink(env!("CARGO_BIN_EXE_orlop"), path.join("crun")).unwrap();
        Scene(path)
    }

    /// orlop, called `runc`.
    fn ours(&self) -> PathBuf {
        self.0.join("runc")
    }

    /// Runs a program in the scene's directory.
    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        // Messages name the program as it was called.
        command.arg0(program.file_name().unwrap());
        command.args(arguments).current_dir(&self.0).env_remove("XDG_RUNTIME_DIR");
        command.output().unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The machine's runc, for comparison.
fn runc() -> Option<PathBuf> {
    ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"].iter().map(PathBuf::from).find(|p| p.exists())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The message of the one line that a failing command writes.
fn message(stderr: &[u8]) -> String {
    let text = text(stderr);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "one line and no more: {text}");
    let message = lines[0].split_once("level=error msg=").unwrap_or_else(|| panic!("{text}")).1;
    message.trim_matches('"').replace("\\\"", "\"")
}

/// Arguments, the exit code, and how the message begins: the same as runc's.
const REFUSED_AS_BY_RUNC: &[(&[&str], i32, &str)] = &[
    (&["state"], 1, "runc: \"state\" requires exactly 1 argument(s)"),
    (&["state", "a", "b"], 1, "runc: \"state\" requires exactly 1 argument(s)"),
    (&["kill"], 1, "runc: \"kill\" requires a minimum of 1 argument(s)"),
    (&["kill", "a", "b", "c"], 1, "runc: \"kill\" requires a maximum of 2 argument(s)"),
    (&["exec"], 1, "runc: \"exec\" requires a minimum of 1 argument(s)"),
    (&["features", "x"], 1, "runc: \"features\" requires exactly 0 argument(s)"),
    (&["state", "nosuch"], 1, "container does not exist"),
    (&["start", "nosuch"], 1, "container does not exist"),
    (&["kill", "nosuch"], 1, "container does not exist"),
    (&["delete", "nosuch"], 1, "container does not exist"),
    (&["pause", "nosuch"], 1, "container does not exist"),
    (&["resume", "nosuch"], 1, "container does not exist"),
    (&["ps", "nosuch"], 1, "container does not exist"),
    (&["update", "nosuch"], 1, "container does not exist"),
    (&["events", "nosuch"], 1, "container does not exist"),
    (&["exec", "nosuch", "ls"], 255, "exec failed: container does not exist"),
    (&["state", ""], 1, "container id cannot be empty"),
    (&["state", "."], 1, "invalid container ID format"),
    (&["state", ".."], 1, "invalid container ID format"),
    (&["state", "a/b"], 1, "invalid container ID format"),
    (&["list", "--format", "xml"], 1, "invalid format option"),
    (&["--log-format", "xml", "list"], 1, "invalid log-format: xml"),
    (&["--log", "/nonexistent/x", "list"], 1, "open /nonexistent/x: no such file or directory"),
    (&["create", "x"], 1, "runc create failed: JSON specification file"),
    (&["run", "x"], 1, "runc run failed: JSON specification file"),
];

#[test]
fn what_runc_refuses_is_refused_with_its_words_and_exit_codes() {
    let scene = Scene::new("refusals");
    for (arguments, code, words) in REFUSED_AS_BY_RUNC {
        let arguments: Vec<&str> = ["--root", "state"].iter().chain(*arguments).copied().collect();
        let output = scene.run(&scene.ours(), &arguments);
        let said = message(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {said}");
        assert!(said.starts_with(words), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        // Without root it warns of cgroups first.
        if let Some(runc) = runc().filter(|_| fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)) {
            let theirs = scene.run(&runc, &arguments);
            assert_eq!(theirs.status.code(), Some(*code), "runc {arguments:?}");
            let said = message(&theirs.stderr);
            assert!(said.starts_with(words), "runc {arguments:?}: {said}");
        }
    }
}

#[test]
fn what_is_wrong_only_in_its_wording_has_runcs_exit_code() {
    let scene = Scene::new("codes");
    for (arguments, code) in [
        (&["bogus"][..], 3),
        (&["help", "bogus"], 3),
        (&["--bogus"], 1),
        (&["state", "--bogus", "x"], 1),
        (&["create", "--preserve-fds", "x", "y"], 1),
        (&["create", "--bundle"], 1),
        (&["list", "--debug"], 1),
        (&["events", "--interval", "1", "x"], 1),
        (&["exec", "--tty=maybe", "x", "ls"], 1),
        (&["delete", "--force", "nosuch"], 0),
        (&["delete", "nosuch", "--force"], 0),
        (&["list"], 0),
        (&["list", "-q"], 0),
        (&["-debug", "list", "-format", "json"], 0),
        (&["checkpoint", "--help"], 0),
        (&["state", "--help", "x"], 0),
        (&["exec", "-h"], 0),
        (&["help", "run"], 0),
        (&["features"], 0),
        (&["--version", "x"], 0),
        (&[], 0),
    ] {
        let arguments: Vec<&str> = ["--root", "state"].iter().chain(arguments).copied().collect();
        let output = scene.run(&scene.ours(), &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(output.stderr.is_empty(), code == 0, "{arguments:?}: {}", text(&output.stderr));
        if let Some(runc) = runc() {
            assert_eq!(scene.run(&runc, &arguments).status.code(), Some(code), "runc {arguments:?}");
        }
    }
}

#[test]
fn an_empty_list_is_printed_as_runc_prints_it() {
    let scene = Scene::new("list");
    let golden = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
    for (arguments, expected) in [
        (&["--root", "state", "list"][..], golden),
        (&["--root", "state", "list", "-f", "json"], "null\n"),
        (&["--root", "state", "list", "-q"], ""),
    ] {
        assert_eq!(text(&scene.run(&scene.ours(), arguments).stdout), expected);
        if let Some(runc) = runc() {
            assert_eq!(text(&scene.run(&runc, arguments).stdout), expected, "runc");
        }
    }
}

#[test]
fn a_root_that_is_named_and_not_there_is_an_error_of_list() {
    let scene = Scene::new("root");
    let output = scene.run(&scene.ours(), &["--root", "/nonexistent/root", "list"]);
    assert_eq!(message(&output.stderr), "open /nonexistent/root: no such file or directory (ENOENT)");
    let output = scene.run(&scene.ours(), &["--root", "/etc/passwd/x", "list"]);
    assert_eq!(message(&output.stderr), "open /etc/passwd/x: not a directory (ENOTDIR)");
    for root in ["/", "//", "///", "/.", "/./", "//."] {
        let output = scene.run(&scene.ours(), &["--root", root, "list"]);
        assert_eq!(message(&output.stderr), "Option --root argument should not be set to /", "{root}");
    }
}

#[test]
fn a_failure_is_one_line_of_the_log_and_the_same_message_on_stderr() {
    let scene = Scene::new("log");
    for target in ["log.json", "file:log.json"] {
        let arguments = ["--root", "state", "--log", target, "--log-format", "json", "state", "nosuch"];
        let output = scene.run(&scene.ours(), &arguments);
        assert_eq!(text(&output.stderr), "container does not exist\n");
        let log = fs::read_to_string(scene.0.join("log.json")).unwrap();
        let line = log.strip_suffix('\n').unwrap();
        let rest = line.strip_prefix("{\"level\":\"error\",\"msg\":\"container does not exist\",\"time\":\"").unwrap();
        assert!(rest.ends_with("Z\"}") && rest.len() == 22, "{line}");
        fs::remove_file(scene.0.join("log.json")).unwrap();
    }
    let arguments = ["--root", "state", "--log", "log.txt", "state", "nosuch"];
    assert_eq!(text(&scene.run(&scene.ours(), &arguments).stderr), "container does not exist\n");
    scene.run(&scene.ours(), &arguments);
    let log = fs::read_to_string(scene.0.join("log.txt")).unwrap();
    assert_eq!(log.matches("level=error msg=\"container does not exist\"\n").count(), 2, "{log}");
}

#[test]
fn a_name_that_engines_know_answers_as_they_expect() {
    let scene = Scene::new("names");
    let version = text(&scene.run(&scene.ours(), &["--version"]).stdout);
    assert!(version.starts_with("runc version 1.4.3\n"), "{version}");
    assert_eq!(version.matches("version").count(), 1, "{version}");
    let version = text(&scene.run(&scene.0.join("crun"), &["--version"]).stdout);
    assert!(version.starts_with("crun version ") && version.contains("rundir: /run/crun\n"), "{version}");
    let help = text(&scene.run(&scene.ours(), &["--help"]).stdout);
    assert!(help.split_whitespace().any(|word| word == "/run/runc)"), "{help}");
    let ours = scene.run(Path::new(env!("CARGO_BIN_EXE_orlop")), &["--version"]);
    assert!(text(&ours.stdout).starts_with("orlop version "));
}

#[test]
fn a_user_keeps_containers_below_the_runtime_directory() {
    let scene = Scene::new("rootless");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(scene.ours()).arg("--help");
    let output = command.env("XDG_RUNTIME_DIR", "/run/user/65534").output().unwrap();
    if !output.status.success() {
        skip("setpriv cannot become another user");
        return;
    }
    assert!(text(&output.stdout).contains("/run/user/65534/runc"), "{}", text(&output.stdout));
}

#[test]
fn features_is_json_and_nothing_else() {
    let scene = Scene::new("features");
    let output = scene.run(&scene.ours(), &["features"]);
    assert!(output.stderr.is_empty());
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["ociVersionMax"], "1.3.0");
}

#[test]
fn spec_writes_a_document_once_and_into_the_bundle() {
    let scene = Scene::new("spec");
    assert!(scene.run(&scene.ours(), &["spec"]).status.success());
    let output = scene.run(&scene.ours(), &["spec"]);
    assert_eq!(
        (output.status.code(), message(&output.stderr)),
        (Some(1), "File config.json exists. Remove it first".into())
    );
    fs::create_dir(scene.0.join("b")).unwrap();
    assert!(scene.run(&scene.ours(), &["spec", "--bundle", "b", "--rootless"]).status.success());
    assert!(fs::read_to_string(scene.0.join("b/config.json")).unwrap().contains("uidMappings"));
    let printed = scene.run(&scene.ours(), &["spec", "-f", "-"]).stdout;
    assert_eq!(printed, fs::read(scene.0.join("config.json")).unwrap());
}

#[test]
fn spec_for_a_detached_container_has_no_terminal_and_a_program_that_stays() {
    let scene = Scene::new("detached");
    for form in [&[][..], &["--rootless"]] {
        let document = |more: &[&str]| -> serde_json::Value {
            let words = [&["spec", "--file", "-"], form, more].concat();
            serde_json::from_slice(&scene.run(&scene.ours(), &words).stdout).unwrap()
        };
        let (mut attached, detached) = (document(&[]), document(&["--detach"]));
        attached["process"]["terminal"] = false.into();
        attached["process"]["args"] = serde_json::json!(["sleep", "infinity"]);
        assert_eq!(attached, detached);
    }
}

#[test]
fn spec_says_to_a_user_whom_the_config_is_for() {
    let scene = Scene::new("user");
    let by_user = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(scene.ours()).args(words);
        command.output().unwrap()
    };
    let output = by_user(&["spec", "--file", "-"]);
    if !output.status.success() {
        skip("setpriv cannot become another user");
        return;
    }
    assert!(text(&output.stderr).contains("with --rootless it is for the user 65534"), "{output:?}");
    let output = by_user(&["spec", "--file", "-", "--rootless"]);
    assert!(output.stderr.is_empty() && text(&output.stdout).contains("\"hostID\": 65534"), "{output:?}");
}

/// What both documents have must be the same, but for what is named here.
#[test]
fn the_document_of_spec_differs_from_runcs_only_where_it_says_so() {
    let Some(runc) = runc() else { return skip("there is no runc to compare with") };
    for form in [&[][..], &["--rootless"]] {
        let scene = Scene::new("document");
        fs::create_dir(scene.0.join("b")).unwrap();
        assert!(scene.run(&runc, &[&["spec", "-b", "b"], form].concat()).status.success());
        let mut theirs: serde_json::Value =
            serde_json::from_slice(&fs::read(scene.0.join("b/config.json")).unwrap()).unwrap();
        let mut ours: serde_json::Value =
            serde_json::from_slice(&scene.run(&scene.ours(), &[&["spec", "-f", "-"], form].concat()).stdout).unwrap();
        for document in [&mut ours, &mut theirs] {
            let process = document["process"]["capabilities"].as_object_mut().unwrap();
            // Ambient capabilities without inheritable ones never take effect.
            process.remove("ambient");
            process.remove("inheritable");
            let top = document.as_object_mut().unwrap();
            top.remove("ociVersion");
            top.remove("hostname");
            let linux = document["linux"].as_object_mut().unwrap();
            // Both have a cgroup namespace where there is cgroup v2 alone. Ours masks what newer kernels show.
            let newer = ["/proc/interrupts", "/sys/devices/virtual/powercap"];
            linux["maskedPaths"].as_array_mut().unwrap().retain(|p| !newer.iter().any(|n| p == n));
            linux["maskedPaths"].as_array_mut().unwrap().sort_by_key(|p| p.to_string());
        }
        assert_eq!(ours, theirs);
    }
}

#[test]
fn a_state_root_that_cannot_be_read_is_an_error_and_one_that_is_not_there_is_empty() {
    let scene = Scene::new("unreadable");
    fs::write(scene.0.join("file"), "").unwrap();
    for command in [&["list"][..], &["kill", "--regex", "."], &["delete", "--regex", "."]] {
        let at = |root| scene.run(&scene.ours(), &[&["--root", root], command].concat());
        let output = at("file");
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(message(&output.stderr).contains("not a directory"), "{}", text(&output.stderr));
    }
    let output = scene.run(&scene.ours(), &["--root", "state/none", "kill", "--regex", "."]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}
