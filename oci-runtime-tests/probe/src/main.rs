//! The program inside the test containers.
//!
//! `/probe ACTION...` carries out each action and writes one line of JSON for it; `/probe hook LOG NAME` is a hook.

mod action;
mod hook;
mod json;
mod report;
mod sys;

fn main() {
    let args: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    if args.first().is_some_and(|first| first == "hook") {
        std::process::exit(hook::run(&args[1..]));
    }
    for action in &args {
        action::say(action, &action::act(action));
    }
}
