//! `memcpy` of the program, in place of musl's, which is made for large copies.
//!
//! musl's begins every copy of more than a few bytes with `rep movsq`, which takes about 40 ns before its first byte on the
//! machines of today. A `run` makes some 2,000 copies of ten bytes each: a fifth of its time outside the kernel. The linker
//! takes this one, as it comes before the archive of the C library. In assembly, because link-time optimisation drops a Rust
//! function that only the compiler's own calls refer to.
#![allow(unsafe_code)]

use std::arch::global_asm;

#[cfg(not(test))]
macro_rules! name {
    () => {
        "memcpy"
    };
}
// musl's memmove goes on in its memcpy by another name, which is not the same in all versions, where it may copy forwards.
// Without that name here the linker would take both.
#[cfg(not(test))]
global_asm!(
    ".globl __memcpy_fwd",
    ".set __memcpy_fwd, memcpy",
    ".globl __memcpy_fwd_alias_1",
    ".set __memcpy_fwd_alias_1, memcpy",
);

#[cfg(test)]
macro_rules! name {
    () => {
        "orlop_memcpy"
    };
}

// memcpy(rdi: to, rsi: from, rdx: length) -> rax: to (System V ABI). The first and the last bytes are moved by registers of
// the largest size that fits, which may overlap. `to` may lie within `from` as long as it begins before it: nothing is read
// that was written before. The few copies above 512 bytes are left to `rep movsb`.
global_asm!(
    concat!(".pushsection .text.", name!(), ",\"ax\",@progbits"),
    concat!(".globl ", name!()),
    concat!(".type ", name!(), ", @function"),
    concat!(name!(), ":"),
    "mov rax, rdi",
    "cmp rdx, 16",
    "ja 5f",
    "cmp edx, 8",
    "jae 4f",
    "cmp edx, 4",
    "jae 3f",
    "test edx, edx",
    "je 2f",
    "mov r9, rdx",
    "shr r9",
    "movzx ecx, byte ptr [rsi]",
    "movzx r10d, byte ptr [rsi + r9]",
    "movzx r8d, byte ptr [rsi + rdx - 1]",
    "mov byte ptr [rdi], cl",
    "mov byte ptr [rdi + r9], r10b",
    "mov byte ptr [rdi + rdx - 1], r8b",
    "2: ret",
    "3: mov ecx, dword ptr [rsi]",
    "mov r8d, dword ptr [rsi + rdx - 4]",
    "mov dword ptr [rdi], ecx",
    "mov dword ptr [rdi + rdx - 4], r8d",
    "ret",
    "4: mov rcx, qword ptr [rsi]",
    "mov r8, qword ptr [rsi + rdx - 8]",
    "mov qword ptr [rdi], rcx",
    "mov qword ptr [rdi + rdx - 8], r8",
    "ret",
    "5: cmp rdx, 512",
    "ja 7f",
    "movups xmm0, xmmword ptr [rsi + rdx - 16]",
    "lea r8, [rdx - 16]",
    "xor ecx, ecx",
    "6: movups xmm1, xmmword ptr [rsi + rcx]",
    "movups xmmword ptr [rdi + rcx], xmm1",
    "add rcx, 16",
    "cmp rcx, r8",
    "jb 6b",
    "movups xmmword ptr [rdi + r8], xmm0",
    "ret",
    "7: mov rcx, rdx",
    "rep movsb",
    "ret",
    concat!(".size ", name!(), ", . - ", name!()),
    ".popsection",
);

#[cfg(test)]
mod tests {
    unsafe extern "C" {
        fn orlop_memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8;
    }

    #[test]
    fn bytes_move_down_within_one_buffer() {
        for length in 0..700 {
            for by in [1, 3, 16, 40] {
                let mut buffer: Vec<u8> = (0..length + by).map(|n| (n * 31 + 7) as u8).collect();
                let expected = buffer[by..].to_vec();
                let place = buffer.as_mut_ptr();
                // SAFETY: both places lie within the buffer.
                unsafe { orlop_memcpy(place, place.add(by), length) };
                assert_eq!(buffer[..length], expected, "{length} by {by}");
            }
        }
    }

    #[test]
    fn every_length_is_copied_whole_and_nothing_beside_it() {
        let from: Vec<u8> = (0..2048u32).map(|n| (n * 31 + 7) as u8).collect();
        for length in (0..700).chain([1000, 1024, 1999]) {
            for offset in [0, 1, 7] {
                let mut to = vec![0xaa; length + 32];
                let place = to[16..].as_mut_ptr();
                // SAFETY: both are that long, and they are two allocations.
                assert_eq!(unsafe { orlop_memcpy(place, from[offset..].as_ptr(), length) }, place);
                assert_eq!(to[16..16 + length], from[offset..offset + length], "{length}");
                assert!(to[..16].iter().chain(&to[16 + length..]).all(|byte| *byte == 0xaa), "{length}");
            }
        }
    }
}
