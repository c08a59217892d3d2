//! Transfers without another thread: another process reads.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use crate::bytes::PART;
use crate::channel::Channel;
use crate::kind::{Call, Kind};
use crate::steady::{Tally, give_all, slowly};

/// How many transfers there are without another thread.
const FEW: usize = 20;

/// In this thread, to a process that reads slowly.
pub fn alone(kind: Kind) {
    let Call::Gives(call) = kind.call else {
        return;
    };
    let Channel { writer, reader } = (kind.channel)();
    let own = std::env::current_exe().expect("it has a path");
    let mut other = Command::new(own)
        .arg("read")
        .stdin(reader)
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    println!("begun");
    let tally = Tally::default();
    for _ in 0..FEW {
        give_all(call, writer.as_raw_fd(), &tally);
    }
    println!("done {}", tally.short.load(Ordering::Relaxed));
    drop(writer);
    other.wait().expect("it is a child");
    // The session ends it: an exit would be a revert.
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// The process that reads slowly, until nothing more comes.
pub fn read_to_the_end() {
    let mut buffer = vec![0; PART];
    while let Ok(1..) = std::io::stdin().read(&mut buffer) {
        slowly();
    }
}
