//! The config.json of `run --image`.

use super::super::convert::{self, Mappings, Overrides};
use super::super::flat::write_config;
use super::super::layer::{Lower, Owners};
use super::super::overlay::{self, OverlayRoot};
use super::super::store::Store;
use super::super::store::record::Record;
use super::Run;
use anyhow::{Context as _, Result, bail, ensure};
use orlop::beneath::Directory;
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::path::Path;

const PERIOD: f64 = 100_000.0;

/// Writes the config.json of a container into its bundle, with the directories of the overlay.
pub(super) fn write(
    store: &Store,
    bundle: &Path,
    word: &Run,
    id: &str,
    record: &Record,
    mappings: Option<&Mappings>,
) -> Result<()> {
    let owners = if mappings.is_some() { Owners::Caller } else { Owners::Archive };
    let (lower, mount) = if record.is_flat {
        (Lower(vec![Directory::open(&bundle.join("rootfs"))?]), None)
    } else {
        let OverlayRoot { lower, mount } = overlay::make(store, &record.layers, bundle, owners, mappings)?;
        (lower, Some(mount))
    };
    let is_terminal = word.console_socket.is_some()
        || !word.detach && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut env: Vec<String> = if is_terminal { vec!["TERM=xterm".into()] } else { Vec::new() };
    for variable in &word.env {
        match std::env::var(variable) {
            _ if variable.contains('=') => env.push(variable.clone()),
            Ok(value) => env.push(format!("{variable}={value}")),
            Err(_) => {}
        }
    }
    let overrides = Overrides { command: word.command.clone(), user: word.user.clone(), env };
    let image = record.configuration()?;
    let mut config = convert::convert(&image, &|path| lower.read(path), mappings, &overrides)?;
    config["process"]["terminal"] = is_terminal.into();
    config["root"]["readonly"] = word.read_only.into();
    config["hostname"] = word.hostname.clone().unwrap_or_else(|| id.chars().take(63).collect()).into();
    mounts(&mut config, word, mappings.is_some())?;
    if let Some(mount) = mount {
        config["mounts"].as_array_mut().context("mounts")?.insert(0, mount);
    }
    limits(&mut config, word)?;
    write_config(&Directory::open(bundle)?, &config)
}

fn mounts(config: &mut Value, word: &Run, is_rootless: bool) -> Result<()> {
    let mounts = config["mounts"].as_array_mut().context("mounts")?;
    let bind = |source: &str, destination: &str, is_read_only: bool| {
        let mode = if is_read_only { "ro" } else { "rw" };
        json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind", "rprivate", mode] })
    };
    for volume in &word.volume {
        let parts: Vec<&str> = volume.split(':').collect();
        let (source, destination, is_read_only) = match parts[..] {
            [source, destination] => (source, destination, false),
            [source, destination, "ro"] => (source, destination, true),
            [source, destination, "rw"] => (source, destination, false),
            _ => bail!("--volume {volume:?} is not of the form SOURCE:DESTINATION[:ro]"),
        };
        ensure!(source.starts_with('/'), "--volume {volume:?}: the source is no absolute path");
        ensure!(
            destination.starts_with('/') && destination != "/",
            "--volume {volume:?}: the destination is not absolute"
        );
        mounts.push(bind(source, destination, is_read_only));
    }
    if word.net == "host" {
        eprintln!("orlop: warning: with --net host the container reaches abstract sockets of the host, such as D-Bus");
        for file in ["/etc/resolv.conf", "/etc/hosts"] {
            if Path::new(file).exists() {
                mounts.push(bind(file, file, true));
            }
        }
        // A sysfs shows a network namespace, and only its owner may mount it.
        if let Some(sys) = mounts.iter_mut().find(|mount| is_rootless && mount["destination"] == "/sys") {
            *sys = json!({ "destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"] });
        }
        let namespaces = config["linux"]["namespaces"].as_array_mut().context("namespaces")?;
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
    Ok(())
}

fn limits(config: &mut Value, word: &Run) -> Result<()> {
    let resources = &mut config["linux"]["resources"];
    if let Some(memory) = &word.memory {
        resources["memory"] = json!({ "limit": size(memory).with_context(|| format!("--memory {memory:?}"))? });
    }
    if let Some(cpus) = word.cpus {
        ensure!((0.01..=4096.0).contains(&cpus), "--cpus {cpus}: is not in 0.01..=4096");
        resources["cpu"] = json!({ "quota": (cpus * PERIOD) as i64, "period": PERIOD as i64 });
    }
    Ok(())
}

/// Bytes, or kibibytes and so on with a letter.
fn size(text: &str) -> Result<i64> {
    let lower = text.to_lowercase();
    let digits = lower.trim_end_matches('b');
    let (digits, shift) = match digits.chars().last() {
        Some('k') => (&digits[..digits.len() - 1], 10),
        Some('m') => (&digits[..digits.len() - 1], 20),
        Some('g') => (&digits[..digits.len() - 1], 30),
        _ => (digits, 0),
    };
    let number: i64 = digits.parse().context("is no size, such as 512m")?;
    ensure!(number > 0, "is not above 0");
    number.checked_mul(1 << shift).context("is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("512m").unwrap(), 512 << 20);
        assert_eq!(size("1GB").unwrap(), 1 << 30);
        assert_eq!(size("4096").unwrap(), 4096);
        for text in ["", "m", "-1", "0", "1t", "99999999999g"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
