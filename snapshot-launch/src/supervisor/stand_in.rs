//! What the supervisor does in place of a dead launcher.

use crate::supervisor::config::Config;
use nix::sys::termios::{SetArg, tcsetattr};

/// Does what the launcher would have done at its end.
pub(crate) fn stand_in_for_launcher(config: &Config) {
    if let Some(outer) = &config.outer {
        let _ = tcsetattr(&outer.terminal, SetArg::TCSANOW, &outer.settings);
    }
    if let Some(door) = &config.door {
        door.remove();
    }
}
