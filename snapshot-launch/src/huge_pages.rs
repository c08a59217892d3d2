//! Whether the program's heap uses huge pages, and the environment that asks for them.
//!
//! A take copies page tables: some 10 ms a gigabyte with pages of 4 KB, and half a millisecond
//! with huge ones. No call gives another program huge pages, but glibc's `malloc` asks for them
//! if its tunables say so. `docs/limits.md` has the costs, and
//! [`snapshot_core::kernel::tunables`] the reason for each setting.
//!
//! Context: TOOL.
#![expect(unsafe_code, reason = "asks libc for its version")]

use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit};
use object::LittleEndian;
use object::elf;
use object::read::elf::{Dyn, FileHeader, Sym};
use snapshot_core::kernel::tunables;

use crate::flags::HugePages;

/// The settings in the program's environment.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The value of `GLIBC_TUNABLES`.
    pub(crate) value: OsString,
    /// How many bytes at its beginning the agent takes out before `main`.
    pub(crate) ours: usize,
}

type Variable = (OsString, OsString);

/// The settings for a program with this executable, if any.
pub(crate) fn settings(wanted: HugePages, image: &[u8], added: &[Variable]) -> Option<Settings> {
    if wanted == HugePages::Never || !machine_has_them() || !heap_may_grow_at_once() {
        return None;
    }
    let environment = environment(added);
    if brings_an_allocator(image, &environment) {
        return None;
    }
    merge(&environment)
}

/// The program's environment, as far as the launcher knows it.
fn environment(added: &[Variable]) -> Vec<Variable> {
    let is_new = |name: &OsStr| added.iter().all(|(other, _)| other != name);
    std::env::vars_os()
        .filter(|(name, _)| is_new(name))
        .chain(added.iter().cloned())
        .collect()
}

fn merge(environment: &[Variable]) -> Option<Settings> {
    let entries: Vec<Vec<u8>> = environment
        .iter()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    let mut entry = Vec::new();
    let ours = tunables::add(entries.iter().map(Vec::as_slice), |bytes| {
        entry.extend_from_slice(bytes);
        Some(())
    })?;
    (ours > 0).then(|| Settings {
        value: OsString::from_vec(entry.split_off(tunables::VARIABLE.len())),
        ours,
    })
}

/// Whether the kernel and libc support huge pages.
fn machine_has_them() -> bool {
    let policy = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let kernel = policy.is_ok_and(|policy| !policy.contains("[never]"));
    let allowed = !prctl::get_thp_disable().unwrap_or(false);
    kernel && allowed && libc_version() >= Some((2, 35))
}

/// The first glibc with the tunable is 2.35. The program's glibc is normally the launcher's
/// own.
fn libc_version() -> Option<(u32, u32)> {
    // SAFETY: has no preconditions; the answer is a constant C string.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: as above.
    let version = unsafe { CStr::from_ptr(version) }.to_str().ok()?;
    parse_version(version)
}

fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether the limits let a heap take 64 MB of addresses at once, most of which it never
/// touches.
fn heap_may_grow_at_once() -> bool {
    let unlimited = |what| getrlimit(what).is_ok_and(|(soft, _)| soft == libc::RLIM_INFINITY);
    // 2: the kernel promises no more memory than it has.
    let strict = fs::read_to_string("/proc/sys/vm/overcommit_memory")
        .is_ok_and(|policy| policy.trim() == "2");
    unlimited(Resource::RLIMIT_AS) && unlimited(Resource::RLIMIT_DATA) && !strict
}

/// Parts of the names of allocator libraries.
const LIBRARIES: [&str; 7] = [
    "jemalloc", "tcmalloc", "mimalloc", "snmalloc", "rpmalloc", "hoard", "scudo",
];

/// Prefixes of the functions of linked-in allocators. Rust's crates for them use such names,
/// apart from libc's `malloc`.
const FUNCTIONS: [&[u8]; 9] = [
    b"_rjem_",
    b"je_malloc",
    b"mi_malloc",
    b"_mi_malloc",
    b"sn_malloc",
    b"sn_rust_alloc",
    b"tc_malloc",
    b"TCMalloc",
    b"rpmalloc",
];

fn is_of_an_allocator(function: &[u8]) -> bool {
    function == b"malloc" || FUNCTIONS.iter().any(|start| function.starts_with(start))
}

