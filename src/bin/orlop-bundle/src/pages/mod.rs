//! Man pages, completions and docs/commands.md, all from the tables of both programs.

pub(crate) mod complete;
mod man;
mod reference;
mod texts;
pub(crate) mod tree;

use crate::arguments::{Pages, Shell};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// The files of the completions, below a directory such as /usr/share, where each shell looks for a command's file.
const COMPLETIONS: [(Shell, &str); 5] = [
    (Shell::Bash, "bash-completion/completions/orlop"),
    (Shell::Bash, "bash-completion/completions/orlop-bundle"),
    (Shell::Zsh, "zsh/site-functions/_orlop"),
    (Shell::Fish, "fish/vendor_completions.d/orlop.fish"),
    (Shell::Fish, "fish/vendor_completions.d/orlop-bundle.fish"),
];

/// The whole command.
pub(crate) fn run(word: &Pages) -> Result<ExitCode> {
    if let Some(directory) = &word.directory {
        for (file, text) in man::pages()? {
            write(&directory.join("man").join(file), &text)?;
        }
        for (shell, file) in COMPLETIONS {
            write(&directory.join(file), complete::script(shell).as_bytes())?;
        }
    }
    if word.reference {
        print!("{}", reference::text());
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &[u8]) -> Result<()> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).with_context(|| format!("mkdir {}", directory.display()))?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
