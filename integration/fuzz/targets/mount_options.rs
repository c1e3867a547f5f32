//! Mount options, against a second reading of the table's names.

use crate::rootfs::mount_options as names;
use crate::rootfs::options::Options;
use std::collections::BTreeSet;

pub(super) fn mount_options(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let options: Vec<&str> = text.split('\n').collect();
    let Ok(read) = Options::parse(&options, "mounts[0].options") else {
        assert!(text.contains('\0'), "options without a NUL byte are refused");
        return;
    };
    let all: BTreeSet<&str> = names().collect();
    let known = |option: &&str| all.contains(option);
    let with_parameters: BTreeSet<usize> = read.data.iter().map(|parameter| parameter.option).collect();
    // What is no option of the mount's is a parameter of the filesystem, and nothing else is.
    for parameter in &read.data {
        assert!(!known(&options[parameter.option]), "{parameter:?} is an option of the mount");
    }
    for (n, option) in options.iter().enumerate() {
        let name = option.split('=').next().unwrap_or_default();
        let is_own = known(option) || matches!(name, "idmap" | "ridmap") || option.to_lowercase().starts_with("x-");
        let has_text = option.split(',').any(|part| !part.is_empty());
        let is_parameter = with_parameters.contains(&n);
        assert!(is_own || is_parameter == has_text || is_mount_commands(option), "{option:?} has no effect");
    }
    // The last of a pair decides, and "ro" that only a recursive option asks for holds for the
    // mount itself.
    let last = options.iter().rev().find(|option| matches!(**option, "ro" | "rw"));
    let is_recursive = options.iter().rev().find(|option| matches!(**option, "rro" | "rrw")) == Some(&"rro");
    assert_eq!(read.own().set & 1 == 1, last == Some(&"ro") || is_recursive, "read-only");
}

/// Options of mount(8) alone, which `features` does not list.
fn is_mount_commands(option: &str) -> bool {
    let all = [
        "_netdev", "auto", "group", "noauto", "nofail", "nogroup", "noowner", "nouser", "nousers", "owner", "user",
        "users",
    ];
    all.contains(&option)
}
