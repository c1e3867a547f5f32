//! The kernel's keys (`keyrings(7)`).
#![allow(unsafe_code)]

use super::{Errno, Failure, Result, check, done};
use std::ffi::CStr;

/// `keyctl(2)` KEYCTL_JOIN_SESSION_KEYRING: joins or creates the session keyring `name`. Returns
/// its serial number.
pub(crate) fn join_session_keyring(name: &CStr) -> Result<i32> {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: `name` is a C string that outlives the call.
    let serial = check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }, || {
        format!("keyctl(KEYCTL_JOIN_SESSION_KEYRING, {name:?})")
    })?;
    Ok(serial as i32)
}

/// The attributes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The user id of its owner.
    pub owner: u32,
    /// Its permissions, in the format of KEYCTL_SETPERM.
    pub permissions: u32,
}

/// `keyctl(2)` KEYCTL_DESCRIBE.
pub(crate) fn describe_key(serial: i32) -> Result<Key> {
    const KEYCTL_DESCRIBE: i32 = 6;
    let call = || format!("keyctl(KEYCTL_DESCRIBE, {serial})");
    // `type;uid;gid;permissions;description`. Only the last field has a variable format.
    let mut text = [0u8; 256];
    // SAFETY: the pointer and the length are those of a live, writable array.
    let ask = |text: &mut [u8]| unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, serial, text.as_mut_ptr(), text.len())
    };
    let length = check(ask(&mut text), call)? as usize;
    let mut long = Vec::new();
    let text = match length > text.len() {
        true => {
            long.resize(length, 0);
            check(ask(&mut long), call)?;
            &long[..]
        }
        false => &text[..length],
    };
    let text = String::from_utf8_lossy(text);
    let mut fields = text.split(';').skip(1);
    let owner = fields.next().and_then(|uid| uid.parse().ok());
    let permissions = fields.nth(1).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match (owner, permissions) {
        (Some(owner), Some(permissions)) => Ok(Key { owner, permissions }),
        _ => Err(Failure::new(format!("{} = {text:?}", call()), Errno(libc::EPROTO))),
    }
}

/// `keyctl(2)` KEYCTL_SETPERM.
pub(crate) fn set_key_permissions(serial: i32, permissions: u32) -> Result<()> {
    const KEYCTL_SETPERM: i32 = 5;
    // SAFETY: takes no pointer.
    done(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, serial, permissions) }, || {
        format!("keyctl(KEYCTL_SETPERM, {serial}, {permissions:#x})")
    })
}
