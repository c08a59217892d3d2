//! Words for a program's own use of the trigger: a session says them once, and the doctor
//! before it.

use snapshot_core::terms::OwnUse;

/// What it does, and what that means.
pub(crate) fn words(signal: &str, own: OwnUse) -> String {
    let (what, outside) = match own {
        OwnUse::Handles => ("handles", "from outside it takes a snapshot"),
        OwnUse::Waits => ("waits for", "from outside it takes a snapshot"),
        OwnUse::Reads => (
            "reads",
            "sent straight to it from outside it is read by it as well, and only sent to the launcher it takes a snapshot",
        ),
        OwnUse::Blocks => (
            "blocks",
            "sent straight to it from outside it waits, and only sent to the launcher it takes a snapshot",
        ),
    };
    format!(
        "the program {what} {signal} itself: from inside the session it is the program's own, {outside}; `--signal NAME` chooses another"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_one_sentence() {
        let text = words("SIGUSR1", OwnUse::Handles);
        assert_eq!(
            text,
            "the program handles SIGUSR1 itself: from inside the session it is the program's own, from outside it takes a snapshot; `--signal NAME` chooses another"
        );
    }
}
