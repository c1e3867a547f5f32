//! `linux.devices` and the devices that every container has.

mod nodes;

use crate::bench::prelude::*;

/// Path, major and minor number.
const DEFAULT: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

fn device(path: &str, kind: &str, major: u64, minor: u64) -> Value {
    json!({"path": path, "type": kind, "major": major, "minor": minor})
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, major, minor) in DEFAULT {
        all.push(Case::new(
            format!("dev_{name}_is_there"),
            &["devices.default"],
            "The program looks at the device's kind, numbers and permissions, and opens it.",
            move |t| {
                let (stat, open) = (format!("stat /dev/{name}"), format!("open rw /dev/{name}"));
                let seen = t.bundle()?.does(&[&stat, &open]).observe()?;
                let facts = seen.value(&stat)?;
                same("kind", &facts["kind"], "char")?;
                same("major", &facts["major"], major)?;
                same("minor", &facts["minor"], minor)?;
                same("mode", &facts["mode"], 0o666)?;
                // Without a controlling terminal /dev/tty cannot be opened by anybody.
                if name == "tty" { seen.fails(&open, &[libc::ENXIO]) } else { seen.value(&open).map(|_| ()) }
            },
        ));
    }
    all.extend(nodes::cases());
    all
}
