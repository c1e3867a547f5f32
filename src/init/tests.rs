//! The stub on the host's target: its own system calls, against real files, pipes and children.
//!
//! A child here is a copy of one thread of the test's process: it makes the stub's system calls and nothing that could wait
//! for another thread, and says how it went by its exit status.
#![allow(clippy::unwrap_used, unsafe_code)] // The whole file is tests.

use crate::plan::{Hook, Limit, PLAN_AT, Span, StubPlan, StubStep, flag, word};
use crate::sys::{self, Page};
use crate::{Init, confine, execute, gate, hooks, limits, shim};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::mem::{align_of, offset_of, size_of};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;

const EXITED: u32 = 8;
const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;
const SIGILL: u32 = 4;
const SIGSYS: u32 = 31;
const ENOENT: u32 = 2;
const EXISTS: &str = "/bin/sh";

/// A C string that stays.
fn string(text: &str) -> u64 {
    CString::new(text).unwrap().into_raw() as u64
}

/// A list that stays.
fn span<T: 'static>(list: Vec<T>) -> Span {
    let list: &'static [T] = Vec::leak(list);
    Span { at: list.as_ptr() as u64, count: list.len() as u64 }
}

/// A list of C strings with its null at the end.
fn strings(list: &[&str]) -> u64 {
    span(list.iter().map(|text| string(text)).chain([0]).collect::<Vec<u64>>()).at
}

/// What does nothing: no descriptor, no step.
fn nothing() -> StubPlan {
    StubPlan { sync: -1, gate: -1, page: -1, procfs: -1, cgroup_file: -1, first_closed: 3, ..StubPlan::default() }
}

/// The process of `plan` with a report page that its children share.
fn init(plan: StubPlan) -> Init {
    let file = memory_file();
    Init { plan: Box::leak(Box::new(plan)), page: Page::map(file.as_raw_fd()).unwrap() }
}

fn memory_file() -> OwnedFd {
    // SAFETY: a static C string; the descriptor is new, and its owner is made at once.
    let file = unsafe { File::from_raw_fd(libc::memfd_create(c"page".as_ptr(), libc::MFD_CLOEXEC)) };
    file.set_len(4096).unwrap();
    file.into()
}

fn said(init: &Init, at: usize) -> u32 {
    init.page.word(at).unwrap().load(SeqCst)
}

