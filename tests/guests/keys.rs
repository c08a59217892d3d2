//! Guest: a full-screen program as far as the terminal is concerned. It switches the
//! terminal to raw, prints each byte it is typed in hexadecimal, and ends on `Q`,
//! putting the terminal back; on `X` it aborts and leaves it raw.

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
