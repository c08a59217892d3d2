//! Guest: has a temporary file and a temporary directory of the crate `tempfile` in its working
//! directory. `look` answers whether all are there; `drop` drops them and exits, as a program does
//! at the end of `main`.

use std::io::{Read, Seek, Write};

fn main() {
    let mut named = tempfile::NamedTempFile::new_in(".").expect("the directory is ours");
    let mut unnamed = tempfile::tempfile_in(".").expect("the directory is ours");
    let directory = tempfile::tempdir_in(".").expect("the directory is ours");
    let inner = directory.path().join("inner");
    std::fs::write(&inner, "inner").expect("the directory is ours");
    write!(named, "named").expect("it is open");
    write!(unnamed, "unnamed").expect("it is open");
    for line in std::io::stdin().lines() {
        match line.expect("stdin is text").as_str() {
            "look" => {
                let mut text = String::new();
                unnamed.rewind().expect("it is open");
                unnamed.read_to_string(&mut text).expect("it is open");
                let read = |path: &std::path::Path| std::fs::read_to_string(path);
                let all = read(named.path()).is_ok_and(|text| text == "named")
                    && read(&inner).is_ok_and(|text| text == "inner")
                    && text == "unnamed";
                println!("ok {}", if all { "all" } else { "some" });
            }
            "drop" => return,
            other => panic!("no such command: {other}"),
        }
    }
}
