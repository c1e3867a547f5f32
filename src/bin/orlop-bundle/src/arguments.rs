//! The command line: the runtime's global options, and the companion's words.

use crate::pages::tree;
use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command, FromArgMatches, Subcommand, ValueEnum, ValueHint};
use orlop::cli::GLOBAL;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A command line that was understood.
pub(crate) struct Arguments {
    pub(crate) global: Global,
    pub(crate) word: Word,
    /// The descriptor of the runtime's program.
    pub(crate) runtime: Option<i32>,
}

/// The global options that matter here; the others are taken and have no effect.
pub(crate) struct Global {
    /// `--systemd-cgroup`, or `--cgroup-manager systemd`.
    pub(crate) systemd: bool,
    /// The directory of the containers' state.
    pub(crate) root: PathBuf,
}

/// The words of the companion.
#[derive(Subcommand)]
pub(crate) enum Word {
    Check(Check),
    Completion(Completion),
    Doctor(Doctor),
    Image(crate::image::Image),
    Inspect(Inspect),
    #[command(hide = true)]
    Run(Box<crate::image::run::Run>),
    Top(Top),
    /// Probes namespaces in a process of its own, for doctor.
    #[command(name = crate::doctor::namespaces::WORD, hide = true)]
    ProbeNamespaces {
        #[arg(long)]
        user: bool,
    },
    /// Mounts a procfs, for the one above.
    #[command(name = crate::doctor::namespaces::INNER, hide = true)]
    ProbeProc {
        directory: PathBuf,
    },
    Explain(Explain),
    /// Writes man pages and completions below a directory such as /usr/share.
    #[command(hide = true)]
    Pages(Pages),
}

/// Say what happens with a bundle, or has changed in a container
///
/// Shows the plan of `create` in the order in which it happens: namespaces, mounts with their flags, cgroup files with their
/// values, hooks, credentials, and the system calls that the filter allows. Nothing is written, mounted or executed.
///
/// For the id of a container it shows the plan that `create` kept, and compares it with the kernel. The exit code is then 1
/// where the container has drifted from its plan; with --diff it is 1 where the two differ; 2 for a failure.
#[derive(clap::Args)]
pub(crate) struct Explain {
    /// The directory of a bundle, a config.json, or the id of a container
    #[arg(default_value = ".", value_name = "BUNDLE|ID")]
    pub(crate) subject: String,
    /// Show the differences in effect between two bundles, configs or containers
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["seccomp", "subject"])]
    pub(crate) diff: Vec<String>,
    /// Show the seccomp filter's program, with names and labels
    #[arg(long)]
    pub(crate) seccomp: bool,
    /// Show only these sections
    #[arg(long, value_name = "SECTION", value_delimiter = ',')]
    pub(crate) section: Vec<String>,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Say everything that is wrong with a bundle
