//! Maps of sparse files: the old GNU form, and the PAX forms 0.0, 0.1 and 1.0.

use super::pax::{Records, decimal};
use super::tar::{Archive, Entry};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::Read;
use tar::{EntryType, Header};

/// How many parts a sparse file may have.
const MAX_PARTS: usize = 1 << 20;

/// Reads the map of a sparse file, if the entry is one, and checks it.
///
/// # Errors
/// The map is damaged, or does not fit the data or the size.
pub(crate) fn read<R: Read>(archive: &mut Archive<R>, header: &Header, pax: &Records, entry: &mut Entry) -> Result<()> {
    let mut data = entry.size;
    let (size, parts) = if header.entry_type() == EntryType::GNUSparse {
        old(archive, header)?
    } else if pax.get("GNU.sparse.major").is_some_and(|major| major == b"1") {
        let (parts, used) = in_data(archive)?;
        data = data.checked_sub(used).context("the map of a sparse file is longer than its data")?;
        (pax.number("GNU.sparse.realsize")?.context("a sparse file has no size")?, parts)
    } else if let Some(size) = pax.number("GNU.sparse.size")? {
        let parts = match pax.get("GNU.sparse.map") {
            Some(map) => paired(map.split(|byte| *byte == b',').map(decimal).collect::<Result<Vec<_>>>()?)?,
            None => pax.pairs("GNU.sparse.offset", "GNU.sparse.numbytes")?,
        };
        (size, parts)
    } else {
        return Ok(());
    };
    ensure!(i64::try_from(size).is_ok(), "the size of a sparse file is too large: {size}");
    let mut end = 0;
    let mut sum = 0u64;
    for (offset, length) in &parts {
        ensure!(*offset >= end, "the map of a sparse file has parts that overlap");
        end = offset.checked_add(*length).context("the map of a sparse file has a part that is too long")?;
        sum += length;
    }
    ensure!(end <= size, "the map of a sparse file goes beyond its size {size}");
    ensure!(sum == data, "the map of a sparse file has {sum} bytes, the archive {data}");
    (entry.size, entry.sparse) = (size, Some(parts));
    Ok(())
}

fn paired(numbers: Vec<u64>) -> Result<Vec<(u64, u64)>> {
    ensure!(
        numbers.len().is_multiple_of(2) && numbers.len() / 2 <= MAX_PARTS,
        "the map of a sparse file has a wrong length"
    );
    Ok(numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect())
}

fn old<R: Read>(archive: &mut Archive<R>, header: &Header) -> Result<(u64, Vec<(u64, u64)>)> {
    let gnu = header.as_gnu().context("a sparse file has no GNU header")?;
    let mut parts = Vec::new();
    let mut take = |map: &[tar::GnuSparseHeader]| -> Result<()> {
        for part in map.iter().filter(|part| !part.is_empty()) {
            ensure!(parts.len() < MAX_PARTS, "a sparse file has too many parts");
            parts.push((part.offset()?, part.length()?));
        }
        Ok(())
    };
    take(&gnu.sparse)?;
    let mut more = gnu.is_extended();
    while more {
        let mut block = tar::GnuExtSparseHeader::new();
        block.as_mut_bytes().copy_from_slice(&archive.extra_block()?);
        take(block.sparse())?;
        more = block.is_extended();
    }
    Ok((gnu.real_size()?, parts))
}

/// The map of form 1.0, at the beginning of the data: decimal numbers, a line each, filled up to a block. Also its length.
fn in_data<R: Read>(archive: &mut Archive<R>) -> Result<(Vec<(u64, u64)>, u64)> {
    let mut used = 0;
    let mut block = [0u8; 512];
    let mut at = block.len();
    let mut number = |archive: &mut Archive<R>| -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            if at == block.len() {
                archive.read_exact(&mut block).context("the map of a sparse file is not whole")?;
                used += block.len() as u64;
                at = 0;
            }
            at += 1;
            match block[at - 1] {
                b'\n' => return decimal(&digits),
                digit if digits.len() < 20 => digits.push(digit),
                _ => bail!("the map of a sparse file has a number that is too long"),
            }
        }
    };
    let count = number(archive)?;
    ensure!(count <= MAX_PARTS as u64, "a sparse file has too many parts: {count}");
    let parts = (0..count).map(|_| Ok((number(archive)?, number(archive)?))).collect::<Result<_>>()?;
    Ok((parts, used))
}
