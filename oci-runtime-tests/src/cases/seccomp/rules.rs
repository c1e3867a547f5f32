//! Rules and their conditions, errors, users, and filters that must be refused.

use super::*;

cases! {
    /// The mode in /proc/self/status.
    ["seccomp.default-action"]
    fn a_filter_is_loaded(t) {
        let seen = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.observe()?;
        same("Seccomp", seen.report("/seccomp")?, "2")?;
        same("Seccomp_filters", seen.report("/seccomp_filters")?, "1")?;
    }

    /// Without the property there is no filter.
    ["seccomp.default-action"]
    fn without_seccomp_there_is_no_filter(t) {
        same("Seccomp", t.bundle()?.observe()?.report("/seccomp")?, "0")?;
    }

    /// SCMP_ACT_ERRNO without a number.
    ["seccomp.errno.default", "seccomp.action"]
    fn a_refused_call_fails_with_eperm_by_default(t) {
        let seen = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.does(&[&call(1)]).observe()?;
        seen.fails(&call(1), &[errno::EPERM])?;
    }

    /// SCMP_ACT_ERRNO with a number.
    ["seccomp.errno"]
    fn a_refused_call_fails_with_the_number_of_the_rule(t) {
        let mut rule = rule("SCMP_ACT_ERRNO");
        rule["errnoRet"] = json!(libc::ENOSYS);
        with(t, filter(json!([rule])))?.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::ENOSYS])?;
    }

    /// SCMP_ACT_ERRNO with the number 0: the call is not made, but says that it worked.
    ["seccomp.errno"]
    fn a_refused_call_with_the_number_zero_seems_to_work(t) {
        let mut rule = rule("SCMP_ACT_ERRNO");
        rule["errnoRet"] = json!(0);
        same("answer", with(t, filter(json!([rule])))?.does(&[&call(1)]).observe()?.value(&call(1))?, 0)?;
    }

    /// SCMP_ACT_TRACE without a tracer: the call fails with ENOSYS.
    ["seccomp.action"]
    fn a_traced_call_fails_without_a_tracer(t) {
        let seen = with(t, filter(json!([rule("SCMP_ACT_TRACE")])))?.does(&[&call(1)]).observe()?;
        seen.fails(&call(1), &[errno::ENOSYS])?;
    }

    /// The default action refuses what no rule allows.
    ["seccomp.default-action", "seccomp.default-errno"]
    fn the_default_action_is_for_calls_without_a_rule(t) {
        let seccomp = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 77,
            "architectures": architectures(),
            "syscalls": [{"names": needed(), "action": "SCMP_ACT_ALLOW"}],
        });
        with(t, seccomp)?.does(&[&call(1)]).observe()?.fails(&call(1), &[77])?;
    }

    /// The default action without a number.
    ["seccomp.default-action", "seccomp.errno.default"]
    fn the_default_action_fails_with_eperm_by_default(t) {
        let seccomp = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": architectures(),
            "syscalls": [{"names": needed(), "action": "SCMP_ACT_ALLOW"}],
        });
        with(t, seccomp)?.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::EPERM])?;
    }

    /// A bit of the argument is looked at.
    ["seccomp.args.op", "seccomp.args.value-two"]
    fn the_operator_masked_eq_compares_some_bits(t) {
        let args = json!([{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 2, "valueTwo": 2}]);
        equal("errors for 1, 2, 3", under(t, args, &[1, 2, 3])?, [0, 77, 77])?;
    }

    /// The upper half of an argument counts.
    ["seccomp.args.value"]
    fn all_64_bits_of_an_argument_are_compared(t) {
        let high = (1 << 32) + 1;
        equal("errors for 1, 2^32+1", under(t, condition(0, "SCMP_CMP_EQ", high), &[1, high])?, [0, 77])?;
    }

    /// A large number is not negative.
    ["seccomp.args.value", "seccomp.args.op"]
    fn arguments_are_compared_without_a_sign(t) {
        let args = condition(0, "SCMP_CMP_GT", 1 << 40);
        equal("errors for 1, 2^64-1", under(t, args, &[1, u64::MAX])?, [0, 77])?;
    }

    /// The second argument, which the kernel ignores for this call.
    ["seccomp.args.index"]
    fn the_index_chooses_the_argument(t) {
        let mut rule = rule("SCMP_ACT_ERRNO");
        rule["args"] = condition(1, "SCMP_CMP_EQ", 5);
        let (no, yes) = (format!("{} 4", call(1)), format!("{} 5", call(1)));
        let seen = with(t, filter(json!([rule])))?.does(&[&no, &yes]).observe()?;
        seen.value(&no)?;
        seen.fails(&yes, &[errno::EPERM])?;
    }

    /// All conditions of a rule must hold.
    ["seccomp.args"]
    fn all_conditions_of_a_rule_must_hold(t) {
        let mut rule = rule("SCMP_ACT_ERRNO");
        rule["args"] = json!([{"index": 0, "op": "SCMP_CMP_EQ", "value": 1}, {"index": 1, "op": "SCMP_CMP_EQ", "value": 5}]);
        let (one, both) = (format!("{} 4", call(1)), format!("{} 5", call(1)));
        let seen = with(t, filter(json!([rule])))?.does(&[&one, &both]).observe()?;
        seen.value(&one)?;
        seen.fails(&both, &[errno::EPERM])?;
    }

    /// Two rules for the same call: each is for its own argument.
    ["seccomp.args", "seccomp.names"]
    fn each_of_several_rules_holds_for_itself(t) {
        let one = |value: u64, errno: i32| {
            let mut rule = rule("SCMP_ACT_ERRNO");
            rule["args"] = condition(0, "SCMP_CMP_EQ", value);
            rule["errnoRet"] = json!(errno);
            rule
        };
        let actions = [call(0), call(1), call(2)];
        let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
        let seen = with(t, filter(json!([one(1, 71), one(2, 72)])))?.does(&actions).observe()?;
        seen.value(actions[0])?;
        seen.fails(actions[1], &[71])?;
        seen.fails(actions[2], &[72])?;
    }

    /// Several names in one rule.
    ["seccomp.names"]
    fn a_rule_is_for_all_of_its_names(t) {
        let rule = json!({"names": ["sched_get_priority_min", NAME], "action": "SCMP_ACT_ERRNO"});
        let other = format!("syscall {} 1", libc::SYS_sched_get_priority_min);
        let seen = with(t, filter(json!([rule])))?.does(&[&call(1), &other]).observe()?;
        seen.fails(&call(1), &[errno::EPERM])?;
        seen.fails(&other, &[errno::EPERM])?;
    }

    /// The filter is there for children and after another `execve`.
    ["seccomp.default-action"]
    fn the_filter_stays_with_another_program(t) {
        let b = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?;
        let args = json!(["/probe", "exec /probe report", "report"]);
        let seen = b.set("/process/args", args).observe()?;
        ensure!(seen.answers.len() == 1 || seen.report("/seccomp").is_ok(), "the second program did not report");
        same("Seccomp", seen.report("/seccomp")?, "2")?;
    }

    /// A user other than root, without no_new_privs.
    ["seccomp.default-action"]
    fn the_filter_is_loaded_for_another_user_without_no_new_privileges(t) {
        t.needs_root()?;
        let b = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.set("/process/noNewPrivileges", false);
        let b = b.set("/process/user", json!({"uid": 1000, "gid": 1000})).capabilities(&["bounding", "effective", "permitted"], &[]);
        let seen = b.does(&["report", &call(1)]).observe()?;
        seen.fails(&call(1), &[errno::EPERM])?;
        same("no_new_privs", seen.report("/no_new_privs")?, 0)?;
        same_set("effective", seen.report("/capabilities/effective")?, &json!([]))?;
    }

    /// A user other than root, with no_new_privs.
    ["seccomp.default-action", "process.no-new-privileges"]
    fn the_filter_is_loaded_for_another_user_with_no_new_privileges(t) {
        t.needs_root()?;
        let b = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.set("/process/noNewPrivileges", true);
        let seen = b.set("/process/user", json!({"uid": 1000, "gid": 1000})).does(&["report", &call(1)]).observe()?;
        seen.fails(&call(1), &[errno::EPERM])?;
        same("no_new_privs", seen.report("/no_new_privs")?, 1)?;
    }

    /// Root without no_new_privs has no more capabilities than the config says.
    ["seccomp.default-action", "process.capabilities.bounding"]
    fn a_filter_does_not_leave_more_capabilities(t) {
        let b = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.set("/process/noNewPrivileges", false);
        let seen = b.capabilities(&["bounding", "effective", "permitted"], &["CAP_KILL"]).observe()?;
        same_set("effective", seen.report("/capabilities/effective")?, &json!([5]))?;
        same_set("permitted", seen.report("/capabilities/permitted")?, &json!([5]))?;
    }

    /// In a user namespace.
    ["seccomp.default-action", "ns.user"]
    fn the_filter_is_loaded_in_a_user_namespace(t) {
        t.needs_root()?;
        let b = t.bundle()?.user_namespace(200_000)?.set("/linux/seccomp", filter(json!([rule("SCMP_ACT_ERRNO")])));
        b.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::EPERM])?;
    }

    /// A filter that refuses calls which a runtime makes late: the program runs, or an error says why not, but nothing hangs.
    ["lifecycle.environment-error", "seccomp.default-action"]
    fn a_filter_against_the_runtimes_own_calls_is_no_trap(t) {
        let rule = json!({"names": ["sendmsg", "close", "chdir", "setresuid", "capset"], "action": "SCMP_ACT_ERRNO"});
        let (c, created) = with(t, filter(json!([rule])))?.try_create()?;
        if created.succeeded() && c.call("start", &[])?.succeeded() {
            c.finish()?;
        }
    }

    /// A filter that refuses `execve`: the program cannot be run, which is an error.
    ["lifecycle.environment-error", "start.program"]
    fn a_filter_against_execve_is_an_error(t) {
        let rule = json!({"names": ["execve", "execveat"], "action": "SCMP_ACT_ERRNO"});
        with(t, filter(json!([rule])))?.never_runs()?;
    }

    /// All architectures of the machine's family together.
    ["seccomp.architectures"]
    fn several_architectures_are_taken(t) {
        let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
        filter["architectures"] = if cfg!(target_arch = "aarch64") {
            json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
        } else {
            json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
        };
        with(t, filter)?.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::EPERM])?;
    }

    /// No architectures: that of the machine.
    ["seccomp.architectures"]
    fn without_architectures_that_of_the_machine_is_meant(t) {
        let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
        filter.as_object_mut().context("filter")?.remove("architectures");
        with(t, filter)?.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::EPERM])?;
    }

    /// An architecture that does not exist.
    ["seccomp.architectures", "valid-values"]
    fn an_unknown_architecture_is_refused(t) {
        let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
        filter["architectures"] = json!(["SCMP_ARCH_NO_SUCH"]);
        with(t, filter)?.never_runs()?;
    }

    /// An action that does not exist.
    ["seccomp.action", "valid-values"]
    fn an_unknown_action_is_refused(t) {
        with(t, filter(json!([rule("SCMP_ACT_NO_SUCH")])))?.never_runs()?;
    }

    /// A default action that does not exist.
    ["seccomp.default-action", "valid-values"]
    fn an_unknown_default_action_is_refused(t) {
        with(t, json!({"defaultAction": "SCMP_ACT_NO_SUCH"}))?.never_runs()?;
    }

    /// No default action.
    ["seccomp.default-action", "valid-values"]
    fn a_missing_default_action_is_refused(t) {
        with(t, json!({"architectures": architectures(), "syscalls": [rule("SCMP_ACT_ERRNO")]}))?.never_runs()?;
    }

    /// An operator that does not exist.
    ["seccomp.args.op", "valid-values"]
    fn an_unknown_operator_is_refused(t) {
        let mut rule = rule("SCMP_ACT_ERRNO");
        rule["args"] = condition(0, "SCMP_CMP_NO_SUCH", 1);
        with(t, filter(json!([rule])))?.never_runs()?;
    }

    /// A seventh argument.
    ["seccomp.args.index", "valid-values"]
    fn an_argument_that_no_call_has_is_refused(t) {
        let mut rule = rule("SCMP_ACT_ERRNO");
        rule["args"] = condition(6, "SCMP_CMP_EQ", 1);
        with(t, filter(json!([rule])))?.never_runs()?;
    }

    /// A flag that does not exist.
    ["seccomp.flags", "valid-values"]
    fn an_unknown_seccomp_flag_is_refused(t) {
        let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
        filter["flags"] = json!(["SECCOMP_FILTER_FLAG_NO_SUCH"]);
        with(t, filter)?.never_runs()?;
    }

    /// A rule without names.
    ["seccomp.names"]
    fn a_rule_without_names_is_refused(t) {
        with(t, filter(json!([{"names": [], "action": "SCMP_ACT_ERRNO"}])))?.never_runs()?;
    }

    /// A number for an action that takes none.
    ["seccomp.errno.unsupported"]
    fn a_number_for_an_action_without_one_is_refused(t) {
        let mut rule = rule("SCMP_ACT_KILL");
        rule["errnoRet"] = json!(5);
        with(t, filter(json!([rule])))?.never_runs()?;
    }

    /// A default number for a default action that takes none.
    ["seccomp.errno.unsupported", "seccomp.default-errno"]
    fn a_default_number_for_an_action_without_one_is_refused(t) {
        let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
        filter["defaultErrnoRet"] = json!(5);
        with(t, filter)?.never_runs()?;
    }
}
