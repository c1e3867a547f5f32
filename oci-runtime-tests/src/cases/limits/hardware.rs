//! Limits of single devices that not every machine has.

use super::*;
use std::path::PathBuf;

/// A disk whose scheduler deals out time by weights, as `major:minor`.
fn weighed_disk() -> Result<(u64, u64)> {
    for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        if let (true, Some((major, minor))) = (file("queue/scheduler").contains("[bfq]"), file("dev").trim().split_once(':')) {
            return Ok((major.parse()?, minor.parse()?));
        }
    }
    skip("no disk of this machine has the scheduler that knows weights")
}

cases! {
    /// A weight for one disk, read from outside in the container's group.
    ["blkio.weight-devices"]
    fn the_weight_of_a_disk_is_set(t) {
        t.needs_root()?;
        let v1 = t.controller_is_v1("blkio")?;
        let (major, minor) = weighed_disk()?;
        let rule = json!([{"major": major, "minor": minor, "weight": 300}]);
        let c = t.bundle()?.set("/linux/resources/blockIO/weightDevice", rule).does(&["wait"]).live()?;
        let dir = c.cgroup_dir(v1.then_some("blkio"))?;
        let names = ["blkio.bfq.weight_device", "blkio.weight_device", "io.bfq.weight"];
        let text: String = names.iter().filter_map(|name| std::fs::read_to_string(dir.join(name)).ok()).collect();
        contains("weights", &text, &format!("{major}:{minor} 300"))?;
    }

    /// The handles and objects of the first device for remote memory access, read from outside in the container's group.
    ["rdma.limits"]
    fn the_limits_of_an_rdma_device_are_set(t) {
        t.needs_root()?;
        t.needs_version(1)?;
        let v1 = t.controller_is_v1("rdma")?;
        let devices = std::fs::read_dir("/sys/class/infiniband").into_iter().flatten().flatten();
        let Some(path) = devices.map(|entry| entry.path()).min() else { return skip("this machine has no such device") };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let limits = json!({&name: {"hcaHandles": 3, "hcaObjects": 1000}});
        let c = t.bundle()?.set("/linux/resources/rdma", limits).does(&["wait"]).live()?;
        let file: PathBuf = c.cgroup_dir(v1.then_some("rdma"))?.join("rdma.max");
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        contains("rdma.max", &text, &format!("{name} hca_handle=3 hca_object=1000"))?;
    }
}
