//! The start operation.

use crate::bench::prelude::*;

cases! {
    /// The probe reports after `start`.
    ["start.program", "lifecycle.program-run"]
    fn start_runs_the_program(t) {
        let seen = t.bundle()?.does(&["report"]).observe()?;
        seen.value("report")?;
        equal("exit status", seen.status, Some(0))?;
    }

    /// `start` returns while the program still runs.
    ["start.program"]
    fn start_does_not_wait_for_the_end_of_the_program(t) {
        let c = t.bundle()?.does(&["wait"]).start()?;
        equal("status", c.status()?, "running")?;
    }

    /// The exit status of the program is that of the container process.
    ["start.program"]
    fn the_exit_status_of_the_program_is_that_of_the_container_process(t) {
        equal("exit status", t.bundle()?.does(&["exit 42"]).observe()?.status, Some(42))?;
    }

    /// `start` without arguments.
    ["start.no-id"]
    fn start_without_an_id_is_an_error(t) {
        t.runtime(&["start"])?.expect_failure("start")?;
    }

    /// `start` of an id that was never used.
    ["start.not-created"]
    fn start_of_a_container_that_does_not_exist_is_an_error(t) {
        t.runtime(&["start", "ort-there-is-no-such-container"])?.expect_failure("start")?;
    }

    /// A second `start` fails; the program runs on and is not run again.
    ["start.not-created"]
    fn start_of_a_running_container_is_an_error_without_effect(t) {
        let c = t.bundle()?.does(&["report", "wait"]).live()?;
        c.call("start", &[])?.expect_failure("start")?;
        equal("status", c.status()?, "running")?;
        equal("how often the program ran", c.seen_so_far()?.answers.iter().filter(|a| a["do"] == "report").count(), 1)?;
    }

    /// `start` of a container whose program has ended fails; the program is not run again.
    ["start.not-created"]
    fn start_of_a_stopped_container_is_an_error_without_effect(t) {
        let c = t.bundle()?.does(&["report"]).start()?;
        c.finish()?;
        c.call("start", &[])?.expect_failure("start")?;
        equal("status", c.status()?, "stopped")?;
        equal("how often the program ran", c.seen_so_far()?.answers.len(), 1)?;
    }

    /// `start` of a container that was killed before it was started.
    ["start.not-created"]
    fn start_of_a_container_that_was_killed_before_is_an_error(t) {
        let c = t.bundle()?.does(&["report"]).create()?;
        c.stop()?;
        c.call("start", &[])?.expect_failure("start")?;
        equal("what the program said", c.seen_so_far()?.text, "")?;
    }

    /// `start` of a container that was deleted.
    ["start.not-created"]
    fn start_of_a_deleted_container_is_an_error(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        c.delete()?;
        c.call("start", &[])?.expect_failure("start")?;
    }

    /// A config without `process`: `create` may refuse it, `start` must.
    ["start.no-process", "process.required"]
    fn start_without_a_process_in_the_config_is_an_error(t) {
        t.bundle()?.remove("/process").never_runs()?;
    }

    /// A config without `process` can be created, as the property is optional until `start`.
    ["process.required"]
    fn a_container_without_a_process_can_be_created(t) {
        let c = t.bundle()?.remove("/process").create()?;
        equal("status", c.status()?, "created")?;
    }

    /// The program does not exist in the root filesystem.
    ["lifecycle.environment-error"]
    fn a_program_that_does_not_exist_is_an_error(t) {
        t.bundle()?.set("/process/args", json!(["/no/such/program"])).never_runs()?;
    }

    /// The program is a file without the execute permission.
    ["lifecycle.environment-error"]
    fn a_program_that_is_not_executable_is_an_error(t) {
        t.bundle()?.file("/plain", "text")?.set("/process/args", json!(["/plain"])).never_runs()?;
    }

    /// The program is a directory.
    ["lifecycle.environment-error"]
    fn a_program_that_is_a_directory_is_an_error(t) {
        t.bundle()?.set("/process/args", json!(["/etc"])).never_runs()?;
    }

    /// Two containers from two bundles run at the same time without touching each other.
    ["scope.same-container"]
    fn two_containers_run_side_by_side(t) {
        let (a, b) = (t.bundle()?.does(&["wait"]).live()?, t.bundle()?.does(&["wait"]).live()?);
        a.stop()?;
        equal("status of the stopped one", a.status()?, "stopped")?;
        equal("status of the other", b.status()?, "running")?;
    }
}
