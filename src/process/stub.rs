//! The init stub as an ELF file: its code (`src/init/`), and the plan as the segment that it reads.
//!
//! `src/init/main.rs` says why the stub exists. The file is a memfd, sealed before it is executed.

use crate::error::{Context, Error, Result};
use crate::sys::memory::{self, MemoryFile};
use crate::sys::{self, mount, process};
use std::ffi::CStr;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

#[path = "../init/plan.rs"]
#[allow(dead_code, reason = "the stub is the reader of some of it, and the writer of the steps")]
pub(crate) mod plan;

use plan::{Hook, Limit, PLAN_AT, Span, StubPlan};

/// The code, loaded at [`CODE_AT`].
static CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init.bin"));
/// The address of the first instruction, in decimal.
static ENTRY: &str = include_str!(concat!(env!("OUT_DIR"), "/init.entry"));
/// The address at which the linker script puts the code: behind the ELF header.
const CODE_AT: u64 = BASE + HEADER as u64;
const BASE: u64 = 0x10000;
const HEADER: usize = 0x100;

/// Builds the plan's segment; everything added gets its final address at once.
pub(crate) struct Layout {
    bytes: Vec<u8>,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout::new()
    }
}

impl Layout {
    /// An empty segment, with room for the plan at its start.
    pub(crate) fn new() -> Layout {
        let mut bytes = Vec::with_capacity(8192);
        bytes.resize(size_of::<StubPlan>(), 0);
        Layout { bytes }
    }

    fn align(&mut self) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        PLAN_AT + self.bytes.len() as u64
    }

    /// Adds a C string.
    pub(crate) fn string(&mut self, text: impl AsRef<[u8]>) -> u64 {
        let at = PLAN_AT + self.bytes.len() as u64;
        self.bytes.extend_from_slice(text.as_ref());
        self.bytes.push(0);
        at
    }

    /// Adds bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Span {
        let at = self.align();
        self.bytes.extend_from_slice(bytes);
        Span { at, count: bytes.len() as u64 }
    }

    /// Adds the state that hooks read, without the pid, and the offset at which the pid belongs.
    pub(crate) fn state(&mut self, document: &[u8]) -> (Span, u64) {
        const FIELD: &[u8] = b"\n  \"pid\": ";
        let found = document.windows(FIELD.len()).position(|window| window == FIELD);
        let at = found.map_or(document.len(), |from| from + FIELD.len());
        let digits = document[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let span = self.bytes(&[&document[..at], &document[at + digits..]].concat());
        (span, at as u64)
    }

    /// Adds words of 32 bits.
    pub(crate) fn words(&mut self, words: &[u32]) -> Span {
        let at = self.align();
        self.bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        Span { at, count: words.len() as u64 }
    }

    /// Adds C strings and a list of their addresses.
    pub(crate) fn strings<S: AsRef<[u8]>>(&mut self, texts: impl IntoIterator<Item = S>) -> Span {
        let addresses: Vec<u64> = texts.into_iter().map(|text| self.string(text)).collect();
        let at = self.align();
        // The null at the end makes the list usable as argv or envp of execve.
        self.bytes.extend(addresses.iter().chain(&[0]).flat_map(|address| address.to_ne_bytes()));
        Span { at, count: addresses.len() as u64 }
    }

    /// Adds hooks.
    pub(crate) fn hooks(&mut self, hooks: &[Hook]) -> Span {
        let at = self.align();
        for hook in hooks {
            for word in [hook.path, hook.argv, hook.envp, hook.timeout] {
                self.bytes.extend(word.to_ne_bytes());
            }
        }
        Span { at, count: hooks.len() as u64 }
    }

    /// Adds resource limits.
    pub(crate) fn limits(&mut self, limits: &[Limit]) -> Span {
        let at = self.align();
        let words = limits.iter().flat_map(|limit| [limit.resource, limit.soft, limit.hard]);
        self.bytes.extend(words.flat_map(u64::to_ne_bytes));
        Span { at, count: limits.len() as u64 }
    }

    /// Adds a filter program (`struct sock_fprog`) of `count` instructions.
    pub(crate) fn program(&mut self, instructions: &[u8], count: u16) -> u64 {
        let code = self.bytes(instructions).at;
        let at = self.align();
        let mut head = [0u8; 16];
        head[..2].copy_from_slice(&count.to_ne_bytes());
        head[8..].copy_from_slice(&code.to_ne_bytes());
        self.bytes.extend(head);
        at
    }

    /// The segment with the plan at its start.
    fn finish(mut self, plan: &StubPlan) -> Vec<u8> {
        let mut head = Vec::with_capacity(size_of::<StubPlan>());
        write_plan(plan, &mut head);
        self.bytes[..head.len()].copy_from_slice(&head);
        self.bytes
    }
}

