//! Finds the program, and checks whether the agent can be loaded into it. This comes before
//! anything runs, so that an unsuitable program is refused by name, and not at the first take.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

use crate::shortage;
use crate::talk::problem::{Problem, exit};

/// The most `#!` lines in a chain; the kernel allows as many.
const LONGEST_CHAIN: usize = 5;

/// A program that can be snapshotted.
#[derive(Debug)]
pub(crate) struct Found {
    /// The path that was asked for; it may be a script.
    pub(crate) path: PathBuf,
    /// The contents of the executable that the kernel runs for it.
    pub(crate) image: Vec<u8>,
}

/// Finds the program as a shell would, and checks that it can be snapshotted.
///
/// # Errors
/// If there is no such program, or the agent can't be loaded into it: what, cause, help.
pub(crate) fn find(program: &OsStr) -> Result<Found, Problem> {
    let name = program.to_string_lossy().into_owned();
    let cannot = || Problem::new(exit::SETUP, format!("cannot launch `{name}`"));
    let path = which::which(program).map_err(|_| {
        let looked_at = Path::new(program);
        if !program.as_bytes().contains(&b'/') {
            cannot()
                .cause("no program of that name is in PATH")
                .help("check the spelling, or give a path, as in `./program`")
        } else if looked_at.is_dir() {
            cannot()
                .cause("it is a directory")
                .help("name the program inside it")
        } else if looked_at.exists() {
            cannot()
                .cause("the file is not executable")
                .help(format!("make it so: `chmod +x {name}`"))
        } else {
            cannot().cause("no such file").help("check the path")
        }
    })?;
    if let Some(emulator) = emulator(&path) {
        return Err(cannot()
            .cause(format!(
                "{emulator} simulates the threads and system calls of what it runs, and a copy could not go on with them"
            ))
            .help("launch the program itself, without it"));
    }
    let image = check(&path, &name, LONGEST_CHAIN)?;
    Ok(Found { path, image })
}

/// The known emulator with this path: a program that simulates the one it runs.
pub(crate) fn emulator(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    // Parts of QEMU that run no program of this system.
    let runs_machines = [
        "system", "img", "io", "nbd", "ga", "edid", "keymap", "storage", "pr", "bridge", "vmsr",
    ];
    if let Some(rest) = name.strip_prefix("qemu-") {
        let part = rest.split('-').next().unwrap_or(rest);
        return (!runs_machines.contains(&part)).then_some("QEMU");
    }
    let directory = path.parent().and_then(Path::file_name);
    // Its tools lie in a directory with its name: `libexec/valgrind/memcheck-amd64-linux`.
    if matches!(name, "valgrind" | "valgrind.bin") || directory == Some(OsStr::new("valgrind")) {
        return Some("Valgrind");
    }
    match name {
        "rr" => Some("rr"),
        "box64" => Some("Box64"),
        "FEXInterpreter" | "FEXBash" | "FEX" => Some("FEX"),
        "drrun" => Some("DynamoRIO"),
        _ => None,
    }
}

/// Checks whether a session could have launched a program, by its executable.
///
/// # Errors
/// As [`find`].
pub(crate) fn check_executable(path: &Path, name: &str) -> Result<(), Problem> {
    check(path, name, 0).map(drop)
}

