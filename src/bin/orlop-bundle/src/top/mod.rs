//! `orlop top`: the use of resources by containers, as it changes.

mod screen;
mod table;

use crate::arguments::{Format, Global, Top};
use crate::observe::{Observed, Usage, waiting};
use crate::style::Style;
use anyhow::{Context as _, Result};
use orlop::container::request::ListRequest;
use orlop::container::{self, Context};
use orlop::explain::{shown, shown_json};
use screen::{Event, Screen};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The seconds that a graph shows.
const MINUTE: Duration = Duration::from_secs(60);

/// The line of one container.
#[derive(Clone, Debug, Default)]
struct Row {
    id: String,
    status: String,
    usage: Option<Usage>,
    /// In percent of one processor; none before a second look.
    cpu: Option<f64>,
    /// Throttled periods in percent of all periods.
    throttled: Option<f64>,
    /// The CPU time of earlier looks, oldest first.
    history: Vec<f64>,
}

/// The counters of the last look, and the graph.
struct Past {
    at: Instant,
    usage: Usage,
    history: VecDeque<(Instant, f64)>,
}

/// Looks at containers again and again.
struct Watch {
    context: Context,
    /// None is all.
    ids: Vec<String>,
    past: HashMap<String, Past>,
}

/// The whole command.
pub(crate) fn run(global: &Global, word: &Top) -> Result<ExitCode> {
    let root = std::path::absolute(&global.root).context("--root")?;
    let mut watch = Watch { context: Context::new(root), ids: word.ids.clone(), past: HashMap::new() };
    // A name that is wrong is an error at once; a container that ends later is shown as such.
    for id in &word.ids {
        if let Err(error) = Observed::look(&watch.context, id) {
            eprintln!("orlop: {}: {}", shown(id), shown(&format!("{error:#}")));
            return Ok(ExitCode::FAILURE);
        }
    }
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if word.once || dumb || word.format == Format::Json || !std::io::stdout().is_terminal() {
        return once(&mut watch, word);
    }
    live(&mut watch, word)
}

/// One table, of the time between two looks.
fn once(watch: &mut Watch, word: &Top) -> Result<ExitCode> {
    watch.look()?;
    std::thread::sleep(word.interval);
    let rows = watch.look()?;
    let text = match word.format {
        Format::Json => {
            let rows: Vec<Value> = rows.iter().map(Row::json).collect();
            shown_json(format!("{:#}\n", json!({ "containers": rows })))
        }
        Format::Text => table::lines(&rows, screen::width(), Style::of_output()).join("\n") + "\n",
    };
    std::io::stdout().lock().write_all(text.as_bytes()).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The screen, until a key or a signal ends it.
fn live(watch: &mut Watch, word: &Top) -> Result<ExitCode> {
    let style = Style::of_output();
    let mut screen = Screen::open()?;
    let mut rows = watch.look()?;
    let mut next = Instant::now() + word.interval;
    loop {
        screen.draw(|columns| table::lines(&rows, Some(columns), style))?;
        match screen.wait(next.saturating_duration_since(Instant::now()))? {
            Event::End(code) => return Ok(ExitCode::from(code)),
            Event::Redraw => continue,
            Event::Time => {}
        }
        rows = watch.look()?;
        next = Instant::now() + word.interval;
    }
}

impl Watch {
    fn look(&mut self) -> Result<Vec<Row>> {
        let ids = if self.ids.is_empty() { self.all()? } else { self.ids.clone() };
        let rows = ids.iter().map(|id| self.row(id)).collect();
        self.past.retain(|id, _| ids.contains(id));
        Ok(rows)
    }

    fn all(&self) -> Result<Vec<String>> {
        let mut request = ListRequest::default();
        request.quiet = true;
        Ok(container::list(&self.context, &request)?.lines().map(str::to_owned).collect())
    }

    fn row(&mut self, id: &str) -> Row {
        let mut row = Row { id: id.to_owned(), ..Row::default() };
        match Observed::look(&self.context, id) {
            Ok(observed) => {
                row.status = observed.status().to_owned();
                row.usage = observed.usage;
            }
            Err(_) => row.status = "gone".into(),
        }
        let Some(usage) = row.usage.clone() else {
            self.past.remove(id);
            return row;
        };
        let now = Instant::now();
        let old = self.past.remove(id);
        let mut history = VecDeque::new();
        if let Some(old) = old {
            row.cpu = cpu_share(&old.usage, &usage, now - old.at);
            row.throttled = throttled_share(&old.usage, &usage);
            history = old.history;
        }
        history.extend(row.cpu.map(|share| (now, share)));
        while history.front().is_some_and(|(at, _)| now.duration_since(*at) > MINUTE) {
            history.pop_front();
        }
        row.history = history.iter().map(|(_, share)| *share).collect();
        self.past.insert(id.to_owned(), Past { at: now, usage, history });
        row
    }
}

/// In percent of one processor.
fn cpu_share(old: &Usage, new: &Usage, time: Duration) -> Option<f64> {
    let used = new.cpu_time?.saturating_sub(old.cpu_time?);
    let time = time.as_nanos().max(1) as f64;
    Some(used as f64 * 100.0 / time)
}

/// Without a quota there are no periods.
fn throttled_share(old: &Usage, new: &Usage) -> Option<f64> {
    new.cpu_quota?;
    let periods = new.periods.saturating_sub(old.periods);
    let throttled = new.throttled_periods.saturating_sub(old.throttled_periods);
    Some(if periods == 0 { 0.0 } else { throttled as f64 * 100.0 / periods as f64 })
}

impl Row {
    /// The pressure of cpu, memory and io, in percent over ten seconds.
    fn pressure(&self) -> [Option<f64>; 3] {
        let found = self.usage.as_ref().map(|usage| &usage.pressure);
        [0, 1, 2].map(|at| waiting(found?[at].as_ref()))
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "status": self.status,
            "cpuPercent": self.cpu,
            "throttledPercent": self.throttled,
            "usage": self.usage.as_ref().map(Usage::json),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let old = Usage {
            cpu_time: Some(1_000),
            periods: 10,
            throttled_periods: 1,
            cpu_quota: Some(0.5),
            ..Usage::default()
        };
        let new = Usage { cpu_time: Some(500_001_000), periods: 20, throttled_periods: 6, ..old.clone() };
        assert_eq!(cpu_share(&old, &new, Duration::from_secs(1)), Some(50.0));
        assert_eq!(throttled_share(&old, &new), Some(50.0));
        // A container of the same name that was made anew counts from zero.
        assert_eq!(cpu_share(&new, &old, Duration::from_secs(1)), Some(0.0));
        assert_eq!(throttled_share(&old, &Usage { cpu_quota: None, ..new }), None);
    }
}
