//! Configurations of engines that name a runtime which is not there.

use super::Line;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Paths of one runtime by its name: one of them must be there.
type Runtimes = BTreeMap<String, Vec<String>>;

pub(super) fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for (engine, files) in files() {
        lines.extend(engine_lines(engine, &files));
    }
    lines
}

/// The files of each engine, the later ones over the earlier ones.
fn files() -> Vec<(&'static str, Vec<PathBuf>)> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_else(|| "/".into());
    let config = std::env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let mut docker = vec![PathBuf::from("/etc/docker/daemon.json")];
    let mut podman = vec!["/usr/share/containers/containers.conf".into(), "/etc/containers/containers.conf".into()];
    podman.extend(directory("/etc/containers/containers.conf.d"));
    if super::user::uid() != 0 {
        docker = vec![config.join("docker/daemon.json")];
        podman.push(config.join("containers/containers.conf"));
        podman.extend(directory(config.join("containers/containers.conf.d")));
    }
    let mut crio = vec![PathBuf::from("/etc/crio/crio.conf")];
    crio.extend(directory("/etc/crio/crio.conf.d"));
    let containerd = vec!["/etc/containerd/config.toml".into()];
    vec![("containerd", containerd), ("docker", docker), ("podman", podman), ("crio", crio)]
}

/// The *.conf files of a directory, in order.
fn directory(path: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    files.sort();
    files
}

/// One line for each file that cannot be read and each runtime that is not there; else one for the engine.
fn engine_lines(engine: &str, files: &[PathBuf]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut runtimes = BTreeMap::new();
    let mut count = 0;
    for file in files.iter().filter(|file| file.exists()) {
        count += 1;
        match read(engine, file) {
            Ok(found) => runtimes.extend(found.into_iter().map(|(name, paths)| (name, (paths, file)))),
            Err(problem) => lines.push(unreadable(engine, file, &problem, count)),
        }
    }
    for (name, (paths, file)) in &runtimes {
        if !paths.iter().any(|path| is_there(path)) {
            lines.push(absent(engine, name, paths, file));
        }
    }
    if lines.is_empty() && count > 0 {
        let about = format!("{engine}: no runtime is missing (files: {count}, paths: {})", runtimes.len());
        lines.push(Line::yes(format!("engine.{engine}"), about));
    }
    lines
}

fn unreadable(engine: &str, file: &Path, problem: &str, number: usize) -> Line {
    let id = format!("engine.{engine}.file{number}");
    let about = format!("{}: {problem}", file.display());
    let consequence = format!("{engine} does not start, or not as it is configured");
    Line::no(id, about, consequence, format!("correct {}", file.display())).hindering()
}

fn absent(engine: &str, name: &str, paths: &[String], file: &Path) -> Line {
    let id = format!("engine.{engine}.{name}");
    let about = format!("{}: the runtime {name:?} is not at {}", file.display(), paths.join(" or "));
    let consequence = format!("{engine} starts no container with the runtime {name:?}");
    let remedy = format!("install it there, or name the right path in {}", file.display());
    Line::no(id, about, consequence, remedy).hindering()
}

/// A path, or the name of a program in `PATH`, as engines take both.
fn is_there(path: &str) -> bool {
    if path.contains('/') { Path::new(path).is_file() } else { super::user::in_path(path).is_some() }
}

fn read(engine: &str, file: &Path) -> Result<Runtimes, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let document: Value = match engine {
        "docker" => serde_json::from_str(&text).map_err(|error| error.to_string())?,
        _ => toml::from_str(&text).map_err(|error| error.message().to_owned())?,
    };
    Ok(match engine {
        "docker" => named(&document["runtimes"], "path"),
        "crio" => named(&document["crio"]["runtime"]["runtimes"], "runtime_path"),
        "podman" => podman(&document["engine"]["runtimes"]),
        _ => containerd(&document),
    })
}

fn rows(table: &Value) -> impl Iterator<Item = (&String, &Value)> {
    table.as_object().into_iter().flatten()
}

/// Tables by name, with a key for the path.
fn named(table: &Value, key: &str) -> Runtimes {
    let path = |(name, row): (&String, &Value)| {
        let path = row[key].as_str().filter(|path| !path.is_empty())?;
        Some((name.clone(), vec![path.to_owned()]))
    };
    rows(table).filter_map(path).collect()
}

/// Lists of paths by name. The names that Podman knows need not be installed, so only those of one path count.
fn podman(table: &Value) -> Runtimes {
    const KNOWN: [&str; 8] = ["crun", "crun-vm", "crun-wasm", "kata", "runc", "runsc", "youki", "ocijail"];
    let paths = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|path| path.as_str().map(str::to_owned)).collect()
    };
    let is_own = |name: &str, paths: &[String]| !KNOWN.contains(&name) || paths.len() == 1;
    rows(table)
        .map(|(name, list)| (name.clone(), paths(list)))
        .filter(|(name, paths)| !paths.is_empty() && is_own(name, paths))
        .collect()
}

/// Of every plugin, since the name of the CRI plugin differs between versions.
fn containerd(document: &Value) -> Runtimes {
    let mut found = Runtimes::new();
    for (_, plugin) in rows(&document["plugins"]) {
        for (name, row) in rows(&plugin["containerd"]["runtimes"]) {
            let paths = [&row["options"]["BinaryName"], &row["runtime_path"]];
            if let Some(path) = paths.iter().find_map(|path| path.as_str().filter(|path| !path.is_empty())) {
                found.insert(name.clone(), vec![path.to_owned()]);
            }
        }
        if let Some(path) = plugin["runtime"].as_str().filter(|path| path.starts_with('/')) {
            found.insert("runtime".into(), vec![path.to_owned()]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../packaging/");

    #[test]
    fn the_runtime_is_found_in_the_configuration_of_each_engine() {
        for (engine, file) in [
            ("containerd", "containerd/config.toml"),
            ("docker", "docker/daemon.json"),
            ("podman", "containers.conf.d/50-orlop.conf"),
            ("crio", "crio/50-orlop.conf"),
        ] {
            let runtimes = read(engine, Path::new(&format!("{PACKAGING}{file}"))).unwrap();
            assert_eq!(runtimes["orlop"][0], "/usr/local/sbin/orlop", "{engine}");
        }
    }

    #[test]
    fn a_runtime_that_is_not_there_and_a_file_that_is_no_toml_hinder() {
        let place = std::env::temp_dir().join(format!("orlop-engines-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let (bad, json) = (place.join("bad.toml"), place.join("daemon.json"));
        fs::write(&bad, "[plugins\n").unwrap();
        fs::write(&json, r#"{"runtimes": {"x": {"path": "/missing/x"}, "sh": {"path": "/bin/sh"}}}"#).unwrap();
        let lines = engine_lines("containerd", std::slice::from_ref(&bad));
        assert!(lines.len() == 1 && lines[0].hinders, "{lines:?}");
        let lines = engine_lines("docker", std::slice::from_ref(&json));
        assert!(lines.len() == 1 && lines[0].id == "engine.docker.x", "{lines:?}");
        assert!(engine_lines("docker", &[place.join("none")]).is_empty());
        fs::remove_dir_all(&place).unwrap();
    }
}
