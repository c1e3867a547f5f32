//! The commit of the sources, for `--version`: a part of the build script.
//!
//! The file `.commit` of a source package has it (`git archive` fills it in), else the repository
//! whose top is this folder. git itself is not asked: it refuses a folder of another user, and
//! finds the repository of a distribution around an unpacked source package.

use std::fs;
use std::path::{Path, PathBuf};

/// The commit, or "unknown", and the files that it depends on.
pub(crate) fn of(top: &Path) -> (String, Vec<PathBuf>) {
    let recorded = top.join(".commit");
    let mut inputs = vec![recorded.clone()];
    let commit = read(&recorded).filter(|id| is_id(id)).or_else(|| head(top, &mut inputs));
    inputs.retain(|file| file.exists());
    (commit.filter(|id| is_id(id)).unwrap_or_else(|| "unknown".into()), inputs)
}

/// The commit that HEAD names, itself or by a branch.
fn head(top: &Path, inputs: &mut Vec<PathBuf>) -> Option<String> {
    let mut folder = top.join(".git");
    // A worktree has a file with the folder's name.
    if let Some(text) = read(&folder) {
        folder = top.join(text.strip_prefix("gitdir: ")?);
    }
    inputs.extend([folder.join("HEAD"), folder.join("logs/HEAD")]);
    let head = read(&folder.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else { return Some(head) };
    let common = read(&folder.join("commondir")).map_or(folder.clone(), |path| folder.join(path));
    inputs.extend([common.join(branch), common.join("packed-refs")]);
    read(&common.join(branch)).or_else(|| {
        let packed = read(&common.join("packed-refs"))?;
        packed.lines().find_map(|line| Some(line.strip_suffix(branch)?.strip_suffix(' ')?.to_owned()))
    })
}

fn read(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

/// Whether the text is a SHA-1 or SHA-256 in hexadecimal form.
fn is_id(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
