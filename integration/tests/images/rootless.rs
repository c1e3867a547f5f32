//! Images as an ordinary user, with subordinate ids and with one id only, from a registry on loopback.

use crate::archive::file;
use crate::layout::{Form, Layout, architecture, base};
use crate::registry::Registry;
use crate::{Scene, says, text};
use integration::skip::skip;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

/// The user, which is none of the system's.
const USER: u32 = 61_234;
/// Its subordinate ids.
const FIRST: u32 = 1_500_000_000;

/// Becomes the user, with its own account and subordinate ids in a mount namespace.
const BECOME: &str = "mount --bind \"$IDS\" /etc/subuid && mount --bind \"$IDS\" /etc/subgid && \
    mount --bind \"$ACCOUNTS\" /etc/passwd && exec setpriv --reuid 61234 --regid 61234 --clear-groups \"$@\"";

struct User {
    scene: Scene,
    image: String,
    _registry: Option<Registry>,
}

impl User {
    fn new(name: &str, ids: &str) -> Option<User> {
        let scene = Scene::new(name)?;
        let has_helpers = ["newuidmap", "newgidmap"].iter().all(|name| Path::new("/usr/bin").join(name).exists());
        let has_files = ["/etc/subuid", "/etc/subgid"].iter().all(|path| Path::new(path).exists());
        if !has_helpers || !has_files {
            skip("no newuidmap, or no /etc/subuid, on this machine");
            return None;
        }
        fs::write(scene.path("ids"), ids).unwrap();
        let accounts = fs::read_to_string("/etc/passwd").unwrap();
        fs::write(scene.path("accounts"), format!("{accounts}orlop-test:x:{USER}:{USER}::/:/bin/sh\n")).unwrap();
        for name in ["bin", "home", "layout"] {
            fs::create_dir(scene.path(name)).unwrap();
        }
        for name in ["orlop", "orlop-bundle"] {
            fs::copy(scene.runtime.with_file_name(name), scene.path("bin").join(name)).unwrap();
        }
        chown(scene.path("home"), Some(USER), Some(USER)).unwrap();
        let layout = Layout::new(&scene.path("layout"));
        let layers = [base(), vec![file("etc/owned", "x").owner(33, 34).mode(0o640)]];
        layout.tag(&[("one", &layout.image(&layers, Form::Gzip, &json!({ "Cmd": ["sh"] }), architecture()))]);
        let registry = Registry::new(&scene);
        let image = match &registry {
            Some(registry) => {
                registry.push(&scene, "oci:layout:one", "app:v1");
                format!("docker://{}/app:v1", registry.host)
            }
            None => format!("oci:{}:one", scene.at("layout")),
        };
        Some(User { scene, image, _registry: registry })
    }

    fn at(&self, name: &str) -> String {
        self.scene.at(&format!("home/{name}"))
    }

