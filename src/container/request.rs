//! The requests of a caller, parsed: one plain struct for each command that takes more than an id.
//!
//! A field that is `None`, `false` or empty was not given on the command line. If a container is
//! created, paths other than `bundle` must be absolute: the working directory changes to the
//! bundle's.
//!
//! The file is long, but most of it is what each field means: whoever compares two commands finds
//! their structs side by side.

mod cgroup;
mod id;
mod signal;
pub mod size;
mod user;

pub use crate::cgroups::CgroupManager;
pub use crate::criu::{ManageCgroups, NetworkLock};
pub use cgroup::SubCgroup;
pub use id::ContainerId;
pub use signal::Signal;
pub use user::User;

use std::path::PathBuf;
use std::time::Duration;

/// `create`, and the part of `run` and `restore` that creates the container.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateRequest {
    /// The new container's id.
    pub id: ContainerId,
    /// The directory of the bundle, `.` if none was given.
    pub bundle: PathBuf,
    /// The file to read instead of the bundle's `config.json`.
    pub config: Option<PathBuf>,
    /// A listening socket that receives the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A listening socket that receives a pidfd of init.
    pub pidfd_socket: Option<PathBuf>,
    /// The file that gets init's process id.
    pub pid_file: Option<PathBuf>,
    /// Move the root with MS_MOVE and chroot instead of `pivot_root`.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// The number of descriptors after stdio and `$LISTEN_FDS` that the container keeps.
    pub preserve_fds: u32,
    /// Run the reaping init as PID 1.
    pub init: bool,
}

impl CreateRequest {
    /// A container of the bundle's `config.json`, without optional flags.
    pub fn new(id: ContainerId, bundle: impl Into<PathBuf>) -> CreateRequest {
        CreateRequest {
            id,
            bundle: bundle.into(),
            config: None,
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            no_pivot: false,
            no_new_keyring: false,
            preserve_fds: 0,
            init: false,
        }
    }
}

/// `run`: create, start and, unless detached, wait and delete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunRequest {
    /// The container to create.
    pub create: CreateRequest,
    /// Return once it runs.
    pub detach: bool,
    /// Do not delete the stopped container.
    pub keep: bool,
    /// Do not become a subreaper: orphans of the container are not reaped.
    pub no_subreaper: bool,
}

impl RunRequest {
    /// In the foreground; the container is deleted when its program has ended.
    pub fn new(create: CreateRequest) -> RunRequest {
        RunRequest { create, detach: false, keep: false, no_subreaper: false }
    }
}

/// `kill`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KillRequest {
    /// The container.
    pub id: ContainerId,
    /// The signal.
    pub signal: Signal,
    /// Signal every process of the container; a stopped init is no error then.
    pub all: bool,
}

impl KillRequest {
    /// A signal to the container's init process.
    pub fn new(id: ContainerId, signal: Signal) -> KillRequest {
        KillRequest { id, signal, all: false }
    }
}

/// `delete`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteRequest {
    /// The container.
    pub id: ContainerId,
    /// Kill it first, remove an incomplete container, and succeed if there is none.
    pub force: bool,
}

impl DeleteRequest {
    /// Deletes a container that has stopped.
    pub fn new(id: ContainerId) -> DeleteRequest {
        DeleteRequest { id, force: false }
    }
}

/// The output format of `list` and `ps`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// `list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListRequest {
    /// The form.
    pub format: Format,
    /// Print ids only, one a line.
    pub quiet: bool,
    /// The state root, if the caller named one: it must exist.
    pub root: Option<PathBuf>,
}

/// `ps`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PsRequest {
    /// The container.
    pub id: ContainerId,
    /// The form.
    pub format: Format,
    /// Options for ps(1), used by the table; none means `-ef`.
    pub args: Vec<String>,
}

impl PsRequest {
    /// The table of `ps -ef`.
    pub fn new(id: ContainerId) -> PsRequest {
        PsRequest { id, format: Format::default(), args: Vec::new() }
    }
}

/// `exec`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecRequest {
    /// The container.
    pub id: ContainerId,
    /// The process to execute.
    pub process: ExecProcess,
    /// Return once it runs.
    pub detach: bool,
    /// The file that gets its process id.
    pub pid_file: Option<PathBuf>,
    /// A listening socket that receives the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A listening socket that receives a pidfd of it.
    pub pidfd_socket: Option<PathBuf>,
    /// The number of descriptors after stdio and `$LISTEN_FDS` that it keeps.
    pub preserve_fds: u32,
    /// Sub-cgroups of the container's cgroup to put it in.
    pub cgroups: Vec<SubCgroup>,
    /// Allow a paused container: the process waits until the container is resumed.
    pub ignore_paused: bool,
    /// Give it a busybox of the host at `/.orlop-tools`, which no other process sees.
    pub tools: bool,
}

