//! A blob is read, hashed and inflated in one thread, and its archive unpacked in another.

use super::super::source::{Hasher, Source, Verified};
use anyhow::{Result, anyhow, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use oci_spec::image::{Descriptor, Digest, MediaType};
use std::io::{self, BufRead as _, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// The size of a piece of the stream, in bytes, and how many wait between the threads.
const PIECE: usize = 256 << 10;
const WAITING: usize = 16;

/// A layer may be as much larger than its blob: a greater ratio is no file system but an attack.
const MAX_RATIO: u64 = 250;
/// Below this size a layer may have any ratio, in bytes.
const ANY_RATIO: u64 = if cfg!(test) { 16 << 20 } else { 1 << 30 };
/// The largest layer, in bytes.
const MAX_SIZE: u64 = 1 << 40;

enum Form {
    Plain,
    Gzip,
    Zstd,
}

/// Gives `unpack` the inflated bytes of a layer. The stream ends only where digest, size and `diff_id` are right.
///
/// # Errors
/// They are not, the media type is not of a layer, or `unpack` fails.
pub(crate) fn inflated<T>(
    source: &dyn Source,
    descriptor: &Descriptor,
    diff_id: &Digest,
    unpack: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<T> {
    let form = form(descriptor.media_type())?;
    let hasher = Hasher::new(diff_id)?;
    let (full, pieces) = sync_channel(WAITING);
    let (used, empty) = sync_channel(WAITING + 2);
    thread::scope(|scope| {
        scope.spawn(move || {
            let sender = Sender { full, empty };
            if let Err(error) = produce(source, descriptor, &form, diff_id, hasher, &sender) {
                // The other side may have ended with an error of its own.
                let _ = sender.full.send(Err(error));
            }
        });
        unpack(&mut Stream { pieces, used, piece: Vec::new(), at: 0, is_done: false })
    })
}

fn form(media_type: &MediaType) -> Result<Form> {
    let name = media_type.to_string();
    Ok(match name.as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Form::Plain,
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Form::Gzip,
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Form::Zstd,
        _ => bail!("the media type {name} is not of a layer that can be unpacked"),
    })
}

/// The sending side of the pipe, and the buffers that come back.
struct Sender {
    full: SyncSender<Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
}

fn produce(
    source: &dyn Source,
    descriptor: &Descriptor,
    form: &Form,
    diff_id: &Digest,
    mut hasher: Hasher,
    sender: &Sender,
) -> Result<()> {
    let mut blob = BufReader::with_capacity(PIECE, Verified::new(source.blob(descriptor, 0)?, descriptor)?);
    let magic = match form {
        Form::Plain => b"".as_slice(),
        Form::Gzip => &[0x1f, 0x8b],
        Form::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
    };
    let begins = blob.fill_buf()?.starts_with(magic);
    ensure!(begins, "the content is not what the media type {} says", descriptor.media_type());
    let most = ANY_RATIO.max(descriptor.size().saturating_mul(MAX_RATIO)).min(MAX_SIZE);
    match form {
        Form::Plain => pump(&mut blob, most, &mut hasher, sender)?,
        Form::Gzip => pump(&mut MultiGzDecoder::new(&mut blob), most, &mut hasher, sender)?,
        Form::Zstd => pump(&mut zstd::Decoder::with_buffer(&mut blob)?, most, &mut hasher, sender)?,
    }
    // What follows the compressed stream belongs to the blob, too.
    io::copy(&mut blob, &mut io::sink())?;
    let found = hasher.hex();
    ensure!(found == diff_id.digest(), "the inflated layer has the digest {found}, the diff_id is {diff_id}");
    let _ = sender.full.send(Ok(Vec::new()));
    Ok(())
}

/// Reads all of `inflated` and sends it, until the other side has ended.
fn pump(inflated: &mut dyn Read, most: u64, hasher: &mut Hasher, sender: &Sender) -> Result<()> {
    let mut total = 0;
    loop {
        let mut piece = sender.empty.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let mut filled = 0;
        while filled < PIECE {
            match inflated.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        piece.truncate(filled);
        total += filled as u64;
        ensure!(total <= most, "the layer inflates to more than {most} bytes, {MAX_RATIO} times the size of its blob");
        if filled == 0 {
            return Ok(());
        }
        hasher.update(&piece);
        sender.full.send(Ok(piece)).map_err(|_| anyhow!("the layer is not unpacked any further"))?;
    }
}

/// The receiving side of the pipe. An empty piece is the verified end.
struct Stream {
    pieces: Receiver<Result<Vec<u8>>>,
    used: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    is_done: bool,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && !self.is_done && !buffer.is_empty() {
            let next = self.pieces.recv().map_err(io::Error::other)?;
            let next = next.map_err(|error| io::Error::other(format!("{error:#}")))?;
            self.is_done = next.is_empty();
            // A buffer that the other side has no room for is freed.
            let _ = self.used.try_send(std::mem::replace(&mut self.piece, next));
            self.at = 0;
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
