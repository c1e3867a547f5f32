//! The sections of a plan, in the order in which it happens.

use super::{Section, credentials, filter, mounts, resources};
use crate::cgroups::{self, Layout, Mode};
use crate::config::Spec;
use crate::container::parts::Parts;
use crate::error::{Error, Result};
use crate::hooks::{Hook, Hooks, Moment};
use crate::idmap::IdMap;
use crate::log;
use crate::namespaces::enter::words;
use crate::namespaces::recipe::{self, Fork, User};
use crate::namespaces::{NamespaceKind, Namespaces, Place, Recipe};
use crate::process::plan::LaunchPlan;
use crate::process::sequence;

/// All sections. `kept` is the cgroup of a container that exists.
pub(super) fn sections(
    spec: &Spec<'_>,
    parts: &Parts,
    refusal: Option<&Error>,
    kept: Option<&cgroups::CgroupRecord>,
) -> Result<Vec<Section>> {
    let mut sections = vec![remarks(refusal), processes(&parts.plan), namespaces(parts)];
    sections.push(resources::cgroups(parts, kept));
    sections.push(resources::devices(parts));
    if let Some(rootfs) = &parts.plan.rootfs {
        sections.extend([mounts::root(rootfs), mounts::mounts(rootfs), mounts::devices(rootfs)]);
        sections.extend([mounts::masked(rootfs), mounts::read_only(rootfs)]);
    }
    sections.push(sysctls(&parts.plan.namespaces));
    sections.push(hooks(&parts.plan.hooks));
    sections.extend([
        credentials::program(&parts.plan),
        credentials::rights(&parts.plan),
        credentials::limits(&parts.plan),
    ]);
    sections.push(filter::summary(spec, parts.plan.filter.as_ref())?);
    if let Some(rootfs) = &parts.plan.rootfs {
        sections.push(mounts::writable(rootfs, &parts.plan.namespaces));
    }
    sections.retain(|section| !section.lines.is_empty());
    Ok(sections)
}

/// The reason why this host refuses the config, and the warnings of its parsing.
fn remarks(refusal: Option<&Error>) -> Section {
    let mut section = Section::new("remarks", "Remarks");
    if let Some(error) = refusal {
        section.add("create", format!("refused on this host: {error}"));
    }
    for record in log::take().into_iter().filter(|record| record.level == log::Level::Warning) {
        section.add("warning", record.text);
    }
    section
}

fn recipe_of(plan: &LaunchPlan) -> Recipe {
    let unified = Layout::read().is_ok_and(|layout| layout.mode() == Mode::Unified);
    recipe::recipe(&plan.namespaces, |kind| plan.joined.owner(kind), unified)
}

fn kinds(flags: i32) -> String {
    if flags == 0 { "no namespace".into() } else { words(flags) }
}

fn list(kinds: &[NamespaceKind]) -> String {
    kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ")
}

fn processes(plan: &LaunchPlan) -> Section {
    let recipe = recipe_of(plan);
    let mut section = Section::new("processes", "Processes, from the clone to the program");
    section.add("clone3", format!("a child of the runtime; new: {}", kinds(recipe.clone)));
    if !recipe.join_first.is_empty() {
        section.add("setns", format!("joins: {}", list(&recipe.join_first)));
    }
    match recipe.user {
        User::Stays | User::Cloned => {}
        User::Unshared => section.add("unshare", "a new user namespace, which owns the other new namespaces"),
        User::Joined => section.add("setns", "joins: user"),
    }
    if !recipe.join_then.is_empty() {
        section.add("setns", format!("joins, with the rights of the user namespace: {}", list(&recipe.join_then)));
    }
    if recipe.unshare != 0 {
        section.add("unshare", format!("new: {}", kinds(recipe.unshare)));
    }
    if recipe.offsets {
        section.add("time", format!("clock offsets: {}", plan.namespaces.offsets.trim().replace('\n', ", ")));
    }
    match recipe.fork {
        Fork::None => {}
        Fork::Early(flags) => {
            section.add("fork", format!("one more, before the root filesystem is built; new: {}", kinds(flags)))
        }
        Fork::Late => section.add("fork", "one more, confined, into the pid or time namespace"),
    }
    if let Some(grace) = plan.shim {
        section.add("init", format!("a reaping init with the program as its child; grace time {grace} ms"));
    }
    let count = 1 + usize::from(recipe.fork != Fork::None) + usize::from(plan.shim.is_some());
    section.add("count", format!("{count} from the clone to the program"));
    for (n, name) in sequence::names().chain(sequence::STUB).enumerate() {
        section.add(format!("step {}", n + 1), name);
    }
    section
}

