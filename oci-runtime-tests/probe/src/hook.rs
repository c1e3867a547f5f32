//! The probe as a hook: appends what it sees to a file of the suite's.

use crate::action::{act, answer};
use crate::json::Value;
use crate::report;
use std::fs::OpenOptions;
use std::io::{Read, Write};

/// `hook LOG NAME [fail|die|hang|do ACTION...]`: writes one line `{"hook":NAME,"stdin":...,...}` to LOG. In an action,
/// `{pid}` stands for the pid in the state.
pub(crate) fn run(args: &[String]) -> i32 {
    let [log, name, rest @ ..] = args else {
        return 2;
    };
    let mut state = String::new();
    let stdin = std::io::stdin().take(1 << 20).read_to_string(&mut state);
    let pid = pid_in(&state);
    let actions = if rest.first().is_some_and(|word| word == "do") { &rest[1..] } else { &[] };
    let answers = actions.iter().map(|action| {
        let action = action.replace("{pid}", &pid);
        answer(&action, &act(&action))
    });
    let entries = vec![
        ("hook".to_owned(), Value::from(name.as_str())),
        ("stdin".to_owned(), stdin.is_ok().then(|| state.clone()).into()),
        ("answers".to_owned(), answers.collect()),
        ("report".to_owned(), report::everything()),
    ];
    let line = format!("{}\n", Value::Map(entries));
    let written = OpenOptions::new().append(true).create(true).open(log).and_then(|mut f| f.write_all(line.as_bytes()));
    if written.is_err() {
        return 3;
    }
    match rest.first().map(String::as_str) {
        Some("fail") => 7,
        Some("die") => act("die 9").err().unwrap_or(4),
        Some("hang") => {
            std::thread::sleep(std::time::Duration::from_secs(120));
            0
        }
        _ => 0,
    }
}

/// The digits behind the first `"pid":`.
fn pid_in(state: &str) -> String {
    let Some((_, rest)) = state.split_once("\"pid\"") else {
        return String::new();
    };
    rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect()
}
