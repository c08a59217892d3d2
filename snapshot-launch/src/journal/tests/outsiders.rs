//! Random programs beside which others replace files, as editors do. Their files stay, whatever
//! happens to the program's; and nothing of what the snapshot had is lost.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::chance::{Chance, seed};
use super::program::Program;
use super::random::act;
use super::tree::{Node, Tree};
use crate::journal::sys;

/// Somebody else's file, which is held to be found wherever it goes.
struct Theirs {
    file: File,
    path: PathBuf,
}

/// Saves a file as editors do.
fn replace(path: &Path, text: &str) -> Theirs {
    let new = path.with_file_name("theirs~");
    fs::write(&new, text).expect("the directory is open");
    fs::rename(&new, path).expect("the directory is open");
    Theirs {
        file: File::open(path).expect("it was made"),
        path: path.to_owned(),
    }
}

/// Up to three files, anywhere in the tree.
fn meddle(program: &Program, chance: &mut Chance) -> Vec<Theirs> {
    let mut files = program.paths();
    files.retain(|path| path.is_file() && !path.is_symlink());
    let mut theirs: Vec<Theirs> = Vec::new();
    for number in 0..chance.below(4) {
        let Some(path) = chance.pick(&files).cloned() else {
            break;
        };
        files.retain(|file| *file != path);
        theirs.push(replace(&path, &format!("theirs {number}")));
    }
    theirs
}

/// Where what was under a path may be: it, or a directory above, has made room.
fn places_beside(path: &Path) -> impl Iterator<Item = PathBuf> {
    path.ancestors().filter_map(move |above| {
        let name = above.file_name()?.to_string_lossy().into_owned();
        let rest = path.strip_prefix(above).ok()?;
        let new = above.with_file_name(format!("{name}.before-1"));
        Some(match rest.as_os_str().is_empty() {
            true => new,
            false => new.join(rest),
        })
    })
}

/// Everything is as it was, but for what others have put there.
fn must_be(program: &Program, then: &Tree, theirs: &[Theirs], news: &[String]) {
    let now = program.tree();
    let places = theirs
        .iter()
        .map(|theirs| sys::path_of(theirs.file.as_fd()));
    let places: Vec<PathBuf> = places.collect();
    // Or something above it is a directory of the branch with theirs in it.
    let holds_theirs = |path: &Path| {
        let mut all = path.ancestors().take_while(|of| *of != program.root());
        all.any(|path| places.iter().any(|theirs| theirs.starts_with(path)))
    };
    for path in then.paths() {
        let was = then.node(path).expect("it is in it");
        let is = now.node(path);
        let is_same = |is: &Node| match path.is_dir() {
            true => is.is_same_directory(was),
            // One that they had taken all names away from is a new one.
            false => is.is_like(was),
        };
        if is.is_some_and(is_same) {
            continue;
        }
        let before = places_beside(path).find_map(|path| now.node(&path));
        // A revert does nothing to a name of theirs that it doesn't speak of.
        let said = format!("{} ", path.display());
        let is_unsaid = !news.iter().any(|news| news.starts_with(&said));
        // It may have had another name too, and then that one leads to it.
        let is_kept = before.is_some_and(|before| before.is_like(was))
            || now.paths().any(|path| now.node(path) == Some(was));
        let shown = path.display();
        assert!(
            holds_theirs(path) && (is_unsaid || is_kept),
            "{shown}:\n was {was:?}\n is  {is:?}\n and {before:?}\n{news:#?}"
        );
    }
}

fn life(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut program = Program::new();
    for _ in 0..60 {
        act(&mut program, &mut chance);
    }
    // A closed directory would hide what happens in it.
    let mut targets = Vec::new();
    for _ in 0..=chance.below(3) {
        targets.push(program.take());
        for _ in 0..chance.below(50) {
            act(&mut program, &mut chance);
            program.levels.seal();
        }
    }
    let target = *chance.pick(&targets).expect("there is one");
    let then = program.before_revert(target, false);
    let theirs = meddle(&program, &mut chance);
    let outcome = program.levels.revert_to(target, false, false);
    assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
    let news = &outcome.outsiders;
    for (number, theirs) in theirs.iter().enumerate() {
        let path = sys::path_of(theirs.file.as_fd());
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_there = path.starts_with(program.root()) && text.starts_with("theirs");
        let was = theirs.path.display();
        assert!(is_there, "{number} at {was} is at {path:?}: {news:#?}");
    }
    must_be(&program, &then, &theirs, news);
    if theirs.is_empty() {
        assert_eq!(*news, Vec::<String>::new());
    }
}

#[test]
fn what_others_replace_stays() {
    if !nix::unistd::geteuid().is_root() {
        // The program closes directories to itself, and to others of the same user.
        return;
    }
    let first = seed();
    for seed in first..first + 300 {
        eprintln!("SEED={seed}");
        life(seed);
    }
}
