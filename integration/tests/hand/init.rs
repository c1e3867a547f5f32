//! The reaping init of `--init`.

use integration::bundle::Scene;

#[test]
fn the_reaping_init_keeps_the_exit_status() {
    let Some(mut scene) = Scene::of_spec() else { return };
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137)] {
        scene.script(script);
        let ended = scene.call(&["run", "--init"], &[]);
        assert_eq!(ended.code, Some(code), "{script}: {ended:?}");
    }
    scene.nothing_left();
}

#[test]
fn the_reaping_init_reaps_orphans() {
    let Some(mut scene) = Scene::of_spec() else { return };
    // Only the init and the shell are left.
    scene.script(
        "for i in $(seq 300); do (sleep 0.01 &); done
         while set -- /proc/[0-9]*; [ $# -gt 2 ]; do :; done; echo reaped",
    );
    let ended = scene.call(&["run", "--init"], &[]);
    assert_eq!(ended.ok(), "reaped\n");
    scene.nothing_left();
}

#[test]
fn the_reaping_init_forwards_signals() {
    let Some(mut scene) = Scene::of_spec() else { return };
    scene.config["root"]["readonly"] = false.into();
    scene.script("trap 'touch /tmp/got; exit 9' TERM; touch /tmp/ready; while :; do sleep 0.1; done");
    let _ = scene.call(&["create", "--init"], &[]).ok();
    let _ = scene.call(&["start"], &[]).ok();
    scene.wait_for("ready");
    let _ = scene.call(&["kill"], &["TERM"]).ok();
    scene.until_status("stopped");
    assert!(scene.tmp("got").exists());
    let _ = scene.call(&["delete"], &[]).ok();
    scene.nothing_left();
}
