//! The terminal, and standard input, output and error.

use super::Stage;
use crate::error::{Context, Error, Result};
use crate::namespaces::recipe::User;
use crate::rootfs;
use crate::sys::{self, file, terminal};
use std::os::fd::AsRawFd;

/// Opens a terminal of the running container, for `exec`.
pub(in crate::process) fn open_console(stage: &mut Stage<'_>) -> Result<()> {
    let Some(size) = stage.plan.program.as_ref().and_then(|program| program.terminal) else { return Ok(()) };
    let root = crate::path::Root::from(file::open("/", libc::O_PATH | libc::O_DIRECTORY)?);
    let console = rootfs::Console::open(&root)?;
    give_terminal(stage, console, size)
}

/// Opens the container's own terminal; sends the master to the console socket or to the runtime.
pub(in crate::process) fn make_console(stage: &mut Stage<'_>) -> Result<()> {
    let (Some(program), Some(built)) = (&stage.plan.program, &stage.built) else { return Ok(()) };
    let Some(size) = program.terminal else { return Ok(()) };
    let console = built.console()?;
    give_terminal(stage, console, size)
}

/// Sends the master and keeps the slave.
pub(in crate::process) fn give_terminal(
    stage: &mut Stage<'_>,
    console: rootfs::Console,
    size: terminal::Size,
) -> Result<()> {
    let mut size = size;
    if let Some(shown) = stage.plan.shown_on {
        // Without ONLCR: scripts expect the program's line feeds unchanged.
        terminal::set_modes(&console.slave, &terminal::modes(&console.slave)?.without_carriage_returns())?;
        if (size.height, size.width) == (0, 0) {
            size = shown;
        }
    }
    if size.height != 0 || size.width != 0 {
        terminal::set_size(&console.slave, size).context("process.consoleSize")?;
    }
    let socket =
        stage.input.console.as_ref().ok_or_else(|| Error::internal("a terminal without anybody to show it"))?;
    let name = format!("/dev/pts/{}", console.index);
    sys::socket::send(socket, name.as_bytes(), &[console.master.as_raw_fd()])
        .context("send the terminal to the console socket")?;
    stage.terminal = Some(console.slave);
    Ok(())
}

/// Sets up standard input, output and error: the terminal or the caller's descriptors, owned by the
/// user so that the program can open them again.
pub(in crate::process) fn set_up_stdio(stage: &mut Stage<'_>) -> Result<()> {
    let Some(program) = &stage.plan.program else { return Ok(()) };
    if let Some(slave) = stage.terminal.take() {
        for number in 0..3 {
            file::duplicate_to(&slave, number, false)?;
        }
    }
    if program.uid == 0 && stage.plan.recipe.user == User::Stays {
        return Ok(());
    }
    for fd in file::standard() {
        give_to_user(fd, program.uid)?;
    }
    Ok(())
}

/// Changes the owner of a descriptor passed to the container, but not of a device such as
/// /dev/null, which all users share.
fn give_to_user(fd: std::os::fd::BorrowedFd<'_>, uid: u32) -> Result<()> {
    let stat = sys::fs::stat(fd)?;
    let is_null = stat.kind() == libc::S_IFCHR && stat.rdev == sys::fs::device_number(1, 3);
    if is_null || stat.uid == uid {
        return Ok(());
    }
    match sys::fs::chown(fd, uid, u32::MAX) {
        // The caller's file may be on a read-only or foreign filesystem, or the caller may lack the
        // right to chown it. The program works without.
        Err(e) if [libc::EINVAL, libc::EPERM, libc::EROFS].contains(&e.errno().0) => Ok(()),
        other => Ok(other?),
    }
}
