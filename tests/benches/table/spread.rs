//! A few measurements of one thing: the median, and the quarters below and above it.

use std::fmt;

use crate::itself;

#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub low_ns: u64,
    pub middle_ns: u64,
    pub high_ns: u64,
}

impl Spread {
    pub fn of(ns: Vec<u64>) -> Self {
        let [low_ns, middle_ns, high_ns] = itself::quarters(ns);
        Self {
            low_ns,
            middle_ns,
            high_ns,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for a person")]
    pub fn ms(self) -> [f64; 3] {
        [self.low_ns, self.middle_ns, self.high_ns].map(|ns| ns as f64 / 1e6)
    }

    /// The median, in milliseconds.
    pub fn middle(self) -> f64 {
        self.ms()[1]
    }

    /// How many times the other median this one is.
    pub fn per(self, other: Self) -> f64 {
        self.middle() / other.middle()
    }
}

/// `0.71 (0.69..0.80) ms`
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, middle, high] = self.ms();
        // The digits that matter.
        let digits = match middle {
            ..1.0 => 3,
            ..10.0 => 2,
            ..100.0 => 1,
            _ => 0,
        };
        write!(f, "{middle:.digits$} ({low:.digits$}..{high:.digits$}) ms")
    }
}
