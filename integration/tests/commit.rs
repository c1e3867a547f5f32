//! `--version` names the commit of the sources: from the repository, from the file of a source package, or "unknown".

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

// The part of the build script that finds it.
#[path = "../../src/init/commit.rs"]
mod commit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FIRST: &str = "0123456789abcdef0123456789abcdef01234567";
const SECOND: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// A directory of the test's own.
struct Work(PathBuf);

impl Work {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("commit-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn put(file: PathBuf, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(top()).args(words).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn a_repository_names_its_commit_however_it_is_kept() {
    let work = Work::new("repository");
    let (tree, dir) = (work.0.join("tree"), work.0.join("tree/.git"));
    put(dir.join("HEAD"), &format!("{FIRST}\n"));
    assert_eq!(commit::of(&tree).0, FIRST, "HEAD is detached");
    put(dir.join("HEAD"), "ref: refs/heads/main\n");
    assert_eq!(commit::of(&tree).0, "unknown", "the branch has no commit");
    put(dir.join("packed-refs"), &format!("{SECOND} refs/heads/other/refs/heads/main\n{FIRST} refs/heads/main\n"));
    assert_eq!(commit::of(&tree).0, FIRST, "the branch is packed");
    put(dir.join("refs/heads/main"), &format!("{SECOND}\n"));
    assert_eq!(commit::of(&tree).0, SECOND, "the branch has a file");
    let inputs = commit::of(&tree).1;
    assert_eq!(inputs, ["HEAD", "refs/heads/main", "packed-refs"].map(|name| dir.join(name)));

    let worktree = work.0.join("worktree");
    put(worktree.join(".git"), &format!("gitdir: {}\n", dir.join("worktrees/w").display()));
    put(dir.join("worktrees/w/HEAD"), "ref: refs/heads/own\n");
    put(dir.join("worktrees/w/commondir"), "../..\n");
    put(dir.join("refs/heads/own"), &format!("{FIRST}\n"));
    assert_eq!(commit::of(&worktree).0, FIRST);
}

#[test]
fn a_source_package_names_its_commit_in_whatever_repository_it_is_unpacked() {
    let work = Work::new("package");
    put(work.0.join(".git/HEAD"), SECOND);
    let tree = work.0.join("unpacked");
    put(tree.join(".commit"), "$Format:%H$\n");
    assert_eq!(commit::of(&tree), ("unknown".to_owned(), vec![tree.join(".commit")]));
    put(tree.join(".commit"), &format!("{FIRST}\n"));
    assert_eq!(commit::of(&tree).0, FIRST);
    put(tree.join(".git/HEAD"), SECOND);
    assert_eq!(commit::of(&tree).0, FIRST, "the repository of a distribution");
}

#[test]
fn a_package_of_these_sources_has_the_commit() {
    let Some(head) = git(&["rev-parse", "HEAD"]) else {
        integration::skip::skip("these sources are in no repository that git reads");
        return;
    };
    assert_eq!(commit::of(&top()).0, head);
    let script = "git -C \"$0\" archive HEAD .commit | tar --extract --to-stdout --file -";
    let output = Command::new("sh").args(["-c", script]).arg(top()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), head);
}

#[test]
fn the_program_names_a_commit_of_these_sources() {
    let program = top().join("out/orlop");
    if !program.exists() {
        integration::skip::skip("no out/orlop: `make` builds it");
        return;
    }
    let output = Command::new(program).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let commits: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("commit: ")).collect();
    assert_eq!(commits.len(), 1, "{text}");
    if git(&["rev-parse", "HEAD"]).is_some() {
        assert!(git(&["cat-file", "-e", commits[0]]).is_some(), "git has no such commit: {text}");
    } else {
        assert_eq!(commits[0], commit::of(&top()).0);
    }
}