/// Whether the program has an allocator of its own, which ignores glibc's settings.
///
/// For a script this looks at its interpreter; a later exec or load is unknown. A stripped
/// program with a linked-in allocator looks like any other.
fn brings_an_allocator(image: &[u8], environment: &[Variable]) -> bool {
    let preloaded = environment
        .iter()
        .find(|(name, _)| name == "LD_PRELOAD")
        .map(|(_, list)| list.as_bytes())
        .unwrap_or_default();
    let by_preload = preloaded
        .split(|byte| matches!(byte, b':' | b' '))
        .filter(|library| !library.is_empty())
        .any(|library| {
            let path = Path::new(OsStr::from_bytes(library));
            is_named_after_one(&path.to_string_lossy())
                || fs::read(path).is_ok_and(|library| has_one(&library))
        });
    by_preload || has_one(image)
}

fn is_named_after_one(library: &str) -> bool {
    let file = library.rsplit('/').next().unwrap_or(library);
    LIBRARIES.iter().any(|name| file.contains(name))
}

/// Whether an executable or a library defines an allocator, or needs a library that does. False
/// for unreadable files.
fn has_one(bytes: &[u8]) -> bool {
    look_for_one(bytes).unwrap_or(false)
}

fn look_for_one(bytes: &[u8]) -> object::read::Result<bool> {
    let header = elf::FileHeader64::<LittleEndian>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    for table in [elf::SHT_DYNSYM, elf::SHT_SYMTAB] {
        let symbols = sections.symbols(endian, bytes, table)?;
        for symbol in symbols.iter() {
            let defined = symbol.st_shndx(endian) != elf::SHN_UNDEF;
            if defined && is_of_an_allocator(symbols.symbol_name(endian, symbol)?) {
                return Ok(true);
            }
        }
    }
    if let Some((entries, strings)) = sections.dynamic(endian, bytes)? {
        let strings = sections.strings(endian, bytes, strings)?;
        for entry in entries {
            if entry.tag(endian) == elf::DT_NEEDED {
                let name = entry.string(endian, strings)?;
                if is_named_after_one(&String::from_utf8_lossy(name)) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("2.36"), Some((2, 36)));
        assert_eq!(parse_version("2.4.1"), Some((2, 4)));
        assert!(parse_version("2.100") > parse_version("2.35"));
        assert_eq!(parse_version("two"), None);
        assert!(libc_version() >= Some((2, 34)));
    }

    #[test]
    fn allocators_are_known_by_the_names_of_their_libraries() {
        assert!(is_named_after_one("libjemalloc.so.2"));
        assert!(is_named_after_one("/usr/lib/libtcmalloc_minimal.so.4"));
        assert!(!is_named_after_one("/home/jemalloc/libc.so.6"));
    }

    #[test]
    fn the_shell_has_none_and_a_script_is_looked_at_by_its_interpreter() {
        let shell = program::find(OsStr::new("/bin/sh")).expect("it is everywhere");
        assert!(!brings_an_allocator(&shell.image, &[]));
        let directory = tempfile::tempdir().expect("the temp directory is writable");
        let script = directory.path().join("script");
        fs::write(&script, "#!/bin/sh\n").expect("it is ours");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let found = program::find(script.as_os_str()).expect("its interpreter is there");
        assert_eq!((found.path, found.image), (script, shell.image.clone()));
        let preload = |path: &str| vec![("LD_PRELOAD".into(), path.into())];
        assert!(brings_an_allocator(
            &shell.image,
            &preload("/nowhere/first.so:/nowhere/libmimalloc.so")
        ));
        assert!(!brings_an_allocator(
            &shell.image,
            &preload("/nowhere/other.so")
        ));
    }

    #[test]
    fn what_is_added_hides_what_is_inherited() {
        let added = vec![("PATH".into(), "mine".into())];
        let paths: Vec<Variable> = environment(&added)
            .into_iter()
            .filter(|(name, _)| name == "PATH")
            .collect();
        assert_eq!(paths, added);
    }

    proptest::proptest! {
        #[test]
        fn noise_has_no_allocator(noise: Vec<u8>) {
            proptest::prop_assert!(!has_one(&noise));
        }
    }
}
