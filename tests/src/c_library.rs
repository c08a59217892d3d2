//! The library for C: built once a test process as the tool is, and installed into a test's place as
//! a user installs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::place::Place;
use crate::{binaries, deadline};

/// How a program has the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// As `libsnapshot.so`.
    Shared,
    /// As `libsnapshot.a`, inside the program.
    Static,
}

/// The library for C, installed.
#[derive(Debug)]
pub struct CLibrary {
    prefix: PathBuf,
}

impl CLibrary {
    /// Installs it into `prefix` of this place.
    ///
    /// # Panics
    /// When it does not build, or `make` is not there.
    pub fn install(place: &Place) -> Self {
        Self::built();
        let prefix = place.path("prefix");
        let output = deadline::run(
            Self::make()
                .arg("--directory")
                .arg(binaries::workspace().join("snapshot-c"))
                .arg("install")
                .env("PREFIX", &prefix),
        );
        assert!(output.success(), "{output:?}");
        Self { prefix }
    }

    /// Where cargo has put the shared one.
    ///
    /// # Panics
    /// When it does not build.
    pub fn built() -> &'static Path {
        static BUILT: OnceLock<PathBuf> = OnceLock::new();
        BUILT.get_or_init(|| {
            deadline::guard_this_process();
            let built = binaries::cargo_build(&["--lib", "-p", "snapshot-c"]);
            let files = built.into_iter().flat_map(|artifact| artifact.filenames);
            let mut shared = files.filter(|file| file.file_name() == Some("libsnapshot.so"));
            let shared = shared.next().expect("cargo has built it");
            shared.into_std_path_buf()
        })
    }

    /// `make` for the library, set to what this test process builds.
    pub fn make() -> Command {
        let mut make = Command::new("make");
        Self::set_build(&mut make);
        make
    }

    /// Has any `make` below this command take what this test process builds.
    pub fn set_build(command: &mut Command) {
        command
            .env("CARGO", binaries::cargo())
            .env("TARGET_DIR", binaries::target_directory())
            .env(
                "PROFILE",
                if binaries::is_release() {
                    "release"
                } else {
                    "dev"
                },
            );
    }

    /// Where its headers are.
    pub fn headers(&self) -> PathBuf {
        self.prefix.join("include")
    }

    /// The shared library, as a program asks for it.
    pub fn shared(&self) -> PathBuf {
        self.prefix.join("lib/libsnapshot.so")
    }

    /// What pkg-config reads.
    pub fn pkg_config_directory(&self) -> PathBuf {
        self.prefix.join("lib/pkgconfig")
    }

    /// Compiles a program in C or C++ with it into `directory`, with all warnings as errors. Returns
    /// the program's path.
    ///
    /// # Panics
    /// When it does not compile.
    pub fn compile(&self, source: &Path, linked: Linked, directory: &Path) -> PathBuf {
        let is_cpp = source.extension().is_some_and(|end| end == "cpp");
        let (compiler, standard) = match is_cpp {
            true => ("c++", "-std=c++11"),
            false => ("cc", "-std=c99"),
        };
        let strict = [standard, "-Wpedantic"];
        self.compile_by(compiler, &strict, source, linked, directory)
    }

    /// The same by another compiler, with these options as well.
    ///
    /// # Panics
    /// When it does not compile.
    pub fn compile_by(
        &self,
        compiler: &str,
        options: &[&str],
        source: &Path,
        linked: Linked,
        directory: &Path,
    ) -> PathBuf {
        let include = format!("-I{}", self.headers().display());
        let library = self.prefix.join("lib");
        let search = format!("-L{}", library.display());
        let run_path = format!("-Wl,-rpath,{}", library.display());
        let archive = library.join("libsnapshot.a").display().to_string();
        let private = self.private_libraries();
        let mut options = options.to_vec();
        options.extend(["-Wall", "-Wextra", "-Werror", "-O1", "-pthread", &include]);
        match linked {
            Linked::Shared => options.extend([search.as_str(), "-lsnapshot", &run_path]),
            Linked::Static => {
                options.push(&archive);
                options.extend(private.split_whitespace());
            }
        }
        binaries::compile(compiler, source, &options, directory)
    }

    /// What a program needs beside the archive.
    fn private_libraries(&self) -> String {
        let file = self.pkg_config_directory().join("snapshot.pc");
        let text = std::fs::read_to_string(file).expect("it was installed");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Libs.private:"));
        line.expect("it names them").to_owned()
    }
}
