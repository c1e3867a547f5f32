//! The operating system and processor that an image is for.

use anyhow::{Result, bail, ensure};
use oci_spec::image::Platform as Described;
use std::fmt;

/// A platform as image indexes name it: `linux/arm/v7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    /// A revision of the architecture; `None` takes the newest one that this machine may run.
    pub(crate) variant: Option<String>,
}

impl Platform {
    /// This machine's.
    pub(crate) fn host() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Platform { os: "linux".into(), architecture: architecture.into(), variant: None }
    }

    /// How well a platform of an index fits: 0 not at all, more is better.
    pub(crate) fn fits(&self, described: Option<&Described>) -> u8 {
        let Some(described) = described else { return 0 };
        if described.os().to_string() != self.os || described.architecture().to_string() != self.architecture {
            return 0;
        }
        match (&self.variant, described.variant()) {
            (wanted, found) if wanted.as_ref() == found.as_ref() => 3,
            (Some(_), None) => 1,
            // The baseline of each architecture.
            (None, Some(found)) if matches!(found.as_str(), "v8" | "v1" | "v7") => 2,
            (None, Some(_)) => 1,
            _ => 0,
        }
    }
}

impl std::str::FromStr for Platform {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Platform> {
        let parts: Vec<&str> = text.split('/').collect();
        ensure!(parts.iter().all(|part| !part.is_empty()), "platform {text:?}: a part is empty");
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => bail!("platform {text:?} is not of the form OS/ARCHITECTURE[/VARIANT]"),
        };
        Ok(Platform { os: os.into(), architecture: architecture.into(), variant })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}
