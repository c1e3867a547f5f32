//! The user's program: user, arguments, environment, working directory (config.md, "Process").

use super::attributes::{self, Attributes};
use super::capability::{self, Sets};
use crate::config::{Linux, Process};
use crate::cpulist;
use crate::error::{Error, Result};
use crate::sys::terminal::Size;
use crate::text;
use std::borrow::Cow;
use std::ffi::CString;

/// The checked `process`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// The initial size of the terminal, if there is one.
    pub terminal: Option<Size>,
    /// Arguments, the program's name first; never empty.
    pub args: Vec<CString>,
    /// The environment without duplicates. `HOME` is added once the container's /etc/passwd can be
    /// read.
    pub env: Vec<String>,
    /// The working directory, an absolute path in the container.
    pub cwd: String,
    /// As the container's user namespace numbers it.
    pub uid: u32,
    /// As the container's user namespace numbers it.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Keep the caller's groups instead.
    pub keep_groups: bool,
    /// The mask of file modes, if it is to be set.
    pub umask: Option<u32>,
    /// The capability sets.
    pub capabilities: Sets,
    /// no_new_privs.
    pub no_new_privs: bool,
    /// The profile for AppArmor.
    pub apparmor: Option<String>,
    /// The label for SELinux.
    pub selinux: Option<String>,
    /// The attributes that are set by pid.
    pub attributes: Attributes,
    /// process.execCPUAffinity: the CPUs of an `exec` before and after it has joined the cgroups, as bits of 64 a word.
    pub exec_affinity: [Option<Vec<u64>>; 2],
}

impl Program {
    /// Checks a `process`; `field` is its JSON path (`process`), for the errors.
    pub(crate) fn parse(field: &str, written: &Process<'_>, linux: Option<&Linux<'_>>) -> Result<Program> {
        let problem = |name: &str, text: &str| Err(Error::config(format_args!("{field}.{name}"), text));
        let args = c_strings(&format!("{field}.args"), written.args.as_deref().unwrap_or_default())?;
        if args.first().is_none_or(|name| name.is_empty()) {
            return problem("args", "args must not be empty");
        }
        let cwd = written.cwd.as_deref().unwrap_or_default();
        if cwd.is_empty() {
            return problem("cwd", "Cwd property must not be empty");
        }
        if !cwd.starts_with('/') {
            return problem("cwd", "Cwd must be an absolute path");
        }
        if cwd.contains('\0') {
            return problem("cwd", "holds a NUL byte");
        }
        let user = written.user.clone().unwrap_or_default();
        if user.umask.is_some_and(|mask| mask > 0o777) {
            return problem("user.umask", "is not from 0 to 0777");
        }
        let last = capability::last_known();
        let written_sets = written.capabilities.clone().unwrap_or_default();
        Ok(Program {
            terminal: written.terminal.unwrap_or(false).then(|| size(written)).transpose()?,
            args,
            env: environment(&format!("{field}.env"), written.env.as_deref().unwrap_or_default())?,
            cwd: cwd.into(),
            uid: id(&format!("{field}.user.uid"), user.uid)?,
            gid: id(&format!("{field}.user.gid"), user.gid)?,
            groups: groups(&format!("{field}.user.additionalGids"), user.additional_gids.unwrap_or_default())?,
            keep_groups: false,
            umask: user.umask,
            capabilities: Sets::parse(&format!("{field}.capabilities"), &written_sets, last)?,
            no_new_privs: written.no_new_privileges.unwrap_or(false),
            apparmor: label(&format!("{field}.apparmorProfile"), &written.apparmor_profile)?,
            selinux: label(&format!("{field}.selinuxLabel"), &written.selinux_label)?,
            attributes: Attributes::parse(field, written, linux)?,
            exec_affinity: exec_affinity(field, written)?,
        })
    }

    /// Removes the capabilities that the runtime does not hold and cannot grant, with a warning
    /// (config.md, "Linux Process"). Not for a program in a user namespace of its own, where it has
    /// them all.
    pub(crate) fn limit_capabilities(&mut self) -> Result<()> {
        let limited = self.capabilities.within(crate::sys::credentials::capabilities()?.permitted);
        if limited != self.capabilities {
            let lost = capability::names(self.capabilities.permitted & !limited.permitted);
            crate::log::warning(format!("process.capabilities: the runtime cannot grant: [{}]", lost.join(" ")));
            self.capabilities = limited;
        }
        Ok(())
    }

