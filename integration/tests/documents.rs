//! The documents: each page is linked from the index, each link leads to a file and a heading, each shell block of the
//! README, the tutorial and the page on rootless containers is run or says why not, each environment variable is in a table.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The documents of a folder.
fn pages(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(top().join(folder)).unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The targets of a page's links, without those to other hosts.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with("http")).collect()
}

/// The names by which links lead to the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |c: char| c.is_alphanumeric() || "-_ ".contains(c);
    let name = |line: &str| line.trim_start_matches('#').trim().to_lowercase().chars().filter(|c| kept(*c)).collect();
    headings
        .map(|line| {
            let name: String = name(line);
            name.replace(' ', "-")
        })
        .collect()
}

#[test]
fn the_index_has_a_link_to_each_page() {
    let index = read(&top().join("docs/README.md"));
    let linked: BTreeSet<_> = links(&index).into_iter().map(|target| target.split('#').next().unwrap()).collect();
    for page in pages("docs") {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || linked.contains(name), "docs/README.md has no link to {name}");
    }
    assert!(links(&read(&top().join("README.md"))).contains(&"docs/README.md"));
}

#[test]
fn each_link_leads_to_a_file_and_a_heading() {
    for page in [".", "docs", "oci-runtime-tests"].into_iter().flat_map(pages) {
        let text = read(&page);
        for target in links(&text) {
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, name)| (file, Some(name)));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: {target} is not there", page.display());
            if let Some(name) = anchor {
                assert!(anchors(&read(&path)).contains(name), "{}: {target}: no such heading", page.display());
            }
        }
    }
}

/// A shell block, and the reason for which it is not run.
struct Block {
    text: String,
    reason: Option<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = read(&top().join(page));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.iter().all(|line| !line.starts_with("    ")), "{page}: a block is fenced, with its language");
    let begins = (0..lines.len()).filter(|at| lines[*at] == "```sh");
    let block = |at: usize| {
        let body = lines[at + 1..].iter().take_while(|line| **line != "```");
        let mark = lines[at - 1].strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
        Block { text: body.fold(String::new(), |text, line| text + line + "\n"), reason: mark.map(str::to_owned) }
    };
    begins.map(block).collect()
}

/// A directory in which the blocks run: it has both programs, and Podman's storage and state.
struct Place(PathBuf);

impl Place {
    fn new(page: &str) -> Option<Place> {
        if !integration::skip::is_root() {
            return None;
        }
        // `BIN` names another directory.
        let bin = std::env::var_os("BIN").map_or_else(|| top().join("out"), PathBuf::from);
        let (runtime, companion) = (bin.join("orlop"), bin.join("orlop-bundle"));
        if !runtime.exists() || !companion.exists() {
            integration::skip::skip("no out/orlop or out/orlop-bundle: `make` builds them");
            return None;
        }
        let name = page.replace(['/', '.'], "-");
        let place = Place(std::env::temp_dir().join(format!("documents-{name}-{}", std::process::id())));
        for folder in ["bin", "home", "run", "tmp"] {
            fs::create_dir_all(place.0.join(folder)).unwrap();
        }
        for program in [runtime, companion] {
            fs::copy(&program, place.0.join("bin").join(program.file_name().unwrap())).unwrap();
        }
        place.write_podmans_files();
        Some(place)
    }

    fn write_podmans_files(&self) {
        let dir = self.0.display();
        let limits = "default_ulimits = [\"nofile=1024:20000\", \"nproc=4096:8192\"]\nlog_driver = \"k8s-file\"";
        let engine = format!("cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ntmp_dir = \"{dir}/tmp\"");
        let containers = format!("[containers]\nnetns = \"none\"\n{limits}\n[engine]\n{engine}\n");
        let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{dir}/storage\"\nrunroot = \"{dir}/run\"\n");
        fs::write(self.0.join("containers.conf"), containers).unwrap();
        fs::write(self.0.join("storage.conf"), storage).unwrap();
    }

    /// Runs a script in a mount namespace with a /run of its own, as a user.
    fn run(&self, script: &str, user: u32) {
        let containers = "for id in $(orlop list --quiet); do orlop delete --force $id; done";
        // Podman keeps the directories above its containers' cgroups; those in use stay.
        let cgroups = "find /sys/fs/cgroup -depth -type d -path \"*/libpod_parent*\" -exec rmdir {} + 2> /dev/null";
        let cleans = format!("trap '{containers}; {cgroups} || true' EXIT");
        let become_user = match user {
            0 => "exec".to_owned(),
            _ => format!("exec setpriv --reuid {user} --regid {user} --clear-groups --inh-caps=-all"),
        };
        let enter = format!("mount -t tmpfs tmpfs /run && {become_user} sh -eux -c \"$0\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &enter, &format!("{cleans}\n{script}")]).current_dir(&self.0).env_clear();
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.0.join("bin").display()));
        command.env("HOME", self.0.join("home")).env("CONTAINERS_CONF", self.0.join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.0.join("storage.conf"));
        if user != 0 {
            command.env("XDG_RUNTIME_DIR", self.0.join("run"));
            fs::set_permissions(&self.0, fs::Permissions::from_mode(0o755)).unwrap();
            for folder in ["", "home", "run", "tmp"] {
                chown(self.0.join(folder), Some(user), Some(user)).unwrap();
            }
        }
        let log = fs::File::create(self.0.join("log")).unwrap();
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let status = command.status().unwrap();
        assert!(status.success(), "{status}: {}", read(&self.0.join("log")));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One page after the other: they use the same names of containers.
