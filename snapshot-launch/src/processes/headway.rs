//! Patience with a process that has something to do: it lasts as long as the process works,
//! however slow the machine is. A process that stands still uses it up.

use snapshot_core::sys::now_ns;

use super::family;

/// Patience with one process.
#[derive(Debug)]
pub(crate) struct Headway {
    patience_ns: u64,
    deadline_ns: u64,
    /// Its work at the last look.
    work: Option<family::Work>,
}

impl Headway {
    /// Begins patience of this length, which counts time without work.
    pub(crate) fn begin(patience_ns: u64) -> Self {
        Self {
            patience_ns,
            deadline_ns: now_ns() + patience_ns,
            work: None,
        }
    }

    /// When to look for work.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// The process has spoken, so patience starts again.
    pub(crate) fn renew(&mut self) {
        self.deadline_ns = now_ns() + self.patience_ns;
    }

    /// Whether patience with this process, if there is one, has ended.
    pub(crate) fn is_over(&mut self, pid: Option<i32>, now: u64) -> bool {
        if now < self.deadline_ns {
            return false;
        }
        let before = self.work;
        self.work = pid.and_then(family::work_of);
        let more_ns = match (before, self.work) {
            (_, None) => return true,
            // The first look proves nothing, and another one follows soon.
            (None, _) => self.patience_ns / 3,
            (before, work) if before != work => self.patience_ns,
            _ => return true,
        };
        self.deadline_ns = now + more_ns;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_one_that_does_nothing_or_is_not_there() {
        let mut headway = Headway::begin(3_000);
        let at = headway.deadline_ns();
        assert!(!headway.is_over(None, at - 1));
        assert!(headway.is_over(None, at));
        // The parent of a test waits for it.
        let idle = Some(1);
        assert!(!headway.is_over(idle, at), "one look tells nothing");
        assert!(headway.deadline_ns() > at);
    }

    #[test]
    fn one_that_works_has_it_again() {
        let own = Some(std::process::id().cast_signed());
        let mut headway = Headway::begin(0);
        assert!(!headway.is_over(own, headway.deadline_ns()));
        let fresh = vec![1_u8; 4 << 20];
        assert!(
            !headway.is_over(own, headway.deadline_ns()),
            "{}",
            fresh.len()
        );
    }
}