/// The plan's bytes, field by field in the order of their declaration; the structure has no padding (a test compares).
fn write_plan(plan: &StubPlan, out: &mut Vec<u8>) {
    out.extend(plan.waiting_name);
    out.extend(plan.flags.to_ne_bytes());
    let files = [plan.procfs, plan.cgroup_file, plan.end_file];
    for number in [plan.sync, plan.gate, plan.page, plan.first_closed].into_iter().chain(files) {
        out.extend(number.to_ne_bytes());
    }
    let numbers = [plan.uid, plan.gid, plan.umask, plan.last_capability, plan.grace, plan.contexts];
    for number in numbers {
        out.extend(number.to_ne_bytes());
    }
    let longs: [&[u64]; 8] = [
        &[plan.limits.at, plan.limits.count],
        &[plan.bounding, plan.effective],
        &[plan.permitted, plan.inheritable, plan.ambient],
        &[plan.groups.at, plan.groups.count, plan.cwd],
        &[plan.candidates.at, plan.candidates.count, plan.argv, plan.envp],
        &[plan.hooks.at, plan.hooks.count, plan.state.at, plan.state.count, plan.pid_at],
        &[plan.label_file, plan.label.at, plan.label.count],
        &[plan.filter, plan.filter_flags],
    ];
    out.extend(longs.into_iter().flatten().flat_map(|number| number.to_ne_bytes()));
}

/// Creates the stub as an executable memfd and seals it.
///
/// # Errors
/// EACCES if the sysctl `vm.memfd_noexec` is 2; the error names it.
pub(crate) fn make(image: &Image) -> Result<OwnedFd> {
    let file = memory::memfd("orlop-init", MemoryFile::Program)
        .hint_on(libc::EACCES, "the sysctl vm.memfd_noexec is 2; 1 is enough to keep other programs from it")
        .context("make the init image")?;
    image.write(&file).context("write the init image")?;
    memory::seal(&file).context("seal the init image")?;
    Ok(file)
}

/// Executes the stub; returns only on failure.
///
/// TOMOYO, a security module of Debian's kernels, looked up a program without a name as `/dev/fd/N`
/// (seen with 5.10). That gives ENOENT if the container has no /proc, or one that does not show
/// this process.
pub(crate) fn execute(file: &OwnedFd, image: &Image) -> Error {
    const ARGV: [&CStr; 2] = [c"orlop", c"init"];
    let failure = process::execute_fd(file, &ARGV, &[c""; 0]);
    if !failure.is(libc::ENOENT) {
        return failure.into();
    }
    match name(image) {
        Ok(()) => process::execute(NAME, &ARGV, &[c""; 0]).into(),
        Err(e) => e.context("give the init image a name"),
    }
}

/// The name of the file if it must have one.
const NAME: &CStr = c"orlop-init";

/// Writes the stub to a file on a detached, read-only filesystem and makes its directory the
/// working directory. The stub changes to the container's working directory before any code of the
/// container runs.
fn name(image: &Image) -> Result<()> {
    let context = mount::fsopen("tmpfs")?;
    mount::fsconfig_string(&context, "mode", "700")?;
    mount::fsconfig_create(&context)?;
    let directory = mount::fsmount(&context, mount::MOUNT_ATTR_NOSUID | mount::MOUNT_ATTR_NODEV)?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let file = sys::file::open_at(&directory, NAME.to_bytes(), flags, 0o500)?;
    image.write(&file)?;
    drop(file);
    mount::fsconfig_flag(&context, "ro")?;
    mount::fsconfig_reconfigure(&context)?;
    Ok(sys::fs::change_dir_to(&directory)?)
}

