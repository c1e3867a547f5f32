//! A connection to D-Bus, or to systemd's private socket. Every call has a timeout.

use super::message::{BusMessage, Call, HEAD, MessageKind, decode, rest_of};
use super::value::Value;
use crate::error::{Context, Error, IoContext, Result};
use crate::sys::credentials::effective_uid;
use crate::sys::socket::{self, SockFlag, SockType};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

/// The time for all calls on one connection.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The signal at the end of a job.
pub(super) const JOB_REMOVED: &str = "JobRemoved";
/// The limit on queued signals during a call.
const MOST_SIGNALS: usize = 4096;

thread_local! {
    /// Whether systemd has failed to answer in time.
    static TIMED_OUT: Cell<bool> = const { Cell::new(false) };
}

/// An authenticated connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    deadline: Instant,
    /// Whether a bus daemon is between the runtime and systemd.
    daemon: bool,
    /// Signals that arrived during a call.
    signals: VecDeque<BusMessage>,
}

impl Bus {
    /// Connects to the systemd of the system or of the user.
    ///
    /// # Errors
    /// No address accepts a connection, or systemd does not answer before the deadline. Later
    /// connections then fail at once, so that a command waits only once.
    pub(super) fn connect(user: bool) -> Result<Bus> {
        if TIMED_OUT.get() {
            return Err(too_late());
        }
        let mut failed = None;
        for (address, daemon) in addresses(user) {
            match Bus::open(&address, daemon) {
                Ok(bus) => return Ok(bus),
                Err(e) if TIMED_OUT.get() => return Err(e.context(format!("connect to systemd at {address}"))),
                Err(e) => drop(failed.get_or_insert(e.context(format!("connect to systemd at {address}")))),
            }
        }
        let error = failed.unwrap_or_else(|| Error::system("no address of systemd is known"));
        Err(error.hint(if user {
            "a systemd user session is needed: see DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR and loginctl enable-linger"
        } else {
            "the systemd cgroup driver needs a running systemd; --cgroup-manager=cgroupfs does without"
        }))
    }

    fn open(address: &str, daemon: bool) -> Result<Bus> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let stream = connect(address, deadline)?;
        let mut bus = Bus { stream, serial: 0, deadline, daemon, signals: VecDeque::new() };
        bus.authenticate()?;
        if daemon {
            bus.send(&bus_call("Hello", Vec::new()), true)?;
        }
        Ok(bus)
    }

    /// Authenticates by the credentials of the socket (EXTERNAL). The request has no user name, so
    /// that it works in a user namespace.
    fn authenticate(&mut self) -> Result<()> {
        self.write(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        let mut line = Vec::new();
        loop {
            let mut byte = [0];
            self.read(&mut byte)?;
            line.push(byte[0]);
            if !line.ends_with(b"\r\n") {
                if line.len() > 4096 {
                    return Err(Error::system("D-Bus: no answer to the authentication"));
                }
                continue;
            }
            match &line[..] {
                answer if answer.starts_with(b"OK") => return Ok(()),
                answer if answer.starts_with(b"DATA") => line.clear(),
                answer => {
                    let text = String::from_utf8_lossy(answer).trim().to_owned();
                    return Err(Error::system(format!("D-Bus: authentication refused: {text}")));
                }
            }
        }
    }

    /// Sends a call and returns its serial number.
    fn send(&mut self, call: &Call<'_>, wants_reply: bool) -> Result<u32> {
        self.serial += 1;
        let message = call.encode(self.serial, wants_reply)?;
        self.write(&message)?;
        Ok(self.serial)
    }

    /// Calls a method and waits for the reply.
    ///
    /// # Errors
    /// The reply is an error (its D-Bus name is in the text), or does not arrive in time.
    pub(super) fn call(&mut self, call: &Call<'_>) -> Result<BusMessage> {
        let context = || format!("D-Bus call {}", call.member);
        let serial = self.send(call, true).with_context(context)?;
        loop {
            let message = self.receive().with_context(context)?;
            match message.kind {
                MessageKind::Reply if message.answers == serial => return Ok(message),
                MessageKind::Error if message.answers == serial => {
                    let text = message.body().string().unwrap_or_default();
                    return Err(Error::system(format!("{}: {text}", message.name)).context(context()));
                }
                MessageKind::Signal if message.name == JOB_REMOVED && self.signals.len() < MOST_SIGNALS => {
                    self.signals.push_back(message);
                }
                _ => {}
            }
        }
    }

    /// Subscribes to systemd's signals about jobs.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn subscribe(&mut self) -> Result<()> {
        if self.daemon {
            let rule = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
            self.send(&bus_call("AddMatch", vec![Value::str(rule)]), false)?;
            self.send(&super::manager_call("Subscribe", Vec::new()), false)?;
        }
        Ok(())
    }

    /// The next signal.
    ///
    /// # Errors
    /// No signal arrives in time.
    pub(super) fn signal(&mut self) -> Result<BusMessage> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let message = self.receive()?;
            if message.kind == MessageKind::Signal {
                return Ok(message);
            }
        }
    }

    fn receive(&mut self) -> Result<BusMessage> {
        let mut head = [0; HEAD];
        self.read(&mut head)?;
        let mut rest = vec![0; rest_of(&head)?];
        self.read(&mut rest)?;
        decode(&head, &rest)
    }

    fn left(&self) -> Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(too_late()),
            false => Ok(left),
        }
    }

    fn read(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            self.stream.set_read_timeout(Some(self.left()?)).io_context(|| "set a deadline".into())?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(Error::system("systemd has closed the connection")),
                Ok(n) => buffer = &mut buffer[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(too_late()),
                Err(e) => return Err(e).io_context(|| "read from systemd".into()),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.set_write_timeout(Some(self.left()?)).io_context(|| "set a deadline".into())?;
        match self.stream.write_all(bytes) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Err(too_late()),
            done => done.io_context(|| "write to systemd".into()),
        }
    }
}

