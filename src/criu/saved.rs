//! Reading CRIU's images: the mounts and memory of a checkpoint. An image begins with two magic
//! numbers; then messages follow, each after its length.

use super::message::{Field, fields, number};
use crate::error::{Context, Error, IoContext, Result};
use crate::sys::{file, memory};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A mount in the images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SavedMount {
    id: u64,
    parent: u64,
    /// The mount point in the container.
    pub point: String,
    /// MS_* flags (`mount(2)`).
    pub flags: u64,
    /// The device of the filesystem and the path of the mount's root in it.
    root: (u64, Vec<u8>),
    is_external: bool,
}

/// The mounts in the images in `directory`, from the mount namespace of the root process. Of
/// stacked mounts only the topmost is included.
///
/// # Errors
/// An image is missing or damaged, or different mounts are stacked on an external one.
pub(crate) fn mounts(directory: &Path) -> Result<Vec<SavedMount>> {
    let first = |name: &str, field: u64| -> Result<u64> {
        let image = read(&directory.join(name))?;
        let found = entries(&image).and_then(|list| number(list.first().ok_or_else(damaged)?, field));
        found.and_then(|number| number.ok_or_else(damaged)).with_context(|| format!("{:?}", directory.join(name)))
    };
    // Field 1 of pstree.img is the pid, field 9 of ids-PID.img the mount namespace.
    let pid = first("pstree.img", 1)?;
    let namespace = first(&format!("ids-{pid}.img"), 9)?;
    let path = directory.join(format!("mountpoints-{namespace}.img"));
    let image = read(&path)?;
    let list = entries(&image).and_then(|list| list.into_iter().map(mount).collect::<Result<Vec<_>>>());
    let list = list.with_context(|| format!("{path:?}"))?;
    // CRIU identifies external mounts by the mount point alone, and would bind one of them twice.
    if let Some(one) = confused(&list) {
        return Err(Error::state(format!("two mounts at {} cannot be restored", one.point)));
    }
    let mut parents: Vec<(u64, &str)> = list.iter().map(|on| (on.parent, on.point.as_str())).collect();
    parents.sort_unstable();
    let covered = |mount: &SavedMount| parents.binary_search(&(mount.id, mount.point.as_str())).is_ok();
    Ok(list.iter().filter(|mount| !covered(mount)).cloned().collect())
}

/// An external mount at the mount point of another one. It sorts, since an image may have a million mounts.
fn confused(list: &[SavedMount]) -> Option<&SavedMount> {
    let mut order: Vec<&SavedMount> = list.iter().collect();
    // External mounts are the first ones of their mount point.
    order.sort_unstable_by_key(|mount| (mount.point.as_str(), !mount.is_external));
    let mut first = *order.first()?;
    for mount in order {
        if mount.point != first.point {
            first = mount;
        } else if first.is_external && mount.root != first.root {
            return Some(first);
        }
    }
    None
}

/// Compares the lengths of the pages files with the pagemap images: CRIU would loop forever at the
/// end of a truncated file, inside the restored process. Only processes in pstree.img are checked,
/// since the directory may contain images of an earlier dump. Pages in parent images are checked
/// through the link `parent`.
///
/// # Errors
/// A file is truncated, missing or damaged.
pub(crate) fn check_pages(directory: &Path) -> Result<()> {
    const MOST_PARENTS: usize = 128;
    let path = directory.join("pstree.img");
    let tree = read(&path)?;
    let pid = |entry: &[u8]| number(entry, 1)?.ok_or_else(damaged);
    let pids = entries(&tree).and_then(|list| list.into_iter().map(pid).collect::<Result<Vec<u64>>>());
    let pids = pids.with_context(|| format!("{path:?}"))?;
    let mut directory = directory.to_owned();
    for _ in 0..MOST_PARENTS {
        for map in pids.iter().map(|pid| directory.join(format!("pagemap-{pid}.img"))) {
            // A zombie has no pagemap.
            if map.exists() {
                check_pages_of(&directory, &map)?;
            }
        }
        directory.push("parent");
        if !directory.is_dir() {
            return Ok(());
        }
    }
    Err(Error::system(format!("{directory:?}: more than {MOST_PARENTS} earlier dumps")))
}

