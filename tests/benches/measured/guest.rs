//! The program that is measured: so many threads that wait, so much memory from `malloc`,
//! and a few commands on stdin, a line each, with a line for an answer.
#![expect(unsafe_code, reason = "measures raw system calls")]

use std::sync::Barrier;

use snapshot_core::sys::now_ns;
use snapshot_core::{Arrival, Phases, snapshot};

const PAGE: usize = 4096;
/// Below glibc's threshold for a mapping of its own: the blocks lie in the heap.
const BLOCK: usize = 64 << 10;

/// What the program is made of.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    pub threads: usize,
    pub megabytes: usize,
    /// Whether it forbids itself huge pages.
    pub small_pages: bool,
    /// Whether each thread has asked for its share of the memory, and not the first for
    /// all of it.
    pub shared_out: bool,
    /// How many files it has open beside its streams.
    pub files: usize,
}

impl Guest {
    /// In a form that [`Guest::parse`] reads.
    pub fn case(self) -> String {
        format!(
            "{} {} {} {} {}",
            self.threads,
            self.megabytes,
            u8::from(self.small_pages),
            u8::from(self.shared_out),
            self.files
        )
    }

    pub fn parse(case: &str) -> Self {
        let numbers: Vec<usize> = case
            .split(' ')
            .map(|number| number.parse().expect("written by `case`"))
            .collect();
        let [threads, megabytes, small_pages, shared_out, files] = numbers[..] else {
            panic!("written by `case`");
        };
        Self {
            threads,
            megabytes,
            small_pages: small_pages == 1,
            shared_out: shared_out == 1,
            files,
        }
    }

    /// Obeys until stdin ends.
    pub fn run(self) {
        if self.small_pages {
            // SAFETY: takes numbers alone. What a kernel without huge pages answers does
            // not matter.
            unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
        }
        let mut memory = Memory::of(self);
        let file = || std::fs::File::open("/proc/self/exe").expect("the bench itself");
        let _files: Vec<_> = (0..self.files).map(|_| file()).collect();
        println!("ready");
        for line in std::io::stdin().lines() {
            let line = line.expect("stdin is text");
            match *line.split(' ').collect::<Vec<_>>() {
                ["touch", a_page_in] => {
                    memory.touch(a_page_in.parse().expect("a number"));
                    println!("ok");
                }
                ["fork"] => {
                    let (fork, kill) = raw_fork(|| {});
                    println!("ok {fork} {kill}");
                }
                ["phases"] => {
                    let Phases {
                        park,
                        record,
                        split,
                        complete,
                        release,
                        ..
                    } = snapshot_core::last_phases();
                    let [park, record, split, complete, release] =
                        [park, record, split, complete, release].map(|phase| phase.as_nanos());
                    println!("ok {park} {record} {split} {complete} {release}");
                }
                ["kill-dirtied"] => {
                    let (_, kill) = raw_fork(|| memory.touch(1));
                    println!("ok {kill}");
                }
                // After a revert the guest says at once when it came back.
                ["take"] => match snapshot().expect("a program like this can be taken") {
                    Arrival::Live(_) => println!("ok"),
                    Arrival::Reverted(_) => println!("ok {}", now_ns()),
                },
                _ => panic!("no such command: {line}"),
            }
        }
    }
}

struct Memory {
    blocks: Vec<Vec<u8>>,
    touched: usize,
}

impl Memory {
    /// Makes the threads too: they wait, as those of a server do between requests.
    fn of(guest: Guest) -> Self {
        let count = guest.megabytes * (1 << 20) / BLOCK;
        let begun: &'static Barrier = Box::leak(Box::new(Barrier::new(guest.threads)));
        let (sender, receiver) = std::sync::mpsc::channel();
        let share = if guest.shared_out {
            count / guest.threads
        } else {
            0
        };
        for _ in 1..guest.threads {
            let sender = sender.clone();
            std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(move || {
                    sender.send(blocks(share)).expect("they are waited for");
                    begun.wait();
                    loop {
                        std::thread::park();
                    }
                })
                .expect("there is room for threads");
        }
        drop(sender);
        let mut all = blocks(count - share * (guest.threads - 1));
        for _ in 1..guest.threads {
            all.extend(receiver.recv().expect("each sends its own"));
        }
        begun.wait();
        let mut memory = Self {
            blocks: all,
            touched: 0,
        };
        memory.touch(1);
        memory
    }

    /// Writes to one page in so many, evenly spread, and to others each time.
    fn touch(&mut self, a_page_in: usize) {
        let pages_a_block = BLOCK / PAGE;
        let pages = self.blocks.len() * pages_a_block;
        let first = self.touched % a_page_in;
        for page in (first..pages).step_by(a_page_in) {
            let block = &mut self.blocks[page / pages_a_block];
            let byte = &mut block[page % pages_a_block * PAGE];
            *byte = byte.wrapping_add(1);
        }
        self.touched += 1;
    }
}

fn blocks(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| vec![0; BLOCK]).collect()
}

/// The yardstick: how long `fork` takes in the caller, and how long, once the child has
/// done something, to be rid of it again.
fn raw_fork(mut in_child: impl FnMut()) -> (u64, u64) {
    let (mut done, tell) = std::io::pipe().expect("pipes are to be had");
    let start = now_ns();
    // SAFETY: the child writes to its memory, says so and waits for its end; it takes no
    // lock and allocates nothing.
    let child = unsafe { libc::fork() };
    let forked = now_ns();
    if child == 0 {
        in_child();
        let _ = std::io::Write::write(&mut &tell, &[1]);
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    }
    assert!(child > 0, "there is room for a process");
    std::io::Read::read_exact(&mut done, &mut [0]).expect("the child says so");
    let begun = now_ns();
    // SAFETY: our own child.
    unsafe { libc::kill(child, libc::SIGKILL) };
    // SAFETY: as above; the status is not wanted.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    (forked - start, now_ns() - begun)
}
