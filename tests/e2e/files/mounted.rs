//! Filesystems of a test's own, mounted for its time. Only root can, and not everywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use snapshot_tests::{Place, deadline, outside};

/// What is mounted, the last one on top.
pub struct Mounted(Vec<PathBuf>);

impl Mounted {
    /// A filesystem in memory. `None` where nothing can be mounted.
    pub fn tmpfs(at: &Path, options: &str) -> Option<Self> {
        let mut mounted = Self(Vec::new());
        mounted.add("tmpfs", options, at).then_some(mounted)
    }

    /// An overlay for a place's work, with its layers in memory. `None` as above.
    pub fn overlay(place: &Place) -> Option<Self> {
        let layers = place.path("layers");
        fs::create_dir(&layers).expect("the place is ours");
        let mut mounted = Self::tmpfs(&layers, "size=1g")?;
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| layers.join(name));
        for layer in [&lower, &upper, &work] {
            fs::create_dir(layer).expect("it is ours");
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        mounted
            .add("overlay", &options, &place.work())
            .then_some(mounted)
    }

    fn add(&mut self, kind: &str, options: &str, at: &Path) -> bool {
        let mut command = Command::new("mount");
        command.args(["-t", kind, "-o", options, kind]).arg(at);
        let is_done = outside::as_root() && deadline::run(&mut command).success();
        if is_done {
            self.0.push(at.to_owned());
        } else {
            eprintln!("skipped: no {kind} can be mounted here");
        }
        is_done
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        while let Some(at) = self.0.pop() {
            deadline::run(Command::new("umount").arg("--lazy").arg(at));
        }
    }
}
