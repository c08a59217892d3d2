//! Real programs in a branch that is killed: git, tar, make, rsync, npm, cargo, vim. The tree is as it
//! was, and the program's own checker finds nothing wrong.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use snapshot_tests::{Ending, Launch, PipedSession, Place, Seed, Tree, deadline, outside};

/// How often each branch is killed, and by hand.
const ROUNDS: u32 = 5;
const MANY_ROUNDS: u32 = 50;

/// A shell under the tool, which starts the programs.
struct Shell {
    session: PipedSession,
    tree: PathBuf,
    seed: Seed,
    tags: u32,
}

/// What a program does, as scripts that run in the tree.
struct Work {
    /// What it needs, beside the shell's own.
    programs: &'static [&'static str],
    /// Before the first take.
    prepare: &'static str,
    /// In a branch; how often it may run one after the other.
    branch: &'static str,
    /// Outside the session, after each revert: it changes nothing, and fails if something is wrong.
    check: &'static str,
    /// In the session, after each revert and that check: the program goes on.
    goes_on: Option<&'static str>,
}

impl Shell {
    fn new() -> Self {
        let place = Place::new();
        let tree = place.work().join("tree");
        fs::create_dir(&tree).expect("the place is ours");
        let session = Launch::program("/bin/sh")
            .env("HOME", &tree)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .directory(&tree)
            .life_seconds(600)
            .place(&place)
            .piped();
        Self {
            session,
            tree,
            seed: Seed::new(),
            tags: 0,
        }
    }

    /// Has it begin a script; returns the line that it prints at the end.
    fn begin(&mut self, script: &str) -> String {
        self.tags += 1;
        let done = format!("done {}", self.tags);
        let tree = self.tree.display();
        let script = script.replace('\n', " && ");
        self.session.send(&format!(
            "cd {tree} && {{ {script}; }} </dev/null >&2 && echo {done} || echo failed"
        ));
        done
    }

    fn finish(&mut self, done: &str) {
        let last = self
            .session
            .next_line(done, |line| line == done || line == "failed");
        if last == "failed" {
            self.session.fail("the program has failed");
        }
    }

    fn run(&mut self, script: &str) {
        let done = self.begin(script);
        self.finish(&done);
    }

    /// The branch is over, and the shell goes on; the tree is as it was.
    fn comes_back(&mut self, then: &Tree, work: &Work) {
        self.session.end_branch(Ending::Kill);
        self.tags += 1;
        let alive = format!("alive {}", self.tags);
        self.session.send(&format!("echo {alive}"));
        self.session.next_line(&alive, |line| line == alive);
        let differences = then.differences(&Tree::of(&self.tree));
        if !differences.is_empty() {
            self.session.fail(&format!("{differences:#?}"));
        }
        self.check(work);
    }

    fn check(&self, work: &Work) {
        let mut check = Command::new("/bin/sh");
        check.args(["-e", "-c", work.check]).current_dir(&self.tree);
        let checked = deadline::run(&mut check);
        assert!(checked.success(), "{checked:?}");
    }
}

/// Takes, lets the program run for a random part of the time that it needs, kills, and compares.
fn comes_back_often(work: &Work, rounds: u32) {
    if !work
        .programs
        .iter()
        .all(|program| outside::find(program).is_some())
    {
        return;
    }
    let mut shell = Shell::new();
    shell.run(work.prepare);
    shell.check(work);
    // Once to the end: that says how long it needs, and that it works under a snapshot.
    let then = Tree::of(&shell.tree);
    shell.session.take();
    let begin = Instant::now();
    shell.run(work.branch);
    let needed = begin.elapsed();
    let differences = then.differences(&Tree::of(&shell.tree));
    assert!(!differences.is_empty(), "the branch changes nothing");
    shell.check(work);
    shell.comes_back(&then, work);
    for round in 0..rounds {
        let then = Tree::of(&shell.tree);
        shell.session.take();
        shell.begin(work.branch);
        shell.seed.idle(needed.max(Duration::from_millis(1)));
        shell.comes_back(&then, work);
        if let Some(script) = work.goes_on {
            shell.run(script);
        }
        deadline::renew();
        if round % 4 == 3 {
            // The next branches are from another state.
            shell.run(work.branch);
        }
    }
}

macro_rules! programs {
    ($($name:ident, $often:ident: $work:expr;)+) => {
        $(
            #[test]
            fn $name() {
                comes_back_often(&$work, ROUNDS);
            }

            #[test]
            #[ignore = "takes a minute or more"]
            fn $often() {
                comes_back_often(&$work, MANY_ROUNDS);
            }
        )+
    };
}

