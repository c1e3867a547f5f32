//! `process.terminal` and what belongs to it. The suite is the receiver at `--console-socket`.

use crate::bench::console::Receiver;
use crate::bench::container::Container;
use crate::bench::prelude::*;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

/// A container with a terminal; what it writes comes out of the master.
struct Terminal<'t> {
    container: Container<'t>,
    master: OwnedFd,
}

fn create<'t>(t: &'t Trial, b: crate::bench::bundle::Bundle<'t>) -> Result<Terminal<'t>> {
    let receiver = Receiver::new(t, "console")?;
    let b = b.set("/process/terminal", true).create_arg(&["--console-socket", &receiver.path]);
    let message = std::thread::spawn(move || receiver.receive());
    let container = b.create()?;
    let message = message.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))??;
    let master = message.files.into_iter().next().context("no descriptor came over the console socket")?;
    Ok(Terminal { container, master })
}

impl Terminal<'_> {
    /// Starts the program and reads what it writes to its terminal until its end.
    fn run(self) -> Result<crate::bench::seen::Seen> {
        let mut master = File::from(self.master);
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            // The master's end is EIO when the last slave is closed.
            while let Ok(length) = master.read(&mut buffer) {
                if length == 0 {
                    break;
                }
                bytes.extend_from_slice(&buffer[..length]);
            }
            bytes
        });
        self.container.start()?;
        let status = self.container.finish()?.status;
        let bytes = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        Ok(crate::bench::seen::Seen::parse(String::from_utf8_lossy(&bytes).into_owned(), status))
    }
}

cases! {
    /// All three standard streams are terminals.
    ["process.terminal"]
    fn the_standard_streams_are_the_terminal(t) {
        let seen = create(t, t.bundle()?)?.run()?;
        same("isatty", seen.report("/terminal/standard")?, json!([true, true, true]))?;
    }

    /// /dev/tty can be opened, which needs a controlling terminal.
    ["process.terminal"]
    fn the_terminal_is_the_controlling_one(t) {
        same("controlling", create(t, t.bundle()?)?.run()?.report("/terminal/controlling")?, true)?;
    }

    /// The program leads a session of its own and is in the terminal's foreground.
    ["process.terminal"]
    fn the_program_is_in_the_foreground_of_its_terminal(t) {
        let seen = create(t, t.bundle()?)?.run()?;
        same("foreground group", seen.report("/terminal/foreground_group")?, seen.report("/group_and_session/0")?.clone())?;
    }

    /// The size in the config is that of the terminal.
    ["process.console-size"]
    fn the_terminal_has_the_size_of_the_config(t) {
        let b = t.bundle()?.set("/process/consoleSize", json!({"height": 33, "width": 99}));
        same("size", create(t, b)?.run()?.report("/terminal/size")?, json!([33, 99]))?;
    }

    /// A size without a terminal changes nothing.
    ["process.console-size.ignored"]
    fn the_console_size_is_ignored_without_a_terminal(t) {
        let b = t.bundle()?.set("/process/terminal", false).set("/process/consoleSize", json!({"height": 33, "width": 99}));
        same("isatty", b.observe()?.report("/terminal/standard/0")?, false)?;
    }

    /// A size when `terminal` is absent changes nothing.
    ["process.console-size.ignored"]
    fn the_console_size_is_ignored_when_terminal_is_unset(t) {
        let b = t.bundle()?.remove("/process/terminal").set("/process/consoleSize", json!({"height": 33, "width": 99}));
        same("isatty", b.observe()?.report("/terminal/standard/0")?, false)?;
    }

    /// /dev/console is the same device as standard input, and a mount of its own.
    ["devices.default.console"]
    fn the_console_device_is_the_terminal(t) {
        let b = t.bundle()?.does(&["report", "stat /dev/console", "stat /proc/self/fd/0"]);
        let seen = create(t, b)?.run()?;
        for part in ["major", "minor"] {
            let tty = seen.value("stat /proc/self/fd/0")?[part].clone();
            same(part, &seen.value("stat /dev/console")?[part], tty)?;
        }
        seen.mount("/dev/console")?;
    }

    /// Without a terminal there is no mount at /dev/console.
    ["devices.default.console"]
    fn there_is_no_console_device_without_a_terminal(t) {
        let seen = t.bundle()?.observe()?;
        ensure!(seen.mount("/dev/console").is_err(), "something is mounted at /dev/console");
    }

    /// `terminal: false`.
    ["process.terminal"]
    fn without_a_terminal_the_standard_streams_are_no_terminals(t) {
        let seen = t.bundle()?.set("/process/terminal", false).observe()?;
        same("isatty", seen.report("/terminal/standard")?, json!([false, false, false]))?;
    }

    /// What is written at the master can be read by the program.
    ["process.terminal"]
    fn the_program_reads_what_is_typed(t) {
        let terminal = create(t, t.bundle()?.does(&["line"]))?;
        std::io::Write::write_all(&mut File::from(terminal.master.try_clone()?), b"typed\n")?;
        equal("line", terminal.run()?.text_of("line")?, "typed")?;
    }

    /// The terminal is one of the container's own devpts: it has a name there.
    ["process.terminal"]
    fn the_terminal_has_a_name_inside(t) {
        let seen = create(t, t.bundle()?.does(&["link /proc/self/fd/0", "list /dev/pts"]))?.run()?;
        let name = seen.text_of("link /proc/self/fd/0")?;
        ensure!(name.starts_with("/dev/pts/") || name == "/dev/console", "standard input is {name}");
    }

    /// Another user than root can open its own terminal again.
    ["process.terminal", "user.uid"]
    fn the_terminal_belongs_to_the_user_of_the_program(t) {
        t.needs_root()?;
        let b = t.bundle()?.set("/process/user", json!({"uid": 1000, "gid": 1000})).does(&["stat /proc/self/fd/0"]);
        same("owner", &create(t, b)?.run()?.value("stat /proc/self/fd/0")?["uid"], 1000)?;
    }
}
