//! Man pages: one for each command, orlop(8) for the program and orlop-bundle(8) for the companion.

use super::texts::{self, Row};
use super::tree;
use anyhow::Result;
use clap_complete::engine::ArgValueCandidates;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

/// Each page's path below the directory `man`, and its text.
pub(crate) fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let none = ArgValueCandidates::new(Vec::new);
    let companion: Vec<String> = tree::companion(&none).iter().map(|word| word.get_name().to_owned()).collect();
    let mut program = tree::program(&none).mut_subcommands(hide_help);
    program.build();
    let mut pages = Vec::new();
    for word in program.get_subcommands().filter(|word| !word.is_hide_set()) {
        let is_companion = companion.contains(&word.get_name().to_owned());
        pages.push(page(word.clone(), word.get_name(), is_companion)?);
        for below in word.get_subcommands() {
            pages.push(page(below.clone(), &format!("{}-{}", word.get_name(), below.get_name()), is_companion)?);
        }
    }
    let mut alone = tree::companion_alone(&none).mut_subcommands(hide_help);
    alone.build();
    pages.push(page(program, "orlop", false)?);
    pages.push(page(alone, "orlop-bundle", true)?);
    Ok(pages)
}

/// `help` prints the other pages and has none of its own.
fn hide_help(word: clap::Command) -> clap::Command {
    let is_help = word.get_name() == "help";
    word.hide(is_help)
}