///
/// Reads the bundle as the runtime would, and reports every fault at once, each with its place in config.json and a remedy.
/// Nothing is written, mounted or executed.
///
/// The exit code is 0 where the bundle has no error, 1 where it has, 2 for a wrong command line. Faults of this host or user are
/// reported apart and do not count, so that the same bundle has the same exit code everywhere; with --strict they count, and
/// so do warnings.
#[derive(clap::Args)]
pub(crate) struct Check {
    /// The directory that holds config.json
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) bundle: PathBuf,
    /// Another file than the bundle's config.json
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Count warnings and faults of this host as errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Say what this host offers and lacks for this user
///
/// Probes the kernel, cgroups, namespaces and programs by using them, not by their versions, and reads the configuration of
/// container engines. Nothing that a probe makes is left. Each line has a stable id, a state (yes, limited, no), its
/// consequence and one remedy.
///
/// The exit code is 0 where nothing hinders containers of this user, 1 where something does, 2 for a wrong command line.
#[derive(clap::Args)]
pub(crate) struct Doctor {
    /// How the lines are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Say what a container is, has and uses
///
/// Shows its state, its processes, its use of memory, CPU and processes against the limits, its namespaces, the mounts of its
/// first process, and the directories of its cgroups.
///
/// The exit code is 0, 1 where there is no such container, 2 for a wrong command line.
#[derive(clap::Args)]
pub(crate) struct Inspect {
    /// The container
    pub(crate) id: String,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Watch what containers use
///
/// On a terminal it shows a line for each container, renewed every second: its status, processes, CPU time in percent of a
/// processor, throttled periods, memory and its limit, pressure, and a graph of its CPU time in the last minute. The key q and
/// ^C end it. Without a terminal, with --once or as JSON it prints the values of one interval.
#[derive(clap::Args)]
pub(crate) struct Top {
    /// The containers; all of them where none is named
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Print one table
    #[arg(long)]
    pub(crate) once: bool,
    /// The time between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub(crate) interval: Duration,
    /// How the values are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Print the completions of a shell
///
/// They complete commands, options with their choices, files, and the ids of containers. `make install` puts them where shells
/// look for them. For one shell: `source <(orlop completion bash)`, the same in zsh, or `orlop completion fish | source`.
#[derive(clap::Args)]
pub(crate) struct Completion {
    /// The shell
    pub(crate) shell: Shell,
    /// A command line up to the cursor: print the words that it may go on with.
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub(crate) line: Option<String>,
    /// The same as words.
    #[arg(hide = true, last = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
}

/// The shells that have completions.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Pages made of the tables of both programs.
#[derive(clap::Args)]
pub(crate) struct Pages {
    /// Where man pages and completions go
    #[arg(required_unless_present = "reference")]
    pub(crate) directory: Option<PathBuf>,
    /// Print docs/commands.md instead
    #[arg(long)]
    pub(crate) reference: bool,
}

fn interval(text: &str) -> std::result::Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("not in 0.1..=3600".into())
    }
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

impl Arguments {
    /// Those of this process.
    pub(crate) fn parse() -> std::result::Result<Arguments, clap::Error> {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(crate::image::run::separated(std::env::args_os().collect()))?;
        if let Err(error) = same_version(&matches) {
            return Err(command.error(clap::error::ErrorKind::Format, format!("{error:#}")));
        }
        let manager = matches.get_one::<String>("cgroup-manager").map(String::as_str);
        let global = Global {
            systemd: matches.get_flag("systemd-cgroup") || manager == Some("systemd"),
            root: matches.get_one::<String>("root").map_or_else(orlop::cli::default_root, PathBuf::from),
        };
        let runtime = matches.get_one::<i32>("runtime-fd").copied();
        Ok(Arguments { global, runtime, word: Word::from_arg_matches(&matches)? })
    }
}

/// The whole command line, for parsing, help and pages.
pub(crate) fn command() -> Command {
    let version = Arg::new("runtime-version").long("runtime-version").hide(true);
    let runtime = Arg::new("runtime-fd").long("runtime-fd").hide(true).value_parser(clap::value_parser!(i32));
    let command = Command::new("orlop")
        .bin_name("orlop")
        .about("Help for people with a bundle")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .subcommand_required(true)
        .arg(version)
        .arg(runtime)
        .args(GLOBAL.iter().filter(|flag| flag.long != "help").map(tree::argument));
    Word::augment_subcommands(command)
}

/// Both programs must be of one release: the library that explains must be the one that runs.
fn same_version(matches: &ArgMatches) -> Result<()> {
    let Some(of_runtime) = matches.get_one::<String>("runtime-version") else { return Ok(()) };
    let own = env!("CARGO_PKG_VERSION");
    (of_runtime == own).then_some(()).with_context(|| {
        format!("orlop-bundle is of version {own}, orlop of {of_runtime}: install both from the same release")
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn clap_finds_nothing_wrong_with_the_command_line() {
        super::command().debug_assert();
    }
}
