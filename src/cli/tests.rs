//! Command lines against the requests that they become.

use super::parse::{self, Invocation};
use super::table::{Command, Name};
use crate::container::request::{ExecProcess, ResourceSource, Signal, User};

/// Parses the arguments behind the program's name.
fn line(arguments: &str) -> crate::error::Result<Invocation> {
    let mut parser = lexopt::Parser::from_args(arguments.split_whitespace());
    let (_, word) = parse::globals(&mut parser);
    let word = word?.unwrap_or_default();
    let line = parse::command(&mut parser, Command::find(&word.to_string_lossy()).ok_or(parse::no_command(&word))?)?;
    parse::count(&line, "orlop")?;
    Ok(line)
}

fn refusal(arguments: &str) -> String {
    match line(arguments) {
        Ok(line) => panic!("{arguments}: {line:?}"),
        Err(error) => error.to_string(),
    }
}

fn operands(line: &Invocation) -> Vec<&str> {
    line.operands.iter().map(|o| o.to_str().unwrap()).collect()
}

#[test]
fn engines_are_understood_as_they_call() {
    for arguments in [
        "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json create --bundle /b --pid-file /b/init.pid abc",
        "--root /r --log /l --log-format json --systemd-cgroup exec --process /tmp/p --console-socket /s --detach --pid-file /b/1.pid abc",
        "--root /r kill --all abc 9",
        "--systemd-cgroup --log-format=json --log /l --cgroup-manager disabled create --bundle /b --pid-file /p --no-pivot --no-new-keyring --preserve-fds 3 --console-socket /s abc",
        "restore --bundle /b --pid-file /p --detach --image-path /i --work-path /b --tcp-established --tcp-close --file-locks --lsm-mount-context=x --lsm-profile=selinux:y abc",
        "exec --pid-file /p --process /f --detach --tty --preserve-fds 1 abc",
        "--root=/r --systemd-cgroup kill -a abc 15",
        "update --resources=- abc",
        "update --resources - abc",
        "--rootless=true ps --format json abc",
        "checkpoint --image-path /i --work-path /w --parent-path ../p --tcp-established --ext-unix-sk --shell-job --file-locks --manage-cgroups-mode soft --empty-ns network --leave-running abc",
        "--criu /usr/sbin/criu delete --force abc",
    ] {
        assert_eq!(operands(&line(arguments).unwrap())[0], "abc", "{arguments}");
    }
}

#[test]
fn flags_of_a_command_may_follow_the_id() {
    assert!(line("delete x --force").unwrap().delete(line("state x").unwrap().id().unwrap()).force);
    assert!(line("run x -d --bundle=/b").unwrap().run().unwrap().detach);
}

#[test]
fn what_follows_the_id_of_exec_and_ps_belongs_to_the_program() {
    let exec = line("exec -t x ls --color -l --help -- y").unwrap();
    assert_eq!(operands(&exec), ["x", "ls", "--color", "-l", "--help", "--", "y"]);
    assert_eq!(line("ps x -o pid -f").unwrap().ps().unwrap().args, ["-o", "pid", "-f"]);
}

#[test]
fn two_dashes_end_flags_and_are_no_program() {
    assert_eq!(line("state -- -x").unwrap().id().unwrap().as_str(), "-x");
    for arguments in ["exec x -- ls -l", "exec -- x ls -l"] {
        let ExecProcess::Changes(changes) = line(arguments).unwrap().exec().unwrap().process else { panic!() };
        assert_eq!(changes.args, ["ls", "-l"], "{arguments}");
    }
}

#[test]
fn letters_may_be_joined_and_long_names_may_have_one_dash() {
    let request = line("exec -dtu 1:2 -eA=1 x ls").unwrap().exec().unwrap();
    let ExecProcess::Changes(changes) = request.process else { panic!() };
    assert!(request.detach && changes.tty);
    assert_eq!((changes.user, changes.env), (Some(User { uid: 1, gid: Some(2) }), vec!["A=1".to_owned()]));
    assert_eq!(line("create -bundle /b x").unwrap().create().unwrap().bundle.to_str(), Some("/b"));
    assert_eq!(line("create -bundle=/b x").unwrap().create().unwrap().bundle.to_str(), Some("/b"));
    assert_eq!(line("create -b=/b x").unwrap().create().unwrap().bundle.to_str(), Some("/b"));
    assert!(!line("exec -d=false x ls").unwrap().exec().unwrap().detach);
}

#[test]
fn lists_are_not_split_at_commas_and_the_last_of_other_flags_counts() {
    let request =
        line("exec -e A=1,B=2 --env C=3 --cwd /a --cwd /b -c CAP_KILL,CAP_CHOWN x ls").unwrap().exec().unwrap();
    let ExecProcess::Changes(changes) = request.process else { panic!() };
    assert_eq!(changes.env, ["A=1,B=2", "C=3"]);
    assert_eq!(changes.cwd.as_deref(), Some("/b"));
    assert_eq!(changes.capabilities, ["CAP_KILL,CAP_CHOWN"]);
}

#[test]
fn a_switch_can_be_off_on_or_not_given() {
    for (flag, expected) in [("", None), ("--no-new-privs", Some(true)), ("--no-new-privs=false", Some(false))] {
        let request = line(&format!("exec {flag} x ls")).unwrap().exec().unwrap();
        let ExecProcess::Changes(changes) = request.process else { panic!() };
        assert_eq!(changes.no_new_privs, expected);
    }
}

