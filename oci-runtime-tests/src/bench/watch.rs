//! Waits for container processes. The suite is a subreaper: what a runtime leaves running becomes its child.

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How a process ended; `None` as the inner value when it was not our child to ask about.
type End = Option<i32>;

#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) pid: i32,
    end: Arc<(Mutex<Option<End>>, Condvar)>,
}

impl Watch {
    pub(crate) fn over(pid: i32) -> Self {
        let watch = Watch { pid, end: Arc::default() };
        let other = watch.clone();
        std::thread::spawn(move || {
            let end = reap(pid);
            *other.end.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
            other.end.1.notify_all();
        });
        watch
    }

    /// The exit status (128 + n for signal n), or `None` if the process still runs after the time.
    pub(crate) fn wait(&self, time: Duration) -> Option<End> {
        let guard = self.end.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.end.1.wait_timeout_while(guard, time, |end| end.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn ended(&self) -> bool {
        self.wait(Duration::ZERO).is_some()
    }
}

fn reap(pid: i32) -> End {
    loop {
        match waitpid(Pid::from_raw(pid), None) {
            Ok(WaitStatus::Exited(_, status)) => return Some(status),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Some(128 + signal as i32),
            Ok(_) | Err(Errno::EINTR) => {}
            // Somebody else's child: a runtime may keep a monitor as its parent.
            Err(_) => break,
        }
    }
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}