/// Checks an executable and returns its contents.
fn check(path: &Path, name: &str, chain: usize) -> Result<Vec<u8>, Problem> {
    let cannot = || Problem::new(exit::SETUP, format!("cannot snapshot `{name}`"));
    let unreadable = |error: std::io::Error| {
        let help = shortage::help_for(&error)
            .unwrap_or("a program must be readable for the agent to be loaded into it");
        cannot()
            .cause(format!("{} can't be read: {error}", path.display()))
            .help(help)
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.mode() & 0o6000 != 0 {
        return Err(cannot()
            .cause("it is set-uid or set-gid, and the kernel lets nothing be loaded into it")
            .help("run a copy without that bit, as the user it needs"));
    }
    let mut start = [0; 4];
    let mut file = File::open(path).map_err(unreadable)?;
    let read = file.read(&mut start).map_err(unreadable)?;
    if start[..read].starts_with(b"#!") {
        let interpreter = interpreter_of(path).map_err(unreadable)?;
        let Some(interpreter) = interpreter else {
            return Err(cannot()
                .cause("its `#!` line names no interpreter")
                .help("write one, as in `#!/bin/sh`"));
        };
        if !interpreter.exists() {
            return Err(cannot()
                .cause(format!(
                    "its interpreter {} does not exist",
                    interpreter.display()
                ))
                .help("install it, or correct the script's first line"));
        }
        if chain == 0 {
            return Err(cannot()
                .cause("its interpreter is a script, and so on without end")
                .help("name a program in the `#!` line"));
        }
        return check(&interpreter, name, chain - 1);
    }
    if start != elf::ELFMAG {
        return Err(cannot()
            .cause("it is neither a program nor a script with a `#!` line")
            .help("write the interpreter into its first line, as in `#!/bin/sh`, or launch the interpreter with it"));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    check_elf(&bytes, &cannot)?;
    Ok(bytes)
}

/// The interpreter that a `#!` line names.
fn interpreter_of(script: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut line = Vec::new();
    // The kernel reads no more than this either.
    BufReader::new(File::open(script)?.take(256)).read_until(b'\n', &mut line)?;
    let words = line.get(2..).unwrap_or(&[]);
    let first = words
        .split(|byte| byte.is_ascii_whitespace())
        .find(|word| !word.is_empty());
    Ok(first.map(|word| PathBuf::from(OsStr::from_bytes(word))))
}

fn check_elf(bytes: &[u8], cannot: &dyn Fn() -> Problem) -> Result<(), Problem> {
    let damaged = |error: object::read::Error| {
        cannot()
            .cause(format!("it is no valid executable: {error}"))
            .help("build it again")
    };
    let foreign = || {
        cannot()
            .cause("it is built for another processor")
            .help("build it for x86_64-unknown-linux-gnu")
    };
    // The byte after the four magic ones tells 32 or 64 bits.
    if bytes.get(elf::ELFMAG.len()) != Some(&elf::ELFCLASS64.0) {
        return Err(foreign());
    }
    let header = elf::FileHeader64::<LittleEndian>::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Err(foreign());
    }
    let mut loader = None;
    for segment in header.program_headers(endian, bytes).map_err(damaged)? {
        if let Some(path) = segment.interpreter(endian, bytes).map_err(damaged)? {
            loader = Some(path);
        }
    }
    match loader {
        None => Err(cannot()
            .cause("it is a static executable, and the agent is loaded by the dynamic loader")
            .help("link it dynamically; for Rust, build for x86_64-unknown-linux-gnu without `crt-static`")),
        Some(loader) if loader.windows(4).any(|part| part == b"musl") => Err(cannot()
            .cause("it is linked with musl, and the agent needs glibc")
            .help("build it for x86_64-unknown-linux-gnu")),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(program: &str) -> String {
        let problem = find(OsStr::new(program)).expect_err("it is to be refused");
        assert_eq!(problem.code, exit::SETUP);
        assert!(problem.help.is_some());
        problem.cause.expect("a refusal has a cause")
    }

    #[test]
    fn finds_a_program_by_name_and_by_path() {
        assert!(find(OsStr::new("sh")).is_ok());
        assert!(find(OsStr::new("/bin/sh")).is_ok());
    }

    #[test]
    fn refuses_what_is_not_there() {
        assert!(cause("no-such-program-anywhere").contains("PATH"));
        assert!(cause("/no/such/file").contains("no such file"));
        assert!(cause("/tmp").contains("directory"));
        assert!(cause("/etc/passwd").contains("not executable"));
    }

    #[test]
    fn knows_what_simulates() {
        for (path, expected) in [
            ("/usr/bin/valgrind", Some("Valgrind")),
            ("/usr/bin/valgrind.bin", Some("Valgrind")),
            (
                "/usr/libexec/valgrind/memcheck-amd64-linux",
                Some("Valgrind"),
            ),
            ("/usr/bin/qemu-x86_64", Some("QEMU")),
            ("/usr/bin/qemu-aarch64-static", Some("QEMU")),
            ("/usr/bin/qemu-system-x86_64", None),
            ("/usr/bin/qemu-img", None),
            ("/usr/bin/rr", Some("rr")),
            ("/usr/bin/rrdtool", None),
            ("/usr/bin/python3", None),
            ("/", None),
        ] {
            assert_eq!(emulator(Path::new(path)), expected, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn noise_is_refused_without_a_panic(noise: Vec<u8>) {
            let cannot = || Problem::new(exit::SETUP, "cannot");
            proptest::prop_assert!(check_elf(&noise, &cannot).is_err());
        }
    }
}