    /// The program's name as the config has it.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        self.args.first().map_or(Cow::Borrowed(""), |name| name.to_string_lossy())
    }

    /// The paths to try: its own path, or its name in each directory of `PATH`.
    pub(crate) fn candidates(&self) -> Vec<Vec<u8>> {
        let Some(name) = self.args.first().map(|name| name.as_bytes()) else { return Vec::new() };
        if name.contains(&b'/') {
            return vec![name.to_vec()];
        }
        let path = self.env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
        let directories = path.split(':').filter(|_| !path.is_empty());
        let join =
            |directory: &str| [if directory.is_empty() { "." } else { directory }.as_bytes(), b"/", name].concat();
        directories.map(join).collect()
    }
}

/// The most groups that a process may have (NGROUPS_MAX).
const MOST_GROUPS: usize = 65_536;

fn groups(field: &str, groups: Vec<u32>) -> Result<Vec<u32>> {
    if let Some(n) = groups.iter().position(|group| *group == u32::MAX) {
        return id(&format!("{field}[{n}]"), Some(u32::MAX)).map(|_| Vec::new());
    }
    let groups = text::without_doubles(groups);
    match groups.len() {
        0..=MOST_GROUPS => Ok(groups),
        many => Err(Error::config(field, format_args!("{many} groups are more than the kernel's {MOST_GROUPS}"))),
    }
}

/// Checked by `create` too: otherwise each later `exec` would fail.
fn exec_affinity(field: &str, written: &Process<'_>) -> Result<[Option<Vec<u64>>; 2]> {
    const HIGHEST_CPU: u32 = 8191;
    let Some(asked) = &written.exec_cpu_affinity else { return Ok([None, None]) };
    let check = |list: &Option<Cow<'_, str>>, name: &str| {
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else { return Ok(None) };
        let field = format!("{field}.execCPUAffinity.{name}");
        let mask = attributes::bits(&field, list, HIGHEST_CPU)?;
        if mask.is_empty() {
            return Err(Error::config(field, format_args!("{list:?} names no CPU")));
        }
        refuse_unknown(&field, list, &mask)?;
        Ok(Some(mask))
    };
    Ok([check(&asked.initial, "initial")?, check(&asked.final_, "final")?])
}

/// Refuses a list of CPUs none of which this machine can have.
fn refuse_unknown(field: &str, list: &str, mask: &[u64]) -> Result<()> {
    let Ok(possible) = std::fs::read_to_string("/sys/devices/system/cpu/possible") else { return Ok(()) };
    let possible = possible.trim();
    let Some(known) = cpulist::parse(possible, u32::MAX) else { return Ok(()) };
    if known.iter().zip(mask).all(|(known, asked)| known & asked == 0) {
        return Err(Error::config(field, format_args!("{list:?} names no CPU of this machine, which has {possible}")));
    }
    Ok(())
}

fn size(written: &Process<'_>) -> Result<Size> {
    let asked = written.console_size.clone().unwrap_or_default();
    let side = |name: &str, value: Option<u64>| {
        u16::try_from(value.unwrap_or(0))
            .map_err(|_| Error::config(format_args!("process.consoleSize.{name}"), "is above 65535"))
    };
    Ok(Size { height: side("height", asked.height)?, width: side("width", asked.width)? })
}

fn id(field: &str, id: Option<u32>) -> Result<u32> {
    match id.unwrap_or(0) {
        u32::MAX => Err(Error::config(field, "4294967295 is no id: the kernel takes it for \"unchanged\"")),
        id => Ok(id),
    }
}

fn label(field: &str, label: &Option<Cow<'_, str>>) -> Result<Option<String>> {
    match label.as_deref().filter(|label| !label.is_empty()) {
        Some(label) if label.contains(['\0', '\n']) => Err(Error::config(field, "holds a NUL byte or a line break")),
        label => Ok(label.map(str::to_owned)),
    }
}

