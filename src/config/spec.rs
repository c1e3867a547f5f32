//! The whole of config.json (config.md).

use std::borrow::Cow;

use super::linux::Linux;
use super::process::Process;
use crate::json::objects;

objects! {
    /// A container's configuration: the root of config.json.
    Spec<'a> {
        /// The version of the runtime specification that the document is written for, as SemVer 2.0.0.
        oci_version: Cow<'a, str> = "ociVersion",
        process: Process<'a> = "process",
        root: Root<'a> = "root",
        hostname: Cow<'a, str> = "hostname",
        domainname: Cow<'a, str> = "domainname",
        mounts: Vec<Mount<'a>> = "mounts",
        hooks: Hooks<'a> = "hooks",
        annotations: Vec<(Cow<'a, str>, Cow<'a, str>)> = "annotations",
        linux: Linux<'a> = "linux",
    }

    /// The root filesystem (config.md, "Root").
    Root<'a> {
        /// An absolute path, or one relative to the bundle.
        path: Cow<'a, str> = "path",
        readonly: bool = "readonly",
    }

    /// One entry of `mounts` (config.md, "Mounts").
    Mount<'a> {
        destination: Cow<'a, str> = "destination",
        type_: Cow<'a, str> = "type",
        /// For a bind mount: an absolute path, or one relative to the bundle.
        source: Cow<'a, str> = "source",
        options: Vec<Cow<'a, str>> = "options",
        uid_mappings: Vec<IdMapping> = "uidMappings",
        gid_mappings: Vec<IdMapping> = "gidMappings",
    }

    /// A range of ids (config-linux.md, "User namespace mappings").
    IdMapping {
        container_id: u32 = "containerID",
        host_id: u32 = "hostID",
        /// The number of ids.
        size: u32 = "size",
    }

    /// Lists of programs to run at points of the container's lifecycle (config.md, "POSIX-platform
    /// Hooks").
    Hooks<'a> {
        prestart: Vec<Hook<'a>> = "prestart",
        create_runtime: Vec<Hook<'a>> = "createRuntime",
        create_container: Vec<Hook<'a>> = "createContainer",
        start_container: Vec<Hook<'a>> = "startContainer",
        poststart: Vec<Hook<'a>> = "poststart",
        poststop: Vec<Hook<'a>> = "poststop",
    }

    /// A program to run as a hook.
    Hook<'a> {
        path: Cow<'a, str> = "path",
        args: Vec<Cow<'a, str>> = "args",
        env: Vec<Cow<'a, str>> = "env",
        /// Seconds.
        timeout: i64 = "timeout",
    }
}

impl Spec<'_> {
    /// The value of an annotation.
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.iter().flatten().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }
}
