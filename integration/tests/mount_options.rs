//! Every mount option alone and every two in both orders: what a container's mount table shows is what docs/mounts.md says.
//!
//! `ORLOP` names another program than `out/orlop`. Without root, or without a runtime, the test says so and does nothing.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use integration::mount_options::{ATIME, Seen, Subject, attribute, difference_rows, listed, pairs};
use integration::runtime::find;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Attributes that are there or not, as options and mount tables name them, with the option that takes each away.
const SWITCHES: [(&str, &str); 6] = [
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("nodiratime", "diratime"),
    ("nosymfollow", "symfollow"),
];

fn is_propagation(option: &str) -> bool {
    attribute(option) == Some("propagation")
}

/// Those of `options` that are plain, or those that are recursive, without their `r`.
fn of_depth(options: &[String], recursive: bool) -> Vec<&str> {
    let plain = |name: &str| SWITCHES.iter().any(|(on, off)| [*on, *off].contains(&name)) || ATIME.contains(&name);
    let names = options.iter().map(String::as_str);
    match recursive {
        true => names.filter_map(|option| option.strip_prefix('r')).filter(|name| plain(name)).collect(),
        false => names.filter(|option| plain(option)).collect(),
    }
}

/// What the last of the two options says of a switch.
fn switch(options: &[&str], (on, off): (&str, &str)) -> Option<bool> {
    options.iter().rev().find(|option| [on, off].contains(option)).map(|option| *option == on)
}

/// The way of keeping access times that the options choose: an option that takes one back does so only if it was chosen.
fn access_times<'a>(options: &[&'a str]) -> Option<&'a str> {
    options.iter().fold(None, |chosen, option| match *option {
        "noatime" | "strictatime" | "relatime" => Some(option),
        "atime" if chosen.is_none_or(|mode| mode == "noatime") => Some("relatime"),
        "nostrictatime" if chosen.is_none_or(|mode| mode == "strictatime") => Some("relatime"),
        _ => chosen,
    })
}

/// The attributes of a mount, as its line in the table has them.
fn attributes(before: bool, plain: &[&str], recursive: &[&str]) -> String {
    let on = |(set, clear): (&str, &str)| match (switch(plain, (set, clear)), switch(recursive, (set, clear))) {
        (None, None) => before,
        (one, other) => one == Some(true) || other == Some(true),
    };
    let initial = if before { "noatime" } else { "relatime" };
    let mode = access_times(plain).or(access_times(recursive)).unwrap_or(initial);
    let mut words = vec![if on(SWITCHES[0]) { "ro" } else { "rw" }];
    words.extend(SWITCHES[1..4].iter().filter(|switch| on(**switch)).map(|(set, _)| *set));
    words.extend((mode == "noatime").then_some(mode));
    words.extend(on(SWITCHES[4]).then_some("nodiratime"));
    words.extend((mode == "relatime").then_some(mode));
    words.extend(on(SWITCHES[5]).then_some("nosymfollow"));
    words.join(",")
}

/// How a mount that was private propagates: one that is a slave of nothing and a peer of nothing is private.
fn propagation(options: &[&str]) -> &'static str {
    options.iter().fold("private", |now, option| match *option {
        "shared" => "shared",
        "private" => "private",
        "unbindable" => "unbindable",
        _ if now == "shared" => "private",
        _ => now,
    })
}

/// The filesystem's flags, of which the last option of a kind decides.
fn flags(options: &[String]) -> String {
    let last = |on: &str, off: &str| options.iter().rev().find(|o| *o == on || *o == off).is_some_and(|o| o == on);
    let kinds = [("sync", "async"), ("dirsync", ""), ("mand", "nomand"), ("lazytime", "nolazytime")];
    kinds.iter().filter(|(on, off)| last(on, off)).map(|(on, _)| *on).collect::<Vec<_>>().join(",")
}

/// The states of the mounts that the options make of `subject`.
fn expected(subject: Subject, options: &[String]) -> Vec<String> {
    let before = subject == Subject::Full;
    let [plain, recursive] = [false, true].map(|recursive| of_depth(options, recursive));
    let all: Vec<&str> = options.iter().map(String::as_str).filter(|option| is_propagation(option)).collect();
    let own: Vec<&str> = all.iter().map(|option| option.strip_prefix('r').unwrap_or(option)).collect();
    let deep: Vec<&str> = all.iter().filter_map(|option| option.strip_prefix('r')).collect();
    let mount = format!("{} {}", attributes(before, &plain, &recursive), propagation(&own));
    if subject == Subject::New {
        return vec![format!("{mount} {}", flags(options)).trim_end().to_owned()];
    }
    let beneath = format!("{} {}", attributes(before, &[], &recursive), propagation(&deep));
    let alone = options.iter().any(|option| option == "bind") && !options.iter().any(|option| option == "rbind");
    if alone { vec![mount] } else { vec![mount, beneath] }
}

fn seen() -> Option<Seen> {
    let work = std::env::temp_dir().join(format!("mount-options-{}", std::process::id()));
    if fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta)).unwrap() != 0 {
        integration::skip::skip("needs root");
        return None;
    }
    fs::create_dir_all(&work).unwrap();
    let Ok(runtime) = find("orlop", &work) else {
        integration::skip::skip("no runtime; run `make` or set ORLOP");
        return None;
    };
    let seen = pairs(&runtime, &listed(&runtime.path).unwrap(), &work).unwrap();
    fs::remove_dir_all(&work).unwrap();
    Some(seen)
}

/// The cells of the rows of the page's table that compares runtimes, by the options in their order.
fn compared() -> BTreeMap<Vec<String>, String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mounts.md")).unwrap();
    let (_, table) = page.split_once("| options in this order |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let options = cells[0].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (options, cells[1].to_owned())
    })
    .collect()
}

#[test]
fn every_option_and_every_two_have_the_effect_that_the_page_on_mounts_says() {
    let Some(seen) = seen() else { return };
    assert!(seen.len() > 7000, "{}", seen.len());
    let wrong: Vec<String> = seen
        .iter()
        .map(|((subject, options), states)| (subject, options, states, expected(*subject, options)))
        .filter(|(.., states, expected)| states.as_ref() != Some(expected))
        .map(|(subject, options, states, expected)| format!("{subject:?} {options:?}: {states:?}, not {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
    let page = compared();
    assert!(page.len() > 40, "{}", page.len());
    let rows = difference_rows(&seen);
    for (options, cell) in page {
        assert_eq!(rows.get(&options), Some(&cell), "{options:?}");
    }
}
