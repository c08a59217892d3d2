//! IPython, at its prompt in a terminal: what it closes and deletes as a branch exits is there
//! again for the original, which goes on with its variables, its history and its files.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use snapshot_tests::{Launch, Place, Seed, Signal, TerminalSession, Tree, deadline, outside};

/// How many branches end, and by hand.
const ROUNDS: u32 = 6;
const MANY_ROUNDS: u32 = 50;

/// Files that somebody deletes at exit: finalizers, `atexit`, and IPython, which makes one for
/// `%edit`.
const FILES: [&str; 7] = [
    "import atexit, os, shutil, tempfile; tempfile.tempdir = os.getcwd()",
    "named = tempfile.NamedTemporaryFile(); named.write(b'named'); named.flush()",
    "directory = tempfile.TemporaryDirectory(); made = tempfile.mkdtemp()",
    "removes = atexit.register(shutil.rmtree, made)",
    "edited = get_ipython().mktempfile('edited')",
    "paths = [named.name, edited, directory.name + '/inner', made + '/inner']",
    "sizes = [open(path, 'w').write('inner') for path in paths[2:]]",
];

/// How a branch ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// A line, or a key at an empty one.
    Typed(&'static str),
    /// `kill -9`.
    Killed,
    /// `cargo snapshot revert`.
    Reverted,
}

const ENDS: [End; 6] = [
    End::Typed("exit()\r"),
    End::Typed("\x04"),
    End::Killed,
    End::Typed("quit\r"),
    End::Reverted,
    End::Typed("os._exit(3)\r"),
];

struct Prompt {
    session: TerminalSession,
    tree: PathBuf,
    asked: u32,
}

impl Prompt {
    /// At its prompt, or none where it is not installed.
    fn new() -> Option<Self> {
        let program = outside::find("ipython3")?;
        let place = Place::new();
        let tree = place.work().join("tree");
        fs::create_dir(&tree).expect("the place is ours");
        let mut session = Launch::program(program)
            .args(["--no-banner", "--no-confirm-exit", "--colors=NoColor"])
            .env("HOME", &tree)
            .env("EDITOR", "true")
            .env("IPYTHONDIR", tree.join("ipython"))
            // The far side does not answer where its cursor is.
            .env("PROMPT_TOOLKIT_NO_CPR", "1")
            .directory(&tree)
            .life_seconds(1200)
            .place(&place)
            .terminal();
        session.wait_for_text("In [1]:");
        Some(Self {
            session,
            tree,
            asked: 0,
        })
    }

    /// What it prints for an expression. It has run all lines before then.
    fn ask(&mut self, expression: &str) -> String {
        self.asked += 1;
        self.session.ask_python(self.asked, expression, "\nIn [")
    }

    fn type_lines(&mut self, lines: &[&str]) {
        for line in lines {
            self.session.type_in(&format!("{line}\r"));
            self.ask("0");
        }
    }

    /// Has it write its history down, which a thread does at any time else.
    fn settle(&mut self) {
        self.ask("get_ipython().history_manager.writeout_cache()");
    }

    /// How many lines of this session are in its database.
    fn lines_in_history(&mut self) -> u32 {
        self.settle();
        let lines = self.ask(
            "get_ipython().history_manager.db.execute('select count(*) from history').fetchone()[0]",
        );
        lines.parse().expect("it is a number")
    }

    /// What must not change.
    fn look(&mut self) -> String {
        self.ask("total, [open(path).read() for path in paths], In[1]")
    }

    fn end_branch(&mut self, end: End) {
        let how = match end {
            End::Typed(keys) => {
                self.session.type_in(keys);
                "exit"
            }
            End::Killed => {
                self.session.signal_live(Signal::SIGKILL);
                "signal"
            }
            End::Reverted => {
                let output = self.session.command("revert", &[]);
                assert!(output.success(), "{output:?}");
                "revert"
            }
        };
        let ended = self.session.next("ended");
        assert_eq!(ended.text("how"), how, "{ended}");
        self.session.next("reverted");
    }

    /// Nothing has gone wrong on the screen so far.
    fn assert_quiet(&mut self) {
        let bytes = self.session.bytes();
        let all = String::from_utf8_lossy(&bytes);
        for word in ["Traceback", "locked", "history logging", "Error", "Warning"] {
            if all.contains(word) {
                self.session.fail(&format!("`{word}` is on the screen"));
            }
        }
    }
}

fn goes_on_at_its_prompt(rounds: u32) {
    let Some(mut prompt) = Prompt::new() else {
        return;
    };
    let mut seed = Seed::new();
    prompt.type_lines(&["total = 0"]);
    prompt.type_lines(&FILES);
    for round in 0..rounds {
        prompt.type_lines(&["total += 1"]);
        let (look, lines) = (prompt.look(), prompt.lines_in_history());
        assert!(look.starts_with(&(round + 1).to_string()), "{look}");
        prompt.settle();
        let then = Tree::of(&prompt.tree);
        prompt.session.take();
        if seed.below(4) > 0 {
            prompt.type_lines(&[
                "total = 'branch'; more = tempfile.TemporaryDirectory()",
                "sizes = [open(path, 'w').write('other') for path in ('new', edited)]",
                "os.rename(named.name, 'renamed'); directory.cleanup()",
                "%save -f saved 1-3",
                "%edit -x",
            ]);
            // Its thread for the history may be at work, so this is no time for a picture.
            assert!(prompt.tree.join("renamed").exists());
            prompt.type_lines(&["os.rename('renamed', named.name)"]);
        }
        let index = usize::try_from(round).expect("it is small") % ENDS.len();
        prompt.end_branch(ENDS[index]);
        let differences = then.differences(&Tree::of(&prompt.tree));
        if !differences.is_empty() {
            let what = format!("{:?}: {differences:#?}", ENDS[index]);
            prompt.session.fail(&what);
        }
        assert_eq!(prompt.look(), look);
        assert!(prompt.lines_in_history() > lines);
        prompt.assert_quiet();
        deadline::renew();
    }
    // Where no snapshot is left, it closes and deletes for good.
    prompt.session.type_in("exit()\r");
    assert!(prompt.session.wait_gone().success());
    prompt.assert_quiet();
    let history = prompt.tree.join("ipython/profile_default/history.sqlite");
    if let Some(sqlite) = outside::find("sqlite3") {
        let mut command = Command::new(sqlite);
        command.arg("-batch").arg(&history).arg(
            "PRAGMA integrity_check; SELECT count(*) FROM sessions WHERE \"end\" IS NOT NULL;",
        );
        let seen = deadline::run(&mut command);
        assert_eq!(seen.stdout, "ok\n1\n", "{seen:?}");
    }
    let left: Vec<_> = fs::read_dir(&prompt.tree)
        .expect("the place is ours")
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn ipython_goes_on_at_its_prompt() {
    goes_on_at_its_prompt(ROUNDS);
}

#[test]
#[ignore = "takes minutes"]
fn ipython_goes_on_at_its_prompt_many_times() {
    goes_on_at_its_prompt(MANY_ROUNDS);
}
