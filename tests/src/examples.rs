//! Programs that say in their headers what they print, in blocks that are marked as text. With one block
//! it is the same everywhere; with two the first is for a program alone, the second for a session.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{Launch, binaries, deadline};

/// The examples of the library in Rust: the source of each, and the program.
///
/// # Panics
/// When one does not build.
pub fn in_rust() -> &'static [(PathBuf, PathBuf)] {
    static BUILT: OnceLock<Vec<(PathBuf, PathBuf)>> = OnceLock::new();
    BUILT.get_or_init(|| {
        deadline::guard_this_process();
        let built = binaries::cargo_build(&["--examples", "-p", "snapshot-core"]);
        let programs = built.into_iter().filter_map(|artifact| {
            let program = artifact.executable?.into_std_path_buf();
            Some((artifact.target.src_path.into_std_path_buf(), program))
        });
        programs.collect()
    })
}

/// One of them by its name.
///
/// # Panics
/// When there is no such example.
pub fn program(name: &str) -> &'static Path {
    let found = in_rust()
        .iter()
        .find(|(source, _)| source.file_stem().is_some_and(|stem| stem == name));
    let (_, program) = found.unwrap_or_else(|| panic!("there is no example `{name}`"));
    program
}

/// Runs an example to its end, and compares what it prints with what its source promises.
///
/// # Panics
/// When it prints something else, or fails.
pub fn keeps_its_promise(source: &Path, launch: Launch) {
    let is_session = launch.has_tool();
    let promised = promised(source, is_session);
    let output = launch.piped().finish();
    let printed: Vec<&str> = output.stdout.lines().collect();
    let name = source.display();
    assert_eq!(
        printed, promised,
        "{name}, under the launcher: {is_session}\n{output:?}"
    );
    assert!(output.success(), "{name}: {output:?}");
}

fn promised(source: &Path, is_session: bool) -> Vec<String> {
    let text = std::fs::read_to_string(source).expect("it is there, and text");
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut is_in_block = false;
    for line in text.lines() {
        // Rust's comments are marked; Python's docstring is not.
        let line = line.strip_prefix("//! ").unwrap_or(line);
        match line {
            "```text" => {
                is_in_block = true;
                blocks.push(Vec::new());
            }
            "```" => is_in_block = false,
            _ if is_in_block => blocks.last_mut().expect("it is open").push(line.to_owned()),
            _ => {}
        }
    }
    let block = match (is_session, blocks.len()) {
        (false, 1 | 2) | (true, 1) => blocks.swap_remove(0),
        (true, 2) => blocks.swap_remove(1),
        _ => panic!("{} does not say what it prints", source.display()),
    };
    assert!(!block.is_empty(), "{}", source.display());
    block
}