fn page(command: clap::Command, word: &str, is_companion: bool) -> Result<(String, Vec<u8>)> {
    let about = command.get_long_about().map(|about| about.to_string().replace('`', "")).unwrap_or_default();
    // The first paragraph of the companion's texts is the summary.
    let about = match about.split_once("\n\n") {
        Some((_, rest)) if is_companion && word != "orlop-bundle" => rest.to_owned(),
        _ => about,
    };
    let command = command.long_about(about).mut_args(in_full);
    let synopsis = synopsis(&command, word);
    let examples = examples(word);
    let commands = commands(&command, word);
    let man =
        Man::new(command).section("8").source(concat!("orlop ", env!("CARGO_PKG_VERSION"))).manual("OCI containers");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    synopsis.to_writer(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let (exit, environment) = if is_companion {
        (&texts::EXIT_OF_COMPANION[..], &texts::ENVIRONMENT_OF_COMPANION[..])
    } else {
        (&texts::EXIT[..], &texts::ENVIRONMENT[..])
    };
    let mut rest = Roff::default();
    list(&mut rest, "COMMANDS", commands);
    rows(&mut rest, "EXIT STATUS", exit, word);
    rows(&mut rest, "ENVIRONMENT", environment, word);
    rows(&mut rest, "FILES", &texts::FILES, word);
    list(&mut rest, "EXAMPLES", examples);
    rest.control("SH", ["SEE ALSO"]).text([roman(texts::see_also(word).join(", "))]);
    rest.to_writer(&mut text)?;
    Ok((format!("man8/{}", man.get_filename()), text))
}

/// Flags that callers pass are in the pages, though not in the help.
fn in_full(argument: clap::Arg) -> clap::Arg {
    let is_flag = argument.get_long().is_some_and(|long| long != "line");
    if !argument.is_hide_set() || !is_flag {
        return argument;
    }
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    argument.hide(false).help(format!("{help} (for callers that pass it; not in the help)"))
}

fn synopsis(command: &clap::Command, word: &str) -> Roff {
    let usage = match word {
        "orlop" | "orlop-bundle" => format!("{} [global options] COMMAND [options] [ARGS...]", command.get_name()),
        _ => command.clone().render_usage().to_string().trim_start_matches("Usage: ").replace("[OPTIONS]", "[options]"),
    };
    let mut roff = Roff::default();
    roff.control("SH", ["SYNOPSIS"]).text([roman(usage)]);
    roff
}

fn examples(word: &str) -> Vec<(String, Vec<Inline>)> {
    let row = orlop::cli::Command::all().find(|row| row.word == word);
    let examples = row.iter().flat_map(orlop::cli::Command::examples);
    examples.map(|(typed, why)| (format!("orlop {typed}"), vec![roman(why)])).collect()
}

/// The commands of a program, by the names of their pages.
fn commands(program: &clap::Command, word: &str) -> Vec<(String, Vec<Inline>)> {
    let summary = |word: &clap::Command| word.get_about().map(ToString::to_string).unwrap_or_default();
    let before = if word.starts_with("orlop") { "orlop".to_owned() } else { format!("orlop-{word}") };
    let shown = program.get_subcommands().filter(|word| !word.is_hide_set());
    let mut rows: Vec<_> =
        shown.map(|row| (format!("{before}-{}(8)", row.get_name()), vec![roman(summary(row))])).collect();
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    rows
}

fn rows(roff: &mut Roff, heading: &str, all: &[Row], word: &str) {
    let of_word = all.iter().filter(|row| row.is_for(word));
    list(roff, heading, of_word.map(|row| (row.name.replace('`', ""), emphasized(row.meaning))).collect());
}

/// A section of names with their meaning, if there is one.
fn list(roff: &mut Roff, heading: &str, rows: Vec<(String, Vec<Inline>)>) {
    if rows.is_empty() {
        return;
    }
    roff.control("SH", [heading]);
    for (name, meaning) in rows {
        roff.control("TP", []).text([bold(name)]).text(meaning);
    }
}

/// A text with the words between backticks in bold.
fn emphasized(text: &str) -> Vec<Inline> {
    let piece = |(n, piece): (usize, &str)| if n % 2 == 1 { bold(piece) } else { roman(piece) };
    text.split('`').enumerate().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use orlop::cli::{COMPANION, Command, GLOBAL};

    /// A page as text: dashes and quotes are escaped in its source, which is taken back here.
    fn page_of(pages: &[(String, Vec<u8>)], name: &str) -> String {
        let (_, text) =
            pages.iter().find(|(file, _)| *file == format!("man8/{name}.8")).unwrap_or_else(|| panic!("{name}"));
        String::from_utf8(text.clone()).unwrap().replace("\\-", "-")
    }

    #[test]
    fn every_command_has_a_page_with_every_flag_and_the_usual_sections() {
        let pages = pages().unwrap();
        for row in Command::all() {
            let text = page_of(&pages, &format!("orlop-{}", row.word));
            for flag in row.flags {
                assert!(text.contains(&format!("--{}", flag.long)), "{} --{}", row.word, flag.long);
                assert!(flag.short.is_none_or(|letter| text.contains(&format!("\\fB-{letter}\\fR"))), "{}", row.word);
            }
            for (typed, _) in row.examples() {
                assert!(text.contains(typed), "{}: {typed}", row.word);
            }
        }
        let none = ArgValueCandidates::new(Vec::new);
        for word in tree::companion(&none) {
            let text = page_of(&pages, &format!("orlop-{}", word.get_name()));
            let name = word.get_name();
            for below in word.get_subcommands() {
                assert!(text.contains(&format!("orlop-{name}-{}(8)", below.get_name())), "{name} {}", below.get_name());
            }
            for long in word.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(clap::Arg::get_long) {
                assert!(text.contains(&format!("--{long}")), "{} --{long}", word.get_name());
            }
        }
        let (program, companion) = (page_of(&pages, "orlop"), page_of(&pages, "orlop-bundle"));
        assert!(GLOBAL.iter().all(|flag| program.contains(&format!("--{}", flag.long))));
        assert!(COMPANION.iter().all(|(word, _)| companion.contains(&format!("orlop-{word}(8)"))));
        let below: usize = tree::companion(&none).iter().map(|word| word.get_subcommands().count()).sum();
        assert_eq!(pages.len(), Command::all().count() + COMPANION.len() + below + 2);
        for (name, text) in &pages {
            assert!(String::from_utf8_lossy(text).contains("\\fB0\\fR"), "{name} has no exit code 0");
            for section in
                ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"]
            {
                assert!(
                    String::from_utf8_lossy(text).contains(&format!(".SH {section:?}"))
                        || String::from_utf8_lossy(text).contains(&format!(".SH {section}\n")),
                    "{name}: {section}"
                );
            }
        }
    }

    #[test]
    fn pages_refer_to_pages_that_are_there() {
        let pages = pages().unwrap();
        let own: Vec<String> = pages.iter().map(|(file, _)| file["man8/".len()..].replace(".8", "(8)")).collect();
        for page in &own {
            let word = page.trim_end_matches("(8)").trim_start_matches("orlop-");
            let word = if page.starts_with("orlop-bundle") { "orlop-bundle" } else { word };
            for other in texts::see_also(word).iter().filter(|other| other.starts_with("orlop")) {
                assert!(own.contains(other), "{page} refers to {other}");
            }
        }
    }
}