programs! {
    a_killed_git_commit, many_killed_git_commits: GIT_COMMIT;
    a_killed_git_gc, many_killed_git_gcs: GIT_GC;
    a_killed_git_rebase, many_killed_git_rebases: GIT_REBASE;
    a_killed_tar, many_killed_tars: TAR;
    a_killed_make_install, many_killed_make_installs: MAKE;
    a_killed_rsync, many_killed_rsyncs: RSYNC;
    a_killed_npm_install, many_killed_npm_installs: NPM;
    a_killed_cargo_build, many_killed_cargo_builds: CARGO;
}

/// A repository with a branch beside the main one, without daemons.
const GIT_PREPARE: &str = "\
git init -q -b main repository
cd repository
git config user.name test
git config user.email test@localhost
git config gc.autoDetach false
git config maintenance.autoDetach false
for n in 1 2 3 4 5 6 7 8 9; do mkdir d$n && echo $n >d$n/file || exit 1; done
git add -A
git commit -q -m first
git checkout -q -b side
for n in 1 2 3; do echo side $n >>d$n/file && git commit -q -a -m side$n || exit 1; done
git checkout -q main
echo main >d9/file
git commit -q -a -m second";

/// It writes nothing.
const GIT_CHECK: &str = "cd repository
git --no-optional-locks fsck --full --strict --no-dangling --no-progress
git --no-optional-locks rev-parse --verify HEAD
test -z \"$(git --no-optional-locks status --porcelain)\"
test ! -e .git/index.lock";

const GIT_COMMIT: Work = Work {
    programs: &["git"],
    prepare: GIT_PREPARE,
    branch: "cd repository
for n in 1 2 3 4 5; do echo $n >>d$n/file && echo $n >d$n/new$$ && git add -A && git commit -q -m more || exit 1; done",
    check: GIT_CHECK,
    goes_on: None,
};

const GIT_GC: Work = Work {
    programs: &["git"],
    prepare: GIT_PREPARE,
    branch: "cd repository
echo more >>d1/file
git commit -q -a -m more
git gc -q --aggressive --prune=now
git repack -q -a -d -f
git pack-refs --all",
    check: GIT_CHECK,
    goes_on: None,
};

const GIT_REBASE: Work = Work {
    programs: &["git"],
    prepare: GIT_PREPARE,
    branch: "cd repository
echo more >>d8/file
git commit -q -a -m more
git rebase -q main side
git checkout -q main
git merge -q --no-ff -m merge side
git checkout -q -B side HEAD~1
git commit -q --allow-empty -m empty
git checkout -q main",
    check: GIT_CHECK,
    goes_on: None,
};

const TAR: Work = Work {
    programs: &["tar"],
    prepare: "\
mkdir -p old/a old/b
for n in 0 1 2 3 4 5 6 7 8 9; do for m in 0 1 2 3 4 5 6 7 8 9; do echo $n $m >old/a/$n$m || exit 1; done; done
ln -s a old/link
ln old/a/00 old/b/hard
tar cf all.tar old
mkdir over
tar xf all.tar -C over
rm over/old/a/5*
chmod 600 over/old/a/6*",
    branch: "mkdir -p new
tar xpf all.tar -C new
tar xpf all.tar -C over
rm -rf new/old/b
tar rf all.tar over",
    check: "tar tf all.tar",
    goes_on: None,
};

const MAKE: Work = Work {
    programs: &["make", "install"],
    prepare: "\
printf 'all: out/tool\\nout/tool: source\\n\\tmkdir -p out\\n\\tcp source out/tool.new\\n\\tmv out/tool.new out/tool\\ninstall: all\\n\\tinstall -D -m 755 out/tool root/bin/tool\\n\\tinstall -d root/share/doc\\n\\tinstall -m 644 Makefile root/share/doc\\n\\tln -sf tool root/bin/alias\\nclean:\\n\\trm -rf out\\n' >Makefile
echo one >source",
    branch: "make -s install
make -s clean
echo two >>source
make -s install",
    check: "test -s source && make -s -n install",
    goes_on: None,
};

const RSYNC: Work = Work {
    programs: &["rsync"],
    prepare: "\
mkdir -p from/a to/a
for n in 0 1 2 3 4 5 6 7 8 9; do echo $n >from/a/$n && ln -s $n from/a/l$n && echo old $n >to/a/$n$n || exit 1; done
ln from/a/1 from/hard",
    branch: "rsync -aHAX --delete from/ to/
date +%N >>from/a/5
rsync -aHAX --inplace from/ to/
rsync -aHAX --delete --backup --backup-dir=../kept to/a/ from/b/",
    check: "test -d from/a && test -d to/a",
    goes_on: None,
};

