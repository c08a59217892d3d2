//! What `-p` may say: `name`, `name@1.2`, or a package's URL.
//!
//! The source is the cargo book, "Package ID specifications". Called by `target_choice`.

use cargo_metadata::Package;

/// Whether `spec` means this package: its name, `name@1.2`, or its URL with or without the part
/// after `#`.
pub fn is_meant_by(package: &Package, spec: &str) -> bool {
    let name = package.name.as_str();
    if spec == name || spec == package.id.repr {
        return true;
    }
    let version = package.version.to_string();
    let (left, right) = match spec.split_once(['@', '#']) {
        Some((left, right)) => (left, Some(right)),
        None => (spec, None),
    };
    let wanted_version = if left == name {
        right
    } else {
        let url = package.id.repr.split('#').next().unwrap_or_default();
        let bare = url.split_once('+').map_or(url, |(_, bare)| bare);
        if left != url && left != bare {
            return false;
        }
        match right.map(|right| right.split_once('@').unwrap_or(("", right))) {
            None => return true,
            Some((other, _)) if !other.is_empty() && other != name => return false,
            Some((_, right)) if right == name => return true,
            Some((_, version)) => Some(version),
        }
    };
    // The spec may give only the first parts of the version.
    wanted_version.is_some_and(|wanted| {
        version
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::samples::package;

    #[test]
    fn packages_are_meant_by_name_version_or_url() {
        let package: Package = serde_json::from_value(package("a", None, Vec::new()))
            .expect("this is what cargo prints");
        for spec in [
            "a",
            "a@1",
            "a@1.2",
            "a@1.2.3-rc.1",
            "path+file:///w/a#1.2.3-rc.1",
            "path+file:///w/a",
            "file:///w/a",
            "file:///w/a#1.2.3-rc.1",
            "file:///w/a#a",
            "file:///w/a#a@1.2",
        ] {
            assert!(is_meant_by(&package, spec), "{spec}");
        }
        for spec in [
            "",
            "b",
            "a@2",
            "a@1.",
            "a@",
            "a*",
            "file:///w/b",
            "file:///w/a#b@1",
            "file:///w/a#9",
        ] {
            assert!(!is_meant_by(&package, spec), "{spec}");
        }
    }
}
