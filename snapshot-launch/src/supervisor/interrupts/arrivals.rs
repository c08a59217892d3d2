//! One signal, several recipients: which arrivals are the same event?
//!
//! A terminal sends SIGINT to its whole foreground group, and so does `kill -INT -PGID` or
//! `pkill`. Then launcher, supervisor, live process and frozen copies each get one, and each
//! tells the supervisor. One press must not revert twice.
//!
//! Two arrivals are one event if signal and sender are the same, the recipients differ,
//! and little time lies between them. Two signals to the *same* recipient are two events.
//!
//! Pure, so that every order can be tested.

use snapshot_core::terms::SENDER_OUTSIDE;

/// How far apart one event's arrivals may be on a busy machine.
const APART_NS: u64 = 100_000_000;

/// How many events to remember: a program that invents more loses its own.
const MOST: usize = 256;

/// Who was sent the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipient {
    Launcher,
    Supervisor,
    Live,
    /// A frozen copy, by its snapshot's number.
    Frozen(u32),
}

#[derive(Debug)]
struct Heard<T> {
    signal: i32,
    sender: i32,
    at_ns: u64,
    recipients: Vec<Recipient>,
    outcome: T,
}

/// Recent events, each with its outcome.
#[derive(Debug)]
pub(crate) struct Arrivals<T> {
    heard: Vec<Heard<T>>,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        Self { heard: Vec::new() }
    }
}

impl<T: Copy> Arrivals<T> {
    /// The outcome of the event that this arrival belongs to, if it is not a new one. `sender`
    /// is 0 for the kernel, and may be [`SENDER_OUTSIDE`].
    pub(crate) fn outcome_of(
        &mut self,
        signal: i32,
        sender: i32,
        recipient: Recipient,
        now_ns: u64,
    ) -> Option<T> {
        self.heard
            .retain(|heard| now_ns.saturating_sub(heard.at_ns) < APART_NS);
        let heard = self.heard.iter_mut().find(|heard| {
            heard.signal == signal
                && may_be_one(heard.sender, sender)
                && !heard.recipients.contains(&recipient)
        })?;
        heard.recipients.push(recipient);
        Some(heard.outcome)
    }

    /// Remembers a new event.
    pub(crate) fn remember(
        &mut self,
        signal: i32,
        sender: i32,
        recipient: Recipient,
        now_ns: u64,
        outcome: T,
    ) {
        if self.heard.len() >= MOST {
            self.heard.remove(0);
        }
        self.heard.push(Heard {
            signal,
            sender,
            at_ns: now_ns,
            recipients: vec![recipient],
            outcome,
        });
    }
}

/// Whether two arrivals may have one sender. Outside the namespace, any process may be the
/// sender.
fn may_be_one(a: i32, b: i32) -> bool {
    a == b || (a != 0 && b != 0 && (a == SENDER_OUTSIDE || b == SENDER_OUTSIDE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_signal_to_a_group_is_one_event() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.outcome_of(2, 7, Recipient::Launcher, 0), None);
        arrivals.remember(2, 7, Recipient::Launcher, 0, 'a');
        assert_eq!(arrivals.outcome_of(2, 7, Recipient::Live, 1000), Some('a'));
        assert_eq!(
            arrivals.outcome_of(2, 7, Recipient::Frozen(1), 1000),
            Some('a')
        );
        assert_eq!(
            arrivals.outcome_of(2, 7, Recipient::Frozen(2), 1000),
            Some('a')
        );
    }

    #[test]
    fn two_signals_to_one_recipient_are_two() {
        let mut arrivals = Arrivals::default();
        arrivals.remember(2, 7, Recipient::Live, 0, 'a');
        assert_eq!(arrivals.outcome_of(2, 7, Recipient::Live, 1000), None);
        arrivals.remember(2, 7, Recipient::Live, 1000, 'b');
        // The others' arrivals pair up with them one by one.
        assert_eq!(
            arrivals.outcome_of(2, 7, Recipient::Launcher, 2000),
            Some('a')
        );
        assert_eq!(
            arrivals.outcome_of(2, 7, Recipient::Launcher, 2000),
            Some('b')
        );
        assert_eq!(arrivals.outcome_of(2, 7, Recipient::Launcher, 2000), None);
    }

    #[test]
    fn a_sender_outside_may_be_any_process_but_not_the_kernel() {
        let mut arrivals = Arrivals::default();
        arrivals.remember(2, SENDER_OUTSIDE, Recipient::Launcher, 0, 'a');
        assert_eq!(arrivals.outcome_of(2, 0, Recipient::Live, 0), None);
        assert_eq!(arrivals.outcome_of(2, 7, Recipient::Live, 0), Some('a'));
    }

    #[test]
    fn another_sender_signal_or_time_is_another_event() {
        let mut arrivals = Arrivals::default();
        arrivals.remember(2, 7, Recipient::Live, 0, 'a');
        assert_eq!(arrivals.outcome_of(2, 8, Recipient::Launcher, 0), None);
        assert_eq!(arrivals.outcome_of(10, 7, Recipient::Launcher, 0), None);
        assert_eq!(
            arrivals.outcome_of(2, 7, Recipient::Launcher, APART_NS),
            None
        );
    }
}
