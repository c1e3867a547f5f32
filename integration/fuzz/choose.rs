//! The target that `FUZZ_TARGET` names.

use std::sync::OnceLock;

type Target = fn(&[u8]);

/// The function of the target; the program ends where there is none of this name.
pub fn chosen(targets: &[(&str, Target)]) -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let Some((_, target)) = targets.iter().find(|(known, _)| *known == name) else {
            targets.iter().for_each(|(known, _)| println!("{known}"));
            std::process::exit(i32::from(name != "list"));
        };
        *target
    })
}
