//! The session keyring of a container (`keyrings(7)`).
//!
//! The kernel finds a keyring by its name, and gives the caller any keyring of that name that it
//! may search: a process with the same user id in the same user namespace could create it first. So
//! the name is random, and a later process compares serial number and owner of the keyring that it
//! joined with those recorded.

use crate::error::{Error, Result};
use crate::json::readable;
use crate::sys::keys::{self, Key};
use crate::sys::process;
use serde::Serialize;
use std::ffi::CString;

/// The session keyring that a process gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keyring {
    /// The caller's.
    #[default]
    Callers,
    /// A new one of this name.
    New(String),
    /// That of a running container.
    Of(CreatedKeyring),
}

/// A keyring that was created, as state.json records it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CreatedKeyring {
    /// Its name, random.
    pub name: String,
    /// The kernel's serial number.
    pub serial: i32,
    /// The user id of its owner, as seen from the user namespace where it was made.
    pub owner: u32,
    /// Whether it was created in the runtime's user namespace although the container has another
    /// one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub outside: bool,
}

readable! { CreatedKeyring { name = "name", serial = "serial", owner = "owner", outside = "outside" } }

/// A random name.
///
/// # Errors
/// The kernel gives no random bytes.
pub(crate) fn new_name() -> Result<String> {
    let random = u64::from_ne_bytes(process::random::<8>()?);
    Ok(format!("_ses.{random:016x}"))
}

/// Replaces the caller's session keyring by a new one, which its user may search; `None` if the
/// kernel has no keyrings.
///
/// # Errors
/// The kernel refuses: the quota of keys is used up, or a seccomp filter.
pub(crate) fn make(name: &str) -> Result<Option<CreatedKeyring>> {
    const USER_SEARCH: u32 = 0x0008_0000;
    let Some(serial) = join_named(name)? else { return Ok(None) };
    let key = keys::describe_key(serial)?;
    keys::set_key_permissions(serial, key.permissions | USER_SEARCH)?;
    Ok(Some(CreatedKeyring { name: name.to_owned(), serial, owner: key.owner, outside: false }))
}

/// Joins the session keyring of a running container. If no process holds that keyring any more, the
/// kernel has removed it: then a new one is created, under another name.
///
/// # Errors
/// Another keyring has its name.
pub(crate) fn join(made: &CreatedKeyring) -> Result<()> {
    let Some(serial) = join_named(&made.name)? else { return Ok(()) };
    let found = keys::describe_key(serial)?;
    if (serial, found.owner) == (made.serial, made.owner) {
        return Ok(());
    }
    if is_gone(keys::describe_key(made.serial)) {
        return make(&new_name()?).map(drop);
    }
    let text = format!(
        "the session keyring {:?} is key {serial} of user {}, not the container's key {} of user {}",
        made.name, found.owner, made.serial, made.owner
    );
    Err(Error::system(text).hint("a process with the container's user id has replaced it: start the container anew"))
}

fn is_gone(key: crate::sys::Result<Key>) -> bool {
    key.is_err_and(|e| matches!(e.errno().0, libc::ENOKEY | libc::EKEYREVOKED | libc::EKEYEXPIRED))
}

fn join_named(name: &str) -> Result<Option<i32>> {
    let name = CString::new(name).map_err(|_| Error::internal("the name of a keyring with a NUL byte"))?;
    match keys::join_session_keyring(&name) {
        Ok(serial) => Ok(Some(serial)),
        // A kernel without keyrings has nothing to separate.
        Err(e) if e.is(libc::ENOSYS) => Ok(None),
        Err(e) => Err(Error::from(e).hint("--no-new-keyring keeps the caller's")),
    }
}