/// Checks the pages file of the pagemap image `map`. Its first message has the number of the pages
/// file (field 1), the others are memory areas.
fn check_pages_of(directory: &Path, map: &Path) -> Result<()> {
    let image = read(map)?;
    let wanted = || -> Result<(u64, u64)> {
        let list = entries(&image)?;
        let (head, areas) = list.split_first().ok_or_else(damaged)?;
        let number = number(head, 1)?.ok_or_else(damaged)?;
        let pages = areas.iter().try_fold(0u64, |sum, area| Ok::<_, Error>(sum.saturating_add(pages_in(area)?)))?;
        Ok((number, pages.saturating_mul(memory::page_size() as u64)))
    };
    let (number, wanted) = wanted().with_context(|| format!("{map:?}"))?;
    let path = directory.join(format!("pages-{number}.img"));
    let length = match std::fs::metadata(&path) {
        Ok(file) => file.len(),
        Err(_) if wanted == 0 => 0,
        Err(e) => return Err(e).io_context(|| format!("stat({path:?})")),
    };
    if length < wanted {
        let text = format!("{path:?} is truncated: it has {length} bytes, {map:?} refers to {wanted}");
        return Err(Error::system(text).hint("copy the images again, or create another checkpoint"));
    }
    Ok(())
}

/// The number of pages of an area that are in this dump's pages file, without those of parent
/// images and lazy pages.
fn pages_in(area: &[u8]) -> Result<u64> {
    const PRESENT: u64 = 4;
    let (mut pages, mut many, mut in_parent, mut flags) = (None, None, false, None);
    for field in fields(area)? {
        match field {
            (2, Field::Number(n)) => pages = Some(n),
            (3, Field::Number(n)) => in_parent = n != 0,
            (4, Field::Number(n)) => flags = Some(n),
            // The count as a 64-bit number.
            (5, Field::Number(n)) => many = Some(n),
            _ => {}
        }
    }
    let is_here = flags.map_or(!in_parent, |flags| flags & PRESENT != 0);
    Ok(if is_here { many.or(pages).unwrap_or(0) } else { 0 })
}

fn mount(entry: &[u8]) -> Result<SavedMount> {
    let mut mount = SavedMount::default();
    for field in fields(entry)? {
        match field {
            (2, Field::Number(n)) => mount.id = n,
            (4, Field::Number(n)) => mount.parent = n,
            (5, Field::Number(n)) => mount.flags = n,
            (3, Field::Number(n)) => mount.root.0 = n,
            (6, Field::Bytes(root)) => mount.root.1 = root.to_vec(),
            (13, Field::Number(n)) => mount.is_external |= n != 0,
            (18, Field::Bytes(_)) => mount.is_external = true,
            (7, Field::Bytes(path)) => mount.point = String::from_utf8_lossy(path).into_owned(),
            _ => {}
        }
    }
    Ok(mount)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let fd = file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_NONBLOCK)
        .hint_on(libc::ENOENT, "--image-path must be a directory that a successful checkpoint wrote")?;
    Ok(file::read_regular(fd, 64 << 20)?)
}

/// The messages of an image.
fn entries(image: &[u8]) -> Result<Vec<&[u8]>> {
    let mut rest = image.get(8..).ok_or_else(damaged)?;
    let mut list = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (entry, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
        list.push(entry);
        rest = after;
    }
    Ok(list)
}

fn damaged() -> Error {
    Error::system("the image is truncated or damaged")
}

#[cfg(test)]
mod tests {
    use super::super::message::CriuMessage;
    use super::*;

    fn image(messages: &[CriuMessage]) -> Vec<u8> {
        let mut bytes = vec![7; 8];
        for message in messages {
            bytes.extend((message.0.len() as u32).to_le_bytes());
            bytes.extend(&message.0);
        }
        bytes
    }

    fn numbers(list: &[(u64, u64)]) -> CriuMessage {
        let mut message = CriuMessage::default();
        list.iter().for_each(|(field, value)| message.number(*field, *value));
        message
    }

