//! The words for children, threads and tracers that a revert does not bring back as they were.
//! A take and the doctor use the same ones.

use crate::talk::counted::counted;

/// The kernel's threads, which work for the program.
pub(crate) const KERNEL_THREADS: &str = "they work for the live process alone";

/// What they are.
pub(crate) fn kernel_threads(count: u32) -> String {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    format!("{} of the kernel's", counted(count, "thread"))
}

/// Threads of another user.
pub(crate) const OTHER_USERS: &str =
    "after a revert all threads are the user that the first one is";

/// What they are.
pub(crate) fn other_users(count: u32) -> String {
    format!("{} of another user", threads(count))
}

/// A few threads, in words.
pub(crate) fn threads(count: u32) -> String {
    match count {
        1 => "one thread".to_owned(),
        count => format!("{count} threads"),
    }
}

/// A debugger.
pub(crate) const TRACED: &str = "after a revert it traces nothing any more: attach it again";

/// What it is, by its name and number.
pub(crate) fn traced(tracer: &str) -> String {
    format!("{tracer} traces the program")
}

/// A child that shares these with the program, beyond what it inherits, and whether the program
/// traces it.
pub(crate) fn child(shares: &[&str], is_traced: bool) -> String {
    let mut why = "a process that the program has started lives on, and after a revert the program can still wait for it, and stop it; but it has another parent then, and those waits that libc makes by itself (`system`, `pclose`) don't find it".to_owned();
    if !shares.is_empty() {
        why += "; it shares ";
        why += &shares.join(" and ");
        why += " with the program, and after a revert each has its own";
    }
    if is_traced {
        why += "; the program traces it, and after a revert no longer does (ptrace): it runs on or ends as its tracer has asked for";
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_each() {
        assert_eq!(kernel_threads(1), "1 thread of the kernel's");
        assert_eq!(kernel_threads(2), "2 threads of the kernel's");
        assert_eq!(other_users(1), "one thread of another user");
        assert_eq!(traced("gdb (7)"), "gdb (7) traces the program");
        let plain = child(&[], false);
        assert!(plain.ends_with("don't find it"), "{plain}");
        let shared = child(&["memory", "the working directory"], false);
        assert!(
            shared.contains("; it shares memory and the working directory with the program"),
            "{shared}"
        );
        assert!(child(&[], true).contains("; the program traces it"));
        for why in [KERNEL_THREADS, OTHER_USERS, TRACED, &plain, &shared] {
            assert!(why.starts_with(|first: char| first.is_lowercase()), "{why}");
            assert!(!why.ends_with('.'), "{why}");
        }
    }
}
