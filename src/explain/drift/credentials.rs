//! The ids, capabilities and limits of a container's first process.

use super::super::credentials::{set_in_words, sets};
use super::Comparison;
use crate::error::Result;
use crate::namespaces::Place;
use crate::process::capability::{self, Sets};
use crate::process::program::Program;
use crate::sys::limits;
use std::collections::{BTreeMap, BTreeSet};

/// /proc/PID/status: names and values.
type StatusFile = BTreeMap<String, String>;

impl Comparison<'_> {
    pub(super) fn credentials(&mut self) -> Result<()> {
        let text = self.proc_file("status");
        let status: StatusFile = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(k, v)| (k.to_owned(), v.trim().to_owned()))
            .collect();
        let parts = self.parts;
        let (Some(program), false) = (&parts.plan.program, status.is_empty()) else { return Ok(()) };
        if self.is_created {
            self.ids(program, &status);
        }
        self.capabilities(program, &status);
        let value = |name: &str| status.get(name).map_or("", String::as_str);
        if program.no_new_privs && value("NoNewPrivs") == "0" {
            self.add("credentials", "no_new_privs", "set", "not set");
        }
        if parts.plan.filter.is_some() && !self.is_created && value("Seccomp") == "0" {
            self.add("seccomp", "filter", "loaded", "none");
        }
        Ok(())
    }

    /// Before the program runs they are the plan's; afterwards it may change them as its rights let it.
    fn ids(&mut self, program: &Program, status: &StatusFile) {
        let namespaces = &self.parts.plan.namespaces;
        let maps = namespaces.ids.as_ref();
        if maps.is_none() && matches!(namespaces.place(crate::namespaces::NamespaceKind::User), Place::Join(_)) {
            return;
        }
        let user = |id: u32| maps.map_or(Some(id), |maps| maps.uids.to_host(id));
        let group = |id: u32| maps.map_or(Some(id), |maps| maps.gids.to_host(id));
        let ids = [("user", "Uid", user(program.uid)), ("group", "Gid", group(program.gid))];
        for (subject, field, planned) in ids {
            let found = status.get(field).map_or("", String::as_str);
            let Some(planned) = planned.map(|id| id.to_string()) else { continue };
            if found.split_whitespace().any(|id| id != planned) {
                self.add("credentials", subject, planned, found.replace('\t', " "));
            }
        }
        let may_keep = program.groups.is_empty() && self.has_user_namespace();
        if program.keep_groups || may_keep {
            return;
        }
        let planned: BTreeSet<u32> = program.groups.iter().filter_map(|id| group(*id)).collect();
        let found = status.get("Groups").map_or("", String::as_str);
        let found: BTreeSet<u32> = found.split_whitespace().filter_map(|id| id.parse().ok()).collect();
        if planned != found {
            self.add("credentials", "supplementary groups", format!("{planned:?}"), format!("{found:?}"));
        }
    }

    /// The created process has exactly the sets of the plan, and CAP_SYS_ADMIN where it must load a filter without
    /// no_new_privs. A program may give up capabilities, and `execve` gives none beyond these.
    fn capabilities(&mut self, program: &Program, status: &StatusFile) {
        let read = |name: &str| status.get(name).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
        let found = Sets {
            bounding: read("CapBnd"),
            effective: read("CapEff"),
            permitted: read("CapPrm"),
            inheritable: read("CapInh"),
            ambient: read("CapAmb"),
        };
        let planned = program.capabilities;
        let loads_filter = self.parts.plan.filter.is_some() && !program.no_new_privs;
        let admin = if loads_filter { 1 << capability::number("CAP_SYS_ADMIN").unwrap_or(0) } else { 0 };
        let gained = planned.bounding | planned.inheritable | planned.permitted | planned.ambient;
        for ((name, planned), (_, found)) in sets(&planned).into_iter().zip(sets(&found)) {
            let of_process = matches!(name, "permitted" | "effective");
            let most = match (self.is_created, of_process) {
                (true, true) => planned | admin,
                (false, true) => gained,
                (_, false) => planned,
            };
            let is_less = self.is_created && planned & !found != 0;
            if found & !most != 0 || is_less {
                self.add("credentials", format!("{name} capabilities"), set_in_words(planned), set_in_words(found));
            }
        }
    }

    /// The program may lower its hard limits, and change the soft ones.
    pub(super) fn limits(&mut self) {
        let parts = self.parts;
        let Some(program) = &parts.plan.program else { return };
        let limits = if self.is_created { &[][..] } else { &program.attributes.rlimits };
        for (limit, name) in limits {
            let Ok((_, hard)) = limits::rlimit(self.pid, limit.resource) else { continue };
            if hard > limit.hard {
                self.add("limits", *name, format!("hard {}", limit.hard), format!("hard {hard}"));
            }
        }
        if let Some(planned) = program.attributes.oom_score_adj {
            let found = self.proc_file("oom_score_adj").trim().to_owned();
            if found != planned.to_string() {
                self.add("limits", "oom_score_adj", planned.to_string(), found);
            }
        }
    }
}
