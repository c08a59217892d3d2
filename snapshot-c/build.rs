//! Gives the shared library what cargo doesn't.
//!
//! - Its soname, `libsnapshot.so.0.1`: a program that is linked with one version then finds a newer
//!   one that it can use.
//! - That it stays when it is closed (`dlclose`): its signal handlers and its thread may be there.

fn main() {
    let part = |name: &str| std::env::var(name).expect("cargo sets it for build scripts");
    let major = part("CARGO_PKG_VERSION_MAJOR");
    let minor = part("CARGO_PKG_VERSION_MINOR");
    // Before version 1 each minor version may break what was.
    let version = if major == "0" {
        format!("0.{minor}")
    } else {
        major
    };
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsnapshot.so.{version}");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