    fn orlop(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", BECOME, "sh"]).arg(self.scene.path("bin/orlop"));
        command.args(["--root", &self.at("state")]).args(arguments);
        command
            .env("IDS", self.scene.path("ids"))
            .env("ACCOUNTS", self.scene.path("accounts"))
            .env("HOME", self.scene.path("home"));
        command.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_DATA_HOME");
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    fn image(&self, arguments: &[&str]) -> Command {
        self.orlop(&[&["image"], arguments].concat())
    }

    fn run(&self, options: &[&str], program: &[&str]) -> Command {
        let options = [&["run", "--quiet", "--insecure", "--id", self.scene.id()], options].concat();
        self.orlop(&[&options[..], &["--image", &self.image], program].concat())
    }

    fn prints(&self, options: &[&str], script: &str) -> String {
        says(&mut self.run(options, &["sh", "-c", script]))
    }

    /// Runs containers of the image in all ways.
    fn runs_containers(&self, owner: &str) {
        assert_eq!(self.prints(&[], "id -u; stat -c %u:%g /etc/owned"), format!("0\n{owner}"));
        let map = self.prints(&[], "cat /proc/self/uid_map; echo x > /written; cat /etc/owned");
        let columns: Vec<_> = map.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(columns, ["0", &USER.to_string(), "1"]);
        assert_eq!(self.prints(&["--read-only"], "touch /x 2> /dev/null || echo refused"), "refused");
        fs::create_dir(self.at("volume")).unwrap();
        chown(self.at("volume"), Some(USER), Some(USER)).unwrap();
        let volume = format!("{}:/volume", self.at("volume"));
        self.prints(&["--volume", &volume], "echo kept > /volume/file");
        assert_eq!(fs::metadata(self.at("volume/file")).unwrap().uid(), USER);
        let script = "cat /volume/file; touch /volume/file 2> /dev/null || echo refused";
        assert_eq!(self.prints(&["--volume", &format!("{volume}:ro")], script), "kept\nrefused");
    }

    /// A container in the background, of which nothing is left.
    fn runs_detached(&self) {
        let pid = self.at("pid");
        let log = fs::File::create(self.scene.path("log")).unwrap();
        let mut detached = self.run(&["--detach", "--pid-file", &pid], &["sleep", "1000"]);
        let started = detached.stdout(Stdio::null()).stderr(log).status().unwrap();
        assert!(started.success(), "{}", fs::read_to_string(self.scene.path("log")).unwrap());
        let pid: u32 = fs::read_to_string(pid).unwrap().parse().unwrap();
        assert_eq!(fs::metadata(format!("/proc/{pid}")).unwrap().uid(), USER);
        // Its layers stay, though its image goes.
        says(&mut self.image(&["rm", &self.image]));
        says(&mut self.image(&["gc"]));
        assert_eq!(says(&mut self.orlop(&["exec", self.scene.id(), "cat", "/etc/owned"])), "x");
        says(&mut self.orlop(&["kill", self.scene.id(), "KILL"]));
        says(&mut self.orlop(&["delete", "--force", self.scene.id()]));
    }

    fn left(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(directory)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn nothing_is_left(&self) {
        says(&mut self.image(&["gc"]));
        for directory in ["layers", "files", "images", "containers", "blobs"] {
            let left = self.left(&format!(".local/share/orlop/images/{directory}"));
            assert_eq!(left, [""; 0], "{directory}");
        }
        assert_eq!(self.left("state"), [""; 0], "a state is left");
        let command = |pid: &Path| text(&fs::read(pid.join("cmdline")).unwrap_or_default());
        let all = fs::read_dir("/proc").unwrap().map(|entry| command(&entry.unwrap().path()));
        assert_eq!(all.filter(|line| line.contains(&self.at(""))).collect::<Vec<_>>(), [""; 0], "processes are left");
        assert_eq!(crate::kills::cgroups(self.scene.id()), [""; 0], "cgroups are left");
    }
}

fn lives(name: &str, ids: &str, owner: &str) {
    let Some(user) = User::new(name, ids) else { return };
    let ended = user.image(&["pull", "--quiet", "--insecure", &user.image]).output().unwrap();
    let said = text(&ended.stderr);
    assert!(ended.status.success() && said.contains("no subordinate ids") == ids.is_empty(), "{said}");
    says(&mut user.image(&["verify"]));
    assert!(says(&mut user.image(&["list"])).contains(&user.image));
    user.runs_containers(owner);
    let verified = says(&mut user.image(&["verify"]));
    assert!(verified.contains("of 2 layers are as they were unpacked"), "{verified}");
    says(&mut user.image(&["unpack", "--quiet", "--insecure", &user.image, &user.at("bundle")]));
    let bundle = user.at("bundle");
    let said = says(&mut user.orlop(&["run", "--bundle", &bundle, user.scene.id()]));
    assert_eq!(said, "");
    user.runs_detached();
    user.nothing_is_left();
}

#[test]
fn an_ordinary_user_with_subordinate_ids_has_the_images_owners() {
    lives("subordinate", &format!("{USER}:{FIRST}:65536\n"), "33:34");
}

#[test]
fn an_ordinary_user_with_one_id_runs_images_whose_files_are_all_its_own() {
    lives("single", "", "0:0");
}
