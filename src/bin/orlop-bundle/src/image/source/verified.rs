//! Digest and size of a blob while it is read.

use anyhow::{Result, bail, ensure};
use oci_spec::image::{Descriptor, Digest, DigestAlgorithm};
use sha2::{Digest as _, Sha256, Sha512};
use std::io::{self, Read};
use std::str::FromStr as _;

/// A digest that is being computed.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// # Errors
    /// The algorithm is neither sha256 nor sha512.
    pub(crate) fn new(digest: &Digest) -> Result<Hasher> {
        match digest.algorithm() {
            DigestAlgorithm::Sha256 => Ok(Hasher::Sha256(Sha256::new())),
            DigestAlgorithm::Sha512 => Ok(Hasher::Sha512(Sha512::new())),
            other => bail!("digest {digest}: the algorithm {other} is not supported"),
        }
    }

    /// The digest of bytes that are in memory, by the algorithm of `like`, else by sha256.
    pub(crate) fn digest(like: Option<&Digest>, bytes: &[u8]) -> Result<Digest> {
        let mut hasher = like.map_or(Ok(Hasher::Sha256(Sha256::new())), Hasher::new)?;
        let algorithm = like.map_or(&DigestAlgorithm::Sha256, Digest::algorithm);
        hasher.update(bytes);
        Ok(Digest::from_str(&format!("{algorithm}:{}", hasher.hex()))?)
    }

    /// The sha256 digest of all that a reader has.
    pub(crate) fn digest_of(mut reader: impl Read) -> Result<Digest> {
        let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 256 << 10]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Digest::from_str(&format!("sha256:{}", Hasher::Sha256(hasher).hex()))?)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest so far, in hexadecimal digits.
    pub(crate) fn hex(self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Hasher::Sha256(hasher) => hex(&hasher.finalize()),
            Hasher::Sha512(hasher) => hex(&hasher.finalize()),
        }
    }
}

/// Checks a blob that is in memory.
///
/// # Errors
/// Its size or its digest is not the descriptor's.
pub(crate) fn check(descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
    let (digest, size) = (descriptor.digest(), descriptor.size());
    ensure!(bytes.len() as u64 == size, "{digest}: has {} bytes, the descriptor says {size}", bytes.len());
    let mut hasher = Hasher::new(digest)?;
    hasher.update(bytes);
    let found = hasher.hex();
    ensure!(found == digest.digest(), "{digest}: the content has the digest {}:{found}", digest.algorithm());
    Ok(())
}

/// A reader that gives a blob's bytes, and an error in place of its end where the size or the digest is not the
/// descriptor's. Nothing read before the end is verified.
pub(crate) struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    digest: Digest,
    size: u64,
    seen: u64,
}

impl<R: Read> Verified<R> {
    /// # Errors
    /// The digest's algorithm is not supported.
    pub(crate) fn new(inner: R, descriptor: &Descriptor) -> Result<Verified<R>> {
        let digest = descriptor.digest().clone();
        Ok(Verified { inner, hasher: Some(Hasher::new(&digest)?), digest, size: descriptor.size(), seen: 0 })
    }

    fn refuse(&self, problem: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {problem}", self.digest))
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.seen += count as u64;
        if self.seen > self.size {
            return Err(self.refuse(&format!("has more bytes than the {} of the descriptor", self.size)));
        }
        if count > 0 || buffer.is_empty() {
            self.hasher.iter_mut().for_each(|hasher| hasher.update(&buffer[..count]));
            return Ok(count);
        }
        if self.seen < self.size {
            return Err(self.refuse(&format!("ends after {} bytes, the descriptor says {}", self.seen, self.size)));
        }
        match self.hasher.take().map(Hasher::hex) {
            Some(found) if found != self.digest.digest() => {
                Err(self.refuse(&format!("the content has the digest {}:{found}", self.digest.algorithm())))
            }
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::image::MediaType;

    fn descriptor(size: u64) -> Descriptor {
        let of_abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        Descriptor::new(MediaType::ImageLayer, size, Digest::from_str(of_abc).unwrap())
    }

    fn read(content: &str, size: u64) -> io::Result<String> {
        let mut text = String::new();
        Verified::new(content.as_bytes(), &descriptor(size)).unwrap().read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn a_blob_ends_only_where_size_and_digest_are_right() {
        assert_eq!(read("abc", 3).unwrap(), "abc");
        for (content, size, problem) in
            [("abd", 3, "the content has the digest"), ("abcd", 3, "more bytes"), ("ab", 3, "ends after 2 bytes")]
        {
            let error = read(content, size).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            check(&descriptor(size), content.as_bytes()).unwrap_err();
        }
        check(&descriptor(3), b"abc").unwrap();
    }
}
