//! The report page: memory in which the stub notes its progress and failures, when the seccomp
//! filter may refuse every system call. It is turned into an error here.

use super::program::Program;
use super::refusal::{self, Around, Seen};
use super::stub::plan::{StubStep, word};
use crate::error::{Error, Ignore as _, Kind, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::sys::file;
use crate::sys::memory::{self, MemoryFile, SharedPage};
use crate::sys::process::Ended;
use crate::sys::{Errno, Failure};
use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

/// The memory file from which the stub maps the report page.
///
/// The runtime maps it only while the stub waits for an answer in it. Once the stub has exited or
/// executed the program, the page is read with `pread(2)`, which costs less than mmap and munmap.
pub(crate) struct Report {
    file: OwnedFd,
    page: OnceCell<SharedPage>,
}

impl Report {
    /// Creates an empty report page.
    pub(crate) fn new() -> Result<Report> {
        let file = memory::memfd("orlop-report", MemoryFile::Data)?;
        memory::truncate(&file, 4096)?;
        memory::seal_size(&file)?;
        Ok(Report { file, page: OnceCell::new() })
    }

    /// The memory file, for the stub.
    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// A word of the page, after the last write to it. 0 if the page cannot be read back from swap.
    fn word(&self, n: usize) -> u32 {
        let mut bytes = [0; 4];
        file::read_at(&self.file, &mut bytes, 4 * n as u64).ignore("a page that cannot be read says nothing");
        u32::from_ne_bytes(bytes)
    }

    /// The page while the stub runs.
    fn live(&self) -> Result<&SharedPage> {
        if let Some(page) = self.page.get() {
            return Ok(page);
        }
        let page = SharedPage::map(&self.file)?;
        Ok(self.page.get_or_init(|| page))
    }

    /// The descriptor number of the filter's listener in the stub or its child, once it exists and
    /// has not been fetched.
    pub(crate) fn listener(&self) -> Result<Option<i32>> {
        let words = self.live()?.words();
        if words[word::FETCHED].load(Ordering::Acquire) != 0 {
            return Ok(None);
        }
        let word = words[word::LISTENER].load(Ordering::Acquire);
        Ok(word.checked_sub(1).map(|n| n as i32))
    }

    /// The descriptor number, in the stub, of a pidfd of the child that has the listener. `None`:
    /// the stub itself has it; `Some(None)`: the child does not exist yet.
    pub(crate) fn listening_child(&self) -> Result<Option<Option<i32>>> {
        let word = self.live()?.words()[word::CHILD].load(Ordering::Acquire);
        Ok(word.checked_sub(1).map(|word| word.checked_sub(1).map(|n| n as i32)))
    }

    /// Tells the stub that its listener has been fetched.
    pub(crate) fn set_fetched(&self) -> Result<()> {
        self.live()?.words()[word::FETCHED].store(1, Ordering::Release);
        Ok(())
    }

    /// Whether the stub reached the execution of the program and noted no failure.
    pub(crate) fn reached_execute(&self) -> bool {
        self.word(word::STEP) == StubStep::Execute as u32 && self.word(word::ERRNO) == 0
    }

    /// The step that failed and its error number, if the stub noted a failure.
    pub(crate) fn failure(&self) -> Option<(u32, Errno)> {
        let errno = i32::try_from(self.word(word::ERRNO)).ok().filter(|errno| *errno != 0)?;
        Some((self.word(word::STEP), Errno(errno)))
    }

    /// The step that began last.
    pub(crate) fn step(&self) -> u32 {
        self.word(word::STEP)
    }

    /// The failure that the stub noted, as an error; `None` if it noted none.
    pub(crate) fn error(&self, around: &Around<'_>) -> Option<Error> {
        let (step, errno) = self.failure()?;
        Some(match is_of_hook(step) {
            true => self.hook(step, errno, around.hooks),
            false => self.describe(step, errno, around),
        })
    }

    /// Whether a startContainer hook failed.
    pub(crate) fn hook_failed(&self) -> bool {
        self.failure().is_some_and(|(step, _)| is_of_hook(step))
    }

    fn describe(&self, step: u32, errno: Errno, around: &Around<'_>) -> Error {
        let program = around.program;
        let is = |known: StubStep| step == known as u32;
        let call = |call: String| Error::from(Failure::new(call, errno));
        let (uid, gid) = (program.uid, program.gid);
        if is(StubStep::Find) || is(StubStep::Execute) {
            return refusal::error(around, errno, is(StubStep::Execute), self.seen(program).as_ref());
        }
        if is(StubStep::Fork) {
            return super::procfs::no_birth(errno).context("fork into the container's pid or time namespace");
        }
        if is(StubStep::Cwd) {
            let error = call(format!("chdir({:?})", program.cwd));
            return error.context(format!("chdir to cwd ({:?}) set in config.json failed", program.cwd));
        }
        if is(StubStep::CwdOutside) {
            let problem = "is outside of the container's root -- possible container breakout detected";
            return Error::new(Kind::Config, format!("process.cwd: {:?} {problem}", program.cwd));
        }
        if is(StubStep::Label) {
            let what = if program.apparmor.is_some() { "apply apparmor profile" } else { "apply selinux label" };
            let name = program.apparmor.as_ref().or(program.selinux.as_ref()).cloned().unwrap_or_default();
            return call("write(\"/proc/thread-self/attr/exec\")".into()).context(format!("{what} {name:?}"));
        }
        const CAPABILITIES: &str = "process.capabilities";
        const CGROUP: &str = "enter the memory cgroup";
        const CONFINE: &str = "confine the process";
        let (field, text) = match () {
            () if is(StubStep::Groups) => ("process.user.additionalGids", format!("setgroups({:?})", program.groups)),
            () if is(StubStep::Gid) => ("process.user.gid", format!("setresgid({gid}, {gid}, {gid})")),
            () if is(StubStep::Uid) => ("process.user.uid", format!("setresuid({uid}, {uid}, {uid})")),
            () if is(StubStep::Bounding) => (CAPABILITIES, "prctl(PR_CAPBSET_DROP)".into()),
            () if is(StubStep::Capabilities) => (CAPABILITIES, format!("capset({:x?})", program.capabilities)),
            () if is(StubStep::Ambient) => {
                (CAPABILITIES, format!("prctl(PR_CAP_AMBIENT, {:#x})", program.capabilities.ambient))
            }
            () if is(StubStep::Filter) => ("linux.seccomp", "seccomp(SECCOMP_SET_MODE_FILTER)".into()),
            () if is(StubStep::Terminal) => ("process.terminal", "ioctl(0, TIOCSCTTY)".into()),
            () if is(StubStep::NoNewPrivs) => ("process.noNewPrivileges", "prctl(PR_SET_NO_NEW_PRIVS, 1)".into()),
            () if is(StubStep::Limits) => ("process.rlimits", "prlimit()".into()),
            () if is(StubStep::Cgroup) => (CGROUP, "write(\"tasks\", \"0\")".into()),
            () if is(StubStep::CgroupNamespace) => (CGROUP, "unshare(CLONE_NEWCGROUP)".into()),
            () if is(StubStep::Session) => (CONFINE, "setsid()".into()),
            () if is(StubStep::Name) => (CONFINE, "prctl(PR_SET_NAME)".into()),
            () if is(StubStep::Hide) => (CONFINE, "prctl(PR_SET_DUMPABLE, 0)".into()),
            () if is(StubStep::ParentSignal) => (CONFINE, "prctl(PR_SET_PDEATHSIG, 0)".into()),
            () => (CONFINE, format!("step {step} of the init image")),
        };
        let error = call(text).context(field);
        if errno.0 == libc::EINVAL && (is(StubStep::Gid) || is(StubStep::Uid) || is(StubStep::Groups)) {
            return error.hint("the id is not mapped in the user namespace");
        }
        error
    }

    fn hook(&self, step: u32, errno: Errno, hooks: &Hooks) -> Error {
        let n = self.word(word::DETAIL) as usize;
        let Some(hook) = hooks.at(Moment::StartContainer).get(n) else {
            return Error::internal(format!("the init image reports a startContainer hook #{n} that there is not"));
        };
        let status = self.word(word::STATUS);
        let own = Errno(self.word(word::HOOK_ERRNO) as i32);
        let error = match step {
            s if s == StubStep::HookTimeout as u32 => hook.late(&self.hook_output()),
            s if s == StubStep::HookStatus as u32 && own.0 != 0 => self.hook_not_executed(hook, own),
            s if s == StubStep::HookStatus as u32 => hook.failed(ended(status), &self.hook_output()),
            _ if errno.0 == libc::EAGAIN => Error::from(Failure::new("clone3()", errno))
                .hint("linux.resources.pids.limit has to count the hook beside the container's process"),
            _ => Error::from(Failure::new("start the hook", errno)),
        };
        error.context(hooks::name(Moment::StartContainer, n, hook))
    }

    /// The error of a hook that could not be executed.
    fn hook_not_executed(&self, hook: &hooks::Hook, errno: Errno) -> Error {
        if self.word(word::HOOK_STEP) == StubStep::Filter as u32 {
            return Error::from(Failure::new("seccomp(SECCOMP_SET_MODE_FILTER)", errno)).context("linux.seccomp");
        }
        if self.word(word::HOOK_STEP) == StubStep::Limits as u32 {
            return Error::from(Failure::new("prlimit()", errno)).context("process.rlimits");
        }
        Error::from(Failure::new(format!("execve({:?})", hook.path), errno))
            .hint("the path of a startContainer hook is one in the container, and linux.seccomp holds for it")
    }

    /// The look of the stub at the program that it could not execute.
    fn seen(&self, program: &Program) -> Option<Seen> {
        let number = self.word(word::LOOKED_AT).checked_sub(1)?;
        let path = String::from_utf8_lossy(program.candidates().get(number as usize)?).into_owned();
        Some(Seen {
            path,
            mode: self.word(word::MODE),
            owner: (self.word(word::OWNER), self.word(word::GROUP)),
            directory: self.word(word::PATH_LENGTH) as usize,
            mount_flags: self.word(word::MOUNT_FLAGS).into(),
            beginning: (self.word(word::IS_READ) == 1).then(|| self.hook_output()),
        })
    }

    /// The last bytes of the output of the failed hook, or the first of the program.
    fn hook_output(&self) -> Vec<u8> {
        let length = self.word(word::OUTPUT_LENGTH) as usize;
        let mut bytes = vec![0; length.min(word::OUTPUT_MOST)];
        match file::read_at(&self.file, &mut bytes, 4 * word::OUTPUT as u64) {
            Ok(_) => bytes,
            Err(_) => Vec::new(),
        }
    }
}

fn is_of_hook(step: u32) -> bool {
    [StubStep::Hook, StubStep::HookTimeout, StubStep::HookStatus].into_iter().any(|known| step == known as u32)
}

/// A wait status (`wait(2)`).
fn ended(status: u32) -> Ended {
    match status & 0x7f {
        0 => Ended::Exited((status >> 8 & 0xff) as i32),
        signal => Ended::Signaled(signal as i32),
    }
}