fn c_strings(field: &str, texts: &[Cow<'_, str>]) -> Result<Vec<CString>> {
    let c_string = |(n, text): (usize, &Cow<'_, str>)| {
        CString::new(text.as_bytes()).map_err(|_| Error::config(format_args!("{field}[{n}]"), "holds a NUL byte"))
    };
    texts.iter().enumerate().map(c_string).collect()
}

/// `NAME=VALUE` each; for equal names the last value counts, as in a shell.
fn environment(field: &str, texts: &[Cow<'_, str>]) -> Result<Vec<String>> {
    let mut names = Vec::with_capacity(texts.len());
    for (n, text) in texts.iter().enumerate() {
        let problem = |problem: &str| Err(Error::config(format_args!("{field}[{n}]"), problem));
        if text.contains('\0') {
            return problem("holds a NUL byte");
        }
        let Some((name, _)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return problem("invalid environment variable: it has no NAME=");
        };
        names.push(name);
    }
    let first = text::first_of_equal(&names);
    let mut list: Vec<String> = Vec::with_capacity(texts.len() + 1);
    let mut places = vec![0; texts.len()];
    for (n, text) in texts.iter().enumerate() {
        if first[n] == n {
            places[n] = list.len();
            list.push(text.clone().into_owned());
        } else {
            list[places[first[n]]].replace_range(.., text);
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Program> {
        let json = format!(r#"{{"process":{json}}}"#);
        let spec = crate::config::parse(json.as_bytes()).unwrap();
        Program::parse("process", &spec.process.unwrap(), None)
    }

    #[test]
    fn every_wrong_thing_about_the_process_names_its_field() {
        for (json, text) in [
            (r#"{"cwd":"/"}"#, "process.args: args must not be empty"),
            (r#"{"cwd":"/","args":[""]}"#, "process.args: args must not be empty"),
            (r#"{"cwd":"/","args":["a","\u0000"]}"#, "process.args[1]: holds a NUL byte"),
            (r#"{"args":["x"]}"#, "process.cwd: Cwd property must not be empty"),
            (r#"{"cwd":"x","args":["x"]}"#, "process.cwd: Cwd must be an absolute path"),
            (
                r#"{"cwd":"/","args":["x"],"env":["A"]}"#,
                "process.env[0]: invalid environment variable: it has no NAME=",
            ),
            (r#"{"cwd":"/","args":["x"],"user":{"umask":512}}"#, "process.user.umask: is not from 0 to 0777"),
            (
                r#"{"cwd":"/","args":["x"],"user":{"uid":4294967295}}"#,
                "process.user.uid: 4294967295 is no id: the kernel takes it for \"unchanged\"",
            ),
            (
                r#"{"cwd":"/","args":["x"],"user":{"additionalGids":[1,4294967295]}}"#,
                "process.user.additionalGids[1]: 4294967295 is no id: the kernel takes it for \"unchanged\"",
            ),
            (
                r#"{"cwd":"/","args":["x"],"terminal":true,"consoleSize":{"height":65536}}"#,
                "process.consoleSize.height: is above 65535",
            ),
        ] {
            assert_eq!(parse(json).expect_err(json).to_string(), text);
        }
    }

    #[test]
    fn more_groups_than_a_process_may_have_are_refused() {
        let of = |groups: Vec<u32>| super::groups("g", groups);
        assert_eq!(of((0..65_536).chain(0..65_536).collect()).unwrap().len(), 65_536);
        let error = of((0..65_537).collect()).unwrap_err().to_string();
        assert_eq!(error, "g: 65537 groups are more than the kernel's 65536");
    }

    #[test]
    fn the_last_of_equal_variables_counts() {
        let program = parse(r#"{"cwd":"/","args":["x"],"env":["A=1","PATH=/a:/b","A=2"]}"#).unwrap();
        assert_eq!(program.env, ["A=2", "PATH=/a:/b"]);
        assert_eq!(program.candidates(), [b"/a/x".to_vec(), b"/b/x".to_vec()]);
        let program = parse(r#"{"cwd":"/","args":["x"],"env":["A=1","B=","C=1","B=x","A=2","AA=1","A=3"]}"#).unwrap();
        assert_eq!(program.env, ["A=3", "B=x", "C=1", "AA=1"]);
    }

    #[test]
    fn a_name_with_a_slash_is_not_looked_for() {
        assert_eq!(parse(r#"{"cwd":"/","args":["./x"],"env":["PATH=/a"]}"#).unwrap().candidates(), [b"./x".to_vec()]);
        assert!(parse(r#"{"cwd":"/","args":["x"]}"#).unwrap().candidates().is_empty());
    }
}
