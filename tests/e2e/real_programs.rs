//! Programs that know nothing of the tool, as they come: an interpreter, a shell, what
//! `cargo new` makes, a database. Each is snapshotted, led astray, and comes back.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use snapshot_tests::{Launch, PipedSession, Place, Signal, binaries, deadline, outside, process};

/// Counts, keeps the way on the heap, aborts or leaves when a file says so. The file is
/// gone before the abort, since a revert does not bring it back.
const LOOP: &str = r#"
import os, time
step, way = 0, []
while True:
    step += 1
    way.append(step)
    print("step", step, sum(way), flush=True)
    if os.path.exists("abort"):
        os.remove("abort")
        os.abort()
    time.sleep(0.005)
"#;

/// The number of a `step` line, whose sum shows whether the heap fits to it.
fn step(line: &str) -> Option<u64> {
    let mut words = line.strip_prefix("step ")?.split(' ');
    let step: u64 = words.next()?.parse().ok()?;
    let sum: u64 = words.next()?.parse().ok()?;
    assert_eq!(sum, step * (step + 1) / 2, "the list is not what it was");
    Some(step)
}

fn next_step(session: &mut PipedSession) -> u64 {
    let line = session.next_line("a step", |line| line.starts_with("step "));
    step(&line).expect("a step line")
}

/// The step that is not the successor of the one before it, once there is one.
fn fallen_back(stdout: &str) -> Option<(u64, u64)> {
    let complete = &stdout[..stdout.rfind('\n')?];
    let steps: Vec<u64> = complete.lines().filter_map(step).collect();
    let mut pairs = steps.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    let found = pairs.next().map(|pair| (pair[0], pair[1]));
    assert!(pairs.next().is_none(), "it fell back twice: {steps:?}");
    found
}

#[test]
fn a_python_loop_goes_on_from_the_snapshot_after_an_abort() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let mut session = Launch::program(python).args(["-c", LOOP]).piped();
    let before = next_step(&mut session);
    session.take();
    let at_most = session.stdout().lines().filter_map(step).max();
    let at_most = at_most.expect("it has made steps") + 1;
    // Far enough that the branch has something to lose.
    while next_step(&mut session) < at_most + 5 {}
    let abort = session.place().work().join("abort");
    std::fs::write(abort, "").expect("the place is ours");

    let ended = session.next("ended");
    assert_eq!(ended.text("how"), "signal");
    assert_eq!(ended.number("signal"), Signal::SIGABRT as i64);
    session.next("reverted");
    let stdout = || session.stdout();
    let (last, first) = deadline::wait(|| fallen_back(&stdout())).expect("it goes on");
    assert!(before < first && first <= at_most + 1, "{before} {first} {at_most}");
    assert!(last > first, "it lost the branch: {last} {first}");

    // At depth 0 Ctrl+C is Python's own, once.
    let launcher = session.launcher_pid();
    process::send(launcher, Signal::SIGINT);
    let output = session.finish();
    assert_eq!(
        output.stderr.matches("\nKeyboardInterrupt").count(),
        1,
        "{}",
        output.stderr
    );
    assert_eq!(output.status.signal(), Some(Signal::SIGINT as i32));
}

#[test]
fn a_python_variable_has_its_old_value_after_an_abort() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let script = "import os, sys\nprint('ready', flush=True)\nfor line in sys.stdin: exec(line)";
    let mut session = Launch::program(python).args(["-u", "-c", script]).piped();
    session.next_line("ready", |line| line == "ready");
    session.send("state = {'city': 'Bern'}");
    session.send("print('was', state)");
    session.next_line("the value", |line| line == "was {'city': 'Bern'}");
    for _ in 0..3 {
        session.take();
        session.send("state['city'] = 'Riga'; state['more'] = list(range(100000))");
        session.send("print('is', state['city'], len(state))");
        session.next_line("the change", |line| line == "is Riga 2");
        session.send("os.abort()");
        session.next("reverted");
        session.send("print('again', state)");
        session.next_line("the old value", |line| line == "again {'city': 'Bern'}");
    }
    session.send("sys.exit(7)");
    assert_eq!(session.finish().status.code(), Some(7));
}

#[test]
fn bash_forgets_what_it_was_told_after_the_snapshot() {
    let Some(bash) = outside::find("bash") else {
        return;
    };
    let mut session = Launch::program(bash).piped();
    session.send("x=before; list=(a b c); f() { echo \"f of $x\"; }; echo told");
    session.next_line("told", |line| line == "told");
    let endings = [
        "kill -KILL $BASHPID",
        "kill -SEGV $BASHPID",
        "exit 9",
        "ulimit -c 0; kill -ABRT $BASHPID",
    ];
    for ending in endings {
        session.take();
        session.send("x=after; unset list; f() { echo wrong; }; echo \"now $x\"");
        session.next_line("the change", |line| line == "now after");
        session.send(ending);
        session.next("reverted");
        session.send("echo \"$x ${list[*]} $(f | cat)\"");
        session.next_line(ending, |line| line == "before a b c f of before");
    }
    session.send("exit 3");
    assert_eq!(session.finish().status.code(), Some(3));
}

