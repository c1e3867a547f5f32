//! The table of `top` as lines that fit a width.

use super::Row;
use crate::observe::bytes;
use crate::style::Style;
use orlop::explain::shown;

/// From this width on each kind of pressure has a column.
const WIDE: usize = 120;
/// The widest graph: a column for each second.
const LONGEST_GRAPH: usize = 60;
/// The narrowest graph that is worth its place.
const SHORTEST_GRAPH: usize = 10;
/// The eighths of a character's height.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns that change from look to look have room for their usual values, so that they stay where they are.
const LEAST_WIDTHS: [usize; 5] = [7, 4, 5, 5, 11];

/// The head and a line for each container. Without a width lines are as long as they are, and have no graph.
pub(super) fn lines(rows: &[Row], width: Option<usize>, style: Style) -> Vec<String> {
    let is_wide = width.is_none_or(|width| width >= WIDE);
    let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(row, is_wide)).collect();
    let head = head(is_wide);
    let widths: Vec<usize> = (0..head.len())
        .map(|at| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(head[at].len()))
        .zip(LEAST_WIDTHS.into_iter().chain(std::iter::repeat(4)))
        .map(|(width, least)| width.max(least))
        .collect();
    let others: usize = widths.iter().map(|width| width + 1).sum();
    let longest = rows.iter().map(|row| shown(&row.id).chars().count()).max().unwrap_or(0).max(2);
    let of_id = width.map_or(longest, |width| longest.min(width.saturating_sub(others + SHORTEST_GRAPH + 1).max(8)));
    let of_graph = width.map_or(0, |width| width.saturating_sub(of_id + others + 1).min(LONGEST_GRAPH));
    let most = width.unwrap_or(usize::MAX);
    let line = |id: &str, cells: &[&str], graph: &str| {
        let mut text = pad(&cut(id, of_id), of_id, false);
        for (at, cell) in cells.iter().enumerate() {
            text += " ";
            text += &pad(cell, widths[at], at > 0);
        }
        cut(&format!("{text} {graph}"), most).trim_end().to_owned()
    };
    let title = if of_graph >= SHORTEST_GRAPH { "CPU, 1 MIN" } else { "" };
    let title: String = title.chars().take(of_graph).collect();
    let mut lines = vec![style.bold(&line("ID", &head, &title))];
    for (row, cells) in rows.iter().zip(&cells) {
        let graph = if of_graph >= SHORTEST_GRAPH { graph(row, of_graph) } else { String::new() };
        lines.push(line(&shown(&row.id), &cells.iter().map(String::as_str).collect::<Vec<_>>(), &graph));
    }
    if rows.is_empty() {
        lines.push("no containers".into());
    }
    lines
}

fn head(is_wide: bool) -> Vec<&'static str> {
    let mut head = vec!["STATUS", "PIDS", "CPU%", "THR%", "MEMORY"];
    head.extend(if is_wide { &["PSI-CPU", "PSI-MEM", "PSI-IO"][..] } else { &["PSI%"] });
    head
}

/// Everything but the id and the graph.
fn cells(row: &Row, is_wide: bool) -> Vec<String> {
    let percent = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
    let usage = row.usage.as_ref();
    let memory = usage.and_then(|usage| usage.memory).map(|used| match usage.and_then(|usage| usage.memory_limit) {
        Some(limit) => format!("{}/{}", bytes(used), bytes(limit)),
        None => bytes(used),
    });
    let tasks = usage.and_then(|usage| usage.tasks).map_or("-".into(), |tasks| tasks.to_string());
    let mut cells =
        vec![shown(&row.status), tasks, percent(row.cpu), percent(row.throttled), memory.unwrap_or("-".into())];
    match is_wide {
        true => cells.extend(row.pressure().map(percent)),
        false => cells.push(worst(row.pressure())),
    }
    cells
}

/// The greatest pressure, with the letter of its kind.
fn worst(pressure: [Option<f64>; 3]) -> String {
    let known = pressure.iter().zip(["c", "m", "i"]).filter_map(|(value, letter)| Some(((*value)?, letter)));
    match known.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
        None => "-".into(),
        Some((0.0, _)) => "0".into(),
        Some((value, letter)) => format!("{value:.0}{letter}"),
    }
}

/// The CPU time of a minute, the newest at the right; the full height is the quota, or the greater of 100 % and the peak.
fn graph(row: &Row, width: usize) -> String {
    let peak = row.history.iter().copied().fold(100.0, f64::max);
    let full = row.usage.as_ref().and_then(|usage| usage.cpu_quota).map_or(peak, |quota| quota * 100.0);
    // A column shows the greatest value of its seconds.
    let per_column = LONGEST_GRAPH.div_ceil(width.max(1));
    let newest_first: Vec<f64> = row.history.iter().rev().copied().collect();
    let columns = newest_first.chunks(per_column).map(|chunk| chunk.iter().copied().fold(0.0, f64::max));
    let block = |share: f64| {
        let eighths = (share / full.max(f64::MIN_POSITIVE) * 8.0).ceil().clamp(0.0, 8.0);
        BLOCKS[eighths as usize]
    };
    let drawn: Vec<char> = columns.take(width).map(block).collect();
    let blank = " ".repeat(width - drawn.len());
    blank + &drawn.iter().rev().collect::<String>()
}

fn pad(text: &str, width: usize, to_the_right: bool) -> String {
    if to_the_right { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

/// At most `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Usage;

    fn row(id: &str) -> Row {
        let usage = Usage {
            memory: Some(12 << 20),
            memory_limit: Some(64 << 20),
            tasks: Some(3),
            cpu_quota: Some(0.5),
            ..Usage::default()
        };
        let history = (0..60).map(|at| f64::from(at) * 50.0 / 59.0).collect();
        Row {
            id: id.into(),
            status: "running".into(),
            usage: Some(usage),
            cpu: Some(49.95),
            throttled: Some(100.0),
            history,
        }
    }

    #[test]
    fn lines_fit_their_width() {
        let rows =
            [row("a"), row(&"x".repeat(250)), Row { id: "s".into(), status: "stopped".into(), ..Row::default() }];
        for width in [1, 20, 40, 80, 120, 200, 500] {
            for line in lines(&rows, Some(width), Style::plain()) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
        let table = lines(&rows, Some(80), Style::plain());
        assert_eq!(table.len(), 4);
        assert!(table[1].contains("12.0M/64.0M") && table[1].ends_with('█'), "{table:#?}");
    }

    #[test]
    fn a_graph_grows_to_the_full_height_of_the_quota() {
        assert_eq!(graph(&row("a"), 60).chars().count(), 60);
        let short: Vec<char> = graph(&row("a"), 10).chars().collect();
        assert_eq!((short[0], short[9]), ('▁', '█'));
        assert!(short.windows(2).all(|pair| pair[0] <= pair[1]));
        let young = Row { history: vec![50.0], ..row("a") };
        assert_eq!(graph(&young, 10), "         █");
    }

    #[test]
    fn an_id_or_status_cannot_act_on_the_terminal() {
        let rows = [Row { id: "a\x1b[2J".into(), status: "gone".into(), ..Row::default() }];
        assert!(lines(&rows, None, Style::plain()).iter().all(|line| !line.contains('\x1b')));
    }

    #[test]
    fn the_greatest_pressure_is_named() {
        assert_eq!(worst([Some(1.0), Some(12.4), None]), "12m");
        assert_eq!(worst([None, None, None]), "-");
        assert_eq!(worst([Some(0.0), None, None]), "0");
    }
}
