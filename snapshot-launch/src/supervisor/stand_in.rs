//! What the supervisor does in the stead of a launcher that has died.

use crate::supervisor::config::Config;
use nix::sys::termios::{SetArg, tcsetattr};

/// What the launcher would have done in the end, had it lived to do it.
pub(crate) fn stand_in_for_launcher(config: &Config) {
    if let Some(outer) = &config.outer {
        let _ = tcsetattr(&outer.terminal, SetArg::TCSANOW, &outer.settings);
    }
    if let Some(door) = &config.door {
        door.remove();
    }
}