#[test]
fn bash_reads_commands_in_a_terminal() {
    let Some(bash) = outside::find("bash") else {
        return;
    };
    let mut session = Launch::program(bash)
        .args(["--noprofile", "--norc", "--noediting", "-i"])
        .env("PS1", "$x> ")
        .terminal();
    session.next("started");
    session.type_in("x=before\n");
    session.wait_for_screen("the new prompt", |screen| screen.trim_end().ends_with("before>"));
    session.command_key("s");
    session.next("taken");
    session.type_in("x=after\n");
    session.wait_for_screen("the changed prompt", |screen| screen.trim_end().ends_with("after>"));
    session.type_in("kill -KILL $BASHPID\n");
    session.next("reverted");
    // A command in the foreground: the shell lends the terminal and has it back.
    session.type_in("cat <<<\"$x again\"\n");
    session.next_line("what it was", |line| line == "before again");
    session.type_in("exit 4\n");
    assert_eq!(session.wait_gone().code(), Some(4));
    session.assert_sane();
}

/// What `cargo new` makes, in a place of its own.
fn cargo_new(place: &Place, name: &str) -> std::path::PathBuf {
    let mut command = Command::new(binaries::cargo());
    place.furnish(&mut command);
    let output = deadline::run(command.args(["new", "--offline", "--vcs", "none", name]));
    assert!(output.success(), "{}", output.stderr);
    place.work().join(name)
}

fn run(place: &std::sync::Arc<Place>, project: &Path) -> Launch {
    Launch::cargo_snapshot(&["run", "--offline"])
        .place(place)
        .directory(project)
}

#[test]
fn what_cargo_new_makes_runs_twice_with_a_snapshot_at_its_start() {
    let place = Place::new();
    let project = cargo_new(&place, "hello");
    let mut session = run(&place, &project).flag("--at-start").piped();
    session.next("taken");
    session.next("reverted");
    session.next("finished");
    let output = session.finish();
    assert!(output.success());
    assert_eq!(output.stdout, "Hello, world!\nHello, world!\n");
    assert!(output.stderr.contains("Compiling hello"), "{}", output.stderr);
}

#[test]
fn a_panic_in_what_cargo_new_made_goes_back_to_the_snapshot() {
    let place = Place::new();
    let project = cargo_new(&place, "fragile");
    let source = r#"
fn main() {
    let mut words = vec![];
    for line in std::io::stdin().lines() {
        words.push(line.unwrap());
        println!("{} {}", words.len(), words[words.len().saturating_sub(2)..].join(" "));
        assert_ne!(words.last().unwrap(), "storm");
    }
}
"#;
    std::fs::write(project.join("src/main.rs"), source).expect("the place is ours");
    let mut session = run(&place, &project).piped();
    session.send("calm");
    session.next_line("one word", |line| line == "1 calm");
    session.take();
    session.send("wind");
    session.next_line("two words", |line| line == "2 calm wind");
    session.send("storm");
    let ended = session.next("ended");
    assert_eq!((ended.text("how"), ended.number("code")), ("exit", 101));
    session.next("reverted");
    session.send("sun");
    session.next_line("two other words", |line| line == "2 calm sun");
    let output = session.finish();
    assert!(output.success());
    assert!(output.stderr.contains("panicked at"), "{}", output.stderr);
}

#[test]
fn a_row_inserted_after_the_snapshot_is_gone() {
    let Some(sqlite) = outside::find("sqlite3") else {
        return;
    };
    let mut session = Launch::program(sqlite).args(["-batch", ":memory:"]).piped();
    session.send("create table city(name text primary key);");
    session.send("insert into city values('Bern');");
    session.send("select 'first', group_concat(name) from city;");
    session.next_line("one row", |line| line == "first|Bern");
    session.take();
    session.send("insert into city values('Riga');");
    session.send("select 'then', group_concat(name) from city;");
    session.next_line("two rows", |line| line == "then|Bern,Riga");
    session.interrupt();
    session.send("select 'back', group_concat(name) from city;");
    session.next_line("one row again", |line| line == "back|Bern");

    // In the middle of a transaction, by a crash.
    session.send("begin; insert into city values('Turku'); select 'open';");
    session.next_line("the transaction", |line| line == "open");
    session.take();
    session.send("insert into city values('Ghent'); commit; drop table city; select 'lost';");
    session.next_line("the loss", |line| line == "lost");
    session.signal_live(Signal::SIGSEGV);
    session.next("reverted");
    session.send("rollback; select 'end', group_concat(name) from city;");
    session.next_line("before the transaction", |line| line == "end|Bern");
    assert!(session.finish().success());
}
