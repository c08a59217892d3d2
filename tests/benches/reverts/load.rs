//! A machine with too much to do: processes that compute, and one that looks at every
//! thread of every process, as `top -H` does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::itself;

/// A process that keeps the machine busy until its stdin ends.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    Computes,
    Looks,
}

impl Load {
    /// The load of this name, if there is one.
    pub fn parse(case: &str) -> Option<Self> {
        match case {
            "computes" => Some(Self::Computes),
            "looks" => Some(Self::Looks),
            _ => None,
        }
    }

    const fn case(self) -> &'static str {
        match self {
            Self::Computes => "computes",
            Self::Looks => "looks",
        }
    }

    pub fn run(self) {
        println!("ready");
        std::thread::spawn(move || {
            loop {
                match self {
                    Self::Computes => std::hint::spin_loop(),
                    Self::Looks => look_at_all(),
                }
            }
        });
        // It ends when the bench does.
        let _ = std::io::stdin().read_line(&mut String::new());
    }
}

fn look_at_all() {
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let threads = fs::read_dir(process.path().join("task"));
        for thread in threads.into_iter().flatten().flatten() {
            let _ = fs::read(thread.path().join("stat"));
        }
    }
}

/// What keeps the machine busy, until this value ends.
pub struct Busy(Vec<Child>);

/// Two that compute for each processor, and one that looks.
pub fn begin() -> Busy {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let loads = std::iter::repeat_n(Load::Computes, 2 * processors).chain([Load::Looks]);
    Busy(loads.map(start).collect())
}

fn start(load: Load) -> Child {
    let mut child = itself::command(load.case(), false)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the bench can run itself");
    let stdout = child.stdout.take().expect("it is a pipe");
    let mut ready = String::new();
    BufReader::new(stdout)
        .read_line(&mut ready)
        .expect("stdout is text");
    child
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
