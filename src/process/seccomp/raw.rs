//! Filters in base64, as an array of `struct sock_filter`. They are checked by the kernel's rules,
//! so that errors are found before a process is created.

use super::action::Action;
use super::{Filter, SockFilter};
use std::result::Result;

/// The kernel's limit of instructions (`BPF_MAXINSNS` in linux/bpf_common.h).
const MOST: usize = 4096;
/// The number of words in a program's scratch memory (`BPF_MEMWORDS` in linux/filter.h).
const MEMORY: u32 = 16;
/// `sizeof(struct seccomp_data)`.
const DATA: u32 = 64;

/// Decodes and checks a filter.
pub(super) fn parse(text: &str) -> Result<Filter, String> {
    let bytes = decode(text)?;
    if bytes.is_empty() || bytes.len() % 8 != 0 {
        return Err(format!("holds {} bytes, which is not a positive multiple of 8", bytes.len()));
    }
    let program: Vec<SockFilter> = bytes.chunks_exact(8).map(instruction).collect();
    if program.len() > MOST {
        return Err(format!("has {} instructions, more than the kernel's limit of {MOST}", program.len()));
    }
    for (at, instruction) in program.iter().enumerate() {
        let problem = check(instruction, program.len() - at - 1);
        problem.map_err(|problem| {
            format!("instruction {at} ({:#06x}, {:#x}): {problem}", instruction.code, instruction.k)
        })?;
    }
    match program.last() {
        Some(SockFilter { code: 0x06 | 0x16, .. }) => {}
        _ => return Err("does not end with a RET instruction".into()),
    }
    Ok(Filter { flags: 0, program, notify: None, warnings: Vec::new() })
}

fn instruction(bytes: &[u8]) -> SockFilter {
    let code = u16::from_ne_bytes([bytes[0], bytes[1]]);
    SockFilter { code, jt: bytes[2], jf: bytes[3], k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) }
}

/// Checks an instruction that `left` others follow by the rules of kernel/seccomp.c and
/// net/core/filter.c: the kernel refuses any other instruction with EINVAL.
fn check(instruction: &SockFilter, left: usize) -> Result<(), &'static str> {
    let SockFilter { code, jt, jf, k } = *instruction;
    let jumps_too_far = match code {
        0x05 => k as usize >= left,
        0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => usize::from(jt.max(jf)) >= left,
        _ => false,
    };
    let problem = match code {
        _ if jumps_too_far => "jumps past the end",
        // LD W ABS.
        0x20 if k % 4 != 0 || k >= DATA => "loads from an offset that is not a word of seccomp_data",
        // LD and LDX MEM, ST and STX.
        0x60 | 0x61 | 0x02 | 0x03 if k >= MEMORY => "accesses scratch memory out of bounds",
        // ALU DIV K; LSH and RSH K.
        0x34 if k == 0 => "divides by zero",
        0x64 | 0x74 if k > 31 => "shifts by more than 31",
        0x06 if k & 0xffff_0000 == Action::NOTIFY.0 => "returns SECCOMP_RET_USER_NOTIF, but there is no agent",
        0x20 | 0x60 | 0x61 | 0x02 | 0x03 | 0x34 | 0x64 | 0x74 => return Ok(()),
        // LD LEN and IMM, LDX LEN and IMM; RET K and A; TAX and TXA.
        0x80 | 0x81 | 0x00 | 0x01 | 0x06 | 0x16 | 0x07 | 0x87 => return Ok(()),
        // ADD, SUB, MUL, OR, AND, XOR with K and X; DIV, LSH, RSH with X; NEG.
        0x04 | 0x0c | 0x14 | 0x1c | 0x24 | 0x2c | 0x44 | 0x4c | 0x54 | 0x5c | 0xa4 | 0xac => return Ok(()),
        0x3c | 0x6c | 0x7c | 0x84 => return Ok(()),
        // JA; JEQ, JGT, JGE, JSET with K and X.
        0x05 | 0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => return Ok(()),
        _ => "is not allowed in a seccomp filter",
    };
    Err(problem)
}

