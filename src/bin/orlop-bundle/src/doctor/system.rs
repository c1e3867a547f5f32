//! Around the containers: systemd, security modules, seccomp, sysctls, CRIU.

use super::{Line, user};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) fn lines(is_root: bool) -> Vec<Line> {
    let mut lines = systemd(is_root);
    lines.push(apparmor());
    lines.push(selinux());
    lines.extend(seccomp());
    lines.push(network());
    lines.push(keys());
    lines.push(criu());
    lines
}

fn systemd(is_root: bool) -> Vec<Line> {
    let consequence = "--systemd-cgroup and SystemdCgroup = true are an error";
    if !Path::new("/run/systemd/system").is_dir() {
        let remedy = "let the engine use the cgroup driver \"cgroupfs\"";
        return vec![Line::no("systemd.running", "systemd does not run here", consequence, remedy)];
    }
    let place = match std::env::var_os("XDG_RUNTIME_DIR") {
        _ if is_root => PathBuf::from("/run/dbus/system_bus_socket"),
        Some(directory) => PathBuf::from(directory).join("bus"),
        None => PathBuf::from(format!("/run/user/{}/bus", user::uid())),
    };
    let running = Line::yes("systemd.running", "systemd runs");
    let bus = match UnixStream::connect(&place) {
        Ok(_) => Line::yes("systemd.bus", place.display().to_string()),
        Err(error) => {
            let remedy = match is_root {
                true => "systemctl start dbus.socket".to_owned(),
                false => format!("loginctl enable-linger {} and log in by PAM", user::uid()),
            };
            Line::no("systemd.bus", format!("{}: {error}", place.display()), consequence, remedy)
        }
    };
    vec![running, bus]
}

fn apparmor() -> Line {
    let id = "lsm.apparmor";
    let switch = fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
    if switch.trim() != "Y" {
        let remedy = "boot with security=apparmor, or give configs without the field";
        return Line::no(id, "AppArmor is not enabled", "a config with process.apparmorProfile is an error", remedy);
    }
    match fs::read_to_string("/proc/self/attr/apparmor/current")
        .or_else(|_| fs::read_to_string("/proc/self/attr/current"))
    {
        Ok(label) => {
            Line::yes(id, format!("AppArmor is enabled; this process: {}", label.trim_end_matches(['\n', '\0'])))
        }
        Err(error) => {
            let consequence = "a config with process.apparmorProfile fails";
            Line::limited(id, format!("/proc/self/attr: {error}"), consequence, "mount /proc without hiding attr")
        }
    }
}

fn selinux() -> Line {
    let id = "lsm.selinux";
    match fs::read_to_string("/sys/fs/selinux/enforce") {
        Ok(text) if text.trim() == "1" => Line::yes(id, "SELinux is enforcing"),
        Ok(_) => {
            Line::limited(id, "SELinux is permissive", "labels are set, and violations are only logged", "setenforce 1")
        }
        Err(_) => Line::no(
            id,
            "SELinux is not enabled",
            "a config with process.selinuxLabel is an error",
            "boot with security=selinux, or give configs without the field",
        ),
    }
}

fn seccomp() -> Vec<Line> {
    let remedy = "boot a kernel with CONFIG_SECCOMP_FILTER";
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let mut lines = Vec::new();
    let is_there = actions.split_whitespace().any(|action| action == "errno");
    lines.push(match is_there || seccomp_mode().is_some() {
        true => Line::yes("seccomp.filter", "seccomp filters"),
        false => {
            let consequence = "a config with linux.seccomp is an error";
            Line::no("seccomp.filter", "no seccomp filters in this kernel", consequence, remedy).hindering()
        }
    });
    lines.push(match actions.split_whitespace().any(|action| action == "user_notif") {
        true => Line::yes("seccomp.notify", "the action SCMP_ACT_NOTIFY"),
        false => Line::no(
            "seccomp.notify",
            "no action user_notif in /proc/sys/kernel/seccomp/actions_avail",
            "a profile with SCMP_ACT_NOTIFY is an error",
            "boot Linux 5.0 or newer with CONFIG_SECCOMP_FILTER",
        ),
    });
    lines.push(match seccomp_mode() {
        Some(2) => Line::limited(
            "seccomp.around",
            "this process is under a seccomp filter, which containers inherit",
            "calls that the filter refuses fail in every container",
            "run from a host shell, or start the container around with `--security-opt seccomp=unconfined`",
        ),
        _ => Line::yes("seccomp.around", "no seccomp filter around this process"),
    });
    lines
}

