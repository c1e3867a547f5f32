//! Architectures: the value that the kernel reports for a system call (`AUDIT_ARCH_*` in
//! linux/audit.h), and the lookup of system call numbers.

use super::tables::Row;

/// An architecture that a kernel for this build's target can report.
pub(super) struct Architecture {
    /// The name in the config.
    pub(super) name: &'static str,
    /// `seccomp_data.arch`.
    pub(super) audit: u32,
    /// Whether registers, and therefore arguments, have 64 bits.
    pub(super) wide: bool,
    /// Whether it has `socketcall` and `ipc`, which multiplex system calls such as `socket` and
    /// `semget`.
    pub(super) multiplexed: bool,
    column: usize,
    /// The difference between the architecture's numbers and those of the table.
    offset: u32,
}

/// The bit in the system call numbers of x32 (`__X32_SYSCALL_BIT`). x32 has the same `AUDIT_ARCH`
/// as x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;
/// The first private system call number of 32-bit ARM (arch/arm/include/uapi/asm/unistd.h). Higher
/// numbers are no newer system calls.
pub(super) const ARM_PRIVATE: u32 = 0x000f_0000;
/// The number in the table for [`ARM_PRIVATE`], so that the table's numbers fit 16 bits.
const ARM_PRIVATE_ROWS: u32 = 0xf000;

const fn architecture(name: &'static str, audit: u32, column: usize) -> Architecture {
    const WIDE: u32 = 0x8000_0000;
    Architecture { name, audit, wide: audit & WIDE != 0, multiplexed: false, column, offset: 0 }
}

/// The architectures of the kernel's family, the native one first. The filter always contains the
/// native architecture, as with libseccomp, whether the config lists it or not. There is a family for each architecture that
/// the init stub has an entry for.
#[cfg(target_arch = "x86_64")]
pub(super) static FAMILY: [Architecture; 3] = [
    architecture("SCMP_ARCH_X86_64", 0xc000_003e, 0),
    Architecture { multiplexed: true, ..architecture("SCMP_ARCH_X86", 0x4000_0003, 1) },
    Architecture { wide: false, offset: X32_BIT, ..architecture("SCMP_ARCH_X32", 0xc000_003e, 2) },
];
#[cfg(target_arch = "aarch64")]
pub(super) static FAMILY: [Architecture; 2] =
    [architecture("SCMP_ARCH_AARCH64", 0xc000_00b7, 0), architecture("SCMP_ARCH_ARM", 0x4000_0028, 1)];
#[cfg(target_arch = "riscv64")]
pub(super) static FAMILY: [Architecture; 1] = [architecture("SCMP_ARCH_RISCV64", 0xc000_00f3, 0)];

/// Every architecture that a config may name (config-linux.md, "Seccomp").
pub(crate) static ARCHITECTURES: [&str; 23] = [
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

/// A way to make a system call: a number and, for a multiplexer, the value of its first argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) number: u32,
    pub(super) selector: Option<u32>,
}

impl Architecture {
    /// The ways to make a system call: by its own number from `row`, and through the multiplexer
    /// that [`super::multiplex::selector`] found.
    pub(super) fn entries(&self, row: Option<Row>, selected: Option<(&str, u32)>) -> [Option<Entry>; 2] {
        let direct = row.and_then(|row| self.number(row)).map(|number| Entry { number, selector: None });
        let through = selected.filter(|_| self.multiplexed).and_then(|(multiplexer, selector)| {
            let number = self.number(Row::find(multiplexer, Row::default())?)?;
            Some(Entry { number, selector: Some(selector) })
        });
        [direct, through]
    }

    pub(super) fn number(&self, row: Row) -> Option<u32> {
        let number = u32::from(row.number(self.column)?);
        let private = cfg!(any(target_arch = "aarch64", target_arch = "arm")) && number >= ARM_PRIVATE_ROWS;
        Some(if private { number - ARM_PRIVATE_ROWS + ARM_PRIVATE } else { number + self.offset })
    }
}