fn namespaces(parts: &Parts) -> Section {
    let all = &parts.plan.namespaces;
    let mut section = Section::new("namespaces", "Namespaces");
    for kind in NamespaceKind::ALL {
        let place = match all.place(kind) {
            Place::Runtime => "the host's (the runtime's own)".to_owned(),
            Place::New => "new".to_owned(),
            Place::Join(path) => format!("joined: {path}"),
        };
        section.add(kind.word(), place);
    }
    if let Some(ids) = &all.ids {
        for (subject, map) in [("user ids", &ids.uids), ("group ids", &ids.gids)] {
            map.ranges().iter().for_each(|range| section.add(subject, range_in_words(*range)));
        }
    }
    let names = [("hostname", &all.hostname), ("domainname", &all.domainname)];
    for (subject, name) in names.into_iter().filter_map(|(subject, name)| Some((subject, name.as_ref()?))) {
        section.add(subject, name.clone());
    }
    for (host, inside) in parts.devices.names() {
        section.add(format!("network device {host}"), format!("moved into the container as {inside}"));
    }
    section
}

fn range_in_words([inside, outside, size]: [u32; 3]) -> String {
    match size {
        1 => format!("{inside} in the container is {outside} on the host"),
        _ => {
            let last = |first: u32| first + (size - 1);
            format!("{inside} to {} in the container are {outside} to {} on the host", last(inside), last(outside))
        }
    }
}

/// The id on the host in words: empty where it is the same.
pub(super) fn on_host(map: Option<&IdMap>, id: u32) -> String {
    match map.map(|map| map.to_host(id)) {
        None => String::new(),
        Some(Some(host)) => format!(" ({host} on the host)"),
        Some(None) => " (not mapped)".into(),
    }
}

fn sysctls(all: &Namespaces) -> Section {
    let sysctls = all.sysctls.iter().map(|sysctl| (format!("/proc/sys/{}", sysctl.path), sysctl.value.clone()));
    Section::of("sysctls", "Kernel parameters", sysctls)
}

fn hooks(hooks: &Hooks) -> Section {
    let mut section = Section::new("hooks", "Hooks");
    for moment in Moment::ALL {
        let place = match moment {
            Moment::Prestart | Moment::CreateRuntime => {
                "on the host, once the root filesystem is built, before pivot_root"
            }
            Moment::CreateContainer => "the host's program in the container's namespaces, before pivot_root",
            Moment::StartContainer => "in the container, at `start`, before the program",
            Moment::Poststart => "on the host, after the program was started",
            Moment::Poststop => "on the host, at `delete`",
        };
        for (n, hook) in hooks.at(moment).iter().enumerate() {
            section.add(format!("{}[{n}]", moment.word()), format!("{}: {place}", command(hook)));
        }
    }
    section
}

fn command(hook: &Hook) -> String {
    let arguments = hook.args.iter().skip(1).map(|argument| format!(" {}", argument.to_string_lossy()));
    let timeout = hook.timeout.map_or_else(String::new, |timeout| format!(" (killed after {} s)", timeout.as_secs()));
    format!("{}{}{timeout}", hook.path.to_string_lossy(), arguments.collect::<String>())
}