const NPM: Work = Work {
    programs: &["npm", "node"],
    prepare: "\
mkdir package app
echo '{\"name\":\"package\",\"version\":\"1.0.0\"}' >package/package.json
echo 'module.exports = 1' >package/index.js
echo '{\"name\":\"app\",\"version\":\"1.0.0\"}' >app/package.json
echo update-notifier=false >.npmrc",
    branch: "cd app
npm install --offline --no-audit --no-fund ../package
npm uninstall --offline --no-audit --no-fund package",
    check: "node -e 'JSON.parse(require(\"fs\").readFileSync(\"app/package.json\"))'",
    goes_on: None,
};

/// A crate with a build script, and a dependency beside it. Rustup's own `cargo` would look for
/// its toolchains in the home directory, which is the tree.
const CARGO_PREPARE: &str = "\
mkdir -p app/src dependency/src home
printf '[package]\\nname = \"app\"\\nedition = \"2021\"\\n[dependencies]\\ndependency = { path = \"../dependency\" }\\n[workspace]\\n' >app/Cargo.toml
printf '[package]\\nname = \"dependency\"\\nedition = \"2021\"\\n' >dependency/Cargo.toml
echo 'pub fn one() -> u32 { 1 }' >dependency/src/lib.rs
echo 'fn main() { std::fs::write(format!(\"{}/two.rs\", std::env::var(\"OUT_DIR\").unwrap()), \"2\").unwrap(); }' >app/build.rs
echo 'fn main() { assert_eq!(dependency::one() + include!(concat!(env!(\"OUT_DIR\"), \"/two.rs\")), 3); }' >app/src/main.rs
export CARGO_HOME=$PWD/home CARGO_NET_OFFLINE=true PATH=\"${CARGO%/*}:$PATH\"
cd app
cargo build -q";

const CARGO: Work = Work {
    programs: &["cargo", "rustc"],
    prepare: CARGO_PREPARE,
    branch: "cd app
cargo build -q --release
date '+// %s.%N' >>../dependency/src/lib.rs
date '+// %s.%N' >>build.rs
cargo build -q
cargo clean -q --release
cargo clean -q -p app
cargo build -q",
    check: "app/target/debug/app",
    // What was fresh at the take still is.
    goes_on: Some(
        "cd app
cargo build -v 2>../fresh
test $(grep -c Fresh ../fresh) = 2
date '+// %s.%N' >>src/main.rs
cargo build -v 2>../built
grep -q 'Fresh dependency' ../built
grep -q 'Compiling app' ../built
cargo build -v 2>../fresh
test $(grep -c Fresh ../fresh) = 2
target/debug/app",
    ),
};

/// The editor lives across the take, with its swap file.
#[test]
fn vim_goes_on_with_its_text_and_its_files() {
    let Some(vim) = outside::find("vim") else {
        return;
    };
    let place = Place::new();
    let tree = place.work().join("tree");
    fs::create_dir(&tree).expect("the place is ours");
    fs::write(tree.join("text"), "one\ntwo\n").expect("the place is ours");
    let mut session = Launch::program(vim)
        .args([
            "-es",
            "-u",
            "NONE",
            "-N",
            "-c",
            "set swapfile backup writebackup",
            "text",
        ])
        .directory(&tree)
        .env("HOME", &tree)
        .place(&place)
        .piped();
    // Printing is all that it does on stdout.
    let has = |session: &mut PipedSession, text: &[&str]| {
        session.send("%print");
        for expected in text {
            let line = session.next_line(expected, |line| !line.is_empty());
            assert_eq!(line, *expected);
        }
    };
    has(&mut session, &["one", "two"]);
    session.send("%s/one/three/");
    session.send("preserve");
    has(&mut session, &["three", "two"]);
    assert!(tree.join(".text.swp").exists());
    for round in 0..3 {
        let then = Tree::of(&tree);
        session.take();
        session.send("$put ='more'");
        session.send("write");
        session.send("preserve");
        session.send("saveas! another");
        has(&mut session, &["three", "two", "more"]);
        assert!(!then.differences(&Tree::of(&tree)).is_empty());
        session.end_branch(Ending::Kill);
        has(&mut session, &["three", "two"]);
        let differences = then.differences(&Tree::of(&tree));
        assert!(differences.is_empty(), "round {round}: {differences:#?}");
    }
    session.send("write");
    session.send("quit!");
    assert!(session.wait_gone().success());
    let text = fs::read_to_string(tree.join("text")).expect("it was written");
    assert_eq!(text, "three\ntwo\n");
}
