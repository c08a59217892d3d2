//! Guest: a target of afl-fuzz in Rust. A worker thread takes each input from a channel, and panics at a
//! second `=`. With the word `alone` there is no worker. Not built by cargo: the test compiles it with AFL++'s coverage.

use std::sync::mpsc::channel;
use std::thread;

fn parse(input: &[u8]) {
    let mut values = 0;
    for &byte in input {
        if byte == b'=' {
            values += 1;
            assert!(values < 2, "one value too many");
        }
    }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("alone") {
        return snapshot_core::persistent(parse).expect("it can be copied");
    }
    let (ask, asked) = channel::<Vec<u8>>();
    let (tell, told) = channel();
    thread::spawn(move || {
        for input in asked {
            let is_fine = std::panic::catch_unwind(|| parse(&input)).is_ok();
            tell.send(is_fine).expect("it is awaited");
        }
    });
    let mut runs = 0;
    let run = |input: &[u8]| {
        runs += 1;
        assert_eq!(runs, 1, "no run sees another");
        ask.send(input.to_vec()).expect("the worker lives");
        assert!(told.recv().expect("the worker lives"), "it has panicked");
    };
    snapshot_core::persistent(run).expect("it can be copied");
}