#[test]
fn kill_takes_its_flags_anywhere_and_term_by_default() {
    assert_eq!(line("kill x").unwrap().signal().unwrap(), Signal::TERM);
    for arguments in ["kill -a x 9", "kill x -a 9", "kill x 9 --all", "kill x --all KILL"] {
        let line = line(arguments).unwrap();
        assert!(line.kill(line.id().unwrap(), Signal::KILL).all, "{arguments}");
        assert_eq!(line.signal().unwrap(), Signal::KILL, "{arguments}");
    }
    let error = line("kill x -9").unwrap().signal().unwrap_err();
    let hint = "a number from 0 to 64, or a name such as TERM, KILL or RTMIN+3";
    assert_eq!(error.to_string(), format!("unknown signal \"-9\" (hint: {hint})"));
    let error = line("kill x sigkil").unwrap().signal().unwrap_err();
    assert_eq!(error.to_string(), "unknown signal \"sigkil\" (hint: did you mean KILL?)");
}

#[test]
fn update_reads_stdin_a_file_or_flags() {
    assert_eq!(line("update -r - x").unwrap().update().unwrap().resources, ResourceSource::Stdin);
    assert_eq!(line("update -r /f x").unwrap().update().unwrap().resources, ResourceSource::File("/f".into()));
    let request =
        line("update --memory -1 --cpu-quota=-1 --memory-swap 1.5g --pids-limit 7 x").unwrap().update().unwrap();
    let expected =
        serde_json::json!({"cpu": {"quota": -1}, "memory": {"limit": -1, "swap": 1610612736}, "pids": {"limit": 7}});
    assert_eq!(as_json(&request.resources), expected);
    assert_eq!(line("update x").unwrap().update().unwrap().resources, ResourceSource::Json("{}".into()));
    let request = line("update -r /f --mem-bw-schema MB:0=1 x").unwrap().update().unwrap();
    assert_eq!(request.schemata, [""; 0]);
    let request = line("update --mem-bw-schema MB:0=1 --l3-cache-schema L3:0=f x").unwrap().update().unwrap();
    assert_eq!(request.schemata, ["L3:0=f", "MB:0=1"]);
}

/// The resources of flags, as they are read.
fn as_json(source: &ResourceSource) -> serde_json::Value {
    let ResourceSource::Json(text) = source else { panic!("{source:?}") };
    crate::json::tree::Tree::tree(&crate::config::parse_resources(text).unwrap())
}

#[test]
fn every_limit_of_update_is_a_field_of_the_resources() {
    let update = crate::cli::table::Command::find("update").unwrap();
    let others = ["resources", "l3-cache-schema", "mem-bw-schema"];
    for flag in update.flags {
        assert_eq!(flag.resource.is_empty(), others.contains(&flag.long), "{}", flag.long);
        let Some((object, field)) = flag.resource.split_once('.') else { continue };
        let value =
            if flag.value == crate::cli::table::NUMBERS { serde_json::json!("0-1") } else { serde_json::json!(100) };
        let json = serde_json::json!({ object: { field: value } });
        let given = json[object][field].as_str().map_or("100".into(), str::to_owned);
        let request = line(&format!("update --{} {given} x", flag.long)).unwrap().update().unwrap();
        // A field that is not known would be passed over.
        assert_eq!(as_json(&request.resources), json, "{}", flag.long);
    }
}

#[test]
fn numbers_out_of_range_are_refused_and_do_not_wrap() {
    for (arguments, problem) in [
        ("--blkio-weight 70000", "invalid value for blkio-weight"),
        ("--cpu-share -1", "invalid value for cpu-share"),
        ("--cpu-quota 99999999999999999999", "invalid value for cpu-quota"),
        ("--memory 10q", "invalid value for memory: invalid size: '10q'"),
    ] {
        let error = line(&format!("update {arguments} x")).unwrap().update().unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}");
    }
    assert!(line("create --preserve-fds=-1 x").unwrap().create().is_err());
}

#[test]
fn a_wrong_command_line_is_refused_with_what_was_probably_meant() {
    for (arguments, problem) in [
        ("exce x", "no such command 'exce' (hint: did you mean exec?)"),
        ("create --bundel /b x", "flag provided but not defined: --bundel (hint: did you mean --bundle?)"),
        ("create --bundle", "flag needs an argument: --bundle (hint: see create --help)"),
        ("create -b", "flag needs an argument: -b (hint: see create --help)"),
        ("list --debug", "flag provided but not defined: --debug (hint: --debug is global: it stands before list)"),
        ("state", "orlop: \"state\" requires exactly 1 argument(s) (hint: see state --help)"),
        ("kill", "orlop: \"kill\" requires a minimum of 1 argument(s) (hint: see kill --help)"),
        ("kill a 9 9", "orlop: \"kill\" requires a maximum of 2 argument(s) (hint: see kill --help)"),
        ("features x", "orlop: \"features\" requires exactly 0 argument(s) (hint: see features --help)"),
    ] {
        assert_eq!(refusal(arguments), problem);
    }
    assert!(refusal("create --preserve-fds x y").starts_with("invalid value \"x\" for flag --preserve-fds"));
    assert!(refusal("exec --tty=maybe x ls").starts_with("invalid boolean value \"maybe\" for flag --tty"));
    assert!(refusal("--cgroup-manager=none list").contains("cgroupfs, systemd, disabled"));
}

/// A request asks for flags by name: each name must be one of the command's, or the flag would be ignored in silence.
#[test]
fn every_flag_of_every_command_reaches_its_request() {
    let source = include_str!("requests.rs");
    for flag in Command::all().flat_map(|c| c.flags) {
        // It is read where ids are looked up; limits are read by their field.
        let elsewhere = flag.long == "regex" || !flag.resource.is_empty();
        assert!(elsewhere || source.contains(&format!("\"{}\"", flag.long)), "--{} is read by nobody", flag.long);
    }
    assert!(Command::all().any(|c| c.name == Name::Run));
}