/// Decodes base64 (RFC 4648, section 4) with or without padding.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.trim_end_matches('=');
    if !matches!((digits.len() % 4, text.len() - digits.len()), (0, 0) | (2, 0 | 2) | (3, 0 | 1)) {
        return Err("is not base64: wrong length".into());
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut held, mut bits) = (0u32, 0);
    for (at, digit) in digits.bytes().enumerate() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(format!("is not base64: invalid character at byte {at}")),
        };
        (held, bits) = (held << 6 | u32::from(value), bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word = (0..3).fold(0u32, |word, n| word << 8 | u32::from(*chunk.get(n).unwrap_or(&0)));
            let digits = (0..4).map(|n| char::from(DIGITS[(word >> (18 - 6 * n)) as usize & 63]));
            text.extend(digits.take(chunk.len() + 1));
            text.push_str(&"=="[chunk.len() - 1..]);
        }
        text
    }

    fn program(instructions: &[(u16, u8, u8, u32)]) -> String {
        let mut bytes = Vec::new();
        for (code, jt, jf, k) in instructions {
            bytes.extend(code.to_ne_bytes());
            bytes.extend([*jt, *jf]);
            bytes.extend(k.to_ne_bytes());
        }
        encode(&bytes)
    }

    const ALLOW: (u16, u8, u8, u32) = (0x06, 0, 0, 0x7fff_0000);

    #[test]
    fn base64_is_read_with_and_without_padding_and_nothing_else_is() {
        for bytes in [&b""[..], b"f", b"fo", b"foo", b"foob", b"fooba", b"foobar", &[0xff, 0xfe, 0xfb]] {
            assert_eq!(decode(&encode(bytes)).unwrap(), bytes);
            assert_eq!(decode(encode(bytes).trim_end_matches('=')).unwrap(), bytes);
        }
        for text in ["!!!", "A", "AA=", "AAA==", "AAAA=", "====", "A===", "AA=A", "AA\n==", "AA AA", "-_-_"] {
            assert!(decode(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_program_is_taken_as_it_stands() {
        let text = program(&[(0x20, 0, 0, 0), (0x15, 0, 1, 83), (0x06, 0, 0, 0x0005_0001), ALLOW]);
        let filter = parse(&text).unwrap();
        assert_eq!((filter.flags, filter.program.len(), &filter.notify), (0, 4, &None));
        assert_eq!(encode(&filter.bytes()), text);
    }

    #[test]
    fn what_the_kernel_would_refuse_is_refused_with_the_instruction() {
        let of = |instruction| program(&[instruction, ALLOW]);
        for (text, problem) in [
            (String::new(), "holds 0 bytes"),
            ("AAAA".into(), "holds 3 bytes"),
            (program(&[(0x20, 0, 0, 0)]), "does not end with a RET instruction"),
            (of((0x20, 0, 0, 2)), "instruction 0 (0x0020, 0x2): loads from an offset that is not a word"),
            (of((0x20, 0, 0, 64)), "loads from an offset that is not a word"),
            (of((0x28, 0, 0, 0)), "is not allowed in a seccomp filter"),
            (of((0x15, 1, 0, 0)), "jumps past the end"),
            (of((0x05, 0, 0, 1)), "jumps past the end"),
            (of((0x05, 0, 0, u32::MAX)), "jumps past the end"),
            (of((0x34, 0, 0, 0)), "divides by zero"),
            (of((0x64, 0, 0, 32)), "shifts by more than 31"),
            (of((0x02, 0, 0, 16)), "accesses scratch memory out of bounds"),
            (of((0x06, 0, 0, 0x7fc0_0000)), "returns SECCOMP_RET_USER_NOTIF"),
            (program(&[ALLOW; 4097]), "has 4097 instructions"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        assert!(parse(&program(&[ALLOW; 4096])).is_ok());
    }

    /// The kernel's own check is made of instructions that are never reached, too.
    #[test]
    fn the_kernel_takes_the_same_instructions() {
        for code in 0..=0xff_u16 {
            for k in [0, 1, 2, 4, 15, 16, 31, 32, 60, 64] {
                let text = program(&[(0x05, 0, 0, 1), (code, 0, 0, k), ALLOW]);
                let taken = crate::sys::tests::takes_filter(decode(&text).unwrap());
                assert_eq!(parse(&text).is_ok(), taken, "{code:#x} {k}");
            }
        }
    }
}