impl ExecRequest {
    /// A program in the foreground, otherwise like the process of the container's config.
    pub fn new<T: Into<String>>(id: ContainerId, args: impl IntoIterator<Item = T>) -> ExecRequest {
        let args = args.into_iter().map(Into::into).collect();
        ExecRequest {
            id,
            process: ExecProcess::Changes(Box::new(ProcessChanges { args, ..ProcessChanges::default() })),
            detach: false,
            pid_file: None,
            console_socket: None,
            pidfd_socket: None,
            preserve_fds: 0,
            cgroups: Vec::new(),
            ignore_paused: false,
            tools: false,
        }
    }
}

/// The source of the process for `exec`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecProcess {
    /// A file in the form of config.json's `process`, complete.
    File(PathBuf),
    /// The command line, which changes a copy of the process of the container's config.
    Changes(Box<ProcessChanges>),
}

/// The changes of `exec` to the process of the container's config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessChanges {
    /// The program and its arguments; must not be empty ("process args cannot be empty").
    pub args: Vec<String>,
    /// Whether it has a terminal (the container's own process does not matter).
    pub tty: bool,
    /// Its working directory.
    pub cwd: Option<String>,
    /// `NAME=VALUE`, appended to the container's.
    pub env: Vec<String>,
    /// Its user.
    pub user: Option<User>,
    /// Supplementary groups, added to the container's.
    pub additional_gids: Vec<u32>,
    /// Its SELinux label.
    pub process_label: Option<String>,
    /// Its AppArmor profile.
    pub apparmor: Option<String>,
    /// Its no_new_privs, if given.
    pub no_new_privs: Option<bool>,
    /// Capabilities to add to its bounding, effective and permitted sets (never the inheritable one).
    pub capabilities: Vec<String>,
}

/// `mounts add` or `mounts remove`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountsRequest {
    /// The container's id.
    pub(crate) id: ContainerId,
    /// The action.
    pub(crate) action: MountsAction,
    /// A JSON file with an array in the form of config.json's `mounts`; `-` is standard input.
    pub(crate) file: PathBuf,
}

impl MountsRequest {
    /// An action with the mounts in `file`.
    pub(crate) fn new(id: ContainerId, action: MountsAction, file: impl Into<PathBuf>) -> MountsRequest {
        MountsRequest { id, action, file: file.into() }
    }
}

/// The action of `mounts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountsAction {
    /// Make the mounts.
    Add,
    /// Unmount what `mounts add` has mounted at the destinations; other fields do not matter.
    Remove,
}

/// `update`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdateRequest {
    /// The container's id.
    pub id: ContainerId,
    /// The limits of its cgroup.
    pub resources: ResourceSource,
    /// Lines for the schemata of its Intel RDT group, such as `L3:0=f`.
    pub schemata: Vec<String>,
}

impl UpdateRequest {
    /// The limits of `resources`; limits that it does not name stay.
    pub fn new(id: ContainerId, resources: ResourceSource) -> UpdateRequest {
        UpdateRequest { id, resources, schemata: Vec::new() }
    }
}

/// JSON in the form of config.json's `linux.resources`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceSource {
    /// On standard input.
    Stdin,
    /// In a file.
    File(PathBuf),
    /// As text.
    Json(String),
}

/// `spec`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpecRequest {
    /// The directory in which to write, `.` if none was given.
    pub bundle: PathBuf,
    /// The file to write instead of `config.json`; `-` is standard output.
    pub file: Option<PathBuf>,
    /// For an unprivileged caller.
    pub rootless: bool,
    /// For a container without a terminal, which `run --detach` or `create` makes.
    pub detach: bool,
}

impl SpecRequest {
    /// `config.json` in the directory `bundle`.
    pub fn new(bundle: impl Into<PathBuf>) -> SpecRequest {
        SpecRequest { bundle: bundle.into(), file: None, rootless: false, detach: false }
    }
}

