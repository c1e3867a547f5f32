//! The runtimes that are compared.

use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A runtime by its name and the path that engines are given.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub name: String,
    pub path: PathBuf,
}

/// Finds a runtime: orlop is what `ORLOP` names or this tree's `out/orlop`, others are looked up in the system's directories.
///
/// # Errors
/// There is no such program.
pub fn find(name: &str, work: &Path) -> Result<Runtime> {
    let path = match name {
        "orlop" => std::env::var_os("ORLOP")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop"), PathBuf::from),
        "crun" => crun(work)?,
        other => installed(other)?,
    };
    let path = path.canonicalize().with_context(|| format!("{}: run `make` first", path.display()))?;
    Ok(Runtime { name: name.into(), path })
}

fn installed(name: &str) -> Result<PathBuf> {
    for dir in ["/usr/local/sbin", "/usr/sbin", "/usr/bin"] {
        let path = Path::new(dir).join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    bail!("{name} is not installed")
}

/// crun refuses a machine with cgroup v1 and a unified tree beside it; it gets a view without the latter.
fn crun(work: &Path) -> Result<PathBuf> {
    let real = installed("crun")?;
    if !Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists() {
        return Ok(real);
    }
    let path = work.join("crun");
    let script = format!(
        "#!/bin/sh\nexec unshare -m --propagation slave sh -c 'umount /sys/fs/cgroup/unified; exec {} \"$@\"' crun \"$@\"\n",
        real.display()
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
