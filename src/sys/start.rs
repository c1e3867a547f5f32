//! How the program begins and ends: what std's runtime does before `main`, as far as a container runtime has a use for it.
//!
//! std's would add a handler for overflows of the stack, with a stack of its own, for which it makes eleven system calls.
#![allow(unsafe_code)]

use super::{file, process};
use std::ffi::{CStr, OsString, c_char};
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;

static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Makes `$run`, a function from the arguments to an exit code, the program's `main`.
#[macro_export]
macro_rules! program {
    ($run:path) => {
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn main(count: i32, values: *const *const std::ffi::c_char) -> i32 {
            $crate::sys::start::main(count, values, $run)
        }
    };
}

/// For [`program`](crate::program): what the C library calls.
pub fn main(count: i32, values: *const *const c_char, run: fn(&[OsString]) -> u8) -> i32 {
    fill_standard_descriptors();
    // SAFETY: no code of ours is installed. A reader that is gone is an error of `write`, not the end of the process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let code = run(ARGUMENTS.get_or_init(|| collect(count, values)));
    let _ = std::io::stdout().flush();
    // Nobody has asked for anything to be done at the end (atexit(3)).
    process::exit_now(code.into())
}

/// The program's arguments, its name first.
pub fn arguments() -> Vec<OsString> {
    ARGUMENTS.get().cloned().unwrap_or_else(|| std::env::args_os().collect())
}

fn collect(count: i32, values: *const *const c_char) -> Vec<OsString> {
    let one = |n: usize| {
        // SAFETY: the C library gives `count` pointers to C strings, which live as long as the process.
        let text = unsafe { CStr::from_ptr(*values.add(n)) };
        OsString::from_vec(text.to_bytes().to_vec())
    };
    (0..count.max(0) as usize).map(one).collect()
}

/// Opens /dev/null for each of standard input, output and error that is closed: else the next file to be opened would be it,
/// an error would be written to that, and a container would have it. Without /dev/null there is nothing else to do.
fn fill_standard_descriptors() {
    let states = process::poll(file::standard().map(|fd| (Some(fd), 0)), 0);
    let Ok(states) = states else { process::exit_now(1) };
    // What was opened with O_PATH is open too, though not for poll(2).
    let closed = (0..).zip(states).filter(|(number, state)| state & libc::POLLNVAL != 0 && !file::is_open(*number));
    for _ in closed {
        // The lowest number that is free: one of the three. It stays open.
        let null = file::open("/dev/null", libc::O_RDWR).and_then(|null| file::keep_over_exec(null.into_raw_fd()));
        if null.is_err() {
            process::exit_now(1);
        }
    }
}

// Every pointer in the program's data is written when it starts, page after page: so tables hold words (`word.rs`), and what
// is left lies beside the variables (`order.ld`). A fault for each page is cheaper than MADV_POPULATE_WRITE for all. The
// pointers' places are packed (DT_RELR of elf(5), less than a fiftieth of the size), which musl knows since 1.2.4 only: so
// they are done here, and none are left for it. No part is protected afterwards (`-z norelro`), as musl protects none of a
// static program's.
#[cfg(all(target_arch = "x86_64", target_env = "musl", target_feature = "crt-static", not(test)))]
std::arch::global_asm!(
    ".section .text.orlop_start,\"ax\",@progbits",
    ".globl orlop_start",
    ".hidden orlop_start",
    ".hidden __ehdr_start",
    ".hidden _DYNAMIC",
    ".type orlop_start,@function",
    "orlop_start:",
    "push rdx", // For the C library: what it is to call at the end.
    "lea rbx, [rip + __ehdr_start]",
    "lea rdi, [rip + _DYNAMIC]",
    "or dword ptr [rdi], 0", // A page that is read first and written later is faulted in twice.
    "xor esi, esi", // The table, and
    "xor ecx, ecx", // its size in bytes.
    "2:",
    "mov rax, [rdi]",
    "test rax, rax",
    "jz 4f",
    "cmp rax, {relr}",
    "cmove rsi, [rdi + 8]",
    "cmp rax, {relrsz}",
    "jne 3f",
    "xchg rcx, [rdi + 8]",
    "3:",
    "add rdi, 16",
    "jmp 2b",
    "4:",
    "add rsi, rbx",
    "add rcx, rsi",
    "5:",
    "cmp rsi, rcx",
    "jae 9f",
    "lodsq",
    "test al, 1",
    "jnz 6f",
    "lea rdi, [rbx + rax]", // An address: that word, and what follows are bits for the words behind it.
    "add [rdi], rbx",
    "add rdi, 8",
    "jmp 5b",
    "6:",
    "shr rax, 1",
    "jz 8f",
    "7:",
    "bsf rdx, rax",
    "add [rdi + 8 * rdx], rbx",
    "lea rdx, [rax - 1]",
    "and rax, rdx",
    "jnz 7b",
    "8:",
    "add rdi, 63 * 8",
    "jmp 5b",
    "9:",
    "pop rdx",
    "jmp _start",
    ".size orlop_start, . - orlop_start",
    relr = const 36,
    relrsz = const 35,
);

// Where the program is linked dynamically, the dynamic linker has already done all that.
#[cfg(all(target_arch = "x86_64", target_env = "musl", not(target_feature = "crt-static"), not(test)))]
std::arch::global_asm!(".globl orlop_start", ".hidden orlop_start", "orlop_start: jmp _start");
