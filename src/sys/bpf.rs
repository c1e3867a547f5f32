//! `bpf(2)` for device filters of cgroups.
#![allow(unsafe_code)]

use super::call::opened;
use super::{Failure, Result, check, show};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// One instruction of an eBPF program (Documentation/bpf/standardization/instruction-set.rst of the kernel).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// The opcode.
    pub code: u8,
    /// The destination register in the lower four bits, the source in the upper four.
    pub registers: u8,
    /// The offset of a jump or memory access.
    pub offset: i16,
    /// The immediate operand.
    pub immediate: i32,
}

const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_GET_FD_BY_ID: i32 = 13;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const PROG_QUERY: i32 = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;

/// The name of a program, zero-padded.
pub(crate) type Name = [u8; 16];

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: Name,
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    // Older kernels refuse padding that is not zero, and the compiler would leave it undefined.
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct GetInfo {
    fd: u32,
    length: u32,
    info: u64,
}

/// The first fields of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct Info {
    head: [u64; 8],
    name: Name,
}

/// `bpf(command, attributes)`.
///
/// # Safety
/// Addresses within the attributes must be those of live memory of the size that the command takes.
unsafe fn bpf<T>(command: i32, attributes: &mut T, call: impl FnOnce() -> String) -> Result<i64> {
    // SAFETY: the pointer and the size are those of a live record; the caller answers for what it points to.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) }, call)
}

/// Loads a device filter program.
pub(crate) fn load_device_filter(program: &[Instruction], name: &Name) -> Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut load = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        name: *name,
        ..Load::default()
    };
    let call = || format!("bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE, {} instructions)", program.len());
    // SAFETY: the instructions and the license outlive the call, which makes a descriptor; there is no log buffer.
    unsafe { opened(bpf(PROG_LOAD, &mut load, call)?, call) }
}

/// Attaches a filter to a v2 cgroup, in addition to others or in place of `replaced`.
pub(crate) fn attach_device_filter(cgroup: impl AsFd, program: impl AsFd, replaced: Option<&OwnedFd>) -> Result<()> {
    let cgroup = cgroup.as_fd();
    let mut attach = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI | if replaced.is_some() { REPLACE } else { 0 },
        replaced: replaced.map_or(0, |fd| fd.as_raw_fd() as u32),
    };
    // SAFETY: the attributes hold no address.
    unsafe { bpf(PROG_ATTACH, &mut attach, || format!("bpf(BPF_PROG_ATTACH, {}, BPF_CGROUP_DEVICE)", show(cgroup))) }?;
    Ok(())
}

/// The filters that are attached directly to a cgroup, with their names.
pub(crate) fn device_filters(cgroup: impl AsFd) -> Result<Vec<(OwnedFd, Name)>> {
    let cgroup = cgroup.as_fd();
    let mut ids = [0u32; 64];
    let mut query = Query {
        target: cgroup.as_raw_fd() as u32,
        kind: CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        ..Query::default()
    };
    // SAFETY: the list of ids outlives the call and has as many places as are told.
    unsafe { bpf(PROG_QUERY, &mut query, || format!("bpf(BPF_PROG_QUERY, {}, BPF_CGROUP_DEVICE)", show(cgroup))) }?;
    let mut filters = Vec::new();
    for &id in ids.iter().take(query.count as usize) {
        match by_id(id) {
            Ok(fd) => {
                let name = name_of(&fd)?;
                filters.push((fd, name));
            }
            // The filter was detached meanwhile.
            Err(e) if e.is(libc::ENOENT) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filters)
}

fn by_id(id: u32) -> Result<OwnedFd> {
    let mut attributes = ById { id, ..ById::default() };
    let call = || format!("bpf(BPF_PROG_GET_FD_BY_ID, {id})");
    // SAFETY: the attributes hold no address, and the call makes a descriptor.
    unsafe { opened(bpf(PROG_GET_FD_BY_ID, &mut attributes, call)?, call) }
}

fn name_of(program: &OwnedFd) -> std::result::Result<Name, Failure> {
    let mut info = Info::default();
    let mut attributes = GetInfo {
        fd: program.as_raw_fd() as u32,
        length: size_of::<Info>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: the record outlives the call and has the length that is told.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes, || format!("bpf(BPF_OBJ_GET_INFO_BY_FD, {})", show(program))) }?;
    Ok(info.name)
}
