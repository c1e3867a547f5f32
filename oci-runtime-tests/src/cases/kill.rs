//! The kill operation.

use crate::bench::prelude::*;

/// Sends a signal by the given word; the probe must have received the number.
fn arrives(t: &Trial, word: &str, number: i64) -> Result<()> {
    let c = t.bundle()?.does(&["signals"]).live()?;
    c.kill(word)?;
    let what = format!("signal {number} after kill {word}");
    c.until(&what, |seen| seen.answers.iter().any(|a| a["do"] == "signal" && a["value"] == number))?;
    Ok(())
}

cases! {
    /// Sends each by number to a probe that writes down the signals it gets.
    ["kill.signal"]
    fn signals_are_sent_by_number(t) {
        for number in [libc::SIGHUP, libc::SIGINT, libc::SIGUSR2] {
            arrives(t, &number.to_string(), number.into())?;
        }
    }

    /// The name without `SIG`.
    ["kill.signal"]
    fn a_signal_is_sent_by_its_name(t) {
        arrives(t, "USR1", libc::SIGUSR1.into())?;
    }

    /// The name with `SIG`.
    ["kill.signal"]
    fn a_signal_is_sent_by_its_full_name(t) {
        arrives(t, "SIGTERM", libc::SIGTERM.into())?;
    }

    /// A realtime signal, such as systemd as a container's init wants for its end.
    ["kill.signal"]
    fn a_realtime_signal_is_sent(t) {
        arrives(t, "37", 37)?;
    }

    /// SIGSTOP stops the program, SIGCONT lets it go on.
    ["kill.signal"]
    fn a_program_is_stopped_and_continued(t) {
        let c = t.bundle()?.does(&["signals"]).live()?;
        let state = || -> Result<char> { Ok(procfs::process::Process::new(c.pid()?)?.stat()?.state) };
        c.kill("STOP")?;
        let deadline = std::time::Instant::now() + crate::bench::container::patience();
        while state()? != 'T' {
            ensure!(std::time::Instant::now() < deadline, "the program did not stop");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        c.kill("CONT")?;
        c.until("SIGCONT", |seen| seen.answers.iter().any(|a| a["value"] == libc::SIGCONT))?;
        ensure!(state()? != 'T', "the program is still stopped");
    }

    /// SIGKILL ends a running program.
    ["kill.signal"]
    fn a_running_program_is_killed(t) {
        let c = t.bundle()?.does(&["signals"]).live()?;
        c.kill("KILL")?;
        let status = c.finish()?.status;
        ensure!(status.is_none_or(|status| status == 128 + 9), "the program ended with {status:?}");
    }

    /// SIGKILL ends the process of a created container.
    ["kill.signal"]
    fn a_created_container_is_killed(t) {
        let c = t.bundle()?.create()?;
        c.kill("KILL")?;
        c.finish()?;
        equal("status", c.status()?, "stopped")?;
    }

    /// The signal goes to the container process alone: a child of it lives on.
    ["kill.signal"]
    fn a_signal_goes_to_the_container_process_alone(t) {
        let c = t.bundle()?.does(&["forks 1", "signals"]).live()?;
        c.kill("TERM")?;
        c.until("SIGTERM", |seen| seen.answers.iter().any(|a| a["value"] == libc::SIGTERM))?;
        let children = std::fs::read_to_string(c.proc(&format!("task/{}/children", c.pid()?))?)?;
        ensure!(!children.trim().is_empty(), "the child of the program is gone");
    }

    /// `kill` without arguments.
    ["kill.no-id"]
    fn kill_without_an_id_is_an_error(t) {
        t.runtime(&["kill"])?.expect_failure("kill")?;
    }

    /// `kill` of an id that was never used.
    ["kill.not-running"]
    fn kill_of_a_container_that_does_not_exist_is_an_error(t) {
        t.runtime(&["kill", "ort-there-is-no-such-container", "KILL"])?.expect_failure("kill")?;
    }

    /// `kill` of a container whose program has ended.
    ["kill.not-running"]
    fn kill_of_a_stopped_container_is_an_error(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        c.call("kill", &["KILL"])?.expect_failure("kill")?;
        equal("status", c.status()?, "stopped")?;
    }

    /// `kill` of a container that was deleted.
    ["kill.not-running"]
    fn kill_of_a_deleted_container_is_an_error(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        c.delete()?;
        c.call("kill", &["KILL"])?.expect_failure("kill")?;
    }

    /// A word that is no signal; the program lives on.
    ["valid-values"]
    fn a_word_that_is_no_signal_is_refused(t) {
        let c = t.bundle()?.does(&["wait"]).live()?;
        c.call("kill", &["NOSUCHSIGNAL"])?.expect_failure("kill")?;
        equal("status", c.status()?, "running")?;
    }

    /// A number above all signals; the program lives on.
    ["valid-values"]
    fn a_number_that_is_no_signal_is_refused(t) {
        let c = t.bundle()?.does(&["wait"]).live()?;
        c.call("kill", &["1000"])?.expect_failure("kill")?;
        equal("status", c.status()?, "running")?;
    }
}
