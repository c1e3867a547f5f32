//! The command line.

use crate::output::Format;
use crate::{cases, clause, compare, coverage, mutant, pairs, runner, setup};
use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about = "Tries an OCI runtime against the runtime specification, clause by clause")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The names of the cases
    List {
        /// Only cases whose name or clause contains this
        #[arg(long)]
        filter: Vec<String>,
    },
    /// Try one runtime. Exit status: 0 all passed, 1 something failed, 2 the suite could not run
    Run(RunOptions),
    /// Try several runtimes and put the results side by side
    Compare(CompareOptions),
    /// Put the fields that protect or limit beside one another, and look at the effect of each from inside
    Pairs(PairsOptions),
    /// Give the runtime many defects, one after the other, and see which cases find them
    Mutate(MutateOptions),
    /// A runtime with a defect
    #[command(hide = true)]
    Mutant {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// What a case checks, how, and by which clause
    Explain {
        /// The case, or a part of its name
        case: String,
    },
    /// Every clause of the specification with its cases
    Coverage {
        /// A directory with the specification's text: check that each clause is quoted from it and none is missing
        #[arg(long)]
        spec: Option<PathBuf>,
        /// As a Markdown table
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Args)]
pub(crate) struct RunOptions {
    /// The runtime's executable
    #[arg(long)]
    pub(crate) runtime: PathBuf,
    /// The form of the results; the last line of standard output, or of standard error with tap, junit and json, is a summary
    #[arg(long, default_value = "text")]
    pub(crate) output: Format,
    /// File with the cases that are expected to be skipped on this kind of machine; any other skip is a failure
    #[arg(long)]
    pub(crate) skips: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args)]
pub(crate) struct CompareOptions {
    /// The runtimes' executables; a name in `.json` is what `run --output json` wrote, here or on another machine
    #[arg(required = true)]
    pub(crate) runtimes: Vec<PathBuf>,
    /// Also the cases that all of them passed
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args)]
pub(crate) struct MutateOptions {
    /// The runtime's executable
    #[arg(long)]
    pub(crate) runtime: PathBuf,
    /// Only defects whose name contains this; may be given several times
    #[arg(long)]
    pub(crate) only: Vec<String>,
    /// Another runtime, without defects of the suite's making: a case that fails there has been seen to fail
    #[arg(long)]
    pub(crate) also: Vec<PathBuf>,
    /// File with the place where each case was seen to fail, to which this adds what is new
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args)]
pub(crate) struct PairsOptions {
    /// The runtime's executable
    #[arg(long)]
    pub(crate) runtime: PathBuf,
    /// Each pair in a config of its own, instead of many fields in each config
    #[arg(long)]
    pub(crate) each: bool,
    /// How many fields a config has at most
    #[arg(long, default_value_t = 8)]
    pub(crate) size: usize,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Clone)]
pub(crate) struct Common {
    /// Only cases whose name or clause contains this; may be given several times
    #[arg(long)]
    pub(crate) filter: Vec<String>,
    /// Cases at the same time [default: twice the processors]
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// Pass `--cgroup-manager` to the runtime; with `systemd` the cgroup paths are as with `--systemd`
    #[arg(long)]
    pub(crate) cgroup_manager: Option<String>,
    /// Pass `--systemd-cgroup` to the runtime, and cgroup paths of the form `slice:prefix:name`
    #[arg(long)]
    pub(crate) systemd: bool,
    /// Map the caller's own id, and leave out what needs root
    #[arg(long)]
    pub(crate) rootless: bool,
    /// Hide the unified hierarchy of a hybrid layout from the runtime, for those that refuse such a layout
    #[arg(long)]
    pub(crate) v1_only: bool,
    /// Put a defect before the runtime
    #[arg(long, hide = true)]
    pub(crate) defect: Option<String>,
    /// Make every deadline this many times longer, for slow machines
    #[arg(long, default_value_t = 1)]
    pub(crate) patience: u32,
    /// One more global option for the runtime; may be given several times
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) runtime_option: Vec<String>,
}

pub(crate) fn run() -> Result<ExitCode> {
    let command = CommandLine::parse().command;
    if matches!(command, Command::List { .. } | Command::Explain { .. } | Command::Coverage { .. }) {
        crate::sys::end_with_the_reader();
    }
    match command {
        Command::List { filter } => list(&filter),
        Command::Run(options) => {
            setup::isolate(&options.common)?;
            runner::command(&options)
        }
        Command::Pairs(options) => {
            setup::isolate(&options.common)?;
            pairs::command(&options)
        }
        Command::Compare(options) => compare::command(&options),
        Command::Mutate(options) => mutant::command(&options),
        Command::Mutant { words } => mutant::stand_in(&words),
        Command::Explain { case } => explain(&case),
        Command::Coverage { spec, markdown } => coverage::command(spec.as_deref(), markdown),
    }
}

fn list(filter: &[String]) -> Result<ExitCode> {
    for case in cases::selected(filter) {
        println!("{}", case.id());
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(name: &str) -> Result<ExitCode> {
    let mut found = cases::selected(&[name.to_owned()]);
    if let Some(exact) = found.iter().position(|case| case.id() == name) {
        found = vec![found.swap_remove(exact)];
    }
    if found.is_empty() {
        bail!("no case is named like {name:?}");
    }
    let clauses = clause::table()?;
    for case in found {
        println!("{}\n    {}", case.id(), case.how);
        for id in &case.clauses {
            let clause = clauses.iter().find(|c| c.id == *id).with_context(|| format!("no clause {id}"))?;
            println!("    {} ({}, {}): {}", clause.id, clause.level, clause.place(), clause.quote);
        }
    }
    Ok(ExitCode::SUCCESS)
}
