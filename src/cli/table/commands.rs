//! The commands.

use super::{Command, Count, Order, flags};

/// The commands as an enum, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Checkpoint,
    Create,
    Delete,
    Events,
    Exec,
    Features,
    Kill,
    List,
    Mounts,
    Pause,
    Ps,
    Restore,
    Resume,
    Run,
    Spec,
    Start,
    State,
    Update,
}

/// The names of all commands, sorted.
pub(crate) const WORDS: [(&str, Name); 18] = [
    ("checkpoint", Name::Checkpoint),
    ("create", Name::Create),
    ("delete", Name::Delete),
    ("events", Name::Events),
    ("exec", Name::Exec),
    ("features", Name::Features),
    ("kill", Name::Kill),
    ("list", Name::List),
    ("mounts", Name::Mounts),
    ("pause", Name::Pause),
    ("ps", Name::Ps),
    ("restore", Name::Restore),
    ("resume", Name::Resume),
    ("run", Name::Run),
    ("spec", Name::Spec),
    ("start", Name::Start),
    ("state", Name::State),
    ("update", Name::Update),
];

/// A command with the defaults of most commands.
const fn command(name: Name, word: &'static str, summary: &'static str) -> Command {
    Command {
        name,
        word,
        summary,
        operands: "ID",
        count: Count::Exactly(1),
        order: Order::Anywhere,
        about: "",
        examples: "",
        flags: &[],
    }
}

