//! systemd as the manager of cgroups: transient scopes (systemd.scope(5),
//! org.freedesktop.systemd1(5)).

mod annotation;
pub(crate) mod bus;
mod message;
mod properties;
mod value;

pub(crate) use annotation::parse as parse_annotations;
pub(crate) use properties::{OOM_POLICY, properties, properties_of_files, round};
pub(crate) use value::Value;

use super::cgroups_path::Scope;
use crate::error::{Context, Error, Ignore as _, Result};
use crate::json::readable;
use bus::Bus;
use message::{BusMessage, Call};
use serde::Serialize;

const DESTINATION: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "/org/freedesktop/systemd1";

/// A property of a unit.
pub(crate) type Property = (String, Value);

/// The container's unit, as part of its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Unit {
    /// Its name: `docker-ID.scope`.
    pub name: String,
    /// Whether it belongs to the user's systemd.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub user: bool,
}

readable! { Unit { name = "name", user = "user" } }

impl Unit {
    /// A unit of the caller's systemd.
    pub(crate) fn of_caller(name: String) -> Unit {
        Unit { name, user: crate::sys::credentials::effective_uid() != 0 }
    }
}

fn manager_call<'a>(member: &'a str, body: Vec<Value>) -> Call<'a> {
    let interface = "org.freedesktop.systemd1.Manager";
    Call { destination: DESTINATION, path: MANAGER, interface, member, body }
}

/// The cgroup of the user's systemd, which contains its slices:
/// `/user.slice/user-1000.slice/user@1000.service`.
///
/// # Errors
/// systemd does not answer.
pub(crate) fn user_root() -> Result<String> {
    let mut bus = Bus::connect(true)?;
    let root = property(&mut bus, MANAGER, "org.freedesktop.systemd1.Manager", "ControlGroup")?;
    Ok(root.trim_end_matches('/').trim_end_matches("/init.scope").to_owned())
}

/// The major version of systemd. 0 if it is unknown.
pub(super) fn version(user: bool) -> u32 {
    let ask = || {
        let mut bus = Bus::connect(user)?;
        property(&mut bus, MANAGER, "org.freedesktop.systemd1.Manager", "Version")
    };
    ask().map(|text| major(&text)).unwrap_or(0)
}

