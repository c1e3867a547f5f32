//! The first instruction of the program, and the functions that the compiler calls by name.

#[cfg(not(test))]
use super::plan;
#[cfg(not(test))]
use core::arch::naked_asm;

/// The program's first instruction: aligns the stack and goes on in Rust.
#[cfg(not(test))]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text._start")]
unsafe extern "C" fn _start() -> ! {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym enter);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x29, xzr", "bl {main}", "udf #0", main = sym enter);
    #[cfg(target_arch = "riscv64")]
    naked_asm!("mv fp, zero", "call {main}", "unimp", main = sym enter);
}

#[cfg(not(test))]
extern "C" fn enter() -> ! {
    crate::begin(plan())
}

/// The compiler calls these for copies and comparisons of any length.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: the caller gives `n` valid bytes on both sides; volatile keeps this loop from becoming a call to itself.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
    to
}
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    for i in 0..n {
        let i = if to.cast_const() < from { i } else { n - 1 - i };
        // SAFETY: the caller gives `n` valid bytes on both sides; where they overlap none is written before it is read.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
    to
}
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: the caller gives `n` valid bytes.
        unsafe { to.add(i).write_volatile(value as u8) };
    }
    to
}
