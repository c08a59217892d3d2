//! The terminal of a program without a launcher.
//!
//! Context: AS-SAFE.

use crate::sys::{self, Terminal};

/// The terminal as the program had set it, and the group in front.
pub(super) struct Screen {
    settings: Option<(i32, Terminal)>,
    foreground: Option<i32>,
}

impl Screen {
    pub(super) fn record() -> Self {
        let settings = (0..3).find_map(|fd| Some((fd, sys::terminal(fd).ok()?)));
        Self {
            settings,
            foreground: settings.and_then(|(fd, _)| sys::foreground_group(fd).ok()),
        }
    }

    /// All signals are blocked here, SIGTTOU too, so the kernel lets a background process do
    /// it.
    pub(super) fn restore(&self) {
        if let Some((fd, settings)) = &self.settings {
            if let Some(group) = self.foreground {
                let _ = sys::set_foreground_group(*fd, group);
            }
            let _ = sys::set_terminal(*fd, settings);
        }
    }
}
