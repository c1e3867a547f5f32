//! The write of a value to a file of a cgroup, as data.

use std::borrow::Cow;

/// A value for a file of the container's cgroup, and the treatment of errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// The controller that the file belongs to.
    pub controller: Cow<'static, str>,
    /// The name of the file.
    pub file: Cow<'static, str>,
    /// The value.
    pub value: String,
    /// The alternative file and value for a kernel that lacks the first file.
    pub instead: Option<(&'static str, String)>,
    /// The field of the config, below `linux.resources`.
    pub field: Cow<'static, str>,
    /// Whether a missing file is ignored.
    pub optional: bool,
    /// The phase in which it is written.
    pub moment: Moment,
    /// Consecutive writes of one group depend on each other, in an order that the old values
    /// determine: a write that fails with EINVAL is tried again after another one has succeeded.
    pub retry_group: Option<&'static str>,
}

/// The phase of the launch in which a limit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the container's first process joins.
    Early,
    /// At the end of the launch, which may need more than the limit allows.
    Late,
}

impl Write {
    /// A write before the first process joins.
    pub(crate) fn new(
        field: &'static str,
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: String,
    ) -> Write {
        Write {
            controller: controller.into(),
            file: file.into(),
            value,
            instead: None,
            field: field.into(),
            optional: false,
            moment: Moment::Early,
            retry_group: None,
        }
    }

    /// Postpones the write to the end of the launch.
    pub(crate) fn late(mut self) -> Write {
        self.moment = Moment::Late;
        self
    }

    /// Adds an alternative file for a kernel that lacks the first one.
    pub(crate) fn or(mut self, file: &'static str) -> Write {
        self.instead = Some((file, self.value.clone()));
        self
    }

    /// Ignores a missing file.
    pub(crate) fn optional(mut self) -> Write {
        self.optional = true;
        self
    }

    /// Adds the write to the retry group of this name.
    pub(crate) fn in_retry_group(mut self, group: &'static str) -> Write {
        self.retry_group = Some(group);
        self
    }
}
