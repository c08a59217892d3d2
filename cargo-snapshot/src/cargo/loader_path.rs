//! Where the program finds its shared libraries: the value of `LD_LIBRARY_PATH`.
//!
//! The source is the cargo book, "Dynamic library paths". Pure; called by `program_env`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{artifact::Built, project::Project, surroundings::Surroundings};

/// The search path in its order: link paths of build scripts inside cargo's own directories, the
/// output directories, rustc's libraries, then what the variable held before. `None` if one of
/// them has a colon in its name: the variable can't hold it.
pub fn search_path(
    project: &Project,
    built: &Built,
    surroundings: &Surroundings,
) -> Option<OsString> {
    let root = built.root();
    let own: Vec<_> = project.build_directories().chain([root]).collect();
    let mut linked: Vec<PathBuf> = built
        .scripts
        .iter()
        .flat_map(|script| &script.linked_paths)
        .map(|path| bare_link_path(path.as_str()))
        .filter(|path| own.iter().any(|directory| path.starts_with(directory)))
        .map(Path::to_owned)
        .collect();
    linked.sort();
    let mut path = Vec::new();
    let candidates = linked
        .into_iter()
        .chain([root.to_owned(), root.join("deps")])
        .chain(built.loader_directories.iter().cloned())
        .chain(surroundings.rustc_libraries.clone());
    for directory in candidates {
        if !path.contains(&directory) {
            path.push(directory);
        }
    }
    let before: Vec<_> = surroundings
        .loader_path
        .iter()
        .flat_map(std::env::split_paths)
        .collect();
    if before.starts_with(&path) {
        path = before;
    } else {
        path.extend(before);
    }
    std::env::join_paths(path).ok()
}

/// A link path without its kind: `native=DIRECTORY` and its like.
fn bare_link_path(path: &str) -> &Path {
    let bare = match path.split_once('=') {
        Some(("native" | "crate" | "dependency" | "framework" | "all", bare)) => bare,
        _ => path,
    };
    Path::new(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::samples;

    fn found(before: Option<&str>) -> Option<String> {
        let surroundings = samples::surroundings(before);
        search_path(&samples::project(), &samples::built(), &surroundings)
            .map(|path| path.into_string().expect("the sample is text"))
    }

    #[test]
    fn libraries_are_found_where_cargo_put_them() {
        let ours = "/w/target/debug/build/a-1/out:/w/target/debug/build/d-1/out:\
                    /w/target/debug:/w/target/debug/deps:/opt/lib";
        assert_eq!(found(None).as_deref(), Some(ours));
        assert_eq!(
            found(Some("/before")).as_deref(),
            Some(format!("{ours}:/before").as_str())
        );
        // It doesn't grow if a program that cargo started runs it.
        let nested = format!("{ours}:/before");
        assert_eq!(found(Some(&nested)).as_deref(), Some(nested.as_str()));
    }
}
