//! Installed programs, unmodified: an interpreter, a shell, a database, and a fresh cargo
//! project.

use std::time::Duration;

use snapshot_tests::{Launch, Signal, binaries, deadline, outside, process};

/// A line `name N` as N.
fn number(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()
}

#[test]
fn python_counts_aborts_and_counts_on() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let script = "
import os, time
state = {'count': 0, 'seen': []}
while True:
    state['count'] += 1
    state['seen'].append(state['count'])
    assert state['seen'] == list(range(1, state['count'] + 1))
    print('count', state['count'], flush=True)
    if os.path.exists('abort'):
        os.remove('abort')
        os.abort()
    time.sleep(0.01)
";
    // The file is there again after a revert, since the branch has removed it.
    let mut session = Launch::program(python)
        .flag("--no-files")
        .args(["-c", script])
        .piped();
    let trigger = session.place().work().join("abort");
    session.next_line("it counts", |line| number(line, "count") >= Some(5));
    session.take();
    // The first number after the snapshot; those before it are out already.
    let shown = session.stdout();
    let taken_at = shown
        .lines()
        .filter_map(|line| number(line, "count"))
        .max()
        .expect("it counted");
    session.next_line("it goes on", |line| {
        number(line, "count") >= Some(taken_at + 10)
    });
    std::fs::write(&trigger, "").expect("the place is ours");
    let ended = session.next("ended");
    assert_eq!(ended.number("signal"), i64::from(libc::SIGABRT));
    session.next("reverted");
    session.next_line("it counts on from the snapshot", |line| {
        number(line, "count").is_some_and(|count| count <= taken_at + 1)
    });
    session.next_line("and on", |line| {
        number(line, "count") >= Some(taken_at + 20)
    });
    session.interrupt_at_root();
}

/// Ends an interpreter by its own KeyboardInterrupt, or whatever it makes of SIGINT.
trait AtRoot {
    fn interrupt_at_root(&mut self);
}

impl AtRoot for snapshot_tests::PipedSession {
    fn interrupt_at_root(&mut self) {
        self.signal(Signal::SIGINT);
        assert!(!self.wait_gone().success());
    }
}

#[test]
fn python_keeps_its_own_interrupt() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let script = "
import sys, signal
print('ready', signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
value = 'before'
while True:
    try:
        line = sys.stdin.readline().strip()
        if line == 'get':
            print('value', value, flush=True)
        elif line:
            value = line
        else:
            break
    except KeyboardInterrupt:
        print('interrupted', flush=True)
";
    let mut session = Launch::program(python).args(["-u", "-c", script]).piped();
    assert_eq!(
        session.next_line("ready", |line| line.starts_with("ready")),
        "ready True"
    );
    session.signal(Signal::SIGINT);
    session.next_line("its own", |line| line == "interrupted");
    session.take();
    session.send("after");
    session.send("get");
    session.next_line("changed", |line| line == "value after");
    session.interrupt();
    session.send("get");
    session.next_line("back", |line| line == "value before");
    deadline::pace(Duration::from_millis(250));
    session.signal(Signal::SIGINT);
    session.next_line("its own again", |line| line == "interrupted");
    session.close_stdin();
    assert!(session.wait_gone().success());
}

#[test]
fn python_cleans_its_temporary_files_up_once() {
    // The fifth defect as it was met: a reverted branch deleted what the snapshot needs.
    let Some(python) = outside::find("python3") else {
        return;
    };
    let script = "
import atexit, os, sys, tempfile
file = tempfile.NamedTemporaryFile()
print('ready', flush=True)
for line in sys.stdin:
    print('exists', os.path.exists(file.name), flush=True)
";
    let mut session = Launch::program(python).args(["-u", "-c", script]).piped();
    session.next_line("ready", |line| line == "ready");
    for _ in 0..3 {
        session.take();
        assert!(session.command("revert", &[]).success());
        session.next("reverted");
        session.send("look");
        session.next_line("the file is there", |line| line == "exists True");
    }
    session.close_stdin();
    assert!(session.wait_gone().success());
}