fn too_late() -> Error {
    TIMED_OUT.set(true);
    Error::system(format!("systemd has not answered within {} seconds", CALL_TIMEOUT.as_secs()))
}

fn bus_call<'a>(member: &'a str, body: Vec<Value>) -> Call<'a> {
    let interface = "org.freedesktop.DBus";
    Call { destination: interface, path: "/org/freedesktop/DBus", interface, member, body }
}

/// The addresses of systemd in order of preference, and whether each one is a bus daemon's.
fn addresses(user: bool) -> Vec<(String, bool)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut list = Vec::new();
    if !user {
        if let Some(address) = variable("DBUS_SYSTEM_BUS_ADDRESS") {
            list.push((address, true));
        } else if effective_uid() == 0 {
            list.push(("unix:path=/run/systemd/private".into(), false));
        }
        list.push(("unix:path=/run/dbus/system_bus_socket".into(), true));
        return list;
    }
    list.extend(variable("DBUS_SESSION_BUS_ADDRESS").map(|address| (address, true)));
    let runtime = variable("XDG_RUNTIME_DIR").unwrap_or_else(|| format!("/run/user/{}", effective_uid()));
    list.push((format!("unix:path={runtime}/bus"), true));
    list.push((format!("unix:path={runtime}/systemd/private"), false));
    list
}

/// Connects to the first reachable unix socket in a list of addresses (the D-Bus specification,
/// "Server Addresses").
fn connect(addresses: &str, deadline: Instant) -> Result<UnixStream> {
    let mut last = Error::system(format!("{addresses:?} contains no unix socket address"));
    for address in addresses.split(';') {
        let Some(keys) = address.strip_prefix("unix:") else { continue };
        for (key, value) in keys.split(',').filter_map(|pair| pair.split_once('=')) {
            let value = unescape(value);
            let stream = match key {
                "path" => connect_path(&value, deadline),
                "abstract" => SocketAddr::from_abstract_name(&value)
                    .and_then(|address| UnixStream::connect_addr(&address))
                    .io_context(|| format!("connect(@{:?})", String::from_utf8_lossy(&value))),
                _ => continue,
            };
            match stream {
                Ok(stream) => return Ok(stream),
                Err(e) => last = e,
            }
        }
    }
    Err(last)
}

/// A blocking connect could hang: the backlog of the socket is full if its server does not run.
fn connect_path(path: &[u8], deadline: Instant) -> Result<UnixStream> {
    let fd = socket::unix(SockType::Stream, SockFlag::SOCK_NONBLOCK)?;
    loop {
        match socket::connect(&fd, path) {
            Err(e) if e.is(libc::EAGAIN) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => break done?,
        }
    }
    let stream = UnixStream::from(fd);
    stream.set_nonblocking(false).io_context(|| "fcntl(F_SETFL)".into())?;
    Ok(stream)
}

fn unescape(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| first == b'%').and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(any(test, fuzzing))]
#[path = "../../../integration/fuzz/targets/systemd.rs"]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_escaped() {
        assert_eq!(unescape("/run/user/1%20a%2"), b"/run/user/1 a%2");
    }

    #[test]
    fn a_peer_that_is_no_bus_is_an_error() {
        let directory = std::env::temp_dir().join(format!("orlop-bus-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 64]).unwrap();
            stream.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
        });
        let error = Bus::open(&format!("unix:path={}", path.display()), false).unwrap_err();
        server.join().unwrap();
        assert!(error.to_string().contains("authentication refused: REJECTED"), "{error}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
