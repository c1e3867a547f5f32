//! Terminals: modes and sizes (`ioctl_tty(2)`, `termios(3)`).
#![allow(unsafe_code)]

use super::{Result, check, done, show};
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd};

/// Rows and columns of a terminal, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// Whether the file descriptor is a terminal.
pub(crate) fn is_terminal(fd: impl AsFd) -> bool {
    fd.as_fd().is_terminal()
}

/// Its size (TIOCGWINSZ).
pub(crate) fn size(fd: impl AsFd) -> Result<Size> {
    let fd = fd.as_fd();
    // SAFETY: all zeroes is a valid winsize, and the kernel writes a whole one.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        check(libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size), || format!("ioctl({}, TIOCGWINSZ)", show(fd)))?;
        Ok(Size { height: size.ws_row, width: size.ws_col })
    }
}

/// Sets its size (TIOCSWINSZ). The foreground process group gets SIGWINCH.
pub(crate) fn set_size(fd: impl AsFd, size: Size) -> Result<()> {
    let fd = fd.as_fd();
    let size = libc::winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads a live winsize.
    done(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, &size) }, || {
        format!("ioctl({}, TIOCSWINSZ, {}x{})", show(fd), size.ws_col, size.ws_row)
    })
}

/// The modes of a terminal.
#[derive(Clone, Copy)]
pub(crate) struct Modes(libc::termios);

/// Reads the modes (TCGETS).
pub(crate) fn modes(fd: impl AsFd) -> Result<Modes> {
    let fd = fd.as_fd();
    // SAFETY: all zeroes is a valid termios, and libc writes a whole one.
    unsafe {
        let mut modes: libc::termios = std::mem::zeroed();
        check(libc::tcgetattr(fd.as_raw_fd(), &mut modes), || format!("tcgetattr({})", show(fd)))?;
        Ok(Modes(modes))
    }
}

/// Sets the modes immediately (TCSETS).
pub(crate) fn set_modes(fd: impl AsFd, modes: &Modes) -> Result<()> {
    let fd = fd.as_fd();
    // SAFETY: libc reads a live termios.
    done(unsafe { libc::tcsetattr(fd.as_raw_fd(), libc::TCSANOW, &modes.0) }, || format!("tcsetattr({})", show(fd)))
}

impl Modes {
    /// Raw mode (`cfmakeraw(3)`): input is neither interpreted nor echoed. Output is still
    /// translated, since the user's terminal needs a carriage return before each line feed.
    pub(crate) fn raw(mut self) -> Modes {
        // SAFETY: libc changes a live termios.
        unsafe { libc::cfmakeraw(&mut self.0) };
        self.0.c_oflag |= libc::OPOST;
        self
    }

    /// Raw mode in which a line feed is not translated to carriage return and line feed (ONLCR
    /// cleared).
    pub(crate) fn without_carriage_returns(mut self) -> Modes {
        self.0.c_oflag &= !libc::ONLCR;
        self
    }
}
