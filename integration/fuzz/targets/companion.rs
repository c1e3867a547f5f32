//! The fuzz targets of the companion: images, archives and the words of registries.

use super::{auth, layer, reference, source};
use crate::image::convert;
use crate::image::user;
use oci_spec::image::ImageConfiguration;
use serde_json::Value;
use std::fs::{self, File};

/// A function that reads one input.
pub(crate) type Target = fn(&[u8]);

/// The targets by name.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("archive", source::fuzz::archive),
    ("auth", auth::fuzz::auth),
    ("elf", elf),
    ("image-config", image_config),
    ("layer", layer::fuzz::layer),
    ("manifest", source::fuzz::manifest),
    ("names", names),
    ("registry", source::registry::fuzz::registry),
    ("users", users),
];

/// A program's file.
fn elf(input: &[u8]) {
    let path = std::env::temp_dir().join(format!("orlop-fuzz-elf-{}", std::process::id()));
    fs::write(&path, input).unwrap_or_else(|error| panic!("{error}"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{error}"));
    let _ = crate::elf::read(file);
}

/// An image's configuration, its /etc/passwd and /etc/group, each behind a NUL byte.
fn image_config(input: &[u8]) {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let config = parts.next().unwrap_or_default();
    let (passwd, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let read = |path: &str| Ok(Some(if path.ends_with("passwd") { passwd.to_vec() } else { group.to_vec() }));
    let Ok(image) = serde_json::from_slice::<ImageConfiguration>(config) else { return };
    let Ok(made) = convert::convert(&image, &read, None, &convert::Overrides::default()) else { return };
    let text = made.to_string();
    // What the image says reaches the config, and the config is one that the runtime reads.
    let written = image.config().clone().unwrap_or_default();
    let mut args = written.entrypoint().clone().unwrap_or_default();
    args.extend(written.cmd().clone().unwrap_or_default());
    let planned: Vec<String> =
        made["process"]["args"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    assert_eq!(args, planned, "{text}");
    assert!(orlop::explain::read(text.as_bytes()).is_ok(), "{text}");
    let judged = orlop::explain::judge(text.as_bytes(), "/nonexistent".as_ref(), false);
    if let Some(refusal) = judged.refusal {
        let refusal = refusal.to_string();
        assert!(!refusal.contains("expected"), "a config of the wrong form: {refusal} {text}");
    }
}

/// Accounts: the user's name in the first line, then /etc/passwd, and /etc/group behind a NUL byte.
fn users(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (name, files) = text.split_once('\n').unwrap_or((&text, ""));
    let (passwd, group) = files.split_once('\0').unwrap_or((files, ""));
    let read = |path: &str| Ok(Some(if path.ends_with("passwd") { passwd.into() } else { group.into() }));
    let Ok(ids) = user::resolve(name, &read) else { return };
    let user = name.split(':').next().unwrap_or_default();
    let user = if user.is_empty() { "0" } else { user };
    // A line that has the name or the number, or the number itself: nobody else.
    let known = passwd.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let uid = fields.get(2).and_then(|uid| uid.parse::<u32>().ok());
        uid == Some(ids.uid) && (fields[0] == user || ids.uid.to_string() == user)
    });
    assert!(known || user.parse() == Ok(ids.uid), "{user:?} is {}", ids.uid);
    for group in &ids.groups {
        assert!(group.to_string().len() <= 10 && *group != ids.gid, "{group}");
    }
}

/// The name of an image, as people type it.
fn names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(name) = text.parse::<reference::Name>() {
        let again = name.to_string();
        let read: reference::Name = again.parse().unwrap_or_else(|error| panic!("{again}: {error}"));
        assert_eq!(read.to_string(), again, "{text:?}");
        assert!(again.bytes().all(|byte| byte.is_ascii_graphic()), "{again:?}");
        assert!(!again.split('/').any(|part| part == ".."), "{again:?}");
    }
    let _ = text.parse::<reference::Reference>().map(|reference| reference.expansion(text));
    if let Ok(platform) = text.parse::<crate::image::source::Platform>() {
        let again = platform.to_string();
        assert_eq!(again.parse::<crate::image::source::Platform>().map(|read| read.to_string()).ok(), Some(again));
    }
}

/// The folder of the kept inputs, seen from the package.
#[cfg(test)]
const CORPUS: &str = "../../../integration/fuzz/corpus/companion";

#[cfg(test)]
#[path = "replay.rs"]
mod replay;