impl Name {
    /// The row of the command table.
    #[inline(never)]
    pub(crate) const fn command(self) -> Command {
        match self {
            Name::Checkpoint => Command {
                about: "Saves the processes of a running container to image files with CRIU and ends them, unless \
                        they are to run on.\n\
                        docs/checkpoint.md says what is in the images.",
                examples: "checkpoint --image-path /var/tmp/web web # save the container web",
                flags: &flags::CHECKPOINT,
                ..command(self, "checkpoint", "save a running container to image files")
            },
            Name::Create => Command {
                about: "Makes a container from a bundle: a directory with a config.json and a root filesystem. Its \
                        program waits for start.\n\
                        ID is the container's name: letters, digits and _ + . - only.",
                examples: "create --bundle /srv/web web # make the container web\n\
                           start web # let its program run",
                flags: &flags::CREATE,
                ..command(self, "create", "make a container whose program waits for start")
            },
            Name::Delete => Command {
                about: "Removes what a stopped container has left: cgroups, state, and whatever else it holds.",
                examples: "delete web # remove the stopped container web\n\
                           delete --force web # whatever state it is in, even half made",
                flags: &flags::DELETE,
                ..command(self, "delete", "remove a stopped container")
            },
            Name::Events => Command {
                about: "Prints what a container uses, one line of JSON each time, and when it runs out of memory.",
                examples: "events --stats web # print statistics once",
                flags: &flags::EVENTS,
                ..command(self, "events", "print a container's statistics and out-of-memory events")
            },
            Name::Exec => Command {
                operands: "ID COMMAND [ARGS...]",
                count: Count::AtLeast(1),
                order: Order::UntilId,
                about: "Runs one more process in a running container. Flags stand before ID: what follows it is the \
                        command.\n\
                        The process is like the container's own but for what flags change; with --process it is \
                        what the file says.\n\
                        With --tools it sees, alone, a busybox in /.orlop-tools, and COMMAND may be left out.",
                examples: "exec -t web sh # a shell in the container web\n\
                           exec -u 1000:1000 -e LANG=C web ls -l # as another user\n\
                           exec -t --tools web # a shell where the image has none",
                flags: &flags::EXEC,
                ..command(self, "exec", "run one more process in a container")
            },
            Name::Features => Command {
                operands: "",
                count: Count::Exactly(0),
                about: "Prints what this runtime can do, as JSON in the form of the OCI runtime specification.",
                ..command(self, "features", "print what this runtime can do")
            },
            Name::Kill => Command {
                operands: "ID [SIGNAL]",
                count: Count::Between(1, 2),
                order: Order::KnownOnly,
                about: "Sends a signal to the first process of a container. SIGNAL is a number or a name (TERM, \
                        SIGTERM, RTMIN+3), TERM if it is left out.",
                examples: "kill web KILL # end the container web\n\
                           kill --all web 15 # ask all of its processes",
                flags: &flags::KILL,
                ..command(self, "kill", "send a signal to a container")
            },
            Name::List => Command {
                operands: "",
                count: Count::Exactly(0),
                about: "Lists the containers below the root directory.",
                examples: "list # a table\n\
                           list --format json # for programs\n\
                           list --quiet # ids alone",
                flags: &flags::LIST,
                ..command(self, "list", "list containers")
            },
            Name::Mounts => Command {
                operands: "add|remove ID FILE",
                count: Count::Exactly(3),
                about: "Mounts in a container without a restart, or unmounts again what was mounted so. FILE is a JSON \
                        array in the form of config.json's mounts, or - for stdin.\n\
                        For remove, destinations count alone. The mounts of the config and its masks stay.",
                examples: "mounts add web volumes.json # all of them, or none\n\
                           mounts remove web volumes.json # the last one first",
                ..command(self, "mounts", "add mounts to a container, or remove them")
            },
            Name::Pause => Command {
                about: "Freezes every process of a container until resume.",
                ..command(self, "pause", "freeze a container")
            },
            Name::Ps => Command {
                operands: "ID [PS OPTIONS]",
                count: Count::AtLeast(1),
                order: Order::UntilId,
                about: "Lists the processes of a container. What follows ID goes to ps(1), whose output must have a \
                        column PID.",
                examples: "ps web # as ps -ef shows them\n\
                           ps --format json web # process ids alone, as JSON",
                flags: &flags::PS,
                ..command(self, "ps", "list the processes of a container")
            },
            Name::Restore => Command {
                about: "Makes a container from a bundle and the images that checkpoint wrote, with CRIU.\n\
                        docs/checkpoint.md says what comes from the bundle and what from the images.",
                examples: "restore --detach --image-path /var/tmp/web web # bring the container web back",
                flags: &flags::RESTORE,
                ..command(self, "restore", "bring a container back from image files")
            },
            Name::Resume => Command {
                about: "Lets the processes of a paused container go on.",
                ..command(self, "resume", "let a paused container go on")
            },
            Name::Run => Command {
                about: "Makes a container from a bundle, starts it, waits for its end and removes it; signals go to \
                        the container, and its exit status is ours.",
                examples: "run --bundle /srv/web web # run the container web\n\
                           run --detach web # in the background, from the current directory",
                flags: &flags::RUN,
                ..command(self, "run", "make a container, run it to its end and remove it")
            },
            Name::Spec => Command {
                operands: "",
                count: Count::Exactly(0),
                about: "Writes a config.json to begin with: a shell in a root filesystem called rootfs, with few \
                        rights.\n\
                        With --rootless it has a user namespace in which the caller is root.\n\
                        With --detach it has no terminal, and a program that sleeps, for `exec`.",
                examples: "spec --bundle /srv/web # write /srv/web/config.json\n\
                           spec --detach && orlop run --detach box # a container to look into",
                flags: &flags::SPEC,
                ..command(self, "spec", "write a config.json to begin with")
            },
            Name::Start => Command {
                about: "Lets the program of a created container run.",
                ..command(self, "start", "let the program of a created container run")
            },
            Name::State => Command {
                about: "Prints the state of a container as JSON in the form of the OCI runtime specification.",
                ..command(self, "state", "print the state of a container")
            },
            Name::Update => Command {
                about: "Changes the resources of a container. A file has the form of config.json's linux.resources; \
                        what it leaves out stays as it is.",
                examples: "update --memory 512M --pids-limit 100 web # from flags\n\
                           update --resources - web # from JSON on stdin",
                flags: &flags::UPDATE,
                ..command(self, "update", "change the resources of a container")
            },
        }
    }
}
