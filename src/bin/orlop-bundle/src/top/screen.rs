//! The terminal while `top` runs: the alternate screen, keys without echo, and the way back.

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The width of standard output, where it is a terminal that knows it.
pub(super) fn width() -> Option<usize> {
    size().map(|(columns, _)| columns)
}

fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// The reason why a wait ended.
pub(super) enum Event {
    /// The time is over.
    Time,
    /// The window has another size, or the process was stopped and goes on.
    Redraw,
    /// The exit code.
    End(u8),
}

/// The terminal in use; dropping it restores the modes, the cursor and the screen.
pub(super) struct Screen {
    signals: SignalFd,
    /// The modes of standard input, where it is a terminal.
    before: Option<Termios>,
}

impl Screen {
    /// Blocks the signals that end or stop the process, so that none leaves the terminal as it is now.
    pub(super) fn open() -> Result<Screen> {
        let mut set = SigSet::empty();
        for signal in
            [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGWINCH]
        {
            set.add(signal);
        }
        set.thread_block().context("block signals")?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context("signalfd")?;
        let screen = Screen { signals, before: tcgetattr(std::io::stdin()).ok() };
        screen.enter()?;
        Ok(screen)
    }

    fn enter(&self) -> Result<()> {
        if let Some(before) = &self.before {
            let mut modes = before.clone();
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            tcsetattr(std::io::stdin(), OptionalActions::Now, &modes).context("set the terminal's modes")?;
        }
        write(ENTER)
    }

    fn leave(&self) -> Result<()> {
        if let Some(before) = &self.before {
            tcsetattr(std::io::stdin(), OptionalActions::Now, before).context("restore the terminal's modes")?;
        }
        write(LEAVE)
    }

    /// Draws the lines that `lines` makes for the number of columns, as far as the window is high.
    pub(super) fn draw(&mut self, lines: impl Fn(usize) -> Vec<String>) -> Result<()> {
        let (columns, rows) = size().unwrap_or((80, 24));
        let mut lines = lines(columns);
        if lines.len() > rows {
            let hidden = lines.len() - rows.saturating_sub(1);
            lines.truncate(rows.saturating_sub(1));
            lines.push(format!("and {hidden} more").chars().take(columns).collect());
        }
        // The last line has no line break, which would scroll.
        let text: Vec<String> = lines.iter().map(|line| format!("{line}\x1b[K")).collect();
        write(&format!("\x1b[H{}\x1b[J", text.join("\r\n")))
    }

    /// Waits for a key, a signal or the end of the time.
    pub(super) fn wait(&mut self, time: Duration) -> Result<Event> {
        let stdin = std::io::stdin();
        let mut watched = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if self.before.is_some() {
            watched.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let milliseconds = i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        match poll(&mut watched, PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)) {
            Err(Errno::EINTR) => return Ok(Event::Redraw),
            other => other.context("poll")?,
        };
        let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        let (signal, key) = (is_ready(&watched[0]), watched.get(1).is_some_and(is_ready));
        if signal && let Some(event) = self.signal()? {
            return Ok(event);
        }
        if key {
            return self.key();
        }
        Ok(if signal { Event::Redraw } else { Event::Time })
    }

    fn signal(&mut self) -> Result<Option<Event>> {
        let Some(found) = self.signals.read_signal().context("read a signal")? else { return Ok(None) };
        let number = u8::try_from(found.ssi_signo).unwrap_or(0);
        Ok(Some(match Signal::try_from(i32::from(number)) {
            Ok(Signal::SIGINT) => Event::End(0),
            Ok(Signal::SIGWINCH) => Event::Redraw,
            Ok(Signal::SIGTSTP) => {
                self.leave()?;
                raise(Signal::SIGSTOP).context("stop")?;
                self.enter()?;
                Event::Redraw
            }
            _ => Event::End(128 + number),
        }))
    }

    /// The end of the terminal's input ends the command, too.
    fn key(&mut self) -> Result<Event> {
        let mut key = [0; 16];
        let count = std::io::stdin().lock().read(&mut key).context("read a key")?;
        let is_end = count == 0 || key[..count].iter().any(|key| matches!(key, b'q' | b'Q' | 3));
        Ok(if is_end { Event::End(0) } else { Event::Redraw })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone nothing can be restored.
        let _ = self.leave();
    }
}

fn write(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("write to standard output")
}
