//! File descriptors, and the links to them in /dev.

use crate::bench::prelude::*;

fn link(t: &Trial, path: &str, target: &str) -> Result<()> {
    let action = format!("link {path}");
    let seen = t.bundle()?.does(&[&action]).observe()?;
    equal(path, seen.text_of(&action)?, target)
}

cases! {
    /// The probe lists its descriptors.
    ["fds.standard-only"]
    fn the_program_has_the_three_standard_descriptors_and_no_other(t) {
        let seen = t.bundle()?.observe()?;
        let files = seen.report("/files")?.as_array().cloned().unwrap_or_default();
        let numbers: Vec<&Value> = files.iter().map(|file| &file["fd"]).collect();
        equal("descriptors", json!(numbers), json!([0, 1, 2]))?;
    }

    /// `create` is run by a shell with the descriptor 7 open; nothing asks for it to be passed on.
    ["fds.standard-only"]
    fn a_descriptor_of_the_caller_is_not_passed_on(t) {
        let seen = with_descriptor(t, &[])?;
        let files = seen.report("/files")?.as_array().cloned().unwrap_or_default();
        equal("how many", files.len(), 3)?;
    }

    /// `--preserve-fds 1` passes the descriptor 3.
    ["fds.additional"]
    fn a_descriptor_that_is_asked_for_is_passed_on(t) {
        let seen = with_descriptor(t, &["--preserve-fds", "1"])?;
        let files = seen.report("/files")?.as_array().cloned().unwrap_or_default();
        equal("descriptors", files.iter().map(|file| file["fd"].clone()).collect::<Vec<_>>(), [0, 1, 2, 3].map(|n| json!(n)))?;
    }

    /// /dev/fd
    ["dev-links"]
    fn dev_fd_leads_to_the_descriptors(t) {
        link(t, "/dev/fd", "/proc/self/fd")?;
    }

    /// /dev/stdin
    ["dev-links"]
    fn dev_stdin_leads_to_the_descriptor_0(t) {
        link(t, "/dev/stdin", "/proc/self/fd/0")?;
    }

    /// /dev/stdout
    ["dev-links"]
    fn dev_stdout_leads_to_the_descriptor_1(t) {
        link(t, "/dev/stdout", "/proc/self/fd/1")?;
    }

    /// /dev/stderr
    ["dev-links"]
    fn dev_stderr_leads_to_the_descriptor_2(t) {
        link(t, "/dev/stderr", "/proc/self/fd/2")?;
    }
}

/// Runs `create` with a file open as the descriptors 3 and 7.
fn with_descriptor(t: &Trial, more: &[&str]) -> Result<crate::bench::seen::Seen> {
    let b = t.bundle()?;
    b.write()?;
    let (dir, out) = (b.dir.display().to_string(), b.dir.join("out"));
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "exec \"$@\" 3</etc/hostname 7</etc/hostname", "sh"]).arg(&t.bench.runtime.path);
    command.args(&t.bench.runtime.options).args(["create", "--bundle", &dir]).args(more).arg(&b.id);
    command.stdin(std::process::Stdio::null());
    t.bench.runtime.finish(&mut command, &out, &b.dir.join("err"), "create")?.expect_success("create")?;
    let id = b.id.clone();
    let started = t.runtime(&["start", &id])?.expect_success("start");
    let deadline = std::time::Instant::now() + crate::bench::container::patience();
    let mut text = String::new();
    while started.is_ok() && std::time::Instant::now() < deadline && !text.ends_with('\n') {
        std::thread::sleep(std::time::Duration::from_millis(5));
        text = std::fs::read_to_string(&out)?;
    }
    t.runtime(&["delete", "--force", &id])?;
    crate::bench::cgroup::remove(&t.bench, &id);
    started?;
    Ok(crate::bench::seen::Seen::parse(text, None))
}
