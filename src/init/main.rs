//! The init stub: the last program of orlop in a container.
//!
//! orlop sets up the container in a child process, which then executes this stub (a sealed memfd of
//! a few kilobytes). From then on no process in the container can reach the host's `orlop` through
//! `/proc/PID/exe` (CVE-2019-5736), neither while the process waits at the gate nor with
//! `/proc/self/exe` as the program. The stub confines itself and only then enters the container's
//! pid namespace (with the filter, if the filter allows the remaining calls). It waits at the gate,
//! runs the startContainer hooks, loads the filter and executes the program; or it stays as the
//! reaping init.
//!
//! It has no libc, no heap and no writable data. Its only input is the [`plan`]; once the filter is
//! loaded, its only output is the report page.
//!
//! `cargo test` compiles it for the host with its tests (`tests.rs`), then with std and without
//! `_start`.
#![cfg_attr(not(test), no_std, no_main)]
#![cfg_attr(
    test,
    allow(dead_code, reason = "the harness has a start of its own, and the program's is reached from nothing")
)]

mod confine;
mod hooks;
mod limits;
mod look;
mod plan;
mod procfs;
mod shim;
mod sys;
#[cfg(test)]
mod tests;

use core::sync::atomic::Ordering::Release;
use plan::{NO_REPORT, StubPlan, StubStep, flag, word};
use sys::Page;

/// The state of the process during its steps.
pub(crate) struct Init {
    plan: &'static StubPlan,
    page: Page,
}

impl Init {
    fn has(&self, flag: u32) -> bool {
        self.plan.flags & flag != 0
    }

    fn report(&self, at: usize, value: u32) {
        if let Some(word) = self.page.word(at) {
            word.store(value, Release);
        }
    }

    /// Puts bytes where the runtime reads [`word::OUTPUT`].
    fn report_bytes(&self, bytes: &[u8]) {
        for (n, part) in bytes.chunks(4).enumerate() {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(part) {
                *to = *from;
            }
            self.report(word::OUTPUT + n, u32::from_ne_bytes(word));
        }
        self.report(word::OUTPUT_LENGTH, bytes.len() as u32);
    }

    /// Notes that `step` begins.
    fn begin(&self, step: StubStep) {
        self.report(word::STEP, step as u32);
    }

    /// Ends the process with the error of the step that began last: the one failing exit.
    fn fail(&self, errno: sys::Errno) -> ! {
        self.report(word::ERRNO, errno as u32);
        sys::exit(1)
    }

    /// Fails the process if `step` could not be done. The page has nothing of a step that was done.
    #[inline(never)]
    fn must(&self, step: StubStep, done: sys::Result<()>) {
        if let Err(errno) = done {
            self.begin(step);
            self.fail(errno)
        }
    }

    /// Does `step`, failing the process if it fails.
    fn step<T>(&self, step: StubStep, f: impl FnOnce() -> sys::Result<T>) -> T {
        self.begin(step);
        match f() {
            Ok(value) => value,
            Err(errno) => self.fail(errno),
        }
    }
}

/// All that the process does, from its first instruction on.
pub(crate) fn begin(plan: &'static StubPlan) -> ! {
    let mut init = Init { plan, page: Page::NONE };
    if plan.page >= 0 {
        match Page::map(plan.page) {
            Ok(page) => init.page = page,
            // There is nothing yet to write the error to.
            Err(errno) => sys::exit(NO_REPORT + errno),
        }
        sys::close(plan.page);
    }
    // By this name the runtime knows that the program does not run yet.
    init.must(StubStep::Name, sys::set_name(&plan.waiting_name));
    confine::hide(&init);
    if init.has(flag::PROCFS) {
        procfs::run(init);
    }
    sys::close_from(plan.first_closed, true);
    confine::enter_cgroup(&init);
    confine::label(&init);
    let program = confine::confine(&init);
    if init.has(flag::FORK) {
        limits::before_fork(&init);
        load_early(&init);
        fork_into_namespace(&init);
        limits::after_fork(&init);
    }
    wait_for_parent(&init);
    if !init.has(flag::FORK) {
        // A child has no such signal.
        confine::let_go(&init);
    }
    confine::session(&init);
    if init.has(flag::GATE) {
        sys::end_on_signals(true);
    }
    if init.has(flag::READY) {
        init.step(StubStep::Sync, || sys::send(plan.sync, b"R", None));
    }
    if init.has(flag::GATE) {
        gate(&mut init);
        sys::end_on_signals(false);
    }
    if init.has(flag::NO_PROGRAM) {
        sys::exit(1);
    }
    hooks::run(&init);
    if init.has(flag::SHIM) {
        shim::run(&init, program);
    }
    execute(&init, program)
}

