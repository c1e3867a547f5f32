//! The `linux.seccomp` object (config-linux.md, "Seccomp").

use std::borrow::Cow;

use crate::json::objects;

objects! {
    /// `linux.seccomp`.
    Seccomp<'a> {
        default_action: Cow<'a, str> = "defaultAction",
        default_errno_ret: u32 = "defaultErrnoRet",
        architectures: Vec<Cow<'a, str>> = "architectures",
        flags: Vec<Cow<'a, str>> = "flags",
        listener_path: Cow<'a, str> = "listenerPath",
        listener_metadata: Cow<'a, str> = "listenerMetadata",
        syscalls: Vec<Syscall<'a>> = "syscalls",
    }

    /// A rule: the action for some system calls.
    Syscall<'a> {
        names: Vec<Cow<'a, str>> = "names",
        action: Cow<'a, str> = "action",
        errno_ret: u32 = "errnoRet",
        args: Vec<SyscallArg<'a>> = "args",
    }

    /// A condition on an argument.
    SyscallArg<'a> {
        /// From 0 to 5.
        index: u32 = "index",
        value: u64 = "value",
        /// The value to compare with if `op` is `SCMP_CMP_MASKED_EQ`; `value` is then the mask.
        value_two: u64 = "valueTwo",
        op: Cow<'a, str> = "op",
    }
}