/// The stub as an ELF file: a header, the code, and the plan in a segment of its own.
pub(crate) struct Image {
    header: Vec<u8>,
    /// The zeros between the code and the page on which the segment begins.
    gap: Vec<u8>,
    segment: Vec<u8>,
}

impl Image {
    /// The image with this plan.
    pub(crate) fn new(plan: &StubPlan, layout: Layout) -> Image {
        let segment = layout.finish(plan);
        let page = memory::page_size();
        let code_to = HEADER + CODE.len();
        let segment_from = code_to.next_multiple_of(page);
        let mut header = Vec::with_capacity(HEADER);
        write_header(&mut header, page as u64, segment_from as u64, segment.len() as u64);
        header.resize(HEADER, 0);
        Image { header, gap: vec![0; segment_from - code_to], segment }
    }

    fn write(&self, file: &OwnedFd) -> sys::Result<()> {
        sys::file::write_all_of(file, &mut [&self.header, CODE, &self.gap, &self.segment].map(IoSlice::new))
    }
}

/// `elf(5)`: the file header and three program headers.
fn write_header(out: &mut Vec<u8>, page: u64, segment_from: u64, segment_length: u64) {
    const MACHINE: u16 = match () {
        () if cfg!(target_arch = "x86_64") => libc::EM_X86_64,
        () if cfg!(target_arch = "riscv64") => libc::EM_RISCV,
        () => libc::EM_AARCH64,
    };
    let (read, read_execute, read_write) = (4u32, 5u32, 6u32);
    out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.extend(libc::ET_EXEC.to_le_bytes());
    out.extend(MACHINE.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend(ENTRY.trim().parse::<u64>().unwrap_or(CODE_AT).to_le_bytes());
    out.extend(64u64.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 3, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let code_length = (HEADER + CODE.len()) as u64;
    for (kind, flags, from, at, length) in [
        (libc::PT_LOAD, read_execute, 0, BASE, code_length),
        (libc::PT_LOAD, read, segment_from, PLAN_AT, segment_length),
        (libc::PT_GNU_STACK, read_write, 0, 0, 0),
    ] {
        out.extend(kind.to_le_bytes());
        out.extend(flags.to_le_bytes());
        for word in [from, at, at, length, length, page] {
            out.extend(word.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_written_as_it_lies_in_memory() {
        let mut bytes = Vec::new();
        write_plan(&StubPlan::default(), &mut bytes);
        assert_eq!(bytes.len(), size_of::<StubPlan>());
        let plan = StubPlan { grace: 7, filter: 9, argv: 3, label: Span { at: 5, count: 6 }, ..StubPlan::default() };
        let mut bytes = Vec::new();
        write_plan(&plan, &mut bytes);
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(word(std::mem::offset_of!(StubPlan, argv)), 3);
        assert_eq!(word(std::mem::offset_of!(StubPlan, label)), 5);
        assert_eq!(word(std::mem::offset_of!(StubPlan, filter)), 9);
        assert_eq!(bytes[std::mem::offset_of!(StubPlan, grace)], 7);
    }

    #[test]
    fn the_state_is_laid_out_without_its_pid() {
        let mut layout = Layout::new();
        let before = layout.bytes.len();
        let (span, at) = layout.state(b"{\n  \"id\": \"\\\"pid\\\": 7\",\n  \"pid\": 4711,\n  \"bundle\": \"/\"\n}");
        let written = &layout.bytes[layout.bytes.len() - span.count as usize..];
        assert!(before < layout.bytes.len());
        let (head, tail) = written.split_at(at as usize);
        assert!(head.ends_with(b"\n  \"pid\": ") && tail.starts_with(b",\n  \"bundle\""), "{:?}", (head, tail));
    }

    #[test]
    fn the_image_is_small() {
        assert!(CODE.len() < 12 << 10, "{} bytes", CODE.len());
    }
}
