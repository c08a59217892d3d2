//! Guest: another program that speaks to a session's socket: `knock SOCKET LINE` sends the line
//! and prints the answer, or why there was none.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let socket = arguments.next().expect("usage: knock SOCKET LINE");
    let line = arguments.next().expect("usage: knock SOCKET LINE");
    let mut stream = match UnixStream::connect(&socket) {
        Ok(stream) => stream,
        Err(error) => return println!("no entry: {error}"),
    };
    println!("connected");
    let mut answer = String::new();
    match writeln!(stream, "{line}").and_then(|()| stream.read_to_string(&mut answer)) {
        Ok(_) => println!("answer: {answer}"),
        Err(error) => println!("hung up: {error}"),
    }
}
