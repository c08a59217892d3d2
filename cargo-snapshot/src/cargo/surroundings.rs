//! The parts of this process's surroundings that matter to the program: the path of cargo,
//! rustc's libraries, the loader's search path, and the `[env]` tables of cargo's
//! configuration.
//!
//! Everything here reads the environment, the disk or rustc, so that `program_env` and
//! `loader_path` stay pure. `commands::run` looks once, after the build.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{
    config_env::{self, ConfigVariable},
    flags::CargoFlags,
    toolchain::Toolchain,
};

/// The variable that says where the dynamic linker looks first.
pub const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// The parts of this process's surroundings that matter to the program.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The cargo that built it.
    pub cargo: PathBuf,
    /// Where rustc keeps its shared libraries, if rustc says.
    pub rustc_libraries: Option<PathBuf>,
    /// The `LD_LIBRARY_PATH` of this process.
    pub loader_path: Option<OsString>,
    /// The variables of cargo's configuration, without those that the environment overrides.
    pub configured: BTreeMap<String, ConfigVariable>,
}

impl Surroundings {
    /// Looks around.
    pub fn look(toolchain: &Toolchain, flags: &CargoFlags) -> Self {
        let mut configured = match std::env::current_dir() {
            Ok(directory) => config_env::read(&directory, cargo_home().as_deref()),
            Err(_) => BTreeMap::new(),
        };
        configured.retain(|name, variable| variable.force || std::env::var_os(name).is_none());
        Self {
            cargo: toolchain.cargo_path(),
            rustc_libraries: rustc_libraries(toolchain, flags),
            loader_path: std::env::var_os(LIBRARY_PATH),
            configured,
        }
    }
}

fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// Asks rustc. Only a program that links to the shared standard library needs the answer, so a
/// failure is no error.
fn rustc_libraries(toolchain: &Toolchain, flags: &CargoFlags) -> Option<PathBuf> {
    let mut rustc = Command::new(toolchain.rustc());
    rustc
        .args(["--print", "target-libdir"])
        .stderr(Stdio::null());
    if let Some(target) = &flags.target {
        rustc.args(["--target", target]);
    }
    let output = rustc
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let directory = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(directory.trim_end()))
}
