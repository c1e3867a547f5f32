//! `listenerPath` and the container process state. The suite is the seccomp agent.

use crate::bench::bundle::Bundle;
use crate::bench::console::{Message, Receiver};
use crate::bench::container::Container;
use crate::bench::prelude::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

fn filter(path: &str) -> Value {
    let arch = if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [arch],
        "listenerPath": path,
        "syscalls": [{"names": ["sched_get_priority_max"], "action": "SCMP_ACT_NOTIFY"}],
    })
}

/// Creates and starts a container with a listener; what the listener got.
fn run<'t>(t: &'t Trial, change: impl FnOnce(Bundle<'t>) -> Bundle<'t>) -> Result<(Container<'t>, Message)> {
    t.needs_listed("/linux/seccomp/actions", "SCMP_ACT_NOTIFY")?;
    let receiver = Receiver::new(t, "agent")?;
    let b = change(t.bundle()?.does(&["wait"]).set("/linux/seccomp", filter(&receiver.path)));
    let message = std::thread::spawn(move || receiver.receive());
    let c = b.start()?;
    let message = message.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))??;
    Ok((c, message))
}

fn state(message: &Message) -> Result<Value> {
    serde_json::from_str(&message.text).with_context(|| format!("the container process state: {:?}", message.text))
}

