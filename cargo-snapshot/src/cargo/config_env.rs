//! The `[env]` tables of cargo's configuration files: variables that `cargo run` gives to the
//! program.
//!
//! No stable cargo command prints them, so this file reads the configuration by cargo's rules:
//! from the current directory upwards, then cargo's home; the nearest entry wins. It skips what
//! it can't parse, since cargo has refused that before. Called by `surroundings`.
//!
//! Limits: it follows neither `include` nor `--config`. It takes an entry whole from the nearest
//! file; cargo merges tables of the same name, so a `force` in a farther file holds as well.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// One entry of an `[env]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigVariable {
    /// Its value.
    pub value: String,
    /// Whether it wins over the environment.
    pub force: bool,
}

/// The variables that a cargo started in `directory` would set.
pub fn read(directory: &Path, cargo_home: Option<&Path>) -> BTreeMap<String, ConfigVariable> {
    let mut found = BTreeMap::new();
    for file in files(directory, cargo_home) {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let Ok(table) = text.parse::<Table>() else {
            continue;
        };
        let Some(Value::Table(entries)) = table.get("env") else {
            continue;
        };
        for (name, entry) in entries {
            if let Some(variable) = variable(entry, &file) {
                // The files come nearest first.
                found.entry(name.clone()).or_insert(variable);
            }
        }
    }
    found
}

/// The configuration files, nearest first.
fn files(directory: &Path, cargo_home: Option<&Path>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    let directories = directory
        .ancestors()
        .map(|ancestor| ancestor.join(".cargo"))
        .chain(cargo_home.map(Path::to_owned));
    for directory in directories {
        // The name without an extension is the old one. If both exist, cargo reads the old one.
        let file = ["config", "config.toml"]
            .into_iter()
            .map(|name| directory.join(name))
            .find(|file| file.is_file());
        if let Some(file) = file
            && !files.contains(&file)
        {
            files.push(file);
        }
    }
    files
}

/// One entry: a string, or a table with `value`, `force` and `relative`.
fn variable(entry: &Value, file: &Path) -> Option<ConfigVariable> {
    let flag = |name: &str| entry.get(name).and_then(Value::as_bool).unwrap_or(false);
    match entry {
        Value::String(value) => Some(ConfigVariable {
            value: value.clone(),
            force: false,
        }),
        Value::Table(table) => {
            let value = table.get("value")?.as_str()?;
            let value = if flag("relative") {
                // Relative to the parent of the `.cargo` directory.
                let root = file.parent()?.parent()?;
                root.join(value).to_str()?.to_owned()
            } else {
                value.to_owned()
            };
            Some(ConfigVariable {
                value,
                force: flag("force"),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        fs::create_dir_all(file.parent().expect("a file in a directory")).expect("a directory");
        fs::write(file, text).expect("a file");
    }

    #[test]
    fn the_nearest_entry_wins() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let root = temporary.path();
        write(
            root,
            ".cargo/config.toml",
            "[env]\nFAR = 'far'\nBOTH = 'far'\nPLACE = { value = 'x/y', relative = true }\n",
        );
        write(
            root,
            "in/.cargo/config.toml",
            "[build]\njobs = 1\n[env]\nBOTH = { value = 'near', force = true }\nODD = 3\n",
        );
        write(
            root,
            "home/config.toml",
            "[env]\nFAR = 'home'\nHOME_ONLY = 'home'\n",
        );
        let found = read(&root.join("in"), Some(&root.join("home")));
        let get = |name: &str| {
            found
                .get(name)
                .map(|found| (found.value.as_str(), found.force))
        };
        assert_eq!(get("BOTH"), Some(("near", true)));
        assert_eq!(get("FAR"), Some(("far", false)));
        assert_eq!(get("HOME_ONLY"), Some(("home", false)));
        assert_eq!(
            get("PLACE"),
            root.join("x/y").to_str().map(|path| (path, false))
        );
        assert_eq!(get("ODD"), None);
    }

    #[test]
    fn what_is_no_toml_is_skipped() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        write(temporary.path(), ".cargo/config.toml", "[env\n");
        let home = temporary.path().join("home");
        assert!(read(temporary.path(), Some(&home)).is_empty());
    }
}
