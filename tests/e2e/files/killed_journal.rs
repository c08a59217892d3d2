//! The journal is killed: another one takes its place, and the program notices nothing. What had
//! changed before is named.

use std::fs;
use std::path::Path;

use snapshot_tests::{Ending, Launch, PipedSession, Seed, Signal, deadline, process};

/// How often it is killed.
const KILLS: usize = 30;

/// Makes, renames, links and removes files as fast as it can. Each call must succeed.
const WORKER: &str = "
import os, sys
count = 0
def once(n):
    name = f'made-{n}'
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.write(fd, b'made')
    os.close(fd)
    os.mkdir(f'dir-{n}')
    os.symlink(name, f'symlink-{n}')
    os.link(name, f'link-{n}')
    os.rename(name, f'dir-{n}/moved')
    os.rename(f'link-{n}', f'symlink-{n}')
    os.mkfifo(f'fifo-{n}')
    os.mkdir(f'other-{n}')
    os.rename(f'dir-{n}/moved', f'other-{n}/moved')
    os.rename(f'other-{n}', f'dir-{n}')
    os.unlink(f'dir-{n}/moved')
    os.rmdir(f'dir-{n}')
    os.unlink(f'fifo-{n}')
    os.unlink(f'symlink-{n}')
    with open('old', 'r+') as old:
        old.write(str(n))
        old.truncate()
print('ready', flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == 'work':
        # Until the file of this name is there.
        while not os.path.exists('stop'):
            once(count)
            count += 1
        os.unlink('stop')
    try:
        left = sorted(os.listdir('.'))
    except OSError as error:
        left = error
    print('ok', count, *left, flush=True)
";

fn worker() -> Option<PipedSession> {
    let python = snapshot_tests::outside::find("python3")?;
    let mut session = Launch::program(python).arg("-c").arg(WORKER).piped();
    fs::write(session.place().work().join("old"), "at the take").expect("the place is ours");
    session.next_line("ready", |line| line == "ready");
    Some(session)
}

/// The journal below this session's supervisor.
fn journal(session: &mut PipedSession) -> Option<i32> {
    let supervisor = session.supervisor_pid();
    let children = format!("/proc/{supervisor}/task/{supervisor}/children");
    let children = fs::read_to_string(children).unwrap_or_default();
    let pids = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    let is_journal = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "snap-journal"
    };
    pids.filter(is_journal).find(|pid| process::is_alive(*pid))
}

fn kill_journal(session: &mut PipedSession) {
    let mut killed = 0;
    session.wait_until("there is a journal", || true);
    let found = deadline::wait(|| journal(session));
    if let Some(pid) = found {
        process::send(pid, Signal::SIGKILL);
        killed = pid;
    }
    // It is reaped, and another one works.
    let next = deadline::wait(|| journal(session).filter(|pid| *pid != killed));
    assert!(next.is_some(), "no other journal was started");
}

fn old(work: &Path) -> String {
    fs::read_to_string(work.join("old")).unwrap_or_default()
}

#[test]
fn no_call_fails_or_waits_for_ever() {
    let Some(mut session) = worker() else { return };
    let mut seed = Seed::new();
    session.take();
    session.send("work");
    for _ in 0..KILLS {
        seed.idle(std::time::Duration::from_millis(20));
        kill_journal(&mut session);
        deadline::renew();
    }
    let work = session.place().work();
    fs::write(work.join("stop"), "").expect("the place is ours");
    let answer = session.next_line("work is done", |line| line.starts_with("ok "));
    let mut words = answer.split(' ').skip(1);
    let count: u64 = words
        .next()
        .and_then(|count| count.parse().ok())
        .expect("a number");
    assert!(count > 0, "it got nothing done");
    assert_eq!(words.collect::<Vec<_>>(), ["old"], "{answer}");
    assert_eq!(old(&work), (count - 1).to_string());
    let said = session.stderr();
    assert!(
        said.contains("does not come back for the snapshots up to #1"),
        "{said}"
    );
}

#[test]
fn whoever_waits_for_files_hears_of_it() {
    let Some(mut session) = worker() else { return };
    session.take();
    let pid = journal(&mut session).expect("it is there");
    process::send(pid, Signal::SIGSTOP);
    session.signal_live(Signal::SIGKILL);
    session.wait_until_stderr("bringing files back");
    process::send(pid, Signal::SIGCONT);
    session.next("reverted");
}

#[test]
fn a_snapshot_from_before_says_what_its_files_are() {
    let Some(mut session) = worker() else { return };
    let work = session.place().work();
    session.take();
    fs::write(work.join("stop"), "").expect("the place is ours");
    session.ask("work");
    kill_journal(&mut session);
    session.end_branch(Ending::Kill);
    session.wait_until_stderr("files are as they were when it was started again");
    // The next one has all of them.
    session.take();
    let then = old(&work);
    fs::write(work.join("new"), "by an outsider").expect("the place is ours");
    session.send("work");
    session.wait_until("it has written", || {
        old(&work) != then && !old(&work).is_empty()
    });
    session.end_branch(Ending::Kill);
    assert_eq!(old(&work), then);
    assert!(!session.stderr().contains("at #2"), "{}", session.stderr());
}
