//! The XML that CI systems read.

use crate::runner::{Outcome, Verdict};
use std::path::Path;

pub(super) fn body(runtime: &Path, outcomes: &[Outcome]) -> String {
    let count = |wanted: fn(&Verdict) -> bool| outcomes.iter().filter(|o| wanted(&o.verdict)).count();
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3}\">\n",
        escaped(&runtime.display().to_string()),
        outcomes.len(),
        count(|v| matches!(v, Verdict::Failed(_))),
        count(|v| matches!(v, Verdict::Skipped(_))),
        outcomes.iter().map(|outcome| outcome.time.as_secs_f64()).sum::<f64>()
    );
    for outcome in outcomes {
        let inner = match &outcome.verdict {
            Verdict::Passed => String::new(),
            Verdict::Skipped(reason) => format!("<skipped message=\"{}\"/>", escaped(reason)),
            Verdict::Failed(reason) => format!("<failure message=\"{}\"/>", escaped(reason)),
        };
        body += &format!(
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">{inner}</testcase>\n",
            outcome.case.group,
            escaped(&outcome.case.sentence()),
            outcome.time.as_secs_f64()
        );
    }
    body + "</testsuite>"
}

fn escaped(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control() && !('\u{fffe}'..='\u{ffff}').contains(c));
    clean.fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_in_a_reason_is_escaped() {
        assert_eq!(super::escaped("a<b> & \"c\"\n"), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
