//! Jupyter's unmodified kernel behind the front: a client plays scenes with it.

use snapshot_tests::{Launch, Seed, binaries, deadline, outside};

use super::interpreter;

/// A client without a launcher of its own: the kernel's front starts one.
fn client(modules: &str) -> Option<Launch> {
    let python = interpreter::with_module(modules)?;
    let place = snapshot_tests::Place::new();
    let home = place.work();
    let launch = interpreter::launch(python, false)
        .place(&place)
        .env("HOME", &home)
        .env("IPYTHONDIR", home.join("ipython"))
        .env("JUPYTER_DATA_DIR", home.join("data"))
        .env("JUPYTER_RUNTIME_DIR", home.join("runtime"))
        .env("SNAPSHOT_LAUNCHER", &binaries::tools().snapshot_launch)
        .arg(binaries::source("python/notebook.py"))
        .life_seconds(400);
    Some(launch)
}

fn plays(launch: Launch, scene: &str) {
    let mut session = launch.piped();
    let end = format!("{scene} is as it should be");
    while session.next_line("the scene goes on", |line| {
        line.starts_with("step: ") || line == end
    }) != end
    {
        deadline::renew();
    }
    let output = session.finish();
    assert!(output.success(), "{output:?}");
    // Large copies leave their memory to keepers: at the end those are no processes of the kernel's.
    assert!(!output.stderr.contains("had started"), "{output:?}");
}

fn scene(scene: &str) {
    if let Some(launch) = client("ipykernel, jupyter_client") {
        plays(launch.arg(scene), scene);
    }
}

#[test]
fn cells_are_undone_and_redone() {
    scene("cells");
}

#[test]
fn the_front_undoes_without_the_kernel() {
    scene("without_the_kernel");
}

#[test]
fn a_client_gets_all_replies() {
    scene("whole");
}

#[test]
fn no_reply_is_lost() {
    scene("replies");
}

#[test]
fn what_does_not_come_back_is_named() {
    scene("losses");
}

#[test]
fn cells_draw_the_same_numbers_again() {
    scene("random_numbers");
}

#[test]
fn snapshots_stay_within_their_memory() {
    scene("budget");
}

#[test]
fn a_kernel_without_the_front_refuses() {
    scene("refusal");
}

#[test]
fn without_namespaces_cells_run_and_are_not_undone() {
    scene("without_namespaces");
}

#[test]
fn nothing_is_left_when_the_front_is_killed() {
    scene("killed");
}

/// `NOTEBOOK_RUNS=200` plays that many.
#[test]
fn random_undos_and_redos_equal_a_clean_run() {
    if let Some(launch) = client("ipykernel, jupyter_client, numpy") {
        let runs = std::env::var("NOTEBOOK_RUNS").unwrap_or_else(|_| "2".to_owned());
        let seed = Seed::new().below(1 << 40).to_string();
        let count: u32 = runs.parse().expect("NOTEBOOK_RUNS is a number");
        let launch = launch
            .env("NOTEBOOK_RUNS", runs)
            .life_seconds(400 + count * 30);
        plays(launch.arg("random_runs").arg(seed), "random_runs");
    }
}

/// 18,000 random steps against a model, without a kernel.
#[test]
fn undo_and_redo_find_the_right_moment() {
    if let Some(python) = outside::find("python3") {
        let seed = Seed::new().below(1 << 40).to_string();
        let output = interpreter::launch(python, false)
            .arg(binaries::source("python/undo_timeline.py"))
            .arg(seed)
            .piped()
            .finish();
        assert_eq!(output.stdout, "18000 steps\n", "{output:?}");
    }
}
