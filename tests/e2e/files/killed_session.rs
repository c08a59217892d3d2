//! A session that is killed at any moment leaves files as the program left them. Only a revert
//! can be half-way then, and `cargo snapshot recover` or the next session finishes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use snapshot_tests::process::Process;
use snapshot_tests::{Launch, PipedSession, Place, Seed, Signal, Tree, deadline, leaks, process};

/// How often in each place.
const ROUNDS: u32 = 8;

/// How many files the branch changes: a revert of them takes some time.
const FILES: u32 = 400;

/// Longer than a take and a revert of them take.
const REVERT: Duration = Duration::from_millis(120);

/// What the branch does.
const BRANCH: &str = "
for n in $(seq FILES); do
    echo branch-$n >>old-$n
    case $((n % 5)) in
    0) rm old-$n ;;
    1) mv old-$n moved-$n ;;
    2) mkdir dir-$n; mv old-$n dir-$n/old ;;
    3) echo new >new; mv new old-$n ;;
    esac
done
rm -r olddir; echo now >olddir
chmod 600 old-4
";

/// Which of them hold the session.
const OWN: [&str; 4] = ["snap-init", "snap-supervisor", "snap-journal", "sh"];

struct Shell {
    session: PipedSession,
    place: Arc<Place>,
}

impl Shell {
    fn launch(place: &Arc<Place>) -> Self {
        let cache = place.path("cache");
        let _ = fs::create_dir(&cache);
        let session = Launch::program("/bin/sh")
            .place(place)
            .env("XDG_CACHE_HOME", &cache)
            .piped();
        Self {
            session,
            place: Arc::clone(place),
        }
    }

    fn does(&mut self, script: &str) {
        let script = script.replace("FILES", &FILES.to_string());
        self.session.send(&format!("{script}\necho ok"));
        self.session.next_line("it is done", |line| line == "ok");
    }

    /// With files, a snapshot of them, and a branch that has changed them. Returns both.
    fn with_branch(place: &Arc<Place>) -> (Self, Tree, Tree) {
        let mut shell = Self::launch(place);
        shell.does("for n in $(seq FILES); do echo then-$n >old-$n; done; mkdir -p olddir/in");
        let then = shell.tree();
        shell.session.take();
        shell.does(BRANCH);
        let branch = shell.tree();
        (shell, then, branch)
    }

    fn tree(&self) -> Tree {
        Tree::of(&self.place.work())
    }

    /// Kills all of the session's processes in one moment: none sees another's end. Without the supervisor the program's end is no
    /// longer a branch's.
    fn is_killed_at_once(&mut self, seed: &mut Seed) {
        let launcher = self.session.launcher_pid();
        let mut stopped = Vec::new();
        loop {
            let mut new = below(launcher);
            new.push(launcher);
            new.retain(|pid| !stopped.contains(pid));
            if new.is_empty() {
                break;
            }
            for &pid in &new {
                // One that has ended meanwhile is on the next list no more.
                let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
            }
            stopped.append(&mut new);
        }
        self.is_killed(seed);
    }

    /// Kills all of the session's processes, one after the other in any order, and waits for their end.
    fn is_killed(&mut self, seed: &mut Seed) {
        let launcher = self.session.launcher_pid();
        let mut pids = below(launcher);
        pids.push(launcher);
        let all = pids.clone();
        while !pids.is_empty() {
            let at = usize::try_from(seed.below(pids.len() as u64)).expect("a small number");
            let pid = pids.swap_remove(at);
            if process::is_alive(pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        self.session.wait_exit();
        let mark = self.session.mark().to_owned();
        self.session
            .wait_until("nothing is left", || leaks::processes(&mark).is_empty());
        // A process that ends has no environment any more, and still holds its locks.
        self.session.wait_until("all have ended", || {
            !all.iter().any(|pid| process::is_alive(*pid))
        });
        // Whoever looks for sessions next removes it.
        let _ = fs::remove_dir_all(self.place.runtime().join("cargo-snapshot"));
    }

    fn stores(&self) -> Vec<PathBuf> {
        stores(&self.place)
    }
}

/// The session's own processes below this one.
fn below(pid: i32) -> Vec<i32> {
    let all = Process::all();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        let children = all.iter().filter(|process| process.parent == parent);
        found.extend(children.map(|child| child.pid));
        at += 1;
    }
    let is_own = |process: &&Process| {
        process.pid != pid && found.contains(&process.pid) && OWN.contains(&process.name.as_str())
    };
    let own = all.iter().filter(is_own);
    own.map(|process| process.pid).collect()
}

fn stores(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path("cache")).expect("the place is ours");
    entries.flatten().map(|entry| entry.path()).collect()
}

