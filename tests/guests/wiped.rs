//! Guest: memory that is marked to be wiped in a copy of the process, with a page that nobody
//! may touch.
//!
//! `look` shows the state of each part: `full`, `empty` or `closed`; `none` if the kernel has
//! no such memory. `child` shows the same in a child of the program. `change` writes something
//! else, `drop` unmaps the first part and maps ordinary memory there.
#![expect(unsafe_code, reason = "maps memory as a C program does")]

use std::ptr::null_mut;

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

const PAGE: usize = 4096;
const MAP_DROPPABLE: i32 = 0x08;
const MADV_GUARD_INSTALL: i32 = 102;

const FULL: [u8; 4] = *b"full";
const OTHER: [u8; 4] = *b"else";

fn map(pages: usize, flags: i32) -> Option<usize> {
    // SAFETY: takes numbers.
    let memory = unsafe {
        libc::mmap(
            null_mut(),
            pages * PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            flags | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    (memory != libc::MAP_FAILED).then(|| memory.expose_provenance())
}

fn advise(start: usize, pages: usize, advice: i32) -> bool {
    let start = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: memory of this program that nobody has a reference to.
    unsafe { libc::madvise(start, pages * PAGE, advice) == 0 }
}

fn write(start: usize, text: [u8; 4]) {
    let place = std::ptr::with_exposed_provenance_mut::<[u8; 4]>(start + 100);
    // SAFETY: mapped, and nobody has a reference to it.
    unsafe { place.write_volatile(text) };
}

fn protect(start: usize, protection: i32) {
    let start = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: as above.
    unsafe { libc::mprotect(start, PAGE, protection) };
}

/// The contents, as the kernel reads them.
fn look(start: usize) -> &'static str {
    let mut text = [0; 4];
    let local = libc::iovec {
        iov_base: text.as_mut_ptr().cast(),
        iov_len: text.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::with_exposed_provenance_mut(start + 100),
        iov_len: text.len(),
    };
    let own = std::process::id().cast_signed();
    // SAFETY: writes into the local buffer.
    let read = unsafe { libc::process_vm_readv(own, &local, 1, &remote, 1, 0) };
    match (read, text) {
        (4, FULL) => "full",
        (4, OTHER) => "else",
        (4, [0, 0, 0, 0]) => "empty",
        (4, _) => "spoilt",
        _ if Errno::last() == Errno::EFAULT => "closed",
        _ => "unreadable",
    }
}

struct Parts {
    wiped: usize,
    /// Not to be written to.
    locked: usize,
    droppable: Option<usize>,
    /// Three pages. Nobody may touch the second one.
    guarded: Option<usize>,
}

impl Parts {
    fn new() -> Self {
        let wiped = map(2, libc::MAP_PRIVATE).expect("there is memory");
        // A part of the mapping.
        assert!(advise(wiped, 1, libc::MADV_WIPEONFORK));
        let locked = map(1, libc::MAP_PRIVATE).expect("there is memory");
        assert!(advise(locked, 1, libc::MADV_WIPEONFORK));
        let guarded = map(3, libc::MAP_PRIVATE).expect("there is memory");
        assert!(advise(guarded, 3, libc::MADV_WIPEONFORK));
        for start in [guarded, guarded + 2 * PAGE] {
            write(start, FULL);
        }
        let guarded = advise(guarded + PAGE, 1, MADV_GUARD_INSTALL).then_some(guarded);
        let droppable = map(1, MAP_DROPPABLE);
        write(wiped, FULL);
        write(wiped + PAGE, FULL);
        write(locked, FULL);
        protect(locked, libc::PROT_READ);
        if let Some(droppable) = droppable {
            write(droppable, FULL);
        }
        Self {
            wiped,
            locked,
            droppable,
            guarded,
        }
    }

    fn look(&self) -> String {
        let guarded = self.guarded.map(|start| {
            [0, PAGE, 2 * PAGE]
                .map(|offset| look(start + offset))
                .join(",")
        });
        format!(
            "{} {} {} {} {}",
            look(self.wiped),
            look(self.wiped + PAGE),
            look(self.locked),
            self.droppable.map_or("none", look),
            guarded.unwrap_or_else(|| "none".into())
        )
    }

    fn change(&self) {
        write(self.wiped, OTHER);
        protect(self.locked, libc::PROT_READ | libc::PROT_WRITE);
        write(self.locked, OTHER);
        protect(self.locked, libc::PROT_READ);
        for start in self.droppable.iter().chain(&self.guarded) {
            write(*start, OTHER);
        }
    }
}

fn main() {
    let parts = Parts::new();
    for line in std::io::stdin().lines() {
        match line.expect("stdin is text").as_str() {
            "look" => println!("ok {}", parts.look()),
            "change" => {
                parts.change();
                println!("ok");
            }
            "drop" => {
                let start = std::ptr::with_exposed_provenance_mut(parts.wiped);
                // SAFETY: nobody has a reference to it.
                unsafe {
                    libc::mmap(
                        start,
                        2 * PAGE,
                        libc::PROT_READ | libc::PROT_WRITE,
                        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                        -1,
                        0,
                    )
                };
                write(parts.wiped, FULL);
                println!("ok");
            }
            // SAFETY: the program has one thread.
            "child" => match unsafe { fork() } {
                Ok(ForkResult::Child) => {
                    println!("ok {}", parts.look());
                    std::process::exit(0);
                }
                Ok(ForkResult::Parent { child }) => {
                    waitpid(child, None).expect("it is a child");
                }
                Err(error) => println!("err {error}"),
            },
            other => println!("err {other}"),
        }
    }
}
