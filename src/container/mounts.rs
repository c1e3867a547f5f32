//! `mounts`: adds mounts to a container that has been created, and removes them again.
//!
//! A helper process does it, which is in no pid namespace and no cgroup of the container; see
//! `rootfs/added.rs`. The ids of the added mounts are kept beside state.json: `remove` takes no
//! other mount away, whatever its destination leads to by then.

use super::request::{MountsAction, MountsRequest};
use super::{Context, document, exec, forked, idmap};
use crate::config;
use crate::error::{Context as _, Error, Ignore as _, Result};
use crate::namespaces::{self, NamespaceKind as Ns, Namespaces, enter};
use crate::path::InRoot;
use crate::rootfs::{self, Rootfs, Sources, Trees};
use crate::state::{ContainerDir, Record, Status, Store};
use crate::sys::process::{self, Pid, SingleThreaded};
use crate::sys::{file, namespace};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// `mounts`: mounts in a container, or removes such mounts. All of the new mounts are made, or none.
///
/// # Errors
/// `container not running`; the first mount that is invalid, that only `create` can make, or that
/// the kernel refuses; a destination without a mount of `mounts add`.
pub(crate) fn mounts(context: &Context, request: &MountsRequest) -> Result<()> {
    let proof = &SingleThreaded::of_caller()?;
    let store = Store::at(&context.root);
    let id = request.id.as_str();
    let record = store.read(id)?;
    let json = store.config(id)?;
    let mut spec = config::parse(&json)?;
    let container = Running::open(&record, &mut spec)?;
    let text = document::read(if request.file == Path::new("-") { Path::new("/dev/stdin") } else { &request.file })?;
    let mounts = config::parse_mounts(&text).map_err(|e| e.context(format!("{:?}", request.file)))?;
    let before = added(&store.open(id)?)?;
    let destinations = mounts.iter().map(|mount| InRoot::new(mount.destination.as_deref().unwrap_or_default()));
    let destinations: Vec<InRoot> = destinations.collect();
    let answer = match request.action {
        MountsAction::Add => {
            spec.mounts = Some(mounts);
            let rootfs = Rootfs::parse(&spec, Path::new(&record.bundle), super::security::selinux())?;
            rootfs.check_added()?;
            rootfs.warnings().into_iter().for_each(crate::log::warning);
            container.add(&rootfs, &destinations, proof)?
        }
        MountsAction::Remove => container.remove(&destinations, &before, proof)?,
    };
    let changed = ids(&answer);
    match (request.action, record_change(&store, id, request.action, &changed)) {
        (MountsAction::Add, Err(error)) => {
            container.remove(&destinations, &changed, proof).ignore("the error before it is told");
            Err(error.context("write down the mounts"))
        }
        (MountsAction::Remove, recorded) => {
            recorded.ignore("the id of a mount that is gone is that of no other mount");
            Ok(())
        }
        (_, recorded) => recorded,
    }
}

fn record_change(store: &Store, id: &str, action: MountsAction, changed: &[u64]) -> Result<()> {
    let dir = store.open(id)?;
    // Another command may have changed the file meanwhile.
    let mut all = added(&dir)?;
    match action {
        MountsAction::Add => all.extend(changed),
        MountsAction::Remove => all.retain(|id| !changed.contains(id)),
    }
    dir.replace(FILE, &bytes(&all))
}

/// The file with the ids of the added mounts, eight bytes each.
const FILE: &str = "mounts";
const LARGEST: usize = 1 << 20;

fn added(dir: &ContainerDir) -> Result<Vec<u64>> {
    match dir.read(FILE, LARGEST) {
        Err(e) if e.errno() == libc::ENOENT => Ok(Vec::new()),
        text => Ok(ids(&text?)),
    }
}

fn ids(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|id| u64::from_ne_bytes(*id)).collect()
}

fn bytes(ids: &[u64]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_ne_bytes()).collect()
}

/// The container's first process, and the descriptors that lead into its namespaces.
struct Running {
    pid: Pid,
    pidfd: OwnedFd,
    /// CLONE_NEW* flags of its namespaces.
    flags: i32,
    mounts: OwnedFd,
    users: Option<OwnedFd>,
}

impl Running {
    fn open(record: &Record, spec: &mut config::Spec<'_>) -> Result<Running> {
        let stopped = || Error::state("container not running");
        let (status, pidfd) = record.status_and_init()?;
        if status == Status::Creating {
            return Err(Error::state("cannot mount in a container that is being created"));
        }
        let (init, pidfd) = (record.init.ok_or_else(stopped)?, pidfd.ok_or_else(stopped)?);
        namespaces::disregard_shared(spec, init.pid, &[Ns::User])?;
        let flags = exec::own_namespaces(&Namespaces::parse(spec)?, record, init.pid)?;
        let of = |name: &str| file::open(format!("/proc/{}/ns/{name}", init.pid), libc::O_RDONLY);
        let mounts = of("mnt")?;
        let users = (flags & Ns::User.flag() != 0).then(|| of("user")).transpose()?;
        // The pid was the container's until now if its process has not ended.
        match process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], 0)? {
            [0] => Ok(Running { pid: init.pid, pidfd, flags, mounts, users }),
            _ => Err(stopped()),
        }
    }

    fn add(&self, rootfs: &Rootfs, destinations: &[InRoot], proof: &SingleThreaded) -> Result<Vec<u8>> {
        let mut trees = Trees::default();
        idmap::prepare(rootfs, self.users.as_ref(), &mut trees, proof)?;
        rootfs.open_on_host(Sources::ByParent, None, &mut trees)?;
        let trees = std::cell::Cell::new(trees);
        let pids = format!("/proc/{}/ns/pid", self.pid);
        let pids = (self.flags & Ns::Pid.flag() != 0).then_some(pids.as_str());
        let add = || {
            self.join()?;
            let mut trees = trees.take();
            rootfs.open_on_host(Sources::ByChild, pids, &mut trees)?;
            self.join_mounts()?;
            rootfs.add(trees).map(|ids| bytes(&ids))
        };
        forked::run(proof, &add, &|made| {
            rootfs::remove(destinations, &ids(made)).ignore("the runtime tells that the answer is lost");
        })
    }

    fn remove(&self, destinations: &[InRoot], added: &[u64], proof: &SingleThreaded) -> Result<Vec<u8>> {
        let remove = || {
            self.join()?;
            self.join_mounts()?;
            rootfs::remove(destinations, added).map(|ids| bytes(&ids))
        };
        forked::run(proof, &remove, &|_| ())
    }

    /// Joins all namespaces but the mount namespace. In a user namespace, the process gets a copy of
    /// the host's mounts in which it may copy trees.
    #[inline(never)]
    fn join(&self) -> Result<()> {
        rootfs::hold_procfs()?;
        enter::container(&self.pidfd, self.flags & !Ns::Mount.flag())?;
        enter::unshare(if self.users.is_some() { Ns::Mount.flag() } else { 0 })
    }

    fn join_mounts(&self) -> Result<()> {
        namespace::setns(&self.mounts, Ns::Mount.flag()).context("join the container's mount namespace")
    }
}
