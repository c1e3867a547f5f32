//! Exit codes, environment and files of each command, for the man pages and docs/commands.md.

/// One row: a name, its meaning, and the commands that it concerns; none are all.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    commands: &'static [&'static str],
}

const fn row(name: &'static str, meaning: &'static str, commands: &'static [&'static str]) -> Row {
    Row { name, meaning, commands }
}

impl Row {
    /// Whether it concerns a command; `orlop` is the program as a whole.
    pub(crate) fn is_for(&self, command: &str) -> bool {
        // A word below another one (`image-verify`) has the rows of that.
        let word = command.split('-').next().filter(|word| *word != "orlop").unwrap_or(command);
        command == "orlop" || self.commands.is_empty() || self.commands.contains(&word)
    }
}

/// The exit codes of the runtime.
pub(crate) const EXIT: [Row; 5] = [
    row("0", "it worked", &[]),
    row("1", "it failed; or the command line is wrong", &[]),
    row("3", "there is no such command", &["orlop"]),
    row("255", "`exec` failed before its process ran", &["exec"]),
    row(
        "the program's own",
        "`run`, `restore` and `exec` that wait; 128 + N when signal N ended it",
        &["run", "restore", "exec"],
    ),
];

/// The exit codes of the companion's words.
pub(crate) const EXIT_OF_COMPANION: [Row; 10] = [
    row("0", "it worked; `check` found no error, `doctor` nothing that hinders", &["orlop-bundle"]),
    row("0", "the bundle has no error", &["check"]),
    row("0", "nothing hinders containers of this user", &["doctor"]),
    row("0", "it worked", &["completion", "explain", "image", "inspect", "top"]),
    row("1", "`check`, `doctor` or `explain` found something, or there is no such container", &["orlop-bundle"]),
    row("1", "the bundle has errors", &["check"]),
    row("1", "something hinders containers of this user, or an engine cannot start them", &["doctor"]),
    row("1", "the container has drifted from its plan, or the two of `--diff` differ", &["explain"]),
    row("1", "there is no such container", &["inspect", "top"]),
    row("2", "it failed; or the command line is wrong", &[]),
];

/// The environment of the runtime.
pub(crate) const ENVIRONMENT: [Row; 6] = [
    row(
        "`DBUS_SESSION_BUS_ADDRESS`, `DBUS_SYSTEM_BUS_ADDRESS`",
        "the bus of the user's systemd and of the system's, with `--systemd-cgroup`",
        &["create", "delete", "restore", "run", "update"],
    ),
    row(
        "`LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`",
        "sockets that the program gets as descriptors from 3 on, if `LISTEN_PID` is orlop's pid (`sd_listen_fds(3)`)",
        &["create", "run", "exec"],
    ),
    row(
        "`NOTIFY_SOCKET`",
        "at `create`, the program finds a socket of its own in this variable; `start`, which needs it too, and `run` wait \
         there for `READY=1` and pass that on, detached with `MAINPID=` and a barrier (`sd_notify(3)`). A manager that is not \
         there is a warning",
        &["create", "run", "start"],
    ),
    row(
        "`PATH`",
        "where `criu`, `newuidmap` and `newgidmap` are looked for",
        &["checkpoint", "create", "restore", "run"],
    ),
    row("`USER`", "where it is `root`, uid 0 of a user namespace is not taken for an unprivileged user", &[]),
    row("`XDG_RUNTIME_DIR`", "directory of the state of unprivileged users; without it, `/run/user/UID`", &[]),
];

/// The environment of the companion's words.
pub(crate) const ENVIRONMENT_OF_COMPANION: [Row; 10] = [
    row("`NO_COLOR`", "if it is set and not empty, there are no colours", SHOW),
    row("`TERM`", "where it is `dumb` or not set, there are no colours", SHOW),
    row("`TERM`", "where it is `dumb` or not set, one table is printed, without colours", &["top"]),
    row(
        "`HOME`, `XDG_CONFIG_HOME`",
        "where the configurations of engines are looked for, as this user has them",
        &["doctor", "orlop-bundle"],
    ),
    row(
        "`REGISTRY_AUTH_FILE`, `DOCKER_CONFIG`",
        "the file of credentials for registries, instead of the usual ones, and the directory of Docker's",
        IMAGES,
    ),
    row(
        "`HTTPS_PROXY`, `NO_PROXY`",
        "the proxy for registries, and the hosts without one; also in lower case (loopback has none)",
        IMAGES,
    ),
    row("`PATH`", "where credential helpers, `newuidmap` and `newgidmap` are looked for", IMAGES),
    row("`TMPDIR`", "directory of the files that an archive is inflated to (default: `/var/tmp`)", IMAGES),
    row("`HOME`, `XDG_DATA_HOME`", "where the image store of an unprivileged user is", IMAGES),
    row("`XDG_RUNTIME_DIR`", "directory of the state of unprivileged users; without it, `/run/user/UID`", &[]),
];

/// The words for images.
const IMAGES: &[&str] = &["image", "orlop-bundle"];

/// The words that show text in colours.
const SHOW: &[&str] = &["check", "doctor", "explain", "inspect", "orlop-bundle"];

/// The files of both programs.
pub(crate) const FILES: [Row; 5] = [
    row(
        "config.json",
        "in the bundle: what the container is",
        &["check", "create", "explain", "restore", "run", "spec"],
    ),
    row("/run/orlop/ID", "state of root's containers, if --root names no other directory", &[]),
    row("$XDG_RUNTIME_DIR/orlop/ID", "state of the containers of unprivileged users", &[]),
    row(
        "checkpoint",
        "in the current directory: the images, if --image-path names no other",
        &["checkpoint", "restore"],
    ),
    row(
        "/usr/libexec/orlop/orlop-bundle",
        "the companion, if it is not beside orlop",
        &["check", "completion", "doctor", "explain", "image", "inspect", "orlop-bundle", "top"],
    ),
];

/// Commands that belong together, and other pages about their subject.
const KIN: [(&[&str], &str); 10] = [
    (&["orlop"], "orlop-bundle(8), runc(8), criu(8), namespaces(7), cgroups(7), capabilities(7)"),
    (&["orlop-bundle"], "orlop-check(8), orlop-explain(8), orlop-doctor(8), orlop-inspect(8), orlop-top(8)"),
    (&["create", "delete", "kill", "list", "run", "spec", "start", "state"], "namespaces(7), signal(7)"),
    (&["checkpoint", "restore"], "criu(8)"),
    (&["exec", "ps"], "ps(1), nsenter(1), capabilities(7)"),
    (&["pause", "resume"], "cgroups(7)"),
    (&["events", "update"], "cgroups(7)"),
    (&["check", "explain", "doctor", "features"], "namespaces(7), cgroups(7), capabilities(7), seccomp(2)"),
    (&["inspect", "top", "ps", "events", "state"], "cgroups(7)"),
    (&["completion"], "bash(1), zsh(1), fish(1)"),
];

/// The pages that the page of a command refers to.
pub(crate) fn see_also(command: &str) -> Vec<String> {
    let page = |word: &&str| format!("orlop-{word}(8)");
    let mut pages = vec!["orlop(8)".to_owned()];
    for (words, others) in KIN.iter().filter(|(words, _)| words.contains(&command)) {
        pages.extend(words.iter().filter(|word| **word != command).map(page));
        pages.extend(others.split(", ").map(str::to_owned));
    }
    pages.retain(|page| *page != format!("{command}(8)"));
    let mut seen = std::collections::HashSet::new();
    pages.retain(|page| seen.insert(page.clone()));
    pages
}
