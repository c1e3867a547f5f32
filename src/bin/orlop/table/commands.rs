//! The commands.

use super::{Command, Count, Name, Order, flags};

/// One command; the rest of its fields as most commands have them.
const fn command(name: Name, word: &'static str, summary: &'static str) -> Command {
    Command {
        name,
        word,
        summary,
        operands: "ID",
        count: Count::Exactly(1),
        order: Order::Anywhere,
        about: &[],
        examples: &[],
        flags: &[],
    }
}

/// All of them, sorted.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        about: &[
            "Saves the processes of a running container to image files with CRIU and ends them, unless they are to run on.",
            "docs/checkpoint.md says what is in the images.",
        ],
        examples: &[("checkpoint --image-path /var/tmp/web web", "save the container web")],
        flags: flags::CHECKPOINT,
        ..command(Name::Checkpoint, "checkpoint", "save a running container to image files")
    },
    Command {
        about: &[
            "Makes a container from a bundle: a directory with a config.json and a root filesystem. Its program waits for start.",
            "ID is the container's name: letters, digits and _ + . - only.",
        ],
        examples: &[("create --bundle /srv/web web", "make the container web"), ("start web", "let its program run")],
        flags: flags::CREATE,
        ..command(Name::Create, "create", "make a container whose program waits for start")
    },
    Command {
        about: &["Removes what a stopped container has left: cgroups, state, and whatever else it holds."],
        examples: &[
            ("delete web", "remove the stopped container web"),
            ("delete --force web", "whatever state it is in, even half made"),
        ],
        flags: flags::DELETE,
        ..command(Name::Delete, "delete", "remove a stopped container")
    },
    Command {
        about: &["Prints what a container uses, one line of JSON each time, and when it runs out of memory."],
        examples: &[("events --stats web", "print statistics once")],
        flags: flags::EVENTS,
        ..command(Name::Events, "events", "print a container's statistics and out-of-memory events")
    },
    Command {
        operands: "ID COMMAND [ARGS...]",
        count: Count::AtLeast(1),
        order: Order::UntilId,
        about: &[
            "Runs one more process in a running container. Flags stand before ID: what follows it is the command.",
            "The process is like the container's own but for what flags change; with --process it is what the file says.",
        ],
        examples: &[
            ("exec -t web sh", "a shell in the container web"),
            ("exec -u 1000:1000 -e LANG=C web ls -l", "as another user"),
        ],
        flags: flags::EXEC,
        ..command(Name::Exec, "exec", "run one more process in a container")
    },
    Command {
        operands: "",
        count: Count::Exactly(0),
        about: &["Prints what this runtime can do, as JSON in the form of the OCI runtime specification."],
        ..command(Name::Features, "features", "print what this runtime can do")
    },
    Command {
        operands: "ID [SIGNAL]",
        count: Count::Between(1, 2),
        order: Order::KnownOnly,
        about: &[
            "Sends a signal to the first process of a container. SIGNAL is a number or a name (TERM, SIGTERM, RTMIN+3), TERM \
             if it is left out.",
        ],
        examples: &[("kill web KILL", "end the container web"), ("kill --all web 15", "ask all of its processes")],
        flags: flags::KILL,
        ..command(Name::Kill, "kill", "send a signal to a container")
    },
    Command {
        operands: "",
        count: Count::Exactly(0),
        about: &["Lists the containers below the root directory."],
        examples: &[("list", "a table"), ("list --format json", "for programs"), ("list --quiet", "ids alone")],
        flags: flags::LIST,
        ..command(Name::List, "list", "list containers")
    },
    Command {
        about: &["Freezes every process of a container until resume."],
        ..command(Name::Pause, "pause", "freeze a container")
    },
    Command {
        operands: "ID [PS OPTIONS]",
        count: Count::AtLeast(1),
        order: Order::UntilId,
        about: &[
            "Lists the processes of a container. What follows ID goes to ps(1), whose output must have a column PID.",
        ],
        examples: &[("ps web", "as ps -ef shows them"), ("ps --format json web", "process ids alone, as JSON")],
        flags: flags::PS,
        ..command(Name::Ps, "ps", "list the processes of a container")
    },
    Command {
        about: &[
            "Makes a container from a bundle and the images that checkpoint wrote, with CRIU.",
            "docs/checkpoint.md says what comes from the bundle and what from the images.",
        ],
        examples: &[("restore --detach --image-path /var/tmp/web web", "bring the container web back")],
        flags: flags::RESTORE,
        ..command(Name::Restore, "restore", "bring a container back from image files")
    },
    Command {
        about: &["Lets the processes of a paused container go on."],
        ..command(Name::Resume, "resume", "let a paused container go on")
    },
    Command {
        about: &[
            "Makes a container from a bundle, starts it, waits for its end and removes it; signals go to the container, and \
             its exit status is ours.",
        ],
        examples: &[
            ("run --bundle /srv/web web", "run the container web"),
            ("run --detach web", "in the background, from the current directory"),
        ],
        flags: flags::RUN,
        ..command(Name::Run, "run", "make a container, run it to its end and remove it")
    },
    Command {
        operands: "",
        count: Count::Exactly(0),
        about: &[
            "Writes a config.json to begin with: a shell in a root filesystem called rootfs, with few rights.",
            "With --rootless it has a user namespace in which the caller is root.",
        ],
        examples: &[("spec --bundle /srv/web", "write /srv/web/config.json")],
        flags: flags::SPEC,
        ..command(Name::Spec, "spec", "write a config.json to begin with")
    },
    Command {
        about: &["Lets the program of a created container run."],
        ..command(Name::Start, "start", "let the program of a created container run")
    },
    Command {
        about: &["Prints the state of a container as JSON in the form of the OCI runtime specification."],
        ..command(Name::State, "state", "print the state of a container")
    },
    Command {
        about: &[
            "Changes the resources of a container. A file has the form of config.json's linux.resources; what it leaves out \
             stays as it is.",
        ],
        examples: &[
            ("update --memory 512M --pids-limit 100 web", "from flags"),
            ("update --resources - web", "from JSON on stdin"),
        ],
        flags: flags::UPDATE,
        ..command(Name::Update, "update", "change the resources of a container")
    },
];
