//! All unsafe code of the probe: system calls that the standard library does not have.
//!
//! Every function returns the errno as the error.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};

pub(crate) type Result<T> = std::result::Result<T, i32>;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn umask(mask: c_uint) -> c_uint;
    fn getresuid(r: *mut c_uint, e: *mut c_uint, s: *mut c_uint) -> c_int;
    fn getresgid(r: *mut c_uint, e: *mut c_uint, s: *mut c_uint) -> c_int;
    fn getgroups(size: c_int, list: *mut c_uint) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn capget(header: *mut c_void, data: *mut c_void) -> c_int;
    fn getrlimit(resource: c_uint, limit: *mut [u64; 2]) -> c_int;
    fn sched_getaffinity(pid: c_int, size: usize, mask: *mut c_void) -> c_int;
    fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int;
    fn uname(names: *mut c_void) -> c_int;
    fn isatty(fd: c_int) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn mknod(path: *const c_char, mode: c_uint, device: u64) -> c_int;
    fn chown(path: *const c_char, uid: c_uint, gid: c_uint) -> c_int;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
    fn fork() -> c_int;
    fn pause() -> c_int;
    fn _exit(status: c_int) -> !;
    fn sigfillset(set: *mut c_void) -> c_int;
    fn sigprocmask(how: c_int, set: *const c_void, old: *mut c_void) -> c_int;
    fn sigwait(set: *const c_void, signal: *mut c_int) -> c_int;
    fn getpgid(pid: c_int) -> c_int;
    fn getsid(pid: c_int) -> c_int;
    fn getpriority(which: c_uint, who: c_uint) -> c_int;
    fn fstatvfs(fd: c_int, buffer: *mut c_void) -> c_int;
    fn sethostname(name: *const c_char, length: usize) -> c_int;
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const SCHED_GETATTR: i64 = 315;
    pub(super) const IOPRIO_GET: i64 = 252;
    pub(super) const KEYCTL: i64 = 250;
    pub(super) const PERSONALITY: i64 = 135;
    pub(super) const GET_MEMPOLICY: i64 = 239;
}
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
mod number {
    pub(super) const SCHED_GETATTR: i64 = 275;
    pub(super) const IOPRIO_GET: i64 = 31;
    pub(super) const KEYCTL: i64 = 219;
    pub(super) const PERSONALITY: i64 = 92;
    pub(super) const GET_MEMPOLICY: i64 = 236;
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn checked(result: c_int) -> Result<c_int> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| 22)
}

/// Any system call with plain numbers. Pointers in `args` are the caller's risk: only the kernel looks at them, and the
/// calls that the suite asks for either take none or are expected to be refused.
pub(crate) fn raw(number: i64, args: [u64; 6]) -> Result<i64> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: syscall(2) takes any numbers; the callers pass calls that do not write to memory of this process.
    let result = unsafe { syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(errno()) } else { Ok(result) }
}

pub(crate) fn current_umask() -> u32 {
    // SAFETY: umask(2) cannot fail; the second call puts the old value back.
    unsafe {
        let mask = umask(0o22);
        umask(mask);
        mask
    }
}

pub(crate) fn user_ids() -> [u32; 3] {
    let (mut r, mut e, mut s) = (0, 0, 0);
    // SAFETY: three valid pointers for the length of the call.
    unsafe { getresuid(&raw mut r, &raw mut e, &raw mut s) };
    [r, e, s]
}

pub(crate) fn group_ids() -> [u32; 3] {
    let (mut r, mut e, mut s) = (0, 0, 0);
    // SAFETY: three valid pointers for the length of the call.
    unsafe { getresgid(&raw mut r, &raw mut e, &raw mut s) };
    [r, e, s]
}

pub(crate) fn groups() -> Vec<u32> {
    let mut list = vec![0; 65536];
    // SAFETY: the list has room for 65536 entries, the kernel's maximum.
    let count = unsafe { getgroups(65536, list.as_mut_ptr()) };
    list.truncate(usize::try_from(count).unwrap_or(0));
    list
}

/// `prctl` with options that only read numbers.
pub(crate) fn prctl_get(option: i32, argument: u64) -> Result<i32> {
    // SAFETY: the options used here (PR_GET_*, PR_CAPBSET_READ, PR_CAP_AMBIENT) take no pointers.
    checked(unsafe { prctl(option, argument, 0u64, 0u64, 0u64) })
}

