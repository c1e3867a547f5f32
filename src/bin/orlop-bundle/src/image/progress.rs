//! Progress of layers: a line for each on a terminal, a line at the end of each elsewhere, JSON for programs. All of it goes
//! to standard error.

use super::source::{Manifest, Platform, Source};
use anyhow::Result;
use clap::ValueEnum;
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};
use oci_spec::image::Descriptor;
use serde_json::json;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::time::{Duration, Instant};

/// The digits of a digest that are shown.
const DIGITS: usize = 12;
/// The time between two lines of JSON for a layer.
const INTERVAL: Duration = Duration::from_millis(200);
const LINE: &str = "{prefix} {bar:20} {binary_bytes:>11} of {binary_total_bytes:<11} {binary_bytes_per_sec:>13}";

/// How progress is shown.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ProgressOptions {
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    /// How progress is printed, on standard error
    #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    progress: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line for each layer: renewed on a terminal, else at its end
    #[default]
    Text,
    /// An object a line
    Json,
}

/// A source of which the layers are watched while they are read.
struct Watched {
    inner: Box<dyn Source>,
    show: Show,
}

enum Show {
    Terminal(MultiProgress),
    Plain,
    Json,
}

/// Watches a source, as the options say.
pub(crate) fn watched(inner: Box<dyn Source>, options: &ProgressOptions) -> Box<dyn Source> {
    let show = match options.progress {
        _ if options.quiet => return inner,
        Form::Json => Show::Json,
        Form::Text if io::stderr().is_terminal() => Show::Terminal(MultiProgress::new()),
        Form::Text => Show::Plain,
    };
    Box::new(Watched { inner, show })
}

impl Source for Watched {
    fn manifest(&self, platform: &Platform) -> Result<Manifest> {
        self.inner.manifest(platform)
    }

    fn is_remote(&self) -> bool {
        self.inner.is_remote()
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let inner = self.inner.blob(descriptor, offset)?;
        let name = descriptor.media_type().to_string();
        if !name.contains(".layer.") && !name.contains(".rootfs.") {
            return Ok(inner);
        }
        let bar = match &self.show {
            Show::Terminal(bars) => Some(bars.add(bar(descriptor, offset))),
            _ => None,
        };
        let now = Instant::now();
        Ok(Box::new(Layer {
            inner,
            digest: descriptor.digest().to_string(),
            size: descriptor.size(),
            offset,
            position: offset,
            begun: now,
            said: now,
            is_done: false,
            bar,
            json: matches!(self.show, Show::Json),
        }))
    }
}

fn bar(descriptor: &Descriptor, offset: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(LINE).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(descriptor.size()).with_style(style.progress_chars("=> "));
    let bar = bar.with_finish(ProgressFinish::Abandon).with_prefix(short(descriptor.digest().digest()));
    bar.set_position(offset);
    bar.reset_eta();
    bar
}

fn short(digits: &str) -> String {
    digits.chars().take(DIGITS).collect()
}

/// A layer that is read.
struct Layer<'a> {
    inner: Box<dyn Read + Send + 'a>,
    digest: String,
    size: u64,
    offset: u64,
    position: u64,
    begun: Instant,
    /// The time of the last line of JSON.
    said: Instant,
    is_done: bool,
    bar: Option<ProgressBar>,
    json: bool,
}

impl Layer<'_> {
    fn advance(&mut self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.position);
        } else if self.json && self.said.elapsed() >= INTERVAL {
            self.said = Instant::now();
            self.print(&self.object("read"));
        }
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.is_done, true) {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.finish();
        } else if self.json {
            self.print(&self.object("done"));
        } else {
            self.print(&self.line(self.begun.elapsed()));
        }
    }

    fn object(&self, event: &str) -> String {
        json!({ "event": event, "layer": self.digest, "bytes": self.position, "size": self.size }).to_string()
    }

    fn line(&self, elapsed: Duration) -> String {
        let (seconds, bytes) = (elapsed.as_secs_f64(), self.position - self.offset);
        let rate = bytes as f64 / seconds.max(0.001);
        let digits = short(self.digest.rsplit(':').next().unwrap_or_default());
        format!("layer {digits}: {} in {seconds:.1} s, {}/s", HumanBytes(bytes), HumanBytes(rate as u64))
    }

    /// Progress that cannot be shown does not matter.
    fn print(&self, line: &str) {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

impl Read for Layer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position += count as u64;
        if count > 0 {
            self.advance();
        } else if !buffer.is_empty() {
            self.finish();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(content: &'static str, offset: u64) -> Layer<'static> {
        Layer {
            inner: Box::new(content.as_bytes()),
            digest: format!("sha256:{}", "ab".repeat(32)),
            size: content.len() as u64 + offset,
            offset,
            position: offset,
            begun: Instant::now(),
            said: Instant::now(),
            is_done: false,
            bar: None,
            json: true,
        }
    }

    #[test]
    fn a_layer_counts_from_where_it_was_gone_on_with() {
        let mut layer = layer("content", 3000);
        io::copy(&mut layer, &mut io::sink()).unwrap();
        assert!(layer.is_done);
        let object: serde_json::Value = serde_json::from_str(&layer.object("done")).unwrap();
        assert_eq!((&object["bytes"], &object["size"]), (&json!(3007), &json!(3007)));
        assert_eq!(layer.line(Duration::from_millis(3500)), "layer abababababab: 7 B in 3.5 s, 2 B/s");
    }

    #[test]
    fn the_template_of_a_line_is_right() {
        ProgressStyle::with_template(LINE).unwrap();
    }
}
