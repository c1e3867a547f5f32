#!/usr/bin/env python3
"""Writes the tables of system call numbers from the kernel's own headers.

    generate.py UAPI [S390]

UAPI is the folder of a package linux-libc-dev that has one folder for each architecture of the kernel (x86/asm/unistd_64.h
and so on; /usr/lib/linux/uapi since Debian 13). S390 is the asm folder of an older package for s390x: kernels from 7.0 on
no longer have the 31-bit calls.
"""

import re
import sys
from pathlib import Path

uapi = Path(sys.argv[1])
s390 = Path(sys.argv[2]) if len(sys.argv) > 2 else None

ARM_PRIVATE = {"breakpoint": 0xF001, "cacheflush": 0xF002, "usr26": 0xF003, "usr32": 0xF004, "set_tls": 0xF005,
               "get_tls": 0xF006}

FAMILIES = {
    "x86": [("x86_64", "x86/asm/unistd_64.h", 0), ("x86", "x86/asm/unistd_32.h", 0), ("x32", "x86/asm/unistd_x32.h", 0)],
    "arm": [("aarch64", "arm64/asm/unistd_64.h", 0), ("arm", "arm/asm/unistd-eabi.h", 0)],
    "mips": [("mips64", "mips/asm/unistd_n64.h", 5000), ("mips", "mips/asm/unistd_o32.h", 4000),
             ("mips64n32", "mips/asm/unistd_n32.h", 6000)],
    "powerpc": [("ppc64", "powerpc/asm/unistd_64.h", 0), ("ppc", "powerpc/asm/unistd_32.h", 0)],
    "s390": [("s390x", "s390/asm/unistd_64.h", 0), ("s390", s390 and s390 / "unistd_32.h", 0)],
    "riscv": [("riscv64", "riscv/asm/unistd_64.h", 0)],
    "loongarch": [("loongarch64", "loongarch/asm/unistd_64.h", 0)],
    "m68k": [("m68k", "m68k/asm/unistd_32.h", 0)],
}

# Counts and bases that the headers define beside the calls.
NOT_CALLS = {"Linux", "Linux_syscalls", "syscalls", "O32_Linux", "64_Linux", "N32_Linux"}


def numbers(header, base):
    found = {}
    if header is None:
        return found
    for line in (uapi / header).read_text().splitlines():
        match = re.match(r"#define __NR_(\w+)\s+\(?(?:\w+\s*\+\s*)?(\d+)\)?$", line)
        if match and match[1] not in NOT_CALLS and not re.match(r"(unused|reserved)\d+$", match[1]):
            found[match[1]] = int(match[2]) + base
    return found


for family, columns in FAMILIES.items():
    tables = [numbers(header, base) for _, header, base in columns]
    if family == "arm":
        tables[1] |= ARM_PRIVATE
        tables[1]["sync_file_range2"] = tables[1].get("sync_file_range2", tables[1].get("arm_sync_file_range"))
    names = sorted(set().union(*tables))
    out = [f"// Written by generate.py from the kernel's headers: {', '.join(name for name, *_ in columns)}.", "",
           *(["use super::NONE;", ""] if len(columns) > 1 else []), f"pub(in super::super) const ROWS: &[(&str, [u16; {len(columns)}])] = &["]
    for name in names:
        row = [str(table[name]) if name in table else "NONE" for table in tables]
        out.append(f'    ("{name}", [{", ".join(row)}]),')
    out.append("];")
    (Path(__file__).parent / f"{family}.rs").write_text("\n".join(out) + "\n")
    print(family, len(names), [len(table) for table in tables])
