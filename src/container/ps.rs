//! `ps`: the processes of a container.

use super::Context;
use super::request::{Format, PsRequest};
use crate::error::{Context as _, Error, Result};
use crate::host_program;
use crate::state::{Status, Store};
use crate::sys::process::{self, Ended, SingleThreaded};
use crate::text;

/// `ps`: returns the text to print.
///
/// # Errors
/// `container does not exist`; ps(1) cannot be run or fails, or its output has no column PID.
pub fn ps(context: &Context, request: &PsRequest) -> Result<String> {
    let record = Store::at(&context.root).read(request.id.as_str())?;
    let cgroup = record.cgroup();
    let pids = match record.status()? {
        Status::Stopped if cgroup.cgroups().is_empty() => Vec::new(),
        // Without a cgroup only the first process is known to be the container's.
        _ if cgroup.cgroups().is_empty() => record.init.iter().map(|init| init.pid).collect(),
        _ => cgroup.processes()?,
    };
    list(request, &pids)
}

/// The output for the processes `pids`, with pids of the caller's namespace.
fn list(request: &PsRequest, pids: &[i32]) -> Result<String> {
    match request.format {
        Format::Json if pids.is_empty() => Ok("null\n".into()),
        Format::Json => {
            let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
            Ok(format!("[{}]\n", pids.join(",")))
        }
        Format::Table => table(&run(&request.args)?, pids),
    }
}

/// The output of ps(1).
fn run(args: &[String]) -> Result<String> {
    let everything = ["-ef".to_owned()];
    let args = if args.is_empty() { &everything[..] } else { args };
    let proof = SingleThreaded::of_caller()?;
    let output = host_program::run(&proof, "ps", args, &process::environment());
    let output = output.and_then(|output| match output.ended {
        Ended::Exited(0) => Ok(output.stdout),
        ended => Err(failed(ended, &[&output.stderr[..], b"\n", &output.stdout].concat())),
    });
    Ok(String::from_utf8_lossy(&output.with_context(|| format!("ps {}", args.join(" ")))?).into_owned())
}

/// ps(1) prints its usage after the first line.
fn failed(ended: Ended, said: &[u8]) -> Error {
    let said = String::from_utf8_lossy(said);
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing").trim();
    match ended {
        Ended::Exited(status) => Error::system(format!("exit status {status}: {first}")),
        Ended::Signaled(signal) => Error::system(format!("killed by signal {signal}: {first}")),
    }
}

/// The header, and the lines with one of `pids` in the column PID.
fn table(output: &str, pids: &[i32]) -> Result<String> {
    let mut lines = output.lines();
    let header = lines.next().unwrap_or_default();
    let column = header
        .split_ascii_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Error::system("couldn't find PID field in ps output"))?;
    let is_ours = |line: &&str| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    // A process chooses its own name, which may hold control characters. Between columns there may
    // be tabs.
    let clean = |line: &str| line.split('\t').map(|part| text::shown(part).into_owned()).collect::<Vec<_>>().join("\t");
    Ok([header].into_iter().chain(lines.filter(is_ours)).map(|line| clean(line) + "\n").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_the_containers_processes_are_shown() {
        let output = "UID        PID  PPID CMD\nroot         1     0 init\nlp          17     1 sleep 1\n";
        assert_eq!(table(output, &[17, 2]).unwrap(), "UID        PID  PPID CMD\nlp          17     1 sleep 1\n");
        assert_eq!(table(output, &[]).unwrap(), "UID        PID  PPID CMD\n");
    }

    #[test]
    fn a_process_cannot_write_to_the_terminal_by_its_name() {
        let output = "PID CMD\n17\tx\x1b[2J\u{9b}1m\u{202e}\r\n";
        assert_eq!(table(output, &[17]).unwrap(), "PID CMD\n17\tx\\u{1b}[2J\\u{9b}1m\\u{202e}\n");
    }

    #[test]
    fn output_without_process_ids_is_an_error() {
        for output in ["", "CMD\nx\n"] {
            assert_eq!(table(output, &[1]).unwrap_err().to_string(), "couldn't find PID field in ps output");
        }
    }

    #[test]
    fn json_is_a_list_of_numbers() {
        let id = super::super::request::ContainerId::parse("x").unwrap();
        let request = PsRequest { id, format: Format::Json, args: Vec::new() };
        assert_eq!(list(&request, &[3, 4]).unwrap(), "[3,4]\n");
        assert_eq!(list(&request, &[]).unwrap(), "null\n");
    }
}
