//! libseccomp, in a process of its own.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::config::Seccomp;
use crate::process::seccomp::SockFilter;
use crate::process::seccomp::action::{Action, Place};

/// The program beside this file, compiled and running.
pub(super) struct Libseccomp {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Libseccomp {
    /// `None`, with a line that says so, where there is no C compiler or no libseccomp to compile against.
    pub(super) fn start() -> Option<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/process/seccomp/tests/libseccomp.c");
        let program = std::env::temp_dir().join(format!(
            "orlop-libseccomp-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let compiled = Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(source).arg("-lseccomp").output();
        if !compiled.is_ok_and(|output| output.status.success()) {
            crate::skip::skip("needs cc and libseccomp-dev");
            return None;
        }
        let child = Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        std::fs::remove_file(program).unwrap();
        let mut child = child.unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { child, input, output })
    }

    /// libseccomp's number for a call; negative where it has none.
    pub(super) fn number(&mut self, architecture: &str, name: &str) -> i32 {
        writeln!(self.input, "number {architecture} {name}").unwrap();
        let mut number = [0; 4];
        self.output.read_exact(&mut number).unwrap();
        i32::from_ne_bytes(number)
    }

    /// libseccomp's program, given the rules as runc gives them to it; `None` where it refuses them.
    pub(super) fn program(&mut self, seccomp: &Seccomp<'_>) -> Option<Vec<SockFilter>> {
        self.input.write_all(commands(seccomp).as_bytes()).unwrap();
        let mut length = [0; 4];
        self.output.read_exact(&mut length).unwrap();
        let mut bytes = vec![0; u32::from_ne_bytes(length) as usize];
        self.output.read_exact(&mut bytes).unwrap();
        let instructions = bytes.as_chunks::<8>().0.iter().map(|&[c0, c1, jt, jf, k @ ..]| SockFilter {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes(k),
        });
        Some(instructions.collect()).filter(|program: &Vec<_>| !program.is_empty())
    }
}

impl Drop for Libseccomp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn commands(seccomp: &Seccomp<'_>) -> String {
    let action = |name: &str, errno| Action::parse(name, errno, &Place::Default).unwrap();
    let default = action(seccomp.default_action.as_ref().unwrap(), seccomp.default_errno_ret);
    let mut commands = format!("begin {}\n", default.0);
    for architecture in seccomp.architectures.iter().flatten() {
        let name = architecture.strip_prefix("SCMP_ARCH_").unwrap().to_lowercase();
        writeln!(commands, "arch {name}").unwrap();
    }
    for syscall in seccomp.syscalls.iter().flatten() {
        let action = action(syscall.action.as_ref().unwrap(), syscall.errno_ret);
        if action == default {
            continue;
        }
        let args: Vec<(u32, String)> = syscall
            .args
            .iter()
            .flatten()
            .map(|arg| {
                let op = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
                let op = op.iter().position(|op| arg.op.as_ref().unwrap()[9..] == **op).unwrap();
                let index = arg.index.unwrap_or(0);
                let (a, b) = (arg.value.unwrap_or(0), arg.value_two.unwrap_or(0));
                (index, format!("{index}:{op}:{a}:{b}"))
            })
            .collect();
        let repeated = args.iter().enumerate().any(|(n, (index, _))| args[..n].iter().any(|(other, _)| other == index));
        for name in syscall.names.iter().flatten() {
            let together = args.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" ");
            let alternatives =
                if repeated { args.iter().map(|(_, text)| text.clone()).collect() } else { vec![together] };
            for alternative in alternatives {
                writeln!(commands, "rule {} {name} {alternative}", action.0).unwrap();
            }
        }
    }
    commands + "end\n"
}
