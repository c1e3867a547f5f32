//! Bundles of layers in the store that are moved, removed, or on a file system that is not mounted; few file descriptors; images
//! without a program.

use crate::full::Disk;
use crate::layout::{Form, Layout, architecture, base};
use crate::{Scene, says, text};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};

fn scene(name: &str, config: &Value) -> Option<(Scene, String)> {
    let scene = Scene::new(name)?;
    let layout = Layout::new(&scene.path("layout"));
    layout.tag(&[("one", &layout.image(&[base()], Form::Gzip, config, architecture()))]);
    let image = format!("oci:{}:one", scene.at("layout"));
    Some((scene, image))
}

impl Scene {
    /// A bundle of layers of an image that is removed then.
    fn overlay(&self, image: &str, bundle: &str) {
        let store = self.at("store");
        says(&mut self.orlop(&["image", "unpack", "--overlay", "--quiet", "--store", &store, image, bundle]));
        says(&mut self.image(&["rm", image]));
    }

    fn layers(&self) -> usize {
        says(&mut self.image(&["gc"]));
        fs::read_dir(self.path("store/layers")).unwrap().count()
    }

    fn runs(&self, bundle: &str) {
        let config = format!("{bundle}/config.json");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("\"sh\"", "\"echo\", \"ran\"")).unwrap();
        let mut run = self.orlop(&["run", "--bundle", bundle, self.id()]);
        assert_eq!(says(run.stdin(Stdio::null())), "ran");
    }

    fn listed(&self) -> String {
        says(&mut self.image(&["list"]))
    }
}

#[test]
fn layers_of_a_bundle_stay_where_it_is_moved_and_go_with_it() {
    let Some((scene, image)) = scene("moved", &json!({ "Cmd": ["sh"] })) else { return };
    let (bundle, moved) = (scene.at("bundle"), scene.at("elsewhere"));
    scene.overlay(&image, &bundle);
    assert_eq!(scene.layers(), 1);
    let refused = text(&scene.image(&["rm", &bundle]).output().unwrap().stderr);
    assert!(refused.contains("needs its layers"), "{refused}");
    fs::rename(&bundle, &moved).unwrap();
    assert_eq!(scene.layers(), 1);
    assert!(scene.listed().contains(&format!("bundle {bundle} (moved)")), "{}", scene.listed());
    // A new bundle in its place.
    scene.overlay(&image, &bundle);
    fs::remove_dir_all(&bundle).unwrap();
    assert_eq!(scene.layers(), 1);
    scene.runs(&moved);
    fs::remove_dir_all(&moved).unwrap();
    assert_eq!(scene.layers(), 0);
    assert_eq!(fs::read_dir(scene.path("store/containers")).unwrap().count(), 0);
}

#[test]
fn layers_of_a_bundle_stay_while_its_file_system_is_not_mounted() {
    let Some((scene, image)) = scene("unmounted", &json!({ "Cmd": ["sh"] })) else { return };
    let (bundle, file) = (scene.at("disk/bundle"), scene.at("ext4"));
    says(Command::new("truncate").args(["--size", "40M", &file]));
    says(Command::new("mkfs.ext4").args(["-q", &file]));
    let mount = || Disk::mounted(&scene, &["-o", "loop", &file]);
    let disk = mount();
    scene.overlay(&image, &bundle);
    drop(disk);
    assert_eq!(scene.layers(), 1);
    assert!(scene.listed().contains("(its file system is not mounted)"), "{}", scene.listed());
    let disk = mount();
    scene.runs(&bundle);
    fs::remove_dir_all(&bundle).unwrap();
    assert_eq!(scene.layers(), 0);
    // One that never comes back is given up by name.
    scene.overlay(&image, &bundle);
    drop(disk);
    assert_eq!(scene.layers(), 1);
    says(&mut scene.image(&["rm", &bundle]));
    assert_eq!(scene.layers(), 0);
}

#[test]
fn few_file_descriptors_are_enough_or_the_limit_is_named() {
    let Some((scene, image)) = scene("descriptors", &json!({ "Cmd": ["sh"] })) else { return };
    let limited = |limit: &str, command: &Command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"]).arg(command.get_program());
        shell.args(command.get_args()).stdin(Stdio::null()).output().unwrap()
    };
    for limit in ["-Sn 64", "-n 64", "-Sn 900", "-Sn 901"] {
        let run = scene.run(&["--quiet", "--id", scene.id()], &image, &["echo", "ran"]);
        let ended = limited(limit, &run);
        assert_eq!(text(&ended.stdout), "ran", "{limit}: {}", text(&ended.stderr));
    }
    // Each layer is held.
    let layout = Layout::new(&scene.path("many"));
    let layers: Vec<_> = (0..100).map(|n| vec![crate::archive::file(&format!("{n}"), "x")]).collect();
    let layers = [layers, vec![base()]].concat();
    layout.tag(&[("one", &layout.image(&layers, Form::Plain, &json!({ "Cmd": ["sh"] }), architecture()))]);
    let many = format!("oci:{}:one", scene.at("many"));
    let run = scene.run(&["--quiet", "--id", scene.id()], &many, &["echo", "ran"]);
    let ended = limited("-n 64", &run);
    let said = text(&ended.stderr);
    assert!(said.contains("(EMFILE)") && said.contains("limit of open files, 64"), "{said}");
    for _ in 0..2 {
        let ended = limited("-Sn 64", &run);
        assert_eq!(text(&ended.stdout), "ran", "{}", text(&ended.stderr));
    }
}

#[test]
fn an_image_without_a_program_is_refused_before_anything_is_written() {
    let Some((scene, image)) = scene("program", &json!({})) else { return };
    let (store, bundle) = (scene.at("store"), scene.at("bundle"));
    for options in [&[][..], &["--overlay"]] {
        let mut unpack = scene.orlop(&[&["image", "unpack", "--quiet", "--store", &store], options].concat());
        let said = text(&unpack.args([&image, &bundle]).output().unwrap().stderr);
        assert!(said.contains("neither Entrypoint nor Cmd"), "{said}");
        assert!(!scene.path("bundle").exists(), "{options:?}: the bundle was made");
    }
    let said = text(&scene.run(&["--quiet", "--id", scene.id()], &image, &[]).output().unwrap().stderr);
    assert!(said.contains("neither Entrypoint nor Cmd"), "{said}");
    assert_eq!(fs::read_dir(scene.path("store/containers")).unwrap().count(), 0);
    assert_eq!(says(&mut scene.run(&["--quiet", "--id", scene.id()], &image, &["echo", "given"])), "given");
}
