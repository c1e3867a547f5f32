//! `$NOTIFY_SOCKET` (`sd_notify(3)`): passes the program's READY=1 to the caller's service manager.
//!
//! ```text
//!  create   a directory in the state, shown read-only at /run/notify; the program finds NOTIFY_SOCKET=/run/notify/notify.sock
//!  start    binds the socket there, waits until the program says READY=1 (or ends), and says so to the manager, with the
//!           program's MAINPID, and BARRIER=1, by which it knows that both were read before this process is gone
//! ```
//!
//! No other message of the program is passed on: the manager would take it as the runtime's.
//!
//! On the host the directory lies in one that only its owner may search. The container's processes,
//! of any user, reach the socket through their mount; other users of the host do not.

use crate::config::{Mount, Spec};
use crate::error::{Error, Ignore as _, IoContext, Result};
use crate::log;
use crate::state::ContainerDir;
use crate::sys::Errno;
use crate::sys::process::{self, Pid};
use crate::sys::socket::{self, SockFlag, SockType};
use crate::sys::{self, credentials};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

/// The directory as the container sees it.
const INSIDE: &str = "/run/notify";
/// In the state directory: the directory that other users of the host cannot search.
const PRIVATE: &str = "notify";
/// Below it: the directory that is mounted in the container.
const SHOWN: &str = "notify/shown";
const SOCKET: &str = "notify/shown/notify.sock";
/// The time the manager may take to read a message.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest message that is read, in bytes.
const LONGEST: usize = 4096;

/// The socket address of the caller's manager, if there is one: a path, or an abstract name after a
/// NUL.
pub(super) fn manager() -> Option<Vec<u8>> {
    let mut address = env::var_os("NOTIFY_SOCKET")?.into_vec();
    match address.first()? {
        b'/' => Some(address),
        b'@' => {
            address[0] = 0;
            Some(address)
        }
        _ => {
            let shown = String::from_utf8_lossy(&address);
            log::warning(format!("NOTIFY_SOCKET {shown:?} is no unix socket; the container does not get it"));
            None
        }
    }
}

/// Adds the mount of the socket's directory, in the state directory `state`, and the program's
/// variable to the config.
pub(super) fn offer(spec: &mut Spec<'_>, state: &Path) {
    let options = ["bind", "ro", "nosuid", "nodev", "noexec"].map(Into::into).to_vec();
    spec.mounts.get_or_insert_default().push(Mount {
        destination: Some(INSIDE.into()),
        type_: Some("bind".into()),
        source: Some(state.join(SHOWN).to_string_lossy().into_owned().into()),
        options: Some(options),
        ..Mount::default()
    });
    if let Some(process) = &mut spec.process {
        let env = process.env.get_or_insert_default();
        env.retain(|entry| !entry.starts_with("NOTIFY_SOCKET="));
        env.push(format!("NOTIFY_SOCKET={INSIDE}/notify.sock").into());
    }
}

/// Whether a mount at `point` comes from [`offer`] and not from the config.
pub(super) fn was_offered(spec: &Spec<'_>, point: &[u8]) -> bool {
    let is_of_config = || spec.mounts.iter().flatten().any(|mount| mount.destination.as_deref() == Some(INSIDE));
    point == INSIDE.as_bytes() && !is_of_config()
}

