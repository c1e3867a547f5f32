//! The figures as tables in Markdown and as CSV.

use crate::figures::{FLOOR, Figures, REFERENCE, Series};
use crate::gauge::Sample;
use std::fmt::Write as _;

const WALL: fn(&Sample) -> u64 = |s| s.wall;
const CPU: fn(&Sample) -> u64 = |s| s.cpu;
const PEAK: fn(&Sample) -> u64 = |s| s.peak;
const FAULTS: fn(&Sample) -> u64 = |s| s.faults;

/// A table for each scenario, a row for each operation and subject.
pub(crate) fn markdown(figures: &Figures) -> String {
    let mut text = String::new();
    let (mut scenario, mut operation) = ("", "");
    for series in in_order(figures) {
        if series.scenario != scenario {
            scenario = &series.scenario;
            operation = "";
            let _ = writeln!(
                text,
                "\n### {scenario}\n\n| operation | who | wall ms | p10 | p90 | CPU ms | peak KiB | faults | wall / {REFERENCE} | \
                 CPU / {REFERENCE} | wall / {FLOOR} | CPU / {FLOOR} |\n|{}",
                " --- |".repeat(12)
            );
        }
        let shown = if series.operation == operation { "" } else { &series.operation };
        operation = &series.operation;
        let ms = |part, of| milliseconds(series.quantile(part, of));
        let ratio = |subject, of| figures.ratio(series, subject, of).map_or(String::new(), |r| format!("{r:.2}"));
        let _ = writeln!(
            text,
            "| {shown} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            series.subject,
            ms(0.5, WALL),
            ms(0.1, WALL),
            ms(0.9, WALL),
            ms(0.5, CPU),
            series.median(PEAK),
            series.median(FAULTS),
            ratio(REFERENCE, WALL),
            ratio(REFERENCE, CPU),
            ratio(FLOOR, WALL),
            ratio(FLOOR, CPU)
        );
    }
    text
}

/// The same and the number of rounds, with times in microseconds.
pub(crate) fn csv(figures: &Figures) -> String {
    let mut text = String::from(
        "scenario,operation,who,rounds,wall_us,wall_p10_us,wall_p90_us,cpu_us,cpu_p10_us,cpu_p90_us,peak_kib,faults\n",
    );
    for series in in_order(figures) {
        let us = |part, of| series.quantile(part, of) / 1000;
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{}",
            series.scenario,
            series.operation,
            series.subject,
            series.rounds(),
            us(0.5, WALL),
            us(0.1, WALL),
            us(0.9, WALL),
            us(0.5, CPU),
            us(0.1, CPU),
            us(0.9, CPU),
            series.median(PEAK),
            series.median(FAULTS)
        );
    }
    text
}

/// Rows of one scenario and operation stand together, in the order of the first of them: floors, orlop, others.
fn in_order(figures: &Figures) -> Vec<&Series> {
    let first = |series: &Series, whole: bool| {
        let same = |s: &Series| s.scenario == series.scenario && (!whole || s.operation == series.operation);
        figures.0.iter().position(same)
    };
    let rank =
        |series: &Series| (!series.subject.starts_with(FLOOR), series.subject != "orlop", series.subject.clone());
    let mut all: Vec<&Series> = figures.0.iter().collect();
    all.sort_by_key(|series| (first(series, false), first(series, true), rank(series)));
    all
}

#[allow(clippy::cast_precision_loss)]
pub(crate) fn milliseconds(nanoseconds: u64) -> String {
    format!("{:.2}", nanoseconds as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_an_operation_stand_together_with_the_floor_first() {
        let mut figures = Figures::default();
        for (operation, subject, wall) in
            [("run", "crun", 4_000_000), ("exec", "orlop", 1), ("run", "orlop", 1_000_000), ("run", FLOOR, 500_000)]
        {
            figures.add("plain", operation, subject, Sample { wall, ..Sample::default() });
        }
        let rows: Vec<String> = csv(&figures).lines().skip(1).map(|l| l.split(",1,").next().unwrap().into()).collect();
        assert_eq!(rows, ["plain,run,floor", "plain,run,orlop", "plain,run,crun", "plain,exec,orlop"]);
        let text = markdown(&figures);
        assert!(text.contains("### plain"));
        assert!(text.contains("|  | orlop | 1.00 | 1.00 | 1.00 | 0.00 | 0 | 0 | 0.25 |  | 2.00 |  |"), "{text}");
    }
}
