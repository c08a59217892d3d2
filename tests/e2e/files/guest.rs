//! The guest `file_storm` in a session, and pictures of all that it works on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapshot_tests::deadline;
use snapshot_tests::{Difference, Ending, Event, Held, Launch, PipedSession, Place, Tree};

/// The directory that the guest works in, below the tree's root: links that lead up stay inside.
const NEST: &str = "a/b/c/d/e/f";

/// The directory of the tree that only outsiders use.
pub const OUTSIDE: &str = "outside";

/// The guest, and the tree that it works in.
pub struct Guest {
    /// Its session.
    pub session: PipedSession,
    root: PathBuf,
    tags: u64,
}

/// Removes something that may be there, without a trace in its directory.
fn take_away(path: &Path) {
    let directory = path.parent().expect("it is in the tree");
    let Ok(was) = fs::metadata(directory) else {
        return;
    };
    if fs::remove_file(path).is_err() && fs::remove_dir_all(path).is_err() {
        return;
    }
    let times = fs::FileTimes::new()
        .set_accessed(was.accessed().expect("it has times"))
        .set_modified(was.modified().expect("it has times"));
    let directory = fs::File::open(directory).expect("it is in the tree");
    directory.set_times(times).expect("it is ours");
}

/// All that a revert must bring back.
#[derive(Debug, Clone)]
pub struct Picture {
    tree: Tree,
    held: Held,
}

impl Guest {
    /// Launches it under the tool.
    pub fn launch() -> Self {
        Self::start(Launch::guest("file_storm"), &[])
    }

    /// Launches it in this way, with these programs to help it.
    pub fn start(launch: Launch, programs: &[PathBuf]) -> Self {
        Self::start_in(&Place::new(), launch, programs)
    }

    /// The same in this place.
    pub fn start_in(place: &Arc<Place>, launch: Launch, programs: &[PathBuf]) -> Self {
        let root = place.work().join("tree");
        let base = root.join(NEST);
        fs::create_dir_all(&base).expect("the place is ours");
        fs::create_dir(root.join(OUTSIDE)).expect("the place is ours");
        let copies = programs.iter().map(|program| {
            let name = program.file_name().expect("a program has a name");
            let copy = place.work().join(name);
            fs::copy(program, &copy).expect("the place is ours");
            copy
        });
        let launch = launch.arg(&base).args(copies).place(place);
        let has_tool = launch.has_tool();
        let mut session = launch.piped();
        session.next_line("ready", |line| line.starts_with("ready "));
        let mut guest = Self {
            session,
            root,
            tags: 0,
        };
        guest.await_quiet();
        // A picture is of the program, not of the launcher.
        if has_tool {
            guest.session.next("started");
        }
        // An ordinary user's place gets a copy of the second terminal's program, and all its files
        // get their owner then.
        let _ = place.second_terminal(&[]);
        guest
    }

    /// Has it perform an operation, which must succeed.
    pub fn does(&mut self, operation: &str) {
        self.session.ask(&format!("do {operation}"));
    }

    /// Has it perform an operation that fails, and gives the error's name.
    pub fn fails(&mut self, operation: &str) -> String {
        self.session.send(&format!("do {operation}"));
        let answer = self
            .session
            .next_line(operation, |line| line == "ok" || line.starts_with("err "));
        match answer.strip_prefix("err ") {
            Some(error) => error.to_owned(),
            None => self.session.fail(&format!("it succeeded: {operation}")),
        }
    }

    /// Has a burst of operations begin; the answer when it is over is `ok`, the tag behind it.
    pub fn burst(&mut self, count: u64, seed: u64, who: &str) -> String {
        self.tags += 1;
        let tag = format!("burst{}", self.tags);
        self.session
            .send(&format!("burst {tag} {count} {seed} {who}"));
        let begun = format!("begun {tag}");
        self.session.next_line(&begun, |line| line == begun);
        tag
    }

    /// Waits until a burst is over.
    pub fn finish(&mut self, tag: &str) {
        let done = format!("ok {tag}");
        self.session.next_line(&done, |line| line == done);
    }

    /// Waits until all that it was asked for is done.
    pub fn await_quiet(&mut self) {
        self.tags += 1;
        let tag = format!("ping{}", self.tags);
        self.session.send(&format!("ping {tag}"));
        self.finish(&tag);
    }

    /// Takes the picture. Nothing may be under way.
    pub fn picture(&mut self) -> Picture {
        let live = if self.session.events_named("started").is_empty() {
            self.session.pid()
        } else {
            self.session.live_pid()
        };
        Picture {
            tree: Tree::of(&self.root).without(OUTSIDE),
            held: Held::of(live, &self.root),
        }
    }