/// Creates the directory that [`offer`] mounts.
pub(super) fn make_directory(dir: &ContainerDir) -> Result<()> {
    // Independent of the umask: the program may run as any user.
    for (name, mode) in [(PRIVATE, 0o700), (SHOWN, 0o755)] {
        let path = dir.path().join(name);
        fs::create_dir(&path).io_context(|| format!("mkdir({path:?})"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .io_context(|| format!("chmod({path:?}, {mode:#o})"))?;
    }
    Ok(())
}

/// The container's socket, and the connection to the service manager.
pub(super) struct NotifyProxy {
    socket: OwnedFd,
    manager: OwnedFd,
}

impl NotifyProxy {
    /// Binds the container's socket and connects to the manager, if the caller has one and the
    /// container was created with a place for it. A failure is a warning: the container runs
    /// without it, too.
    pub(super) fn open(dir: &ContainerDir) -> Option<NotifyProxy> {
        NotifyProxy::find(dir).unwrap_or_else(|error| {
            log::warning(error.context("NOTIFY_SOCKET").to_string());
            None
        })
    }

    fn find(dir: &ContainerDir) -> Result<Option<NotifyProxy>> {
        let directory = dir.path().join(SHOWN);
        let Some(address) = manager().filter(|_| directory.is_dir()) else { return Ok(None) };
        let manager = socket::unix(SockType::Datagram, SockFlag::empty())?;
        socket::connect(&manager, &address)?;
        fs::remove_file(dir.path().join(SOCKET)).ignore("bind fails if another's is still there");
        Ok(Some(NotifyProxy { socket: bind_for_all(dir)?, manager }))
    }

    /// Waits until the program is ready, and sends READY=1 and MAINPID to the manager; or until the
    /// process exits. A failure is a warning: the container runs in any case.
    pub(super) fn pass_on(&self, pid: Pid, pidfd: &OwnedFd) {
        if let Err(error) = self.wait(pid, pidfd) {
            log::warning(error.context("NOTIFY_SOCKET").to_string());
        }
    }

    fn wait(&self, pid: Pid, pidfd: &OwnedFd) -> Result<()> {
        loop {
            let fds = [(Some(self.socket.as_fd()), libc::POLLIN), (Some(pidfd.as_fd()), libc::POLLIN)];
            let [said, ended] = process::poll(fds, -1)?;
            if said != 0 && self.receive()? {
                self.send(b"READY=1", &[])?;
                self.send(format!("MAINPID={pid}").as_bytes(), &[])?;
                return self.barrier();
            }
            if said == 0 && ended != 0 {
                return Ok(());
            }
        }
    }

    /// Receives one message; returns whether it has READY=1.
    ///
    /// # Errors
    /// The socket cannot be read.
    fn receive(&self) -> Result<bool> {
        let mut message = [0; LONGEST];
        match socket::receive(&self.socket, &mut message) {
            Ok(packet) => Ok(message[..packet.length].split(|b| *b == b'\n').any(|line| line == b"READY=1")),
            // READY=1 comes in a short message.
            Err(e) if e.is(libc::EMSGSIZE) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Passes on READY=1 of a program in the foreground: the runtime stays the manager's main
    /// process, and lives until its message is read. Returns whether the proxy is done.
    pub(super) fn pass_on_if_ready(&self) -> bool {
        match self.receive().and_then(|ready| if ready { self.send(b"READY=1", &[]).map(|()| true) } else { Ok(false) })
        {
            Ok(done) => done,
            Err(error) => {
                log::warning(error.context("NOTIFY_SOCKET").to_string());
                true
            }
        }
    }

    fn send(&self, text: &[u8], fds: &[i32]) -> Result<()> {
        let [ready] = process::poll([(Some(self.manager.as_fd()), libc::POLLOUT)], READ_TIMEOUT.as_millis() as i32)?;
        if ready == 0 {
            return Err(late());
        }
        Ok(socket::send(&self.manager, text, fds)?)
    }

    /// Waits until the manager has read all messages: it then closes the descriptor of BARRIER=1.
    fn barrier(&self) -> Result<()> {
        let (ours, theirs) = std::io::pipe().io_context(|| "pipe2()".into())?;
        self.send(b"BARRIER=1", &[theirs.as_raw_fd()])?;
        drop(theirs);
        let [closed] = process::poll([(Some(ours.as_fd()), 0)], READ_TIMEOUT.as_millis() as i32)?;
        if closed == 0 { Err(late()) } else { Ok(()) }
    }
}

/// Binds the container's socket, which a program of any user may write to.
fn bind_for_all(dir: &ContainerDir) -> Result<OwnedFd> {
    let socket = socket::unix(SockType::Datagram, SockFlag::empty())?;
    // `bind` takes the mode from the socket, less the umask. A later `chmod` of the path could meet
    // another file: a container with CAP_SYS_ADMIN may replace it.
    sys::fs::chmod(&socket, 0o777)?;
    credentials::without_umask(|| socket::bind(&socket, dir.socket_path(SOCKET)))?;
    Ok(socket)
}

impl AsFd for NotifyProxy {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn late() -> Error {
    let why = Errno(libc::ETIMEDOUT).words();
    Error::system(format!("the service manager did not read within {} s: {why}", READ_TIMEOUT.as_secs()))
}

#[cfg(any(test, fuzzing))]
#[path = "../../integration/fuzz/targets/notify.rs"]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (NotifyProxy, OwnedFd, OwnedFd) {
        let (socket, program) = socket::pair(SockType::Datagram).unwrap();
        let (manager, heard) = socket::pair(SockType::Datagram).unwrap();
        (NotifyProxy { socket, manager }, program, heard)
    }

    fn next(heard: &OwnedFd) -> (String, usize) {
        let mut buffer = [0; 64];
        let packet = socket::receive(heard, &mut buffer).unwrap();
        (String::from_utf8_lossy(&buffer[..packet.length]).into_owned(), packet.fds.len())
    }

    #[test]
    fn only_the_word_of_being_ready_is_passed_on() {
        let (notify, program, heard) = pair();
        for text in ["STATUS=READY=1", "MAINPID=1", "READY=0", "XREADY=1"] {
            socket::send(&program, text.as_bytes(), &[]).unwrap();
            assert!(!notify.pass_on_if_ready(), "{text}");
        }
        socket::send(&program, &[b'x'; 2 * LONGEST], &[]).unwrap();
        assert!(!notify.pass_on_if_ready());
        socket::send(&program, b"STATUS=up\nREADY=1\nMAINPID=1", &[]).unwrap();
        assert!(notify.pass_on_if_ready());
        assert_eq!(next(&heard), ("READY=1".into(), 0));
    }

    #[test]
    fn the_manager_learns_of_the_process_and_closes_the_barrier() {
        let (notify, program, heard) = pair();
        socket::send(&program, b"READY=1", &[]).unwrap();
        let manager = std::thread::spawn(move || [next(&heard), next(&heard), next(&heard)]);
        let living = process::pidfd_open(process::pid()).unwrap();
        notify.wait(77, &living).unwrap();
        let expected = [("READY=1".into(), 0), ("MAINPID=77".into(), 0), ("BARRIER=1".into(), 1)];
        assert_eq!(manager.join().unwrap(), expected);
    }

    #[test]
    fn a_container_that_ends_is_not_waited_for() {
        let (notify, _program, _heard) = pair();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pidfd = process::pidfd_open(child.id() as i32).unwrap();
        notify.wait(child.id() as i32, &pidfd).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_program_finds_its_own_socket_and_not_the_callers() {
        let mut spec = crate::config::parse(br#"{"process":{"env":["A=b","NOTIFY_SOCKET=/host"]}}"#).unwrap();
        offer(&mut spec, Path::new("/state/x"));
        let env = spec.process.as_ref().and_then(|process| process.env.clone()).unwrap();
        assert_eq!(env, ["A=b", "NOTIFY_SOCKET=/run/notify/notify.sock"]);
        let mount = &spec.mounts.as_ref().unwrap()[0];
        assert_eq!(mount.source.as_deref(), Some("/state/x/notify/shown"));
        assert_eq!(mount.destination.as_deref(), Some("/run/notify"));
        assert!(mount.options.iter().flatten().any(|option| option == "ro"));
    }
}
