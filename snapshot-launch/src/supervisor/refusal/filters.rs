//! Filters of system calls (seccomp) that the program has set. The agent tries and reports
//! them. The supervisor looks for others before it signals the program.

use nix::libc;
use snapshot_core::terms::Filter;

/// What is known of the live process's filters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filters {
    /// It was started with these.
    inherited: u32,
    /// These allow all that a snapshot needs.
    harmless: u32,
    /// The one by which the kernel asks the journal, set in a take.
    has_ours: bool,
    /// A filter that does not.
    harmful: Option<Filter>,
}

/// Why a filter forbids snapshots.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forbidden {
    pub(crate) why: String,
    pub(crate) help: &'static str,
}

impl Filters {
    /// Counts this process's own, which the program inherits, and `denied`.
    ///
    /// # Errors
    /// `/proc` can't be read: uncounted filters would pass for the program's own.
    pub(crate) fn inherited(denied: usize) -> std::io::Result<Self> {
        let own = std::fs::read_to_string("/proc/self/status")?;
        Ok(Self {
            inherited: count(&own) + u32::try_from(denied).unwrap_or(0),
            ..Self::default()
        })
    }

    /// The agent has tried one. True if it is the first harmful one.
    pub(crate) fn add(&mut self, filter: Filter) -> bool {
        match filter {
            Filter::Harmless => {
                self.harmless = self.harmless.saturating_add(1);
                false
            }
            harmful => self.harmful.replace(harmful).is_none(),
        }
    }

    /// The live process has set ours.
    pub(crate) fn add_ours(&mut self) {
        self.has_ours = true;
    }

    /// How many are known to be harmless.
    fn harmless(&self) -> u32 {
        self.inherited
            .saturating_add(self.harmless)
            .saturating_add(u32::from(self.has_ours))
    }

    /// It could not be set.
    pub(crate) fn remove(&mut self, filter: Filter) {
        match filter {
            Filter::Harmless => self.harmless = self.harmless.saturating_sub(1),
            _ => self.harmful = None,
        }
    }

    /// Why no snapshot is possible, by the first thread's `/proc/PID/status`.
    pub(crate) fn forbid(&self, status: &str) -> Option<Forbidden> {
        let mode = field(status, "Seccomp:");
        if self.harmful.is_none() && mode == "0" {
            return None;
        }
        let help = "take snapshots before it forbids itself that, or start it without its sandbox";
        if mode == "1" || self.harmful == Some(Filter::Strict) {
            return Some(Forbidden {
                why: "the program has forbidden itself all system calls but to read and write (seccomp, strict mode)".to_owned(),
                help,
            });
        }
        match self.harmful {
            Some(Filter::Forbids(call)) => Some(Forbidden {
                why: format!(
                    "the program has set a filter of system calls (seccomp) that does not allow what a snapshot needs: {}",
                    name_of(call)
                ),
                help,
            }),
            Some(_) => Some(Forbidden {
                why: "the program has another process decide on its system calls (seccomp)"
                    .to_owned(),
                help,
            }),
            // Kernels before 5.9 tell no number.
            None if count(status) > self.harmless() => Some(Forbidden {
                why: "the program has set a filter of system calls (seccomp) by a call of its own, which could not be tried: it may end the program that is asked for a snapshot".to_owned(),
                help: "have it set the filter with libc's `prctl` or `syscall`, or start it without its sandbox",
            }),
            None => None,
        }
    }

    /// Words for the user.
    pub(crate) fn note(filter: Filter) -> Option<&'static str> {
        (filter != Filter::Harmless).then_some(
            "the program forbids itself system calls that a snapshot needs (seccomp): none can be taken from here on, and a `kill -USR1` to the program itself does nothing",
        )
    }
}

/// A field's value; empty if there is none.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map_or("", str::trim)
}

fn count(status: &str) -> u32 {
    field(status, "Seccomp_filters:").parse().unwrap_or(0)
}

/// The calls that filters most likely lack.
fn name_of(call: i32) -> String {
    let name = match i64::from(call) {
        libc::SYS_socket => "socket",
        libc::SYS_connect => "connect",
        libc::SYS_clone3 => "clone3",
        libc::SYS_kill => "kill",
        libc::SYS_tgkill => "tgkill",
        libc::SYS_openat => "openat",
        libc::SYS_getdents64 => "getdents64",
        libc::SYS_getpid => "getpid",
        libc::SYS_gettid => "gettid",
        libc::SYS_getppid => "getppid",
        libc::SYS_prctl => "prctl",
        libc::SYS_rt_tgsigqueueinfo => "rt_tgsigqueueinfo",
        libc::SYS_rt_sigqueueinfo => "rt_sigqueueinfo",
        libc::SYS_rt_sigpending => "rt_sigpending",
        libc::SYS_rt_sigtimedwait => "rt_sigtimedwait",
        libc::SYS_setpgid => "setpgid",
        libc::SYS_kcmp => "kcmp",
        _ => return format!("call {call}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(mode: u32, filters: u32) -> String {
        format!("Name:\tx\nSeccomp:\t{mode}\nSeccomp_filters:\t{filters}\n")
    }

    #[test]
    fn what_is_not_known_forbids() {
        let mut filters = Filters {
            inherited: 1,
            ..Filters::default()
        };
        assert_eq!(filters.forbid(&status(0, 0)), None);
        assert_eq!(filters.forbid(&status(2, 1)), None);
        let unknown = filters.forbid(&status(2, 2)).expect("one too many");
        assert!(unknown.why.contains("could not be tried"));
        filters.add(Filter::Harmless);
        assert_eq!(filters.forbid(&status(2, 2)), None);
        filters.remove(Filter::Harmless);
        assert!(filters.forbid(&status(2, 2)).is_some());
        assert!(filters.forbid(&status(1, 0)).is_some());
    }

    #[test]
    fn ours_is_harmless_and_counts_once() {
        let mut filters = Filters::default();
        assert!(filters.forbid(&status(2, 1)).is_some());
        filters.add_ours();
        filters.add_ours();
        assert_eq!(filters.forbid(&status(2, 1)), None);
        assert!(filters.forbid(&status(2, 2)).is_some());
        // What a snapshot keeps and a revert brings back.
        let kept = filters;
        assert_eq!(kept.forbid(&status(2, 1)), None);
    }

    #[test]
    fn what_is_known_is_named() {
        let mut filters = Filters::default();
        let socket = i32::try_from(libc::SYS_socket).expect("numbers of calls are small");
        filters.add(Filter::Forbids(socket));
        // Another thread has it, the first none.
        let forbidden = filters.forbid(&status(0, 0)).expect("it is harmful");
        assert!(forbidden.why.ends_with(": socket"), "{}", forbidden.why);
        filters.remove(Filter::Forbids(socket));
        assert_eq!(filters.forbid(&status(0, 0)), None);
    }
}
