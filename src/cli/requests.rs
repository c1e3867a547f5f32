//! Turns a command's flags into the library's request.

use super::parse::{Flags, Invocation};
use super::table::{BYTES, NUMBERS, Name};
use crate::config;
use crate::container::request::CheckpointRequest;
use crate::container::request::{
    ContainerId, CreateRequest, CriuOptions, DeleteRequest, EventsRequest, ExecProcess, ExecRequest, Format,
    KillRequest, ListRequest, ManageCgroups, MountsAction, MountsRequest, NetworkLock, ProcessChanges, PsRequest,
    ResourceSource, RestoreRequest, RunRequest, Signal, SpecRequest, SubCgroup, UpdateRequest, User, size,
};
use crate::error::{Context, Error, IoContext, Kind, Result};
use crate::nearest;
use crate::text::json;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;

fn refuse(text: impl Into<String>) -> Error {
    Error::new(Kind::Config, text)
}

/// A value as text.
pub(crate) fn text(value: &OsStr, flag: &str) -> Result<String> {
    value.to_str().map(str::to_owned).ok_or_else(|| refuse(format!("invalid value for {flag}: it is not UTF-8")))
}

impl Flags {
    fn on(&self, flag: &str) -> bool {
        self.switch(flag) == Some(true)
    }

    fn path(&self, flag: &str) -> Option<PathBuf> {
        self.last(flag).filter(|v| !v.is_empty()).map(PathBuf::from)
    }

    /// An absolute path: the library changes the working directory to the bundle.
    fn absolute(&self, flag: &str) -> Result<Option<PathBuf>> {
        let absolute = |p: PathBuf| std::path::absolute(&p).io_context(|| format!("absolute path of {}", p.display()));
        self.path(flag).map(absolute).transpose()
    }

    fn text(&self, flag: &str) -> Result<Option<String>> {
        self.last(flag).filter(|v| !v.is_empty()).map(|v| text(v, flag)).transpose()
    }

    fn texts(&self, flag: &str) -> Result<Vec<String>> {
        self.all(flag).map(|v| text(v, flag)).collect()
    }

    /// A number; an empty text counts as not given.
    fn number<T: FromStr>(&self, flag: &str) -> Result<Option<T>> {
        let Some(text) = self.text(flag)? else { return Ok(None) };
        let number =
            text.parse().map_err(|_| refuse(format!("invalid value for {flag}: {text:?} is no number in range")));
        number.map(Some)
    }
}

impl Invocation {
    /// The operand that is an id: the first one, but for `mounts`.
    pub(crate) fn id(&self) -> Result<ContainerId> {
        let index = usize::from(self.command.name == Name::Mounts);
        ContainerId::parse(&self.operands.get(index).map_or_else(Default::default, |id| id.to_string_lossy()))
    }

    /// The operands after the id as text.
    fn rest(&self) -> Result<Vec<String>> {
        self.operands.iter().skip(1).map(|operand| text(operand, "an argument")).collect()
    }

    fn format(&self) -> Result<Format> {
        match self.flags.last("format").map(OsStr::to_str) {
            None | Some(Some("table")) => Ok(Format::Table),
            Some(Some("json")) => Ok(Format::Json),
            Some(other) => {
                let other = other.unwrap_or("not UTF-8");
                Err(refuse(format!("invalid format option: --format {other:?}")).hint("table or json"))
            }
        }
    }

    pub(crate) fn create(&self) -> Result<CreateRequest> {
        let flags = &self.flags;
        let preserve_fds = flags.number::<i64>("preserve-fds")?.unwrap_or(0);
        Ok(CreateRequest {
            id: self.id()?,
            bundle: flags.path("bundle").unwrap_or_else(|| ".".into()),
            config: flags.absolute("config")?,
            console_socket: flags.absolute("console-socket")?,
            pidfd_socket: flags.absolute("pidfd-socket")?,
            pid_file: flags.absolute("pid-file")?,
            no_pivot: flags.on("no-pivot"),
            no_new_keyring: flags.on("no-new-keyring"),
            preserve_fds: descriptors(preserve_fds)?,
            init: flags.on("init"),
        })
    }

    pub(crate) fn run(&self) -> Result<RunRequest> {
        Ok(RunRequest {
            create: self.create()?,
            detach: self.flags.on("detach"),
            keep: self.flags.on("keep"),
            no_subreaper: self.flags.on("no-subreaper"),
        })
    }

    /// The signal for `kill`.
    pub(crate) fn signal(&self) -> Result<Signal> {
        match self.operands.get(1) {
            Some(signal) => {
                let signal = signal.to_string_lossy();
                Signal::parse(&signal).map_err(|error| {
                    let name = signal.to_ascii_uppercase();
                    let name = name.strip_prefix("SIG").unwrap_or(&name);
                    error.hint(match nearest::nearest(name, Signal::names()) {
                        Some(near) => format!("did you mean {near}?"),
                        None => "a number from 0 to 64, or a name such as TERM, KILL or RTMIN+3".to_owned(),
                    })
                })
            }
            None => Ok(Signal::TERM),
        }
    }

