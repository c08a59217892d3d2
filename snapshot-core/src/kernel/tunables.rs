//! The tunables that make glibc's `malloc` ask for huge pages, merged with the user's own.
//!
//! A take copies page tables, and memory in huge pages has hardly any. The launcher sets these
//! tunables for the program. The agent takes them out of the environment before `main` and adds
//! them again at an exec. So both must agree on which part is whose.
//!
//! Context: AS-SAFE.

/// The variable that they are set by.
pub const VARIABLE: &[u8] = b"GLIBC_TUNABLES=";

struct Tunable {
    name: &'static [u8],
    value: &'static [u8],
    /// An older variable for the same setting, which `GLIBC_TUNABLES` would override.
    alias: &'static [u8],
}

/// The settings, and their reasons:
///
/// - `hugetlb=1`: glibc advises huge pages for heap memory.
/// - `top_pad`: a thread's heap grows page by page, and later pages are not advised. With this
///   value it gets its full 64 MB at once. The 64 KB less let glibc free an empty heap, which
///   it does only if the heap before has that much to spare.
/// - `mmap_threshold`: blocks of 128 KB to 32 MB would each have their own mapping, too small
///   or too badly aligned for huge pages. glibc raises the threshold to this value by itself as
///   large blocks are freed, but no longer once `top_pad` is set.
/// - `trim_threshold`: twice the size of a growth step, so that memory does not go back and
///   forth.
const HUGE_PAGES: [Tunable; 4] = [
    HUGETLB,
    Tunable {
        name: b"glibc.malloc.top_pad",
        value: b"67043328",
        alias: b"MALLOC_TOP_PAD_",
    },
    Tunable {
        name: b"glibc.malloc.mmap_threshold",
        value: b"33554432",
        alias: b"MALLOC_MMAP_THRESHOLD_",
    },
    Tunable {
        name: b"glibc.malloc.trim_threshold",
        value: b"134217728",
        alias: b"MALLOC_TRIM_THRESHOLD_",
    },
];

const HUGETLB: Tunable = Tunable {
    name: b"glibc.malloc.hugetlb",
    value: b"1",
    alias: b"",
};

impl Tunable {
    /// Its value in an entry of the environment.
    fn in_entry<'a>(&self, entry: &'a [u8]) -> Option<&'a [u8]> {
        if let Some(list) = entry.strip_prefix(VARIABLE) {
            return list
                .split(|&byte| byte == b':')
                .find_map(|setting| value_of(setting, self.name));
        }
        if self.alias.is_empty() {
            return None;
        }
        value_of(entry, self.alias)
    }
}

/// The value, if this is `name=value`.
fn value_of<'a>(setting: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    setting.strip_prefix(name)?.strip_prefix(b"=")
}

/// Writes `GLIBC_TUNABLES=` with our settings in front of the user's, for an environment with
/// these entries. Settings that the user makes are left out of ours; if the user refuses huge
/// pages, we set nothing.
///
/// Returns how many bytes of the value are ours; the user's begin there. If that is 0 nothing
/// was written, and the environment stays as it is. `None` if `put` failed.
pub fn add<'a>(
    entries: impl Iterator<Item = &'a [u8]> + Clone,
    mut put: impl FnMut(&[u8]) -> Option<()>,
) -> Option<usize> {
    let refused = entries
        .clone()
        .filter_map(|entry| HUGETLB.in_entry(entry))
        .any(|value| value != HUGETLB.value);
    if refused {
        return Some(0);
    }
    let mut ours = 0;
    for tunable in &HUGE_PAGES {
        if entries
            .clone()
            .any(|entry| tunable.in_entry(entry).is_some())
        {
            continue;
        }
        let before: &[u8] = if ours == 0 { VARIABLE } else { b":" };
        put(before)?;
        put(tunable.name)?;
        put(b"=")?;
        put(tunable.value)?;
        let colon = usize::from(ours > 0);
        ours += colon + tunable.name.len() + 1 + tunable.value.len();
    }
    if ours > 0
        && let Some(own) = entries
            .clone()
            .find_map(|entry| entry.strip_prefix(VARIABLE))
        && !own.is_empty()
    {
        put(b":")?;
        put(own)?;
        ours += 1;
    }
    Some(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our part and the user's part of the written value.
    fn merged(environment: &[&str]) -> (String, String) {
        let mut written = Vec::new();
        let entries = environment.iter().map(|entry| entry.as_bytes());
        let ours = add(entries, |bytes| {
            written.extend_from_slice(bytes);
            Some(())
        });
        let ours = ours.expect("there is room");
        let written = String::from_utf8(written).expect("text");
        if ours == 0 {
            assert_eq!(written, "");
            return (written.clone(), written);
        }
        let value = written.strip_prefix("GLIBC_TUNABLES=").expect("its name");
        let (ours, own) = value.split_at(ours);
        (ours.to_owned(), own.to_owned())
    }

    const ALL: &str = "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67043328:\
        glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=134217728";

    #[test]
    fn all_are_set_where_the_user_sets_none() {
        let empty = String::new;
        assert_eq!(merged(&[]), (ALL.to_owned(), empty()));
        let beside = ["HOME=/", "GLIBC_TUNABLES=", "MALLOC_ARENA_MAX=1"];
        assert_eq!(merged(&beside), (ALL.to_owned(), empty()));
    }

    #[test]
    fn the_users_own_stay_as_they_are_and_win() {
        let own = "glibc.malloc.tcache_count=3";
        let (ours, kept) = merged(&[&format!("GLIBC_TUNABLES={own}")]);
        assert_eq!((&*ours, &*kept), (&*format!("{ALL}:"), own));

        let own = "glibc.malloc.top_pad=1:glibc.malloc.check=3";
        let (ours, kept) = merged(&["A=b", &format!("GLIBC_TUNABLES={own}"), "C=d"]);
        assert_eq!(kept, own);
        assert!(!ours.contains("top_pad"), "{ours}");
        assert!(ours.contains("hugetlb=1"), "{ours}");
    }

    #[test]
    fn the_older_variables_count_as_the_users_own() {
        let (ours, _) = merged(&["MALLOC_TRIM_THRESHOLD_=4096"]);
        assert!(!ours.contains("trim_threshold"), "{ours}");
        assert!(ours.contains("top_pad"), "{ours}");
    }

    #[test]
    fn a_user_who_refuses_huge_pages_gets_nothing() {
        for value in ["0", "2"] {
            let own = format!("GLIBC_TUNABLES=glibc.malloc.hugetlb={value}");
            assert_eq!(merged(&[&own]), (String::new(), String::new()));
        }
        let (ours, own) = merged(&["GLIBC_TUNABLES=glibc.malloc.hugetlb=1"]);
        assert!(!ours.contains("hugetlb") && ours.contains("top_pad"));
        assert_eq!(own, "glibc.malloc.hugetlb=1");
    }

    #[test]
    fn no_room_is_no_environment() {
        let mut left = 3;
        let answer = add(core::iter::empty(), |_| {
            left -= 1;
            (left > 0).then_some(())
        });
        assert_eq!(answer, None);
    }
}
