//! A real terminal: a server of tmux of its own, with one program on it, and the screen as a person sees it.

use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a screen may take to show something.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the program, says behind its output how it ended, and keeps the terminal.
const FRAME: &str = "\"$@\"; echo \"(ended: $?)\"; exec cat";
/// The beginning of that line.
const END: &str = "(ended: ";

/// A terminal with a program on it; the server ends with this value.
#[derive(Debug)]
pub struct Screen {
    socket: String,
}

impl Screen {
    /// Whether the programs are there that a test needs; where one is missing, the test says so.
    pub fn can_run(programs: &[&str]) -> bool {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |name: &str| std::env::split_paths(&paths).any(|directory| directory.join(name).exists());
        let missing = programs.iter().find(|name| !is_there(name));
        if let Some(missing) = missing {
            crate::skip::skip(&format!("{missing} is not installed (integration/tools/prerequisites terminal)"));
        }
        missing.is_none()
    }

    /// Starts a program in a directory, with this environment and a `TERM` of tmux.
    ///
    /// # Errors
    /// tmux does not start.
    pub fn start(size: (u16, u16), directory: &Path, environment: &[(&str, &str)], words: &[&str]) -> Result<Screen> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let socket = format!("orlop-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let screen = Screen { socket };
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        let mut command = vec!["new-session", "-d", "-s", "main", "-x", &columns, "-y", &rows, "-c"];
        let directory = directory.to_str().context("the directory is not UTF-8")?;
        command.extend([directory, "--", "env", "-i", "TERM=tmux-256color", "LC_ALL=C.UTF-8"]);
        let variables: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        command.extend(variables.iter().map(String::as_str));
        command.extend(["sh", "-c", FRAME, "sh"]);
        command.extend(words);
        screen.tmux(&command)?;
        Ok(screen)
    }

    fn tmux(&self, words: &[&str]) -> Result<String> {
        let output = Command::new("tmux").args(["-u", "-f", "/dev/null", "-L", &self.socket]).args(words).output()?;
        ensure!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Types text, or keys by tmux's names (`Tab`, `C-c`).
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn keys(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys", "-t", "main"], keys].concat()).map(drop)
    }

    /// Types text as it is.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn text(&self, text: &str) -> Result<()> {
        self.keys(&["-l", text])
    }

    /// Gives the window another size.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        self.tmux(&["resize-window", "-t", "main", "-x", &columns.to_string(), "-y", &rows.to_string()]).map(drop)
    }

    /// What the window shows, to its last line with text.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn window(&self) -> Result<String> {
        Ok(self.tmux(&["capture-pane", "-p", "-t", "main"])?.trim_end().to_owned())
    }

    /// What has been shown, from the first line that has scrolled away to the last one with text.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn shown(&self) -> Result<String> {
        Ok(without_end(&self.tmux(&["capture-pane", "-p", "-t", "main", "-S", "-"])?))
    }

    /// The same with the escape sequences of its colours.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn coloured(&self) -> Result<String> {
        Ok(without_end(&self.tmux(&["capture-pane", "-p", "-e", "-t", "main", "-S", "-"])?))
    }

    /// Waits until the window shows what is expected, and gives that.
    ///
    /// # Errors
    /// It is not in time.
    pub fn wait(&self, what: &str, is_expected: impl Fn(&str) -> bool) -> Result<String> {
        let begun = Instant::now();
        loop {
            let shown = self.window()?;
            if is_expected(&shown) {
                return Ok(shown);
            }
            if begun.elapsed() > TIMEOUT {
                bail!("the terminal does not show {what}:\n{shown}");
            }
        }
    }

    /// Waits until the program has ended, and gives its exit code.
    ///
    /// # Errors
    /// It has not in time.
    pub fn end(&self) -> Result<i32> {
        let window = self.wait("the end of the program", |text| text.contains(END))?;
        let code = window.rsplit(END).next().unwrap_or_default().trim_end_matches(')');
        code.parse().with_context(|| format!("exit code {code:?}"))
    }
}

/// The text without the line behind the program's output.
fn without_end(text: &str) -> String {
    text.split(END).next().unwrap_or_default().trim_end().to_owned()
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}
