//! What the command line asks for.

use std::fmt;

use crate::session::End;

#[derive(Debug, Clone, Copy)]
pub enum Machine {
    /// As it is.
    Idle,
    /// With more to do than it has processors for.
    Loaded,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::Loaded => "loaded",
        })
    }
}

pub struct Wanted {
    pub rounds: usize,
    pub threads: Vec<usize>,
    pub machines: Vec<Machine>,
    /// How branches end: each way in turn, unless one is chosen.
    pub by: Option<End>,
}

impl Wanted {
    pub fn from_arguments() -> Self {
        let mut wanted = Self {
            rounds: 1000,
            threads: vec![1, 8, 64, 512],
            machines: vec![Machine::Idle, Machine::Loaded],
            by: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect("the flag is followed by a value");
            match argument.as_str() {
                "--rounds" => wanted.rounds = number(&value()),
                "--threads" => wanted.threads = value().split(',').map(number).collect(),
                "--only" => wanted.machines = vec![machine(&value())],
                "--by" => wanted.by = Some(end(&value())),
                // Cargo's own.
                "--bench" => {}
                other => panic!("unknown argument {other}: --rounds, --threads, --only, --by"),
            }
        }
        wanted
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number above 0")
}

fn machine(name: &str) -> Machine {
    match name {
        "idle" => Machine::Idle,
        "loaded" => Machine::Loaded,
        other => panic!("{other} is neither `idle` nor `loaded`"),
    }
}

fn end(name: &str) -> End {
    match name {
        "kill" => End::Kill,
        "revert" => End::Revert,
        "interrupt" => End::Interrupt,
        other => panic!("{other} is neither `kill` nor `revert` nor `interrupt`"),
    }
}