#[test]
fn bash_reads_commands_and_forgets_some() {
    let Some(bash) = outside::find("bash") else {
        return;
    };
    let mut session = Launch::program(bash).arg("--norc").piped();
    session.send("value=before; list=(1 2 3); echo ready");
    session.next_line("ready", |line| line == "ready");
    session.take();
    session.send("value=after; list+=(4); echo \"$value ${#list[@]}\"");
    session.next_line("changed", |line| line == "after 4");
    session.send("kill -SEGV $$");
    assert_eq!(session.next("reverted").number("id"), 1);
    session.send("echo \"$value ${#list[@]}\"");
    session.next_line("back", |line| line == "before 3");
    // Its own children and their status work as before.
    session.send("(exit 3); echo \"status $?\"; true | false; echo \"status $?\"");
    session.next_line("a subshell", |line| line == "status 3");
    session.next_line("a pipeline", |line| line == "status 1");
    session.take();
    session.send("sleep 0.01 & wait $!; echo \"waited $?\"");
    session.next_line("a job", |line| line == "waited 0");
    session.interrupt();
    session.send("exit 6");
    assert_eq!(session.wait_gone().code(), Some(6));
}

#[test]
fn bash_in_a_terminal() {
    let Some(bash) = outside::find("bash") else {
        return;
    };
    let mut session = Launch::program(bash)
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "inner> ")
        .terminal();
    session.wait_for_text("inner> ");
    session.type_in("value=before; echo \"now $value\"\n");
    session.next_line("set", |line| line.ends_with("now before"));
    session.command_key("s");
    session.next("taken");
    session.type_in("value=after; echo \"now $value\"\n");
    session.next_line("changed", |line| line.ends_with("now after"));
    session.command_key("r");
    session.next("reverted");
    session.type_in("echo \"now $value\"\n");
    session.next_line("back", |line| line.ends_with("now before"));
    // Job control in the program's terminal is bash's own.
    session.type_in("sleep 1000\n");
    let live = session.live_pid();
    session.wait_until("sleep is in front", || {
        process::Process::all()
            .iter()
            .any(|child| child.parent == live && child.name == "sleep")
    });
    session.type_in("\x1a");
    session.next_line("stopped", |line| line.contains("Stopped"));
    session.type_in("kill -KILL %1; disown %1; exit 4\n");
    assert_eq!(session.wait_gone().code(), Some(4));
    session.assert_sane();
}

#[test]
fn sqlite_forgets_a_row() {
    let Some(sqlite) = outside::find("sqlite3") else {
        return;
    };
    let mut session = Launch::program(sqlite).args(["-batch", ":memory:"]).piped();
    session.send("CREATE TABLE t(name TEXT); INSERT INTO t VALUES('kept'); SELECT 'ready';");
    session.next_line("ready", |line| line == "ready");
    session.take();
    session.send("INSERT INTO t VALUES('undone'); SELECT 'rows ' || count(*) FROM t;");
    session.next_line("two", |line| line == "rows 2");
    session.signal_live(Signal::SIGKILL);
    session.next("reverted");
    session.send("SELECT 'rows ' || count(*) || ' ' || max(name) FROM t;");
    session.next_line("one", |line| line.starts_with("rows ") && line != "rows 2");
    session.send("PRAGMA integrity_check; SELECT name FROM t WHERE name <> 'kept';");
    session.next_line("whole", |line| line == "ok");
    assert!(session.stdout().contains("rows 1 kept\n"));
    session.send(".quit");
    assert!(session.wait_gone().success());
}

#[test]
fn a_cargo_new_project() {
    let place = snapshot_tests::Place::new();
    let mut new = std::process::Command::new(binaries::cargo());
    place.furnish(&mut new);
    let output = deadline::run(new.args(["new", "--vcs", "none", "hello"]));
    assert!(output.success(), "{output:?}");
    let project = place.work().join("hello");

    // As it is: it prints and ends.
    let output = Launch::cargo_snapshot(&["run", "--offline"])
        .directory(&project)
        .place(&place)
        .piped()
        .finish();
    assert_eq!(output.stdout, "Hello, world!\n", "{output:?}");
    assert!(output.success(), "{output:?}");

    // And with something to come back to.
    let main = "fn main() {\n    let mut seen = vec![\"begin\".to_owned()];\n    \
                for line in std::io::stdin().lines() {\n        let line = line.unwrap();\n        \
                if line == \"crash\" { std::process::abort(); }\n        \
                seen.push(line);\n        println!(\"{seen:?}\");\n    }\n}\n";
    std::fs::write(project.join("src/main.rs"), main).expect("the place is ours");
    let mut session = Launch::cargo_snapshot(&["run", "--offline"])
        .directory(&project)
        .place(&place)
        .piped();
    session.send("one");
    session.next_line("one", |line| line == r#"["begin", "one"]"#);
    session.take();
    session.send("two");
    session.next_line("two", |line| line == r#"["begin", "one", "two"]"#);
    session.send("crash");
    session.next("reverted");
    session.send("three");
    session.next_line("back", |line| line == r#"["begin", "one", "three"]"#);
    session.close_stdin();
    assert!(session.wait_gone().success());
}
