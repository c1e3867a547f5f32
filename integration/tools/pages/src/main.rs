//! Writes what is made from the table of commands: `pages DIR` puts man pages and shell completions below DIR,
//! `pages --reference` prints docs/commands.md.

mod clap_tree;
mod reference;

use anyhow::{Context, Result, bail};
use clap_complete::Shell;
use std::fs;
use std::path::Path;

fn main() -> Result<()> {
    let argument = std::env::args_os().nth(1);
    match argument.as_deref().map(|a| (a == "--reference", Path::new(a))) {
        Some((true, _)) => print!("{}", reference::text()),
        Some((false, directory)) => write(directory)?,
        None => bail!("usage: pages DIR | pages --reference"),
    }
    Ok(())
}

fn write(directory: &Path) -> Result<()> {
    let man = directory.join("man/man8");
    fs::create_dir_all(&man).with_context(|| format!("mkdir {}", man.display()))?;
    clap_mangen::generate_to(clap_tree::program(), &man).context("man pages")?;
    // The pages of section 1 are for users; a runtime is for administrators.
    for entry in fs::read_dir(&man)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "1") {
            let text = fs::read_to_string(&path)?.replace("(1)", "(8)");
            fs::write(path.with_extension("8"), section(&text))?;
            fs::remove_file(&path)?;
        }
    }
    let completions = directory.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut clap_tree::program(), "orlop", &completions)?;
    }
    println!("man pages and completions are in {}", directory.display());
    Ok(())
}

/// The title line names the section once more.
fn section(text: &str) -> String {
    let title = |line: &str| if line.starts_with(".TH ") { line.replacen(" 1 ", " 8 ", 1) } else { line.to_owned() };
    text.lines().map(title).collect::<Vec<_>>().join("\n") + "\n"
}