    /// `kill` of the container `id`.
    pub(crate) fn kill(&self, id: ContainerId, signal: Signal) -> KillRequest {
        KillRequest { id, signal, all: self.flags.on("all") }
    }

    /// `delete` of the container `id`.
    pub(crate) fn delete(&self, id: ContainerId) -> DeleteRequest {
        DeleteRequest { id, force: self.flags.on("force") }
    }

    /// `globals` are the flags before the command.
    pub(crate) fn list(&self, globals: &Flags) -> Result<ListRequest> {
        let root = globals.last("root").filter(|root| !root.is_empty()).map(PathBuf::from);
        Ok(ListRequest { format: self.format()?, quiet: self.flags.on("quiet"), root })
    }

    pub(crate) fn ps(&self) -> Result<PsRequest> {
        Ok(PsRequest { id: self.id()?, format: self.format()?, args: self.rest()? })
    }

    pub(crate) fn events(&self) -> Result<EventsRequest> {
        let interval = self.flags.text("interval")?;
        Ok(EventsRequest {
            id: self.id()?,
            interval: size::duration(interval.as_deref().unwrap_or("5s"))?,
            stats: self.flags.on("stats"),
        })
    }

    pub(crate) fn exec(&self) -> Result<ExecRequest> {
        let flags = &self.flags;
        let process = match flags.path("process") {
            Some(file) => ExecProcess::File(file),
            None => ExecProcess::Changes(Box::new(self.changes()?)),
        };
        let cgroups = flags.texts("cgroup")?;
        Ok(ExecRequest {
            id: self.id()?,
            process,
            detach: flags.on("detach"),
            pid_file: flags.absolute("pid-file")?,
            console_socket: flags.absolute("console-socket")?,
            pidfd_socket: flags.absolute("pidfd-socket")?,
            preserve_fds: descriptors(flags.number("preserve-fds")?.unwrap_or(0))?,
            cgroups: cgroups.iter().filter(|c| !c.is_empty()).map(|c| SubCgroup::parse(c)).collect::<Result<_>>()?,
            ignore_paused: flags.on("ignore-paused"),
            tools: flags.on("tools"),
        })
    }

    fn changes(&self) -> Result<ProcessChanges> {
        let flags = &self.flags;
        let mut args = self.rest()?;
        if args.first().is_some_and(|first| first == "--") {
            args.remove(0);
        }
        if args.is_empty() && flags.on("tools") {
            args.push("/.orlop-tools/sh".to_owned());
        }
        let gid = |gid: String| gid.parse().map_err(|_| refuse(format!("invalid value for additional-gids: {gid:?}")));
        Ok(ProcessChanges {
            args,
            tty: flags.on("tty"),
            cwd: flags.text("cwd")?,
            env: flags.texts("env")?,
            user: flags.text("user")?.map(|user| User::parse(&user)).transpose()?,
            additional_gids: flags.texts("additional-gids")?.into_iter().map(gid).collect::<Result<_>>()?,
            process_label: flags.text("process-label")?,
            apparmor: flags.text("apparmor")?,
            no_new_privs: flags.switch("no-new-privs"),
            capabilities: flags.texts("cap")?,
        })
    }

    pub(crate) fn mounts(&self) -> Result<MountsRequest> {
        let action = match self.operands.first().and_then(|word| word.to_str()) {
            Some("add") => MountsAction::Add,
            Some("remove") => MountsAction::Remove,
            other => return Err(refuse(format!("mounts: {:?} is neither add nor remove", other.unwrap_or_default()))),
        };
        Ok(MountsRequest::new(self.id()?, action, self.operands.get(2).cloned().unwrap_or_default()))
    }

    pub(crate) fn update(&self) -> Result<UpdateRequest> {
        let (resources, schemata) = match self.flags.path("resources") {
            Some(file) if file.as_os_str() == "-" => (ResourceSource::Stdin, Vec::new()),
            Some(file) => (ResourceSource::File(file), Vec::new()),
            None => {
                let schemata = [self.flags.text("l3-cache-schema")?, self.flags.text("mem-bw-schema")?];
                (ResourceSource::Json(self.resources()?), schemata.into_iter().flatten().collect())
            }
        };
        Ok(UpdateRequest { id: self.id()?, resources, schemata })
    }

    /// The flags for limits, in the form of `linux.resources`: an object for each flag, which the
    /// reader merges.
    fn resources(&self) -> Result<String> {
        let mut resources = Vec::new();
        for flag in self.command.flags {
            let Some((object, field)) = flag.resource.split_once('.') else { continue };
            let Some(text) = self.flags.text(flag.long)? else { continue };
            let value = match flag.value {
                BYTES => size::bytes(&text).with_context(|| format!("invalid value for {}", flag.long))?.to_string(),
                NUMBERS => json(&text),
                _ => number(&text, object, field).ok_or_else(|| {
                    refuse(format!("invalid value for {}: {text:?} is no number in range", flag.long))
                })?,
            };
            resources.push(resource(object, field, &value));
        }
        Ok(format!("{{{}}}", resources.join(",")))
    }

