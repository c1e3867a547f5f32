//! CRIU's answers, and the images of a checkpoint, which come from another machine.

use super::answer::{Answer, complaint};
use super::saved::{check_pages, mounts};
use std::fs;
use std::path::PathBuf;

pub(crate) fn answer(input: &[u8]) {
    if let Ok((answer, step)) = Answer::parse(input, None) {
        let _ = format!("{answer:?} {step:?}");
    }
    for line in String::from_utf8_lossy(input).lines() {
        if let Some(text) = complaint(line) {
            assert!(line.contains(text));
        }
    }
}

fn directory() -> PathBuf {
    let path = std::env::temp_dir().join(format!("orlop-fuzz-criu-{}", std::process::id()));
    if !path.exists() {
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{error}"));
    }
    path
}

/// The first byte says which of the images the input is; the others are good ones.
pub(crate) fn images(input: &[u8]) {
    let Some((which, image)) = input.split_first() else { return };
    let directory = directory();
    let good: [(&str, &[u8]); 4] = [
        ("pstree.img", b"magic8by\x02\0\0\0\x08\x01"),
        ("ids-1.img", b"magic8by\x02\0\0\0\x48\x05"),
        ("mountpoints-5.img", b"magic8by\x06\0\0\0\x10\x01\x20\x00\x3a\x00"),
        ("pagemap-1.img", b"magic8by\x02\0\0\0\x08\x01"),
    ];
    for (n, (name, bytes)) in good.into_iter().enumerate() {
        let bytes = if usize::from(*which) % good.len() == n { image } else { bytes };
        fs::write(directory.join(name), bytes).unwrap_or_else(|error| panic!("{error}"));
    }
    if let Ok(mounts) = mounts(&directory) {
        assert!(mounts.len() <= input.len());
    }
    let _ = check_pages(&directory);
}