/// Loads the filter before others can see this process, and gives up the capability that was kept for it.
fn load_early(init: &Init) {
    if init.has(flag::EARLY_FILTER) {
        init.step(StubStep::Filter, || load_filter(init));
        confine::give_up_admin(init);
    }
}

/// Forks into the joined pid or time namespace; the confined child is the first process of orlop there.
fn fork_into_namespace(init: &Init) {
    const CLONE_PARENT: u64 = 0x8000;
    let fork = || match init.has(flag::PLAIN_CLONE) {
        true => sys::fork_by_clone(CLONE_PARENT),
        false => sys::fork(CLONE_PARENT),
    };
    let mut forked = fork();
    if matches!(forked, Err(sys::EAGAIN)) {
        // The cgroup has as many processes as it may have: the runtime takes this one out of it for the fork.
        init.step(StubStep::Sync, || sys::send(init.plan.sync, b"C", None));
        if init.step(StubStep::Sync, || sys::receive(init.plan.sync)).0 == 0 {
            sys::exit(1);
        }
        forked = fork();
    }
    let child = init.step(StubStep::Fork, || forked);
    if child.pid != 0 {
        init.step(StubStep::Sync, || sys::send(init.plan.sync, b"F", Some(child.pidfd)));
        sys::exit(0);
    }
}

/// Waits for the parent's word; without a parent there is nothing to do any more.
fn wait_for_parent(init: &Init) {
    if !init.has(flag::WAIT) {
        return;
    }
    match init.step(StubStep::Sync, || sys::receive(init.plan.sync)) {
        (0, _) => sys::exit(1),
        _ => init.begin(StubStep::None),
    }
}

/// Waits for `start`: a connection that brings a report page. A caller that dies before it has sent anything has not
/// started the container.
fn gate(init: &mut Init) {
    sys::close(init.plan.sync);
    init.page = Page::NONE;
    loop {
        let connection = match sys::accept(init.plan.gate) {
            Ok(fd) => fd,
            Err(sys::EINTR | sys::EAGAIN) => continue,
            Err(sys::EMFILE | sys::ENFILE | sys::ENOMEM) => {
                // Others may give back what there is too little of.
                const MILLISECONDS: u64 = 50;
                let _ = sys::poll(&mut [], Some(MILLISECONDS));
                continue;
            }
            Err(_) => sys::exit(1),
        };
        if let Ok((1.., Some(page))) = sys::receive(connection)
            && let Ok(map) = Page::map(page)
        {
            sys::close(page);
            sys::close(init.plan.gate);
            init.page = map;
            return;
        }
        sys::close(connection);
    }
}

/// Loads the filter and executes the program.
pub(crate) fn execute(init: &Init, program: u64) -> ! {
    init.step(StubStep::Limits, || limits::before_execute(init));
    if !init.has(flag::EARLY_FILTER) {
        init.step(StubStep::Filter, || load_filter(init));
    }
    init.begin(StubStep::Execute);
    let errno = sys::execve(program, init.plan.argv, init.plan.envp);
    init.report(word::ERRNO, errno as u32);
    if !init.has(flag::LISTENER) {
        // With a listener each of these calls may wait for its agent for ever.
        look::at(init, program);
    }
    init.fail(errno)
}

/// Loads the filter, if there is one; the runtime fetches its listener from this process.
pub(crate) fn load_filter(init: &Init) -> sys::Result<()> {
    let plan = init.plan;
    if plan.filter == 0 {
        return Ok(());
    }
    let listener = sys::load_filter(plan.filter, plan.filter_flags as u32)?;
    if init.has(flag::LISTENER) {
        // From here on any system call may be one that waits for the listener's answer: the wait is without any.
        init.report(word::LISTENER, listener as u32 + 1);
        while let Some(fetched) = init.page.word(word::FETCHED)
            && fetched.load(core::sync::atomic::Ordering::Acquire) == 0
        {
            core::hint::spin_loop();
        }
    }
    Ok(())
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::trap()
}
