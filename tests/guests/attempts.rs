//! Guest: attempts, hooks and what waits for a commit. `attempts SCENE` plays one scene and prints a
//! line for each step; the same scenes run under the launcher and alone.
#![expect(unsafe_code, reason = "breaks things on purpose")]

use std::cell::Cell;
use std::convert::Infallible;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use snapshot_core::{
    Arrival, AttemptError, Cause, RootOnly, Snapshot, SnapshotError, attempt, attempt_for, commit,
    depth, drop_snapshot, list, on_commit, on_revert, on_snapshot, revert, root_only, snapshot,
};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn main() -> Result {
    let scene = std::env::args().nth(1).unwrap_or_default();
    match scene.as_str() {
        "ok" => ok(),
        "error" => tried(|| Err("the numbers don't add up".to_owned())),
        "long" => tried(|| Err("ü".repeat(5000))),
        "panic" => tried(|| panic!("told to panic")),
        "panic-in-thread" => tried(|| {
            let thread = std::thread::spawn(|| panic!("told to panic in a thread"));
            thread.join().map_err(|_| "a thread panicked".to_owned())
        }),
        "abort" => tried(|| std::process::abort()),
        "segv" => tried(|| {
            // SAFETY: none, which is the point.
            unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
            Ok(())
        }),
        "stack" => tried(|| Err(deeper(0).to_string())),
        "memory" => tried(memory),
        "exit" => tried(|| std::process::exit(3)),
        "kill" => tried(|| {
            // SAFETY: ends this process.
            unsafe { libc::raise(libc::SIGKILL) };
            Ok(())
        }),
        "deadline" => deadline(),
        "in-time" => in_time(),
        "nested" => nested(),
        "hooks" => hooks(),
        "misuse" => misuse(),
        "commits" => commits(),
        "root-only" => root_only_values(),
        "child" => child(),
        "places" => places(),
        "many" => many(),
        "many-in-a-thread" => std::thread::spawn(|| many().map_err(|error| error.to_string()))
            .join()
            .expect("it doesn't panic")
            .map_err(Into::into),
        "wait" => wait(),
        other => {
            eprintln!("there is no scene {other:?}");
            std::process::exit(2);
        }
    }
}

/// An attempt that ends like this: what it did to memory is undone.
fn tried(f: impl FnOnce() -> std::result::Result<(), String>) -> Result {
    let memory = Cell::new(1);
    let outcome = attempt(|| {
        memory.set(2);
        f()
    });
    match &outcome {
        Err(AttemptError::Undone { cause, .. }) => {
            let text = cause.to_string();
            let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
            println!("undone: {} ({} bytes)", &text[..end], text.len());
        }
        other => println!("{other:?}"),
    }
    println!("memory {} depth {}", memory.get(), depth());
    Ok(())
}

fn ok() -> Result {
    let mut memory = vec![1];
    let got: std::result::Result<usize, AttemptError> = attempt(|| {
        memory.push(2);
        Ok::<_, Infallible>(memory.len())
    });
    println!("{got:?} memory {memory:?} depth {}", depth());
    Ok(())
}

#[expect(unconditional_recursion, reason = "that is what is tried")]
fn deeper(number: u64) -> u64 {
    let room = std::hint::black_box([number; 64]);
    deeper(number + 1) + room[7]
}

/// Takes more memory than the process may have.
fn memory() -> std::result::Result<(), String> {
    let most = libc::rlimit {
        rlim_cur: 256 << 20,
        rlim_max: 256 << 20,
    };
    // SAFETY: reads a structure.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const most) };
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; 16 << 20]);
        std::hint::black_box(&all);
    }
}

fn deadline() -> Result {
    let memory = Cell::new(1);
    let outcome = attempt_for(Duration::from_millis(50), || {
        memory.set(2);
        loop {
            std::thread::park();
        }
        #[expect(unreachable_code, reason = "names the type")]
        Ok::<(), Infallible>(())
    });
    let is_deadline = matches!(
        outcome,
        Err(AttemptError::Undone {
            cause: Cause::Deadline,
            ..
        })
    );
    println!("deadline {is_deadline} memory {}", memory.get());
    Ok(())
}

fn in_time() -> Result {
    let got = attempt_for(Duration::from_secs(100), || Ok::<_, Infallible>(7));
    println!("{got:?} depth {}", depth());
    Ok(())
}

