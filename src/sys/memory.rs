//! Memory that survives an `execve`, or that two processes share: memfd and mmap.
#![allow(unsafe_code)]

use super::{Errno, Failure, Result, failed, show, wrap};
use nix::fcntl::{FcntlArg, SealFlag};
use nix::sys::memfd::MFdFlags;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// Makes relocated data read-only (PT_GNU_RELRO of elf(5)), like a dynamic linker: musl leaves it
/// writable in a static program. It must run first. Without such a segment, or if the kernel
/// refuses, it has no effect.
pub(crate) fn protect_relocated() {
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, _: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the C library passes a live description, and never writes to its headers.
        let (base, headers) = unsafe {
            let info = &*info;
            (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
        };
        if let Some(header) = headers.iter().find(|header| header.p_type == libc::PT_GNU_RELRO) {
            let page = page_size();
            let from = (base + header.p_vaddr as usize) & !(page - 1);
            let to = (base + header.p_vaddr as usize + header.p_memsz as usize) & !(page - 1);
            // SAFETY: the program does not write to these pages after its relocation.
            unsafe { libc::mprotect(from as *mut libc::c_void, to.saturating_sub(from), libc::PROT_READ) };
        }
        // The program is the first object. Shared libraries have a dynamic linker that protects
        // them.
        1
    }
    // SAFETY: `visit` has the signature that dl_iterate_phdr(3) asks for, and takes no data.
    unsafe { libc::dl_iterate_phdr(Some(visit), std::ptr::null_mut()) };
}

const MFD_EXEC: u32 = 0x10;
const MFD_NOEXEC_SEAL: u32 = 0x8;

/// The purpose of a memory file (`memfd_create(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryFile {
    /// Data to map or read. It is not executable, if the kernel supports that (Linux 6.3).
    Data,
    /// A program to execute. EACCES if the sysctl vm.memfd_noexec is 2.
    Program,
}

/// `memfd_create(2)`, close-on-exec, sealable. The flag of the kind is left out on kernels before
/// 6.3.
pub(crate) fn memfd(name: &str, kind: MemoryFile) -> Result<OwnedFd> {
    let base = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let with = base | if kind == MemoryFile::Program { MFD_EXEC } else { MFD_NOEXEC_SEAL };
    let make = |flags: u32| {
        wrap(nix::sys::memfd::memfd_create(name, MFdFlags::from_bits_retain(flags)), || {
            format!("memfd_create({name:?}, {flags:#x})")
        })
    };
    match make(with) {
        Err(e) if e.is(libc::EINVAL) => make(base),
        other => other,
    }
}

/// Seals a memory file against all changes (`fcntl(2)`, F_ADD_SEALS).
pub(crate) fn seal(fd: impl AsFd) -> Result<()> {
    add_seals(fd.as_fd(), SIZE | SealFlag::F_SEAL_WRITE)
}

/// Seals the size of a memory file: another process could otherwise truncate mapped memory, and
/// cause SIGBUS here.
pub(crate) fn seal_size(fd: impl AsFd) -> Result<()> {
    add_seals(fd.as_fd(), SIZE)
}

const SIZE: SealFlag = SealFlag::F_SEAL_SEAL.union(SealFlag::F_SEAL_SHRINK).union(SealFlag::F_SEAL_GROW);

fn add_seals(fd: BorrowedFd<'_>, seals: SealFlag) -> Result<()> {
    wrap(nix::fcntl::fcntl(fd, FcntlArg::F_ADD_SEALS(seals)), || {
        format!("fcntl({}, F_ADD_SEALS, {:#x})", show(fd), seals.bits())
    })?;
    Ok(())
}

/// `ftruncate(2)`.
pub(crate) fn truncate(fd: impl AsFd, length: u64) -> Result<()> {
    let fd = fd.as_fd();
    wrap(nix::unistd::ftruncate(fd, length as libc::off_t), || format!("ftruncate({}, {length})", show(fd)))
}

/// A page that several processes share (`mmap(2)` of a memory file, MAP_SHARED), unmapped when
/// dropped.
pub(crate) struct SharedPage(NonNull<[AtomicU32; WORDS]>);

/// The number of words of a [`SharedPage`].
pub(crate) const WORDS: usize = 1024;

impl SharedPage {
    /// Maps the first page of `fd`, a memory file of this program's own of at least 4096 bytes.
    pub(crate) fn map(fd: impl AsFd) -> Result<SharedPage> {
        let fd = fd.as_fd();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice disturbs nothing that exists.
        let at =
            unsafe { libc::mmap(std::ptr::null_mut(), WORDS * 4, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(failed(|| format!("mmap({})", show(fd))));
        }
        NonNull::new(at.cast()).map(SharedPage).ok_or_else(|| Failure::new("mmap", Errno(libc::EFAULT)))
    }

    /// The words of the page. Another process may change them at any time.
    pub(crate) fn words(&self) -> &[AtomicU32; WORDS] {
        // SAFETY: the mapping is live until drop, aligned to a page, long enough, and shared words are only touched as
        // atomics. No other process can shrink the file: `map` is for files whose size this program has sealed.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `map` mapped, and nothing borrowed from `words` outlives self.
        unsafe { libc::munmap(self.0.as_ptr().cast(), WORDS * 4) };
    }
}

/// The size of a page in bytes (`sysconf(3)`).
pub(crate) fn page_size() -> usize {
    // SAFETY: takes no pointer.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
