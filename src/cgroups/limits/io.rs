//! The checked form of `linux.resources.blockIO`.

use crate::config::{self, ThrottleDevice};
use crate::error::{Error, Result};

/// Weights and throttles of block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Io {
    /// The weight on all devices, 10 to 1000.
    pub weight: Option<u16>,
    /// v1: the weight of the cgroup's own tasks against its children.
    pub leaf_weight: Option<u16>,
    /// Weights by device.
    pub weight_devices: Vec<WeightDevice>,
    /// Throttles by device.
    pub throttles: Vec<Throttle>,
}

/// The weight of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightDevice {
    /// The device number.
    pub device: (u32, u32),
    /// Its weight.
    pub weight: Option<u16>,
    /// v1: the weight of the cgroup's own tasks on this device.
    pub leaf_weight: Option<u16>,
}

/// The throttle of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Throttle {
    /// The throttled operation.
    pub kind: &'static ThrottleKind,
    /// The device number.
    pub device: (u32, u32),
    /// Bytes or operations a second.
    pub rate: u64,
}

/// A throttled operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ThrottleKind {
    /// The field of `blockIO`.
    pub field: &'static str,
    /// The file of cgroup v1.
    pub file: &'static str,
    /// The key in `io.max` of cgroup v2.
    pub key: &'static str,
}

static READ_BYTES: ThrottleKind =
    ThrottleKind { field: "blockIO.throttleReadBpsDevice", file: "blkio.throttle.read_bps_device", key: "rbps" };
static WRITE_BYTES: ThrottleKind =
    ThrottleKind { field: "blockIO.throttleWriteBpsDevice", file: "blkio.throttle.write_bps_device", key: "wbps" };
static READS: ThrottleKind =
    ThrottleKind { field: "blockIO.throttleReadIOPSDevice", file: "blkio.throttle.read_iops_device", key: "riops" };
static WRITES: ThrottleKind =
    ThrottleKind { field: "blockIO.throttleWriteIOPSDevice", file: "blkio.throttle.write_iops_device", key: "wiops" };

impl Io {
    /// Checks `blockIO` at the JSON path `at`. Callers write a weight of 0 for an unset one.
    ///
    /// # Errors
    /// A device number, weight or rate is missing, or a weight is out of range.
    pub(crate) fn parse(io: &config::BlockIo, at: &str) -> Result<Io> {
        let mut throttles = Vec::new();
        let lists = [
            (&READ_BYTES, &io.throttle_read_bps_device),
            (&WRITE_BYTES, &io.throttle_write_bps_device),
            (&READS, &io.throttle_read_iops_device),
            (&WRITES, &io.throttle_write_iops_device),
        ];
        let prefix = at.strip_suffix("blockIO").unwrap_or(at);
        for (kind, list) in lists {
            for (n, entry) in list.iter().flatten().enumerate() {
                throttles.push(throttle(kind, entry, &format!("{prefix}{}[{n}]", kind.field))?);
            }
        }
        let mut weight_devices = Vec::new();
        for (n, entry) in io.weight_device.iter().flatten().enumerate() {
            weight_devices.push(weight_device(entry, &format!("{at}.weightDevice[{n}]"))?);
        }
        Ok(Io {
            weight: weight(io.weight, at, "weight")?,
            leaf_weight: weight(io.leaf_weight, at, "leafWeight")?,
            weight_devices,
            throttles,
        })
    }
}

fn weight(weight: Option<u16>, at: &str, field: &str) -> Result<Option<u16>> {
    match weight {
        None | Some(0) => Ok(None),
        Some(10..=1000) => Ok(weight),
        Some(other) => Err(Error::config(format!("{at}.{field}"), format!("{other} is not between 10 and 1000"))),
    }
}

fn weight_device(entry: &config::WeightDevice, at: &str) -> Result<WeightDevice> {
    let result = WeightDevice {
        device: device(entry.major, entry.minor, at)?,
        weight: weight(entry.weight, at, "weight")?,
        leaf_weight: weight(entry.leaf_weight, at, "leafWeight")?,
    };
    if result.weight.or(result.leaf_weight).is_none() {
        return Err(Error::config(at, "neither weight nor leafWeight is given"));
    }
    Ok(result)
}

fn throttle(kind: &'static ThrottleKind, entry: &ThrottleDevice, at: &str) -> Result<Throttle> {
    let device = device(entry.major, entry.minor, at)?;
    let rate = entry.rate.ok_or_else(|| Error::config(format!("{at}.rate"), "missing"))?;
    Ok(Throttle { kind, device, rate })
}

fn device(major: Option<i64>, minor: Option<i64>, at: &str) -> Result<(u32, u32)> {
    let number = |value: Option<i64>, name: &str| {
        let value = value.ok_or_else(|| Error::config(format!("{at}.{name}"), "missing"))?;
        u32::try_from(value)
            .map_err(|_| Error::config(format!("{at}.{name}"), format!("{value} is not a device number")))
    };
    Ok((number(major, "major")?, number(minor, "minor")?))
}
