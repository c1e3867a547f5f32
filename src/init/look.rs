//! A look at a program that could not be executed, for the words of the error. It begins when the failure is certain.

use crate::plan::word;
use crate::{Init, sys};

const REGULAR: u32 = 0o100_000;
const TYPE: u32 = 0o170_000;

/// Notes the mode, the mount and the beginning of the file at `path`, or the directory on its way that cannot be searched.
pub(crate) fn at(init: &Init, path: u64) {
    let candidates = sys::list::<u64>(init.plan.candidates);
    let Some(number) = candidates.iter().position(|candidate| *candidate == path) else { return };
    match sys::status(path) {
        Ok(status) => {
            note(init, &status);
            init.report(word::MOUNT_FLAGS, sys::mount_flags(path));
            if status[0] & TYPE == REGULAR {
                beginning(init, path);
            }
        }
        Err(sys::EACCES) => way(init, path),
        Err(_) => return,
    }
    init.report(word::LOOKED_AT, number as u32 + 1);
}

fn note(init: &Init, status: &[u32; 3]) {
    for (at, value) in [word::MODE, word::OWNER, word::GROUP].into_iter().zip(status) {
        init.report(at, *value);
    }
}

/// Goes down the path until a directory cannot be searched.
fn way(init: &Init, path: u64) {
    let mut part = [0; 4096];
    for n in 0..part.len() - 1 {
        let byte = sys::byte(path, n);
        part[n] = byte;
        if byte == 0 {
            return;
        }
        if byte == b'/' {
            let Ok(status) = sys::status(part.as_ptr() as u64) else { return };
            note(init, &status);
            init.report(word::PATH_LENGTH, n as u32 + 1);
        }
    }
}

fn beginning(init: &Init, path: u64) {
    let mut bytes = [0; word::OUTPUT_MOST];
    if let Ok(count) = sys::read_beginning(path, &mut bytes) {
        init.report_bytes(bytes.get(..count).unwrap_or_default());
        init.report(word::IS_READ, 1);
    }
}
