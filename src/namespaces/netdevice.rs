//! Moving network devices from the host into the container (config-linux.md, "Network Devices").
//!
//! The runtime moves them, since the container's process has no rights over the host's network
//! namespace. The kernel drops addresses and the state "up" of a moved device; the runtime restores
//! them. If the creation of the container fails, the devices return to the host.

use super::netlink::{Netlink, NetlinkMessage};
use super::{NamespaceKind, Namespaces, Place};
use crate::config::Spec;
use crate::error::{Context, Error, Ignore as _, Result};
use crate::sys::{file, namespace};
use crate::text;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The longest name of a device: IFNAMSIZ without the NUL.
const LONGEST: usize = 15;

const UP: u32 = libc::IFF_UP as u32;

/// The devices to move, in the order of the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetDevices(Vec<MoveRequest>);

/// A device to move: its name on the host and its name in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MoveRequest {
    host: String,
    inside: String,
}

impl NetDevices {
    /// The name of each device on the host and in the container.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|request| (request.host.as_str(), request.inside.as_str()))
    }

    /// Checks `linux.netDevices`.
    ///
    /// # Errors
    /// A name is invalid, two devices would get the same name, or the container has no network
    /// namespace of its own.
    pub(crate) fn parse(spec: &Spec<'_>, namespaces: &Namespaces) -> Result<NetDevices> {
        let list = spec.linux.as_ref().and_then(|linux| linux.net_devices.as_deref()).unwrap_or_default();
        let mut requests: Vec<MoveRequest> = Vec::with_capacity(list.len());
        for (host, device) in list {
            let field = format!("linux.netDevices[{host:?}]");
            if *namespaces.place(NamespaceKind::Network) == Place::Runtime {
                return Err(Error::config(field, "unable to move network devices without a private NET namespace"));
            }
            let inside = device.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(host);
            if !is_name(host) || host.contains('%') {
                return Err(Error::config(field, "invalid network device name"));
            }
            let template = inside.strip_suffix("%d");
            if !is_name(inside) || template.unwrap_or(inside).contains('%') {
                return Err(Error::config(
                    format!("{field}.name"),
                    format_args!("{inside:?} is not a valid device name"),
                ));
            }
            requests.push(MoveRequest { host: host.to_string(), inside: inside.into() });
        }
        let names: Vec<&str> = requests.iter().map(|request| request.inside.as_str()).collect();
        for (n, first) in text::first_of_equal(&names).into_iter().enumerate() {
            if first != n && !names[n].ends_with("%d") {
                let problem = format_args!("two devices would get the name {:?}", names[n]);
                return Err(Error::config(format!("linux.netDevices[{:?}].name", requests[n].host), problem));
            }
        }
        Ok(NetDevices(requests))
    }

    /// Whether there is no device to move.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves all devices into the network namespace of the process `pid`, or none.
    ///
    /// # Errors
    /// A device does not exist, its name is taken in the container, or the kernel refuses the move.
    pub(crate) fn move_to(&self, pid: i32) -> Result<Moved> {
        self.move_those(pid, &|_| false)
    }

    /// Like [`NetDevices::move_to`], for a network namespace that outlives the container: devices
    /// that were moved there for an earlier container stay as they are.
    ///
    /// # Errors
    /// Those of [`NetDevices::move_to`], for the devices that are not in the namespace yet.
    pub(crate) fn move_again_to(&self, pid: i32) -> Result<Moved> {
        self.move_those(pid, &|error| error.errno() == libc::ENODEV)
    }

    fn move_those(&self, pid: i32, may_be_inside: &dyn Fn(&Error) -> bool) -> Result<Moved> {
        if self.0.is_empty() {
            return Ok(Moved::default());
        }
        let open = |path: String| file::open(path, libc::O_RDONLY);
        let (ours, theirs) = (open("/proc/self/ns/net".into())?, open(format!("/proc/{pid}/ns/net"))?);
        let host = Netlink::open()?;
        namespace::setns(&theirs, libc::CLONE_NEWNET)?;
        let inside = Netlink::open();
        namespace::setns(&ours, libc::CLONE_NEWNET)?;
        let mut sides = Sides { host, inside: inside?, ours, theirs };
        let mut moved = Vec::new();
        for request in &self.0 {
            let field = || format!("linux.netDevices[{:?}]", request.host);
            match sides.take(request).with_context(field) {
                Ok(device) => moved.push(device),
                Err(error) if may_be_inside(&error) && sides.is_inside(request) => {}
                Err(error) => {
                    Moved(Some((sides, moved))).give_back();
                    return Err(error);
                }
            }
        }
        Ok(Moved(Some((sides, moved))))
    }
}

/// Whether the kernel accepts the name for a device (`dev_valid_name`).
fn is_name(name: &str) -> bool {
    let clean = |b: u8| b != b'/' && b != b':' && b != 0 && !b.is_ascii_whitespace();
    (1..=LONGEST).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(clean)
}

