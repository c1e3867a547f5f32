//! The user of an image, by the accounts that are in its root.

use anyhow::{Context as _, Result};

/// Ids of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// The home directory, if the user has an account.
    pub(crate) home: Option<String>,
}

/// An account of /etc/passwd.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// `USER`, `UID`, `USER:GROUP` and so on, as the image configuration has it; an empty text is root.
///
/// # Errors
/// A name is not among the accounts of the root.
pub(crate) fn resolve(text: &str, read: &dyn Fn(&str) -> Result<Option<Vec<u8>>>) -> Result<Ids> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let user = if user.is_empty() { "0" } else { user };
    let passwd = accounts(read, "etc/passwd")?;
    let groups = accounts(read, "etc/group")?;
    let account = passwd.lines().filter_map(account).find(|found| found.name == user || found.uid.to_string() == user);
    let uid = match (&account, user.parse()) {
        (Some(found), _) => found.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(missing("user", user, "passwd")),
    };
    let mut ids = Ids { uid, gid: account.as_ref().map_or(0, |found| found.gid), ..Ids::default() };
    ids.home = account.as_ref().map(|found| found.home.to_owned()).filter(|home| home.starts_with('/'));
    let rows = || groups.lines().filter_map(row);
    if let Some(group) = group.filter(|group| !group.is_empty()) {
        let found = rows().find(|(name, gid, _)| *name == group || gid.to_string() == group).map(|(_, gid, _)| gid);
        ids.gid = found.or(group.parse().ok()).with_context(|| missing("group", group, "group"))?;
    } else if let Some(account) = &account {
        let is_member = |members: &str| members.split(',').any(|member| member == account.name);
        ids.groups =
            rows().filter(|(_, gid, members)| *gid != ids.gid && is_member(members)).map(|row| row.1).collect();
    }
    Ok(ids)
}

fn missing(kind: &str, name: &str, file: &str) -> anyhow::Error {
    anyhow::anyhow!("{kind} {name:?}: the image's /etc/{file} has no such {kind}")
}

fn accounts(read: &dyn Fn(&str) -> Result<Option<Vec<u8>>>, path: &str) -> Result<String> {
    let bytes = read(path).with_context(|| format!("the image's /{path}"))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn account(line: &str) -> Option<Account<'_>> {
    let mut fields = line.split(':');
    let (name, uid, gid) = (fields.next()?, fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
}

/// Name, id and members of a group.
fn row(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    Some((fields.next()?, fields.nth(1)?.parse().ok()?, fields.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_looked_up_in_the_image() {
        let at = std::env::temp_dir().join(format!("orlop-image-user-{}", std::process::id()));
        std::fs::create_dir_all(at.join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/sh\nbroken\n";
        std::fs::write(at.join("etc/passwd"), passwd).unwrap();
        std::fs::write(at.join("etc/group"), "web:x:34:\nlog:x:4:web,mail\nmail:x:8:\n").unwrap();
        let read = |path: &str| Ok(std::fs::read(at.join(path)).ok());
        let ids = |text| resolve(text, &read).map(|ids| (ids.uid, ids.gid, ids.groups));
        assert_eq!(ids("").unwrap(), (0, 0, vec![]));
        assert_eq!(ids("web").unwrap(), (33, 34, vec![4]));
        assert_eq!(ids("33").unwrap(), (33, 34, vec![4]));
        assert_eq!(ids("web:mail").unwrap(), (33, 8, vec![]));
        assert_eq!(ids("1000:77").unwrap(), (1000, 77, vec![]));
        assert_eq!(ids("1000").unwrap(), (1000, 0, vec![]));
        for text in ["nobody", "web:none", "-1"] {
            assert!(ids(text).unwrap_err().to_string().contains("no such"), "{text}");
        }
        std::fs::remove_dir_all(&at).unwrap();
    }
}