/// Is a capability in the ambient set?
pub(crate) fn ambient(capability: u64) -> bool {
    // SAFETY: PR_CAP_AMBIENT (47) with PR_CAP_AMBIENT_IS_SET (1) takes no pointers.
    unsafe { prctl(47, 1u64, capability, 0u64, 0u64) == 1 }
}

/// Effective, permitted and inheritable sets as bit masks.
pub(crate) fn capabilities() -> [u64; 3] {
    let mut header = [0x2008_0522_u32, 0];
    let mut data = [0u32; 6];
    // SAFETY: version 3 of the header wants two structs of three words each.
    unsafe { capget(header.as_mut_ptr().cast(), data.as_mut_ptr().cast()) };
    [0, 1, 2].map(|i| u64::from(data[i]) | u64::from(data[i + 3]) << 32)
}

/// Soft and hard limit.
pub(crate) fn rlimit(resource: u32) -> Result<[u64; 2]> {
    let mut limit = [0; 2];
    // SAFETY: struct rlimit is two 64-bit words.
    checked(unsafe { getrlimit(resource, &raw mut limit) }).map(|_| limit)
}

pub(crate) fn affinity() -> Vec<u32> {
    let mut mask = [0u64; 128];
    // SAFETY: the mask is as long as we say.
    unsafe { sched_getaffinity(0, 1024, mask.as_mut_ptr().cast()) };
    (0..8192).filter(|&cpu| mask[cpu as usize / 64] >> (cpu % 64) & 1 == 1).collect()
}

/// struct sched_attr: policy, flags, nice, priority, runtime, deadline, period.
pub(crate) fn scheduler() -> Result<(u32, u64, i32, u32, [u64; 3])> {
    let mut attr = [0u32; 14];
    // SAFETY: the kernel writes at most the 56 bytes that we say.
    let result = unsafe { syscall(number::SCHED_GETATTR, 0, attr.as_mut_ptr(), 56, 0) };
    if result < 0 {
        return Err(errno());
    }
    let long = |i: usize| u64::from(attr[i]) | u64::from(attr[i + 1]) << 32;
    Ok((attr[1], long(2), attr[4].cast_signed(), attr[5], [long(6), long(8), long(10)]))
}

pub(crate) fn nice() -> i32 {
    // SAFETY: plain numbers.
    unsafe { getpriority(0, 0) }
}

/// Class and level of the I/O priority.
pub(crate) fn io_priority() -> Result<(i64, i64)> {
    raw(number::IOPRIO_GET, [1, 0, 0, 0, 0, 0]).map(|value| (value >> 13, value & 0x1fff))
}

pub(crate) fn personality() -> Result<i64> {
    raw(number::PERSONALITY, [0xffff_ffff, 0, 0, 0, 0, 0])
}

/// Mode (with its flags) and node mask of the memory policy.
pub(crate) fn memory_policy() -> Result<(i32, u64)> {
    let (mut mode, mut nodes) = (0i32, [0u64; 16]);
    // SAFETY: the mask has 1024 bits as we say.
    let result = unsafe { syscall(number::GET_MEMPOLICY, &raw mut mode, nodes.as_mut_ptr(), 1024u64, 0u64, 0u64) };
    if result < 0 { Err(errno()) } else { Ok((mode, nodes[0])) }
}

/// Serial number and description of the session keyring.
pub(crate) fn session_keyring() -> Result<(i64, String)> {
    let id = raw(number::KEYCTL, [0, (-3i64).cast_unsigned(), 0, 0, 0, 0])?;
    let mut text = [0u8; 256];
    // SAFETY: KEYCTL_DESCRIBE writes at most the 256 bytes that we say.
    let length = unsafe { syscall(number::KEYCTL, 6u64, id, text.as_mut_ptr(), 256u64) };
    if length < 0 {
        return Err(errno());
    }
    let text: Vec<u8> = text.into_iter().take_while(|&b| b != 0).collect();
    Ok((id, String::from_utf8_lossy(&text).into_owned()))
}

/// Seconds and nanoseconds.
pub(crate) fn clock(id: i32) -> [i64; 2] {
    let mut time = [0; 2];
    // SAFETY: struct timespec is two 64-bit words.
    unsafe { clock_gettime(id, &raw mut time) };
    time
}

/// sysname, nodename, release, version, machine, domainname.
pub(crate) fn system_names() -> Vec<String> {
    let mut names = [0u8; 65 * 6];
    // SAFETY: struct utsname is six fields of 65 bytes.
    unsafe { uname(names.as_mut_ptr().cast()) };
    names
        .chunks(65)
        .map(|name| {
            CStr::from_bytes_until_nul(name).map_or_else(|_| String::new(), |n| n.to_string_lossy().into_owned())
        })
        .collect()
}