/// The wait status of a child that does `act` and exits with its status.
fn in_child(act: impl FnOnce() -> i32) -> u32 {
    let child = sys::fork(0).unwrap();
    if child.pid == 0 {
        sys::exit(act());
    }
    sys::close(child.pidfd);
    sys::wait(child.pid, 0).unwrap().1
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("orlop-init-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).unwrap();
    path
}

mod of_the_plan {
    use super::*;

    #[test]
    fn a_plan_has_no_bytes_between_its_fields() {
        assert_eq!(size_of::<StubPlan>() % 8, 0);
        assert_eq!(offset_of!(StubPlan, limits), offset_of!(StubPlan, contexts) + 4);
        assert_eq!(offset_of!(StubPlan, filter_flags) + 8, size_of::<StubPlan>());
        assert_eq!(PLAN_AT as usize % align_of::<StubPlan>(), 0);
    }

    #[test]
    fn every_flag_is_a_bit_of_its_own() {
        let flags = [
            flag::FORK,
            flag::WAIT,
            flag::READY,
            flag::GATE,
            flag::SHIM,
            flag::NO_NEW_PRIVS,
            flag::GROUPS,
            flag::TERMINAL,
            flag::UMASK,
            flag::CAPABILITIES,
            flag::LISTENER,
            flag::SUBREAPER,
            flag::SESSION,
            flag::NO_PROGRAM,
            flag::CGROUP_NAMESPACE,
            flag::PROCFS,
            flag::EARLY_FILTER,
            flag::PLAIN_CLONE,
        ];
        assert!(flags.iter().all(|flag| flag.count_ones() == 1));
        assert_eq!(flags.iter().fold(0, |all, flag| all | flag).count_ones() as usize, flags.len());
    }

    #[test]
    fn a_list_without_elements_is_empty_wherever_it_is() {
        assert!(sys::list::<u64>(Span { at: 1, count: 0 }).is_empty());
        assert_eq!(sys::list::<u32>(span(vec![4u32, 5])), [4, 5]);
    }

    #[test]
    fn the_output_of_a_hook_fits_the_page() {
        let page = init(nothing()).page;
        let last = word::OUTPUT + word::OUTPUT_MOST / 4 - 1;
        assert!(page.word(last).is_some() && page.word(1024).is_none());
    }
}

mod of_the_calls {
    use super::*;

    #[test]
    fn bytes_are_copied_moved_and_set_of_any_length() {
        for length in [0, 1, 7, 8, 9, 64] {
            let from: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let mut to = vec![0xff; length + 1];
            // SAFETY: both have so many bytes.
            unsafe { sys::memcpy(to.as_mut_ptr(), from.as_ptr(), length) };
            assert_eq!((&to[..length], to[length]), (&from[..], 0xff));
            // SAFETY: as above.
            unsafe { sys::memset(to.as_mut_ptr(), 0x17, length) };
            assert_eq!((&to[..length], to[length]), (&vec![0x17; length][..], 0xff));
        }
        for (to, from) in [(0, 3), (3, 0), (2, 2)] {
            let mut ours = *b"abcdefghij";
            let mut theirs = ours;
            theirs.copy_within(from..from + 7, to);
            let at = ours.as_mut_ptr();
            // SAFETY: seven bytes from each place on are in the array.
            unsafe { sys::memmove(at.add(to), at.add(from), 7) };
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn an_end_has_its_status_and_a_trap_its_signal() {
        assert_eq!(in_child(|| 0), 0);
        assert_eq!(in_child(|| 41), 41 << EXITED);
        assert_eq!(in_child(|| sys::trap()), SIGILL);
    }

    #[test]
    fn a_process_of_either_fork_is_a_child_with_a_descriptor() {
        for fork in [sys::fork, |_| sys::fork_by_clone(sys::SIGCHLD)] {
            let child = fork(0).unwrap();
            if child.pid == 0 {
                sys::exit(3);
            }
            assert_eq!(sys::poll(&mut [sys::Watched::to_read(child.pidfd)], None), Ok(1));
            sys::close(child.pidfd);
            assert_eq!(sys::wait(child.pid, 0), Ok((child.pid, 3 << EXITED)));
        }
    }

    #[test]
    fn a_packet_brings_at_most_one_descriptor() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = memory_file();
        assert_eq!(sys::send(ours.as_raw_fd(), b"F", Some(file.as_raw_fd())), Ok(1));
        let (length, fd) = sys::receive(theirs.as_raw_fd()).unwrap();
        // SAFETY: it has just come, and has no other owner.
        let came = unsafe { File::from_raw_fd(fd.unwrap()) };
        assert_eq!((length, came.metadata().unwrap().len()), (1, 4096));
        assert_eq!(sys::send(ours.as_raw_fd(), b"R", None), Ok(1));
        assert_eq!(sys::receive(theirs.as_raw_fd()), Ok((1, None)));
        drop(ours);
        assert_eq!(sys::receive(theirs.as_raw_fd()), Ok((0, None)));
        // MSG_NOSIGNAL: an error, and no end by SIGPIPE.
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(sys::send(ours.as_raw_fd(), b"R", None), Err(libc::EPIPE));
    }

    #[test]
    fn a_wait_for_nothing_comes_to_an_end() {
        let [read, write] = sys::pipe().unwrap();
        let mut watched = [sys::Watched::to_read(read), sys::Watched::to_write(write), sys::Watched::to_read(-1)];
        assert_eq!(sys::poll(&mut watched, Some(0)), Ok(1));
        assert_eq!(watched.map(|watched| watched.is_ready()), [false, true, false]);
        assert_eq!(sys::poll(&mut [sys::Watched::to_read(read)], Some(1)), Ok(0));
        [read, write].into_iter().for_each(sys::close);
        assert_eq!(
            in_child(|| {
                sys::block_signals(true);
                i32::from(sys::next_signal(Some(1)) != Err(sys::EAGAIN))
            }),
            0
        );
    }

    #[test]
    fn nothing_from_a_number_on_stays_open() {
        let file = memory_file();
        let status = in_child(|| {
            sys::close_from(file.as_raw_fd(), false);
            i32::from(sys::write(file.as_raw_fd(), b"x").is_ok())
        });
        assert_eq!(status, 0);
    }

    #[test]
    fn signals_that_ask_for_an_end_end_it_with_their_status() {
        let status = in_child(|| {
            sys::end_on_signals(true);
            let _ = sys::kill(sys::pid() as i32, SIGTERM as i32);
            0
        });
        assert_eq!(status, (128 + SIGTERM) << EXITED);
        let status = in_child(|| {
            sys::end_on_signals(true);
            sys::end_on_signals(false);
            let _ = sys::kill(sys::pid() as i32, SIGTERM as i32);
            0
        });
        assert_eq!(status, SIGTERM);
    }

    #[test]
    fn the_helpers_filter_lets_an_end_through_and_no_other_call() {
        const NO_NEW_PRIVS: usize = 38;
        let confined = |act: fn() -> i32| {
            in_child(|| {
                if sys::prctl(NO_NEW_PRIVS, 1, 0).is_err() || sys::load_helper_filter().is_err() {
                    return 99;
                }
                act()
            })
        };
        assert_eq!(confined(|| 5), 5 << EXITED);
        assert_eq!(confined(|| sys::pid() as i32) & 0x7f, SIGSYS);
        // A fork with other flags than its own is another call.
        assert_eq!(confined(|| sys::fork_by_clone(sys::SIGCHLD | 0x8000).map_or(1, |_| 2)) & 0x7f, SIGSYS);
    }
}

mod of_steps {
    use super::*;

    #[test]
    fn a_step_that_fails_ends_the_process_and_is_in_the_page() {
        let init = init(nothing());
        let status = in_child(|| init.step(StubStep::Cwd, || Err::<i32, _>(sys::ENOENT)));
        assert_eq!(
            (status, said(&init, word::STEP), said(&init, word::ERRNO)),
            (1 << EXITED, StubStep::Cwd as u32, ENOENT)
        );
        assert_eq!(init.step(StubStep::Find, || Ok(7)), 7);
        assert_eq!(said(&init, word::STEP), StubStep::Find as u32);
    }

    #[test]
    fn without_a_page_nothing_is_said() {
        let init = Init { plan: Box::leak(Box::new(nothing())), page: Page::NONE };
        init.begin(StubStep::Fork);
        assert!(init.page.word(word::STEP).is_none());
    }

    #[test]
    fn the_program_is_executed_with_its_arguments_and_environment() {
        let mut plan = nothing();
        plan.argv = strings(&["sh", "-c", "exit $A$1", "sh", "3"]);
        plan.envp = strings(&["A=1"]);
        let init = init(plan);
        assert_eq!(in_child(|| execute(&init, string(EXISTS))), 13 << EXITED);
        assert_eq!(in_child(|| execute(&init, string("/nowhere"))), 1 << EXITED);
        assert_eq!((said(&init, word::STEP), said(&init, word::ERRNO)), (StubStep::Execute as u32, ENOENT));
    }

    #[test]
    fn a_caller_that_says_nothing_does_not_start_the_container() {
        let directory = directory("gate");
        let path = directory.join("gate");
        let listener = UnixListener::bind(&path).unwrap();
        drop(UnixStream::connect(&path).unwrap());
        let mut silent = UnixStream::connect(&path).unwrap();
        silent.write_all(b"S").unwrap();
        drop(silent);
        let page = memory_file();
        let start = UnixStream::connect(&path).unwrap();
        sys::send(start.as_raw_fd(), b"S", Some(page.as_raw_fd())).unwrap();
        let plan = Box::leak(Box::new(StubPlan { gate: listener.as_raw_fd(), ..nothing() }));
        let mut init = Init { plan, page: Page::NONE };
        let status = in_child(|| {
            gate(&mut init);
            init.begin(StubStep::Execute);
            i32::from(sys::never_wait(plan.gate) != Err(libc::EBADF))
        });
        assert_eq!(status, 0);
        assert_eq!(
            Page::map(page.as_raw_fd()).unwrap().word(word::STEP).unwrap().load(SeqCst),
            StubStep::Execute as u32
        );
        fs::remove_dir_all(directory).unwrap();
    }
}

mod of_confinement {
    use super::*;

    fn find(candidates: &[&str]) -> sys::Result<usize> {
        let paths: Vec<u64> = candidates.iter().map(|path| string(path)).collect();
        let init = init(StubPlan { candidates: span(paths.clone()), ..nothing() });
        confine::find(&init).map(|found| paths.iter().position(|path| *path == found).unwrap())
    }

    #[test]
    fn the_first_candidate_that_can_be_executed_is_the_program() {
        let directory = directory("find");
        let plain = directory.join("plain");
        fs::write(&plain, "").unwrap();
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o600)).unwrap();
        let plain = plain.to_str().unwrap();
        assert_eq!(find(&["/nowhere", "/etc/passwd/x", "/", plain, EXISTS]), Ok(4));
        assert_eq!(find(&["/nowhere", plain, "/nowhere"]), Err(sys::EACCES));
        assert_eq!(find(&["/nowhere", "/"]), Err(sys::EISDIR));
        assert_eq!(find(&["/nowhere"]), Err(sys::ENOENT));
        assert_eq!(find(&[]), Err(sys::ENOENT));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_last_cgroup_is_joined_by_a_zero_at_once() {
        let [read, write] = sys::pipe().unwrap();
        let init = init(StubPlan { cgroup_file: write, ..nothing() });
        confine::enter_cgroup(&init);
        let mut told = [0; 8];
        assert_eq!(sys::read(read, &mut told), Ok(1));
        assert_eq!((told[0], sys::read(read, &mut told)), (b'0', Ok(0)));
        sys::close(read);
    }

    #[test]
    fn a_label_is_written_to_its_file_alone() {
        let directory = directory("label");
        fs::write(directory.join("exec"), "").unwrap();
        let procfs = File::open(&directory).unwrap().into_raw_fd();
        let text = span(b"a label".to_vec());
        confine::label(&init(StubPlan { procfs, label_file: string("exec"), label: text, ..nothing() }));
        assert_eq!(fs::read(directory.join("exec")).unwrap(), b"a label");
        let failed = init(StubPlan { procfs: -1, label_file: string("/nowhere/exec"), label: text, ..nothing() });
        let status = in_child(|| {
            confine::label(&failed);
            0
        });
        assert_eq!((status, said(&failed, word::STEP)), (1 << EXITED, StubStep::Label as u32));
        fs::remove_dir_all(directory).unwrap();
    }
}

mod of_limits {
    use super::*;

    const CORE: u64 = 4;
    const NPROC: u64 = 6;
    const NOFILE: u64 = 7;

    fn limited(flags: u32) -> Init {
        let list = [CORE, NOFILE].map(|resource| Limit { resource, soft: 50, hard: 60 });
        init(StubPlan { flags, limits: span(list.to_vec()), ..nothing() })
    }

    fn is_set(resource: u64) -> bool {
        sys::limit(resource) == Ok((50, 60))
    }

    #[test]
    fn limits_come_last_but_where_the_child_is_seen_at_once() {
        let late = limited(flag::FORK | flag::GATE);
        let status = in_child(|| {
            limits::before_fork(&late);
            limits::after_fork(&late);
            let early = is_set(CORE) || is_set(NOFILE);
            let done = limits::before_execute(&late);
            i32::from(early || done.is_err() || !is_set(CORE) || !is_set(NOFILE))
        });
        assert_eq!(status, 0);
        let early = limited(flag::FORK);
        let status = in_child(|| {
            limits::before_fork(&early);
            let first = is_set(CORE) && !is_set(NOFILE);
            limits::after_fork(&early);
            i32::from(!first || !is_set(NOFILE))
        });
        assert_eq!(status, 0);
    }

    #[test]
    fn a_change_of_the_user_is_counted_against_the_programs_limit_of_processes() {
        let limit = Limit { resource: NPROC, soft: 50, hard: 60 };
        let init = init(StubPlan { limits: span(vec![limit]), ..nothing() });
        let before = sys::limit(NPROC);
        let during = limits::change_user(&init, || sys::limit(NPROC));
        assert_eq!(during.map(|(soft, _)| soft), Ok(50));
        assert_eq!(sys::limit(NPROC), before);
    }
}

mod of_hooks {
    use super::*;

    /// The result of a hook that runs `script`, and the process whose hook it is.
    fn run(script: &str, timeout: u64, state: &str) -> (sys::Result<()>, Init) {
        let argv = strings(&["sh", "-c", script]);
        run_program(Hook { path: string(EXISTS), argv, envp: strings(&["PATH=/bin:/usr/bin"]), timeout }, state)
    }

    fn run_program(hook: Hook, state: &str) -> (sys::Result<()>, Init) {
        let (head, tail) = state.split_once('@').unwrap_or((state, ""));
        let pid_at = if head == state { u64::MAX } else { head.len() as u64 };
        let text = [head, tail].concat().into_bytes();
        let init = init(StubPlan { state: span(text), pid_at, ..nothing() });
        (hooks::run_one(&init, &hook), init)
    }

    fn output(init: &Init) -> String {
        let length = said(init, word::OUTPUT_LENGTH) as usize;
        let words = (0..length.div_ceil(4)).flat_map(|n| said(init, word::OUTPUT + n).to_ne_bytes());
        String::from_utf8(words.take(length).collect()).unwrap()
    }

    #[test]
    fn a_hook_reads_the_state_with_the_pid_in_its_place() {
        let (done, init) = run("cat; exit 3", 0, "{\"pid\":@,\"id\":\"x\"}");
        assert_eq!(done, Err(sys::EINVAL));
        assert_eq!((said(&init, word::STEP), said(&init, word::STATUS)), (StubStep::HookStatus as u32, 3 << EXITED));
        assert_eq!(output(&init), format!("{{\"pid\":{},\"id\":\"x\"}}", std::process::id()));
    }

    #[test]
    fn a_place_beyond_the_state_adds_nothing_to_it() {
        let init = init(StubPlan { state: span(b"{}".to_vec()), pid_at: 3, ..nothing() });
        assert_eq!(hooks::state(&init, &mut [0; 10]).concat(), b"{}");
    }

    #[test]
    fn a_hook_that_succeeds_may_leave_its_state_unread() {
        let state = "x".repeat(1 << 20);
        assert_eq!(run("exit 0", 0, &state).0, Ok(()));
        // And one that reads slowly gets all of it, in more than one write.
        assert_eq!(run("test $(wc -c) = 1048576", 0, &state).0, Ok(()));
    }

    #[test]
    fn the_end_of_a_failed_hooks_output_is_kept() {
        let (done, init) = run("printf %01500d 0; echo end >&2; exit 1", 0, "");
        assert_eq!(done, Err(sys::EINVAL));
        assert_eq!(output(&init), format!("{}end\n", "0".repeat(word::OUTPUT_MOST - 4)));
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let (done, init) = run("echo begun; exec cat /dev/zero >/dev/null", 100, "");
        assert_eq!((done, said(&init, word::STEP)), (Err(sys::ETIMEDOUT), StubStep::HookTimeout as u32));
        assert_eq!(said(&init, word::STATUS), 0);
    }

    #[test]
    fn a_hook_that_a_signal_ends_has_failed() {
        let (done, init) = run("kill -9 $$", 0, "");
        assert_eq!((done, said(&init, word::STATUS)), (Err(sys::EINVAL), SIGKILL));
    }

    #[test]
    fn a_hook_that_is_nowhere_is_told_from_one_that_fails() {
        let hook = Hook { path: string("/nowhere"), argv: strings(&["x"]), envp: strings(&[]), timeout: 0 };
        let (done, init) = run_program(hook, "");
        assert_eq!((done, said(&init, word::STATUS)), (Err(sys::EINVAL), 127 << EXITED));
        let step = (said(&init, word::HOOK_STEP), said(&init, word::HOOK_ERRNO));
        assert_eq!(step, (StubStep::Execute as u32, ENOENT));
    }

    #[test]
    fn a_hook_has_no_descriptor_but_the_standard_ones() {
        let file = memory_file();
        // SAFETY: a live descriptor of this process; without close-on-exec until it is closed.
        let kept = unsafe { libc::dup(file.as_raw_fd()) };
        let (done, init) = run(&format!("ls /proc/self/fd/{kept} && exit 1 || exit 0"), 0, "");
        sys::close(kept);
        assert_eq!((done, output(&init)), (Ok(()), String::new()));
    }

    #[test]
    fn the_first_hook_that_fails_ends_the_process_and_is_named() {
        let hook = |script| Hook {
            path: string(EXISTS),
            argv: strings(&["sh", "-c", script]),
            envp: strings(&[]),
            timeout: 0,
        };
        let list = span(vec![hook("exit 0"), hook("exit 4"), hook("exit 5")]);
        let init = init(StubPlan { hooks: list, ..nothing() });
        let status = in_child(|| {
            hooks::run(&init);
            0
        });
        let words = [word::DETAIL, word::STATUS, word::ERRNO].map(|at| said(&init, at));
        assert_eq!((status, words), (1 << EXITED, [1, 4 << EXITED, sys::EINVAL as u32]));
    }
}

mod of_the_reaping_init {
    use super::*;

    #[test]
    fn a_status_is_that_of_a_shell() {
        let statuses = [0, 3 << EXITED, 255 << EXITED, SIGKILL, SIGILL | 0x80];
        assert_eq!(statuses.map(shim::shell_status), [0, 3, 255, 137, 132]);
    }

    #[test]
    fn it_ends_with_the_program_and_reaps_the_others() {
        let status = in_child(|| {
            sys::block_signals(true);
            let Ok(other) = sys::fork(0) else { return 99 };
            if other.pid == 0 {
                sys::exit(1);
            }
            let Ok(program) = sys::fork(0) else { return 98 };
            if program.pid == 0 {
                // The other one ends first.
                let _ = sys::poll(&mut [sys::Watched::to_read(other.pidfd)], None);
                sys::exit(7);
            }
            let status = shim::shell_status(shim::serve(program.pid));
            // ECHILD: nobody is left.
            if sys::wait(-1, 1) == Err(libc::ECHILD) { status } else { 97 }
        });
        assert_eq!(status, 7 << EXITED);
    }

    #[test]
    fn a_signal_goes_on_to_the_program() {
        let [read, write] = sys::pipe().unwrap();
        let child = sys::fork(0).unwrap();
        if child.pid == 0 {
            sys::block_signals(true);
            let program = sys::fork(0);
            match program {
                Ok(program) if program.pid == 0 => {
                    sys::block_signals(false);
                    let _ = sys::poll(&mut [], None);
                    sys::exit(96)
                }
                Ok(program) => {
                    let _ = sys::write(write, b"x");
                    sys::exit(shim::shell_status(shim::serve(program.pid)))
                }
                Err(_) => sys::exit(99),
            }
        }
        sys::close(write);
        assert_eq!(sys::read(read, &mut [0]), Ok(1));
        sys::kill(child.pid, SIGTERM as i32).unwrap();
        assert_eq!(sys::wait(child.pid, 0).unwrap().1, (128 + SIGTERM) << EXITED);
        [read, child.pidfd].into_iter().for_each(sys::close);
    }
}