/// An inner attempt that succeeds is undone with the outer one.
fn nested() -> Result {
    let memory = Cell::new(1);
    let outer: std::result::Result<(), _> = attempt(|| {
        let inner = attempt(|| {
            memory.set(2);
            Ok::<_, Infallible>(())
        });
        println!(
            "inner {} memory {} depth {}",
            inner.is_ok(),
            memory.get(),
            depth()
        );
        let inner: std::result::Result<(), _> = attempt(|| {
            memory.set(3);
            Err("inner")
        });
        println!(
            "inner {} memory {} depth {}",
            inner.is_ok(),
            memory.get(),
            depth()
        );
        Err("outer")
    });
    println!(
        "outer {} memory {} depth {}",
        outer.is_ok(),
        memory.get(),
        depth()
    );
    Ok(())
}

fn hooks() -> Result {
    for name in ["first", "second"] {
        on_snapshot(move || println!("{name} before a take"))?;
        on_revert(move || println!("{name} after a revert"))?;
    }
    let third = on_revert(|| println!("third is gone"))?;
    third.remove()?;
    if let Arrival::Live(_) = snapshot()? {
        println!("live");
        revert()?;
    }
    println!("back");
    Ok(())
}

fn misuse() -> Result {
    println!("revert at depth 0: {:?}", revert());
    on_snapshot(|| {
        println!("take in a hook: {:?}", snapshot().err());
        println!("revert in a hook: {:?}", revert());
        println!("commit in a hook: {:?}", commit());
    })?;
    if let Arrival::Live(id) = snapshot()? {
        println!("drop: {:?}", drop_snapshot(id));
        println!("again: {:?}", drop_snapshot(id));
        println!("depth {}", depth());
    }
    Ok(())
}

fn commits() -> Result {
    on_commit(|| println!("at once"))?;
    for _ in 0..2 {
        if let Arrival::Reverted(_) = snapshot()? {
            println!("back at depth {}", depth());
            println!("root only: {:?}", root_only(|| "now"));
            commit()?;
            println!("root only: {:?}", root_only(|| "now"));
            return Ok(());
        }
        let level = depth();
        on_commit(move || println!("waited since depth {level}"))?;
    }
    println!("nothing yet");
    println!("root only: {:?}", root_only(|| "now"));
    revert()?;
    Ok(())
}

struct Loud(&'static str);

impl Drop for Loud {
    fn drop(&mut self) {
        println!("dropped {}", self.0);
    }
}

fn root_only_values() -> Result {
    drop(RootOnly::new(Loud("at depth 0")));
    let in_branch = RootOnly::new(Loud("in a branch"));
    match snapshot()? {
        Arrival::Live(_) => {
            drop(in_branch);
            println!("not yet");
            match revert()? {}
        }
        Arrival::Reverted(_) => println!("still there: {}", in_branch.0),
    }
    let taken = in_branch.into_inner();
    if let Arrival::Live(_) = snapshot()? {
        drop(RootOnly::new(Loud("after the commit")));
        println!("committing");
        commit()?;
    }
    drop(taken);
    Ok(())
}

/// A child that is killed when its owner is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The seed's complaint: cleanup in a branch breaks the original.
fn child() -> Result {
    let mut child = RootOnly::new(Killed(Command::new("sleep").arg("1000").spawn()?));
    if let Arrival::Live(_) = snapshot()? {
        drop(child);
        match revert()? {}
    }
    println!("alive: {}", child.0.try_wait()?.is_none());
    drop(child);
    Ok(())
}

fn places() -> Result {
    let labelled = Snapshot::take().label("first").context("a test").now()?;
    let again = match labelled {
        Arrival::Live(_) => snapshot()?,
        Arrival::Reverted(_) => return Ok(()),
    };
    if let Arrival::Live(_) = again {
        for of in list()? {
            let place = of.place.map(|place| (place.file(), place.line() > 0));
            println!("{} {:?} {:?} {place:?}", of.id, of.label, of.context);
        }
    }
    Ok(())
}

/// More of them than a program alone can have snapshots.
fn many() -> Result {
    static DONE: AtomicU32 = AtomicU32::new(0);
    let mut failed = 0;
    for number in 0..100 {
        let outcome = attempt(|| {
            DONE.fetch_add(1, Ordering::Relaxed);
            if number % 3 == 0 {
                Err("third")
            } else {
                Ok(())
            }
        });
        match outcome {
            Ok(()) => {}
            Err(AttemptError::Undone { .. }) => failed += 1,
            Err(other) => return Err(other.into()),
        }
    }
    println!("done {} undone {failed}", DONE.load(Ordering::Relaxed));
    Ok(())
}

/// Waits for orders from outside: hooks and commits are due then.
fn wait() -> Result {
    on_revert(|| println!("hook"))?;
    println!("ready");
    for line in std::io::stdin().lines() {
        match line?.as_str() {
            "pend" => on_commit(|| println!("committed"))?,
            "depth" => println!("depth {}", depth()),
            other => return Err(SnapshotError::Refused).map_err(|_| other.to_owned().into()),
        }
        println!("ok");
    }
    Ok(())
}