    #[test]
    fn a_file_of_memory_that_is_cut_short_is_found_and_one_of_another_dump_is_none() {
        let directory = std::env::temp_dir().join(format!("orlop-pages-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("parent")).unwrap();
        let write =
            |name: &str, messages: &[CriuMessage]| std::fs::write(directory.join(name), image(messages)).unwrap();
        let pages = |name: &str, many: usize| {
            std::fs::write(directory.join(name), vec![1; many * memory::page_size()]).unwrap();
        };
        // PE_PRESENT, PE_LAZY and PE_PARENT are 4, 2 and 1; without flags a third field tells.
        let area = |many: u64, flags: u64| numbers(&[(1, 4096), (2, many), (4, flags)]);
        write("pstree.img", &[numbers(&[(1, 1)]), numbers(&[(1, 9)])]);
        let old = numbers(&[(1, 4096), (2, 8), (3, 1)]);
        write("pagemap-1.img", &[numbers(&[(1, 3)]), area(2, 4), area(5, 1), area(1, 6), old, area(7, 2)]);
        write("pagemap-2.img", &[numbers(&[(1, 4)]), area(1000, 4)]);
        write("parent/pagemap-1.img", &[numbers(&[(1, 1)]), numbers(&[(1, 0), (2, 13)])]);
        pages("pages-3.img", 3);
        pages("parent/pages-1.img", 13);
        check_pages(&directory).unwrap();
        pages("pages-3.img", 2);
        let error = check_pages(&directory).unwrap_err().to_string();
        assert!(error.contains("pages-3.img\" is truncated: it has "), "{error}");
        pages("pages-3.img", 3);
        pages("parent/pages-1.img", 12);
        assert!(check_pages(&directory).unwrap_err().to_string().contains("parent/pages-1.img"));
        std::fs::remove_file(directory.join("parent/pages-1.img")).unwrap();
        assert!(check_pages(&directory).unwrap_err().to_string().contains("ENOENT"));
        std::fs::remove_dir_all(directory.join("parent")).unwrap();
        write("pagemap-9.img", &[]);
        assert!(check_pages(&directory).unwrap_err().to_string().contains("truncated or damaged"));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_uppermost_mount_of_each_place_is_found() {
        let directory = std::env::temp_dir().join(format!("orlop-saved-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let write =
            |name: &str, messages: &[CriuMessage]| std::fs::write(directory.join(name), image(messages)).unwrap();
        let mount = |id: u64, parent: u64, flags: u64, point: &str| {
            let mut message = numbers(&[(2, id), (4, parent), (5, flags)]);
            message.bytes(7, point);
            message
        };
        write("pstree.img", &[numbers(&[(1, 1)]), numbers(&[(1, 9)])]);
        write("ids-1.img", &[numbers(&[(1, 4), (9, 13)])]);
        write(
            "mountpoints-13.img",
            &[mount(5, 4, 3, "/proc/keys"), mount(4, 1, 0, "/proc"), mount(6, 5, 1, "/proc/keys")],
        );
        let found: Vec<_> = mounts(&directory).unwrap().into_iter().map(|m| (m.point, m.flags)).collect();
        assert_eq!(found, [("/proc".into(), 0), ("/proc/keys".into(), 1)]);
        let external = |id: u64, root: &str| {
            let mut message = mount(id, 4, 0, "/x");
            message.bytes(6, root);
            message.number(13, 1);
            message
        };
        write("mountpoints-13.img", &[mount(4, 1, 0, "/"), external(5, "/a"), external(7, "/a")]);
        assert_eq!(mounts(&directory).unwrap().len(), 3);
        write("mountpoints-13.img", &[mount(4, 1, 0, "/"), mount(6, 4, 0, "/x"), external(5, "/a")]);
        assert!(mounts(&directory).unwrap_err().to_string().contains("two mounts at /x cannot be restored"));
        // Each mount compared with each would be as many comparisons as a minute has nanoseconds.
        write("mountpoints-13.img", &vec![mount(5, 4, 0, "/x"); 1 << 18]);
        assert_eq!(mounts(&directory).unwrap().len(), 1 << 18);
        std::fs::write(directory.join("mountpoints-13.img"), &image(&[mount(5, 4, 3, "/x")])[..14]).unwrap();
        assert!(mounts(&directory).unwrap_err().to_string().contains("truncated"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
