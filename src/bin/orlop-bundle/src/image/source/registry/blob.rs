//! A blob that is read over connections that may be cut.

use super::Registry;
use super::client::{ATTEMPTS, is_cut, pause};
use oci_spec::image::Descriptor;
use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};
use ureq::BodyReader;

/// The slowest rate that is waited for, in bytes per second.
const SLOWEST: u64 = 1 << 10;
/// As many bytes after a cut connection allow for as many cuts again.
const PROGRESS: u64 = 1 << 20;

/// The rest of a blob.
pub(super) struct Blob<'a> {
    registry: &'a Registry,
    descriptor: Descriptor,
    body: BodyReader<'static>,
    /// The offset of the next byte of the body, which may be before `position`.
    at: u64,
    /// The offset of the next byte for the reader.
    position: u64,
    /// The cuts since the last progress.
    cuts: u32,
    /// The position after the last cut.
    resumed_at: u64,
    /// The time that was spent in waiting, and the bytes that came in it.
    waited: Duration,
    came: u64,
}

impl<'a> Blob<'a> {
    /// `body` begins at the offset `at`.
    pub(super) fn new(
        registry: &'a Registry,
        descriptor: &Descriptor,
        position: u64,
        (body, at): (BodyReader<'static>, u64),
    ) -> Blob<'a> {
        let (waited, descriptor) = (Duration::ZERO, descriptor.clone());
        Blob { registry, descriptor, body, at, position, cuts: 0, resumed_at: position, waited, came: 0 }
    }

    fn resume(&mut self, problem: &str) -> io::Result<()> {
        if self.position - self.resumed_at >= PROGRESS {
            self.cuts = 0;
        }
        self.cuts += 1;
        let (digest, position, size) = (self.descriptor.digest(), self.position, self.descriptor.size());
        if self.cuts >= ATTEMPTS {
            let text =
                format!("blob {digest}: {problem} {} times, the last time after {position} of {size} bytes", self.cuts);
            return Err(io::Error::other(text));
        }
        thread::sleep(pause(self.cuts, None));
        let opened = self.registry.open(&self.descriptor, position);
        (self.body, self.at) = opened.map_err(|error| io::Error::other(format!("{error:#}")))?;
        self.resumed_at = position;
        Ok(())
    }

    /// Reads from the body, and refuses one that only trickles.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let count = self.body.read(buffer)?;
        self.waited += begun.elapsed();
        self.came += count as u64;
        let window = self.registry.client().timeout;
        if self.waited >= window {
            if self.came < SLOWEST * window.as_secs().max(1) {
                let text = format!("only {} bytes came in {} s", self.came, window.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        Ok(count)
    }

    /// Reads up to the position where a server sent more than the end that was asked for.
    fn skip(&mut self) -> io::Result<usize> {
        let mut scratch = [0; 16 << 10];
        let most = scratch.len().min(usize::try_from(self.position - self.at).unwrap_or(usize::MAX));
        let count = self.receive(&mut scratch[..most])?;
        self.at += count as u64;
        Ok(count)
    }

    /// A last look: the body ends here, or the server sends too much. A failure does not matter any more.
    fn end(&mut self) -> io::Result<usize> {
        match self.body.read(&mut [0]) {
            Ok(1..) => {
                let size = self.descriptor.size();
                Err(self.refused(&format!("the server sends more than the {size} bytes of the manifest")))
            }
            _ => Ok(0),
        }
    }

    /// Goes on after an error that another connection may mend.
    fn mend(&mut self, error: io::Error) -> io::Result<()> {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
        match inner {
            Some(ureq::Error::Timeout(_)) => {
                let (seconds, size) = (self.registry.client().timeout.as_secs(), self.descriptor.size());
                let after = format!("after {} of {size} bytes", self.position);
                Err(self.refused(&format!("the server sent nothing for {seconds} s, {after}")))
            }
            Some(ureq::Error::Protocol(_)) => self.resume("the server cut the response"),
            _ if is_cut(&error) => self.resume("the server cut the connection"),
            _ => Err(self.refused(&error.to_string())),
        }
    }

    fn refused(&self, problem: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("blob {}: {problem}", self.descriptor.digest()))
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let left = self.descriptor.size().saturating_sub(self.position);
            if left == 0 {
                return self.end();
            }
            let skips = self.at < self.position;
            let result = if skips {
                self.skip()
            } else {
                let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.receive(&mut buffer[..most])
            };
            match result {
                Ok(0) => self.resume("the server ended the response")?,
                Ok(_) if skips => {}
                Ok(count) => {
                    self.at += count as u64;
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) => self.mend(error)?,
            }
        }
    }
}
