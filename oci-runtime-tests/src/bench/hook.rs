//! The probe as a hook, and what it wrote.

use super::bundle::Bundle;
use super::container::Container;
use super::seen::Seen;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// One call of a hook.
pub(crate) struct Call {
    pub(crate) name: String,
    /// The state that came over stdin, as text.
    pub(crate) stdin: String,
    /// Its report and the answers of its actions.
    pub(crate) seen: Seen,
}

impl Call {
    pub(crate) fn state(&self) -> Result<Value> {
        serde_json::from_str(&self.stdin).with_context(|| format!("the state on the hook's stdin: {:?}", self.stdin))
    }
}

pub(crate) const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Where the hooks of startContainer write, inside; the others write to `hooks.log` in the bundle.
const INSIDE: &str = "/hooks.log";

impl Bundle<'_> {
    /// Adds a hook that logs itself as `name`; `more` is `fail`, `die`, `hang`, or `do` and actions.
    pub(crate) fn hook(self, kind: &str, name: &str, more: &[&str]) -> Self {
        let entry = self.hook_entry(kind, name, more);
        self.set(&format!("/hooks/{kind}/-"), entry)
    }

    pub(crate) fn hook_entry(&self, kind: &str, name: &str, more: &[&str]) -> Value {
        let inside = kind == "startContainer";
        let path = if inside { "/probe".to_owned() } else { self.trial.bench.probe.display().to_string() };
        let log = if inside { INSIDE.to_owned() } else { self.dir.join("hooks.log").display().to_string() };
        let args: Vec<&str> = ["probe", "hook", &log, name].into_iter().chain(more.iter().copied()).collect();
        json!({"path": path, "args": args})
    }
}

impl Container<'_> {
    /// The calls so far: those outside first, then those inside.
    pub(crate) fn hook_calls(&self) -> Result<Vec<Call>> {
        let places = [self.bundle.join("hooks.log"), self.bundle.join("rootfs").join(INSIDE.trim_start_matches('/'))];
        let text: String = places.iter().filter_map(|place| std::fs::read_to_string(place).ok()).collect();
        text.lines().map(call).collect()
    }

    pub(crate) fn hook_names(&self) -> Result<Vec<String>> {
        Ok(self.hook_calls()?.into_iter().map(|call| call.name).collect())
    }

    pub(crate) fn hook_call(&self, name: &str) -> Result<Call> {
        match self.hook_calls()?.into_iter().find(|call| call.name == name) {
            Some(call) => Ok(call),
            None => bail!("the hook {name} was not called"),
        }
    }
}

fn call(line: &str) -> Result<Call> {
    let value: Value = serde_json::from_str(line).with_context(|| format!("a hook wrote {line:?}"))?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let mut answers = vec![json!({"do": "report", "value": value["report"]})];
    answers.extend(value["answers"].as_array().cloned().unwrap_or_default());
    Ok(Call { name: text("hook"), stdin: text("stdin"), seen: Seen { answers, status: None, text: line.to_owned() } })
}
