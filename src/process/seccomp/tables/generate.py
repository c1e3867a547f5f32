#!/usr/bin/env python3
"""Writes the tables of system call numbers from the kernel's own headers.

    generate.py UAPI

UAPI is the folder of a package linux-libc-dev that has one folder for each architecture of the kernel (x86/asm/unistd_64.h
and so on; /usr/lib/linux/uapi since Debian 13).
"""

import re
import sys
from pathlib import Path

uapi = Path(sys.argv[1])

ARM_PRIVATE = {"breakpoint": 0xF001, "cacheflush": 0xF002, "usr26": 0xF003, "usr32": 0xF004, "set_tls": 0xF005,
               "get_tls": 0xF006}

FAMILIES = {
    "x86": [("x86_64", "x86/asm/unistd_64.h"), ("x86", "x86/asm/unistd_32.h"), ("x32", "x86/asm/unistd_x32.h")],
    "arm": [("aarch64", "arm64/asm/unistd_64.h"), ("arm", "arm/asm/unistd-eabi.h")],
    "riscv": [("riscv64", "riscv/asm/unistd_64.h")],
}

# Counts and bases that the headers define beside the calls.
NOT_CALLS = {"Linux", "Linux_syscalls", "syscalls"}


def numbers(header):
    found = {}
    for line in (uapi / header).read_text().splitlines():
        match = re.match(r"#define __NR_(\w+)\s+\(?(?:\w+\s*\+\s*)?(\d+)\)?$", line)
        if match and match[1] not in NOT_CALLS and not re.match(r"(unused|reserved)\d+$", match[1]):
            found[match[1]] = int(match[2])
    return found


for family, columns in FAMILIES.items():
    tables = [numbers(header) for _, header in columns]
    if family == "arm":
        tables[1] |= ARM_PRIVATE
        tables[1]["sync_file_range2"] = tables[1].get("sync_file_range2", tables[1].get("arm_sync_file_range"))
    names = sorted(set().union(*tables))
    out = [f"// Written by generate.py from the kernel's headers: {', '.join(name for name, _ in columns)}.", "",
           *(["use super::NONE;", ""] if len(columns) > 1 else []), f"pub(in super::super) const ROWS: &[(&str, [u16; {len(columns)}])] = &["]
    for name in names:
        row = [str(table[name]) if name in table else "NONE" for table in tables]
        out.append(f'    ("{name}", [{", ".join(row)}]),')
    out.append("];")
    (Path(__file__).parent / f"{family}.rs").write_text("\n".join(out) + "\n")
    print(family, len(names), [len(table) for table in tables])
