//! The plain scenario's medians as a picture: bars for each operation, drawn to that operation's own scale.

use crate::figures::{Figures, Series};
use crate::table::milliseconds;
use std::fmt::Write as _;

const WIDTH: usize = 760;
const LEFT: usize = 190;
const BAR: usize = 14;
const LONGEST: usize = WIDTH - LEFT - 130;

/// An SVG; `conditions` stand below the bars.
pub(crate) fn svg(figures: &Figures, conditions: &str) -> String {
    let plain: Vec<&Series> = figures.0.iter().filter(|s| s.scenario == "plain").collect();
    let mut operations: Vec<&str> = Vec::new();
    for series in &plain {
        if !operations.contains(&series.operation.as_str()) {
            operations.push(&series.operation);
        }
    }
    let mut body = String::new();
    let mut top = 34;
    for operation in operations {
        let bars: Vec<&&Series> = plain.iter().filter(|s| s.operation == operation).collect();
        let longest = bars.iter().map(|s| s.median(|x| x.wall)).max().unwrap_or(1).max(1);
        let _ =
            writeln!(body, "<text x=\"8\" y=\"{}\" class=\"operation\">{}</text>", top + BAR - 3, escaped(operation));
        for series in bars {
            let wall = series.median(|x| x.wall);
            let length = usize::try_from(wall * LONGEST as u64 / longest).unwrap_or(LONGEST).max(1);
            let _ = writeln!(
                body,
                "<text x=\"{}\" y=\"{}\" class=\"who\">{}</text><rect x=\"{LEFT}\" y=\"{top}\" width=\"{length}\" \
                 height=\"{}\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{} ms</text>",
                LEFT - 6,
                top + BAR - 3,
                escaped(&series.subject),
                BAR - 3,
                colour(&series.subject),
                LEFT + length + 6,
                top + BAR - 3,
                milliseconds(wall)
            );
            top += BAR;
        }
        top += 8;
    }
    let height = top + 24;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<style>.operation {{ font-weight: bold }} .who {{ text-anchor: end; \
         fill: #666 }}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"8\" y=\"20\" font-size=\"14\">\
         Wall time of whole processes, medians</text>\n{body}<text x=\"8\" y=\"{}\" fill=\"#666\">{}</text>\n</svg>\n",
        height - 10,
        escaped(conditions)
    )
}

fn colour(subject: &str) -> &'static str {
    match subject {
        "orlop" => "#1f6f8b",
        "crun" => "#c98b2b",
        "runc" => "#b0523f",
        floor if floor.starts_with("floor") => "#9aa5a8",
        _ => "#6b5b95",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