fn seccomp_mode() -> Option<u32> {
    procfs::process::Process::myself().and_then(|own| own.status()).ok()?.seccomp
}

fn network() -> Line {
    let id = "sysctl.net";
    match fs::read_dir("/proc/sys/net") {
        Ok(_) if Path::new("/proc/sys/net/ipv4/ip_forward").exists() => {
            let text = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap_or_default();
            match text.trim() {
                "0" => Line::limited(
                    id,
                    "net.ipv4.ip_forward is 0",
                    "containers on an engine's bridge reach no other network",
                    "sysctl -w net.ipv4.ip_forward=1",
                ),
                _ => Line::yes(id, "/proc/sys/net is there, and packets are forwarded"),
            }
        }
        Ok(_) => Line::limited(
            id,
            "/proc/sys/net/ipv4/ip_forward is not there",
            "a config with IPv4 sysctls is an error",
            "boot a kernel with CONFIG_SYSCTL and CONFIG_INET",
        ),
        Err(error) => Line::no(
            id,
            format!("/proc/sys/net: {error}"),
            "a config with linux.sysctl net.* is an error",
            "boot a kernel with CONFIG_SYSCTL and CONFIG_NET, or mount a full /proc",
        ),
    }
}

/// Each container has a session keyring, which counts for its owner: root's quota is mostly larger.
fn keys() -> Line {
    let id = "keys.quota";
    let uid = user::uid();
    let name = if uid == 0 { "root_maxkeys" } else { "maxkeys" };
    let most =
        fs::read_to_string(format!("/proc/sys/kernel/keys/{name}")).ok().and_then(|t| t.trim().parse::<u64>().ok());
    let used = fs::read_to_string("/proc/key-users").ok().and_then(|text| keys_of(&text, uid));
    let (Some(most), Some(used)) = (most, used.or(Some(0))) else {
        return Line::limited(
            id,
            "the kernel has no keyrings, or /proc/key-users is hidden",
            "containers share the session keyring of their caller",
            "boot a kernel with CONFIG_KEYS",
        );
    };
    let about = format!("{used} of {most} keys are used (kernel.keys.{name})");
    if used + 10 < most {
        return Line::yes(id, about);
    }
    let consequence = "`create` fails with \"disk quota exceeded\" (EDQUOT) unless --no-new-keyring";
    Line::no(id, about, consequence, format!("sysctl -w kernel.keys.{name}={}", most * 10)).hindering()
}

/// The third field of a user's row in /proc/key-users (proc(5)): `QNKEYS/MAXKEYS` is the fourth.
fn keys_of(table: &str, uid: u32) -> Option<u64> {
    table.lines().find_map(|line| {
        let (owner, rest) = line.trim().split_once(':')?;
        let quota = rest.split_whitespace().nth(2)?;
        (owner.parse() == Ok(uid)).then(|| quota.split_once('/')?.0.parse().ok())?
    })
}

fn criu() -> Line {
    let id = "criu.program";
    let consequence = "`checkpoint` and `restore` fail";
    let Some(file) = user::in_path("criu") else {
        return Line::no(id, "criu is not in PATH", consequence, "install the package criu");
    };
    let output = Command::new(&file).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    match text.lines().find_map(|line| line.strip_prefix("Version: ")) {
        Some(version) => Line::yes(id, format!("{} {version}", file.display())),
        None => {
            let about = format!("{} does not tell its version", file.display());
            Line::no(id, about, consequence, "reinstall the package criu")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_against_the_quota_of_their_owner() {
        let table = "    0:    20 19/19 14/1000000 344/25000000\n 1000:     6 6/6 5/200 84/20000\n";
        assert_eq!(keys_of(table, 0), Some(14));
        assert_eq!(keys_of(table, 1000), Some(5));
        assert_eq!(keys_of(table, 7), None);
    }
}
