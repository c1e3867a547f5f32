//! Writes tar archives in the PAX form, entry by entry as a test says.

/// An entry of an archive. Its fields are those of the header.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: String,
    kind: u8,
    mode: u32,
    uid: u32,
    gid: u32,
    time: (i64, u32),
    link: String,
    data: Vec<u8>,
    device: (u32, u32),
    records: Vec<(String, Vec<u8>)>,
}

fn entry(path: &str, kind: u8, mode: u32) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        time: (1_600_000_000, 0),
        link: String::new(),
        data: Vec::new(),
        device: (0, 0),
        records: Vec::new(),
    }
}

pub(crate) fn file(path: &str, data: impl Into<Vec<u8>>) -> Entry {
    Entry { data: data.into(), ..entry(path, b'0', 0o644) }
}

pub(crate) fn dir(path: &str) -> Entry {
    entry(&format!("{path}/"), b'5', 0o755)
}

pub(crate) fn symlink(path: &str, target: &str) -> Entry {
    Entry { link: target.into(), ..entry(path, b'2', 0o777) }
}

pub(crate) fn hard_link(path: &str, target: &str) -> Entry {
    Entry { link: target.into(), ..entry(path, b'1', 0o644) }
}

pub(crate) fn fifo(path: &str) -> Entry {
    entry(path, b'6', 0o600)
}

pub(crate) fn device(path: &str, major: u32, minor: u32) -> Entry {
    Entry { device: (major, minor), ..entry(path, b'3', 0o666) }
}

/// Hides a name of the layers below.
pub(crate) fn whiteout(path: &str) -> Entry {
    let (parent, name) = path.rsplit_once('/').map_or(("", path), |(parent, name)| (parent, name));
    let slash = if parent.is_empty() { "" } else { "/" };
    file(&format!("{parent}{slash}.wh.{name}"), "")
}

/// Hides everything that the layers below have in a directory.
pub(crate) fn opaque(path: &str) -> Entry {
    file(&format!("{path}/.wh..wh..opq"), "")
}

impl Entry {
    #[must_use]
    pub(crate) fn mode(self, mode: u32) -> Entry {
        Entry { mode, ..self }
    }

    #[must_use]
    pub(crate) fn owner(self, uid: u32, gid: u32) -> Entry {
        Entry { uid, gid, ..self }
    }

    #[must_use]
    pub(crate) fn time(self, seconds: i64, nanoseconds: u32) -> Entry {
        Entry { time: (seconds, nanoseconds), ..self }
    }

    /// Adds a record of the PAX header.
    #[must_use]
    pub(crate) fn record(mut self, key: &str, value: &[u8]) -> Entry {
        self.records.push((key.into(), value.into()));
        self
    }

    #[must_use]
    pub(crate) fn attribute(self, name: &str, value: &[u8]) -> Entry {
        self.record(&format!("SCHILY.xattr.{name}"), value)
    }

    /// Makes the file a sparse one (GNU form 1.0): `size` bytes, of which the data are at an offset.
    #[must_use]
    pub(crate) fn sparse(self, offset: u64, size: u64) -> Entry {
        let mut data = format!("1\n{offset}\n{}\n", self.data.len()).into_bytes();
        data.resize(512, 0);
        data.extend(&self.data);
        let name = self.path.clone();
        let sparse = Entry { data, ..self };
        let sparse = sparse.record("GNU.sparse.major", b"1").record("GNU.sparse.minor", b"0");
        sparse.record("GNU.sparse.name", name.as_bytes()).record("GNU.sparse.realsize", size.to_string().as_bytes())
    }

    fn append(&self, archive: &mut Vec<u8>) {
        let mut records = self.records.clone();
        let mut add = |key: &str, value: String| records.push((key.into(), value.into_bytes()));
        if self.path.len() > 100 {
            add("path", self.path.clone());
        }
        if self.link.len() > 100 {
            add("linkpath", self.link.clone());
        }
        for (key, id) in [("uid", self.uid), ("gid", self.gid)] {
            if id > 0o7_777_777 {
                add(key, id.to_string());
            }
        }
        if self.time.1 > 0 || self.time.0 < 0 {
            let fraction = if self.time.1 > 0 { format!(".{:09}", self.time.1) } else { String::new() };
            add("mtime", format!("{}{fraction}", self.time.0));
        }
        if !records.is_empty() {
            let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
            block(archive, &Entry { data, ..entry("pax", b'x', 0o644) });
        }
        block(archive, self);
    }
}

/// `LENGTH KEY=VALUE\n`, of which the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let digits = (rest + 1).to_string().len();
    let length = rest + (rest + digits).to_string().len();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn block(archive: &mut Vec<u8>, entry: &Entry) {
    let mut header = [0u8; 512];
    let mut put = |at: usize, length: usize, bytes: &[u8]| {
        let length = length.min(bytes.len());
        header[at..at + length].copy_from_slice(&bytes[..length]);
    };
    put(0, 100, entry.path.as_bytes());
    put(100, 8, format!("{:07o}", entry.mode).as_bytes());
    put(108, 8, format!("{:07o}", entry.uid.min(0o7_777_777)).as_bytes());
    put(116, 8, format!("{:07o}", entry.gid.min(0o7_777_777)).as_bytes());
    put(124, 12, format!("{:011o}", entry.data.len()).as_bytes());
    put(136, 12, format!("{:011o}", entry.time.0.max(0)).as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[entry.kind]);
    put(157, 100, entry.link.as_bytes());
    put(257, 8, b"ustar\x0000");
    put(329, 8, format!("{:07o}", entry.device.0).as_bytes());
    put(337, 8, format!("{:07o}", entry.device.1).as_bytes());
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.extend(header);
    archive.extend(&entry.data);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// The archive of the entries.
pub(crate) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut archive = Vec::new();
    entries.iter().for_each(|entry| entry.append(&mut archive));
    archive.resize(archive.len() + 1024, 0);
    archive
}