/// Devices that were moved. The value holds the container's network namespace open: the kernel
/// would destroy virtual devices together with it.
#[derive(Debug, Default)]
pub(crate) struct Moved(Option<(Sides, Vec<Device>)>);

impl Moved {
    /// Moves the devices back and restores their earlier state. Errors are ignored, since the
    /// caller reports the one that made it give up.
    pub(crate) fn give_back(self) {
        let Some((mut sides, devices)) = self.0 else { return };
        for device in devices.iter().rev() {
            sides.give_back(device).ignore("a device that cannot go back stays, or ends with its namespace");
        }
    }
}

/// A device that was moved.
#[derive(Clone, Debug)]
struct Device {
    host_name: String,
    /// The interface index in the container.
    index: u32,
    was_up: bool,
    addresses: Vec<NetlinkMessage>,
}

/// The network namespaces of the host (`ours`) and the container (`theirs`) with a netlink socket
/// in each.
#[derive(Debug)]
struct Sides {
    host: Netlink,
    inside: Netlink,
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Sides {
    /// Whether the container has a device with the requested name; for a template such as `eth%d`,
    /// with one of the first 64 names.
    fn is_inside(&mut self, request: &MoveRequest) -> bool {
        let Some(stem) = request.inside.strip_suffix("%d") else {
            return link(&mut self.inside, &request.inside).is_ok();
        };
        let named = |n: u32| link(&mut self.inside, &format!("{stem}{n}")).is_ok();
        (0..64).any(named)
    }

    fn take(&mut self, request: &MoveRequest) -> Result<Device> {
        let found = link(&mut self.host, &request.host)?;
        let index = found.word(4);
        let addresses = addresses(&mut self.host, index)?;
        let template = request.inside.ends_with("%d");
        if !template && link(&mut self.inside, &request.inside).is_ok() {
            let text = format!("the container already has a network device {:?}", request.inside);
            return Err(Error::system(text));
        }
        let before = indices(&mut self.inside)?;
        let mut device = Device { host_name: request.host.clone(), index, was_up: found.word(8) & UP != 0, addresses };
        let sent = send(&mut self.host, index, self.theirs.as_fd(), &request.inside);
        // The kernel moves the device before it renames it, so a failure may leave it on either
        // side.
        let arrived = indices(&mut self.inside)?.into_iter().find(|index| !before.contains(index));
        device.index = match (arrived, &sent) {
            (Some(index), _) => index,
            (None, Err(_)) => return Err(sent.err().unwrap_or_else(|| Error::internal("no error"))),
            (None, Ok(())) => return Err(Error::system("the device did not arrive in the container")),
        };
        let ready = sent.and_then(|()| restore(&mut self.inside, device.index, true, &device.addresses));
        if let Err(error) = ready {
            self.give_back(&device).ignore("the first error is the one to tell");
            return Err(error);
        }
        Ok(device)
    }

    fn give_back(&mut self, device: &Device) -> Result<()> {
        send(&mut self.inside, device.index, self.ours.as_fd(), &device.host_name)?;
        let index = link(&mut self.host, &device.host_name)?.word(4);
        restore(&mut self.host, index, device.was_up, &device.addresses)
    }
}

/// The RTM_GETLINK answer for the device of this name.
fn link(side: &mut Netlink, name: &str) -> Result<NetlinkMessage> {
    let message = NetlinkMessage {
        kind: libc::RTM_GETLINK,
        fixed: vec![0; 16],
        attributes: vec![(libc::IFLA_IFNAME, c_string(name))],
    };
    let found = side.get(&message, &format!("rtnetlink(RTM_GETLINK, {name:?})"))?;
    found.into_iter().next().ok_or_else(|| Error::system(format!("network device {name:?} does not exist")))
}

/// The interface indices of all devices.
fn indices(side: &mut Netlink) -> Result<Vec<u32>> {
    let message = NetlinkMessage { kind: libc::RTM_GETLINK, fixed: vec![0; 16], attributes: Vec::new() };
    Ok(side.dump(&message, "rtnetlink(RTM_GETLINK)")?.iter().map(|link| link.word(4)).collect())
}

/// The permanent addresses of a device that have global scope.
fn addresses(side: &mut Netlink, index: u32) -> Result<Vec<NetlinkMessage>> {
    let message = NetlinkMessage { kind: libc::RTM_GETADDR, fixed: vec![0; 8], attributes: Vec::new() };
    let all = side.dump(&message, "rtnetlink(RTM_GETADDR)")?;
    Ok(all.into_iter().filter(|address| address.word(4) == index && lasts(address)).collect())
}

/// Whether an address has IFA_F_PERMANENT and RT_SCOPE_UNIVERSE. The fields of `struct ifaddrmsg`
/// are family, prefix length, flags, scope and index.
fn lasts(address: &NetlinkMessage) -> bool {
    let short = address.fixed.get(2).map_or(0, |flags| u32::from(*flags));
    let long = address.attribute(libc::IFA_FLAGS).and_then(|b| b.try_into().ok()).map_or(short, u32::from_ne_bytes);
    long & libc::IFA_F_PERMANENT != 0 && address.fixed.get(3) == Some(&libc::RT_SCOPE_UNIVERSE)
}

/// Moves the device `index` to the network namespace `to` under the name `name`.
fn send(side: &mut Netlink, index: u32, to: impl AsFd, name: &str) -> Result<()> {
    let fd = (to.as_fd().as_raw_fd() as u32).to_ne_bytes().to_vec();
    let attributes = vec![(libc::IFLA_NET_NS_FD, fd), (libc::IFLA_IFNAME, c_string(name))];
    let message = NetlinkMessage { kind: libc::RTM_NEWLINK, fixed: link_part(index, 0), attributes };
    side.change(&message, 0, &format!("rtnetlink(RTM_NEWLINK, IFLA_NET_NS_FD, {name:?})"))
}

/// Restores the addresses of a device and, if `up` is set, its state "up".
fn restore(side: &mut Netlink, index: u32, up: bool, addresses: &[NetlinkMessage]) -> Result<()> {
    if up {
        let message = NetlinkMessage { kind: libc::RTM_NEWLINK, fixed: link_part(index, UP), attributes: Vec::new() };
        side.change(&message, 0, "rtnetlink(RTM_NEWLINK, IFF_UP)")?;
    }
    const KEPT: [u16; 6] = [
        libc::IFA_ADDRESS,
        libc::IFA_LOCAL,
        libc::IFA_BROADCAST,
        libc::IFA_ANYCAST,
        libc::IFA_FLAGS,
        libc::IFA_CACHEINFO,
    ];
    for address in addresses {
        let mut address = address.clone();
        address.kind = libc::RTM_NEWADDR;
        address.fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        // IFA_LABEL is left out: labels contain the device's old name.
        address.attributes.retain(|(kind, _)| KEPT.contains(kind));
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
        side.change(&address, flags, "rtnetlink(RTM_NEWADDR)")?;
    }
    Ok(())
}

/// A `struct ifinfomsg` (rtnetlink(7)) that sets `flags` and leaves other flags as they are.
fn link_part(index: u32, flags: u32) -> Vec<u8> {
    [0, index, flags, flags].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn c_string(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn parsed(devices: &str, namespaces: &str) -> Result<NetDevices> {
        let json = format!(r#"{{"linux":{{"namespaces":[{namespaces}],"netDevices":{{{devices}}}}}}}"#);
        let spec = config::parse(&json).unwrap();
        NetDevices::parse(&spec, &Namespaces::parse(&spec).unwrap())
    }

    const OWN: &str = r#"{"type":"network"}"#;

    #[test]
    fn a_device_keeps_its_name_unless_it_gets_another() {
        let requests = parsed(r#""eth0":{},"eth1":{"name":"net0"},"eth2":{"name":"x%d"}"#, OWN).unwrap().0;
        let names: Vec<(&str, &str)> = requests.iter().map(|w| (&w.host[..], &w.inside[..])).collect();
        assert_eq!(names, [("eth0", "eth0"), ("eth1", "net0"), ("eth2", "x%d")]);
    }

    #[test]
    fn the_hosts_network_is_no_place_to_move_to() {
        let error = parsed(r#""eth0":{}"#, "").unwrap_err().to_string();
        assert_eq!(error, "linux.netDevices[\"eth0\"]: unable to move network devices without a private NET namespace");
        assert!(parsed("", "").unwrap().0.is_empty());
    }

    #[test]
    fn names_that_no_device_can_have_are_refused() {
        for device in
            [r#""":{}"#, r#""a/b":{}"#, r#""..":{}"#, r#""a b":{}"#, r#""aaaaaaaaaaaaaaaa":{}"#, r#""a%d":{}"#]
        {
            assert!(parsed(device, OWN).unwrap_err().to_string().contains("invalid network device name"), "{device}");
        }
        for name in ["a%d%d", "%dx", "a:b", "aaaaaaaaaaaaaaaa"] {
            let error = parsed(&format!(r#""a":{{"name":"{name}"}}"#), OWN).unwrap_err().to_string();
            assert!(error.starts_with("linux.netDevices[\"a\"].name: "), "{error}");
        }
        assert!(parsed(r#""a":{},"b":{"name":"a"}"#, OWN).unwrap_err().to_string().contains("two devices"));
    }

    #[test]
    fn only_addresses_that_last_and_mean_something_everywhere_are_kept() {
        let address = |flags: u8, scope: u8, long: Option<u32>| NetlinkMessage {
            kind: libc::RTM_NEWADDR,
            fixed: vec![2, 24, flags, scope, 0, 0, 0, 0],
            attributes: long.map(|l| (libc::IFA_FLAGS, l.to_ne_bytes().to_vec())).into_iter().collect(),
        };
        assert!(lasts(&address(0x80, 0, None)) && lasts(&address(0, 0, Some(0x280))));
        assert!(!lasts(&address(0, 0, None)) && !lasts(&address(0x80, 253, None)));
    }
}
