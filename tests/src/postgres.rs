//! A PostgreSQL cluster, in a place of its own. Its server refuses root, so it belongs to an
//! ordinary user who has a name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nix::unistd::{User, chown, geteuid};

use crate::deadline;
use crate::launch::Launch;
use crate::outside;
use crate::place::Place;
use crate::{binaries, piped::PipedSession};

/// A cluster, and what it takes to run a program as its user.
#[derive(Debug)]
pub struct Cluster {
    place: Arc<Place>,
    programs: PathBuf,
    /// What becomes that user, before a command.
    front: Vec<PathBuf>,
}

impl Cluster {
    /// Makes one; or `None` where PostgreSQL is absent, after saying so.
    ///
    /// # Panics
    /// When the cluster can't be made.
    pub fn new() -> Option<Self> {
        let programs = programs()?;
        let place = Place::new();
        let mut front = Vec::new();
        if geteuid().is_root() {
            // It must have a name, or PostgreSQL refuses.
            let user = User::from_name("nobody").ok().flatten()?;
            for path in [
                place.root().to_owned(),
                place.work(),
                place.runtime(),
                place.temporary(),
            ] {
                chown(&path, Some(user.uid), Some(user.gid)).expect("root may");
            }
            front = [
                "setpriv".to_owned(),
                format!("--reuid={}", user.uid),
                format!("--regid={}", user.gid),
                "--clear-groups".to_owned(),
            ]
            .map(PathBuf::from)
            .to_vec();
        }
        let cluster = Self {
            place,
            programs,
            front,
        };
        {
            let _no_child = deadline::spawning();
            fs::copy(&binaries::tools().snapshot_launch, cluster.tool()).expect("it is ours");
        }
        let mut make = cluster.command("initdb");
        make.args(["-A", "trust", "-U", "postgres", "--no-sync"])
            .args(["--data-checksums", "--wal-segsize=1", "-D"])
            .arg(cluster.data());
        let made = deadline::run(&mut make);
        assert!(made.success(), "{made:?}");
        Some(cluster)
    }

    /// Its place.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Its data directory. The server's socket is beside it.
    pub fn data(&self) -> PathBuf {
        self.place.work().join("data")
    }

    /// The user's copy of the launcher.
    fn tool(&self) -> PathBuf {
        self.place.path("snapshot-launch")
    }

    /// Where one of PostgreSQL's programs is.
    ///
    /// # Panics
    /// When it is absent.
    pub fn program(&self, name: &str) -> PathBuf {
        [&self.programs, Path::new("/usr/bin")]
            .map(|directory| directory.join(name))
            .into_iter()
            .find(|path| path.is_file())
            .expect("it is installed with the server")
    }

    /// A command that its user runs.
    pub fn command(&self, name: &str) -> Command {
        let mut words = self.front.clone();
        words.push(self.program(name));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        self.place.furnish(&mut command);
        command
    }

    /// A session of its user with the tool and these flags. The program follows by
    /// [`Launch::args`].
    pub fn launch(&self, flags: &[&str]) -> Launch {
        let mut words = self.front.clone();
        words.push(self.tool());
        words.extend(flags.iter().map(PathBuf::from));
        words.push("--".into());
        self.bare(&words)
    }

    fn bare(&self, words: &[PathBuf]) -> Launch {
        Launch::bare(&words[0]).args(&words[1..]).place(&self.place)
    }

    /// The server's command line, in words.
    pub fn server(&self) -> Vec<PathBuf> {
        vec![
            self.program("postgres"),
            "-D".into(),
            self.data(),
            "-k".into(),
            self.place.work(),
            "-c".into(),
            "listen_addresses=".into(),
        ]
    }

    /// The server without the tool, once it serves.
    pub fn serve(&self) -> PipedSession {
        let mut words = self.front.clone();
        words.extend(self.server());
        let mut session = self.bare(&words).piped();
        session.wait_until_stderr("ready to accept connections");
        session
    }

    /// A client of the server, as its owner.
    pub fn client(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program(name));
        command
            .env("PGHOST", self.place.work())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres")
            .env("PGCONNECT_TIMEOUT", "20")
            .args(arguments);
        command
    }

    /// Runs a client, and returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn ask(&self, name: &str, arguments: &[&str]) -> String {
        let output = deadline::run(&mut self.client(name, arguments));
        assert!(output.success(), "{name} {arguments:?}: {output:?}");
        output.stdout
    }

    /// The answer to a query.
    ///
    /// # Panics
    /// When it fails.
    pub fn query(&self, query: &str) -> String {
        self.ask("psql", &["-XAtc", query]).trim().to_owned()
    }
}

/// PostgreSQL's programs, which no path has.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok();
    let found = versions
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .find(|bin| bin.join("postgres").is_file());
    match found {
        Some(bin) => Some(bin),
        None => outside::find("postgres").and_then(|path| Some(path.parent()?.to_owned())),
    }
}