    pub(crate) fn spec(&self) -> SpecRequest {
        let flags = &self.flags;
        SpecRequest {
            bundle: flags.path("bundle").unwrap_or_else(|| ".".into()),
            file: flags.path("file"),
            rootless: flags.on("rootless"),
            detach: flags.on("detach"),
        }
    }

    fn criu(&self, criu: &OsStr) -> Result<CriuOptions> {
        let flags = &self.flags;
        Ok(CriuOptions {
            criu: criu.into(),
            image_path: flags
                .absolute("image-path")?
                .unwrap_or(std::path::absolute("checkpoint").io_context(|| "getcwd".into())?),
            work_path: flags.absolute("work-path")?,
            tcp_established: flags.on("tcp-established"),
            ext_unix_sk: flags.on("ext-unix-sk"),
            shell_job: flags.on("shell-job"),
            file_locks: flags.on("file-locks"),
            lazy_pages: flags.on("lazy-pages"),
            auto_dedup: flags.on("auto-dedup"),
            manage_cgroups: flags.text("manage-cgroups-mode")?.map(|mode| manage_cgroups(&mode)).transpose()?,
            empty_ns: flags.texts("empty-ns")?,
            network_lock: flags.text("network-lock")?.map(|method| network_lock(&method)).transpose()?,
        })
    }

    pub(crate) fn checkpoint(&self, criu: &OsStr) -> Result<CheckpointRequest> {
        let flags = &self.flags;
        Ok(CheckpointRequest {
            id: self.id()?,
            criu: self.criu(criu)?,
            parent_path: flags.path("parent-path"),
            leave_running: flags.on("leave-running"),
            pre_dump: flags.on("pre-dump"),
            tcp_skip_in_flight: flags.on("tcp-skip-in-flight"),
            link_remap: flags.on("link-remap"),
            status_fd: flags.number("status-fd")?.filter(|fd| *fd >= 0),
            page_server: flags.text("page-server")?.map(|server| page_server(&server)).transpose()?,
        })
    }

    pub(crate) fn restore(&self, criu: &OsStr) -> Result<RestoreRequest> {
        let flags = &self.flags;
        Ok(RestoreRequest {
            create: self.create()?,
            criu: self.criu(criu)?,
            detach: flags.on("detach"),
            no_subreaper: flags.on("no-subreaper"),
            tcp_close: flags.on("tcp-close"),
            lsm_profile: flags.text("lsm-profile")?,
            lsm_mount_context: flags.text("lsm-mount-context")?,
        })
    }
}

/// A number that the field of `linux.resources` can hold.
fn number(text: &str, object: &str, field: &str) -> Option<String> {
    let number = text.parse().map(|n: u64| n.to_string()).or_else(|_| text.parse().map(|n: i64| n.to_string())).ok()?;
    config::parse_resources(&format!("{{{}}}", resource(object, field, &number))).ok().map(|_| number)
}

/// One field of an object, as JSON.
fn resource(object: &str, field: &str, value: &str) -> String {
    format!("\"{object}\":{{\"{field}\":{value}}}")
}

fn descriptors(count: i64) -> Result<u32> {
    // No process can have more: the kernel's nr_open is at most 2^30.
    u32::try_from(count)
        .ok()
        .filter(|n| *n < 1 << 30)
        .ok_or_else(|| refuse(format!("invalid value for preserve-fds: {count} is out of range")))
}

fn manage_cgroups(mode: &str) -> Result<ManageCgroups> {
    match mode {
        "soft" => Ok(ManageCgroups::Soft),
        "full" => Ok(ManageCgroups::Full),
        "strict" => Ok(ManageCgroups::Strict),
        "ignore" => Ok(ManageCgroups::Ignore),
        _ => Err(refuse(format!("invalid manage-cgroups-mode value: {mode:?} (soft, full, strict or ignore)"))),
    }
}

fn network_lock(method: &str) -> Result<NetworkLock> {
    match method {
        "iptables" => Ok(NetworkLock::Iptables),
        "nftables" => Ok(NetworkLock::Nftables),
        "skip" => Ok(NetworkLock::Skip),
        _ => Err(refuse(format!("invalid network-lock value: {method:?} (iptables, nftables or skip)"))),
    }
}

fn page_server(text: &str) -> Result<(String, u16)> {
    let parts = text.rsplit_once(':').and_then(|(address, port)| Some((address.to_owned(), port.parse().ok()?)));
    parts
        .filter(|(address, _)| !address.is_empty())
        .ok_or_else(|| refuse("Use --page-server ADDRESS:PORT to specify page server"))
}
