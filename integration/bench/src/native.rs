//! The programs in C: the gauge, the floor, and what runs in the containers.

use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory with everything, removed at the end.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) dir: PathBuf,
    pub(crate) rootfs: PathBuf,
}

impl Work {
    /// Makes the programs, in `programs` if it is given, and a root filesystem: `/tiny` without a libc, and busybox.
    pub(crate) fn make(programs: Option<&Path>) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("orlop-bench-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        let rootfs = dir.join("rootfs");
        let work = Self { dir, rootfs };
        let programs = programs.unwrap_or(&work.dir);
        fs::create_dir_all(programs)?;
        for name in ["gauge", "floor", "payload"] {
            if !programs.join(name).exists() {
                program(name, programs)?;
            }
            if programs != work.dir {
                fs::copy(programs.join(name), work.dir.join(name))?;
            }
        }
        let tiny = work.dir.join("payload");
        for name in ["bin", "proc", "sys", "dev", "mnt"] {
            fs::create_dir_all(work.rootfs.join(name))?;
        }
        for number in 0..crate::bundle::BINDS {
            fs::create_dir_all(work.rootfs.join(format!("mnt/{number}")))?;
            fs::create_dir_all(work.bind(number))?;
        }
        fs::copy(tiny, work.rootfs.join("tiny"))?;
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        fs::copy(busybox.context("busybox-static is not installed")?, work.rootfs.join("bin/busybox"))?;
        symlink("busybox", work.rootfs.join("bin/true"))?;
        Ok(work)
    }

    /// The directory that the `number`th mount binds.
    pub(crate) fn bind(&self, number: usize) -> PathBuf {
        self.dir.join(format!("bind/{number}"))
    }
}

/// Static, with musl where it is: glibc's own start would take longer than what is measured.
fn program(name: &str, dir: &Path) -> Result<()> {
    let (source, to) = (source(name), dir.join(name));
    if name == "payload" {
        return compile("cc", &source, &to, &["-nostdlib", "-nostartfiles", "-fno-stack-protector", "-s"]);
    }
    let machine = std::env::consts::ARCH;
    let headers = ["-idirafter", "/usr/include", "-idirafter", &format!("/usr/include/{machine}-linux-gnu")];
    compile("musl-gcc", &source, &to, &headers).or_else(|_| compile("cc", &source, &to, &[]))
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("native/{name}.c"))
}

fn compile(compiler: &str, source: &Path, to: &Path, more: &[&str]) -> Result<()> {
    let mut command = Command::new(compiler);
    command.args(["-O2", "-static"]).args(more).arg("-o").arg(to).arg(source);
    let output = command.output().with_context(|| format!("{compiler} is not installed"))?;
    if !output.status.success() {
        bail!("{compiler} {}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