fn recover(place: &Place, directory: &Path) -> deadline::Output {
    let directory = directory.to_str().expect("it is text");
    deadline::run(&mut place.second_terminal(&["recover", directory]))
}

fn must_be(tree: &Tree, now: &Tree, when: &str) {
    let differences = tree.differences(now);
    assert!(differences.is_empty(), "{when}: {differences:#?}");
}

#[test]
fn killed_in_a_branch_files_stay_as_the_program_left_them() {
    let mut seed = Seed::new();
    for round in 0..ROUNDS {
        let place = Place::new();
        let (mut shell, _, branch) = Shell::with_branch(&place);
        if round % 2 == 0 {
            // In the middle of a take.
            let live = shell.session.live_pid();
            process::send(live, Signal::SIGUSR1);
            seed.idle(Duration::from_millis(8));
        }
        shell.is_killed_at_once(&mut seed);
        let recovered = recover(&place, &place.path("cache"));
        assert!(recovered.success(), "{recovered:?}");
        assert!(shell.stores().is_empty(), "{recovered:?}");
        must_be(&branch, &shell.tree(), &format!("round {round}"));
        deadline::renew();
    }
}

#[test]
fn killed_in_a_revert_files_can_be_recovered() {
    let mut seed = Seed::new();
    let mut recovered_half_way = 0;
    for round in 0..ROUNDS * 3 {
        let place = Place::new();
        let (mut shell, then, branch) = Shell::with_branch(&place);
        shell.session.signal_live(Signal::SIGKILL);
        seed.idle(REVERT);
        shell.is_killed(&mut seed);
        let when = format!("round {round}");
        if shell
            .stores()
            .iter()
            .any(|store| store.join("plan").exists())
        {
            recovered_half_way += 1;
            if round % 2 == 0 {
                // The next session does it by itself.
                let mut next = Shell::launch(&place);
                next.session.wait_until_stderr("cut by a kill is finished");
                next.session.close_stdin();
                next.session.wait_gone();
            }
        }
        let recovered = recover(&place, &place.path("cache"));
        assert!(recovered.success(), "{recovered:?}");
        assert!(!recovered.stdout.contains("not as it was"), "{recovered:?}");
        assert!(shell.stores().is_empty(), "{recovered:?}");
        let now = shell.tree();
        if !branch.differences(&now).is_empty() {
            must_be(&then, &now, &when);
        }
        let again = recover(&place, &place.path("cache"));
        assert_eq!(again.stdout, "nothing to recover\n", "{again:?}");
        deadline::renew();
    }
    eprintln!("{recovered_half_way} reverts were cut");
}

#[test]
fn what_cannot_be_recovered_is_said() {
    let place = Place::new();
    let missing = recover(&place, &place.path("missing"));
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    for part in [
        "cannot recover",
        "cause: there is no such directory",
        "help:",
    ] {
        assert!(missing.stderr.contains(part), "{missing:?}");
    }
    let (mut shell, _, _) = Shell::with_branch(&place);
    let store = shell.stores().pop().expect("the branch has changed files");
    let alive = recover(&place, &store);
    assert_eq!(alive.status.code(), Some(1), "{alive:?}");
    assert!(
        alive.stderr.contains("cause: its session is alive"),
        "{alive:?}"
    );
    shell.session.close_stdin();
    shell.session.wait_gone();
    // Somebody else may enter it.
    let foreign = place.path("cache/.cargo-snapshot-files-1-1");
    fs::create_dir(&foreign).expect("the place is ours");
    let foreign = recover(&place, &foreign);
    assert_eq!(foreign.status.code(), Some(1), "{foreign:?}");
    assert!(
        foreign.stderr.contains("cause: it is no store of yours"),
        "{foreign:?}"
    );
}
