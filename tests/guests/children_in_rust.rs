//! Guest: children of Rust's `std::process`. A command a line; each child ends with the
//! status that it reads from its stdin.

use std::io::{Write, stdin};
use std::process::{Child, Command, ExitStatus, Stdio};

fn tell(status: Option<ExitStatus>) {
    match status.map(|status| status.code()) {
        None => println!("ok running"),
        Some(None) => println!("ok signal"),
        Some(Some(code)) => println!("ok {code}"),
    }
}

fn main() {
    let mut children: Vec<Child> = Vec::new();
    for line in stdin().lines() {
        let line = line.expect("stdin is text");
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse::<usize>().expect("a child's number");
        match words[..] {
            ["start"] => {
                let child = Command::new("sh")
                    .args(["-c", "read status; exit $status"])
                    .stdin(Stdio::piped())
                    .spawn()
                    .expect("a shell is everywhere");
                println!("ok {}", child.id());
                children.push(child);
            }
            ["end", child, status] => {
                let stdin = children[number(child)]
                    .stdin
                    .as_mut()
                    .expect("it is a pipe");
                writeln!(stdin, "{status}").expect("it reads");
                println!("ok");
            }
            // `wait` would close its stdin, and end the shell by that.
            ["wait", child] => {
                let child = &mut children[number(child)];
                let stdin = child.stdin.take();
                tell(child.wait().ok());
                child.stdin = stdin;
            }
            ["poll", child] => tell(children[number(child)].try_wait().expect("it is a child")),
            ["kill", child] => {
                children[number(child)].kill().expect("it is a child");
                println!("ok");
            }
            _ => println!("err {line}"),
        }
    }
}
