//! The private directories of a test: runtime directory, temp directory, work directory and
//! home of the settings. At the end nothing of the tool may be left in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::Mode;
use tempfile::TempDir;

use crate::deadline::{self, Output};
use crate::user::{self, Isolation};
use crate::{binaries, leaks};

/// The private directories of one test and all its sessions.
#[derive(Debug)]
pub struct Place {
    root: TempDir,
    /// Whether it belongs to an ordinary user, who has copies of the programs in it.
    is_users: AtomicBool,
}

impl Place {
    /// Makes a new one.
    ///
    /// # Panics
    /// When the temp directory isn't writable.
    pub fn new() -> Arc<Self> {
        let root = tempfile::Builder::new()
            .prefix("snapshot-test-")
            .tempdir()
            .expect("the temp directory is writable");
        let place = Self {
            root,
            is_users: AtomicBool::new(false),
        };
        for directory in [
            place.runtime(),
            place.temporary(),
            place.work(),
            place.path("config"),
        ] {
            nix::unistd::mkdir(&directory, Mode::S_IRWXU).expect("the place is ours");
        }
        Arc::new(place)
    }

    /// Gives it to an ordinary user, with copies of these programs in it. Returns the copies.
    pub(crate) fn give_to_user<const N: usize>(&self, programs: [&Path; N]) -> [PathBuf; N] {
        self.is_users.store(true, Ordering::Release);
        user::give(self.root(), programs)
    }

    /// The root of it.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// `XDG_RUNTIME_DIR`.
    pub fn runtime(&self) -> PathBuf {
        self.path("run")
    }

    /// `TMPDIR`.
    pub fn temporary(&self) -> PathBuf {
        self.path("tmp")
    }

    /// The directory that programs run in.
    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Gives a command the environment of this place: private directories, a plain terminal
    /// type, and none of the variables that the test's cargo has set.
    pub fn furnish(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let of_the_test = text.starts_with("CARGO") && text != "CARGO_HOME";
            let of_taste = matches!(
                text.as_ref(),
                "NO_COLOR"
                    | "CLICOLOR"
                    | "CLICOLOR_FORCE"
                    | "FORCE_COLOR"
                    | "RUST_BACKTRACE"
                    | "LD_PRELOAD"
                    | "LD_LIBRARY_PATH"
                    | "PS1"
                    | "PROMPT_COMMAND"
                    | "CI"
            );
            if of_the_test || of_taste {
                command.env_remove(name);
            }
        }
        command
            .env("CARGO", binaries::cargo())
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("TMPDIR", self.temporary())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .current_dir(self.work());
    }

    /// Runs `cargo snapshot ARGUMENTS` to its end, as an ordinary user with this isolation.
    pub fn cargo_snapshot_as_user(&self, arguments: &[&str], isolation: Isolation) -> Output {
        let [tool] = self.give_to_user([&binaries::tools().cargo_snapshot]);
        let mut command = Command::new(tool);
        command.arg("snapshot").args(arguments);
        self.furnish(&mut command);
        user::become_user(&mut command, isolation);
        deadline::run(&mut command)
    }

    /// A command of the second terminal, `cargo snapshot ARGUMENTS`, ready to run.
    pub fn second_terminal(&self, arguments: &[&str]) -> Command {
        let mut tool = binaries::tools().cargo_snapshot.clone();
        let is_users = self.is_users.load(Ordering::Acquire);
        if is_users {
            // Once is enough: giving it again would touch every file of the place.
            tool = user::copy_of(self.root(), &tool).unwrap_or_else(|| {
                let [copy] = self.give_to_user([&tool]);
                copy
            });
        }
        let mut command = Command::new(tool);
        command.arg("snapshot").args(arguments);
        self.furnish(&mut command);
        if is_users {
            user::become_user(&mut command, Isolation::Allowed);
        }
        command
    }

    /// Runs another command to its end, as the ordinary user who owns the place.
    pub fn run_as_user(&self, command: &mut Command) -> Output {
        user::become_user(command, Isolation::Allowed);
        deadline::run(command)
    }

    /// Runs `cargo snapshot ARGUMENTS` to its end.
    pub fn cargo_snapshot(&self, arguments: &[&str]) -> Output {
        deadline::run(&mut self.second_terminal(arguments))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut left = leaks::files(&self.runtime());
        left.extend(leaks::files(&self.temporary()));
        assert!(left.is_empty(), "files are left: {left:?}");
    }
}