pub(crate) fn is_terminal(fd: i32) -> bool {
    // SAFETY: plain numbers.
    unsafe { isatty(fd) == 1 }
}

/// Rows and columns.
pub(crate) fn window_size(fd: i32) -> Result<[u64; 2]> {
    let mut size = [0u16; 4];
    // SAFETY: TIOCGWINSZ writes struct winsize, four 16-bit words.
    checked(unsafe { ioctl(fd, 0x5413, size.as_mut_ptr()) })?;
    Ok([u64::from(size[0]), u64::from(size[1])])
}

/// The terminal's output flags.
pub(crate) fn terminal_output_flags(fd: i32) -> Result<u32> {
    let mut termios = [0u32; 32];
    // SAFETY: TCGETS writes struct termios of the kernel, 36 bytes.
    checked(unsafe { ioctl(fd, 0x5401, termios.as_mut_ptr()) })?;
    Ok(termios[1])
}

/// The foreground process group of the terminal.
pub(crate) fn foreground_group(fd: i32) -> Result<i32> {
    let mut group = 0i32;
    // SAFETY: TIOCGPGRP writes one int.
    checked(unsafe { ioctl(fd, 0x540f, &raw mut group) })?;
    Ok(group)
}

pub(crate) fn closes_on_exec(fd: i32) -> Result<bool> {
    // SAFETY: F_GETFD takes no third argument.
    Ok(checked(unsafe { fcntl(fd, 1) })? & 1 == 1)
}

pub(crate) fn make_node(path: &str, mode: u32, device: u64) -> Result<()> {
    let path = c_string(path)?;
    // SAFETY: the path outlives the call.
    checked(unsafe { mknod(path.as_ptr(), mode, device) }).map(|_| ())
}

pub(crate) fn change_owner(path: &str, uid: u32, gid: u32) -> Result<()> {
    let path = c_string(path)?;
    // SAFETY: the path outlives the call.
    checked(unsafe { chown(path.as_ptr(), uid, gid) }).map(|_| ())
}

pub(crate) fn mount_filesystem(source: &str, target: &str, kind: &str, flags: u64) -> Result<()> {
    let (source, target, kind) = (c_string(source)?, c_string(target)?, c_string(kind)?);
    // SAFETY: the strings outlive the call; no data is passed.
    let done = unsafe { mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) };
    checked(done).map(|_| ())
}

pub(crate) fn set_hostname(name: &str) -> Result<()> {
    // SAFETY: pointer and length of the same string.
    checked(unsafe { sethostname(name.as_ptr().cast(), name.len()) }).map(|_| ())
}

/// Starts a child that only waits for a signal; gives its pid.
pub(crate) fn waiting_child() -> Result<i32> {
    // SAFETY: the process has one thread; the child calls nothing but pause(2).
    unsafe {
        let pid = checked(fork())?;
        if pid == 0 {
            loop {
                pause();
            }
        }
        Ok(pid)
    }
}

/// Blocks every signal and hands each that arrives to `seen`, until that returns true.
pub(crate) fn receive_signals(ready: impl FnOnce(), mut seen: impl FnMut(i32) -> bool) {
    let mut set = [0u64; 16];
    // SAFETY: sigset_t is 128 bytes; 0 is SIG_BLOCK.
    unsafe {
        sigfillset(set.as_mut_ptr().cast());
        sigprocmask(0, set.as_ptr().cast(), std::ptr::null_mut());
    }
    ready();
    loop {
        let mut signal = 0;
        // SAFETY: both pointers are valid for the length of the call.
        if unsafe { sigwait(set.as_ptr().cast(), &raw mut signal) } == 0 && seen(signal) {
            return;
        }
    }
}

pub(crate) fn leave(status: i32) -> ! {
    // SAFETY: _exit(2) never returns and touches nothing.
    unsafe { _exit(status) }
}

/// Process group and session.
pub(crate) fn group_and_session() -> [i32; 2] {
    // SAFETY: plain numbers.
    unsafe { [getpgid(0), getsid(0)] }
}

/// Size in bytes of the filesystem under an open file.
pub(crate) fn filesystem_size(fd: i32) -> Result<u64> {
    let mut buffer = [0u64; 32];
    // SAFETY: struct statvfs is 112 bytes; the buffer has 256.
    checked(unsafe { fstatvfs(fd, buffer.as_mut_ptr().cast()) })?;
    Ok(buffer[1] * buffer[2])
}