#[test]
fn each_shell_block_runs_or_says_why_not() {
    for (page, user) in [("README.md", 0), ("docs/tutorial.md", 0), ("docs/rootless.md", 65534)] {
        let all = blocks(page);
        assert!(all.iter().any(|block| block.reason.is_none()), "{page} has no block that runs");
        let script: String = all.into_iter().filter(|block| block.reason.is_none()).map(|block| block.text).collect();
        let Some(place) = Place::new(page) else { return };
        place.run(&script, user);
    }
}

/// `SOAK` builds it, with its dependencies.
#[test]
fn the_suite_is_built_in_its_own_folder_outside_this_tree() {
    let manifest = read(&top().join("oci-runtime-tests/Cargo.toml"));
    assert!(!manifest.contains("workspace = true"), "the suite inherits from the workspace");
    let inherited = read(&top().join("Cargo.toml"));
    for field in ["version", "edition", "rust-version", "license"] {
        let line = |text: &str| text.lines().find(|line| line.starts_with(&format!("{field} = "))).unwrap().to_owned();
        assert_eq!(line(&manifest), line(&inherited), "the suite's and the workspace's");
    }
    if std::env::var_os("SOAK").is_none() {
        return;
    }
    let dir = std::env::temp_dir().join(format!("documents-suite-{}", std::process::id()));
    let script = "cp -r oci-runtime-tests \"$0\" && cp Cargo.lock \"$0\" && cd \"$0\" && cargo run -q -- list";
    let output = Command::new("sh").args(["-c", script]).arg(&dir).current_dir(top()).output().unwrap();
    let _ = fs::remove_dir_all(&dir);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.iter().filter(|byte| **byte == b'\n').count() > 900);
}

/// Variables that are no setting: the companion gives them to itself, or a test to a development build.
const INTERNAL: [&str; 4] = ["ORLOP_IMAGE_NAMESPACE", "ORLOP_IMAGE_PARENT", "ORLOP_IMAGE_PREPARE", "ORLOP_PANIC_AT"];

/// Variables of the build that a program's source reads.
const BUILD: [&str; 1] = ["ORLOP_LIBEXEC"];

/// The variables that a source file reads: the literal argument of `std::env`'s functions or of a closure for them.
fn variables(text: &str) -> Vec<String> {
    let functions = ["env::var(", "env::var_os(", "option_env!(", "variable(", "absolute("];
    let calls = functions.into_iter().flat_map(|function| text.split(function).skip(1));
    let literal = |rest: &str| rest.strip_prefix('"')?.split('"').next().map(str::to_owned);
    let is_name = |name: &String| name.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
    calls.filter_map(literal).filter(is_name).collect()
}

fn read_by(folder: &Path, found: &mut BTreeSet<String>) {
    for path in fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            read_by(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
            && !path.ends_with("build.rs")
        {
            found.extend(variables(&read(&path)));
        }
    }
}

/// The names in the first column of a page's table of variables.
fn documented(page: &str, heading: &str) -> BTreeSet<String> {
    let text = read(&top().join(page));
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("{page} has no {heading}"));
    let rows = section.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| row.split(" | ").next().unwrap().split(", ").map(|name| name.replace('`', ""))).collect()
}

#[test]
fn each_environment_variable_that_is_read_is_in_a_table_and_no_other() {
    let (mut runtimes, mut companions) = (BTreeSet::new(), BTreeSet::new());
    read_by(&top().join("src/bin/orlop-bundle"), &mut companions);
    for entry in fs::read_dir(top().join("src")).unwrap().flatten().map(|entry| entry.path()) {
        match entry.extension() {
            Some(_) => runtimes.extend(variables(&read(&entry))),
            None if !entry.ends_with("bin") => read_by(&entry, &mut runtimes),
            None => {}
        }
    }
    let tables =
        [("docs/commands.md", "The environment", &runtimes), ("docs/companion.md", "Environment", &companions)];
    for (page, heading, read_names) in tables {
        let known: BTreeSet<_> = documented(page, heading).into_iter().chain(BUILD.map(str::to_owned)).collect();
        let unknown: Vec<_> = read_names.iter().filter(|name| !INTERNAL.contains(&name.as_str())).collect();
        assert!(unknown.iter().all(|name| known.contains(*name)), "{page} lacks one of {unknown:?}");
        for name in documented(page, heading) {
            let is_read = read_names.contains(&name) || runtimes.contains(&name) || name.starts_with("LISTEN_");
            assert!(is_read, "{page}: {name} is read nowhere");
        }
    }
    let build = documented("docs/releases.md", "Variables of the build");
    assert!(BUILD.iter().all(|name| build.contains(*name)), "{build:?}");
}