cases! {
    /// JSON arrives as the payload.
    ["seccomp.listener", "seccomp.state.payload", "seccomp.listener.socket"]
    fn the_listener_gets_the_container_process_state_as_json(t) {
        let (_c, message) = run(t, |b| b)?;
        holds("the state is an object", state(&message)?.is_object())?;
    }

    /// One descriptor, which is one of seccomp's.
    ["seccomp.listener.fd", "seccomp.state.payload"]
    fn the_listener_gets_the_seccomp_descriptor(t) {
        let (_c, message) = run(t, |b| b)?;
        equal("descriptors", message.files.len(), 1)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&message.files[0]);
        let link = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
        contains("descriptor", &link.display().to_string(), "seccomp notify")?;
    }

    /// The names of the descriptors.
    ["seccomp.state.fds"]
    fn the_state_names_the_seccomp_descriptor(t) {
        let (_c, message) = run(t, |b| b)?;
        same("fds", &state(&message)?["fds"], json!(["seccompFd"]))?;
    }

    /// Several messages may carry the state, but the descriptor comes with the first.
    ["seccomp.state.first"]
    fn the_descriptor_comes_first(t) {
        // The receiver refuses descriptors after the first message.
        let (_c, message) = run(t, |b| b)?;
        equal("descriptors", message.files.len(), 1)?;
    }

    /// The version.
    ["seccomp.state.version"]
    fn the_state_has_a_version(t) {
        let (_c, message) = run(t, |b| b)?;
        holds("ociVersion is a string", state(&message)?["ociVersion"].is_string())?;
    }

    /// The pid as the host sees it.
    ["seccomp.state.pid"]
    fn the_state_has_the_pid_as_the_runtime_sees_it(t) {
        let (c, message) = run(t, |b| b)?;
        same("pid", &state(&message)?["pid"], c.pid()?)?;
    }

    /// The state of the container inside.
    ["seccomp.state.state"]
    fn the_state_of_the_container_is_in_it(t) {
        let (c, message) = run(t, |b| b)?;
        let state = state(&message)?["state"].clone();
        same("id", &state["id"], c.id.clone())?;
        same("bundle", &state["bundle"], c.bundle.display().to_string())?;
        holds("status is a string", state["status"].is_string())?;
    }

    /// The filter is loaded before the program runs, so the container is being created or has been.
    ["seccomp.state.state", "state.status.creating", "state.status.created"]
    fn the_status_in_it_is_creating_or_created(t) {
        let (_c, message) = run(t, |b| b)?;
        let status = state(&message)?["state"]["status"].clone();
        ensure!(status == "creating" || status == "created", "the status is {status}");
    }

    /// The state inside is a whole one: its version, and the annotations of the config.
    ["seccomp.state.state", "state.annotations"]
    fn the_state_of_the_container_has_its_version_and_annotations(t) {
        let (_c, message) = run(t, |b| b.set("/annotations", json!({"com.example.a": "1"})))?;
        let state = state(&message)?["state"].clone();
        holds("ociVersion is a string", state["ociVersion"].is_string())?;
        same("annotation", &state["annotations"]["com.example.a"], "1")?;
    }

    /// The pid in the state inside is the container process, as the runtime sees it: for the container's own process it is
    /// the one beside it.
    ["seccomp.state.state", "seccomp.state.pid", "state.pid"]
    fn the_pid_in_the_state_of_the_container_is_the_containers(t) {
        let (c, message) = run(t, |b| b)?;
        same("pid in the state", &state(&message)?["state"]["pid"], c.pid()?)?;
    }

    /// Also in a user namespace, beside new namespaces of all kinds: the runtime's numbers and the agent's descriptor.
    ["seccomp.state.pid", "seccomp.listener.fd", "ns.user"]
    fn the_listener_is_told_of_a_container_in_a_user_namespace(t) {
        t.needs_root()?;
        t.needs_listed("/linux/seccomp/actions", "SCMP_ACT_NOTIFY")?;
        let receiver = Receiver::new(t, "agent")?;
        let b = t.bundle()?.user_namespace(200_000)?.does(&["wait"]).set("/linux/seccomp", filter(&receiver.path));
        let message = std::thread::spawn(move || receiver.receive());
        let c = b.start()?;
        let message = message.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))??;
        same("pid", &state(&message)?["pid"], c.pid()?)?;
        equal("descriptors", message.files.len(), 1)?;
    }

    /// The descriptor is the filter's: the agent takes the program's call from it, and the program gets the agent's answer.
    ["seccomp.listener.fd", "seccomp.action"]
    fn the_agent_answers_a_call_of_the_program(t) {
        let action = format!("syscall {} 0", libc::SYS_sched_get_priority_max);
        let (c, message) = run(t, |b| b.does(&[&action]))?;
        let listener = message.files.first().context("no descriptor came")?;
        let mut events = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(crate::bench::container::patience()).unwrap_or(PollTimeout::MAX);
        ensure!(poll(&mut events, patience)? == 1, "no call came to the agent");
        let call = crate::sys::notified(listener).context("take the call")?;
        equal("pid of the caller", i64::from(call.pid), i64::from(c.pid()?))?;
        equal("number of the call", i64::from(call.data.nr), libc::SYS_sched_get_priority_max)?;
        crate::sys::answer(listener, call.id, 1234).context("answer the call")?;
        same("what the call gave inside", c.finish()?.value(&action)?, 1234)?;
    }

    /// One name for each descriptor.
    ["seccomp.state.fds", "seccomp.state.payload"]
    fn there_are_as_many_names_as_descriptors(t) {
        let (_c, message) = run(t, |b| b)?;
        let names = state(&message)?["fds"].as_array().map_or(0, Vec::len);
        equal("names of descriptors", names, message.files.len())?;
    }

    /// Without metadata in the config there are none, or they are empty.
    ["seccomp.metadata", "seccomp.state.metadata"]
    fn there_are_no_metadata_that_the_config_does_not_have(t) {
        let (_c, message) = run(t, |b| b)?;
        let metadata = state(&message)?["metadata"].clone();
        ensure!(metadata.is_null() || metadata == "", "the metadata are {metadata}");
    }

    /// The metadata of the config.
    ["seccomp.metadata", "seccomp.state.metadata"]
    fn the_metadata_of_the_config_is_in_it(t) {
        let (_c, message) = run(t, |b| b.set("/linux/seccomp/listenerMetadata", "opaque, {data}"))?;
        same("metadata", &state(&message)?["metadata"], "opaque, {data}")?;
    }

    /// One state, and then the end of the connection.
    ["seccomp.listener.one", "seccomp.listener.closed"]
    fn the_connection_is_closed_after_one_state(t) {
        let (_c, message) = run(t, |b| b)?;
        state(&message)?;
        holds("the connection was closed", message.closed)?;
    }

    /// Nobody listens at the path.
    ["seccomp.listener.fails"]
    fn a_listener_that_is_not_there_is_an_error(t) {
        t.needs_listed("/linux/seccomp/actions", "SCMP_ACT_NOTIFY")?;
        t.bundle()?.set("/linux/seccomp", filter("/there/is/no/such/socket")).never_runs()?;
    }

    /// Without the action nobody is told, and the path may lead nowhere.
    ["seccomp.listener.ignored"]
    fn a_listener_is_ignored_without_the_action(t) {
        let mut filter = filter("/there/is/no/such/socket");
        filter["syscalls"][0]["action"] = json!("SCMP_ACT_ERRNO");
        t.bundle()?.set("/linux/seccomp", filter).observe()?.value("report")?;
    }

    /// Metadata without a path.
    ["seccomp.metadata.alone"]
    fn metadata_without_a_listener_is_refused(t) {
        let mut filter = filter("");
        filter.as_object_mut().context("filter")?.remove("listenerPath");
        filter["syscalls"][0]["action"] = json!("SCMP_ACT_ERRNO");
        filter["listenerMetadata"] = json!("data");
        t.bundle()?.set("/linux/seccomp", filter).never_runs()?;
    }

    /// The action without a path.
    ["seccomp.listener", "valid-values"]
    fn the_action_notify_without_a_listener_is_refused(t) {
        t.needs_listed("/linux/seccomp/actions", "SCMP_ACT_NOTIFY")?;
        let mut filter = filter("");
        filter.as_object_mut().context("filter")?.remove("listenerPath");
        t.bundle()?.set("/linux/seccomp", filter).never_runs()?;
    }
}
