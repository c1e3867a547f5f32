//! All samples by scenario, operation and subject, and what is computed from them.

use crate::gauge::Sample;

/// What was measured of one subject: one operation in one scenario.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) scenario: String,
    pub(crate) operation: String,
    /// A runtime or a floor.
    pub(crate) subject: String,
    samples: Vec<Sample>,
}

/// The kernel's floor.
pub(crate) const FLOOR: &str = "floor";
/// With whom the others are compared.
pub(crate) const REFERENCE: &str = "crun";

impl Series {
    /// The value below which the share `part` of the samples lies.
    pub(crate) fn quantile(&self, part: f64, of: fn(&Sample) -> u64) -> u64 {
        let mut values: Vec<u64> = self.samples.iter().map(of).collect();
        values.sort_unstable();
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let at = (part * (values.len().saturating_sub(1)) as f64).round() as usize;
        values.get(at).copied().unwrap_or(0)
    }

    pub(crate) fn median(&self, of: fn(&Sample) -> u64) -> u64 {
        self.quantile(0.5, of)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.samples.len()
    }
}

/// Everything that was measured, in the order in which it began.
#[derive(Debug, Default)]
pub(crate) struct Figures(pub(crate) Vec<Series>);

impl Figures {
    /// Gives a series its place, before anything of it is measured.
    pub(crate) fn begin(&mut self, scenario: &str, operation: &str, subject: &str) -> &mut Series {
        let known = self.0.iter().position(|s| s.is(scenario, operation, subject));
        let at = known.unwrap_or(self.0.len());
        if known.is_none() {
            let [scenario, operation, subject] = [scenario, operation, subject].map(ToOwned::to_owned);
            self.0.push(Series { scenario, operation, subject, samples: Vec::new() });
        }
        &mut self.0[at]
    }

    pub(crate) fn add(&mut self, scenario: &str, operation: &str, subject: &str, sample: Sample) {
        self.begin(scenario, operation, subject).samples.push(sample);
    }

    pub(crate) fn get(&self, scenario: &str, operation: &str, subject: &str) -> Option<&Series> {
        self.0.iter().find(|s| s.is(scenario, operation, subject))
    }

    /// A subject's median over another's in the same row, e.g. crun's; None where one is missing or not measurable.
    pub(crate) fn ratio(&self, series: &Series, subject: &str, of: fn(&Sample) -> u64) -> Option<f64> {
        let other = self.get(&series.scenario, &series.operation, subject)?.median(of);
        #[allow(clippy::cast_precision_loss)]
        (other > 0 && series.subject != subject).then(|| series.median(of) as f64 / other as f64)
    }
}

impl Series {
    fn is(&self, scenario: &str, operation: &str, subject: &str) -> bool {
        self.scenario == scenario && self.operation == operation && self.subject == subject
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_and_ratios_are_of_medians() {
        let mut figures = Figures::default();
        for wall in [5, 1, 3, 2, 4] {
            figures.add("plain", "run", "orlop", Sample { wall, ..Sample::default() });
            figures.add("plain", "run", "crun", Sample { wall: 2 * wall, ..Sample::default() });
        }
        let series = figures.get("plain", "run", "orlop").unwrap();
        assert_eq!([0.0, 0.5, 1.0].map(|part| series.quantile(part, |s| s.wall)), [1, 3, 5]);
        assert_eq!(figures.ratio(series, REFERENCE, |s| s.wall), Some(0.5));
        assert_eq!(figures.ratio(series, REFERENCE, |s| s.cpu), None);
        assert_eq!(figures.ratio(series, FLOOR, |s| s.wall), None);
    }
}
