//! Annotations, unknown properties, versions, and configs that are no configs.

use crate::bench::prelude::*;

fn raw_refused(t: &Trial, text: &str) -> Result<()> {
    let mut b = t.bundle()?;
    b.raw = Some(text.to_owned());
    b.refused()
}

cases! {
    /// A key that no runtime knows.
    ["annotations.unknown"]
    fn an_unknown_annotation_is_no_error(t) {
        t.bundle()?.set("/annotations", json!({"com.example.no-such": "x"})).observe()?.value("report")?;
    }

    /// A key of the reserved namespace that the specification does not have.
    ["annotations.unknown"]
    fn an_unknown_annotation_of_the_reserved_namespace_is_no_error(t) {
        t.bundle()?.set("/annotations", json!({"org.opencontainers.no-such": "x"})).observe()?.value("report")?;
    }

    /// An empty value.
    ["annotations.values.empty"]
    fn an_annotation_may_be_empty(t) {
        let c = t.bundle()?.set("/annotations", json!({"com.example.empty": ""})).create()?;
        same("annotation", &c.state()?["annotations"]["com.example.empty"], "")?;
    }

    /// No annotations, but the property.
    ["annotations.map"]
    fn the_map_of_annotations_may_be_empty(t) {
        t.bundle()?.set("/annotations", json!({})).observe()?.value("report")?;
    }

    /// A list.
    ["annotations.map", "valid-values"]
    fn annotations_that_are_a_list_are_refused(t) {
        t.bundle()?.set("/annotations", json!(["com.example.a=1"])).refused()?;
    }

    /// A number.
    ["annotations.values", "valid-values"]
    fn an_annotation_that_is_a_number_is_refused(t) {
        t.bundle()?.set("/annotations", json!({"com.example.a": 1})).refused()?;
    }

    /// An object.
    ["annotations.values", "valid-values"]
    fn an_annotation_that_is_an_object_is_refused(t) {
        t.bundle()?.set("/annotations", json!({"com.example.a": {"b": "c"}})).refused()?;
    }

    /// The empty key.
    ["annotations.keys", "valid-values"]
    fn an_annotation_with_an_empty_key_is_refused(t) {
        t.bundle()?.set("/annotations", json!({"": "x"})).refused()?;
    }

    /// Beside the known properties.
    ["extensibility"]
    fn an_unknown_property_is_ignored(t) {
        t.bundle()?.set("/ortUnknown", json!({"a": [1, 2]})).observe()?.value("report")?;
    }

    /// In `process`.
    ["extensibility"]
    fn an_unknown_property_of_the_process_is_ignored(t) {
        t.bundle()?.set("/process/ortUnknown", 1).observe()?.value("report")?;
    }

    /// In `linux`.
    ["extensibility"]
    fn an_unknown_property_of_linux_is_ignored(t) {
        t.bundle()?.set("/linux/ortUnknown", "x").observe()?.value("report")?;
    }

    /// In a mount.
    ["extensibility"]
    fn an_unknown_property_of_a_mount_is_ignored(t) {
        t.bundle()?.set("/mounts/0/ortUnknown", true).observe()?.value("report")?;
    }

    /// In `linux.resources`.
    ["extensibility"]
    fn an_unknown_property_of_the_resources_is_ignored(t) {
        t.bundle()?.set("/linux/resources/ortUnknown", json!({})).observe()?.value("report")?;
    }

    /// In a hook.
    ["extensibility"]
    fn an_unknown_property_of_a_hook_is_ignored(t) {
        let b = t.bundle()?;
        let mut entry = b.hook_entry("createRuntime", "h", &[]);
        entry["ortUnknown"] = json!(1);
        b.set("/hooks/createRuntime/-", entry).observe()?.value("report")?;
    }

    /// Properties of another platform.
    ["extensibility"]
    fn the_properties_of_other_platforms_are_ignored(t) {
        t.bundle()?.set("/solaris", json!({"milestone": "x"})).set("/windows", json!({"layerFolders": ["x"]})).observe()?.value("report")?;
    }

    /// The first version of the specification.
    ["version", "version.compatible"]
    fn a_config_of_version_1_0_0_is_taken(t) {
        t.bundle()?.set("/ociVersion", "1.0.0").observe()?.value("report")?;
    }

    /// A word.
    ["version", "valid-values"]
    fn a_version_that_is_a_word_is_refused(t) {
        t.bundle()?.set("/ociVersion", "newest").refused()?;
    }

    /// Two numbers.
    ["version", "valid-values"]
    fn a_version_of_two_numbers_is_refused(t) {
        t.bundle()?.set("/ociVersion", "1.0").refused()?;
    }

    /// A number instead of a string.
    ["version", "valid-values"]
    fn a_version_that_is_a_number_is_refused(t) {
        t.bundle()?.set("/ociVersion", 1).refused()?;
    }

    /// No version.
    ["version", "valid-values"]
    fn a_config_without_a_version_is_refused(t) {
        t.bundle()?.remove("/ociVersion").refused()?;
    }

    /// Another major version, which promises nothing.
    ["version.compatible", "valid-values"]
    fn a_config_of_another_major_version_is_refused(t) {
        t.bundle()?.set("/ociVersion", "9.0.0").refused()?;
    }

    /// Half of a JSON text.
    ["valid-values", "lifecycle.environment-error"]
    fn a_config_that_ends_early_is_refused(t) {
        let text = t.bundle()?.config.to_string();
        raw_refused(t, &text[..text.len() / 2])?;
    }

    /// Nothing.
    ["valid-values", "lifecycle.environment-error"]
    fn an_empty_config_is_refused(t) {
        raw_refused(t, "")?;
    }

    /// A list.
    ["valid-values", "lifecycle.environment-error"]
    fn a_config_that_is_a_list_is_refused(t) {
        raw_refused(t, "[]")?;
    }

    /// A comma behind the last property, which JSON does not have.
    ["valid-values", "lifecycle.environment-error"]
    fn a_config_with_a_comma_too_many_is_refused(t) {
        let text = t.bundle()?.config.to_string();
        raw_refused(t, &format!("{},}}", &text[..text.len() - 1]))?;
    }

    /// `process` of the wrong type.
    ["valid-values"]
    fn a_process_that_is_a_list_is_refused(t) {
        t.bundle()?.set("/process", json!(["/probe"])).refused()?;
    }

    /// `process.args` of the wrong type.
    ["valid-values"]
    fn arguments_that_are_a_string_are_refused(t) {
        t.bundle()?.set("/process/args", "/probe report").refused()?;
    }

    /// `process.env` of the wrong type.
    ["valid-values"]
    fn an_environment_that_is_a_map_is_refused(t) {
        t.bundle()?.set("/process/env", json!({"A": "1"})).refused()?;
    }

    /// `hooks` of the wrong type.
    ["valid-values"]
    fn hooks_that_are_a_list_are_refused(t) {
        t.bundle()?.set("/hooks", json!([{"path": "/bin/true"}])).refused()?;
    }

    /// `linux.namespaces` of the wrong type.
    ["valid-values"]
    fn namespaces_that_are_strings_are_refused(t) {
        t.bundle()?.set("/linux/namespaces", json!(["pid", "mount"])).refused()?;
    }

    /// `hostname` of the wrong type.
    ["valid-values"]
    fn a_hostname_that_is_a_number_is_refused(t) {
        t.bundle()?.set("/hostname", 7).refused()?;
    }

    /// A NUL in an argument, which no program can be given.
    ["valid-values", "process.args"]
    fn an_argument_with_a_nul_is_an_error(t) {
        t.bundle()?.set("/process/args", json!(["/probe", "a\u{0}b"])).never_runs()?;
    }

    /// A NUL in a variable.
    ["valid-values", "process.env"]
    fn a_variable_with_a_nul_is_an_error(t) {
        t.bundle()?.set("/process/env", json!(["A=x\u{0}B=y"])).never_runs()?;
    }
}
