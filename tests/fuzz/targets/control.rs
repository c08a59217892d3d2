//! Fuzz: what comes over a session's control socket, from a client and to one. Garbage is never
//! a request; what is understood means the same when it is said again; and what a person is
//! shown of it steers no terminal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use snapshot_launch::timeline_view;
use snapshot_launch::{
    control::{Answer, Request},
    event::Event,
};

const COMMANDS: [&str; 5] = ["list", "take", "revert", "commit", "drop"];

fuzz_target!(|bytes: &[u8]| {
    // The first byte says how wide the terminal is.
    let Some((&width, bytes)) = bytes.split_first() else {
        return;
    };
    for line in bytes.split(|&byte| byte == b'\n') {
        if let Ok(request) = serde_json::from_slice::<Request>(line) {
            check_request(line, &request);
        }
        if let Ok(answer) = serde_json::from_slice::<Answer>(line) {
            check_answer(&answer, width.into());
        }
        if let Ok(event) = serde_json::from_slice::<Event>(line) {
            let again = serde_json::to_vec(&event).expect("it can be written");
            assert_eq!(serde_json::from_slice::<Event>(&again).ok(), Some(event));
        }
    }
});

fn check_request(line: &[u8], request: &Request) {
    let again = serde_json::to_vec(request).expect("it can be written");
    assert!(!again.contains(&b'\n'), "a line is a request");
    assert_eq!(
        serde_json::from_slice::<Request>(&again).ok().as_ref(),
        Some(request)
    );
    // The kind of JSON does not matter; the word does.
    let said: Value = serde_json::from_slice(line).expect("it was understood before");
    let said = said.to_string();
    assert!(
        COMMANDS.iter().any(|command| said.contains(command)),
        "{said}"
    );
}

fn check_answer(answer: &Answer, width: usize) {
    let again = serde_json::to_vec(answer).expect("it can be written");
    assert!(!again.contains(&b'\n'), "a line is an answer");
    assert_eq!(
        serde_json::from_slice::<Answer>(&again).ok().as_ref(),
        Some(answer)
    );
    if let Answer::List(listing) = answer {
        for line in timeline_view::render(listing, width).lines() {
            assert!(line.chars().count() <= width.max(1), "{line:?}");
            assert!(!line.contains(|one: char| one.is_control()), "{line:?}");
        }
    }
}
