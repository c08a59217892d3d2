//! Guest: uses the terminal like a full-screen program. It switches the terminal to raw, prints
//! each typed byte in hexadecimal, and ends on `Q`, restoring the terminal; on `X` it aborts
//! and leaves it raw.

use std::io::{Read, Write};

use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

fn main() {
    let stdin = std::io::stdin();
    let sane = tcgetattr(&stdin).expect("stdin is a terminal");
    let mut raw = sane.clone();
    cfmakeraw(&mut raw);
    tcsetattr(&stdin, SetArg::TCSANOW, &raw).expect("stdin is a terminal");
    say("raw now");
    for byte in stdin.lock().bytes() {
        match byte.expect("a terminal can be read") {
            b'Q' => break,
            b'X' => std::process::abort(),
            byte => say(&format!("key {byte:02x}")),
        }
    }
    tcsetattr(&stdin, SetArg::TCSANOW, &sane).expect("stdin is a terminal");
    println!("goodbye");
}

fn say(text: &str) {
    print!("{text}\r\n");
    std::io::stdout().flush().expect("stdout is a terminal");
}