fn major(text: &str) -> u32 {
    let digits: String = text.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn property(bus: &mut Bus, path: &str, interface: &str, name: &str) -> Result<String> {
    let call = Call {
        destination: DESTINATION,
        path,
        interface: "org.freedesktop.DBus.Properties",
        member: "Get",
        body: vec![Value::str(interface), Value::str(name)],
    };
    bus.call(&call).with_context(|| format!("property {name}"))?.body().variant_string()
}

impl Unit {
    /// The unit of a scope.
    pub(crate) fn of(scope: &Scope, user: bool) -> Unit {
        Unit { name: scope.unit(), user }
    }

    /// Starts the unit with these properties and waits for the job.
    ///
    /// # Errors
    /// A unit with this name is in use, a property is refused, or the job does not end with `done`
    /// in time.
    pub(crate) fn start(&self, properties: &[Property]) -> Result<()> {
        let context = || format!("unable to start unit {:?}", self.name);
        let mut bus = Bus::connect(self.user).with_context(context)?;
        bus.subscribe().with_context(context)?;
        let body = vec![
            Value::str(&self.name),
            Value::str("replace"),
            list(properties),
            Value::Array("(sa(sv))".into(), Vec::new()),
        ];
        let call = manager_call("StartTransientUnit", body);
        let started = match bus.call(&call) {
            // A failed unit keeps its name until it is reset.
            Err(e) if e.to_string().contains("org.freedesktop.systemd1.UnitExists") => {
                self.reset(&mut bus);
                bus.call(&call)
            }
            started => started,
        };
        self.wait(&mut bus, &started.with_context(context)?).with_context(context)
    }

    /// Stops the unit, which kills its remaining processes, and frees its name. A unit that is gone
    /// is ignored.
    ///
    /// # Errors
    /// systemd refuses, or does not answer in time.
    pub(crate) fn stop(&self) -> Result<()> {
        let context = || format!("unable to stop unit {:?}", self.name);
        let mut bus = Bus::connect(self.user).with_context(context)?;
        bus.subscribe().with_context(context)?;
        let stopped = bus.call(&manager_call("StopUnit", vec![Value::str(&self.name), Value::str("replace")]));
        let done = match stopped {
            Err(e) if e.to_string().contains("org.freedesktop.systemd1.NoSuchUnit") => Ok(()),
            stopped => stopped.and_then(|reply| self.wait(&mut bus, &reply)),
        };
        self.reset(&mut bus);
        done.with_context(context)
    }

    /// Changes properties until the unit is stopped. systemd has written the files of the cgroup
    /// when this returns.
    ///
    /// # Errors
    /// A property is refused.
    pub(crate) fn set(&self, properties: &[Property]) -> Result<()> {
        let context = || format!("unable to set properties of unit {:?}", self.name);
        let mut bus = Bus::connect(self.user).with_context(context)?;
        let body = vec![Value::str(&self.name), Value::Bool(true), list(properties)];
        bus.call(&manager_call("SetUnitProperties", body)).with_context(context)?;
        // systemd writes the files after the reply, but before it handles the next call.
        property(&mut bus, MANAGER, "org.freedesktop.systemd1.Manager", "Version").with_context(context).map(drop)
    }

    /// The cgroup that systemd created for it.
    ///
    /// # Errors
    /// The unit does not exist.
    pub(crate) fn cgroup(&self) -> Result<String> {
        let mut bus = Bus::connect(self.user)?;
        let interface = match self.name.rsplit_once('.') {
            Some((_, "slice")) => "org.freedesktop.systemd1.Slice",
            _ => "org.freedesktop.systemd1.Scope",
        };
        property(&mut bus, &self.object(), interface, "ControlGroup")
    }

    /// The object path of the unit. Characters other than letters and digits are escaped.
    fn object(&self) -> String {
        let mut path = format!("{MANAGER}/unit/");
        for (n, byte) in self.name.bytes().enumerate() {
            match byte {
                b'0'..=b'9' if n == 0 => path.push_str(&format!("_{byte:02x}")),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => path.push(byte.into()),
                _ => path.push_str(&format!("_{byte:02x}")),
            }
        }
        path
    }

    fn reset(&self, bus: &mut Bus) {
        bus.call(&manager_call("ResetFailedUnit", vec![Value::str(&self.name)]))
            .ignore("a unit that did not fail has nothing to reset");
    }

    /// Waits for the end of the job in a reply.
    fn wait(&self, bus: &mut Bus, reply: &BusMessage) -> Result<()> {
        let job = reply.body().string()?;
        loop {
            let signal = bus.signal().with_context(|| format!("job {job}"))?;
            if signal.name != bus::JOB_REMOVED {
                continue;
            }
            let mut body = signal.body();
            body.number()?;
            if body.string()? != job {
                continue;
            }
            body.string()?;
            return match body.string()?.as_str() {
                "done" => Ok(()),
                result => Err(Error::system(format!("the job's result is {result:?}"))),
            };
        }
    }
}

fn list(properties: &[Property]) -> Value {
    let one = |(name, value): &Property| Value::Struct(vec![Value::str(name), Value::Variant(Box::new(value.clone()))]);
    Value::Array("(sv)".into(), properties.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_by_the_escaped_unit() {
        let unit = Unit { name: "1-a.scope".into(), user: false };
        assert_eq!(unit.object(), "/org/freedesktop/systemd1/unit/_31_2da_2escope");
    }

    #[test]
    fn the_version_is_the_first_number() {
        assert_eq!((major("252.38-1~deb12u1"), major("v255"), major("")), (252, 255, 0));
    }
}
