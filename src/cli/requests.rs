//! From what was written to what is meant: a command's flags as the library's request.

use super::parse::{Given, Line};
use super::table::{BYTES, NUMBERS};
use crate::config;
use crate::container::request::CheckpointRequest;
use crate::container::request::{
    ContainerId, CreateRequest, CriuOptions, DeleteRequest, EventsRequest, ExecProcess, ExecRequest, Format,
    KillRequest, ListRequest, ManageCgroups, NetworkLock, ProcessChanges, PsRequest, ResourceSource, RestoreRequest,
    RunRequest, Signal, SpecRequest, SubCgroup, UpdateRequest, User, size,
};
use crate::error::{Context, Error, IoContext, Kind, Result};
use serde_json::{Value, json};
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

impl Given {
    fn on(&self, flag: &str) -> bool {
        self.switch(flag) == Some(true)
    }

    fn path(&self, flag: &str) -> Option<PathBuf> {
        self.last(flag).filter(|v| !v.is_empty()).map(PathBuf::from)
    }

    /// A path that still means the same when the library has gone into the bundle.
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

    /// A number; an empty text is as good as none.
    fn number<T: FromStr>(&self, flag: &str) -> Result<Option<T>> {
        let Some(text) = self.text(flag)? else { return Ok(None) };
        let number =
            text.parse().map_err(|_| refuse(format!("invalid value for {flag}: {text:?} is no number in range")));
        number.map(Some)
    }
}

impl Line {
    /// The first operand as an id.
    pub(crate) fn id(&self) -> Result<ContainerId> {
        ContainerId::parse(&self.operands.first().map_or_else(Default::default, |id| id.to_string_lossy()))
    }

    /// The operands behind the id as text.
    fn rest(&self) -> Result<Vec<String>> {
        self.operands.iter().skip(1).map(|operand| text(operand, "an argument")).collect()
    }

    fn format(&self) -> Result<Format> {
        match self.given.last("format").map(OsStr::to_str) {
            None | Some(Some("table")) => Ok(Format::Table),
            Some(Some("json")) => Ok(Format::Json),
            _ => Err(refuse("invalid format option")),
        }
    }

    pub(crate) fn create(&self) -> Result<CreateRequest> {
        let given = &self.given;
        let preserve_fds = given.number::<i64>("preserve-fds")?.unwrap_or(0);
        Ok(CreateRequest {
            id: self.id()?,
            bundle: given.path("bundle").unwrap_or_else(|| ".".into()),
            config: given.absolute("config")?,
            console_socket: given.absolute("console-socket")?,
            pidfd_socket: given.absolute("pidfd-socket")?,
            pid_file: given.absolute("pid-file")?,
            no_pivot: given.on("no-pivot"),
            no_new_keyring: given.on("no-new-keyring"),
            preserve_fds: descriptors(preserve_fds)?,
            init: given.on("init"),
        })
    }

    pub(crate) fn run(&self) -> Result<RunRequest> {
        Ok(RunRequest {
            create: self.create()?,
            detach: self.given.on("detach"),
            keep: self.given.on("keep"),
            no_subreaper: self.given.on("no-subreaper"),
        })
    }

    /// The signal that `kill` is to send.
    pub(crate) fn signal(&self) -> Result<Signal> {
        match self.operands.get(1) {
            Some(signal) => Signal::parse(&signal.to_string_lossy()),
            None => Ok(Signal::TERM),
        }
    }

    /// `kill` of the container `id`.
    pub(crate) fn kill(&self, id: ContainerId, signal: Signal) -> KillRequest {
        KillRequest { id, signal, all: self.given.on("all") }
    }

    /// `delete` of the container `id`.
    pub(crate) fn delete(&self, id: ContainerId) -> DeleteRequest {
        DeleteRequest { id, force: self.given.on("force") }
    }

    /// `globals` are what stands before the command.
    pub(crate) fn list(&self, globals: &Given) -> Result<ListRequest> {
        let root = globals.last("root").filter(|root| !root.is_empty()).map(PathBuf::from);
        Ok(ListRequest { format: self.format()?, quiet: self.given.on("quiet"), root })
    }

    pub(crate) fn ps(&self) -> Result<PsRequest> {
        Ok(PsRequest { id: self.id()?, format: self.format()?, args: self.rest()? })
    }

    pub(crate) fn events(&self) -> Result<EventsRequest> {
        let interval = self.given.text("interval")?;
        Ok(EventsRequest {
            id: self.id()?,
            interval: size::duration(interval.as_deref().unwrap_or("5s"))?,
            stats: self.given.on("stats"),
        })
    }

    pub(crate) fn exec(&self) -> Result<ExecRequest> {
        let given = &self.given;
        let process = match given.path("process") {
            Some(file) => ExecProcess::File(file),
            None => ExecProcess::Changes(Box::new(self.changes()?)),
        };
        let cgroups = given.texts("cgroup")?;
        Ok(ExecRequest {
            id: self.id()?,
            process,
            detach: given.on("detach"),
            pid_file: given.absolute("pid-file")?,
            console_socket: given.absolute("console-socket")?,
            pidfd_socket: given.absolute("pidfd-socket")?,
            preserve_fds: descriptors(given.number("preserve-fds")?.unwrap_or(0))?,
            cgroups: cgroups.iter().filter(|c| !c.is_empty()).map(|c| SubCgroup::parse(c)).collect::<Result<_>>()?,
            ignore_paused: given.on("ignore-paused"),
        })
    }