    /// A file that only outsiders use.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.root.join(OUTSIDE).join(name)
    }

    /// Nothing of what the program did itself passes for somebody else's.
    pub fn assert_no_outsiders(&mut self) {
        let said = self.session.stderr();
        let mut alarms = said.lines().filter(|line| line.contains("somebody else"));
        // The kernel may have put something there for the program, and nobody can tell.
        for line in said.lines().filter(|line| line.contains("maybe")) {
            if let Some((_, beside)) = line.rsplit_once(" is in ") {
                take_away(Path::new(beside));
            }
        }
        let Some(line) = alarms.find(|line| !line.contains("maybe somebody else")) else {
            return;
        };
        let name = line.split(' ').find(|word| word.starts_with('/'));
        let name = name.and_then(|path| path.rsplit('/').next());
        let name = name.unwrap_or_default();
        let operations = said
            .lines()
            .filter(|of| of.starts_with("op ") && of.contains(name));
        let mut last: Vec<&str> = operations.collect();
        let last = last.split_off(last.len().saturating_sub(40)).join("\n  ");
        self.session.fail(&format!("{line}\n  {last}"));
    }

    /// Nothing differs from the picture.
    pub fn assert_same(&mut self, when: &str, then: &Picture) {
        let differences = then.differences(&self.picture());
        if !differences.is_empty() {
            self.fail(when, &differences, 0);
        }
    }

    /// Nothing in the tree differs from the picture; the session may have ended.
    pub fn assert_same_tree(&mut self, when: &str, then: &Picture) {
        let now = Tree::of(&self.root).without(OUTSIDE);
        let differences = then.tree.differences(&now);
        if !differences.is_empty() {
            self.fail(when, &differences, 0);
        }
    }

    /// Something differs from the picture; else the test proves nothing.
    pub fn assert_changed(&mut self, then: &Picture) {
        if then.differences(&self.picture()).is_empty() {
            self.session.fail("the branch has changed nothing");
        }
    }

    /// Waits until no removed name counts as a link any more: that is forgotten in the background.
    pub fn await_own_links(&mut self) {
        let root = self.root.clone();
        let mut left = Vec::new();
        let settled = deadline::wait(|| {
            left = Tree::of(&root).foreign_links();
            left.is_empty().then_some(())
        });
        if settled.is_none() {
            self.fail("links are left", &left, 0);
        }
    }

    /// Takes a snapshot, has operations change files, ends the branch, and compares.
    pub fn goes_and_comes_back(&mut self, operations: &[&str], ending: Ending) -> Event {
        let then = self.picture();
        let taken = self.session.take();
        self.assert_same("a take has changed something", &then);
        for operation in operations {
            self.does(operation);
        }
        self.assert_changed(&then);
        self.session.end_branch(ending);
        self.await_quiet();
        self.assert_same("after the revert", &then);
        self.await_own_links();
        taken
    }

    /// Fails the test with what differs, and with the operations since this place of stderr that
    /// name what differs.
    pub fn fail(&mut self, when: &str, differences: &[Difference], since: usize) -> ! {
        const DIFFERENCES: usize = 20;
        const OPERATIONS: usize = 80;
        let mut text = format!("{when}: {} differences\n", differences.len());
        for difference in differences.iter().take(DIFFERENCES) {
            text += &format!("  {difference}\n");
        }
        let names: Vec<String> = differences
            .iter()
            .take(DIFFERENCES)
            .filter_map(|difference| difference.path.file_name())
            .map(|name| encode(&name.to_string_lossy()))
            .collect();
        let of_descriptors = names.iter().any(|name| name.starts_with("descriptor"));
        let stderr = self.session.stderr();
        let operations: Vec<&str> = stderr[since..]
            .lines()
            .filter(|line| line.starts_with("op "))
            .filter(|line| {
                names.iter().any(|name| line.contains(name.as_str()))
                    || (of_descriptors && line.contains("] h"))
            })
            .collect();
        let first = operations.len().saturating_sub(OPERATIONS);
        text += &format!("the last of {} operations on them:\n", operations.len());
        for operation in &operations[first..] {
            text += &format!("  {operation}\n");
        }
        self.session.fail(&text)
    }

    /// How much the guest has said on stderr.
    pub fn said(&mut self) -> usize {
        self.session.stderr().len()
    }
}

impl Picture {
    /// What differs `now`.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut differences = self.tree.differences(&now.tree);
        differences.extend(self.held.differences(&now.held));
        differences
    }

    /// How many files of any kind are in it, and how many kinds.
    pub fn size(&self) -> (usize, usize) {
        (self.tree.len(), self.tree.kinds())
    }
}

/// A name as the guest prints it.
fn encode(name: &str) -> String {
    let mut word = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-@".contains(&byte) {
            word.push(char::from(byte));
        } else {
            word += &format!("%{byte:02x}");
        }
    }
    word
}
