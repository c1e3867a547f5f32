//! This user: subordinate ids and the programs that map them, and a place for the state.

use super::Line;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

pub(super) fn uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn name() -> String {
    let found = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    found.map_or_else(|| uid().to_string(), |user| user.name)
}

pub(super) fn lines(is_root: bool) -> Vec<Line> {
    let mut lines = vec![state_directory(is_root)];
    if !is_root {
        lines.push(subordinate("subids.uid", "/etc/subuid"));
        lines.push(subordinate("subids.gid", "/etc/subgid"));
        lines.push(mapper("subids.newuidmap", "newuidmap"));
        lines.push(mapper("subids.newgidmap", "newgidmap"));
    }
    lines
}

/// How many ids a table gives to a user who is named by name or number.
fn granted(table: &str, name: &str, uid: u32) -> u64 {
    let rows = table.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let count: u64 = fields.nth(1)?.parse().ok()?;
        (owner == name || owner.parse() == Ok(uid)).then_some(count)
    });
    rows.sum()
}

fn subordinate(id: &str, file: &str) -> Line {
    let name = name();
    let count = granted(&fs::read_to_string(file).unwrap_or_default(), &name, uid());
    let about = format!("{count} subordinate ids for {name} in {file}");
    let remedy = format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}");
    match count {
        0 => Line::limited(id, about, "only one id can be mapped: images with several owners fail", remedy),
        1..65536 => Line::limited(id, about, "images with ids above the count fail", remedy),
        _ => Line::yes(id, about),
    }
}

/// The program in `PATH`.
pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let is_program = |file: &PathBuf| fs::metadata(file).is_ok_and(|seen| seen.is_file() && seen.mode() & 0o111 != 0);
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(is_program)
}

fn mapper(id: &str, program: &str) -> Line {
    let consequence = "subordinate ids cannot be mapped";
    let Some(file) = in_path(program) else {
        let about = format!("{program} is not in PATH");
        return Line::limited(id, about, consequence, "install the package uidmap (shadow-utils)");
    };
    let shown = file.display().to_string();
    let is_setuid = fs::metadata(&file).is_ok_and(|seen| seen.mode() & 0o4000 != 0 && seen.uid() == 0);
    if is_setuid || has_capabilities(&file) {
        return Line::yes(id, shown);
    }
    let about = format!("{shown} is neither setuid root nor has file capabilities");
    Line::limited(id, about, consequence, format!("chmod u+s {shown}"))
}

/// Distributions give the program CAP_SETUID by a file capability, which getcap(8) prints.
fn has_capabilities(file: &Path) -> bool {
    let output = std::process::Command::new("getcap").arg(file).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("cap_set"))
}

/// The directory of the state is made by `create`; here a directory is made and removed beside it.
fn state_directory(is_root: bool) -> Line {
    let id = "state.directory";
    let asked = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !is_root && !value.is_empty());
    let session = || Some(PathBuf::from(format!("/run/user/{}", uid()))).filter(|place| !is_root && place.is_dir());
    let place = asked.map(PathBuf::from).or_else(session).unwrap_or_else(|| "/run".into());
    let probe = place.join(format!("orlop-doctor-{}", std::process::id()));
    let made = fs::DirBuilder::new().mode(0o700).create(&probe).and_then(|()| fs::remove_dir(&probe));
    match made {
        Ok(()) => Line::yes(id, format!("{} can be written", place.display())),
        Err(error) => {
            let about = format!("{}: {error}", place.display());
            Line::no(id, about, "`create` and `run` fail without --root", "use `--root DIR`").hindering()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_counted_by_name_and_number() {
        let table = "root:0:1\nann:100000:65536\n1000:300000:10\nbob:200000:65536\n";
        assert_eq!(granted(table, "ann", 1000), 65546);
        assert_eq!(granted(table, "eve", 7), 0);
    }
}