    fn changes(&self) -> Result<ProcessChanges> {
        let given = &self.given;
        let mut args = self.rest()?;
        if args.first().is_some_and(|first| first == "--") {
            args.remove(0);
        }
        let gid = |gid: String| gid.parse().map_err(|_| refuse(format!("invalid value for additional-gids: {gid:?}")));
        Ok(ProcessChanges {
            args,
            tty: given.on("tty"),
            cwd: given.text("cwd")?,
            env: given.texts("env")?,
            user: given.text("user")?.map(|user| User::parse(&user)).transpose()?,
            additional_gids: given.texts("additional-gids")?.into_iter().map(gid).collect::<Result<_>>()?,
            process_label: given.text("process-label")?,
            apparmor: given.text("apparmor")?,
            no_new_privs: given.switch("no-new-privs"),
            capabilities: given.texts("cap")?,
        })
    }

    pub(crate) fn update(&self) -> Result<UpdateRequest> {
        let (resources, schemata) = match self.given.path("resources") {
            Some(file) if file.as_os_str() == "-" => (ResourceSource::Stdin, Vec::new()),
            Some(file) => (ResourceSource::File(file), Vec::new()),
            None => {
                let schemata = [self.given.text("l3-cache-schema")?, self.given.text("mem-bw-schema")?];
                (ResourceSource::Json(self.resources()?.to_string()), schemata.into_iter().flatten().collect())
            }
        };
        Ok(UpdateRequest { id: self.id()?, resources, schemata })
    }

    /// The flags that name limits, in the form of `linux.resources`.
    fn resources(&self) -> Result<Value> {
        let mut resources = json!({});
        for flag in self.command.flags {
            let Some((object, field)) = flag.resource.split_once('.') else { continue };
            let Some(text) = self.given.text(flag.long)? else { continue };
            let value = match flag.value {
                BYTES => size::bytes(&text).with_context(|| format!("invalid value for {}", flag.long))?.into(),
                NUMBERS => text.into(),
                _ => number(&text, object, field).ok_or_else(|| {
                    refuse(format!("invalid value for {}: {text:?} is no number in range", flag.long))
                })?,
            };
            resources[object][field] = value;
        }
        Ok(resources)
    }

    pub(crate) fn spec(&self) -> SpecRequest {
        let given = &self.given;
        SpecRequest {
            bundle: given.path("bundle").unwrap_or_else(|| ".".into()),
            file: given.path("file"),
            rootless: given.on("rootless"),
        }
    }

    fn criu(&self, criu: &OsStr) -> Result<CriuOptions> {
        let given = &self.given;
        Ok(CriuOptions {
            criu: criu.into(),
            image_path: given
                .absolute("image-path")?
                .unwrap_or(std::path::absolute("checkpoint").io_context(|| "getcwd".into())?),
            work_path: given.absolute("work-path")?,
            tcp_established: given.on("tcp-established"),
            ext_unix_sk: given.on("ext-unix-sk"),
            shell_job: given.on("shell-job"),
            file_locks: given.on("file-locks"),
            lazy_pages: given.on("lazy-pages"),
            auto_dedup: given.on("auto-dedup"),
            manage_cgroups: given.text("manage-cgroups-mode")?.map(|mode| manage_cgroups(&mode)).transpose()?,
            empty_ns: given.texts("empty-ns")?,
            network_lock: given.text("network-lock")?.map(|method| network_lock(&method)).transpose()?,
        })
    }

    pub(crate) fn checkpoint(&self, criu: &OsStr) -> Result<CheckpointRequest> {
        let given = &self.given;
        Ok(CheckpointRequest {
            id: self.id()?,
            criu: self.criu(criu)?,
            parent_path: given.path("parent-path"),
            leave_running: given.on("leave-running"),
            pre_dump: given.on("pre-dump"),
            tcp_skip_in_flight: given.on("tcp-skip-in-flight"),
            link_remap: given.on("link-remap"),
            status_fd: given.number("status-fd")?.filter(|fd| *fd >= 0),
            page_server: given.text("page-server")?.map(|server| page_server(&server)).transpose()?,
        })
    }

    pub(crate) fn restore(&self, criu: &OsStr) -> Result<RestoreRequest> {
        let given = &self.given;
        Ok(RestoreRequest {
            create: self.create()?,
            criu: self.criu(criu)?,
            detach: given.on("detach"),
            no_subreaper: given.on("no-subreaper"),
            tcp_close: given.on("tcp-close"),
            lsm_profile: given.text("lsm-profile")?,
            lsm_mount_context: given.text("lsm-mount-context")?,
        })
    }
}

/// A number that the field of `linux.resources` can hold.
fn number(text: &str, object: &str, field: &str) -> Option<Value> {
    let number = text.parse().map(|n: u64| n.into()).or_else(|_| text.parse().map(|n: i64| n.into())).ok()?;
    config::parse_resources(&json!({ object: { field: &number } }).to_string()).ok().map(|_| number)
}

fn descriptors(count: i64) -> Result<u32> {
    // A process cannot have more: the kernel's nr_open is at most 2^30.
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