/// `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventsRequest {
    /// The container.
    pub id: ContainerId,
    /// The time between two statistics, above zero.
    pub interval: Duration,
    /// Print statistics once and return.
    pub stats: bool,
}

impl EventsRequest {
    /// Statistics every five seconds until the container ends.
    pub fn new(id: ContainerId) -> EventsRequest {
        EventsRequest { id, interval: Duration::from_secs(5), stats: false }
    }
}

/// The options of both `checkpoint` and `restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CriuOptions {
    /// CRIU's program: a path, or a name to find in `$PATH`.
    pub criu: PathBuf,
    /// The directory of the images; `checkpoint` in the working directory if none was given.
    pub image_path: PathBuf,
    /// The directory of CRIU's log and other work files.
    pub work_path: Option<PathBuf>,
    /// Keep established TCP connections.
    pub tcp_established: bool,
    /// Allow external unix sockets: those with a peer outside of the container.
    pub ext_unix_sk: bool,
    /// Keep a terminal that comes from outside.
    pub shell_job: bool,
    /// Keep file locks.
    pub file_locks: bool,
    /// Load or serve memory pages on demand.
    pub lazy_pages: bool,
    /// Remove duplicate pages from the images.
    pub auto_dedup: bool,
    /// CRIU's mode for cgroups, if given.
    pub manage_cgroups: Option<ManageCgroups>,
    /// Namespaces (`network` is the only one known) to leave empty.
    pub empty_ns: Vec<String>,
    /// How to lock the network, if given.
    pub network_lock: Option<NetworkLock>,
}

impl CriuOptions {
    /// The `criu` of `$PATH` with images in the directory `image_path`.
    pub fn new(image_path: impl Into<PathBuf>) -> CriuOptions {
        CriuOptions {
            criu: "criu".into(),
            image_path: image_path.into(),
            work_path: None,
            tcp_established: false,
            ext_unix_sk: false,
            shell_job: false,
            file_locks: false,
            lazy_pages: false,
            auto_dedup: false,
            manage_cgroups: None,
            empty_ns: Vec::new(),
            network_lock: None,
        }
    }
}

/// `checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointRequest {
    /// The container.
    pub id: ContainerId,
    /// The options shared with restore.
    pub criu: CriuOptions,
    /// The images of the pre-dump before, relative to the image directory.
    pub parent_path: Option<PathBuf>,
    /// Let the container run on.
    pub leave_running: bool,
    /// Only dump memory, and let the container run on.
    pub pre_dump: bool,
    /// Skip TCP connections that are not established yet.
    pub tcp_skip_in_flight: bool,
    /// Link deleted files back in.
    pub link_remap: bool,
    /// A descriptor to which CRIU writes a zero byte once lazy pages are served.
    pub status_fd: Option<i32>,
    /// The address and port of a page server.
    pub page_server: Option<(String, u16)>,
}

impl CheckpointRequest {
    /// A checkpoint of the whole container, which is stopped once its images are complete.
    pub fn new(id: ContainerId, criu: CriuOptions) -> CheckpointRequest {
        CheckpointRequest {
            id,
            criu,
            parent_path: None,
            leave_running: false,
            pre_dump: false,
            tcp_skip_in_flight: false,
            link_remap: false,
            status_fd: None,
            page_server: None,
        }
    }
}

/// `restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreRequest {
    /// The options shared with `create` (`init`, `no_new_keyring` and `pidfd_socket` are never
    /// given).
    pub create: CreateRequest,
    /// The options shared with checkpoint.
    pub criu: CriuOptions,
    /// Return once it runs.
    pub detach: bool,
    /// Do not become a subreaper: orphans of the container are not reaped.
    pub no_subreaper: bool,
    /// Close TCP connections instead of restoring them.
    pub tcp_close: bool,
    /// An LSM profile `TYPE:NAME` instead of the dumped one.
    pub lsm_profile: Option<String>,
    /// An SELinux mount context instead of the dumped one.
    pub lsm_mount_context: Option<String>,
}

impl RestoreRequest {
    /// In the foreground.
    pub fn new(create: CreateRequest, criu: CriuOptions) -> RestoreRequest {
        RestoreRequest {
            create,
            criu,
            detach: false,
            no_subreaper: false,
            tcp_close: false,
            lsm_profile: None,
            lsm_mount_context: None,
        }
    }
}

/// Whether a cgroup that may not be created is tolerated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rootless {
    /// If the caller is not root of the initial user namespace.
    #[default]
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}
