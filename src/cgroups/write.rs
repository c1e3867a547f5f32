//! One value for one file of a cgroup, as data.

use std::borrow::Cow;

/// What is to be written to a file of the container's cgroup, and how a refusal is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// The controller that the file belongs to.
    pub controller: Cow<'static, str>,
    /// The file's name.
    pub file: Cow<'static, str>,
    /// What to write.
    pub value: String,
    /// The file and value where the kernel lacks the first file.
    pub instead: Option<(&'static str, String)>,
    /// The field that it comes from, below `linux.resources`.
    pub field: Cow<'static, str>,
    /// Whether a kernel without the file has nothing to limit either.
    pub optional: bool,
    /// When it is written.
    pub moment: Moment,
    /// Writes of one bond that follow each other depend on each other in an order that the old values decide: those
    /// refused with EINVAL are tried again when another has succeeded.
    pub retry_group: Option<&'static str>,
}

/// When a limit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the container's first process joins.
    Early,
    /// When the container is built: building it takes more than its program may use.
    Late,
}

impl Write {
    /// A write before the container is built.
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

    /// Written when the container is built.
    pub(crate) fn late(mut self) -> Write {
        self.moment = Moment::Late;
        self
    }

    /// Written to `file` where the kernel lacks the first.
    pub(crate) fn or(mut self, file: &'static str) -> Write {
        self.instead = Some((file, self.value.clone()));
        self
    }

    /// Passed over where the kernel lacks the file.
    pub(crate) fn optional(mut self) -> Write {
        self.optional = true;
        self
    }

    /// Bound to its neighbours of the same name.
    pub(crate) fn in_retry_group(mut self, group: &'static str) -> Write {
        self.retry_group = Some(group);
        self
    }
}
