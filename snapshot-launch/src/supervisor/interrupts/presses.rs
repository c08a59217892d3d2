//! Ctrl+C pressed again and again is one press.
//!
//! The first press reverts at once. Someone who keeps pressing would then revert level after
//! level, and at depth 0 end the program that the snapshot should save. So a press soon after a
//! reverting one is held for a moment: if more come, all of them belong to the first; if none
//! comes, it acts.
//!
//! If no revert began the burst, every press is the program's own and passes at once.
//!
//! Pure: time comes in as a number, so that every rhythm can be tested.

/// Presses closer than this belong together.
pub(crate) const CLOSE_NS: u64 = 100_000_000;

/// What to do with a press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Press {
    /// Act on it.
    Act,
    /// Wait; [`Presses::due`] says when to act.
    Hold,
    /// Part of an earlier press. So is a held one.
    Swallow,
}

#[derive(Debug, Default)]
enum Burst {
    /// The last press did not revert, or is long past.
    #[default]
    None,
    /// A press has reverted.
    Reverted,
    /// A second one is held.
    Holding,
    /// All of these are one press.
    Hammering,
}

/// The rhythm of presses.
#[derive(Debug, Default)]
pub(crate) struct Presses {
    burst: Burst,
    last_ns: u64,
}

impl Presses {
    /// A press at this time.
    pub(crate) fn press(&mut self, now_ns: u64) -> Press {
        let close = now_ns.saturating_sub(self.last_ns) < CLOSE_NS;
        self.last_ns = now_ns;
        match self.burst {
            Burst::Reverted if close => {
                self.burst = Burst::Holding;
                Press::Hold
            }
            Burst::Holding | Burst::Hammering if close => {
                self.burst = Burst::Hammering;
                Press::Swallow
            }
            _ => {
                self.burst = Burst::None;
                Press::Act
            }
        }
    }

    /// The press before has begun a revert.
    pub(crate) fn reverted(&mut self) {
        self.burst = Burst::Reverted;
    }

    /// When the held press is due, if there is one.
    pub(crate) fn due_at(&self) -> Option<u64> {
        matches!(self.burst, Burst::Holding).then_some(self.last_ns + CLOSE_NS)
    }

    /// Whether the held press acts now; if so, it is no longer held.
    pub(crate) fn due(&mut self, now_ns: u64) -> bool {
        let due = self.due_at().is_some_and(|at| now_ns >= at);
        if due {
            self.burst = Burst::None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Plays presses at these milliseconds against a program with that many snapshots. Returns
    /// how many are left, and how many presses reached the program.
    fn play(times_ms: &[u64], snapshots: u32) -> (u32, u32) {
        let mut presses = Presses::default();
        let (mut left, mut own) = (snapshots, 0);
        let mut act = |presses: &mut Presses| {
            if left > 0 {
                left -= 1;
                presses.reverted();
            } else {
                own += 1;
            }
        };
        let start = 10_000;
        let end = times_ms.last().copied().unwrap_or(0) + 1000;
        for now in 0..=end {
            let now_ns = (start + now) * MS;
            if presses.due(now_ns) {
                act(&mut presses);
            }
            if times_ms.contains(&now) && presses.press(now_ns) == Press::Act {
                act(&mut presses);
            }
        }
        (left, own)
    }

    #[test]
    fn fifty_in_a_second_are_one() {
        let times: Vec<u64> = (0..50).map(|n| n * 20).collect();
        assert_eq!(play(&times, 1), (0, 0));
        assert_eq!(play(&times, 3), (2, 0));
    }

    #[test]
    fn without_a_snapshot_every_press_is_the_programs_own() {
        let times: Vec<u64> = (0..50).map(|n| n * 20).collect();
        assert_eq!(play(&times, 0), (0, 50));
    }

    #[test]
    fn a_second_press_acts_a_moment_later() {
        assert_eq!(play(&[0, 30], 1), (0, 1));
        assert_eq!(play(&[0, 30], 2), (0, 0));
    }

    #[test]
    fn slow_presses_act_each() {
        assert_eq!(play(&[0, 200, 400, 600], 2), (0, 2));
    }

    proptest::proptest! {
        #[test]
        fn a_hammering_hand_reverts_once(
            gaps in proptest::collection::vec(1_u64..90, 2..80),
            snapshots in 1_u32..5,
        ) {
            let mut now = 0;
            let times: Vec<u64> = std::iter::once(0)
                .chain(gaps.into_iter().map(|gap| { now += gap; now }))
                .collect();
            proptest::prop_assert_eq!(play(&times, snapshots), (snapshots - 1, 0));
        }
    }
}
